//! Shadows and the issue that holds all those of one decision slot. Both are immutable once made.

mod bytes;

use foreshadow_models::{Forecast, Window};

/// A span of time for which one issue answers: `floor(cutoff ÷ length)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// First millisecond of the slot.
    pub start_ms: i64,
    /// Its length, positive.
    pub length_ms: i64,
}

impl Slot {
    /// The slot of `length_ms` that a time lies in.
    pub fn of(time_ms: i64, length_ms: i64) -> Self {
        Self { start_ms: time_ms.div_euclid(length_ms) * length_ms, length_ms }
    }

    /// First millisecond after the slot.
    pub fn end_ms(&self) -> i64 {
        self.start_ms + self.length_ms
    }
}

/// What held-out steps said of the model behind a shadow.
#[derive(Clone, Debug, PartialEq)]
pub struct Accuracy {
    /// Mean absolute scaled error; absent where the series gives no scale.
    pub mase: Option<f64>,
    /// The same of seasonal naive on the same folds.
    pub mase_seasonal_naive: Option<f64>,
    /// Percent of held-out values inside the 95 % band.
    pub coverage95_percent: f64,
    /// Folds it was judged on.
    pub folds: u32,
    /// Rising levels, each with the share of held-out values at or under that quantile.
    pub shares: Vec<(f64, f64)>,
}

impl Accuracy {
    /// The share of held-out values at or under the quantile of a level: that of the highest judged level at
    /// or under it, which is never more than its own; 0 below them all.
    pub fn share_at(&self, level: f64) -> f64 {
        let judged = self.shares.iter().rev().find(|(judged, _)| *judged <= level + 1e-9);
        judged.map_or(0.0, |(_, share)| *share)
    }
}

/// The forecast of one series issued at a cutoff.
///
/// Its numbers are held as `f32` offsets from one `f64` base, half the bytes of plain `f64` and still
/// exact to 6e-8 of the series' swing where the values themselves are huge; one base for all curves
/// keeps quantiles in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Shadow {
    series: String,
    model: String,
    cutoff_ms: i64,
    step_ms: i64,
    levels: Vec<f64>,
    steps: usize,
    base: f64,
    /// The mean, then each quantile, `steps` values each.
    offsets: Vec<f32>,
    accuracy: Option<Accuracy>,
}

impl Shadow {
    /// Version of the shadow's meaning, told to clients.
    pub const VERSION: u32 = 1;

    /// The shadow of one series of a forecast made from `window`; `None` where the forecast holds a
    /// number that is not finite, as it does for an unusable series.
    pub fn from_forecast(
        window: &Window<'_>,
        series: usize,
        forecast: &Forecast,
        forecast_series: usize,
        model: String,
        accuracy: Option<Accuracy>,
    ) -> Option<Self> {
        let levels = forecast.quantiles().levels().to_vec();
        let mean = forecast.mean(forecast_series);
        let base = mean[0];
        let curves = (0..levels.len()).map(|index| forecast.quantile(forecast_series, index));
        let values: Vec<f64> = std::iter::once(mean).chain(curves).flatten().copied().collect();
        let offsets = offsets(&values, base);
        if !base.is_finite() || offsets.iter().any(|offset| !offset.is_finite()) {
            return None;
        }
        Some(Self {
            series: window.name(series).to_string(),
            model,
            cutoff_ms: window.end_ms(series) - window.step_ms(),
            step_ms: window.step_ms(),
            levels,
            steps: mean.len(),
            base,
            offsets,
            accuracy,
        })
    }

    /// Identity of the series.
    pub fn series(&self) -> &str {
        &self.series
    }

    /// Name of the model behind it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Last observed step.
    pub fn cutoff_ms(&self) -> i64 {
        self.cutoff_ms
    }

    /// Sampling interval.
    pub fn step_ms(&self) -> i64 {
        self.step_ms
    }

    /// Steps ahead.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Time of a step ahead, the first being 0.
    pub fn time_ms(&self, step: usize) -> i64 {
        self.cutoff_ms + (step as i64 + 1) * self.step_ms
    }

    /// Time of the last step ahead.
    pub fn end_ms(&self) -> i64 {
        self.cutoff_ms + self.steps as i64 * self.step_ms
    }

    /// The step ahead whose interval `(before, time]` holds a time; `None` outside the horizon.
    pub fn step_at(&self, time_ms: i64) -> Option<usize> {
        let ahead = time_ms - self.cutoff_ms;
        let inside = ahead > 0 && time_ms <= self.end_ms();
        inside.then(|| ((ahead - 1) / self.step_ms) as usize)
    }

    /// Quantile levels, rising.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// Expected value of a step ahead.
    pub fn mean(&self, step: usize) -> f64 {
        self.value(0, step)
    }

    /// The quantile of [`Shadow::levels`]`[index]` of a step ahead.
    pub fn quantile(&self, index: usize, step: usize) -> f64 {
        self.value(1 + index, step)
    }

    /// The quantile of any level between the lowest and the highest of [`Shadow::levels`], linear between
    /// the two beside it; `None` outside them.
    pub fn quantile_at(&self, level: f64, step: usize) -> Option<f64> {
        let (index, weight) = place(&self.levels, level)?;
        let low = self.quantile(index, step);
        Some(if weight == 0.0 { low } else { low + weight * (self.quantile(index + 1, step) - low) })
    }

    /// What held-out steps said of the model, where a backtest was made.
    pub fn accuracy(&self) -> Option<&Accuracy> {
        self.accuracy.as_ref()
    }

    fn value(&self, curve: usize, step: usize) -> f64 {
        assert!(step < self.steps, "step {step} of {}", self.steps);
        self.base + f64::from(self.offsets[curve * self.steps + step])
    }
}

/// Distances from `base`, rounded to where none of them leads past the least or the most of the values: a forecast that
/// keeps to its bounds does so as a shadow.
fn offsets(values: &[f64], base: f64) -> Vec<f32> {
    let (low, high) = values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(*v), h.max(*v)));
    let rounded = |value: &f64| {
        let mut offset = (value - base) as f32;
        while offset.is_finite() && base + f64::from(offset) > high {
            offset = offset.next_down();
        }
        while offset.is_finite() && base + f64::from(offset) < low {
            offset = offset.next_up();
        }
        offset
    };
    values.iter().map(rounded).collect()
}

/// Index of the highest level at or under `level`, and how far `level` lies toward the next one.
fn place(levels: &[f64], level: f64) -> Option<(usize, f64)> {
    if let Some(index) = levels.iter().position(|at| (at - level).abs() < 1e-9) {
        return Some((index, 0.0));
    }
    let above = levels.iter().position(|at| *at > level).filter(|above| *above > 0)?;
    let (low, high) = (levels[above - 1], levels[above]);
    Some((above - 1, (level - low) / (high - low)))
}

/// A series of the telemetry that has no shadow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Identity of the series.
    pub series: String,
    /// Why, as one clause.
    pub reason: String,
}

/// All shadows of one decision slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Issue {
    id: String,
    slot: Slot,
    cutoff_ms: i64,
    shadows: Vec<Shadow>,
    missing: Vec<Missing>,
}

impl Issue {
    /// An issue of shadows, whose slot is that of the latest cutoff among them; `None` without a shadow.
    ///
    /// The id names the slot and a digest of everything in the issue, so that equal telemetry gives equal
    /// ids and nothing else does.
    pub fn new(mut shadows: Vec<Shadow>, mut missing: Vec<Missing>, slot_length_ms: i64) -> Option<Self> {
        shadows.sort_by(|a, b| a.series.cmp(&b.series));
        shadows.dedup_by(|next, kept| next.series == kept.series);
        missing.sort_by(|a, b| a.series.cmp(&b.series));
        let cutoff_ms = shadows.iter().map(Shadow::cutoff_ms).max()?;
        let slot = Slot::of(cutoff_ms, slot_length_ms);
        let mut issue = Self { id: String::new(), slot, cutoff_ms, shadows, missing };
        issue.id = format!("{}-{:016x}", rfc3339(slot.start_ms), issue.digest());
        Some(issue)
    }

    /// Names the slot and the contents.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The decision slot it answers for.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The latest cutoff among its shadows.
    pub fn cutoff_ms(&self) -> i64 {
        self.cutoff_ms
    }

    /// Its shadows, sorted by series.
    pub fn shadows(&self) -> &[Shadow] {
        &self.shadows
    }

    /// The shadow of a series.
    pub fn shadow(&self, series: &str) -> Option<&Shadow> {
        let at = self.shadows.binary_search_by(|shadow| shadow.series.as_str().cmp(series)).ok()?;
        Some(&self.shadows[at])
    }

    /// Series without a shadow, sorted.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }
}

/// A time as it is written everywhere; one beyond the calendar in milliseconds.
pub(crate) fn rfc3339(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).map_or_else(|_| time_ms.to_string(), |time| time.to_string())
}

#[cfg(test)]
pub(crate) mod tests;
