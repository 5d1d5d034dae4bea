//! `foreshadow forecast`: what every series is expected to do next.

use std::io::Write;

use foreshadow_kernels::Device;
use foreshadow_models::{BuildOptions, FitStatus, Fitted, FittedAuto, Forecast, Panel, RawSeries};

use super::Failure;
use super::fleet::{Fleet, Panels, Part};
use super::output::{self, Format};
use super::progress::FleetStep;
use super::regressors;
use super::settings::{Settings, given, only_model, open};
use crate::aggregate::{self, Said};
use crate::clock::DAY_MS;
use crate::config::{Config, ConfigError, Refusal};
use crate::families::{self, Bound, Future, Lack, Regressors, Working};
use crate::telemetry::parse_time;
use printer::Printer;
use row::Row;

mod printer;
mod row;

const EXAMPLES: &str = "Examples:
  foreshadow forecast --input metrics.parquet --horizon 48
  foreshadow forecast --input metrics.csv.gz --horizon 288 --output csv > forecast.csv
  foreshadow forecast --input metrics.csv --cutoff 2026-11-23T00:00:00Z --horizon 24 --output json
  foreshadow forecast --input metrics.csv --regressors traffic.csv --models prophet --horizon 48
  foreshadow forecast --input metrics.csv --time-zone Europe/Berlin --horizon 48
  foreshadow forecast --input metrics.csv --horizon 24 --paths 200 --output json
  foreshadow forecast --config foreshadow.toml

The bands take regressors for certain, those too whose own future was forecast (known_future = false); auto's bands \
come from past cutoffs, where that future was not known either.";

/// Flags of `foreshadow forecast`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Forecast as if it were then: no later sample is looked at (2026-11-23T12:00:00Z)
    #[arg(long, value_name = "TIME")]
    cutoff: Option<String>,
    /// Whole futures to draw of every series, for csv and json: what a sum or a maximum over several steps may be
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    paths: u16,
    /// Table has one row a series, csv one row a step, json everything
    #[arg(long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    settings: Settings,
}

/// A panel's forecast with what was learned of each series.
struct PanelForecast {
    forecast: Forecast,
    /// What draws paths.
    auto: Option<FittedAuto>,
    status: Vec<FitStatus>,
    models: Vec<String>,
    /// Why each series that has no forecast has none.
    refused: Vec<Option<String>>,
    /// Why a series is forecast by a naive family where the best of all was asked for.
    fallbacks: Vec<Option<String>>,
    lacking: Vec<Lack>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?;
    let name = only_model(&config)?;
    if args.paths > 0 && !families::is_auto(name) {
        let way_out = "only auto draws paths: its past cutoffs tell how the errors of neighbouring steps go together";
        let refusal = Refusal::new("paths", args.paths, way_out);
        return Err(ConfigError::Invalid { refusal, place: "--paths".into() }.into());
    }
    let regressors = regressors::read(&config)?;
    output::tell(regressors::unused(&config).as_slice());
    let cutoff_ms = args.cutoff.as_deref().map(cutoff).transpose()?;
    let (horizon, quantiles) = (config.forecast().horizon(), config.quantiles());
    let lookback_steps = config.forecast().lookback_steps();
    let working = Working { family: name, lookback_steps, horizon, levels: quantiles.levels().len() };
    let message = |count| format!("forecasting {count} series by {name}");
    let bytes = |samples| working.bytes(samples);
    let mut fleet = Fleet::read(&args.settings, &config, config.aggregates(), bytes, message)?;
    let mut out = Printer::new(std::io::stdout().lock(), args.output, quantiles.levels(), args.paths.into());
    let progress = fleet.progress();
    let (device, for_built) = (open(config.forecast().device())?, &regressors.for_built());
    let task = Task { args, config: &config, name, device, regressors: &regressors, for_built, cutoff_ms };
    let lost = fleet.each(|fleet, part| task.work(fleet, part, &progress, &mut out))?;
    out.reject(lost.series);
    let nothing = out.nothing_usable();
    progress.aside(|| out.finish())?;
    lost.failure.or(nothing).map_or(Ok(()), Err)
}

/// What is done with every batch.
struct Task<'a> {
    args: &'a Args,
    config: &'a Config,
    name: &'a str,
    device: Device,
    regressors: &'a Regressors,
    /// Those of series that are made of others.
    for_built: &'a Regressors,
    cutoff_ms: Option<i64>,
}

impl Task<'_> {
    fn work<W: Write>(
        &self,
        fleet: &mut Fleet,
        mut part: Part,
        progress: &FleetStep,
        out: &mut Printer<W>,
    ) -> Result<(), Failure> {
        let Self { args, config, name, .. } = self;
        if let Some(cutoff_ms) = self.cutoff_ms {
            part.raw.iter_mut().for_each(|series| cut(series, cutoff_ms));
        }
        let options = BuildOptions::lookback(config.forecast().lookback_steps());
        let Panels { set, wholes } = fleet.panels(part, options, config.forecast().horizon());
        let of = |panel: &Panel| if aggregate::is_of(&wholes, panel) { self.for_built } else { self.regressors };
        let forecast = |panel: &Panel| {
            let made = forecast(panel, (name, &self.device), config, of(panel), &|done, total| {
                progress.set(panel, done, total)
            })?;
            progress.pass(panel);
            Ok(made)
        };
        let mut forecasts: Vec<PanelForecast> = set.panels.iter().map(forecast).collect::<Result<_, Failure>>()?;
        let mut said: Vec<Said<'_>> = set.panels.iter().zip(&mut forecasts).map(PanelForecast::said).collect();
        let apart = aggregate::reconcile(&wholes, &mut said);
        let lacking = forecasts.iter_mut().flat_map(|made| std::mem::take(&mut made.lacking)).collect();
        progress.aside(|| (out.leave(apart), out.lack(lacking)));
        let (paths, seed) = (args.paths.into(), config.forecast().seed());
        let draw = |(panel, made)| {
            Box::new(move |series| PanelForecast::paths(made, panel, series, paths, seed)) as Box<Draw<'_>>
        };
        let draws: Vec<Box<Draw<'_>>> = set.panels.iter().zip(&forecasts).map(draw).collect();
        let mut rows: Vec<Row<'_>> = Vec::with_capacity(set.series_count());
        for (((panel, notes), made), draw) in set.panels.iter().zip(&set.notes).zip(&forecasts).zip(&draws) {
            rows.extend((0..panel.series_count()).map(|series| Row {
                panel,
                name: panel.name(series),
                model: made.models[series].clone(),
                status: &made.status[series],
                refused: made.refused[series].as_deref(),
                fallback: made.fallbacks[series].as_deref(),
                cutoff_ms: panel.cutoff_ms(series),
                step_ms: panel.step_ms(),
                last: panel.values(series).last().copied().unwrap_or(f64::NAN),
                notes: &notes[series],
                forecast: &made.forecast,
                series,
                draw,
            }));
        }
        rows.sort_by_key(|row| row.name);
        progress.aside(|| out.rows(&rows))?;
        out.reject(set.rejected);
        Ok(())
    }
}

/// Draws whole futures of a series.
type Draw<'a> = dyn Fn(usize) -> Vec<Vec<f64>> + 'a;

/// Drops what came after a cutoff.
fn cut(series: &mut RawSeries, cutoff_ms: i64) {
    let kept: Vec<usize> = (0..series.times_ms.len()).filter(|at| series.times_ms[*at] <= cutoff_ms).collect();
    series.values = kept.iter().map(|at| series.values[*at]).collect();
    series.times_ms = kept.iter().map(|at| series.times_ms[*at]).collect();
}

fn cutoff(text: &str) -> Result<i64, Failure> {
    parse_time(text).ok_or_else(|| {
        let refusal = Refusal::new("cutoff", text, "a time such as 2026-11-23T12:00:00Z is needed");
        ConfigError::Invalid { refusal, place: "--cutoff".into() }.into()
    })
}

fn forecast(
    panel: &Panel,
    (name, device): (&str, &Device),
    config: &Config,
    regressors: &Regressors,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<PanelForecast, Failure> {
    let (window, seed, horizon) = (panel.window(), config.forecast().seed(), config.forecast().horizon());
    let season = panel.steps_in(DAY_MS);
    let Bound { prophet, lacking } = regressors.bind(config.prophet(), panel, horizon, Future::Forecast, seed)?;
    let model = families::family(name, season, &given(config, &prophet, device)).expect("the settings were checked");
    let (mut auto, mut alone) = (None, None);
    let fitted: &dyn Fitted = match families::auto(name, season, &given(config, &prophet, device)) {
        Some(own) => auto.insert(own.run(&window, seed, progress)?),
        None => &**alone.insert(model.fit(&window, seed)?),
    };
    let forecast = fitted.predict(horizon, &config.quantiles())?;
    let chosen =
        |series| fitted.chosen(series).map_or_else(|| (model.name(), None), |own| (own.champion, own.fallback));
    let (models, fallbacks) = (0..panel.series_count()).map(chosen).unzip();
    let status = fitted.status().to_vec();
    let refused = |(s, status): (usize, &FitStatus)| match status.is_usable() {
        true => (!forecast.is_finite(s)).then(|| "its forecast is not finite".into()),
        false => Some(families::why(status, panel.name(s), &lacking)),
    };
    let refused = status.iter().enumerate().map(refused).collect();
    Ok(PanelForecast { forecast, auto, status, models, refused, fallbacks, lacking })
}

impl PanelForecast {
    /// So many futures of a series; none where it has no forecast.
    fn paths(&self, panel: &Panel, series: usize, count: usize, seed: u64) -> Vec<Vec<f64>> {
        let auto = self.auto.as_ref().filter(|_| count > 0 && self.status[series].is_usable());
        let drawn = auto.and_then(|auto| auto.paths(panel.name(series), series, &self.forecast, count, seed));
        drawn.unwrap_or_default()
    }

    fn said<'a>((panel, made): (&'a Panel, &'a mut Self)) -> Said<'a> {
        let usable = made.status.iter().enumerate().map(|(s, status)| status.is_usable() && made.forecast.is_finite(s));
        Said { usable: usable.collect(), window: panel.window(), forecast: &mut made.forecast }
    }
}
