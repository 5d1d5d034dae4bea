//! `foreshadow forecast`: what every series is expected to do next.

use foreshadow_models::{Auto, BuildOptions, FitStatus, Fitted, FittedAuto, Forecast, Panel, Rejected, SeriesNotes};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Failure;
use super::output::{self, Format, number};
use super::progress::Step;
use super::regressors;
use super::settings::{Settings, only_model};
use crate::aggregate::{self, Apart, Said};
use crate::clock::{Clock, DAY_MS, SystemClock};
use crate::config::{Config, ConfigError, Refusal};
use crate::families::{self, Bound, Future, Lack, Regressors};
use crate::issue::rfc3339;
use crate::reading::Reading;
use crate::telemetry::parse_time;

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

/// One series' forecast, ready to be printed.
struct Row<'a> {
    panel: &'a Panel,
    name: &'a str,
    model: String,
    status: &'a FitStatus,
    cutoff_ms: i64,
    step_ms: i64,
    last: f64,
    notes: &'a SeriesNotes,
    forecast: &'a Forecast,
    series: usize,
    /// Whole futures, `[paths, horizon]`.
    paths: Vec<Vec<f64>>,
}

/// A panel's forecast with what was learned of each series.
struct PanelForecast {
    forecast: Forecast,
    /// What draws paths.
    auto: Option<FittedAuto>,
    status: Vec<FitStatus>,
    models: Vec<String>,
    lacking: Vec<Lack>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?;
    let name = only_model(&config, "forecast")?;
    if args.paths > 0 && name != "auto" {
        let way_out = "only auto draws paths: its past cutoffs tell how the errors of neighbouring steps go together";
        let refusal = Refusal::new("paths", args.paths, way_out);
        return Err(ConfigError::Invalid { refusal, place: "--paths".into() }.into());
    }
    let regressors = regressors::read(&config)?;
    let cutoff_ms = args.cutoff.as_deref().map(cutoff).transpose()?;
    let mut raw = args.settings.read(&config)?;
    if let Some(cutoff_ms) = cutoff_ms {
        for series in &mut raw {
            let kept: Vec<usize> = (0..series.times_ms.len()).filter(|at| series.times_ms[*at] <= cutoff_ms).collect();
            series.values = kept.iter().map(|at| series.values[*at]).collect();
            series.times_ms = kept.iter().map(|at| series.times_ms[*at]).collect();
        }
    }
    let reading = Reading::from(&config);
    let lookback_steps = config.forecast().lookback_steps();
    let mut read = reading.build(raw, BuildOptions::lookback(lookback_steps));
    let wholes = aggregate::extend(&mut read.set, config.aggregates(), lookback_steps);
    let (panels, warnings) = read.finish(&reading, config.forecast().horizon());
    let for_built = regressors.for_built();
    output::warn(&panels, warnings, SystemClock.now_ms());
    let of = |panel: &Panel| if aggregate::is_of(&wholes, panel) { &for_built } else { &regressors };
    let forecasts = panels.panels.iter().map(|panel| forecast(panel, name, &config, of(panel)));
    let mut forecasts: Vec<PanelForecast> = forecasts.collect::<Result<_, _>>()?;
    let mut said: Vec<Said<'_>> = panels.panels.iter().zip(&mut forecasts).map(PanelForecast::said).collect();
    let apart = aggregate::reconcile(&wholes, &mut said);
    output::tell(&apart.iter().map(Apart::to_string).collect::<Vec<_>>());
    let lacking: Vec<Lack> = forecasts.iter().flat_map(|made| made.lacking.clone()).collect();
    output::tell(&regressors::warnings(&lacking));
    let mut rows: Vec<Row<'_>> = Vec::with_capacity(panels.series_count());
    for ((panel, notes), made) in panels.panels.iter().zip(&panels.notes).zip(&forecasts) {
        rows.extend((0..panel.series_count()).map(|series| Row {
            panel,
            name: panel.name(series),
            model: made.models[series].clone(),
            status: &made.status[series],
            cutoff_ms: panel.cutoff_ms(series),
            step_ms: panel.step_ms(),
            last: panel.values(series).last().copied().unwrap_or(f64::NAN),
            notes: &notes[series],
            forecast: &made.forecast,
            series,
            paths: made.paths(panel, series, args.paths.into(), config.forecast().seed()),
        }));
    }
    rows.sort_by_key(|row| row.name);
    print(&rows, &panels.rejected, &lacking, &apart, args.output)
}

fn cutoff(text: &str) -> Result<i64, Failure> {
    parse_time(text).ok_or_else(|| {
        let refusal = Refusal::new("cutoff", text, "a time such as 2026-11-23T12:00:00Z is needed");
        ConfigError::Invalid { refusal, place: "--cutoff".into() }.into()
    })
}

fn forecast(panel: &Panel, name: &str, config: &Config, regressors: &Regressors) -> Result<PanelForecast, Failure> {
    let (window, seed, horizon) = (panel.window(), config.forecast().seed(), config.forecast().horizon());
    let step = Step::new(format!("forecasting {} series by {name}", panel.series_count()));
    let season = panel.steps_in(DAY_MS);
    let Bound { prophet, lacking } = regressors.bind(config.prophet(), panel, horizon, Future::Forecast, seed)?;
    let model = families::family(name, season, horizon, &prophet).expect("the settings were checked");
    let (mut auto, mut alone) = (None, None);
    let fitted: &dyn Fitted = match name {
        "auto" => {
            let own = Auto::new(horizon).with_prophet(prophet);
            auto.insert(own.run(&window, seed, &|done, total| step.set(done, total))?)
        }
        _ => &**alone.insert(model.fit(&window, seed)?),
    };
    let forecast = fitted.predict(horizon, &config.quantiles())?;
    let chosen = |series| fitted.chosen(series).map_or_else(|| model.name(), |chosen| chosen.champion);
    let models = (0..panel.series_count()).map(chosen).collect();
    let status = fitted.status().to_vec();
    Ok(PanelForecast { forecast, auto, status, models, lacking })
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

impl Row<'_> {
    fn time(&self, step: usize) -> String {
        rfc3339(self.cutoff_ms + (step as i64 + 1) * self.step_ms)
    }

    fn steps(&self) -> usize {
        self.forecast.horizon().steps()
    }

    fn levels(&self) -> &[f64] {
        self.forecast.quantiles().levels()
    }

    fn json(&self) -> Value {
        let mut quantiles = Map::new();
        for (index, level) in self.levels().iter().enumerate() {
            quantiles.insert(level.to_string(), json!(self.forecast.quantile(self.series, index)));
        }
        let notes = SeriesNotesJson::from(self.notes);
        let mut told = json!({
            "series": self.name, "model": self.model, "status": self.status.word(),
            "cutoff_ms": self.cutoff_ms, "step_ms": self.step_ms,
            "mean": self.forecast.mean(self.series), "quantiles": quantiles, "notes": notes,
            "read_as": output::read_as(self.panel, self.series, self.notes),
        });
        if !self.paths.is_empty() {
            told["paths"] = json!(self.paths);
        }
        told
    }
}

/// What was mended in a series; all zero for a clean one.
#[derive(Serialize)]
struct SeriesNotesJson {
    not_finite: usize,
    absurd_times: usize,
    out_of_order: usize,
    equal_duplicates: usize,
    conflicting: usize,
    snapped: usize,
    missing_steps: usize,
    beyond_lookback: usize,
    resets: usize,
    looks_like_counter: bool,
    out_of_bounds: usize,
}

impl From<&SeriesNotes> for SeriesNotesJson {
    fn from(notes: &SeriesNotes) -> Self {
        let SeriesNotes {
            not_finite,
            absurd_times,
            out_of_order,
            equal_duplicates,
            conflicting,
            snapped,
            missing_steps,
            beyond_lookback,
            is_rate: _,
            resets,
            looks_like_counter,
            out_of_bounds,
        } = *notes;
        Self {
            not_finite,
            absurd_times,
            out_of_order,
            equal_duplicates,
            conflicting,
            snapped,
            missing_steps,
            beyond_lookback,
            resets,
            looks_like_counter,
            out_of_bounds,
        }
    }
}

fn print(
    rows: &[Row<'_>],
    rejected: &[Rejected],
    lacking: &[Lack],
    apart: &[Apart],
    format: Format,
) -> Result<(), Failure> {
    match format {
        Format::Json => {
            let rejected: Vec<Value> = rejected.iter().map(|r| json!({"series": r.name, "reason": r.reason})).collect();
            let series: Vec<Value> = rows.iter().map(Row::json).collect();
            let mut told = json!({"series": series, "rejected": rejected});
            if !lacking.is_empty() {
                let lack = |l: &Lack| json!({"series": l.series, "regressor": l.regressor, "reason": l.to_string()});
                told["lacking"] = lacking.iter().map(lack).collect();
            }
            if !apart.is_empty() {
                let left = |apart: &Apart| json!({"series": apart.series, "reason": apart.reason});
                told["not_coherent"] = apart.iter().map(left).collect();
            }
            output::print_json(&told)
        }
        Format::Csv => print_csv(rows),
        Format::Table => {
            let mut table =
                output::table(&["series", "model", "status", "last", "next", "at the end", "80 % band there"]);
            let names = output::short_names(rows.iter().map(|row| row.name));
            for (row, name) in rows.iter().zip(names) {
                let mean = row.forecast.mean(row.series);
                let end = row.steps() - 1;
                let level = |q| {
                    let index = row.forecast.quantiles().index_of(q);
                    index.map(|index| row.forecast.quantile(row.series, index)[end])
                };
                let shown = |value: f64| number(value.is_finite().then_some(value));
                let [low, high] = [level(0.1), level(0.9)].map(|value| number(value.filter(|v| v.is_finite())));
                let told = [name, row.model.clone(), row.status.word().to_string()];
                let numbers = [shown(row.last), shown(mean[0]), shown(mean[end]), format!("{low} – {high}")];
                table.add_row([told.as_slice(), &numbers].concat());
            }
            output::print(&format!("{table}\n"))
        }
    }
}

fn print_csv(rows: &[Row<'_>]) -> Result<(), Failure> {
    let mut out = csv::Writer::from_writer(std::io::stdout().lock());
    let cell = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
    let levels = rows.first().map_or(&[][..], |row| row.levels());
    let header = ["series", "model", "status", "time", "mean"].map(String::from);
    let quantiles = levels.iter().map(|level| format!("q{level}"));
    let written = |error: csv::Error| Failure::from(std::io::Error::from(error));
    let drawn = rows.iter().map(|row| row.paths.len()).max().unwrap_or(0);
    let paths = (1..=drawn).map(|path| format!("path{path}"));
    out.write_record(header.into_iter().chain(quantiles).chain(paths)).map_err(written)?;
    for row in rows {
        for step in 0..row.steps() {
            let told = [row.name.to_string(), row.model.clone(), row.status.word().into(), row.time(step)];
            let mean = cell(row.forecast.mean(row.series)[step]);
            let quantiles = (0..levels.len()).map(|index| cell(row.forecast.quantile(row.series, index)[step]));
            let paths = (0..drawn).map(|path| row.paths.get(path).map_or(String::new(), |path| cell(path[step])));
            out.write_record(told.into_iter().chain([mean]).chain(quantiles).chain(paths)).map_err(written)?;
        }
    }
    Ok(out.flush()?)
}
