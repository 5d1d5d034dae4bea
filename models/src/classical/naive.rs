//! Naive, drift and seasonal naive: the floor that every other family must beat.
//!
//! Source: Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., 5.2 and 5.5.

use rayon::prelude::*;

use crate::{FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// Every step ahead is the last observed value.
#[derive(Clone, Copy, Debug)]
pub struct Naive;

/// The last observed value and the mean change a step from the first one.
#[derive(Clone, Copy, Debug)]
pub struct Drift;

/// Every step ahead is the last observed value of the same place in the season.
#[derive(Clone, Copy, Debug)]
pub struct SeasonalNaive {
    /// Steps in a season, at least one.
    pub season: usize,
}

impl Model for Naive {
    fn name(&self) -> String {
        "naive".into()
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(FittedNaive::fit(window, 1, false)))
    }
}

impl Model for Drift {
    fn name(&self) -> String {
        "drift".into()
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(FittedNaive::fit(window, 1, true)))
    }
}

impl Model for SeasonalNaive {
    fn name(&self) -> String {
        format!("snaive{}", self.season)
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(FittedNaive::fit(window, self.season, false)))
    }
}

/// What one series left behind.
struct Learned {
    /// The latest value of each place in the season, the next step's place first.
    cycle: Vec<f64>,
    /// Mean change a step.
    slope: f64,
    /// Root mean square of the in-sample errors one season ahead.
    spread: f64,
    /// Steps between first and last observation, which widen a drift's interval.
    span: usize,
}

struct FittedNaive {
    drift: bool,
    status: Vec<FitStatus>,
    learned: Vec<Option<Learned>>,
}

impl FittedNaive {
    fn fit(window: &Window<'_>, season: usize, drift: bool) -> Self {
        let (status, learned) =
            (0..window.series_count()).into_par_iter().map(|s| learn(window.values(s), season, drift)).unzip();
        Self { drift, status, learned }
    }
}

fn learn(values: &[f64], season: usize, drift: bool) -> (FitStatus, Option<Learned>) {
    let observed = values.iter().filter(|v| !v.is_nan()).count();
    let needed = if drift { 2 } else { season };
    if observed == 0 {
        return (FitStatus::NoData, None);
    }
    // A place of the season that was never observed leaves a hole in the cycle.
    let latest = |place: usize| {
        let newest = values.len().checked_sub(season - place)?;
        (0..=newest).rev().step_by(season).map(|t| values[t]).find(|v| !v.is_nan())
    };
    let Some(cycle) = (0..season).map(latest).collect::<Option<Vec<f64>>>().filter(|_| observed >= needed) else {
        return (FitStatus::TooShort { observed, needed }, None);
    };
    let last = values.iter().rposition(|v| !v.is_nan()).expect("observed > 0");
    let slope = if drift { (values[last] - values[0]) / last as f64 } else { 0.0 };
    let errors = values.iter().zip(values.iter().skip(season)).map(|(before, after)| after - before - slope);
    let (count, sum) = errors.filter(|e| !e.is_nan()).fold((0_usize, 0.0), |(n, sum), e| (n + 1, sum + e * e));
    let spread = if count > 0 { (sum / count as f64).sqrt() } else { 0.0 };
    let first = values[0]; // a window starts at an observed step
    let constant = values.iter().all(|v| v.is_nan() || *v == first);
    let status = if constant { FitStatus::Constant } else { FitStatus::Fitted };
    // A window may end unobserved: drift goes on from the last observation through that gap.
    let gap = (values.len() - 1 - last) as f64;
    let cycle = if drift { vec![cycle[0] + slope * gap] } else { cycle };
    (status, Some(Learned { cycle, slope, spread, span: last }))
}

impl Fitted for FittedNaive {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.learned.len(), horizon, quantiles.clone());
        for (s, learned) in self.learned.iter().enumerate() {
            let Some(learned) = learned else { continue };
            let season = learned.cycle.len();
            let mean: Vec<f64> = (0..horizon.steps())
                .map(|step| learned.cycle[step % season] + learned.slope * (step + 1) as f64)
                .collect();
            // FPP3 table 5.2: variance grows with the seasons ahead, and for drift with the span too.
            forecast.set_normal(s, &mean, |step| {
                let ahead = if self.drift { (step + 1) as f64 } else { (step / season + 1) as f64 };
                let from_slope = if self.drift { 1.0 + ahead / learned.span.max(1) as f64 } else { 1.0 };
                learned.spread * (ahead * from_slope).sqrt()
            });
        }
        Ok(forecast)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Panel;

    fn fit(model: &dyn Model, values: &[f64]) -> (FitStatus, Vec<f64>) {
        let mut panel = Panel::new(1_000);
        panel.push("a".into(), 0, values);
        let fitted = model.fit(&panel.window(), 0).unwrap();
        let forecast = fitted.predict(Horizon::new(4).unwrap(), &Quantiles::standard()).unwrap();
        (fitted.status()[0].clone(), forecast.mean(0).to_vec())
    }

    #[test]
    fn each_repeats_what_its_name_says() {
        let values = [1.0, 5.0, 3.0, 7.0];
        assert_eq!(fit(&Naive, &values), (FitStatus::Fitted, vec![7.0; 4]));
        assert_eq!(fit(&Drift, &values), (FitStatus::Fitted, vec![9.0, 11.0, 13.0, 15.0]));
        assert_eq!(fit(&SeasonalNaive { season: 2 }, &values), (FitStatus::Fitted, vec![3.0, 7.0, 3.0, 7.0]));
    }

    #[test]
    fn a_gap_takes_the_latest_observation_of_the_same_place() {
        let values = [1.0, 5.0, f64::NAN, 7.0];
        assert_eq!(fit(&SeasonalNaive { season: 2 }, &values).1, [1.0, 7.0, 1.0, 7.0]);
    }

    #[test]
    fn too_short_constant_and_empty_are_told_apart() {
        assert_eq!(fit(&SeasonalNaive { season: 3 }, &[1.0, 2.0]).0, FitStatus::TooShort { observed: 2, needed: 3 });
        assert_eq!(fit(&Naive, &[2.0, 2.0]).0, FitStatus::Constant);
        assert_eq!(fit(&Naive, &[f64::NAN]).0, FitStatus::NoData);
    }

    #[test]
    fn a_window_that_ends_unobserved_forecasts_from_its_end() {
        let mut panel = Panel::new(1_000);
        panel.push("a".into(), 0, &[1.0, 2.0, f64::NAN, f64::NAN, 9.0]);
        let fitted = Drift.fit(&panel.window_until(|_| 4), 0).unwrap();
        let forecast = fitted.predict(Horizon::new(1).unwrap(), &Quantiles::standard()).unwrap();
        assert_eq!(forecast.mean(0), [5.0]);
    }
}
