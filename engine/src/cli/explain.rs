//! `foreshadow explain`: why a series is forecast as it is.

use std::path::PathBuf;

use foreshadow_models::live::{Standing, Track};
use foreshadow_models::{
    BuildOptions, Choice, Fitted, FittedAuto, Forecast, Panel, PanelSet, Quantiles, RawSeries, SeriesNotes,
};
use maud::html;
use miette::Diagnostic;
use plotly::common::DashType;
use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::output::{self, Output, number};
use super::plotting::{OBSERVED, SHADOW, band, drawn, framed, line, page};
use super::progress::Step;
use super::regressors;
use super::settings::{Settings, pipeline_settings};
use crate::families::{Bound, Future};
use crate::issue::rfc3339;
use crate::live::Live;
use crate::pipeline::{PipelineSettings, follow};

const EXAMPLES: &str = "Examples:
  foreshadow explain cpu --input metrics.csv --horizon 48
  foreshadow explain '{host=\"web-1\"}' --input metrics.parquet --horizon 288 --plot why.html
  foreshadow explain web-1 --config foreshadow.toml --issues 28 --output json

The series is followed through its newest past as `foreshadow serve` would have: an issue each quarter of a horizon, \
each judged by what came after it.";

/// Names listed of the series that a word could mean.
const LISTED: usize = 8;
/// Steps of history that an issue must see.
const LEAST_STEPS: usize = 16;
/// Horizons of history that a plot shows.
const SHOWN_HORIZONS: usize = 3;
/// Dots across and down a plot in a terminal; four by two make a character.
const DOTS: (u32, u32) = (180, 60);

/// Flags of `foreshadow explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The series: its whole name, or a part of it that no other has
    series: String,
    /// Past issues to follow it through
    #[arg(long, value_name = "COUNT", default_value_t = 12, value_parser = clap::value_parser!(u16).range(0..=1_000))]
    issues: u16,
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
    #[error("no series is called {wanted}, or has that in its name")]
    #[diagnostic(help("{hint}"))]
    Unknown { wanted: String, hint: String },
    #[error("{wanted} may be any of {count} series")]
    #[diagnostic(help("name one: {listed}"))]
    Ambiguous { wanted: String, count: usize, listed: String },
    #[error("{series} cannot be forecast: {reason}")]
    Rejected { series: String, reason: String },
    #[error("{path} cannot be written")]
    Page {
        path: String,
        #[source]
        source: std::io::Error,
    },
}

/// Everything that is told of a series.
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

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.settings.load()?;
    let raw = args.settings.read(&config)?;
    let name = one(&raw, &args.series)?;
    // Not the configured quantiles: what is shown is of these.
    let settings =
        PipelineSettings { quantiles: Quantiles::standard(), ..pipeline_settings(&config, regressors::read(&config)?) };
    let explained = explain(raw, name, &settings, args.issues.into())?;
    if let Some(path) = &args.plot {
        std::fs::write(path, explained.page().into_string()).map_err(|source| {
            Failure::new(Exit::Disk, ExplainError::Page { path: path.display().to_string(), source })
        })?;
    }
    match args.output {
        Output::Json => output::print_json(&explained.json()),
        Output::Table => output::print(&explained.text()),
    }
}

/// The name of the one series that a word means.
fn one(raw: &[RawSeries], wanted: &str) -> Result<String, Failure> {
    let exact = raw.iter().position(|series| series.name == wanted);
    let holding: Vec<usize> = (0..raw.len()).filter(|at| raw[*at].name.contains(wanted)).collect();
    let listed = |places: &[usize]| {
        let names = places.iter().take(LISTED).map(|at| raw[*at].name.as_str());
        let more = if places.len() > LISTED { ", …" } else { "" };
        format!("{}{more}", names.collect::<Vec<_>>().join(", "))
    };
    let error = match (exact, holding.as_slice()) {
        (Some(at), _) | (None, &[at]) => return Ok(raw[at].name.clone()),
        (None, []) => {
            let all: Vec<usize> = (0..raw.len()).collect();
            let hint = format!("the input has {} series: {}", raw.len(), listed(&all));
            ExplainError::Unknown { wanted: wanted.into(), hint }
        }
        (None, several) => {
            ExplainError::Ambiguous { wanted: wanted.into(), count: several.len(), listed: listed(several) }
        }
    };
    Err(Failure::new(Exit::Input, error))
}

/// Follows a series through its newest past and makes the issue at its end; the others may be what bounds it.
fn explain(
    raw: Vec<RawSeries>,
    name: String,
    settings: &PipelineSettings,
    issues: usize,
) -> Result<Explained, Failure> {
    let spacing = settings.horizon.steps().div_ceil(4);
    let options = BuildOptions::lookback(settings.lookback_steps + issues * spacing);
    let read = settings.reading.build(raw, options, Some(&name));
    let (PanelSet { mut panels, notes, rejected }, warnings) = read.finish(&settings.reading, settings.horizon);
    output::tell(&warnings);
    let (Some(whole), Some(notes)) = (panels.pop(), notes.into_iter().flatten().next()) else {
        let reason = rejected.into_iter().next().map_or_else(|| "it has no samples".into(), |refused| refused.reason);
        return Err(Failure::new(Exit::Input, ExplainError::Rejected { series: name, reason }));
    };
    let steps = whole.values(0).len();
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
    fn name(&self) -> &str {
        self.panel.name(0)
    }

    fn choice(&self) -> &Choice {
        self.fitted.choice(0)
    }

    fn track(&self) -> Option<&Track> {
        self.live.track(self.name())
    }

    fn standings(&self) -> Vec<Standing<'_>> {
        self.track().map(Track::standings).unwrap_or_default()
    }

    /// Every family with its error on the folds and live, the smallest on the folds first.
    fn families(&self) -> Vec<(String, Option<f64>, Option<Standing<'_>>)> {
        let standings = self.standings();
        let mut families: Vec<_> = self
            .choice()
            .losses
            .iter()
            .map(|(name, loss)| (name.clone(), *loss, standings.iter().find(|live| live.name == name).cloned()))
            .collect();
        families.sort_by(|a, b| a.1.unwrap_or(f64::INFINITY).total_cmp(&b.1.unwrap_or(f64::INFINITY)));
        families
    }

    fn level(&self, level: f64) -> &[f64] {
        let index = self.forecast.quantiles().index_of(level).expect("explain forecasts the standard levels");
        self.forecast.quantile(0, index)
    }

    /// Times and values of the newest history, then times of the forecast.
    fn shown(&self) -> (Vec<i64>, &[f64], Vec<i64>) {
        let values = self.panel.values(0);
        let first = values.len().saturating_sub(SHOWN_HORIZONS * self.forecast.horizon().steps());
        let time = |step: usize| self.panel.start_ms(0) + step as i64 * self.panel.step_ms();
        let ahead = (values.len()..values.len() + self.forecast.horizon().steps()).map(time).collect();
        ((first..values.len()).map(time).collect(), &values[first..], ahead)
    }

    fn text(&self) -> String {
        self.told() + &self.dots()
    }

    /// What is told in words and tables.
    fn told(&self) -> String {
        let (choice, values) = (self.choice(), self.panel.values(0));
        let missing = values.iter().filter(|value| value.is_nan()).count();
        let (start, end) = (rfc3339(self.panel.start_ms(0)), rfc3339(self.panel.cutoff_ms(0)));
        let step = span(self.panel.step_ms());
        let steps = values.len();
        let mut out = format!("{}\n{steps} steps of {step}, {missing} missing, {start} to {end}\n", self.name());
        out += &output::read_as_text(&self.panel, 0, &self.notes);
        let seasons = choice.seasons.iter().map(|steps| span(*steps as i64 * self.panel.step_ms()));
        out += &format!("seasons: {}\n", list(seasons));
        let parts = choice.parts.iter().map(|(name, weight)| format!("{name} {:.0} %", 100.0 * weight));
        out += &format!("served by {}", choice.chosen.champion);
        if choice.parts.len() > 1 {
            out += &format!(": {}", list(parts));
        }
        if let Some(fallback) = &choice.chosen.fallback {
            out += &format!(" ({fallback})");
        }
        out.push('\n');
        if let Some(held_out) = &choice.held_out {
            out += &format!(
                "on {} folds held out: MASE {}, seasonal naive {}; the 95 % band held {:.1} %\n",
                held_out.folds,
                number(held_out.mase),
                number(held_out.mase_seasonal_naive),
                held_out.coverage95_percent
            );
        }
        let mut table = output::table(&["family", "error on folds", "error live", "beside the champion's"]);
        let families = self.families();
        let live = |live: &Option<Standing<'_>>| live.as_ref().and_then(|live| live.error);
        let own = families.iter().find(|(name, ..)| *name == choice.chosen.champion).and_then(|(.., own)| live(own));
        for (name, loss, standing) in &families {
            let beside = match (live(standing), own) {
                _ if *name == choice.chosen.champion => "serves".into(),
                (Some(error), Some(own)) if own > 0.0 => format!("{:+.0} %", 100.0 * (error / own - 1.0)),
                _ => "–".into(),
            };
            table.add_row([name.clone(), number(*loss), number(live(standing)), beside]);
        }
        let spacing = span(self.spacing as i64 * self.panel.step_ms());
        out += &format!("\n{table}\nPicked on {} folds. ", choice.picking_folds);
        out += &format!("Live: {} issues, {spacing} apart, each judged by what came.\n\n", self.issues);
        let switches = self.track().map(|track| track.switches().collect::<Vec<_>>()).unwrap_or_default();
        if let Some(times) = self.track().and_then(Track::trouble) {
            out += &format!("The champion errs {times:.2} times as much as usual.\n");
        }
        if switches.is_empty() {
            out += "No change of family over these issues.\n";
        }
        for switch in switches {
            out += &format!("{} {} → {}: {}\n", rfc3339(switch.cutoff_ms), switch.from, switch.to, switch.reason);
        }
        out
    }

    /// The newest history, the mean and the 95 % band as a plot of dots.
    fn dots(&self) -> String {
        use textplots::{Chart, Plot, Shape};
        let (past, values, ahead) = self.shown();
        let hours = |ms: i64| ((ms - self.panel.cutoff_ms(0)) as f64 / 3_600_000.0) as f32;
        let points = |times: &[i64], values: &[f64]| -> Vec<(f32, f32)> {
            let both = times.iter().zip(values).filter(|(_, value)| value.is_finite());
            both.map(|(time, value)| (hours(*time), *value as f32)).collect()
        };
        let (observed, mean) = (points(&past, values), points(&ahead, self.forecast.mean(0)));
        let (low, high) = (points(&ahead, self.level(0.025)), points(&ahead, self.level(0.975)));
        let (Some(first), Some(last)) = (past.first(), ahead.last()) else { return String::new() };
        if mean.is_empty() || observed.is_empty() {
            return String::new();
        }
        let mut chart = Chart::new(DOTS.0, DOTS.1, hours(*first), hours(*last));
        let lines = [Shape::Lines(&observed), Shape::Lines(&mean), Shape::Points(&low), Shape::Points(&high)];
        let drawn = lines.iter().fold(&mut chart, |chart, shape| chart.lineplot(shape));
        drawn.axis();
        drawn.figures();
        format!("\nhours from the last sample; beyond it the mean and the 95 % band\n{drawn}")
    }

    fn json(&self) -> Value {
        let choice = self.choice();
        let of_family = |(name, loss, live): (String, Option<f64>, Option<Standing<'_>>)| {
            json!({
                "name": name, "error_on_folds": loss,
                "error_live": live.and_then(|live| live.error),
            })
        };
        let of_switch = |switch: &foreshadow_models::live::Switch| json!({"cutoff_ms": switch.cutoff_ms, "from": switch.from, "to": switch.to, "reason": switch.reason});
        let parts: Vec<Value> =
            choice.parts.iter().map(|(name, weight)| json!({"name": name, "weight": weight})).collect();
        let held_out = choice.held_out.as_ref().map(|held_out| {
            json!({
                "folds": held_out.folds, "mase": held_out.mase, "mase_seasonal_naive": held_out.mase_seasonal_naive,
                "coverage95_percent": held_out.coverage95_percent,
            })
        });
        json!({
            "series": self.name(), "step_ms": self.panel.step_ms(), "steps": self.panel.values(0).len(),
            "read_as": output::read_as(&self.panel, 0, &self.notes),
            "cutoff_ms": self.panel.cutoff_ms(0), "status": self.fitted.status()[0].word(), "seasons": choice.seasons,
            "champion": choice.chosen.champion, "fallback": choice.chosen.fallback, "parts": parts,
            "held_out": held_out, "picking_folds": choice.picking_folds,
            "families": self.families().into_iter().map(of_family).collect::<Vec<_>>(),
            "issues": self.issues, "issue_spacing_steps": self.spacing,
            "switches": self.track().map(|track| track.switches().map(of_switch).collect::<Vec<_>>()).unwrap_or_default(),
            "mean": self.forecast.mean(0), "low95": self.level(0.025), "high95": self.level(0.975),
        })
    }

    /// A page with the plot and everything that is told in a terminal.
    fn page(&self) -> maud::Markup {
        let (past, values, ahead) = self.shown();
        let mut plot = framed();
        band(&mut plot, &ahead, self.level(0.025), self.level(0.975), "95 % band");
        plot.add_trace(line(ahead, self.forecast.mean(0).to_vec(), "shadow", SHADOW, DashType::Solid));
        plot.add_trace(line(past, values.to_vec(), "observed", OBSERVED, DashType::Solid));
        let content = html! {
            h2 { (self.name()) }
            (drawn(&plot, "shadow"))
            pre { (self.told()) }
        };
        page(self.name(), &content)
    }
}

/// A length of time in its largest whole unit.
fn span(ms: i64) -> String {
    for (unit, name) in
        [(604_800_000, "week"), (86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")]
    {
        if ms >= unit && ms % unit == 0 {
            let count = ms / unit;
            return if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") };
        }
    }
    format!("{ms} ms")
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
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

    #[test]
    fn a_series_is_found_by_a_part_of_its_name() {
        let fleet = || ["cpu web-1", "cpu web-2", "cpu"].map(named).to_vec();
        assert_eq!(one(&fleet(), "web-2").unwrap(), "cpu web-2");
        assert_eq!(one(&fleet(), "cpu").unwrap(), "cpu", "a whole name is no part");
        let several = one(&fleet(), "web").unwrap_err().to_string();
        assert!(several.contains("any of 2 series") && several.contains("cpu web-2"), "{several}");
        let none = one(&fleet(), "disk").unwrap_err().to_string();
        assert!(none.contains("disk") && none.contains("3 series"), "{none}");
    }

    #[test]
    fn what_is_told_is_what_serves() {
        let explained = explain(vec![named("cpu")], "cpu".into(), &settings(), 6).unwrap();
        assert_eq!((explained.issues, explained.spacing), (6, 6));
        let (text, json) = (explained.text(), explained.json());
        let champion = explained.track().unwrap().champion().unwrap();
        assert!(text.contains(&format!("served by {champion}")) && text.contains("1 day"), "{text}");
        assert_eq!(json["champion"], champion);
        assert!(json["families"].as_array().unwrap().iter().any(|family| family["error_live"].is_number()));
        assert_eq!(json["mean"].as_array().unwrap().len(), 24);
        assert!(explained.page().into_string().contains("shadow"));
    }

    #[test]
    fn a_short_series_is_followed_as_far_as_it_goes() {
        let mut short = named("cpu");
        short.times_ms.truncate(30);
        short.values.truncate(30);
        assert_eq!(explain(vec![short], "cpu".into(), &settings(), 12).unwrap().issues, 2);
        let empty = RawSeries { name: "cpu".into(), times_ms: vec![0], values: vec![f64::NAN] };
        assert!(
            explain(vec![empty], "cpu".into(), &settings(), 2).err().unwrap().to_string().contains("no finite value")
        );
    }
}
