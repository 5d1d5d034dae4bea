//! Delta: a series goes on by its own growth rates.

use serde::{Deserialize, Serialize};

use super::pretests::{Pretests, cycle_means, places_differ, variance};
use crate::transform::mean;

/// Squared changes of the means of whole seasons under this share of their variance: they wander.
const MEANS_WANDER: f64 = 0.9;
/// Seasons whose means must be there to tell.
const MEANS: usize = 4;
/// Weights of the latest seasons: of changes as published, of values as published, and of longer seasons, of which
/// a history holds few.
const OF_CHANGES: [f64; 4] = [1.0, 2.0, 3.0, 9.0];
const OF_VALUES: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 20.0];
const OF_LONGER: [f64; 4] = [1.0, 2.0, 3.0, 4.0];
/// Seasons that are recent.
const RECENT: usize = 6;

/// What Delta learned of a series.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Growth {
    /// Where the forecast starts.
    base: f64,
    /// Growth of the first step, and of each later one.
    first: f64,
    then: f64,
    /// What each place of the season adds to that, the next step's place first.
    season: Vec<f64>,
    /// Standard deviation of its errors a step ahead.
    spread: f64,
    /// Whether errors add up over the steps.
    adds_up: bool,
}

impl Growth {
    pub(super) fn learn(x: &[f64], tests: &Pretests) -> Self {
        let season = tests.seasons.season;
        let goes_on = if season == 1 { tests.wanders } else { tests.wanders && means_wander(x, season) };
        if goes_on { Self::from_last(x, tests) } else { Self::from_means(x, tests) }
    }

    /// From the last value on, by the recent seasons' changes and a damped trend.
    fn from_last(x: &[f64], tests: &Pretests) -> Self {
        let (season, z) = (tests.seasons.season, &tests.changes);
        let own = if tests.seasonal { weighted_season(z, season, &OF_CHANGES) } else { vec![0.0] };
        let (first, then) = if tests.seasonal {
            trend(x, &cycle_means(z, season), season, RECENT)
        } else {
            trend(x, z, season, RECENT.max(season))
        };
        let left: Vec<f64> = from_end(z, &own).collect();
        let mut risen = 0.0;
        let mut add = |change: &f64| {
            risen += change;
            risen
        };
        let risen = own.iter().map(&mut add).collect();
        Self { base: x[x.len() - 1], first, then, season: risen, spread: variance(&left).sqrt(), adds_up: true }
    }

    /// From the mean of the last season and of the last six, by the recent seasons' values.
    fn from_means(x: &[f64], tests: &Pretests) -> Self {
        let super::CardSeasons { season, longer } = tests.seasons;
        let own = if places_differ(x, longer) {
            weighted_season(x, longer, &OF_LONGER)
        } else if season > 1 && (tests.seasonal || places_differ(x, season)) {
            weighted_season(x, season, &OF_VALUES)
        } else {
            vec![0.0]
        };
        let left: Vec<f64> = from_end(x, &own).collect();
        let means = cycle_means(&left, season);
        let recent = mean(&means[means.len().saturating_sub(RECENT)..]);
        let base = 0.5 * (means[means.len() - 1] + recent);
        Self { base, first: 0.0, then: 0.0, season: own, spread: variance(&left).sqrt(), adds_up: false }
    }

    /// Lets a step pass that brought a value, or NaN where nobody saw one.
    pub(super) fn pass(&mut self, value: f64) {
        let passed = self.season[0];
        self.season.rotate_left(1);
        if self.adds_up {
            // Such a season counts from the base.
            self.season.iter_mut().for_each(|place| *place -= passed);
            self.base = if value.is_nan() { self.base + self.first + passed } else { value };
        }
        self.first = self.then;
    }

    /// Whether it may have been learned.
    pub(super) fn is_whole(&self) -> bool {
        let numbers = [self.base, self.first, self.then, self.spread];
        !self.season.is_empty() && numbers.iter().chain(&self.season).all(|v| v.is_finite())
    }

    /// Mean and standard deviation of the next steps.
    pub(super) fn ahead(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let grown = |step: usize| self.base + self.first + step as f64 * self.then;
        let mean = (0..steps).map(|step| grown(step) + self.season[step % self.season.len()]).collect();
        let widened = |step: usize| if self.adds_up { ((step + 1) as f64).sqrt() } else { 1.0 };
        (mean, (0..steps).map(|step| self.spread * widened(step)).collect())
    }
}

/// Whether the means of whole seasons stay near the one before rather than near them all.
fn means_wander(x: &[f64], season: usize) -> bool {
    let means = cycle_means(x, season);
    if means.len() < MEANS {
        return true;
    }
    let squared = means.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum::<f64>() / (means.len() - 1) as f64;
    squared < MEANS_WANDER * variance(&means)
}

/// The latest seasons' weighted mean, less its own, the step after the last at place 0.
fn weighted_season(z: &[f64], season: usize, weights: &[f64]) -> Vec<f64> {
    let weights = &weights[weights.len().saturating_sub(z.len() / season)..];
    let whole: f64 = weights.iter().sum();
    let mut places = vec![0.0; season];
    for (cycle, weight) in z[z.len() - weights.len() * season..].chunks_exact(season).zip(weights) {
        places.iter_mut().zip(cycle).for_each(|(place, z)| *place += z * weight / whole);
    }
    let centre = mean(&places);
    places.iter_mut().for_each(|place| *place -= centre);
    places
}

/// Values without their season, whose place 0 is that of the step after the last.
fn from_end<'a>(z: &'a [f64], season: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    let first = (season.len() - z.len() % season.len()) % season.len();
    z.iter().zip(season.iter().cycle().skip(first)).map(|(z, place)| z - place)
}

/// Growth of the first step ahead and of the later ones: the smallest of the recent mean, the mean since the
/// beginning, the mean change over a season, and the mean without the largest or the three largest; none where
/// their signs differ.
fn trend(x: &[f64], rates: &[f64], season: usize, recent: usize) -> (f64, f64) {
    let without_largest = |count: usize| {
        let mut sorted = rates.to_vec();
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        sorted.truncate(rates.len().saturating_sub(count));
        if sorted.is_empty() { 0.0 } else { mean(&sorted) }
    };
    let last = x.len() - 1;
    let since_first = (x[last] - x[0]) / last as f64;
    let over_season = if x.len() > season {
        mean(&x[season..].iter().zip(x).map(|(now, before)| now - before).collect::<Vec<_>>()) / season as f64
    } else {
        since_first
    };
    let lately = mean(&rates[rates.len().saturating_sub(recent)..]);
    let damped = smaller(lately, smaller(since_first, over_season));
    (smaller(damped, without_largest(1)), smaller(damped, without_largest(3)))
}

/// The one nearer to 0 of two numbers of one sign, else 0.
fn smaller(a: f64, b: f64) -> f64 {
    if a * b > 0.0 { a.signum() * a.abs().min(b.abs()) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classical::CardSeasons;

    #[test]
    fn a_line_goes_on_and_one_jump_says_nothing() {
        let line: Vec<f64> = (0..40).map(|t| 5.0 + 0.25 * f64::from(t) + if t > 30 { 50.0 } else { 0.0 }).collect();
        let growth = Growth::learn(&line, &Pretests::of(&line, CardSeasons::new(1, 1)));
        let (mean, _) = growth.ahead(4);
        for (step, mean) in mean.iter().enumerate() {
            assert!((mean - (line[39] + 0.25 * (step + 1) as f64)).abs() < 1e-9, "{step}: {mean}");
        }
    }

    #[test]
    fn the_season_of_the_next_step_comes_first() {
        let z: Vec<f64> = (0..11).map(|t| [1.0, 5.0, 3.0, -1.0][t % 4]).collect();
        let season = weighted_season(&z, 4, &OF_CHANGES);
        assert_eq!(season, [-3.0, -1.0, 3.0, 1.0]); // step 11 is at place 3, whose value is 2 under 2
        assert!(from_end(&z, &season).all(|left| (left - 2.0).abs() < 1e-12));
    }

    #[test]
    fn numbers_of_two_signs_cancel() {
        assert_eq!((smaller(2.0, 3.0), smaller(-2.0, -1.0), smaller(1.0, -1.0)), (2.0, -1.0, 0.0));
    }
}
