//! The likeliest ETS form of each series, searched where the series lie.

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;

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
    /// `None` where no form fits the series, or no search settled.
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
    /// Its weights.
    pub smoothing: Smoothing,
    /// Its start, as in [`crate::ets_gradient`], of the standardised series.
    pub start: Vec<f64>,
}

impl EtsEnd {
    /// From the shares of their ranges that the weights take.
    pub(crate) fn of_place(
        form: EtsForm,
        aicc: f64,
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
        Self { form, aicc, smoothing, start }
    }
}

/// Fits every admissible ETS form to every series and keeps the likeliest of each, by AICc.
///
/// - `y`: `[steps, series]` in any unit; NaN where unobserved. It is standardised as it is read: in `f64`, or in
///   `f32` on a device that has no other, which is right to about a hundredth of a nat.
/// - `season`: steps in a season; 1 for none.
///
/// On a GPU a unit has a series and looks at one place a launch: the recursion forth and its adjoint back, which
/// keeps the errors of every step (and, where it asks for them, slopes, levels and seasons), so at least 12 bytes a
/// step, 50 multiplications, and as many launches as the slowest search has places. Weights and start are
/// searched together. Nothing is downloaded before [`EtsChoices::to_host`].
/// Source: Hyndman and Khandakar, *Automatic time series forecasting: the forecast package for R*, J. Stat. Soft.
/// 27(3), 2008, for the forms and the criterion.
///
/// # Errors
/// [`KernelError::Shape`] for a season of no steps; [`KernelError::Device`] when the device refuses the work.
pub fn auto_ets(y: &Matrix, season: usize) -> Result<EtsChoices, KernelError> {
    crate::error::expect_len("season", season, season.max(1))?;
    match y {
        Matrix::Cpu(y) => Ok(EtsChoices::Cpu(cpu::auto_ets::auto_ets(y, season))),
        Matrix::Wgpu(y) => gpu::auto_ets::auto_ets(y, season).map(EtsChoices::Wgpu),
        Matrix::Cuda(y) => gpu::auto_ets::auto_ets(y, season).map(EtsChoices::Cuda),
    }
}

#[cfg(test)]
mod tests;
