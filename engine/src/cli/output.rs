//! Answers on standard output: a table for people, JSON or CSV for machines.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};

use foreshadow_models::{Bounds, Panel, PanelSet, SeriesNotes};
use serde_json::{Value, json};

use super::Failure;
use crate::clock::DAY_MS;
use crate::telemetry::SeriesKey;
pub(super) use crate::ui::{number, table};

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// One JSON object
    Json,
    /// One line a row under a header
    Csv,
}

/// How the demo's answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Output {
    /// For people
    Table,
    /// One JSON object
    Json,
}

/// Warnings printed before the rest is only counted.
const WARNINGS: usize = 5;

/// Prints a text as it is.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// Prints one JSON value on a line of its own.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// Series as a table names them: without the labels that all of them share.
pub(super) fn short_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let keys: Vec<Option<SeriesKey>> = names.map(|name| name.parse().ok()).collect();
    let shared: Vec<(String, String)> = match keys.as_slice() {
        [Some(first), _, ..] => first.labels().to_vec(),
        _ => Vec::new(),
    };
    let in_all = |label: &&(String, String)| keys.iter().flatten().all(|key| key.labels().contains(label));
    let shared: Vec<&(String, String)> = shared.iter().filter(in_all).collect();
    let short = |key: &Option<SeriesKey>| match key {
        None => String::new(),
        Some(key) => {
            let own = key.labels().iter().filter(|label| !shared.contains(label));
            SeriesKey::new(own.cloned()).to_string()
        }
    };
    keys.iter().map(short).collect()
}

/// What a person should know of an input: what was refused, what was contradictory and what is of the future in it.
pub(super) fn of_input(panels: &PanelSet, now_ms: i64) -> Vec<String> {
    let mut warnings: Vec<String> =
        panels.rejected.iter().map(|refused| format!("{} is left out: {}", refused.name, refused.reason)).collect();
    for (panel, notes) in panels.panels.iter().zip(&panels.notes) {
        let contradicted = notes.iter().enumerate().filter(|(_, notes)| notes.conflicting > 0);
        let future = (0..panel.series_count()).filter(|series| panel.cutoff_ms(*series) > now_ms + DAY_MS);
        warnings.extend(future.map(|series| {
            let (name, dropped) = (panel.name(series), notes[series].beyond_lookback);
            format!("{name} ends in the future; {dropped} samples before the lookback from there were left out")
        }));
        warnings.extend(contradicted.map(|(series, notes)| {
            let times = if notes.conflicting == 1 { "one time".into() } else { format!("{} times", notes.conflicting) };
            format!("{}: {times} had two values; the last one read was taken", panel.name(series))
        }));
        let absurd = notes.iter().enumerate().filter(|(_, notes)| notes.absurd_values > 0);
        warnings.extend(absurd.map(|(series, _)| {
            let name = panel.name(series);
            format!(
                "{name}: one value is more than 16 million times as large as any other; it is taken as not observed"
            )
        }));
    }
    warnings
}

/// How a panel's series is read, for machines.
pub(super) fn read_as(panel: &Panel, series: usize, notes: &SeriesNotes) -> Value {
    let bounds = panel.window().bounds(series);
    let declared = |bound: f64| Some(bound).filter(|bound| bound.is_finite());
    json!({
        "per_second": notes.is_rate, "time_zone": panel.clock().map_or("UTC", |clock| clock.name()),
        "minimum": declared(bounds.low()), "maximum": declared(bounds.high()),
    })
}

/// The same for people; empty for a series that is read as it is.
pub(super) fn read_as_text(panel: &Panel, series: usize, notes: &SeriesNotes) -> String {
    let mut told = Vec::new();
    if notes.is_rate {
        told.push(format!("a counter, read as its rate per second; it started anew {} times", notes.resets));
    }
    if let Some(clock) = panel.clock() {
        told.push(format!("days and weeks by the clocks of {}", clock.name()));
    }
    let bounds = panel.window().bounds(series);
    let [low, high] = [bounds.low(), bounds.high()].map(|bound| number(Some(bound).filter(|bound| bound.is_finite())));
    if bounds != Bounds::NONE {
        let outside = notes.out_of_bounds;
        told.push(format!("bounded from {low} to {high}, which {outside} values of its history are not"));
    }
    told.into_iter().map(|line| line + "\n").collect()
}

/// Prints warnings on standard error.
pub(super) fn tell(warnings: &[String]) {
    Warnings::default().tell(warnings);
}

/// Warnings of one kind as they come: the first are printed on standard error, at the end how many more there were.
#[derive(Debug)]
pub(super) struct Warnings {
    count: usize,
    /// Where all of them stand.
    all: &'static str,
}

impl Default for Warnings {
    fn default() -> Self {
        Self { count: 0, all: "`foreshadow forecast --output json` tells of each series" }
    }
}

impl Warnings {
    /// Those that stand beside their series' row.
    pub(super) fn of_rows() -> Self {
        Self { all: "`--output csv` has the reason of each series", ..Self::default() }
    }

    /// Prints what of these is among the first.
    pub(super) fn tell(&mut self, warnings: impl IntoIterator<Item = impl Display>) {
        for warning in warnings {
            if self.count < WARNINGS {
                eprintln!("warning: {warning}");
            }
            self.count += 1;
        }
    }
}

impl Drop for Warnings {
    fn drop(&mut self) {
        if self.count > WARNINGS {
            eprintln!("warning: and {} more; {}", self.count - WARNINGS, self.all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_leaves_out_what_all_series_share() {
        let names = [r#"{data="m4",host="a"}"#, r#"{data="m4",host="b"}"#];
        assert_eq!(short_names(names.into_iter()), [r#"{host="a"}"#, r#"{host="b"}"#]);
        assert_eq!(short_names(names.into_iter().take(1)), [names[0]], "a single series keeps its name");
    }
}
