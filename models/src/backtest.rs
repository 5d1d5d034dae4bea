//! Rolling-origin evaluation: what each model would have said at past cutoffs, and what came.
//!
//! Source: Tashman, Out-of-sample tests of forecasting accuracy, Int. J. Forecasting 16(4), 2000.

mod held_out;

pub use held_out::HeldOut;

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::metrics::{SeriesScore, score, seasonal_scale};
use crate::{BacktestError, Chosen, FitStatus, Forecast, Horizon, Model, Quantiles, Window};

/// Past cutoffs, each series having its own: how many of its [`Window::values`] a model may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    ends: Vec<Vec<usize>>,
}

impl Origins {
    /// `count` origins of each series, counted back from its own end: the newest leaves exactly one
    /// horizon to score, each older one `stride` steps more. Where a series has not that many steps, the
    /// model sees none of it there.
    pub fn rolling(window: &Window<'_>, horizon: Horizon, count: usize, stride: usize) -> Self {
        let lengths: Vec<usize> = (0..window.series_count()).map(|s| window.values(s).len()).collect();
        let held_back = |origin: usize| horizon.steps() + origin * stride;
        let ends = |origin| lengths.iter().map(|length| length.saturating_sub(held_back(origin))).collect();
        Self { ends: (0..count).map(ends).collect() }
    }

    /// One origin with the training steps of each series given, as a table of splits does; 0 for a series
    /// that shall not be fitted.
    pub fn at(train_steps: Vec<usize>) -> Self {
        Self { ends: vec![train_steps] }
    }

    /// Origins of each series.
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    /// Steps of a series that are seen at an origin, the newest origin being 0.
    pub fn end(&self, origin: usize, series: usize) -> usize {
        self.ends[origin][series]
    }
}

/// What one model said at one origin.
#[derive(Clone, Debug)]
pub struct Fold {
    /// How each series' fit went; usable where its forecast is finite.
    pub status: Vec<FitStatus>,
    /// Its forecast of the steps after the origin.
    pub forecast: Forecast,
    /// What a model that picks among families picked.
    pub chosen: Vec<Option<Chosen>>,
}

/// Forecasts of every model at every origin, beside what came.
#[derive(Debug)]
pub struct Backtest<'a> {
    window: Window<'a>,
    origins: Origins,
    horizon: Horizon,
    folds: Vec<Fold>,
}

/// Fits every model at every origin in one batch each, and forecasts the `horizon` steps after it.
///
/// `progress` hears after each fit how many are done, of how many. Fits run on rayon's global pool.
///
/// # Errors
/// [`BacktestError`] when a whole batch could not be worked on.
pub fn backtest<'a>(
    window: &Window<'a>,
    models: &[&dyn Model],
    origins: Origins,
    horizon: Horizon,
    quantiles: &Quantiles,
    seed: u64,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<Backtest<'a>, BacktestError> {
    let jobs: Vec<(usize, usize)> =
        (0..models.len()).flat_map(|model| (0..origins.count()).map(move |origin| (model, origin))).collect();
    let done = AtomicUsize::new(0);
    let folds = jobs
        .par_iter()
        .map(|&(model, origin)| {
            let seen = window.until(|s| origins.end(origin, s));
            let fold = fold(models[model], &seen, origin, horizon, quantiles, seed)?;
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
            Ok(fold)
        })
        .collect::<Result<_, BacktestError>>()?;
    Ok(Backtest { window: window.clone(), origins, horizon, folds })
}

fn fold(
    model: &dyn Model,
    seen: &Window<'_>,
    origin: usize,
    horizon: Horizon,
    quantiles: &Quantiles,
    seed: u64,
) -> Result<Fold, BacktestError> {
    let fitted = model.fit(seen, seed).map_err(|source| BacktestError::Fit { origin, source })?;
    let forecast = fitted.predict(horizon, quantiles).map_err(|source| BacktestError::Predict { origin, source })?;
    let chosen = (0..seen.series_count()).map(|s| fitted.chosen(s)).collect();
    let mut status = fitted.status().to_vec();
    for (s, status) in status.iter_mut().enumerate() {
        // A number that is not finite must not be left out of the score in silence.
        if status.is_usable() && !forecast.is_finite(s) {
            *status = FitStatus::NotConverged;
        }
    }
    Ok(Fold { status, forecast, chosen })
}

impl<'a> Backtest<'a> {
    /// The cutoffs it was made at.
    pub fn origins(&self) -> &Origins {
        &self.origins
    }

    /// What a model said at an origin, the newest origin being 0.
    pub fn fold(&self, model: usize, origin: usize) -> &Fold {
        &self.folds[model * self.origins.count() + origin]
    }

    /// What a model forecast at an origin, to be changed as it would have been before it was used; the errors are then
    /// those of what it became.
    pub fn forecast_mut(&mut self, model: usize, origin: usize) -> &mut Forecast {
        &mut self.folds[model * self.origins.count() + origin].forecast
    }

    /// The steps of a series that were seen at an origin.
    pub fn train(&self, origin: usize, series: usize) -> &'a [f64] {
        let values = self.window.values(series);
        &values[..self.origins.end(origin, series).min(values.len())]
    }

    /// What came after an origin, NaN where unobserved; shorter than the horizon where the window ends
    /// before it, and empty where nothing was to be seen at the origin.
    pub fn actual(&self, origin: usize, series: usize) -> &'a [f64] {
        let values = self.window.values(series);
        match self.origins.end(origin, series).min(values.len()) {
            0 => &[],
            end => &values[end..values.len().min(end + self.horizon.steps())],
        }
    }

    /// One model's errors of one series at one origin; nothing scored where its fit was not usable. MASE and
    /// MSIS are scaled by the origin's own training part, one `mase_season` apart.
    pub fn score(&self, model: usize, origin: usize, series: usize, mase_season: usize) -> SeriesScore {
        let fold = self.fold(model, origin);
        if !fold.status[series].is_usable() {
            return SeriesScore::default();
        }
        let scale = seasonal_scale(self.train(origin, series), mase_season);
        score(&fold.forecast, series, self.actual(origin, series), scale)
    }

    /// One model's errors of each series over all origins.
    pub fn scores(&self, model: usize, mase_season: usize) -> Vec<SeriesScore> {
        (0..self.window.series_count())
            .into_par_iter()
            .map(|series| {
                let mut sum = SeriesScore::default();
                (0..self.origins.count()).for_each(|origin| sum.add(&self.score(model, origin, series, mase_season)));
                sum
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classical::{Naive, SeasonalNaive};
    use crate::{FitError, Panel};

    fn run<'a>(window: &Window<'a>, models: &[&dyn Model], origins: Origins) -> Backtest<'a> {
        backtest(window, models, origins, Horizon::new(2).unwrap(), &Quantiles::standard(), 0, &|_, _| ()).unwrap()
    }

    fn panel() -> Panel {
        let mut panel = Panel::new(1_000);
        panel.push("long".into(), 0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        panel.push("short".into(), 0, &[1.0, 2.0, 5.0]);
        panel
    }

    #[test]
    fn each_series_counts_back_from_its_own_end() {
        let panel = panel();
        let test = run(&panel.window(), &[&Naive], Origins::rolling(&panel.window(), Horizon::new(2).unwrap(), 2, 3));
        assert_eq!(test.fold(0, 0).forecast.mean(0), [5.0, 5.0]);
        assert_eq!((test.actual(0, 0), test.actual(1, 0)), (&[6.0, 7.0][..], &[3.0, 4.0][..]));
        assert_eq!(test.fold(0, 0).forecast.mean(1), [1.0, 1.0]);
        assert_eq!(test.fold(0, 1).status[1], FitStatus::NoData, "the older origin lies before the short series");
        assert!(test.actual(1, 1).is_empty());
    }

    #[test]
    fn scores_join_origins_and_leave_out_what_was_not_usable() {
        let panel = panel();
        let origins = Origins::rolling(&panel.window(), Horizon::new(2).unwrap(), 2, 3);
        let test = run(&panel.window(), &[&Naive, &SeasonalNaive { season: 4 }], origins);
        let naive = test.scores(0, 1);
        assert_eq!((naive[0].steps, naive[0].mase()), (4, Some(1.5)), "errors 1, 2, 1, 2 at a scale of 1");
        assert_eq!((naive[1].steps, naive[1].absolute_error), (2, 5.0));
        assert_eq!(test.scores(1, 1)[0].steps, 2, "four steps are seen at the newest origin only");
    }

    #[test]
    fn a_split_gives_the_training_steps_and_an_early_end_shortens_what_is_scored() {
        let panel = panel();
        let test = run(&panel.window(), &[&Naive], Origins::at(vec![6, 0]));
        assert_eq!(test.actual(0, 0), [7.0]);
        let scores = test.scores(0, 1);
        assert_eq!((scores[0].absolute_error, scores[1].steps), (1.0, 0));
    }

    /// A family whose kernel refuses every batch.
    struct Refusing;

    impl Model for Refusing {
        fn name(&self) -> String {
            "refusing".into()
        }

        fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn crate::Fitted>, FitError> {
            let source = foreshadow_kernels::KernelError::Shape { operand: "y", found: 0, needed: 1 };
            Err(FitError::Kernel { family: self.name(), series_count: window.series_count(), source })
        }
    }

    /// Says NaN of every step and calls it fitted.
    struct Lying;

    impl Model for Lying {
        fn name(&self) -> String {
            "lying".into()
        }

        fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn crate::Fitted>, FitError> {
            Ok(Box::new(FittedLying(vec![FitStatus::Fitted; window.series_count()])))
        }
    }

    struct FittedLying(Vec<FitStatus>);

    impl crate::Fitted for FittedLying {
        fn family(&self) -> &'static str {
            "lying"
        }

        fn status(&self) -> &[FitStatus] {
            &self.0
        }

        fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, crate::PredictError> {
            Ok(Forecast::empty(self.0.len(), horizon, quantiles.clone()))
        }
    }

    #[test]
    fn a_forecast_that_is_not_finite_is_a_failed_fit() {
        let panel = panel();
        let test = run(&panel.window(), &[&Lying], Origins::at(vec![3, 2]));
        assert_eq!(test.fold(0, 0).status, [FitStatus::NotConverged, FitStatus::NotConverged]);
        assert_eq!(test.scores(0, 1)[0].steps, 0);
    }

    #[test]
    fn a_refused_batch_is_an_error_that_names_its_origin() {
        let panel = panel();
        let origins = Origins::at(vec![3, 2]);
        let horizon = Horizon::new(2).unwrap();
        let refused = backtest(&panel.window(), &[&Refusing], origins, horizon, &Quantiles::standard(), 0, &|_, _| ());
        assert!(matches!(refused, Err(BacktestError::Fit { origin: 0, .. })));
    }

    #[test]
    fn progress_hears_of_every_fit() {
        let panel = panel();
        let origins = Origins::rolling(&panel.window(), Horizon::new(1).unwrap(), 3, 1);
        let heard = std::sync::Mutex::new(Vec::new());
        let note = |done: usize, of: usize| heard.lock().unwrap().push((done, of));
        backtest(&panel.window(), &[&Naive], origins, Horizon::new(1).unwrap(), &Quantiles::standard(), 0, &note)
            .unwrap();
        let mut heard = heard.into_inner().unwrap();
        heard.sort_unstable();
        assert_eq!(heard, [(1, 3), (2, 3), (3, 3)]);
    }
}
