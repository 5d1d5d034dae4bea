//! One series through the theta recursion in `f64`: from the place the kernel found to the state at the end, and
//! from there ahead.

use foreshadow_kernels::{HIGHEST_SHARE, ThetaForm, UNCOUNTED};
use serde::{Deserialize, Serialize};

use super::{Prepared, ThetaParameters, ThetaSeason, Unit, unknowns};
use crate::artifact::MOST_LIVED;

/// Where the fit ended, on the standardised series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) alpha: f64,
    pub(super) level: f64,
    /// The line's share `1 - 1 / theta`.
    pub(super) share: f64,
}

/// A series' state after its last step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Learned {
    pub(super) parameters: ThetaParameters,
    pub(super) unit: Unit,
    form: ThetaForm,
    pub(super) share: f64,
    pub(super) end: State,
    /// Squared one-step errors of the standardised series, summed where they count.
    squares: f64,
    observed: usize,
}

/// The state of [`foreshadow_kernels::theta_profile`], on the standardised series.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct State {
    /// The steps behind it.
    steps: usize,
    level: f64,
    /// What is left of the start.
    weight: f64,
    /// By how many steps smoothing lags behind a line.
    lag: f64,
    line: Line,
    /// Whether the line takes the steps that are seen.
    dynamic: bool,
}

/// A least-squares line through time, which counts steps from 1.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Line {
    count: f64,
    time: f64,
    mean: f64,
    squares: f64,
    slope: f64,
}

impl Line {
    fn intercept(&self) -> f64 {
        self.mean - self.slope * self.time
    }

    fn see(&mut self, now: f64, y: f64) {
        let gain = self.gain(now);
        let above = y - self.mean;
        self.slope += gain.slope * (above - self.slope * gain.later);
        self.mean += gain.mean * above;
        self.time += gain.mean * gain.later;
        self.squares += gain.squares;
        self.count += 1.0;
    }

    /// What a step at `now` moves.
    fn gain(&self, now: f64) -> Gain {
        let mean = 1.0 / (self.count + 1.0);
        let later = now - self.time;
        let kept = later * (1.0 - mean);
        let squares = later * kept;
        let all = self.squares + squares;
        Gain { mean, later, squares, slope: if all > 0.0 { kept / all } else { 0.0 } }
    }
}

/// How far one step moves a line: shares of its distance from the mean, and of time.
struct Gain {
    mean: f64,
    slope: f64,
    later: f64,
    squares: f64,
}

impl State {
    pub(super) fn ahead(&self, share: f64) -> f64 {
        self.level + share * (self.line.intercept() * self.weight + self.line.slope * self.lag)
    }

    pub(super) fn see(&mut self, alpha: f64, y: f64) {
        self.steps += 1;
        self.level += alpha * (y - self.level);
        self.weight *= 1.0 - alpha;
        self.lag = 1.0 + (1.0 - alpha) * self.lag;
        if self.dynamic {
            self.line.see(self.steps as f64, y);
        }
    }

    fn skip(&mut self) {
        self.steps += 1;
        self.lag += 1.0;
    }
}

/// Runs the recursion over a prepared series.
pub(super) fn run(own: Prepared, form: ThetaForm, point: Point) -> Learned {
    let Prepared { season, values, unit } = own;
    let Point { alpha, level, share } = point;
    let mut line = Line::default();
    if !form.is_dynamic() {
        let seen = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
        seen.for_each(|(t, value)| line.see((t + 1) as f64, unit.standardise(*value)));
    }
    let end = State { steps: 0, level, weight: 1.0, lag: 1.0, line, dynamic: form.is_dynamic() };
    let parameters = ThetaParameters {
        // A shift moves the level by what the line does not take of it.
        level: unit.scale * level + unit.centre * (1.0 - share),
        alpha,
        theta: 1.0 / (1.0 - share.min(HIGHEST_SHARE)),
        season,
    };
    let mut learned = Learned { parameters, unit, form, share, end, squares: 0.0, observed: 0 };
    values.iter().for_each(|value| learned.see(*value));
    learned
}

impl Learned {
    /// A series that never moved.
    pub(super) fn constant(value: f64, form: ThetaForm) -> Self {
        let parameters = ThetaParameters { level: value, alpha: 0.5, theta: 1.0, season: ThetaSeason::None };
        let line = Line::default();
        let end = State { steps: 0, level: 0.0, weight: 0.0, lag: 2.0, line, dynamic: form.is_dynamic() };
        let unit = Unit { centre: value, scale: 1.0 };
        Self { parameters, unit, form, share: 0.0, end, squares: 0.0, observed: 0 }
    }

    /// One step of the series without its season.
    fn see(&mut self, value: f64) {
        if value.is_nan() {
            self.end.skip();
            return;
        }
        let y = self.unit.standardise(value);
        let error = y - self.end.ahead(self.share);
        self.squares += if self.observed < UNCOUNTED { 0.0 } else { error * error };
        self.observed += 1;
        self.end.see(self.parameters.alpha, y);
    }

    /// Takes in one more step of the series; returns whether there still is a forecast after it. The line of a form that
    /// is not dynamic stays that of the fit.
    pub(super) fn append(&mut self, value: f64) -> bool {
        let (factor, added) = self.parameters.season.at(self.end.steps);
        self.see((value - added) / factor);
        let State { level, lag, line, .. } = &self.end;
        [*level, *lag, line.slope, line.mean, self.squares].iter().all(|v| v.is_finite())
    }

    /// Whether a series that never moved still has not.
    pub(super) fn repeats(&self, value: f64) -> bool {
        value.is_nan() || value == self.unit.centre
    }

    /// Standard deviation of the one-step errors of the standardised series.
    pub(super) fn spread(&self) -> f64 {
        let freedom = self.observed.saturating_sub(UNCOUNTED + unknowns(self.form)).max(1);
        (self.squares / freedom as f64).sqrt()
    }

    /// Whether it may have been learned.
    pub(super) fn is_whole(&self) -> bool {
        let sized = self.end.steps < MOST_LIVED && self.unit.centre.is_finite();
        self.is_finite() && sized && self.unit.scale.is_normal() && self.share.is_finite()
    }

    pub(super) fn is_finite(&self) -> bool {
        let ThetaParameters { level, .. } = self.parameters;
        let states = [level, self.end.level, self.end.lag, self.end.line.slope, self.end.line.mean, self.spread()];
        states.iter().all(|v| v.is_finite()) && self.parameters.season.is_finite()
    }

    /// Mean and standard deviation of each step ahead.
    ///
    /// A forecast is fed back as if it had been observed, as the published model and statsforecast do. The model is
    /// linear in its errors, so their covariance goes along with the state exactly; for a line that stays it is
    /// `sigma^2 (1 + (h - 1) alpha^2)`, Fiorucci et al. 2016, and a dynamic line's own uncertainty comes on top.
    pub(super) fn ahead(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let (alpha, own) = (self.parameters.alpha, self.spread());
        let mut state = self.end.clone();
        let mut covariance = Covariance::default();
        let (mut mean, mut spread) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        for _ in 0..steps {
            let ahead = state.ahead(self.share);
            let variance = covariance.step(&state, alpha, self.share);
            let (factor, added) = self.parameters.season.at(state.steps);
            mean.push(factor * (self.unit.centre + self.unit.scale * ahead) + added);
            spread.push(factor * self.unit.scale * own * variance.sqrt());
            state.see(alpha, ahead);
        }
        (mean, spread)
    }
}

/// Covariance of level, mean and slope, in units of the one-step variance.
#[derive(Default)]
struct Covariance([[f64; 3]; 3]);

impl Covariance {
    /// Variance of the next step; then the state takes that step.
    fn step(&mut self, state: &State, alpha: f64, share: f64) -> f64 {
        let (w, line) = (state.weight, &state.line);
        // The forecast as a sum of level, mean and slope; the intercept is `mean - slope time`.
        let forecast = [1.0, share * w, share * (state.lag - w * line.time)];
        let along: [f64; 3] = std::array::from_fn(|i| dot(&self.0[i], &forecast));
        let variance = 1.0 + dot(&forecast, &along);
        // What a step's value moves, and what the state keeps without it.
        let gain = line.gain((state.steps + 1) as f64);
        let (moved, kept) = if state.dynamic {
            let kept = [
                [1.0 - alpha, 0.0, 0.0],
                [0.0, 1.0 - gain.mean, 0.0],
                [0.0, -gain.slope, 1.0 - gain.slope * gain.later],
            ];
            ([alpha, gain.mean, gain.slope], kept)
        } else {
            ([alpha, 0.0, 0.0], [[1.0 - alpha, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        };
        let whole: [[f64; 3]; 3] =
            std::array::from_fn(|i| std::array::from_fn(|j| kept[i][j] + moved[i] * forecast[j]));
        let half: [[f64; 3]; 3] =
            std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| whole[i][k] * self.0[k][j]).sum()));
        self.0 = std::array::from_fn(|i| std::array::from_fn(|j| dot(&half[i], &whole[j]) + moved[i] * moved[j]));
        variance
    }
}

fn dot(a: &[f64; 3], b: &[f64; 3]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
