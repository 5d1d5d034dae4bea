//! Least squares of many series whose coefficients are shrunk and whose noise is unknown.

use crate::{KernelError, cpu};

/// What is believed of the coefficients and of the noise before the data.
#[derive(Clone, Debug)]
pub struct Prior {
    /// Inverse variances of the leading, normal coefficients about zero.
    pub precisions: Vec<f64>,
    /// Scale of the Laplace distribution of each coefficient after those.
    pub laplace_scale: f64,
    /// Scale of the noise's half-normal distribution.
    pub noise_scale: f64,
    /// The least noise that is told apart from none: without it, a series without noise has no optimum.
    pub noise_floor: f64,
}

/// One series' data, reduced to what the objective needs, about a starting point.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Observed values.
    pub count: usize,
    /// Sum of the squared residuals `y - X start`.
    pub square: f64,
}

/// Where the objective of each series is least.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// Coefficients, `[series, p]`.
    pub x: Vec<f64>,
    /// Noise, one a series.
    pub noise: Vec<f64>,
    /// Linear systems solved, one number a series.
    pub solves: Vec<u32>,
    /// Whether a series' iterations ended before their cap.
    pub converged: Vec<bool>,
}

/// Minimises, for each series alone, over coefficients `x` and noise `s` at least the floor,
///
/// `n ln s + |y - X x|^2 / (2 s^2) + sum precision[i] x[i]^2 / 2 + sum |x[j]| / laplace + s^2 / (2 scale^2)`,
///
/// the normal coefficients `i` coming first, the Laplace ones `j` after them.
///
/// - `grams`: `[grams, p, p]`, `X'X` of the series' observed steps; `gram_of` names each series' own.
/// - `moments`, `cross` (`[series, p]`): `n`, `|r|^2` and `X'r` of the residuals `r = y - X start`.
/// - `start`: `[series, p]`. From a start near the optimum nothing cancels: a second call, about the first
///   one's result, gains the digits that a large sum of squares cost the first.
///
/// For a fixed `s` this is a convex problem, solved exactly: the normal coefficients are eliminated, then
/// signs enter one at a time and leave where a coefficient would cross zero. That alternates with `s^2 =
/// 2 RSS / (n + sqrt(n^2 + 4 RSS / scale^2))`, the exact minimum for a fixed `x`, so the objective never rises.
/// About `p^3 / 3` flops an elimination (three or four a series), `k^2` a step of `k` signs. All in `f64`.
///
/// # Errors
/// [`KernelError::Shape`] when an operand is not of the batch's size or `gram_of` names a Gram that is not there.
pub fn shrink(
    prior: &Prior,
    grams: &[f64],
    gram_of: &[usize],
    moments: &[Moments],
    cross: &[f64],
    start: &[f64],
) -> Result<Shrunk, KernelError> {
    let expect = |operand, found, needed| {
        if found == needed { Ok(()) } else { Err(KernelError::Shape { operand, found, needed }) }
    };
    let series = gram_of.len();
    let order = cross.len() / series.max(1);
    expect("cross", cross.len(), order * series)?;
    expect("precisions", prior.precisions.len().max(order), order)?;
    expect("moments", moments.len(), series)?;
    expect("start", start.len(), cross.len())?;
    let count = gram_of.iter().map(|gram| gram + 1).max().unwrap_or(0);
    expect("grams", grams.len().min(count * order * order), count * order * order)?;
    Ok(cpu::shrink::shrink(prior, grams, gram_of, moments, cross, start))
}

#[cfg(test)]
mod tests;
