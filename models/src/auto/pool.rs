//! Which families are tried on which series.

use std::collections::{BTreeMap, BTreeSet};

use foreshadow_kernels::Trend;
use rayon::prelude::*;

use crate::classical::{Card, Drift, Ets, LowRankRidge, Mstl, Naive, Prophet, SeasonalMedian, SeasonalNaive, Theta};
use crate::season::{calendar, detect};
use crate::{Model, Window};

/// Most seasons of a series that the calendar does not know.
const MAX_FOUND: usize = 2;
/// Periods that a series must hold to be taken apart by a season.
const MIN_SHOWN: usize = 3;
/// Periods that a series must hold to be folded by a season.
const MIN_PERIODS: usize = 6;
/// The longest season that exponential smoothing takes part with, and the periods it is shown.
const MAX_SMOOTHED: usize = 288;
const SMOOTHED_PERIODS: usize = 8;
/// Steps from which a series gets fewer folds, and is not taken apart by loess: that costs as much as all else.
pub(super) const LONG: usize = 2_500;
/// Steps that smoothing is shown at least, and without a season: older ones weigh nothing.
const LEVEL_LOOKBACK: usize = 1_000;

/// A family and the series it is tried on.
pub(super) struct Candidate {
    pub model: Box<dyn Model>,
    pub members: Vec<usize>,
    /// Steps before a cutoff that it is shown.
    pub lookback: usize,
    /// One of the naive families: the floor, which a series falls back on.
    pub floor: bool,
}

impl Candidate {
    fn floor(model: impl Model + 'static, members: Vec<usize>) -> Self {
        Self { model: Box::new(model), members, lookback: usize::MAX, floor: true }
    }

    fn learned(model: impl Model + 'static, members: Vec<usize>, lookback: usize) -> Self {
        Self { model: Box::new(model), members, lookback, floor: false }
    }
}

/// The seasons of one series, in steps.
#[derive(Clone, Debug, Default)]
pub(super) struct Seasons {
    /// Every season it is forecast with, rising: the calendar's that the series holds, and what was found
    /// besides.
    pub tried: Vec<usize>,
    /// The confirmed ones, the most correlated first.
    pub confirmed: Vec<usize>,
    /// Those of the tried ones that the series shows three times, rising.
    pub shown: Vec<usize>,
    /// Those that it holds often enough to be folded by, rising.
    pub folded: Vec<usize>,
    /// The main season where exponential smoothing can afford it, else none.
    pub smoothed: Vec<usize>,
    /// See [`Self::main`].
    main: usize,
    /// Steps of the series.
    length: usize,
}

impl Seasons {
    fn of(values: &[f64], calendar: &[usize]) -> Self {
        let confirmed: Vec<usize> = detect(values, calendar).iter().map(|season| season.steps).collect();
        let known = calendar.iter().copied().filter(|steps| *steps <= values.len());
        let found = confirmed.iter().copied().filter(|steps| !calendar.contains(steps)).take(MAX_FOUND);
        let tried: Vec<usize> = BTreeSet::from_iter(known.chain(found)).into_iter().collect();
        let shown = tried.iter().copied().filter(|steps| MIN_SHOWN * steps <= values.len()).collect();
        let folded = tried.iter().copied().filter(|steps| MIN_PERIODS * steps <= values.len()).collect();
        let shortest = |known: bool| confirmed.iter().filter(|steps| calendar.contains(steps) == known).min();
        let main = shortest(true).or(shortest(false)).or(tried.first()).copied().unwrap_or(1);
        let smoothed = Some(main).filter(|main| (2..=MAX_SMOOTHED).contains(main)).into_iter().collect();
        Self { tried, confirmed, shown, folded, smoothed, main, length: values.len() }
    }

    /// The season that folds keep in step with and errors are measured against: the shortest confirmed one of the
    /// calendar, else the shortest confirmed one, else the shortest tried one, else a single step.
    pub(super) fn main(&self) -> usize {
        self.main
    }

    /// The seasons that loess takes the series apart by, where it may.
    fn decomposed(&self) -> Option<Vec<usize>> {
        let carried = |steps: &usize| (2..=MAX_SMOOTHED).contains(steps);
        let carried: Vec<usize> = self.shown.iter().copied().filter(carried).collect();
        Some(carried).filter(|carried| !carried.is_empty() && self.length < LONG)
    }

    /// The season that is smoothed and the next longer one that holds it whole, each 1 for none.
    fn paired(&self) -> (usize, usize) {
        let season = self.smoothed.first().copied().unwrap_or(1);
        let longer = |longer: &usize| season > 1 && *longer > season && longer.is_multiple_of(season);
        (season, self.shown.iter().copied().find(longer).unwrap_or(1))
    }
}

/// The seasons of every series, each from its own values.
pub(super) fn seasons(window: &Window<'_>) -> Vec<Seasons> {
    let calendar = calendar(window.step_ms());
    (0..window.series_count()).into_par_iter().map(|s| Seasons::of(window.values(s), &calendar)).collect()
}

/// Every candidate, from simple to complex; the first is [`Naive`] on every series.
pub(super) fn candidates(seasons: &[Seasons]) -> Vec<Candidate> {
    let all: Vec<usize> = (0..seasons.len()).collect();
    let mut pool = vec![Candidate::floor(Naive, all.clone()), Candidate::floor(Drift, all.clone())];
    for (season, members) in grouped(seasons, |own| own.tried.clone()) {
        pool.push(Candidate::floor(SeasonalNaive { season }, members));
    }
    for (season, members) in grouped(seasons, |own| own.folded.clone()) {
        let lookback = SeasonalMedian::MOST_CYCLES * season;
        pool.push(Candidate::learned(SeasonalMedian { season }, members, lookback));
    }
    for trend in [Trend::None, Trend::Damped] {
        pool.push(Candidate::learned(Ets::new(trend, 1), all.clone(), LEVEL_LOOKBACK));
    }
    pool.push(Candidate::learned(Theta::dot(1), all.clone(), LEVEL_LOOKBACK));
    for (season, members) in grouped(seasons, |own| own.smoothed.clone()) {
        let lookback = (SMOOTHED_PERIODS * season).max(LEVEL_LOOKBACK);
        pool.push(Candidate::learned(Theta::dot(season), members.clone(), lookback));
        for trend in [Trend::None, Trend::Damped] {
            pool.push(Candidate::learned(Ets::new(trend, season), members.clone(), lookback));
        }
    }
    for (carried, members) in grouped(seasons, Seasons::decomposed) {
        pool.push(Candidate::learned(Mstl::new(&carried), members, usize::MAX));
    }
    for ((season, longer), members) in grouped(seasons, |own| [own.paired()]) {
        let lookback = (SMOOTHED_PERIODS * season.max(longer)).max(LEVEL_LOOKBACK);
        pool.push(Candidate::learned(Card::new(season, longer), members, lookback));
    }
    for (season, members) in grouped(seasons, |own| own.folded.clone()) {
        pool.push(Candidate::learned(LowRankRidge { season }, members, usize::MAX));
    }
    let seasonal = (0..seasons.len()).filter(|&s| !seasons[s].folded.is_empty()).collect();
    pool.push(Candidate::learned(Prophet, seasonal, usize::MAX));
    pool
}

/// The series of each key, keys rising.
fn grouped<K: Ord, Keys: IntoIterator<Item = K>>(
    seasons: &[Seasons],
    keys: impl Fn(&Seasons) -> Keys,
) -> BTreeMap<K, Vec<usize>> {
    let mut members: BTreeMap<K, Vec<usize>> = BTreeMap::new();
    for (series, own) in seasons.iter().enumerate() {
        for key in keys(own) {
            members.entry(key).or_default().push(series);
        }
    }
    members
}
