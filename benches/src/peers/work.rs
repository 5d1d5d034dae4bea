//! What a contender is given and what it answers: ours and the peers speak the same JSON, as `peers/contend.py` tells it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Windows to fit and forecast, and what that may cost.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Work {
    /// Its name, among ours or in `peers/contenders.py`.
    pub contender: String,
    /// Sampling interval in milliseconds.
    pub step_ms: i64,
    /// The shortest season, in steps.
    pub season: usize,
    /// All seasons, in steps, rising.
    pub seasons: Vec<usize>,
    /// Steps ahead; 0 for fits alone.
    pub horizon: usize,
    /// Processes at once.
    pub jobs: usize,
    /// CPU-seconds that the first window may take.
    pub limit: f64,
    /// CPU-seconds that all may take; a peer is given the first windows only where that is not enough.
    pub budget: f64,
    /// The windows.
    pub series: Vec<Shown>,
    /// Other series to be made of the windows, which are fitted instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grown: Option<Grown>,
}

/// What a contender may see of one series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// Time of the first step, milliseconds since the epoch.
    pub start_ms: i64,
    /// One value a step, `None` where unobserved.
    pub values: Vec<Option<f64>>,
    /// The model to fit, for a contender that is told which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Value>,
}

impl Shown {
    /// Of a slice with NaN where unobserved.
    pub fn new(start_ms: i64, values: &[f64]) -> Self {
        let values = values.iter().map(|value| value.is_finite().then_some(*value)).collect();
        Self { start_ms, values, model: None }
    }

    /// The values, NaN where unobserved.
    pub fn numbers(&self) -> Vec<f64> {
        self.values.iter().map(|value| value.unwrap_or(f64::NAN)).collect()
    }
}

/// How many series of how many steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grown {
    /// Series.
    pub series: usize,
    /// Steps of each.
    pub steps: usize,
}

/// How a contender ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// The first window alone took so many CPU-seconds, and was stopped.
    TooSlow {
        /// The limit.
        too_slow: f64,
    },
    /// It fitted.
    Ran(Ran),
}

/// What the fits cost and what was forecast.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    /// The first so many windows were fitted.
    pub tried: usize,
    /// Times that they were fitted; the figures are the last one's, or of ours the middle one's.
    pub repetitions: usize,
    /// Of all fits together.
    pub fit_cpu_seconds: f64,
    /// Of all fits together, on as many processes or threads as were allowed.
    pub fit_wall_seconds: f64,
    /// Of all forecasts together.
    pub forecast_cpu_seconds: f64,
    /// Largest resident set of the process, MiB.
    pub peak_mib: f64,
    /// One for each window tried; without a horizon those of ours that failed.
    pub rows: Vec<Said>,
}

/// What was said of one window.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// The mean and the 95 % band of each step ahead, and the fit's parameters as the peer names them.
    Forecast {
        /// The mean.
        mean: Vec<Option<f64>>,
        /// The lower end.
        low: Vec<Option<f64>>,
        /// The upper end.
        high: Vec<Option<f64>>,
        /// The parameters, null from who exports none.
        fit: Value,
    },
    /// Why there is no forecast.
    Failed {
        /// As the contender put it.
        error: String,
    },
}

/// A list of numbers as JSON has it; `None` for anything else.
pub(crate) fn numbers(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

impl Ran {
    /// CPU-seconds of the fits, a series.
    pub fn fit_seconds_a_series(&self) -> f64 {
        self.fit_cpu_seconds / self.tried as f64
    }

    /// The exported parameters, null for a window without.
    pub fn fits(&self) -> Vec<Value> {
        let of = |said: &Said| match said {
            Said::Forecast { fit, .. } => fit.clone(),
            Said::Failed { .. } => Value::Null,
        };
        self.rows.iter().map(of).collect()
    }
}
