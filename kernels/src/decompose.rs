//! Trend, several seasons and a remainder by repeated STL, all series at once.

use self::loess::{Loess, Smoother};
use crate::{KernelError, Matrix, cpu, gpu};

pub(crate) mod loess;

/// Times each season is estimated anew, once the others are known better.
const ROUNDS: usize = 2;

/// Alternations of season and trend in one STL: what its authors advise without robustness weights.
pub(crate) const INNER_ROUNDS: usize = 5;

/// What a batch is the sum of, each part `[steps, series]` in the unit of `y`.
#[derive(Clone, Debug)]
pub struct Decomposition {
    /// The slow part, known at every step.
    pub trend: Matrix,
    /// One part for each season, known at every step.
    pub seasons: Vec<Matrix>,
    /// What is left; NaN where `y` is.
    pub remainder: Matrix,
}

/// The batch without its seasons, trend and remainder together, left where it lies; NaN where `y` is.
///
/// # Errors
/// [`KernelError::Elsewhere`] when the parts do not share a device; [`KernelError::Device`] when it refuses the work.
pub fn without_seasons(parts: &Decomposition) -> Result<Matrix, KernelError> {
    match (&parts.trend, &parts.remainder) {
        (Matrix::Cpu(trend), Matrix::Cpu(rest)) => Ok(Matrix::Cpu(cpu::decompose::without_seasons(trend, rest))),
        (Matrix::Wgpu(trend), Matrix::Wgpu(rest)) => gpu::decompose::without_seasons(trend, rest).map(Matrix::Wgpu),
        (Matrix::Cuda(trend), Matrix::Cuda(rest)) => gpu::decompose::without_seasons(trend, rest).map(Matrix::Cuda),
        (trend, rest) => {
            Err(KernelError::Elsewhere { operand: "the remainder", found: rest.kind(), needed: trend.kind() })
        }
    }
}

/// Splits every series into a trend, its seasons and a remainder.
///
/// Each season in turn is estimated by STL on the series without the other seasons, twice over (once where
/// there is one season alone); the trend is the last STL's. An STL alternates five times between the season
/// (a mean over the cycles near by, weighted by their distance, less what a low-pass filter leaves of it) and
/// the trend (a local line). Windows are fixed: season `i` of the list, from 1, looks at `7 + 4 i` cycles, the
/// others follow from that as STL's authors advise.
///
/// Without gaps this is one linear map that every series shares, so its weights are made once. A series with
/// gaps has weights of its own: each local fit takes as many *observed* steps as its window is long, the
/// nearest ones, which is what loess means by a window; without gaps it is the same numbers.
///
/// - `y`: `[steps, series]`, standardised; NaN where unobserved. A series of which some slot of a season was
///   never observed comes back as NaN throughout.
/// - `seasons`: rising, each of at least two steps, the longest at most half of `steps`.
///
/// In `f32`; the CPU does a series with gaps in `f64`. The work is about `10 (trend + low-pass window)`
/// multiplications a step. A GPU makes the whole map of a grid of up to some thousand steps, from the parts of an impulse
/// at each of them; a series without gaps then takes a multiplication a part and step for each step, one pass over
/// memory in all. Which way a series goes is a matter of its steps, its seasons and its gaps alone, never of the batch.
/// A GPU's host is told which series have gaps, four bytes each, and nothing else crosses the bus.
/// Source: Bandara, Hyndman and Bergmeir, arXiv 2107.13462; Cleveland, Cleveland, McRae and Terpenning,
/// *STL: a seasonal-trend decomposition procedure based on loess*, Journal of Official Statistics 6, 1990.
/// The season is smoothed by local constants and not by lines, as statsforecast's MSTL does.
///
/// # Errors
/// [`KernelError::Shape`] for seasons that do not rise or do not fit twice into the steps;
/// [`KernelError::Device`] when the device refuses the work.
pub fn decompose(y: &Matrix, seasons: &[usize]) -> Result<Decomposition, KernelError> {
    let rising = seasons.windows(2).all(|pair| pair[0] < pair[1]);
    let Some((&shortest, &longest)) = seasons.first().zip(seasons.last()).filter(|_| rising) else {
        return Err(KernelError::Shape { operand: "rising seasons", found: seasons.len(), needed: 1 });
    };
    if shortest < 2 {
        return Err(KernelError::Shape { operand: "season", found: shortest, needed: 2 });
    }
    if y.steps() < 2 * longest {
        return Err(KernelError::Shape { operand: "series", found: y.steps(), needed: 2 * longest });
    }
    let stls: Vec<Stl> = seasons.iter().enumerate().map(|(i, &season)| Stl::new(season, i, y.steps())).collect();
    match y {
        Matrix::Cpu(y) => Ok(cpu::decompose::decompose(y, &stls).wrapped(Matrix::Cpu)),
        Matrix::Wgpu(y) => gpu::decompose::decompose(y, &stls).map(|parts| parts.wrapped(Matrix::Wgpu)),
        Matrix::Cuda(y) => gpu::decompose::decompose(y, &stls).map(|parts| parts.wrapped(Matrix::Cuda)),
    }
}

/// The parts where they lie.
pub(crate) struct Parts<T> {
    pub(crate) trend: T,
    pub(crate) seasons: Vec<T>,
    pub(crate) remainder: T,
}

impl<T> Parts<T> {
    fn wrapped(self, wrap: impl Fn(T) -> Matrix) -> Decomposition {
        Decomposition {
            trend: wrap(self.trend),
            seasons: self.seasons.into_iter().map(&wrap).collect(),
            remainder: wrap(self.remainder),
        }
    }
}

/// Rounds over this many seasons: the first season of one alone has nothing to wait for.
pub(crate) fn rounds(seasons: usize) -> usize {
    if seasons == 1 { 1 } else { ROUNDS }
}

/// Outputs that a running sum of so many values goes through before it starts anew: an `f32` sum then takes as
/// many roundings as it has terms, or a few dozen.
pub(crate) fn segment(width: usize) -> usize {
    width.max(64)
}

/// The smoothers of one season's STL on a grid of steps.
pub(crate) struct Stl {
    pub(crate) season: usize,
    pub(crate) windows: Windows,
    /// Over the cycles of one slot, from the cycle before the first to the one after the last: of the slots
    /// that have a cycle more than the others, then of the others.
    pub(crate) cycles: [Smoother; 2],
    /// Over all steps.
    pub(crate) low_pass: Smoother,
    /// Over all steps.
    pub(crate) trend: Smoother,
}

impl Stl {
    pub(crate) fn new(season: usize, index: usize, steps: usize) -> Self {
        let windows = Windows::new(season, index);
        let cycle = |count: usize| Smoother::past_both_ends(&windows.season_loess(count));
        Self {
            season,
            cycles: [cycle(steps / season + 1), cycle(steps / season)],
            low_pass: Smoother::of_grid(&Loess { window: windows.low_pass, degree: 1, steps }),
            trend: Smoother::of_grid(&windows.trend_loess(steps)),
            windows,
        }
    }

    /// Slots that have a cycle more than the others.
    pub(crate) fn longer_slots(&self, steps: usize) -> usize {
        steps % self.season
    }
}

/// Lengths of an STL's windows, all odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Windows {
    /// In cycles.
    pub(crate) season: usize,
    /// In steps.
    pub(crate) trend: usize,
    /// In steps.
    pub(crate) low_pass: usize,
}

impl Windows {
    /// Windows of the season of this index, from 0.
    pub(crate) fn new(season: usize, index: usize) -> Self {
        let cycles = 7 + 4 * (index + 1);
        // STL's authors: long enough that the trend takes up nothing of the season's smoothing.
        let trend = (1.5 * season as f64 / (1.0 - 1.5 / cycles as f64)).ceil() as usize;
        Self { season: cycles, trend: trend | 1, low_pass: (season + 1) | 1 }
    }

    /// The season's smoother on a subseries of so many cycles.
    pub(crate) fn season_loess(&self, cycles: usize) -> Loess {
        Loess { window: self.season, degree: 0, steps: cycles }
    }

    /// The trend's smoother on so many steps.
    pub(crate) fn trend_loess(&self, steps: usize) -> Loess {
        Loess { window: self.trend, degree: 1, steps }
    }
}

#[cfg(test)]
mod tests;
