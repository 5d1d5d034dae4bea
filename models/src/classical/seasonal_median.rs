//! The usual cycle: the median of each place in the season over the latest cycles.
//!
//! It forgets a burst that seasonal naive would repeat, and errs by the median, which is what absolute errors ask for.
//! Source: the window averages of Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., 5.2 and 12,
//! with the median for the mean.

use std::borrow::Cow;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::append::append_each;
use crate::artifact::{Artifact, Kept, Whole, each_is_whole};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// Repeats the median of the latest cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeasonalMedian {
    /// Steps of the season.
    pub season: usize,
}

impl SeasonalMedian {
    /// The latest cycles that are looked at.
    pub const MOST_CYCLES: usize = 14;
    /// Fewer have no median that differs from a mean.
    const LEAST_CYCLES: usize = 3;
}

/// The median cycle of one series, the next step's place first, and how far values lay from it.
#[derive(Clone, Serialize, Deserialize)]
struct Learned {
    cycle: Vec<f64>,
    spread: f64,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct FittedSeasonalMedian {
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl Model for SeasonalMedian {
    fn name(&self) -> String {
        format!("smedian{}", self.season)
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        let learn = |s: usize| learn(window.values(s), self.season.max(1));
        let (status, learned) = (0..window.series_count()).into_par_iter().map(learn).unzip();
        Ok(Box::new(FittedSeasonalMedian { status, learned }))
    }
}

fn learn(values: &[f64], season: usize) -> (FitStatus, Option<Learned>) {
    let observed = values.iter().filter(|v| !v.is_nan()).count();
    if observed == 0 {
        return (FitStatus::NoData, None);
    }
    let cycles = (values.len() / season).min(SeasonalMedian::MOST_CYCLES);
    let recent = &values[values.len() - cycles * season..];
    let median = |place: usize| {
        let mut seen: Vec<f64> = recent.iter().skip(place).step_by(season).copied().filter(|v| !v.is_nan()).collect();
        seen.sort_unstable_by(f64::total_cmp);
        let middle = seen.len() / 2;
        let pair = [seen.get((seen.len().max(1) - 1) / 2)?, seen.get(middle)?];
        Some(pair[0] + 0.5 * (pair[1] - pair[0]))
    };
    let enough = cycles >= SeasonalMedian::LEAST_CYCLES;
    let cycle = if enough { (0..season).map(median).collect::<Option<Vec<f64>>>() } else { None };
    let Some(cycle) = cycle else {
        return (FitStatus::TooShort { observed, needed: SeasonalMedian::LEAST_CYCLES * season }, None);
    };
    let squares = recent.iter().zip(cycle.iter().cycle()).map(|(v, m)| (v - m) * (v - m)).filter(|e| !e.is_nan());
    let (count, sum) = squares.fold((0_usize, 0.0), |(count, sum), e| (count + 1, sum + e));
    let spread = (sum / count.max(1) as f64).sqrt();
    if !spread.is_finite() || cycle.iter().any(|m| !m.is_finite()) {
        return (FitStatus::NotConverged, None);
    }
    let is_constant = values.iter().all(|v| v.is_nan() || *v == cycle[0]);
    (if is_constant { FitStatus::Constant } else { FitStatus::Fitted }, Some(Learned { cycle, spread }))
}

impl Fitted for FittedSeasonalMedian {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "smedian"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::SeasonalMedian(Cow::Borrowed(self))))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        append_each(&mut self.status, &mut self.learned, points, Learned::append)
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let ahead = |learned: &Option<Learned>| {
            let Learned { cycle, spread } = learned.as_ref()?;
            let mean = cycle.iter().cycle().take(horizon.steps()).copied().collect();
            Some((mean, vec![*spread; horizon.steps()]))
        };
        Ok(Forecast::normal(horizon, quantiles, self.learned.iter().map(ahead)))
    }
}

impl Learned {
    /// Takes in one more step; returns the status from then on, `None` where it stays. One value moves a median of many
    /// cycles little: they stay what they are, and the next place comes first.
    fn append(&mut self, value: f64, status: &FitStatus) -> Option<FitStatus> {
        let moved = *status == FitStatus::Constant && !value.is_nan() && value != self.cycle[0];
        self.cycle.rotate_left(1);
        (moved || value.is_infinite()).then_some(FitStatus::Outdated)
    }
}

impl Whole for FittedSeasonalMedian {
    fn is_whole(&self) -> bool {
        let finite = |own: &Learned| own.spread.is_finite() && own.cycle.iter().all(|v| v.is_finite());
        each_is_whole(&self.status, &self.learned, |own| !own.cycle.is_empty() && finite(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Panel;

    fn fit(values: &[f64], season: usize, steps: usize) -> (FitStatus, Vec<f64>) {
        let mut panel = Panel::new(1_000);
        panel.push("series".into(), 0, values);
        let fitted = SeasonalMedian { season }.fit(&panel.window(), 0).unwrap();
        let forecast = fitted.predict(Horizon::new(steps).unwrap(), &Quantiles::standard()).unwrap();
        (fitted.status()[0].clone(), forecast.mean(0).to_vec())
    }

    #[test]
    fn a_burst_is_forgotten_and_a_gap_passed_over() {
        let mut values: Vec<f64> = (0..22).map(|t| f64::from(t % 4)).collect();
        (values[9], values[14]) = (1e30, f64::NAN);
        assert_eq!(fit(&values, 4, 6), (FitStatus::Fitted, vec![2.0, 3.0, 0.0, 1.0, 2.0, 3.0]));
    }

    #[test]
    fn only_the_latest_cycles_count() {
        let old = std::iter::repeat_n(9.0, 100);
        let values: Vec<f64> = old.chain((0..28).map(|t| f64::from(t % 2))).collect();
        assert_eq!(fit(&values, 2, 2).1, [0.0, 1.0]);
    }

    #[test]
    fn what_cannot_be_fitted_says_why() {
        assert_eq!(fit(&[], 4, 1).0, FitStatus::NoData);
        assert_eq!(fit(&[1.0, 2.0, 3.0], 2, 1).0, FitStatus::TooShort { observed: 3, needed: 6 });
        assert_eq!(fit(&[7.0; 9], 3, 2), (FitStatus::Constant, vec![7.0; 2]));
        let bare_place: Vec<f64> = (0..12).map(|t| if t % 4 == 1 { f64::NAN } else { f64::from(t) }).collect();
        assert_eq!(fit(&bare_place, 4, 1).0, FitStatus::TooShort { observed: 9, needed: 12 });
        let (status, mean) = fit(&[1e300, 1.0, -1e300, 2.0, 1e300, 3.0], 2, 2);
        assert!(status == FitStatus::NotConverged && mean.iter().all(|v| v.is_nan()), "its spread overflows");
    }
}
