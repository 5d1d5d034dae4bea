//! A series on its way: its latest steps, how they are measured, and how far a network's word on it is believed.

use serde::{Deserialize, Serialize};

use super::frame::{Frame, LEVELS};
use crate::{FitStatus, Forecast, Horizon};

/// The part of a series, at its end, that chooses among weights and tells how far a network is to be trusted.
const CHOOSING: usize = 5;
/// Times that steps can be added to.
const FURTHEST_MS: u64 = 1 << 60;

/// Steps of that part: twice the horizon, so that half of them see that far, but half of all at most.
pub(super) fn choosing(steps: usize, horizon: usize) -> usize {
    (steps / CHOOSING).max(2 * horizon).min(steps / 2)
}

/// What is kept of a series for its next forecasts.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) frame: Frame,
    /// Share of what a network says that is believed, a knot each, and none where nothing tells; no knot where what is
    /// expected always comes.
    trust: Vec<Option<f32>>,
    pub(super) recent: Vec<f64>,
    /// Of the first of them.
    pub(super) start_ms: i64,
    /// Steps that are kept at most.
    most: usize,
}

impl Watched {
    /// Keeps so many of the latest values, which begin at `start_ms`.
    pub(super) fn of(frame: Frame, values: &[f64], start_ms: i64, most: usize) -> Self {
        let from = values.len().saturating_sub(most);
        let start_ms = start_ms + from as i64 * frame.step_ms();
        Self { frame, trust: Vec::new(), recent: values[from..].to_vec(), start_ms, most }
    }

    /// The same with a network that is believed so far; `None` where that is nowhere at all.
    pub(super) fn believing(self, trust: Vec<Option<f32>>) -> Option<Self> {
        trust.iter().flatten().any(|share| *share > 0.0).then_some(Self { trust, ..self })
    }

    /// Takes in one more step; returns the status from then on, `None` where it stays.
    pub(super) fn append(&mut self, value: f64) -> Option<FitStatus> {
        let is_new = self.trust.is_empty() && self.frame.is_off(&self.recent, value);
        if self.recent.len() >= self.most {
            self.recent.remove(0);
            self.start_ms += self.frame.step_ms();
        }
        self.recent.push(value);
        (is_new || value.is_infinite()).then_some(FitStatus::Outdated)
    }

    /// What is expected of the next steps, with what a network says of them, as the forecast of a series.
    pub(super) fn forecast(&self, said: &[f32], horizon: Horizon, forecast: &mut Forecast, s: usize) {
        let levels = forecast.quantiles().levels().to_vec();
        let (mean, bands) = self.frame.curves(&self.recent, (said, &self.trust), horizon.steps(), &levels);
        forecast.mean_mut(s).copy_from_slice(&mean);
        for (index, band) in bands.iter().enumerate() {
            forecast.quantile_mut(s, index).copy_from_slice(band);
        }
    }

    /// Whether a forecast can be made of it.
    pub(super) fn is_whole(&self) -> bool {
        let sized = !self.frame.moves() || self.trust.len() * LEVELS.len() == self.frame.outputs();
        let finite = self.trust.iter().flatten().all(|share| share.is_finite());
        let dated = self.start_ms.unsigned_abs() < FURTHEST_MS && self.recent.len() <= self.most;
        self.frame.is_whole(self.recent.len()) && sized && finite && dated
    }
}
