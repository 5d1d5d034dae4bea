//! One more step of every series of a fit, taken in without fitting anew.

use rayon::prelude::*;

use crate::FitStatus;

/// Series that one task takes a step of: some tens of microseconds.
const TOGETHER: usize = 512;

/// Why a fit could not take in a step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// What it learned is not a state that moves on from step to step: fit it anew.
    #[error("{family} takes no new step in: fit it anew")]
    Refit {
        /// The family.
        family: &'static str,
    },
    /// Not one point a series; nothing was taken in.
    #[error("{given} points for {series_count} series")]
    Points {
        /// Points given.
        given: usize,
        /// Series of the fit.
        series_count: usize,
    },
}

/// That there is one point a series.
pub(crate) fn expect_points(points: &[f64], series_count: usize) -> Result<(), AppendError> {
    let given = points.len();
    if given == series_count { Ok(()) } else { Err(AppendError::Points { given, series_count }) }
}

/// Lets every series that has learned something take its point in. `take` returns the status that the series has from
/// then on, or `None` where it stays; with one that is not usable what it learned is gone.
pub(crate) fn append_each<L: Send>(
    status: &mut [FitStatus],
    learned: &mut [Option<L>],
    points: &[f64],
    take: impl Fn(&mut L, f64, &FitStatus) -> Option<FitStatus> + Sync,
) -> Result<(), AppendError> {
    expect_points(points, status.len())?;
    let series = status.par_iter_mut().zip(learned).zip(points).with_min_len(TOGETHER);
    series.for_each(|((status, learned), point)| {
        if let Some(new) = learned.as_mut().and_then(|own| take(own, *point, status)) {
            if !new.is_usable() {
                *learned = None;
            }
            *status = new;
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests;
