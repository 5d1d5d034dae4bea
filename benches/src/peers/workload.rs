//! Windows that all contenders are given, and how what they say is scored: by our measures, whoever said it.

use std::path::Path;

use foreshadow_models::metrics::{SeriesScore, score, seasonal_scale};
use foreshadow_models::season::calendar;
use foreshadow_models::{BuildOptions, Forecast, Horizon, Origins, Panel, PanelSet, Quantiles};

use super::work::{Said, Shown, Work};
use crate::accuracy::naive2;
use crate::panel::{m4_split, read};
use crate::telemetry::{DAY_MS, ORIGINS, STEPS};
use crate::{BenchError, Context, Figures};

/// Seasons and horizon of the M4 hourly series.
const M4_SEASONS: [usize; 2] = [24, 168];
const M4_HORIZON: usize = 48;
/// Steps ahead where the calendar has no season.
const SEASONLESS_HORIZON: usize = 8;
/// Most series of a table that is given.
const MOST_SERIES: usize = 100;

/// One series up to one cutoff.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) name: String,
    pub(super) start_ms: i64,
    pub(super) train: Vec<f64>,
    /// What came, NaN where unobserved; at most the horizon.
    pub(super) actual: Vec<f64>,
}

/// The mean forecast of a training part.
pub(super) type Yardstick = fn(&[f64]) -> Vec<f64>;

/// Windows of one step, seasons and horizon, the newest cutoff of every series first: a contender that cannot be given
/// all is given the first of them.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) name: String,
    pub(super) step_ms: i64,
    /// In steps, rising; the first one scales errors. A single 1 for none.
    pub(super) seasons: Vec<usize>,
    pub(super) horizon: Horizon,
    pub(super) windows: Vec<Window>,
    /// What the M4 competition's average is taken against.
    pub(super) yardstick: Option<Yardstick>,
}

impl Workload {
    /// The 100 M4 hourly series with their official split.
    ///
    /// # Errors
    /// [`BenchError`] when the telemetry is not there or cannot be read.
    pub(super) fn m4(context: &Context) -> Result<Self, BenchError> {
        let (panel, train) = m4_split(context)?;
        let horizon = Horizon::new(M4_HORIZON).expect("48 is not zero");
        let own = Self::new("m4".into(), &panel, &M4_SEASONS, horizon, &Origins::at(train));
        Ok(Self { yardstick: Some(naive2), ..own })
    }

    /// A panel at cutoffs a day apart, as the sets of telemetry are judged.
    pub(super) fn daily(name: String, panel: &Panel) -> Self {
        let day = panel.steps_in(DAY_MS);
        let horizon = Horizon::new(day).expect("a day has steps");
        Self::new(name, panel, &[day, 7 * day], horizon, &Origins::rolling(&panel.window(), horizon, ORIGINS, day))
    }

    /// A table that is given: its largest panel of one step and phase, with the calendar's seasons and the shortest of
    /// them as the horizon and the way between cutoffs.
    ///
    /// # Errors
    /// [`BenchError::Read`] when it cannot be read or has no series.
    pub(super) fn given(path: &Path, figures: &Figures) -> Result<Self, BenchError> {
        let set = PanelSet::build(read(path)?, &BuildOptions::lookback(STEPS));
        let count: usize = set.panels.iter().map(Panel::series_count).sum();
        let panel = set.panels.into_iter().max_by_key(Panel::series_count);
        let empty = || BenchError::Read { path: path.into(), reason: "it has no series".into() };
        let whole = panel.ok_or_else(empty)?;
        let mut panel = Panel::new(whole.step_ms());
        for s in 0..whole.series_count().min(MOST_SERIES) {
            panel.push(whole.name(s).into(), whole.start_ms(s), whole.values(s));
        }
        if panel.series_count() < count {
            let taken = panel.series_count();
            figures.skip(
                "peers",
                &format!("{} of {count} series: the first {taken} of one step and phase are taken", count - taken),
            );
        }
        let mut seasons = calendar(panel.step_ms());
        if seasons.is_empty() {
            seasons.push(1);
        }
        let horizon = if seasons[0] > 1 { seasons[0] } else { SEASONLESS_HORIZON };
        let horizon = Horizon::new(horizon).expect("a season has steps");
        let origins = Origins::rolling(&panel.window(), horizon, ORIGINS, horizon.steps());
        let name = path.file_stem().map_or_else(|| "input".into(), |stem| stem.to_string_lossy().into_owned());
        let own = Self::new(name, &panel, &seasons, horizon, &origins);
        let reason = || format!("no series of it is longer than the {} steps that are to be forecast", horizon.steps());
        let short = || BenchError::Read { path: path.into(), reason: reason() };
        if own.windows.is_empty() { Err(short()) } else { Ok(own) }
    }

    fn new(name: String, panel: &Panel, seasons: &[usize], horizon: Horizon, origins: &Origins) -> Self {
        let mut windows = Vec::new();
        for origin in 0..origins.count() {
            for s in 0..panel.series_count() {
                let values = panel.values(s);
                let (train, rest) = values.split_at(origins.end(origin, s).min(values.len()));
                if !train.is_empty() {
                    let (name, start_ms) = (panel.name(s).into(), panel.start_ms(s));
                    let actual = rest[..rest.len().min(horizon.steps())].to_vec();
                    windows.push(Window { name, start_ms, train: train.to_vec(), actual });
                }
            }
        }
        Self { name, step_ms: panel.step_ms(), seasons: seasons.to_vec(), horizon, windows, yardstick: None }
    }

    /// The same with its first windows only.
    pub(super) fn first(mut self, windows: usize) -> Self {
        self.windows.truncate(windows);
        self
    }

    /// What a contender is asked.
    pub(super) fn work(&self, contender: &str, jobs: usize, limit: f64, budget: f64) -> Work {
        Work {
            contender: contender.into(),
            step_ms: self.step_ms,
            season: self.seasons[0],
            seasons: self.seasons.clone(),
            horizon: self.horizon.steps(),
            jobs,
            limit,
            budget,
            series: self.windows.iter().map(|window| Shown::new(window.start_ms, &window.train)).collect(),
            grown: None,
        }
    }

    /// The errors of what was said of one window.
    ///
    /// # Errors
    /// Why nothing can be scored: the contender's own words, or that it said what is no number.
    pub(super) fn score(&self, window: usize, said: &Said) -> Result<SeriesScore, String> {
        let (mean, low, high) = match said {
            Said::Forecast { mean, low, high, .. } => (mean, low, high),
            Said::Failed { error } => return Err(error.clone()),
        };
        let levels = Quantiles::new(vec![0.025, 0.975]).expect("two levels that rise");
        let mut forecast = Forecast::empty(1, self.horizon, levels);
        for (curve, said) in [(None, mean), (Some(0), low), (Some(1), high)] {
            let steps = match curve {
                None => forecast.mean_mut(0),
                Some(level) => forecast.quantile_mut(0, level),
            };
            if said.len() != steps.len() {
                return Err(format!("a forecast of {} steps, not of {}", said.len(), steps.len()));
            }
            steps.iter_mut().zip(said).for_each(|(step, said)| *step = said.unwrap_or(f64::NAN));
        }
        if !forecast.is_finite(0) {
            return Err("a forecast that is not finite".into());
        }
        let Window { train, actual, .. } = &self.windows[window];
        Ok(score(&forecast, 0, actual, seasonal_scale(train, self.seasons[0])))
    }

    /// The windows without a gap among the first so many, by index: on others a peer sees straight lines and ours a gap.
    pub(super) fn whole(&self, tried: usize) -> Vec<usize> {
        (0..tried).filter(|&w| self.windows[w].train.iter().all(|value| !value.is_nan())).collect()
    }

    /// Some windows as a panel.
    pub(super) fn panel(&self, windows: &[usize]) -> Panel {
        let mut panel = Panel::new(self.step_ms);
        for &w in windows {
            panel.push(self.windows[w].name.clone(), self.windows[w].start_ms, &self.windows[w].train);
        }
        panel
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn workload() -> Workload {
        let mut panel = Panel::new(6 * 3_600_000); // a day has four steps
        let long: Vec<f64> = (0..40).map(|t| f64::from(t % 4) + 0.1 * f64::from(t)).collect();
        panel.push("long".into(), 0, &long);
        panel.push("short".into(), 0, &[1.0, 2.0, 3.0, 4.0, 1.0, f64::NAN, 3.0, 4.0, 1.0, 2.0]);
        Workload::daily("test".into(), &panel)
    }

    fn said(mean: &[f64], half: f64) -> Said {
        let known = |shift: f64| mean.iter().map(|m| (m + shift).is_finite().then_some(m + shift)).collect();
        Said::Forecast { mean: known(0.0), low: known(-half), high: known(half), fit: Value::Null }
    }

    #[test]
    fn the_newest_cutoff_of_every_series_comes_first_and_empty_windows_are_left_out() {
        let workload = workload();
        let shape: Vec<(&str, usize)> = workload.windows.iter().map(|w| (w.name.as_str(), w.train.len())).collect();
        assert_eq!(shape, [("long", 36), ("short", 6), ("long", 32), ("short", 2), ("long", 28)]);
        assert_eq!(workload.whole(4), [0, 2, 3], "the newest window of the short series has a gap");
        assert_eq!(workload.windows[1].actual, [3.0, 4.0, 1.0, 2.0]);
    }

    #[test]
    fn a_table_that_is_given_has_the_seasons_of_its_step_and_a_short_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let table = |name: &str, steps: usize| {
            let row = |t: usize| format!("web,{},{}\n", 1_700_006_400 + 3_600 * t, t % 24);
            let text = "host,timestamp,value\n".to_string() + &(0..steps).map(row).collect::<String>();
            std::fs::write(folder.path().join(name), text).unwrap();
            Workload::given(&folder.path().join(name), &Figures::default())
        };
        let own = table("mine.csv", 200).unwrap();
        assert_eq!((own.name.as_str(), own.seasons.as_slice(), own.horizon.steps()), ("mine", &[24, 168][..], 24));
        let lengths: Vec<usize> = own.windows.iter().map(|window| window.train.len()).collect();
        assert_eq!(lengths, [176, 152, 128]);
        let error = table("short.csv", 20).unwrap_err().to_string();
        assert!(error.contains("short.csv") && error.contains("24 steps"), "{error}");
    }

    #[test]
    fn a_perfect_forecast_has_no_error_and_a_late_one_has_its_own() {
        let workload = workload();
        let actual = workload.windows[0].actual.clone();
        let score = workload.score(0, &said(&actual, 1.0)).unwrap();
        assert_eq!((score.mase(), score.coverage95()), (Some(0.0), Some(100.0)));
        let off: Vec<f64> = actual.iter().map(|y| y + 0.8).collect();
        let score = workload.score(0, &said(&off, 0.5)).unwrap();
        assert!((score.mase().unwrap() - 2.0).abs() < 1e-9, "the series rises by 0.4 a season: {score:?}");
        assert_eq!(score.coverage95(), Some(0.0));
    }

    #[test]
    fn what_is_no_forecast_is_a_failure_with_its_reason() {
        let workload = workload();
        for (said, reason) in [
            (said(&[1.0, f64::NAN, 1.0, 1.0], 1.0), "not finite"),
            (said(&[1.0, 1.0], 1.0), "2 steps, not of 4"),
            (Said::Failed { error: "ValueError: no".into() }, "ValueError: no"),
        ] {
            let error = workload.score(0, &said).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
