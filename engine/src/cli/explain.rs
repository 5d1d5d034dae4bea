//! `foreshadow explain`: why a series is forecast as it is.

mod server;

use std::path::PathBuf;

use foreshadow_models::live::{Standing, Track};
use foreshadow_models::{BuildOptions, Fitted, FittedAuto, Forecast, Panel, Quantiles, RawSeries, SeriesNotes};
use miette::Diagnostic;

use super::failure::{Exit, Failure};
use super::output::{self, Output};
use super::progress::Step;
use super::regressors;
use super::settings::{Settings, open, pipeline_settings};
use crate::aggregate::{self, Plan, Whole};
use crate::config::{Config, ConfigError, Refusal};
use crate::explain::{Explanation, Family, Folds, Learned, Part, find};
use crate::families::{self, Bound, Future};
use crate::live::Live;
use crate::pipeline::{PipelineSettings, follow};
use crate::reading::Reading;

const EXAMPLES: &str = "Examples:
  foreshadow explain cpu --input metrics.csv --horizon 48
  foreshadow explain '{host=\"web-1\"}' --input metrics.parquet --horizon 288 --plot why.html
  foreshadow explain web-1 --config foreshadow.toml --issues 28 --output json
  foreshadow explain web-1 --server http://127.0.0.1:7461

The series is followed through its newest past as `foreshadow serve` would have: an issue each quarter of a horizon, \
each judged by what came after it. With --server a running `foreshadow serve` is asked instead: what it serves now, and \
what it noted since it started to.";

/// Steps of history that an issue must see.
const LEAST_STEPS: usize = 16;
/// Horizons of history that a plot shows.
const SHOWN_HORIZONS: usize = 3;

/// Flags of `foreshadow explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The series: its whole name, or a part of it that no other has
    series: String,
    /// Past issues to follow it through
    #[arg(long, value_name = "COUNT", default_value_t = 12, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    issues: u16,
    /// Ask a running `foreshadow serve` where it listens for HTTP (http://127.0.0.1:7461, unix:/path); no telemetry is read
    #[arg(long, value_name = "URL", conflicts_with_all = ["issues", "input", "horizon", "lookback", "models"])]
    server: Option<String>,
    /// Write a page with the plot, which opens without a network
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Tables and a plot for people, or one JSON object
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    #[command(flatten)]
    settings: Settings,
}

/// Why a series cannot be explained.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum ExplainError {
    #[error("{series} cannot be forecast: {reason}")]
    Rejected { series: String, reason: String },
    #[error("{path} cannot be written")]
    Page {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let explanation = match &args.server {
        Some(url) => server::ask(url, &args.series)?,
        None => learn(args)?,
    };
    if let Some(path) = &args.plot {
        std::fs::write(path, explanation.page().into_string()).map_err(|source| {
            Failure::new(Exit::Disk, ExplainError::Page { path: path.display().to_string(), source })
        })?;
    }
    match args.output {
        Output::Json => output::print_json(&explanation),
        Output::Table => output::print(&explanation.text()),
    }
}

/// Reads the telemetry and follows the series in it.
fn learn(args: &Args) -> Result<Explanation, Failure> {
    let config = args.settings.load()?;
    let models = config.forecast().models();
    if !matches!(models, [name] if families::is_auto(name)) {
        let way_out = "explain shows how auto chooses: --models auto; `foreshadow backtest` judges one family alone";
        let refusal = Refusal::new("forecast.models", models, way_out);
        return Err(ConfigError::Invalid { refusal, place: "explain".into() }.into());
    }
    // Not the configured quantiles: what is shown is of these.
    let mut settings = PipelineSettings {
        quantiles: Quantiles::standard(),
        ..pipeline_settings(&config, regressors::read(&config)?, open(config.forecast().device())?)
    };
    let issues = usize::from(args.issues);
    let steps = settings.lookback_steps + issues * spacing(&settings);
    let One { panel, notes, wholes } = one(args.settings.read(&config)?, &config, &args.series, steps)?;
    output::tell(&wholes.iter().filter_map(|whole| alone(whole, panel.name(0))).collect::<Vec<_>>());
    if wholes.iter().any(|whole| whole.series == panel.name(0)) {
        settings.regressors = settings.regressors.for_built();
    }
    Ok(explain(&panel, notes, &settings, issues)?.explanation())
}

/// What is told of a series whose forecast is made to agree with others' before it is served.
fn alone(whole: &Whole, series: &str) -> Option<String> {
    let has_part = || whole.parts.iter().any(|part| part == series);
    let told = |what: &str| format!("{what}; its forecast is shown as it is before the two are made to agree");
    match whole.series == series {
        true => Some(told(&format!("{series} is made of {} parts", whole.parts.len()))),
        false => has_part().then(|| told(&format!("{series} is a part of {}", whole.series))),
    }
}

/// One series in a panel of its own, with what was mended in it and the aggregates that there are.
struct One {
    panel: Panel,
    notes: SeriesNotes,
    wholes: Vec<Whole>,
}

/// The one series that a word means, the configured aggregates being among them.
fn one(raw: Vec<RawSeries>, config: &Config, wanted: &str, lookback_steps: usize) -> Result<One, Failure> {
    let reading = Reading::from(config);
    let plan = Plan::of(config.aggregates(), raw.iter().map(|series| series.name.as_str()));
    let mut read = reading.build(raw, BuildOptions::lookback(lookback_steps));
    read.set.rejected.extend(plan.rejected);
    let wholes = aggregate::extend(&mut read.set, &plan.wanted, lookback_steps);
    let (set, warnings) = read.finish(&reading, config.forecast().horizon());
    let places: Vec<(usize, usize)> = (0..set.panels.len())
        .flat_map(|panel| (0..set.panels[panel].series_count()).map(move |series| (panel, series)))
        .collect();
    let built = places.iter().map(|(panel, series)| set.panels[*panel].name(*series));
    let names: Vec<&str> = built.chain(set.rejected.iter().map(|rejected| rejected.name.as_str())).collect();
    let at = find(&names, wanted).map_err(|unfound| Failure::new(Exit::Input, unfound))?;
    let Some((whole, series)) = places.get(at).map(|(panel, series)| (&set.panels[*panel], *series)) else {
        let rejected = &set.rejected[at - places.len()];
        let (series, reason) = (rejected.name.clone(), rejected.reason.clone());
        return Err(Failure::new(Exit::Input, ExplainError::Rejected { series, reason }));
    };
    let warnings = warnings.into_iter().chain(wholes.iter().filter_map(Whole::incomplete));
    let own: Vec<String> = warnings.filter(|warning| warning.starts_with(whole.name(series))).collect();
    output::tell(&own);
    let panel = whole.part(series, 0..whole.values(series).len());
    let notes = set.notes[places[at].0][series].clone();
    Ok(One { panel, notes, wholes })
}

/// Everything that is learned of a series.
struct Explained {
    panel: Panel,
    notes: SeriesNotes,
    fitted: FittedAuto,
    forecast: Forecast,
    live: Live,
    /// Past issues it was followed through, and the steps between them.
    issues: usize,
    spacing: usize,
}

/// Steps between two past issues.
fn spacing(settings: &PipelineSettings) -> usize {
    settings.horizon.steps().div_ceil(4)
}

/// Follows the series of a panel through its newest past and makes the issue at its end.
fn explain(
    whole: &Panel,
    notes: SeriesNotes,
    settings: &PipelineSettings,
    issues: usize,
) -> Result<Explained, Failure> {
    let (spacing, name, steps) = (spacing(settings), whole.name(0), whole.values(0).len());
    let issues = issues.min(steps.saturating_sub(LEAST_STEPS) / spacing);
    let step = Step::new(format!("following {name} through {issues} issues"));
    let mut live = Live::default();
    for past in (0..=issues).rev() {
        step.set(issues - past, issues + 1);
        let end = steps - past * spacing;
        let start = end.saturating_sub(settings.lookback_steps);
        let panel = whole.part(0, start..end);
        let PipelineSettings { prophet, regressors, horizon, seed, .. } = settings;
        let Bound { prophet, lacking } = regressors.bind(prophet, &panel, *horizon, Future::Forecast, *seed)?;
        let made = follow(&panel, &prophet, settings, &mut live)?;
        if past == 0 {
            output::tell(&regressors::warnings(&lacking));
            let (fitted, forecast) = made;
            return Ok(Explained { panel, notes, fitted, forecast, live, issues, spacing });
        }
    }
    unreachable!("the last past issue is the one at the end")
}

impl Explained {
    fn track(&self) -> Option<&Track> {
        self.live.track(self.panel.name(0))
    }

    /// Every family with its error on the folds and live, the smallest on the folds first.
    fn families(&self) -> Vec<Family> {
        let standings: Vec<Standing<'_>> = self.track().map(Track::standings).unwrap_or_default();
        let live = |name: &str| standings.iter().find(|live| live.name == name).and_then(|live| live.error);
        let losses = self.fitted.choice(0).losses.iter();
        let family = |(name, loss): &(String, Option<f64>)| Family {
            name: name.clone(),
            error_on_folds: *loss,
            error_live: live(name),
        };
        let mut families: Vec<Family> = losses.map(family).collect();
        let key = |family: &Family| family.error_on_folds.unwrap_or(f64::INFINITY);
        families.sort_by(|a, b| key(a).total_cmp(&key(b)));
        families
    }

    fn explanation(&self) -> Explanation {
        let (choice, values) = (self.fitted.choice(0), self.panel.values(0));
        let level = |level: f64| {
            let index = self.forecast.quantiles().index_of(level).expect("explain forecasts the standard levels");
            self.forecast.quantile(0, index).to_vec()
        };
        let newest = values.len().saturating_sub(SHOWN_HORIZONS * self.forecast.horizon().steps());
        let part = |(name, weight): &(String, f64)| Part { name: name.clone(), weight: *weight };
        Explanation {
            series: self.panel.name(0).into(),
            step_ms: self.panel.step_ms(),
            cutoff_ms: self.panel.cutoff_ms(0),
            champion: choice.chosen.champion.clone(),
            held_out: choice.held_out.as_ref().map(|held_out| Folds {
                folds: held_out.folds,
                mase: held_out.mase,
                mase_seasonal_naive: held_out.mase_seasonal_naive,
                coverage95_percent: held_out.coverage95_percent,
            }),
            families: self.families(),
            trouble: self.track().and_then(Track::trouble),
            switches: self.track().map(|track| track.switches().cloned().collect()).unwrap_or_default(),
            mean: self.forecast.mean(0).to_vec(),
            low95: Some(level(0.025)),
            high95: Some(level(0.975)),
            learned: Some(Learned {
                steps: values.len(),
                missing_steps: values.iter().filter(|value| value.is_nan()).count(),
                status: self.fitted.status()[0].word().into(),
                read_as: output::read_as(&self.panel, 0, &self.notes),
                read_as_text: output::read_as_text(&self.panel, 0, &self.notes),
                seasons: choice.seasons.clone(),
                fallback: choice.chosen.fallback.clone(),
                parts: choice.parts.iter().map(part).collect(),
                picking_folds: choice.picking_folds,
                issues: self.issues,
                issue_spacing_steps: self.spacing,
                newest: values[newest..].to_vec(),
            }),
            issued: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> RawSeries {
        let steps = 24 * 21;
        let value = |hour: usize| {
            10.0 + 3.0 * (hour as f64 / 24.0 * std::f64::consts::TAU).sin() + (hour * 7919 % 13) as f64 / 20.0
        };
        RawSeries {
            name: name.into(),
            times_ms: (0..steps as i64).map(|hour| hour * 3_600_000).collect(),
            values: (0..steps).map(value).collect(),
        }
    }

    fn settings() -> PipelineSettings {
        PipelineSettings { horizon: foreshadow_models::Horizon::new(24).unwrap(), ..PipelineSettings::default() }
    }

    fn config(text: &str) -> Config {
        Config::from_toml(text, "foreshadow.toml", &[]).unwrap()
    }

    fn panel(raw: RawSeries) -> Panel {
        let name = raw.name.clone();
        one(vec![raw], &config(""), &name, 8_192).unwrap().panel
    }

    #[test]
    fn what_is_told_is_what_serves() {
        let explained = explain(&panel(named("cpu")), SeriesNotes::default(), &settings(), 6).unwrap();
        assert_eq!((explained.issues, explained.spacing), (6, 6));
        let explanation = explained.explanation();
        let text = explanation.text();
        let champion = explained.track().unwrap().champion().unwrap();
        assert!(text.contains(&format!("served by {champion}")) && text.contains("1 day"), "{text}");
        assert_eq!(explanation.champion, champion);
        assert!(explanation.families.iter().any(|family| family.error_live.is_some()));
        assert_eq!(explanation.mean.len(), 24);
        assert!(explanation.page().into_string().contains("shadow"));
    }

    #[test]
    fn a_short_series_is_followed_as_far_as_it_goes() {
        let mut short = named("cpu");
        short.times_ms.truncate(30);
        short.values.truncate(30);
        assert_eq!(explain(&panel(short), SeriesNotes::default(), &settings(), 12).unwrap().issues, 2);
        let empty = RawSeries { name: "cpu".into(), times_ms: vec![0], values: vec![f64::NAN] };
        let refused = one(vec![empty], &config(""), "cpu", 100).err().unwrap().to_string();
        assert!(refused.contains("no finite value"), "{refused}");
    }

    #[test]
    fn an_aggregate_is_explained_like_any_other_and_says_what_it_is_made_of() {
        let text = "[[aggregate]]\nname = 'total'\nfunction = 'sum'\nselect = 'cpu'\n";
        let raw = ["cpu{h=\"1\"}", "cpu{h=\"2\"}"].map(named).to_vec();
        let One { panel, wholes, .. } = one(raw, &config(text), "tot", 8_192).unwrap();
        assert_eq!((panel.name(0), panel.values(0)[0]), ("total", 20.0));
        let told = |series: &str| wholes.iter().find_map(|whole| alone(whole, series)).unwrap_or_default();
        assert!(told("total").starts_with("total is made of 2 parts"), "{}", told("total"));
        assert!(told("cpu{h=\"1\"}").contains("is a part of total"));
        assert_eq!(told("memory"), "");
    }
}
