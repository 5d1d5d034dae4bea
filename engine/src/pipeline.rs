//! The road from telemetry to an issue, and the only file that names every stage:
//! telemetry → panels → demand → fit → select → issue → store.

use foreshadow_models::classical::{Naive, SeasonalNaive};
use foreshadow_models::{
    BacktestError, BuildOptions, FitError, Horizon, Model, Origins, Panel, PanelSet, PredictError, Quantiles,
    RawSeries, Window, backtest,
};

use crate::act::{Workload, demand};
use crate::issue::{Accuracy, Issue, Missing, Shadow};

/// Folds that tell a shadow's accuracy.
const FOLDS: usize = 2;

const DAY_MS: i64 = 86_400_000;

/// How telemetry becomes an issue.
#[derive(Clone, Debug)]
pub struct PipelineSettings {
    /// Length of a decision slot.
    pub slot_ms: i64,
    /// Steps ahead of each shadow.
    pub horizon: Horizon,
    /// Quantile levels of each shadow.
    pub quantiles: Quantiles,
    /// Steps kept before each series' end.
    pub lookback_steps: usize,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for PipelineSettings {
    fn default() -> Self {
        Self {
            slot_ms: 30 * 60_000,
            horizon: Horizon::new(288).expect("288 is not zero"),
            quantiles: Quantiles::standard(),
            lookback_steps: BuildOptions::default().lookback_steps,
            seed: 1,
        }
    }
}

/// Why no issue could be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PipelineError {
    /// The first reason stands for all.
    #[error("none of {series_count} series can be forecast; the first, {first}: {reason}")]
    NothingUsable {
        /// Series read.
        series_count: usize,
        /// Identity of the first.
        first: String,
        /// Why it has no shadow.
        reason: String,
    },
    /// The source answered without a single series.
    #[error("the source has no series")]
    NoSeries,
    /// A whole batch could not be fitted.
    #[error("the series could not be fitted")]
    Fit(#[from] FitError),
    /// A whole batch could not be forecast.
    #[error("the series could not be forecast")]
    Predict(#[from] PredictError),
    /// A whole batch could not be backtested.
    #[error("the models could not be judged")]
    Backtest(#[from] BacktestError),
}

/// Makes the issue of some telemetry: a function of its arguments alone.
///
/// Workloads that are sized on utilisation get their demand built and forecast as a series of its own.
///
/// # Errors
/// [`PipelineError`] when no series at all has a shadow or a batch failed; a single broken series is among
/// [`Issue::missing`] instead.
pub fn make_issue(
    raw: Vec<RawSeries>,
    workloads: &[Workload],
    settings: &PipelineSettings,
) -> Result<Issue, PipelineError> {
    let PanelSet { mut panels, rejected, .. } =
        PanelSet::build(raw, &BuildOptions { lookback_steps: settings.lookback_steps });
    let mut missing: Vec<Missing> =
        rejected.into_iter().map(|rejected| Missing { series: rejected.name, reason: rejected.reason }).collect();
    for workload in workloads {
        match demand::build(workload, &panels) {
            None => {}
            Some(Ok(built)) => {
                let mut panel = Panel::new(built.step_ms);
                panel.push(workload.demand_series(), built.start_ms, &built.values);
                panels.push(panel);
            }
            Some(Err(error)) => {
                missing.push(Missing { series: workload.demand_series(), reason: error.to_string() });
            }
        }
    }
    let mut shadows = Vec::new();
    for panel in &panels {
        forecast(panel, settings, &mut shadows, &mut missing)?;
    }
    let series_count = shadows.len() + missing.len();
    match (Issue::new(shadows, missing.clone(), settings.slot_ms), missing.first()) {
        (Some(issue), _) => Ok(issue),
        (None, Some(first)) => Err(PipelineError::NothingUsable {
            series_count,
            first: first.series.clone(),
            reason: first.reason.clone(),
        }),
        (None, None) => Err(PipelineError::NoSeries),
    }
}

/// Fits the families in their order and takes, for each series, the first that can use it.
fn forecast(
    panel: &Panel,
    settings: &PipelineSettings,
    shadows: &mut Vec<Shadow>,
    missing: &mut Vec<Missing>,
) -> Result<(), PipelineError> {
    let window = panel.window();
    let season = panel.steps_in(DAY_MS);
    let daily = SeasonalNaive { season };
    let families: [&dyn Model; 2] = if season > 1 { [&daily, &Naive] } else { [&Naive, &Naive] };
    let judged = judge(&window, &families, season, settings)?;
    let mut refused: Vec<Option<String>> = vec![Some(String::new()); panel.series_count()];
    for (family, judged) in families.iter().zip(judged) {
        let fitted = family.fit(&window, settings.seed)?;
        let forecast = fitted.predict(settings.horizon, &settings.quantiles)?;
        for (series, refused) in refused.iter_mut().enumerate().filter(|(_, refused)| refused.is_some()) {
            let status = &fitted.status()[series];
            let accuracy = judged[series].clone();
            let shadow = Shadow::from_forecast(&window, series, &forecast, series, family.name(), accuracy);
            match shadow.filter(|_| status.is_usable()) {
                Some(shadow) => {
                    shadows.push(shadow);
                    *refused = None;
                }
                None => *refused = Some(format!("{}: {}", family.name(), status.word())),
            }
        }
    }
    let refused = refused.into_iter().enumerate().filter_map(|(series, reason)| Some((series, reason?)));
    missing.extend(refused.map(|(series, reason)| Missing { series: panel.name(series).into(), reason }));
    Ok(())
}

/// What each family did at past cutoffs, for each series; `None` where too little was to be seen.
fn judge(
    window: &Window<'_>,
    families: &[&dyn Model],
    season: usize,
    settings: &PipelineSettings,
) -> Result<Vec<Vec<Option<Accuracy>>>, PipelineError> {
    let origins = Origins::rolling(window, settings.horizon, FOLDS, settings.horizon.steps());
    let (horizon, levels) = (settings.horizon, &settings.quantiles);
    let test = backtest(window, families, origins, horizon, levels, settings.seed, &|_, _| ())?;
    let scores: Vec<_> = (0..families.len()).map(|family| test.scores(family, season)).collect();
    let accuracy = |family: usize, series: usize| {
        let score = &scores[family][series];
        let folds = (0..FOLDS).map(|origin| (origin, test.fold(family, origin)));
        let usable: Vec<_> = folds.filter(|(_, fold)| fold.status[series].is_usable()).collect();
        let at_or_under = |index: usize| {
            let met = usable.iter().flat_map(|(origin, fold)| {
                let quantile = fold.forecast.quantile(series, index);
                test.actual(*origin, series).iter().zip(quantile).filter(|(y, _)| !y.is_nan()).map(|(y, q)| y <= q)
            });
            let (count, under) = met.fold((0_usize, 0_usize), |(n, under), met| (n + 1, under + usize::from(met)));
            under as f64 / count.max(1) as f64
        };
        Some(Accuracy {
            coverage95_percent: score.coverage95()?,
            mase: score.mase(),
            mase_seasonal_naive: scores[0][series].mase(),
            folds: usable.len() as u32,
            at_or_under: (0..levels.levels().len()).map(at_or_under).collect(),
        })
    };
    let series_count = window.series_count();
    Ok((0..families.len()).map(|f| (0..series_count).map(|s| accuracy(f, s)).collect()).collect())
}
