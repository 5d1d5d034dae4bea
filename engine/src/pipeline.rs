//! The road from telemetry to an issue, and the only file that names every stage:
//! telemetry → panels as they are to be read → aggregates and demand → judge what was said → fit → select → make coherent →
//! issue → store.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use foreshadow_kernels::Device;
use foreshadow_models::classical::CustomProphet;
use foreshadow_models::live::Track;
use foreshadow_models::{
    BacktestError, BuildOptions, FitError, Forecast, Horizon, Panel, PanelSet, PredictError, Quantiles, RawSeries,
};

use crate::act::{Workload, demand};
use crate::aggregate::{self, Plan, Said, Whole};
use crate::clock::DAY_MS;
use crate::config::{AggregateConfig, Demand};
use crate::families::{self, Bound, Future, Given, Networks, RegressorError, Regressors};
use crate::issue::{Accuracy, Issue, Missing, Shadow};
use crate::live::Live;
use crate::reading::Reading;
use crate::telemetry::SeriesKey;

mod serving;

pub use serving::follow;

/// Times its usual error from which a champion is fitted anew sooner, and how much sooner.
const ERRS_MORE: f64 = 1.5;
const SOONER: i64 = 8;

/// How long a series that is gone from the telemetry is remembered.
const REMEMBERED_MS: i64 = 28 * DAY_MS;

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
    /// How series are read.
    pub reading: Reading,
    /// Families by name, in the order of preference: a series takes the first that can forecast it.
    pub models: Vec<String>,
    /// How the family `prophet` is fitted.
    pub prophet: CustomProphet,
    /// What moves the series, as Prophet takes it, by name or as one of auto's families.
    pub regressors: Regressors,
    /// How long a fit takes new points in before its series is fitted anew; 0 for at every issue.
    pub refit_after_ms: i64,
    /// What a family may take in memory while it fits: series are fitted in batches that take no more.
    pub memory_bytes: u64,
    /// Where families are fitted that can be fitted there.
    pub device: Device,
    /// Networks that `models` ask for.
    pub networks: Networks,
    /// Series that are made of others.
    pub aggregates: Vec<AggregateConfig>,
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
            reading: Reading::default(),
            models: vec!["auto".into()],
            prophet: CustomProphet::default(),
            regressors: Regressors::default(),
            refit_after_ms: DAY_MS,
            memory_bytes: u64::MAX,
            device: Device::Cpu,
            networks: Networks::default(),
            aggregates: Vec::new(),
            seed: 1,
        }
    }
}

impl PipelineSettings {
    /// How long the fit of a series may serve it. Series that began together are not all fitted anew at one issue; one whose
    /// champion errs more than it used to is sooner.
    fn refit_after(&self, series: &str, track: Option<&Track>) -> i64 {
        if !self.regressors.is_empty() {
            return 0; // their values reach no further than when they were read
        }
        let errs_more = track.and_then(Track::trouble).is_some_and(|times| times > ERRS_MORE);
        let part = hash(series) % 1_024;
        let spread = self.refit_after_ms / 2 + self.refit_after_ms / 2 * part as i64 / 1_024;
        if errs_more { spread / SOONER } else { spread }
    }

    /// What families are made of, with a Prophet that was bound to its regressors.
    fn given<'a>(&'a self, prophet: &'a CustomProphet) -> Given<'a> {
        Given { horizon: self.horizon, prophet, networks: &self.networks, device: &self.device }
    }

    /// Of what a fit hangs on besides the series.
    fn mark(&self, name: &str, prophet: &CustomProphet, panel: &Panel) -> u64 {
        let clock = panel.clock().map(|clock| clock.name());
        let prophet = prophet.config();
        let networks = self.networks.mark();
        hash(format!(
            "{name} {:?} {} {} {prophet:?} {clock:?} {networks}",
            self.horizon, self.lookback_steps, self.seed
        ))
    }
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
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
    /// A family that was asked for by name failed on a whole batch.
    #[error(transparent)]
    Family(#[from] FitError),
    /// Names that may be used are [`families::KNOWN`].
    #[error("no family is called {name}; there are {}", families::KNOWN)]
    UnknownFamily {
        /// The name.
        name: String,
    },
    /// The regressors cannot be used with the series.
    #[error(transparent)]
    Regressors(#[from] RegressorError),
    /// A whole batch could not be forecast.
    #[error("the series could not be forecast")]
    Predict(#[from] PredictError),
    /// A whole batch could not be fitted.
    #[error("the series could not be fitted")]
    Backtest(#[from] BacktestError),
}

/// Makes the issue of some telemetry: a function of its arguments alone.
///
/// Workloads that are sized on utilisation get their demand built and forecast as a series of its own, as aggregates
/// are; the forecasts of aggregates and their parts are made to agree. What is judged live is what each series expected
/// by itself. A series that ends past `now_ms` by more than a slot is missing: a clock gone wild must not move the slot for
/// all others.
///
/// `live` is what earlier issues left: what they expected is judged by what came since, a champion in trouble gives way,
/// and what this issue expects is noted to be judged by a later one.
///
/// # Errors
/// [`PipelineError`] when no series at all has a shadow or a batch failed; a single broken series is among
/// [`Issue::missing`] instead.
pub fn make_issue(
    raw: Vec<RawSeries>,
    workloads: &[Workload],
    settings: &PipelineSettings,
    live: &mut Live,
    now_ms: i64,
) -> Result<Issue, PipelineError> {
    let (raw, future) = part_future(raw, now_ms.saturating_add(settings.slot_ms));
    let plan = Plan::of(&settings.aggregates, raw.iter().map(|series| series.name.as_str()));
    let mut read = settings.reading.build(raw, BuildOptions::lookback(settings.lookback_steps));
    let telemetry = read.set.panels.len();
    read.set.rejected.extend(plan.rejected);
    let wholes = aggregate::extend(&mut read.set, &plan.wanted, settings.lookback_steps);
    let mut incomplete = wholes.iter().filter_map(Whole::incomplete);
    if let Some(first) = incomplete.next() {
        tracing::warn!(count = 1 + incomplete.count(), first, "aggregates lack a part");
    }
    let mut missing: Vec<Missing> = future;
    for (workload, aggregate) in doubled(workloads, &wholes) {
        tracing::warn!(workload, aggregate, "the workload's demand counts an aggregate and its parts; select one");
    }
    let mut demanded = HashSet::new();
    for workload in workloads {
        // No demand is built from another, or from an aggregate.
        match demand::build(workload, &read.set.panels[..telemetry], settings.lookback_steps) {
            None => {}
            Some(Ok(built)) => {
                let mut panel = Panel::new(built.step_ms);
                panel.push(workload.demand_series(), built.start_ms, &built.values);
                demanded.insert(workload.demand_series());
                read.push(panel);
            }
            Some(Err(error)) => {
                missing.push(Missing { series: workload.demand_series(), reason: error.to_string() });
            }
        }
    }
    let (PanelSet { panels, rejected, .. }, warnings) = read.finish(&settings.reading, settings.horizon);
    if let Some(first) = warnings.first() {
        tracing::warn!(count = warnings.len(), first, "series want a look at how they are read");
    }
    let rejected = rejected.into_iter().map(|rejected| Missing { series: rejected.name, reason: rejected.reason });
    missing.splice(0..0, rejected);
    let built = PipelineSettings { regressors: settings.regressors.for_built(), ..settings.clone() };
    let is_built = |panel: &Panel| aggregate::is_of(&wholes, panel) || demanded.contains(panel.name(0));
    let of = |panel: &Panel| if is_built(panel) { &built } else { settings };
    let mut made: Vec<Made> =
        panels.iter().map(|panel| forecast(panel, of(panel), live, now_ms)).collect::<Result<_, _>>()?;
    make_coherent(&wholes, &panels, &mut made);
    let mut shadows = Vec::new();
    for (panel, made) in panels.iter().zip(made) {
        made.share(panel, &mut shadows, &mut missing);
    }
    let series_count = shadows.len() + missing.len();
    match (Issue::new(shadows, missing.clone(), settings.slot_ms), missing.first()) {
        (Some(issue), _) => {
            live.forget(issue.cutoff_ms() - REMEMBERED_MS);
            if settings.refit_after_ms == 0 || !settings.regressors.is_empty() {
                live.fits_mut().clear(); // none is gone on with
            }
            Ok(issue)
        }
        (None, Some(first)) => Err(PipelineError::NothingUsable {
            series_count,
            first: first.series.clone(),
            reason: first.reason.clone(),
        }),
        (None, None) => Err(PipelineError::NoSeries),
    }
}

/// Puts series with a sample past `latest_ms` aside.
fn part_future(raw: Vec<RawSeries>, latest_ms: i64) -> (Vec<RawSeries>, Vec<Missing>) {
    let (future, raw): (Vec<_>, Vec<_>) =
        raw.into_iter().partition(|series| series.times_ms.iter().any(|time| *time > latest_ms));
    let reason = |series: RawSeries| Missing { series: series.name, reason: "it has samples of the future".into() };
    (raw, future.into_iter().map(reason).collect())
}

/// A panel's forecast, each series' by the first family that could make one.
struct Made {
    /// Of no use where `refused` says why.
    forecast: Forecast,
    models: Vec<String>,
    held_out: Vec<Option<Accuracy>>,
    refused: Vec<Option<String>>,
}

/// Fits the families in their order and takes, for each series, the first that can forecast it.
fn forecast(panel: &Panel, settings: &PipelineSettings, live: &mut Live, now_ms: i64) -> Result<Made, PipelineError> {
    let PipelineSettings { regressors, prophet, horizon, seed, quantiles, .. } = settings;
    let Bound { prophet, lacking } = regressors.bind(prophet, panel, *horizon, Future::Forecast, *seed)?;
    let mut made: Option<Made> = None;
    for name in &settings.models {
        if made.as_ref().is_some_and(|made| made.refused.iter().all(Option::is_none)) {
            break;
        }
        let judged = serving::fit(name, panel, &prophet, settings, live, now_ms)?;
        match &mut made {
            None => made = Some(judged.alone(panel, &lacking)),
            Some(made) => made.fill(judged.alone(panel, &lacking)),
        }
    }
    if let Some(first) = lacking.first() {
        let (count, series, reason) = (lacking.len(), &first.series, first.to_string());
        tracing::warn!(count, series, reason, "series lack a regressor; Prophet has no forecast of them");
    }
    let count = panel.series_count();
    Ok(made.unwrap_or_else(|| Made {
        forecast: Forecast::empty(count, *horizon, quantiles.clone()),
        models: vec![String::new(); count],
        held_out: vec![None; count],
        refused: vec![Some("no family was tried".to_string()); count],
    }))
}

impl Made {
    /// Takes another family's forecasts of the series that have none yet.
    fn fill(&mut self, next: Self) {
        let Self { forecast, mut models, mut held_out, mut refused } = next;
        for series in (0..self.refused.len()).filter(|series| self.refused[*series].is_some()).collect::<Vec<_>>() {
            self.refused[series] = refused[series].take();
            self.forecast.copy(series, &forecast, series);
            self.models[series] = std::mem::take(&mut models[series]);
            self.held_out[series] = held_out[series].take();
        }
    }

    /// Makes each series of the panel a shadow or a missing one.
    fn share(self, panel: &Panel, shadows: &mut Vec<Shadow>, missing: &mut Vec<Missing>) {
        let window = panel.window();
        let told = self.models.into_iter().zip(self.held_out).zip(self.refused).enumerate();
        for (series, ((model, accuracy), refused)) in told {
            let shadow = || Shadow::from_forecast(&window, series, &self.forecast, series, model, accuracy);
            let made = match refused {
                Some(reason) => Err(reason),
                None => shadow().ok_or("its forecast is not finite".to_string()),
            };
            match made {
                Ok(shadow) => shadows.push(shadow),
                Err(reason) => missing.push(Missing { series: panel.name(series).into(), reason }),
            }
        }
    }
}

/// Workloads that would be sized on an aggregate and on its parts, and so on twice the demand, each with the aggregate.
fn doubled<'a>(workloads: &'a [Workload], wholes: &'a [Whole]) -> impl Iterator<Item = (&'a str, &'a str)> {
    workloads.iter().filter_map(|workload| {
        let Demand::Series(selector) = &workload.demand else { return None };
        let means = |series: &String| series.parse::<SeriesKey>().is_ok_and(|key| selector.matches(&key));
        let whole = wholes.iter().find(|whole| means(&whole.series) && whole.parts.iter().any(means))?;
        Some((workload.name.as_str(), whole.series.as_str()))
    })
}

/// Makes the forecasts of aggregates and their parts agree, and tells of those that could not be.
fn make_coherent(wholes: &[Whole], panels: &[Panel], made: &mut [Made]) {
    let mut said: Vec<Said<'_>> = panels
        .iter()
        .zip(made)
        .map(|(panel, made)| Said {
            window: panel.window(),
            usable: made.refused.iter().map(Option::is_none).collect(),
            forecast: &mut made.forecast,
        })
        .collect();
    for apart in aggregate::reconcile(wholes, &mut said) {
        tracing::warn!("{apart}");
    }
}

#[cfg(test)]
mod tests;
