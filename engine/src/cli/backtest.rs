//! `foreshadow backtest`: what forecasts would have been worth at past cutoffs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use foreshadow_kernels::Device;
use foreshadow_models::metrics::{Accuracy, SeriesScore};
use foreshadow_models::{Backtest, BuildOptions, FitStatus, Model, Origins, Panel, Quantiles, RawSeries, backtest};
use serde::Serialize;

use super::Failure;
use super::fleet::{Fleet, Panels, Part};
use super::output::{self, Format, Warnings, number};
use super::progress::FleetStep;
use super::regressors;
use super::settings::{Settings, given, only_model, open};
use super::splits::Splits;
use crate::aggregate::{self, Said, Whole};
use crate::clock::DAY_MS;
use crate::config::Config;
use crate::families::{self, Bound, Future, Regressors, Working};

const EXAMPLES: &str = "Examples:
  foreshadow backtest --input metrics.parquet --horizon 48
  foreshadow backtest --input metrics.csv --horizon 48 --models snaive --origins 5 --output csv
  foreshadow backtest --input m4_hourly.parquet --splits splits.csv --horizon 48 --mase-season 24 --output json

MASE and the interval score are scaled by the mean change over --mase-season in the training part, the same for
every family; a series without such a change is counted as unscaled.

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
    /// Table and json sum up; csv has one row a series
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    settings: Settings,
}

/// One series' result.
struct SeriesResult {
    name: String,
    model: String,
    status: String,
    /// At any origin.
    fallback: bool,
    score: SeriesScore,
    /// The same by the family that was trusted at each origin.
    by_model: BTreeMap<String, SeriesScore>,
}

/// The whole result, as `--output json` prints it.
#[derive(Debug, Serialize)]
struct Summary {
    series: usize,
    failed: usize,
    fallback: usize,
    unscaled: usize,
    mase: Option<f64>,
    smape: Option<f64>,
    wql: Option<f64>,
    msis95: Option<f64>,
    coverage: BTreeMap<&'static str, Option<f64>>,
    seconds: f64,
    models: BTreeMap<String, ModelSummary>,
}

#[derive(Debug, Serialize)]
struct ModelSummary {
    /// Series that it was trusted with at one origin or more.
    count: usize,
    mase: Option<f64>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?;
    let name = only_model(&config, "backtest")?;
    let splits = args.splits.as_deref().map(Splits::read).transpose()?;
    let regressors = regressors::read(&config)?;
    output::tell(regressors::unused(&config).as_slice());
    let (horizon, levels) = (config.forecast().horizon(), Quantiles::standard().levels().len());
    let origins = if splits.is_some() { 1 } else { usize::from(args.origins) };
    let lookback_steps = match &splits {
        Some(_) => config.forecast().lookback_steps(),
        None => config.forecast().lookback_steps() + origins * horizon.steps(),
    };
    let working = Working { family: name, lookback_steps, horizon, levels };
    let said = (origins * horizon.steps() * (levels + 1) * size_of::<f64>()) as u64;
    // Splits tell the origins of their rows, and aggregates have none.
    let aggregates = if splits.is_some() { &[] } else { config.aggregates() };
    let message = |count| format!("backtest of {count} series by {name}");
    let bytes = |samples| working.bytes(samples) + said;
    let mut fleet = Fleet::read(&args.settings, &config, aggregates, bytes, message)?;
    if aggregates.len() < config.aggregates().len() {
        output::tell(&["[[aggregate]] is not looked at beside --splits".into()]);
    }
    let progress = fleet.progress();
    let (for_built, splits) = (regressors.for_built(), splits.as_ref());
    let task = Task {
        args,
        config: &config,
        name,
        device: open(config.forecast().device())?,
        splits,
        regressors: &regressors,
        for_built: &for_built,
        lookback_steps,
        progress,
    };
    let started = Instant::now();
    let (mut results, mut told) = (Vec::new(), Default::default());
    let lost = fleet.each(|fleet, part| task.work(fleet, part, &mut results, &mut told))?;
    drop((task, told, fleet)); // the bar goes, and what was only counted is told
    results.extend(lost.series.iter().map(|lost| unscored(&lost.name, "lost")));
    results.sort_by(|a, b| a.name.cmp(&b.name));
    output::tell(&unjudged(&results));
    print(&results, started.elapsed().as_secs_f64(), args.output)?;
    lost.failure.map_or(Ok(()), Err)
}

/// What is done with every batch.
struct Task<'a> {
    args: &'a Args,
    config: &'a Config,
    name: &'a str,
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
        results: &mut Vec<SeriesResult>,
        told: &mut [Warnings; 2],
    ) -> Result<(), Failure> {
        let Self { args, config, name, splits, .. } = self;
        let (horizon, seed) = (config.forecast().horizon(), config.forecast().seed());
        let mut own = Vec::new();
        let options = match splits {
            Some(splits) => at_splits(&mut part.raw, splits, self.lookback_steps, horizon.steps(), &mut own),
            None => BuildOptions::lookback(self.lookback_steps),
        };
        let Panels { set, wholes } = fleet.panels(part, options, horizon);
        own.extend(set.rejected.iter().map(|r| unscored(&r.name, "rejected")));
        let mut tests = Vec::with_capacity(set.panels.len());
        for panel in &set.panels {
            let season = args.mase_season.map_or_else(|| panel.steps_in(DAY_MS), |season| season as usize);
            let regressors = if aggregate::is_of(&wholes, panel) { self.for_built } else { self.regressors };
            let Bound { prophet, lacking } =
                regressors.bind(config.prophet(), panel, horizon, Future::Repeated, seed)?;
            self.progress.aside(|| told[0].tell(regressors::warnings(&lacking)));
            let model = families::family(name, season, &given(config, &prophet, &self.device))
                .expect("the settings were checked");
            let origins = match splits {
                Some(splits) => Origins::at((0..panel.series_count()).map(|s| train_steps(panel, s, splits)).collect()),
                None => Origins::rolling(&panel.window(), horizon, args.origins.into(), horizon.steps()),
            };
            let tested = self.evaluate(panel, origins, &*model)?;
            tests.push(Test { panel, season, model: model.name(), tested });
        }
        let apart = make_coherent(&wholes, &mut tests);
        self.progress.aside(|| told[1].tell(apart));
        for test in &tests {
            own.extend((0..test.panel.series_count()).map(|series| result(test, series)));
        }
        results.extend(own);
        Ok(())
    }

    fn evaluate<'p>(&self, panel: &'p Panel, origins: Origins, model: &dyn Model) -> Result<Backtest<'p>, Failure> {
        // Not the configured quantiles: the measures are of these.
        let (forecast, quantiles) = (self.config.forecast(), Quantiles::standard());
        let heard = |done, total| self.progress.set(panel, done, total);
        let (window, seed) = (panel.window(), forecast.seed());
        let tested = backtest(&window, &[model], origins, forecast.horizon(), &quantiles, seed, &heard)?;
        self.progress.pass(panel);
        Ok(tested)
    }
}

/// What a person is told of series that no step was judged of, but for those whose loss was told already.
fn unjudged(results: &[SeriesResult]) -> Vec<String> {
    let told = |SeriesResult { name, status, .. }: &SeriesResult| match status.as_str() {
        "rejected" | "lost" => None,
        "no_split" => Some(format!("{name} is not judged: --splits has no row of it")),
        status => Some(format!(
            "{name} is not judged: {status} at its cutoffs; fewer --origins or a shorter --horizon leave it more to learn from"
        )),
    };
    results.iter().filter(|result| result.score.steps == 0).filter_map(told).collect()
}

fn unscored(name: &str, status: &str) -> SeriesResult {
    let (score, by_model) = (SeriesScore::default(), BTreeMap::new());
    SeriesResult { name: name.into(), model: String::new(), status: status.into(), fallback: false, score, by_model }
}

/// Parts every series at its split, and says what of it a panel is to keep; a series without a split goes to
/// `results` at once.
fn at_splits(
    raw: &mut Vec<RawSeries>,
    splits: &Splits,
    lookback_steps: usize,
    horizon_steps: usize,
    results: &mut Vec<SeriesResult>,
) -> BuildOptions {
    let mut options = BuildOptions::lookback(lookback_steps);
    raw.retain_mut(|series| {
        let Some(split) = splits.of(&series.name) else {
            results.push(unscored(&series.name, "no_split"));
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
    let Test { panel, season, model, tested } = test;
    let chosen = |origin: usize| tested.fold(0, origin).chosen[series].as_ref();
    let trusted = |origin| chosen(origin).map_or_else(|| model.clone(), |chosen| chosen.champion.clone());
    let mut result = unscored(panel.name(series), tested.fold(0, 0).status[series].word());
    result.model = trusted(0);
    for origin in 0..tested.origins().count() {
        let score = tested.score(0, origin, series, *season);
        if score.steps > 0 {
            result.by_model.entry(trusted(origin)).or_default().add(&score);
        }
        result.score.add(&score);
        result.fallback |= chosen(origin).is_some_and(|chosen| chosen.fallback.is_some());
    }
    result
}

fn summarise(results: &[SeriesResult], seconds: f64) -> Summary {
    let scores: Vec<SeriesScore> = results.iter().map(|result| result.score.clone()).collect();
    let accuracy = Accuracy::of(&scores);
    let mut by_model: BTreeMap<String, Vec<SeriesScore>> = BTreeMap::new();
    for (model, score) in results.iter().flat_map(|result| &result.by_model) {
        by_model.entry(model.clone()).or_default().push(score.clone());
    }
    let of_model = |scores: Vec<SeriesScore>| ModelSummary { count: scores.len(), mase: Accuracy::of(&scores).mase };
    Summary {
        series: results.len(),
        failed: results.len() - accuracy.scored,
        fallback: results.iter().filter(|result| result.fallback).count(),
        unscaled: accuracy.unscaled,
        mase: accuracy.mase,
        smape: accuracy.smape,
        wql: accuracy.wql,
        msis95: accuracy.msis95,
        coverage: BTreeMap::from([("80", accuracy.coverage80), ("95", accuracy.coverage95)]),
        seconds,
        models: by_model.into_iter().map(|(name, scores)| (name, of_model(scores))).collect(),
    }
}

fn print(results: &[SeriesResult], seconds: f64, format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::print_json(&summarise(results, seconds)),
        Format::Csv => {
            let mut rows = csv::Writer::from_writer(Vec::new());
            let cell = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
            let header = ["series", "model", "status", "steps", "mase", "smape", "msis95", "coverage95_percent"];
            let mut write = |row: &[String]| rows.write_record(row).expect("a vector takes every row");
            write(&header.map(String::from));
            for SeriesResult { name, model, status, score, .. } in results {
                let (smape, msis95, coverage) = (cell(score.smape()), cell(score.msis95()), cell(score.coverage95()));
                let steps = score.steps.to_string();
                let told = [name, model, status].map(String::clone);
                write(&[&told[..], &[steps, cell(score.mase()), smape, msis95, coverage]].concat());
            }
            let bytes = rows.into_inner().expect("a vector takes every row");
            output::print(&String::from_utf8_lossy(&bytes))
        }
        Format::Table => {
            let summary = summarise(results, seconds);
            let mut models = output::table(&["model", "series", "MASE"]);
            for (name, model) in &summary.models {
                models.add_row([name.clone(), model.count.to_string(), number(model.mase)]);
            }
            let mut measures = output::table(&["MASE", "sMAPE %", "wql", "MSIS 95", "in 80 % band", "in 95 % band"]);
            let of_band = |band| number(summary.coverage[band]);
            let Summary { mase, smape, wql, msis95, .. } = summary;
            let numbers = [mase, smape, wql, msis95].map(number);
            measures.add_row([&numbers[..], &[of_band("80"), of_band("95")]].concat());
            let Summary { series, failed, fallback, unscaled, .. } = summary;
            let told = format!(
                "{series} series in {seconds:.1} s: {failed} failed, {fallback} fell back, {unscaled} without a scale"
            );
            output::print(&format!("{models}\n{measures}\n{told}\n"))
        }
    }
}
