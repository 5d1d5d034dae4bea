//! The plain detector: |value - shadow| > threshold × half-width, for a whole fleet a tick.

use std::ops::Range;

use foreshadow_kernels::{Lanes, Matrix, score};

/// Samples that are worked on together: their series' states stay in the nearest caches from the first look at them
/// to the last.
const BLOCK: usize = 1_024;

/// Weight of a new score in the running means: they forget by half in about 14 samples.
const WEIGHT: f32 = 0.05;

/// One decoded sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The series' place in the fleet, counted from 0.
    pub id: u64,
    /// When it was taken, milliseconds since the epoch.
    pub time_ms: i64,
    /// What was measured, in the series' unit.
    pub value: f64,
}

/// What a series is expected to be during one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShadowPoint {
    /// Expected value; NaN when the series has no shadow.
    pub mean: f64,
    /// Lower end of the band.
    pub lower: f64,
    /// Upper end of the band.
    pub upper: f64,
    /// Half-widths of the band beyond which a value is an anomaly.
    pub threshold: f32,
}

impl ShadowPoint {
    /// A series without a shadow.
    pub const NONE: Self = Self { mean: f64::NAN, lower: f64::NAN, upper: f64::NAN, threshold: f32::INFINITY };
}

/// What became of one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Inside the threshold.
    Normal,
    /// Beyond the threshold.
    Anomaly,
    /// Its value is NaN or infinite: nothing was observed.
    NoData,
    /// Its series has no shadow, or its time lies outside the step that the shadows are for.
    NoShadow,
    /// Its series was already seen at that very time.
    Duplicate,
    /// Its series was already seen at a later time.
    Late,
    /// No series has its id.
    Unknown,
}

/// One sample's outcome.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// Half-widths above the shadow, negative below it; 0 unless the outcome is normal or an anomaly.
    pub score: f32,
    /// What became of the sample.
    pub outcome: Outcome,
}

/// How many samples of a tick came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Inside the threshold.
    pub normal: usize,
    /// Beyond the threshold.
    pub anomalies: usize,
    /// Without an observed value.
    pub no_data: usize,
    /// Without a shadow for their time.
    pub no_shadow: usize,
    /// Seen before.
    pub duplicates: usize,
    /// Older than what was seen.
    pub late: usize,
    /// Of no series.
    pub unknown: usize,
}

/// What a tick came to.
#[derive(Clone, Debug)]
pub struct Tick {
    /// One a sample, in the batch's order.
    pub scored: Vec<Scored>,
    /// Their sums.
    pub counts: Counts,
}

/// What the scorer remembers of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesState {
    /// Time of the latest sample, none past the step counted; `i64::MIN` before the first.
    pub last_ms: i64,
    /// Score of the latest scored sample.
    pub last_score: f32,
    /// Running mean of the scores, each held within its threshold: where the shadow has been wrong lately.
    pub bias: f32,
    /// Running mean of the scores' size, held likewise: 1 when values lie on the edge of their band.
    pub spread: f32,
    /// Samples scored.
    pub scored: u32,
    /// Samples that were anomalies.
    pub anomalies: u32,
    /// Anomalies in a row, the latest sample the last of them.
    pub run: u32,
}

impl SeriesState {
    const NEW: Self =
        Self { last_ms: i64::MIN, last_score: 0.0, bias: 0.0, spread: 0.0, scored: 0, anomalies: 0, run: 0 };
}

/// Scores every sample of a fleet against the shadow of its step.
///
/// Ids are dense, so that the way from a sample to its series is an index and no hash. A tick's numbers come
/// from the host and go back to it, so the work stays there: a device would add two transfers to it.
#[derive(Clone, Debug)]
pub struct Scorer {
    valid_ms: Range<i64>,
    shadows: Vec<ShadowPoint>,
    states: Vec<SeriesState>,
}

impl Scorer {
    /// A scorer for `series_count` series, none of which has a shadow yet.
    pub fn new(series_count: usize) -> Self {
        Self {
            valid_ms: 0..0,
            shadows: vec![ShadowPoint::NONE; series_count],
            states: vec![SeriesState::NEW; series_count],
        }
    }

    /// Number of series.
    pub fn series_count(&self) -> usize {
        self.states.len()
    }

    /// Takes the shadows of a step, one a series, and the times that belong to it: half a step to either
    /// side of the step's own, where off-grid samples snap to it.
    ///
    /// # Panics
    /// Unless there is one point a series.
    pub fn set_shadows(&mut self, valid_ms: Range<i64>, points: &[ShadowPoint]) {
        assert_eq!(points.len(), self.shadows.len(), "one shadow point a series");
        self.valid_ms = valid_ms;
        self.shadows.copy_from_slice(points);
    }

    /// What is remembered of one series.
    pub fn state(&self, series: usize) -> &SeriesState {
        &self.states[series]
    }

    /// The series that sent nothing during the current step.
    pub fn silent(&self) -> impl Iterator<Item = usize> + '_ {
        let from = self.valid_ms.start;
        self.states.iter().enumerate().filter(move |(_, state)| state.last_ms < from).map(|(series, _)| series)
    }

    /// Scores a batch and updates the series it names. Samples of one series are taken in the batch's order.
    pub fn tick(&mut self, samples: &[Sample]) -> Tick {
        let mut tick = Tick { scored: Vec::with_capacity(samples.len()), counts: Counts::default() };
        for block in samples.chunks(BLOCK) {
            self.fetch(block);
            self.score(block, &mut tick);
        }
        tick
    }

    /// Touches what a block needs, each series apart from the others, so that the waits for memory overlap.
    fn fetch(&self, block: &[Sample]) {
        let touch = |sample: &Sample| {
            let series = usize::try_from(sample.id).ok().filter(|&id| id < self.states.len())?;
            Some(self.states[series].last_ms ^ self.shadows[series].mean.to_bits().cast_signed())
        };
        std::hint::black_box(block.iter().filter_map(touch).fold(0, |all, one| all ^ one));
    }

    fn score(&mut self, block: &[Sample], tick: &mut Tick) {
        let first = tick.scored.len();
        let mut operands = [[f32::NAN; 3]; BLOCK];
        for (sample, operand) in block.iter().zip(&mut operands) {
            let (outcome, own) = self.admit(sample);
            tick.scored.push(Scored { score: 0.0, outcome });
            *operand = own;
        }
        let operands = &operands[..block.len()];
        let row = |column: usize| Matrix::Cpu(Lanes::from_fn(1, block.len(), |_, i| operands[i][column]));
        let threshold: Vec<f32> = operands.iter().map(|operand| operand[2]).collect();
        let scores = score(&row(0), &row(1), &threshold).expect("a block's operands share one shape on the host");
        let (Matrix::Cpu(score), Matrix::Cpu(anomaly)) = (scores.score, scores.anomaly) else {
            unreachable!("scores lie where their operands do");
        };
        for (i, (sample, scored)) in block.iter().zip(&mut tick.scored[first..]).enumerate() {
            if scored.outcome == Outcome::Normal {
                scored.score = score.get(0, i);
                if anomaly.get(0, i) == 1.0 {
                    scored.outcome = Outcome::Anomaly;
                }
                self.states[sample.id as usize].take(*scored, threshold[i]);
            }
            tick.counts.take(scored.outcome);
        }
    }

    /// What a sample comes to before its score is known, `Normal` meaning that it has one, and its
    /// deviation, half-width and threshold.
    fn admit(&mut self, sample: &Sample) -> (Outcome, [f32; 3]) {
        let nothing = [f32::NAN; 3];
        let Some(series) = usize::try_from(sample.id).ok().filter(|&id| id < self.states.len()) else {
            return (Outcome::Unknown, nothing);
        };
        let state = &mut self.states[series];
        if sample.time_ms <= state.last_ms {
            let outcome = if sample.time_ms == state.last_ms { Outcome::Duplicate } else { Outcome::Late };
            return (outcome, nothing);
        }
        if sample.time_ms >= self.valid_ms.end {
            return (Outcome::NoShadow, nothing); // not remembered: a clock gone wild must not make all others late
        }
        state.last_ms = sample.time_ms;
        if !sample.value.is_finite() {
            return (Outcome::NoData, nothing);
        }
        let shadow = &self.shadows[series];
        let half_width = (shadow.upper - shadow.lower) / 2.0;
        let usable = shadow.mean.is_finite() && half_width >= 0.0 && !shadow.threshold.is_nan();
        if !usable || !self.valid_ms.contains(&sample.time_ms) {
            return (Outcome::NoShadow, nothing);
        }
        // Subtracted in f64: two byte counters near 1e12 differ by less than f32 could hold.
        (Outcome::Normal, [(sample.value - shadow.mean) as f32, half_width as f32, shadow.threshold])
    }
}

impl SeriesState {
    fn take(&mut self, scored: Scored, threshold: f32) {
        let anomaly = scored.outcome == Outcome::Anomaly;
        let held = scored.score.clamp(-threshold, threshold); // one burst is no bias
        let weight = if self.scored == 0 { 1.0 } else { WEIGHT };
        self.last_score = scored.score;
        self.bias += weight * (held - self.bias);
        self.spread += weight * (held.abs() - self.spread);
        self.scored = self.scored.saturating_add(1);
        self.anomalies = self.anomalies.saturating_add(u32::from(anomaly));
        self.run = if anomaly { self.run.saturating_add(1) } else { 0 };
    }
}

impl Counts {
    fn take(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Normal => &mut self.normal,
            Outcome::Anomaly => &mut self.anomalies,
            Outcome::NoData => &mut self.no_data,
            Outcome::NoShadow => &mut self.no_shadow,
            Outcome::Duplicate => &mut self.duplicates,
            Outcome::Late => &mut self.late,
            Outcome::Unknown => &mut self.unknown,
        } += 1;
    }
}

#[cfg(test)]
mod tests;
