//! The whole regression of a panel: from values to shrunk coefficients, where the values lie.

use crate::error::expect_len;
use crate::products::{Place, Regressors};
use crate::shrink::{Shrinkage, ShrunkOn, shrink_on};
use crate::{Batch, KernelError, Matrix, Rows, cpu, gpu};

/// Scales of series and where their fits begin.
#[derive(Clone, Debug)]
pub struct Scaled {
    /// The largest magnitude of each series' observed values, `[series, 1]`; 1 where all are zero or none is observed.
    pub scale: Batch,
    /// `[series, p]`: the mean of the observed values, divided by the scale, for the constant, and 0 for all else.
    pub start: Batch,
}

/// What a regression needs of the residuals of series.
#[derive(Clone, Debug)]
pub struct Sums {
    /// Observed values and the sum of their squared residuals, `[series, 2]`.
    pub moments: Batch,
    /// Products of the residuals with the columns, `[series, p]`.
    pub cross: Batch,
}

/// A panel's shrunk regression, of values divided by their scale.
#[derive(Clone, Debug)]
pub struct ShrunkRegression {
    /// Coefficients and noise, in units of the scale.
    pub fit: ShrunkOn,
    /// See [`Scaled::scale`], `[series, 1]`.
    pub scale: Batch,
}

/// The moments of every row: how many of its values are no NaN, and the sum of their squares.
///
/// - `y`: `[rows, width]`, such as residuals of `take_fitted_on`.
/// - Returns `[rows, 2]`, left where it was made. `y` is read once.
///
/// # Errors
/// [`KernelError::Device`] when the device refuses the work.
pub fn row_moments(y: &Batch) -> Result<Batch, KernelError> {
    match y {
        Batch::Cpu(y) => Rows::new(y.count(), 2, cpu::regression::row_moments(y)).map(Batch::Cpu),
        Batch::Wgpu(y) => gpu::regression::row_moments(y).map(Batch::Wgpu),
        Batch::Cuda(y) => gpu::regression::row_moments(y).map(Batch::Cuda),
    }
}

/// The scale of every series, as Prophet's `absmax`, and where its fit begins.
///
/// - `y`: `[steps, series]`. A NaN counts as unobserved, as does a step that the series' layout misses. A series that
///   holds an infinity has NaN for its scale and mean.
/// - `y` is read once.
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Elsewhere`] unless the operands share a batch and a device;
/// [`KernelError::Device`] when the device refuses the work.
pub fn scaled_start(x: &Regressors, y: &Matrix) -> Result<Scaled, KernelError> {
    check(x, y)?;
    let (scale, start) = match (x.place(), y) {
        (Place::Cpu(design, layouts, layout_of), Matrix::Cpu(y)) => {
            let (scale, start) = cpu::regression::scaled_start(design, layouts, layout_of, y);
            (Rows::new(x.series(), 1, scale).map(Batch::Cpu)?, Rows::new(x.series(), x.order(), start).map(Batch::Cpu)?)
        }
        (Place::Wgpu(terms), Matrix::Wgpu(y)) => {
            let (scale, start) = gpu::regression::scaled_start(terms, y)?;
            (Batch::Wgpu(scale), Batch::Wgpu(start))
        }
        (Place::Cuda(terms), Matrix::Cuda(y)) => {
            let (scale, start) = gpu::regression::scaled_start(terms, y)?;
            (Batch::Cuda(scale), Batch::Cuda(start))
        }
        _ => return Err(KernelError::Elsewhere { operand: "y", found: y.kind(), needed: x.kind() }),
    };
    Ok(Scaled { scale, start })
}

/// Moments and products of the residuals `y / scale - X about` over each series' observed steps.
///
/// - `y`: `[steps, series]`, observed as in [`scaled_start`].
/// - `scale`: `[series, 1]`; `about`: `[series, p]`, coefficients of the design's columns and then of the hinges.
///
/// Residuals are taken and added up in `f64` where the device has it, and lie nowhere. On a GPU a unit does a series and
/// reads `y` once: `4 * columns + 12` flops a value, `4` bytes of it, and `16 p` bytes a series.
///
/// # Errors
/// As [`scaled_start`].
pub fn scaled_sums(x: &Regressors, y: &Matrix, scale: &Batch, about: &Batch) -> Result<Sums, KernelError> {
    check(x, y)?;
    scale.expect("scale", x.series(), 1)?;
    about.expect("about", x.series(), x.order())?;
    let (moments, cross) = match (x.place(), y, scale, about) {
        (Place::Cpu(design, layouts, layout_of), Matrix::Cpu(y), Batch::Cpu(scale), Batch::Cpu(about)) => {
            let (scale, about) = (scale.values(), about.values());
            let (moments, cross) = cpu::regression::scaled_sums(design, layouts, layout_of, y, scale, about);
            let rows = |width, values| Rows::new(x.series(), width, values).map(Batch::Cpu);
            (rows(2, moments)?, rows(x.order(), cross)?)
        }
        (Place::Wgpu(terms), Matrix::Wgpu(y), Batch::Wgpu(scale), Batch::Wgpu(about)) => {
            let (moments, cross) = gpu::regression::scaled_sums(terms, y, scale, about)?;
            (Batch::Wgpu(moments), Batch::Wgpu(cross))
        }
        (Place::Cuda(terms), Matrix::Cuda(y), Batch::Cuda(scale), Batch::Cuda(about)) => {
            let (moments, cross) = gpu::regression::scaled_sums(terms, y, scale, about)?;
            (Batch::Cuda(moments), Batch::Cuda(cross))
        }
        _ => {
            let kinds = [("y", y.kind()), ("scale", scale.kind()), ("about", about.kind())];
            let (operand, found) =
                kinds.into_iter().find(|(_, kind)| *kind != x.kind()).expect("one lies elsewhere, or all were matched");
            return Err(KernelError::Elsewhere { operand, found, needed: x.kind() });
        }
    };
    Ok(Sums { moments, cross })
}

/// Regresses every series of a panel, its values divided by their scale, as [`crate::shrink::shrink`] does.
///
/// - `x`: the columns, and the layout of each series.
/// - `problem`: the prior, and the Gram matrix of each series' layout.
/// - `y`: `[steps, series]`, observed as in [`scaled_start`].
///
/// Two rounds: the second, about the first one's result, gives back the digits that a large level and sum of squares
/// took. It is one chain where the panel lies: `y` is read three times, nothing crosses the bus. Source: Taylor and
/// Letham, *Forecasting at scale*, The American Statistician 72(1), 2018, 3.1 and 3.2; `absmax` as in Prophet 1.1.
///
/// A series without an observed value has what the prior alone says: zeros, and the noise's floor. One that holds an
/// infinity has NaN for its coefficients on a GPU, as in [`shrink_on`], and did not converge.
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Elsewhere`] unless the operands share a batch and a device;
/// [`KernelError::Device`] when the device refuses the work.
pub fn shrunk_regression(x: &Regressors, problem: &Shrinkage, y: &Matrix) -> Result<ShrunkRegression, KernelError> {
    let Scaled { scale, start } = scaled_start(x, y)?;
    let round = |about: &Batch| {
        let Sums { moments, cross } = scaled_sums(x, y, &scale, about)?;
        shrink_on(problem, &moments, &cross, about)
    };
    let first = round(&start)?;
    let fit = round(&first.x)?;
    Ok(ShrunkRegression { fit, scale })
}

fn check(x: &Regressors, y: &Matrix) -> Result<(), KernelError> {
    expect_len("y (steps)", y.steps(), x.steps())?;
    expect_len("y (series)", y.series(), x.series())
}

#[cfg(test)]
mod tests;
