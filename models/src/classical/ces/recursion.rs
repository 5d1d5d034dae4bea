//! The recursion at learned weights: where a series ends, and the steps ahead.

use foreshadow_kernels::CesForm;
use serde::{Deserialize, Serialize};

use super::start::Prepared;
use super::{CesParameters, FormFit, NOTHING, estimated};
use crate::FitStatus;
use crate::artifact::MOST_STEPS;

/// By how many of its ranges a forecast may leave a series' range: beyond, its model has no bounds.
const LEEWAY: f64 = 10.0;

/// What was learned of one series, ready to forecast.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Learned {
    pub(super) parameters: Option<CesParameters>,
    scale: f64,
    /// Lowest and highest value seen, on the series of unit scale.
    range: (f64, f64),
    /// Steps since the last observed one, which the state stands at.
    unseen: usize,
    state: State,
    /// Sum of squared one-step errors, on the series of unit scale.
    squares: f64,
    observed: f64,
}

/// Level and season of one series, as [`foreshadow_kernels::ces_squares`] moves them.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    form: CesForm,
    weights: [f64; 4],
    level: [f64; 2],
    ring: Vec<[f64; 2]>,
    /// The place of the next step.
    place: usize,
}

impl State {
    fn new(own: &Prepared, fit: &FormFit) -> Self {
        let start = own.start(fit.form);
        let (level, places) = start.split_at(usize::from(fit.form.has_level()));
        let paired = |a: f64| [a, a / 1.1];
        let single = fit.form == CesForm::Partial;
        let ring = places.iter().map(|a| if single { [*a, 0.0] } else { paired(*a) }).collect();
        Self {
            form: fit.form,
            weights: fit.weights,
            level: paired(level.first().copied().unwrap_or(0.0)),
            ring,
            place: 0,
        }
    }

    fn ahead(&self) -> f64 {
        let level = if self.form.has_level() { self.level[0] } else { 0.0 };
        level + self.ring.get(self.place).map_or(0.0, |place| place[0])
    }

    /// Takes the error of the step at its place.
    fn take(&mut self, e: f64) {
        let [alpha_0, alpha_1, beta_0, beta_1] = self.weights;
        self.level = grown(self.level, alpha_0, alpha_1, e);
        if let Some(place) = self.ring.get_mut(self.place) {
            *place = match self.form {
                CesForm::Partial => [place[0] + beta_0 * e, 0.0],
                CesForm::Simple => grown(*place, alpha_0, alpha_1, e),
                _ => grown(*place, beta_0, beta_1, e),
            };
        }
    }

    /// Every pair goes one step on without an error.
    fn rest(&mut self) {
        let place = self.place;
        self.level = grown(self.level, self.weights[0], self.weights[1], 0.0);
        let level = self.level;
        for at in 0..self.ring.len() {
            self.place = at;
            self.take(0.0);
        }
        (self.place, self.level) = (place, level);
    }

    fn next_place(&mut self) {
        self.place = (self.place + 1) % self.ring.len().max(1);
    }

    /// Runs forward, back and forward again; returns the last pass's squared errors.
    fn run(&mut self, y: &[f64]) -> f64 {
        let mut sse = 0.0;
        let error = |y: f64, ahead: f64| if y.is_nan() { 0.0 } else { y - ahead };
        for pass in 0..2 {
            sse = 0.0;
            for y in y {
                let e = error(*y, self.ahead());
                sse += e * e;
                self.take(e);
                self.next_place();
            }
            if pass == 1 {
                break;
            }
            self.rest();
            let m = self.ring.len().max(1);
            for y in y.iter().rev() {
                self.place = (self.place + m - 1) % m;
                self.take(error(*y, self.ahead()));
            }
            self.rest();
        }
        sse
    }
}

/// A pair without, and with, an error.
fn grown([a, b]: [f64; 2], w0: f64, w1: f64, e: f64) -> [f64; 2] {
    [a - (1.0 - w1) * b + (w0 - w1) * e, a + (1.0 - w0) * b + (w0 + w1) * e]
}

/// What the best form's fit says of a series.
pub(super) fn learn(own: &Prepared, best: Option<FormFit>) -> Result<Learned, FitStatus> {
    let fit = best.filter(|fit| fit.converged).ok_or(FitStatus::NotConverged)?;
    let mut state = State::new(own, &fit);
    let sse = state.run(&own.y);
    let n = own.observed;
    let unit = n * (sse.max(NOTHING * n).ln() + 2.0 * own.scale.ln());
    let parameters = CesParameters {
        form: fit.form,
        weights: fit.weights,
        log_likelihood: -0.5 * unit,
        aicc: fit.aicc + 2.0 * n * own.scale.ln(),
    };
    let learned = Learned {
        parameters: Some(parameters),
        scale: own.scale,
        range: own.range,
        unseen: own.unseen,
        state,
        squares: sse,
        observed: n,
    };
    let (mean, spread) = learned.unbounded(2 * own.season);
    let (low, high) = learned.bounds();
    let within = mean.iter().all(|mean| (low..=high).contains(mean));
    if within && spread.iter().all(|v| v.is_finite()) { Ok(learned) } else { Err(FitStatus::NotConverged) }
}

impl Learned {
    /// A series that never moved.
    pub(super) fn constant(value: f64) -> Self {
        let state = State {
            form: CesForm::None,
            weights: [1.0, 1.0, 0.0, 0.0],
            level: [value, 0.0],
            ring: Vec::new(),
            place: 0,
        };
        // As few observed as leave a spread, of nothing.
        let observed = estimated(CesForm::None) as f64 + 2.0;
        Self { parameters: None, scale: 1.0, range: (value, value), unseen: 0, state, squares: 0.0, observed }
    }

    /// Lowest and highest forecast, on the series of unit scale.
    fn bounds(&self) -> (f64, f64) {
        let (low, high) = self.range;
        let room = LEEWAY * (high - low);
        (low - room, high + room)
    }

    /// Standard deviation of the one-step errors, on the series of unit scale.
    fn spread(&self) -> f64 {
        (self.squares / (self.observed - estimated(self.state.form) as f64 - 1.0)).sqrt()
    }

    /// Takes in one more step of the series, as the last of the passes over it would; returns whether there still is a
    /// forecast after it. Weights and the start of that pass stay.
    pub(super) fn append(&mut self, value: f64) -> bool {
        if value.is_nan() {
            self.unseen += 1;
            return true;
        }
        for _ in 0..std::mem::take(&mut self.unseen) {
            self.state.take(0.0);
            self.state.next_place();
        }
        let y = value / self.scale;
        let place = self.state.place;
        let error = y - self.state.ahead();
        self.state.take(error);
        self.state.next_place();
        self.squares += error * error;
        self.observed += 1.0;
        self.range = (self.range.0.min(y), self.range.1.max(y));
        let season = self.state.ring.get(place).copied().unwrap_or_default();
        let moved = self.parameters.is_none() && error != 0.0;
        !moved && self.squares.is_finite() && self.state.level.iter().chain(&season).all(|v| v.is_finite())
    }

    /// Whether it may have been learned.
    pub(super) fn is_whole(&self) -> bool {
        let State { form, weights, level, ring, place } = &self.state;
        let numbers = weights.iter().chain(level).chain(ring.iter().flatten());
        let (low, high) = self.bounds();
        let placed = ring.is_empty() == (*form == CesForm::None) && *place < ring.len().max(1);
        placed
            && self.unseen < MOST_STEPS
            && low <= high
            && high < f64::INFINITY
            && numbers.chain([&self.scale]).all(|v| v.is_finite())
            && self.spread().is_finite()
    }

    /// Mean and standard deviation of each step ahead of the window's end.
    pub(super) fn ahead(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let (mean, spread) = self.unbounded(steps + self.unseen);
        let (low, high) = self.bounds();
        let widest = high - low;
        let bounded = |mean: &f64| if mean.is_nan() { high } else { mean.clamp(low, high) };
        let mean = mean[self.unseen..].iter().map(|mean| self.scale * bounded(mean)).collect();
        // `min` takes the number where the other is a NaN.
        (mean, spread[self.unseen..].iter().map(|spread| self.scale * spread.min(widest)).collect())
    }

    /// The model is linear in its errors: the variance of a step is that of one error times the squares of what an
    /// error makes of the forecasts after it.
    fn unbounded(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let mut state = self.state.clone();
        let mut echo = state.clone();
        echo.level = [0.0; 2];
        echo.ring.fill([0.0; 2]);
        let own = self.spread();
        let (mut mean, mut spread, mut variance) = (Vec::with_capacity(steps), Vec::with_capacity(steps), 1.0);
        for step in 0..steps {
            mean.push(state.ahead());
            spread.push(own * f64::sqrt(variance));
            state.take(0.0);
            state.next_place();
            echo.take(if step == 0 { 1.0 } else { 0.0 });
            echo.next_place();
            variance += echo.ahead() * echo.ahead();
        }
        (mean, spread)
    }
}
