//! The likeliest ETS form of each series, searched where the series lie.

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;

use crate::error::expect_len;
use crate::gpu::auto_ets::EtsChosen;
use crate::{ALPHA_RANGE, EtsForm, KernelError, Matrix, Smoothing, Trend, cpu, gpu};

/// What was chosen, where it was found.
pub enum EtsChoices {
    /// In host memory.
    Cpu(EtsChoice),
    /// In the memory of a wgpu adapter.
    Wgpu(EtsChosen<WgpuRuntime>),
    /// In the memory of an NVIDIA GPU.
    Cuda(EtsChosen<CudaRuntime>),
}

impl EtsChoices {
    /// Copies the choices to host memory.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device refused this copy or any work that led to it.
    pub fn to_host(&self) -> Result<EtsChoice, KernelError> {
        match self {
            Self::Cpu(choice) => Ok(choice.clone()),
            Self::Wgpu(chosen) => chosen.download(),
            Self::Cuda(chosen) => chosen.download(),
        }
    }
}

/// The likeliest form of each series of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsChoice {
    /// `None` where no form fits the series.
    pub chosen: Vec<Option<EtsEnd>>,
    /// Mean and standard deviation of each series: the unit of what was chosen.
    pub units: Vec<(f64, f64)>,
}

/// Where the search of one series' likeliest form ended.
#[derive(Clone, Debug, PartialEq)]
pub struct EtsEnd {
    /// The form.
    pub form: EtsForm,
    /// Akaike's criterion, corrected, up to a constant of the series' own.
    pub aicc: f64,
    /// False where a cap on places was met before its likelihood settled.
    pub settled: bool,
    /// Its weights.
    pub smoothing: Smoothing,
    /// Its start, as in [`crate::ets_gradient`], of the standardised series.
    pub start: Vec<f64>,
}

impl EtsEnd {
    /// From the shares of their ranges that the weights take.
    pub(crate) fn of_place(
        form: EtsForm,
        (aicc, settled): (f64, bool),
        [alpha, slope, season, phi]: [f64; 4],
        first_slope: f64,
        start: impl Fn(usize) -> f64,
    ) -> Self {
        let floor = ALPHA_RANGE.0;
        let smoothing = Smoothing {
            alpha,
            beta: if form.trend == Trend::None { 0.0 } else { floor + (alpha - floor) * slope },
            gamma: if form.season == 1 { 0.0 } else { floor + (1.0 - alpha - floor) * season },
            phi,
        };
        let start = std::iter::once(first_slope).chain((0..form.season).map(start)).collect();
        Self { form, aicc, settled, smoothing, start }
    }
}

/// Fits ETS forms to every series and keeps the likeliest of each, by AICc.
///
/// - `y`: `[steps, series]` in any unit; NaN where unobserved. It is standardised as it is read: in `f64`, or in
///   `f32` on a device that has no other, which is right to about a hundredth of a nat.
/// - `forms`: those to choose from, of one season or none; [`EtsForm::admissible`] names all.
///
/// On a GPU weights and start are searched together, a place of every series a round: a unit has a series for the
/// recursion forth and its adjoint back, which keeps the errors of every step (and, where it asks for them, slopes,
/// levels and seasons), so at least 12 bytes a step and 50 multiplications; and a cube has a series for the quadratic
/// of Gauss and Newton, a unit an unknown, so `unknowns²` multiplications a step, a handful of times a form. Seasons of
/// more than 59 steps make theirs by limited memory instead, in hundreds of rounds. As on the CPU a form other than the
/// first without a trend is given up where thirty times the gain that its next step promises would leave it behind the
/// best so far. Nothing is downloaded before [`EtsChoices::to_host`].
/// Source: Hyndman and Khandakar, *Automatic time series forecasting: the forecast package for R*, J. Stat. Soft.
/// 27(3), 2008, for the forms and the criterion.
///
/// # Errors
/// [`KernelError::Shape`] for forms of several seasons, or none at all; [`KernelError::Device`] when the device refuses the work.
pub fn auto_ets(y: &Matrix, forms: &[EtsForm]) -> Result<EtsChoices, KernelError> {
    let mut seasons: Vec<usize> = forms.iter().map(|form| form.season).filter(|&season| season != 1).collect();
    seasons.sort_unstable();
    seasons.dedup();
    expect_len("forms' seasons", seasons.len(), seasons.len().min(1))?;
    expect_len("forms", forms.len(), forms.len().max(1))?;
    let mut forms = forms.to_vec();
    // What others begin from comes first: no trend, and of those the additive error; then that error's trends.
    forms.sort_by_key(|form| (form.trend != Trend::None, form.is_relative()));
    match y {
        Matrix::Cpu(y) => Ok(EtsChoices::Cpu(cpu::auto_ets::auto_ets(y, &forms))),
        Matrix::Wgpu(y) => gpu::auto_ets::auto_ets(y, &forms).map(EtsChoices::Wgpu),
        Matrix::Cuda(y) => gpu::auto_ets::auto_ets(y, &forms).map(EtsChoices::Cuda),
    }
}

#[cfg(test)]
mod tests;
