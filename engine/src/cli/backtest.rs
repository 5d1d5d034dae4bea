//! `foreshadow backtest`: what forecasts would have been worth at past cutoffs.

mod report;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use foreshadow_kernels::Device;
use foreshadow_models::{Backtest, BuildOptions, FitStatus, Model, Origins, Panel, Quantiles, RawSeries, backtest};

use super::fleet::{Fleet, Panels, Part};
use super::output::{self, Format, Warnings};
use super::progress::FleetStep;
use super::regressors;
use super::settings::{Settings, given, open};
use super::splits::Splits;
use super::{Exit, Failure};
use crate::aggregate::{self, Said, Whole};
use crate::clock::DAY_MS;
use crate::config::Config;
use crate::families::{self, Bound, Future, Lack, Regressors, Working};
use report::{Judged, SeriesResult};

const EXAMPLES: &str = "Examples:
  foreshadow backtest --input metrics.parquet --horizon 48
  foreshadow backtest --input metrics.csv --horizon 48 --models snaive --origins 5 --output csv
  foreshadow backtest --input metrics.parquet --horizon 48 --models snaive,auto,lstm-bank
  foreshadow backtest --input m4_hourly.parquet --splits splits.csv --horizon 48 --mase-season 24 --output json

MASE and the interval score are scaled by the mean change over --mase-season in the training part, the same for
every family; a series without such a change is counted as unscaled. Several families are each judged by itself, side by
side at the same cutoffs.

A regressor with known_future = false is not looked at past a cutoff: from there on its last day repeats itself.";

/// Flags of `foreshadow backtest`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Table of train_end and test_start (epoch seconds) by dataset and series_id; a series without a row
    /// counts as failed
    #[arg(long, value_name = "FILE", conflicts_with = "origins")]
    splits: Option<PathBuf>,
    /// Past cutoffs of each series, one horizon apart, counted back from its own end
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    origins: u16,
    /// Steps of the season that errors are scaled by [default: one day]
    #[arg(long, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    mase_season: Option<u32>,
    /// Table and json sum up; csv has one row a series and family
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?;
    let families = config.forecast().models();
    let splits = args.splits.as_deref().map(Splits::read).transpose()?;
    let regressors = regressors::read(&config)?;
    output::tell(regressors::unused(&config).as_slice());
    let (horizon, levels) = (config.forecast().horizon(), Quantiles::standard().levels().len());
    let origins = if splits.is_some() { 1 } else { usize::from(args.origins) };
    let lookback_steps = match &splits {
        Some(_) => config.forecast().lookback_steps(),
        None => config.forecast().lookback_steps() + origins * horizon.steps(),
    };
    let said = (families.len() * origins * horizon.steps() * (levels + 1) * size_of::<f64>()) as u64;
    // Splits tell the origins of their rows, and aggregates have none.
    let aggregates = if splits.is_some() { &[] } else { config.aggregates() };
    let message = |count| format!("backtest of {count} series by {}", families.join(", "));
    // Families work one after another.
    let bytes = |samples| {
        let of = |family: &String| Working { family, lookback_steps, horizon, levels }.bytes(samples);
        families.iter().map(of).max().unwrap_or(0) + said
    };
    let mut fleet = Fleet::read(&args.settings, &config, aggregates, bytes, message)?;
    if aggregates.len() < config.aggregates().len() {
        output::tell(&["[[aggregate]] is not looked at beside --splits".into()]);
    }
    let progress = fleet.progress();
    let (for_built, splits) = (regressors.for_built(), splits.as_ref());
    let task = Task {
        args,
        config: &config,
        device: open(config.forecast().device())?,
        splits,
        regressors: &regressors,
        for_built: &for_built,
        lookback_steps,
        progress,
    };
    let mut judged: Vec<Judged<'_>> = families.iter().map(|family| Judged::by(family)).collect();
    let mut told = Default::default();
    let lost = fleet.each(|fleet, part| task.work(fleet, part, &mut judged, &mut told))?;
    drop((task, told, fleet)); // the bar goes, and what was only counted is told
    for own in &mut judged {
        own.results.extend(lost.series.iter().map(|lost| SeriesResult::unscored(&lost.name, "lost", &lost.reason)));
        own.results.sort_by(|a, b| a.name.cmp(&b.name));
    }
    Warnings::of_rows().tell(unjudged(&judged));
    Warnings::of_rows().tell(fallen_back(&judged));
    report::print(&judged, args.output)?;
    lost.failure.or_else(|| nothing_judged(&judged)).map_or(Ok(()), Err)
}

/// No series could be judged; the first reason stands for all.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("none of {series_count} series can be judged; the first, {first}: {reason}")]
struct NothingJudged {
    series_count: usize,
    first: String,
    reason: String,
    #[help]
    way_out: Option<&'static str>,
}

/// What is done with every batch.
struct Task<'a> {
    args: &'a Args,
    config: &'a Config,
    device: Device,
    splits: Option<&'a Splits>,
    regressors: &'a Regressors,
    /// Those of series that are made of others.
    for_built: &'a Regressors,
    /// Steps kept of each series, its origins among them.
    lookback_steps: usize,
    progress: Arc<FleetStep>,
}

impl Task<'_> {
    fn work(
        &self,
        fleet: &mut Fleet,
        mut part: Part,
        judged: &mut [Judged<'_>],
        told: &mut [Warnings; 2],
    ) -> Result<(), Failure> {
        let Self { args, config, splits, .. } = self;
        let (horizon, seed) = (config.forecast().horizon(), config.forecast().seed());
        let mut unscored = Vec::new();
        let options = match splits {
            Some(splits) => at_splits(&mut part.raw, splits, self.lookback_steps, horizon.steps(), &mut unscored),
            None => BuildOptions::lookback(self.lookback_steps),
        };
        let Panels { set, wholes } = fleet.panels(part, options, horizon);
        unscored.extend(set.rejected.into_iter().map(|rejected| (rejected.name, "rejected", rejected.reason)));
        let mut tests: Vec<Vec<Test<'_>>> = judged.iter().map(|_| Vec::new()).collect();
        for panel in &set.panels {
            let season = args.mase_season.map_or_else(|| panel.steps_in(DAY_MS), |season| season as usize);
            let regressors = if aggregate::is_of(&wholes, panel) { self.for_built } else { self.regressors };
            let Bound { prophet, lacking } =
                regressors.bind(config.prophet(), panel, horizon, Future::Repeated, seed)?;
            self.progress.aside(|| told[0].tell(regressors::warnings(&lacking)));
            let origins = match splits {
                Some(splits) => Origins::at((0..panel.series_count()).map(|s| train_steps(panel, s, splits)).collect()),
                None => Origins::rolling(&panel.window(), horizon, args.origins.into(), horizon.steps()),
            };
            let families = judged.len();
            for (at, (own, tests)) in judged.iter_mut().zip(&mut tests).enumerate() {
                let model = families::family(own.family, season, &given(config, &prophet, &self.device))
                    .expect("the settings were checked");
                let began = Instant::now();
                let tested = self.evaluate(panel, origins.clone(), &*model, (at, families))?;
                own.seconds += began.elapsed().as_secs_f64();
                tests.push(Test { panel, season, model: model.name(), tested, lacking: lacking.clone() });
            }
            self.progress.pass(panel);
        }
        for (own, tests) in judged.iter_mut().zip(&mut tests) {
            let apart = make_coherent(&wholes, tests);
            self.progress.aside(|| told[1].tell(apart));
            own.results
                .extend(unscored.iter().map(|(name, status, reason)| SeriesResult::unscored(name, status, reason)));
            for test in tests {
                own.results.extend((0..test.panel.series_count()).map(|series| result(test, series)));
            }
        }
        Ok(())
    }

    /// `place`: which of how many families it is.
    fn evaluate<'p>(
        &self,
        panel: &'p Panel,
        origins: Origins,
        model: &dyn Model,
        (place, families): (usize, usize),
    ) -> Result<Backtest<'p>, Failure> {
        // Not the configured quantiles: the measures are of these.
        let (forecast, quantiles) = (self.config.forecast(), Quantiles::standard());
        let heard = |done, total| self.progress.set(panel, place * total + done, families * total);
        let (window, seed) = (panel.window(), forecast.seed());
        Ok(backtest(&window, &[model], origins, forecast.horizon(), &quantiles, seed, &heard)?)
    }
}

/// The status of a series that `--splits` leaves out.
const NO_SPLIT: &str = "no_split";
/// Why a series that was forecast is not judged.
const NOTHING_AFTER: &str = "nothing was observed after its cutoffs";
/// The way out where there was too little to learn from.
const MORE: &str = "fewer --origins or a shorter --horizon leave it more to learn from";

/// [`MORE`], where that is one.
fn more_to_learn(result: &SeriesResult) -> Option<&'static str> {
    ["too_short", "no_data"].contains(&result.status.as_str()).then_some(MORE)
}

/// What a person is told of series that no step was judged of, but for those whose loss was told already.
fn unjudged(judged: &[Judged<'_>]) -> Vec<String> {
    let of_family = |(at, own): (usize, &Judged<'_>)| {
        let by = if judged.len() > 1 { format!(" by {}", own.family) } else { String::new() };
        let told = |result: &SeriesResult| {
            let (name, reason) = (&result.name, result.unjudged.as_ref()?);
            match result.status.as_str() {
                "rejected" | "lost" => None,
                NO_SPLIT => (at == 0).then(|| format!("{name} is not judged: {reason}")),
                _ => {
                    let way_out = more_to_learn(result).map(|more| format!("; {more}")).unwrap_or_default();
                    let then = if reason == NOTHING_AFTER { "" } else { " at its cutoffs" };
                    Some(format!("{name} is not judged{by}: {reason}{then}{way_out}"))
                }
            }
        };
        own.results.iter().filter_map(told).collect::<Vec<_>>()
    };
    judged.iter().enumerate().flat_map(of_family).collect()
}

/// What a person is told of series that a naive family served where the best of all was asked for.
fn fallen_back(judged: &[Judged<'_>]) -> Vec<String> {
    let of_family = |own: &Judged<'_>| {
        let told = |result: &SeriesResult| {
            Some(format!("{} fell back by {}: {}", result.name, own.family, result.fallback.as_ref()?))
        };
        own.results.iter().filter_map(told).collect::<Vec<_>>()
    };
    judged.iter().flat_map(of_family).collect()
}

/// What a fleet comes to of which no family was judged on a single series.
fn nothing_judged(judged: &[Judged<'_>]) -> Option<Failure> {
    let all = || judged.iter().flat_map(|own| &own.results);
    let first = all().next().filter(|_| all().all(|result| result.unjudged.is_some()))?;
    let (series_count, reason) = (judged[0].results.len(), first.unjudged.clone()?);
    let nothing = NothingJudged { series_count, first: first.name.clone(), reason, way_out: more_to_learn(first) };
    Some(Failure::new(Exit::Input, nothing))
}

/// Parts every series at its split, and says what of it a panel is to keep; a series without a split goes to
/// `unscored`.
fn at_splits(
    raw: &mut Vec<RawSeries>,
    splits: &Splits,
    lookback_steps: usize,
    horizon_steps: usize,
    unscored: &mut Vec<(String, &str, String)>,
) -> BuildOptions {
    let mut options = BuildOptions::lookback(lookback_steps);
    raw.retain_mut(|series| {
        let Some(split) = splits.of(&series.name) else {
            unscored.push((series.name.clone(), NO_SPLIT, "--splits has no row of it".into()));
            return false;
        };
        split.part(series);
        options.held_out.insert(series.name.clone(), split.held_out(horizon_steps));
        true
    });
    options
}

fn train_steps(panel: &Panel, series: usize, splits: &Splits) -> usize {
    let split = splits.of(panel.name(series)).expect("`at_splits` kept series with a split only");
    split.train_steps(panel, series)
}

/// What was said of one panel at every origin.
struct Test<'a> {
    panel: &'a Panel,
    season: usize,
    model: String,
    tested: Backtest<'a>,
    /// Regressors that its series have to do without.
    lacking: Vec<Lack>,
}

impl Test<'_> {
    fn said(&mut self, origin: usize) -> Said<'_> {
        Said {
            window: self.panel.window().until(|series| self.tested.origins().end(origin, series)),
            usable: self.tested.fold(0, origin).status.iter().map(FitStatus::is_usable).collect(),
            forecast: self.tested.forecast_mut(0, origin),
        }
    }
}

/// Makes what was said of aggregates and their parts agree at every origin, as it would have been served. Returns what a
/// person is told of those that could not.
fn make_coherent(wholes: &[Whole], tests: &mut [Test<'_>]) -> Vec<String> {
    let count = tests.first().map_or(0, |test| test.tested.origins().count());
    let mut told: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for origin in 0..count {
        let mut said: Vec<Said<'_>> = tests.iter_mut().map(|test| test.said(origin)).collect();
        for apart in aggregate::reconcile(wholes, &mut said) {
            told.entry(apart.series.clone()).or_insert((0, apart.to_string())).0 += 1;
        }
    }
    told.into_values().map(|(origins, apart)| format!("at {origins} of {count} origins {apart}")).collect()
}

fn result(test: &Test<'_>, series: usize) -> SeriesResult {
    let Test { panel, season, model, tested, .. } = test;
    let chosen = |origin: usize| tested.fold(0, origin).chosen[series].as_ref();
    let trusted = |origin| chosen(origin).map_or_else(|| model.clone(), |chosen| chosen.champion.clone());
    let (name, status) = (panel.name(series), &tested.fold(0, 0).status[series]);
    let mut result = SeriesResult::unscored(name, status.word(), &families::why(status, name, &test.lacking));
    result.model = trusted(0);
    for origin in 0..tested.origins().count() {
        let score = tested.score(0, origin, series, *season);
        if score.steps > 0 {
            result.by_model.entry(trusted(origin)).or_default().add(&score);
        }
        result.score.add(&score);
        let fallback = chosen(origin).and_then(|chosen| chosen.fallback.clone());
        result.fallback = result.fallback.or(fallback);
    }
    if result.score.steps > 0 {
        result.unjudged = None;
    } else if status.is_usable() {
        result.unjudged = Some(NOTHING_AFTER.into());
    }
    result
}
