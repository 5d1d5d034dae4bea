//! `foreshadow backtest`: what forecasts would have been worth at past cutoffs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use foreshadow_models::metrics::{Accuracy, SeriesScore};
use foreshadow_models::{Backtest, BuildOptions, Model, Origins, Panel, PanelSet, backtest};
use serde::Serialize;

use super::Failure;
use super::output::{self, Format, number};
use super::progress::Step;
use super::settings::{Settings, only_model};
use super::splits::{Split, Splits};
use crate::clock::DAY_MS;
use crate::config::Config;
use crate::families;

const EXAMPLES: &str = "Examples:
  foreshadow backtest --input metrics.parquet --horizon 48
  foreshadow backtest --input metrics.csv --horizon 48 --models snaive --origins 5 --output csv
  foreshadow backtest --input m4_hourly.parquet --splits splits.csv --horizon 48 --mase-season 24 --output json

MASE and the interval score are scaled by the mean change over --mase-season in the training part, the same for
every family; a series without such a change is counted as unscaled.";

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
    fallback: bool,
    score: SeriesScore,
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
    count: usize,
    mase: Option<f64>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?;
    let name = only_model(&config, "backtest")?;
    let splits = args.splits.as_deref().map(Splits::read).transpose()?;
    let mut raw = args.settings.read(&config)?;
    let horizon_steps = config.forecast().horizon().steps();
    let lookback_steps = match &splits {
        Some(splits) => {
            raw.iter_mut().for_each(|series| {
                if let Some(split) = splits.of(&series.name) {
                    split.part(series);
                }
            });
            usize::MAX // each series is cut around its own split below
        }
        None => config.forecast().lookback_steps() + usize::from(args.origins) * horizon_steps,
    };
    let panels = PanelSet::build(raw, &BuildOptions { lookback_steps });
    output::warn(&panels);
    let started = Instant::now();
    let mut results: Vec<SeriesResult> = panels.rejected.iter().map(|r| unscored(&r.name, "rejected")).collect();
    for panel in &panels.panels {
        let season = args.mase_season.map_or_else(|| panel.steps_in(DAY_MS), |season| season as usize);
        let horizon = config.forecast().horizon();
        let model = families::family(name, season, horizon).expect("the settings were checked");
        match &splits {
            Some(splits) => {
                let (cut, train_steps) = cut(panel, splits, &config, &mut results);
                results.extend(evaluate(&cut, Origins::at(train_steps), &*model, season, &config)?);
            }
            None => {
                let origins = Origins::rolling(&panel.window(), horizon, args.origins.into(), horizon_steps);
                results.extend(evaluate(panel, origins, &*model, season, &config)?);
            }
        }
    }
    results.sort_by(|a, b| a.name.cmp(&b.name));
    print(&results, started.elapsed().as_secs_f64(), args.output)
}

fn unscored(name: &str, status: &str) -> SeriesResult {
    let score = SeriesScore::default();
    SeriesResult { name: name.into(), model: String::new(), status: status.into(), fallback: false, score }
}

/// The panel of those series that have a split, from the lookback before it to the horizon after it, and
/// how many steps of each are for training; a series without a split goes to `results` at once.
fn cut(panel: &Panel, splits: &Splits, config: &Config, results: &mut Vec<SeriesResult>) -> (Panel, Vec<usize>) {
    let (lookback, horizon) = (config.forecast().lookback_steps(), config.forecast().horizon().steps());
    let mut cut = Panel::new(panel.step_ms());
    let mut train_steps = Vec::new();
    for series in 0..panel.series_count() {
        let split: Option<Split> = splits.of(panel.name(series));
        let Some(split) = split else {
            results.push(unscored(panel.name(series), "no_split"));
            continue;
        };
        let values = panel.values(series);
        let end = split.train_steps(panel, series);
        let from = end.saturating_sub(lookback);
        let from = values[from..end].iter().position(|v| !v.is_nan()).map_or(end, |skip| from + skip);
        let start_ms = panel.start_ms(series) + from as i64 * panel.step_ms();
        cut.push(panel.name(series).into(), start_ms, &values[from..values.len().min(end + horizon)]);
        train_steps.push(end - from);
    }
    (cut, train_steps)
}

fn evaluate(
    panel: &Panel,
    origins: Origins,
    model: &dyn Model,
    season: usize,
    config: &Config,
) -> Result<Vec<SeriesResult>, Failure> {
    let (forecast, quantiles) = (config.forecast(), config.quantiles());
    let step = Step::new(format!("backtest of {} series by {}", panel.series_count(), model.name()));
    let tested: Backtest<'_> = backtest(
        &panel.window(),
        &[model],
        origins,
        forecast.horizon(),
        &quantiles,
        forecast.seed(),
        &|done, total| {
            step.set(done, total);
        },
    )?;
    let newest = tested.fold(0, 0);
    let result = |(series, score): (usize, SeriesScore)| {
        let chosen = newest.chosen[series].clone();
        SeriesResult {
            name: panel.name(series).into(),
            fallback: chosen.as_ref().is_some_and(|chosen| chosen.fallback.is_some()),
            model: chosen.map_or_else(|| model.name(), |chosen| chosen.champion),
            status: newest.status[series].word().into(),
            score,
        }
    };
    Ok(tested.scores(0, season).into_iter().enumerate().map(result).collect())
}

fn summarise(results: &[SeriesResult], seconds: f64) -> Summary {
    let scores: Vec<SeriesScore> = results.iter().map(|result| result.score.clone()).collect();
    let accuracy = Accuracy::of(&scores);
    let mut by_model: BTreeMap<String, Vec<SeriesScore>> = BTreeMap::new();
    for result in results.iter().filter(|result| result.score.steps > 0) {
        by_model.entry(result.model.clone()).or_default().push(result.score.clone());
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
