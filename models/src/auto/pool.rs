//! Which families are tried on which series.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foreshadow_kernels::Trend;
use rayon::prelude::*;

use crate::classical::{
    Card, CustomProphet, Drift, Ets, LowRankRidge, Mstl, Naive, SeasonalAr, SeasonalMedian, SeasonalNaive, Theta,
};
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
/// Steps that smoothing is shown at least, and without a season: older ones weigh nothing.
const LEVEL_LOOKBACK: usize = 1_000;

/// CPU time that a series' fits may take in one run, in nanoseconds: its dearest families are left out until they fit.
const BUDGET_NS: usize = 60_000_000;

/// CPU time of one fit for each step shown, in nanoseconds, in batches on one AVX2 core at 3 GHz; all are linear in the
/// steps. They decide what a series can afford and are never measured as it runs: the same series gets the same families
/// on every machine.
mod cost {
    pub(super) const MEDIAN: usize = 30;
    pub(super) const CARRIED: usize = 30;
    pub(super) const LEVEL: usize = 130;
    pub(super) const DAMPED_LEVEL: usize = 420;
    pub(super) const THETA: usize = 100;
    pub(super) const SMOOTHED: usize = 270;
    pub(super) const DAMPED: usize = 1_000;
    pub(super) const LOESS: usize = 1_000;
    pub(super) const CARD: usize = 200;
    pub(super) const RIDGE: usize = 270;
    pub(super) const PROPHET: usize = 100;
}

/// A family and the series it is tried on.
pub(super) struct Candidate {
    pub model: Arc<dyn Model>,
    pub members: Vec<usize>,
    /// Steps before a cutoff that it is shown.
    pub lookback: usize,
    /// One of the naive families: the floor, which a series falls back on.
    pub floor: bool,
    /// See [`cost`]; nothing for the floor.
    step_ns: usize,
}

impl Candidate {
    fn floor(model: impl Model + 'static, members: Vec<usize>) -> Self {
        Self { model: Arc::new(model), members, lookback: usize::MAX, floor: true, step_ns: 0 }
    }

    fn learned(model: impl Model + 'static, members: Vec<usize>, lookback: usize, step_ns: usize) -> Self {
        Self { model: Arc::new(model), members, lookback, floor: false, step_ns }
    }

    /// CPU time of one fit of a series of `length` steps, in nanoseconds.
    fn fit_ns(&self, length: usize) -> usize {
        self.step_ns * length.min(self.lookback)
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
        Self { tried, confirmed, shown, folded, smoothed, main }
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
        Some(carried).filter(|carried| !carried.is_empty())
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
pub(super) fn candidates(seasons: &[Seasons], prophet: &CustomProphet) -> Vec<Candidate> {
    let all: Vec<usize> = (0..seasons.len()).collect();
    let mut pool = vec![Candidate::floor(Naive, all.clone()), Candidate::floor(Drift, all.clone())];
    for (season, members) in grouped(seasons, |own| own.tried.clone()) {
        pool.push(Candidate::floor(SeasonalNaive { season }, members));
    }
    for (season, members) in grouped(seasons, |own| own.tried.clone()) {
        pool.push(Candidate::learned(SeasonalAr { season }, members, usize::MAX, cost::CARRIED));
    }
    for (season, members) in grouped(seasons, |own| own.folded.clone()) {
        let lookback = SeasonalMedian::MOST_CYCLES * season;
        pool.push(Candidate::learned(SeasonalMedian { season }, members, lookback, cost::MEDIAN));
    }
    for (trend, step_ns) in [(Trend::None, cost::LEVEL), (Trend::Damped, cost::DAMPED_LEVEL)] {
        pool.push(Candidate::learned(Ets::new(trend, 1), all.clone(), LEVEL_LOOKBACK, step_ns));
    }
    pool.push(Candidate::learned(Theta::dot(1), all.clone(), LEVEL_LOOKBACK, cost::THETA));
    for (season, members) in grouped(seasons, |own| own.smoothed.clone()) {
        let lookback = (SMOOTHED_PERIODS * season).max(LEVEL_LOOKBACK);
        pool.push(Candidate::learned(Theta::dot(season), members.clone(), lookback, cost::THETA));
        for (trend, step_ns) in [(Trend::None, cost::SMOOTHED), (Trend::Damped, cost::DAMPED)] {
            pool.push(Candidate::learned(Ets::new(trend, season), members.clone(), lookback, step_ns));
        }
    }
    for (carried, members) in grouped(seasons, Seasons::decomposed) {
        pool.push(Candidate::learned(Mstl::new(&carried), members, usize::MAX, cost::LOESS));
    }
    for ((season, longer), members) in grouped(seasons, |own| [own.paired()]) {
        let lookback = (SMOOTHED_PERIODS * season.max(longer)).max(LEVEL_LOOKBACK);
        pool.push(Candidate::learned(Card::new(season, longer), members, lookback, cost::CARD));
    }
    for (season, members) in grouped(seasons, |own| own.folded.clone()) {
        pool.push(Candidate::learned(LowRankRidge { season }, members, usize::MAX, cost::RIDGE));
    }
    // What drives a series may do so without a season.
    let driven = !prophet.config().regressors.is_empty();
    let bent = (0..seasons.len()).filter(|&s| driven || !seasons[s].folded.is_empty()).collect();
    pool.push(Candidate::learned(prophet.clone(), bent, usize::MAX, cost::PROPHET));
    pool
}

/// Adds families that are asked for by name, each on all series; one that is in the pool loses none to its cost.
pub(super) fn join(pool: &mut Vec<Candidate>, families: impl Iterator<Item = Arc<dyn Model>>, series_count: usize) {
    for model in families {
        let members: Vec<usize> = (0..series_count).collect();
        match pool.iter_mut().find(|own| own.model.name() == model.name()) {
            Some(own) => own.members = members,
            None => pool.push(Candidate { model, members, lookback: usize::MAX, floor: false, step_ns: 0 }),
        }
    }
}

/// Takes the dearest families away from each series that cannot afford all of them at every one of its `fits`. A series
/// has `length` steps.
pub(super) fn afford(pool: &mut [Candidate], length: impl Fn(usize) -> usize, fits: impl Fn(usize) -> usize) {
    let series_count = pool[0].members.len();
    let mut refused: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); pool.len()];
    for s in 0..series_count {
        let tried = (0..pool.len()).filter(|&c| pool[c].members.binary_search(&s).is_ok());
        let mut costs: Vec<(usize, usize)> = tried.map(|c| (pool[c].fit_ns(length(s)), c)).collect();
        costs.sort_unstable();
        let mut total: usize = costs.iter().map(|(ns, _)| ns).sum();
        while total * fits(s) > BUDGET_NS
            && let Some((ns, candidate)) = costs.pop().filter(|(ns, _)| *ns > 0)
        {
            total -= ns;
            refused[candidate].insert(s);
        }
    }
    for (candidate, refused) in pool.iter_mut().zip(refused) {
        candidate.members.retain(|s| !refused.contains(s));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_gives_up_its_dearest_families_first_and_no_neighbour_does() {
        let wave = |day: usize, days: usize| -> Vec<f64> {
            (0..day * days).map(|t| (t as f64 / day as f64 * std::f64::consts::TAU).sin()).collect()
        };
        let (short, long) = (wave(24, 40), wave(24, 400));
        let lengths = [short.len(), long.len()];
        let seasons = [Seasons::of(&short, &[24, 168]), Seasons::of(&long, &[24, 168])];
        let mut pool = candidates(&seasons, &CustomProphet::default());
        let before: Vec<Vec<usize>> = pool.iter().map(|c| c.members.clone()).collect();
        afford(&mut pool, |s| lengths[s], |_| 15);
        for (candidate, before) in pool.iter().zip(before) {
            let dear = candidate.fit_ns(lengths[1]) > 2_000_000;
            let kept: Vec<usize> = before.into_iter().filter(|s| *s == 0 || !dear).collect();
            assert_eq!(candidate.members, kept, "{}", candidate.model.name());
        }
        let spent: usize = pool.iter().filter(|c| c.members.contains(&1)).map(|c| c.fit_ns(lengths[1])).sum();
        assert!(15 * spent <= BUDGET_NS && pool.iter().any(|c| !c.members.contains(&1)));
    }
}
