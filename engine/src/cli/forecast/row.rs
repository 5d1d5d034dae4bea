//! One series' forecast, as machines are told of it.

use foreshadow_models::{FitStatus, Forecast, Panel, SeriesNotes};
use serde_json::{Map, Value, json};

use crate::cli::output;
use crate::issue::rfc3339;

/// One series' forecast, ready to be printed.
pub(super) struct Row<'a> {
    pub(super) panel: &'a Panel,
    pub(super) name: &'a str,
    pub(super) model: String,
    pub(super) status: &'a FitStatus,
    /// Why it has no forecast.
    pub(super) refused: Option<&'a str>,
    /// Why a naive family serves it where the best of all was asked for.
    pub(super) fallback: Option<&'a str>,
    pub(super) cutoff_ms: i64,
    pub(super) step_ms: i64,
    pub(super) last: f64,
    pub(super) notes: &'a SeriesNotes,
    pub(super) forecast: &'a Forecast,
    pub(super) series: usize,
    /// Draws whole futures of a series of the panel, `[paths, horizon]`: all rows' at once might not fit in memory.
    pub(super) draw: &'a dyn Fn(usize) -> Vec<Vec<f64>>,
}

impl Row<'_> {
    pub(super) fn time(&self, step: usize) -> String {
        rfc3339(self.cutoff_ms + (step as i64 + 1) * self.step_ms)
    }

    pub(super) fn steps(&self) -> usize {
        self.forecast.horizon().steps()
    }

    /// Its paths, drawn anew at each call.
    pub(super) fn paths(&self) -> Vec<Vec<f64>> {
        (self.draw)(self.series)
    }

    pub(super) fn json(&self) -> Value {
        let mut quantiles = Map::new();
        for (index, level) in self.forecast.quantiles().levels().iter().enumerate() {
            quantiles.insert(level.to_string(), json!(self.forecast.quantile(self.series, index)));
        }
        let mut told = json!({
            "series": self.name, "model": self.model, "status": self.status.word(),
            "cutoff_ms": self.cutoff_ms, "step_ms": self.step_ms,
            "mean": self.forecast.mean(self.series), "quantiles": quantiles, "notes": self.notes,
            "read_as": output::read_as(self.panel, self.series, self.notes),
        });
        for (key, reason) in [("reason", self.refused), ("fallback", self.fallback)] {
            if let Some(reason) = reason {
                told[key] = json!(reason);
            }
        }
        let paths = self.paths();
        if !paths.is_empty() {
            told["paths"] = json!(paths);
        }
        told
    }
}
