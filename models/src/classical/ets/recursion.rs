//! One series through the recursion in `f64`: from the start the kernel found to the state at the end,
//! and from there ahead.

use foreshadow_kernels::{EtsForm, Smoothing, Trend};

use super::EtsParameters;

/// Widest forecast, in largest observed magnitudes: the variance of a relative error feeds on itself, and past
/// this it says nothing any more.
const WIDEST: f64 = 100.0;

/// What was learned of a series, and where that leaves it.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    pub(super) parameters: EtsParameters,
    pub(super) end: End,
}

/// A series' state after its last step, in the series' unit.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) smoothing: Smoothing,
    pub(super) level: f64,
    pub(super) slope: f64,
    /// The next step's slot first; shares of the level where the season multiplies. One number without a season.
    pub(super) season: Vec<f64>,
    /// Sum of squared one-step errors; of relative ones where the error is relative.
    pub(super) squares: f64,
    /// Steps that were observed.
    pub(super) observed: f64,
    /// Largest magnitude observed.
    pub(super) reach: f64,
}

/// The state of one series, standardised.
struct State {
    form: EtsForm,
    smoothing: Smoothing,
    level: f64,
    slope: f64,
    season: Vec<Option<f64>>,
    /// The season before the first step.
    first: Vec<f64>,
}

impl State {
    /// Takes a value of the standardised series and what it lacks to be proportional to the series; returns the
    /// error that the form squares, `None` where nothing is observed.
    fn step(&mut self, t: usize, y: f64, offset: f64, start: &[f64]) -> Option<f64> {
        let slot = t % self.form.season;
        let Smoothing { alpha, beta, gamma, phi } = self.smoothing;
        let drift = phi * self.slope;
        let ahead = self.level + drift;
        (self.level, self.slope) = (ahead, drift);
        if y.is_nan() {
            return None;
        }
        let (whole, given) = (y + offset, start[1 + slot]);
        if self.form.scales() {
            let fresh = || whole / (ahead * (1.0 + given));
            let before = self.first_or(slot, fresh);
            let share = whole / (ahead * before) - 1.0;
            self.season[slot] = Some(before * (1.0 + gamma * share));
            self.level += alpha * ahead * share;
            self.slope += beta * ahead * share;
            return Some(share);
        }
        let relative = self.form.is_relative();
        let given = if relative { whole - whole / (1.0 + given) } else { given };
        let before = self.first_or(slot, || y - ahead - given);
        let error = y - ahead - before;
        self.season[slot] = Some(before + gamma * error);
        self.level += alpha * error;
        self.slope += beta * error;
        Some(if relative { error / (whole - error) } else { error })
    }

    fn first_or(&mut self, slot: usize, fresh: impl FnOnce() -> f64) -> f64 {
        *self.season[slot].get_or_insert_with(|| {
            self.first[slot] = fresh();
            self.first[slot]
        })
    }
}

/// Runs the recursion of [`foreshadow_kernels::ets_gradient`] over a series standardised by `centre` and
/// `scale`, and tells its ends in the series' unit.
pub(super) fn run(
    values: &[f64],
    form: EtsForm,
    (centre, scale): (f64, f64),
    smoothing: &Smoothing,
    start: &[f64],
) -> Learned {
    let offset = if form.is_relative() { centre / scale } else { 0.0 };
    let mut state = State {
        form,
        smoothing: *smoothing,
        level: if form.scales() { 1.0 } else { 0.0 },
        slope: if form.trend == Trend::None { 0.0 } else { start[0] },
        season: vec![None; form.season],
        first: vec![0.0; form.season],
    };
    let (first_level, first_slope) = (state.level, state.slope);
    let (mut sse, mut observed, mut reach) = (0.0, 0.0, 0.0_f64);
    for (t, value) in values.iter().enumerate() {
        if let Some(error) = state.step(t, (value - centre) / scale, offset, start) {
            sse += error * error;
            observed += 1.0;
            reach = reach.max(value.abs());
        }
    }
    let State { level, slope, mut season, first, .. } = state;
    season.rotate_left(values.len() % form.season);
    // A slot never seen has no season: it leaves NaN, which the caller sees as no fit.
    let season = season.into_iter().map(|s| s.unwrap_or(f64::NAN));
    // The start has its level in the season: their common part goes back.
    let common = first.iter().sum::<f64>() / form.season as f64;
    let without = |season: Vec<f64>| if form.season == 1 { Vec::new() } else { season };
    let squares = if form.is_relative() { sse } else { scale * scale * sse };
    let end = |level, slope, season| End { smoothing: *smoothing, level, slope, season, squares, observed, reach };
    if form.scales() {
        let unit = scale * common;
        let parameters = EtsParameters {
            smoothing: *smoothing,
            level: unit * first_level,
            slope: unit * first_slope,
            season: without(first.iter().map(|s| s / common).collect()),
        };
        let season = season.map(|s| s / common).collect();
        return Learned { parameters, end: end(unit * level, unit * slope, season) };
    }
    let parameters = EtsParameters {
        smoothing: *smoothing,
        level: centre + scale * common,
        slope: scale * first_slope,
        season: without(first.iter().map(|s| scale * (s - common)).collect()),
    };
    let season = season.map(|s| scale * s).collect();
    Learned { parameters, end: end(centre + scale * level, scale * slope, season) }
}

impl EtsParameters {
    /// Those of a series that never moved.
    pub(super) fn constant(value: f64, form: EtsForm) -> Self {
        let season = vec![if form.scales() { 1.0 } else { 0.0 }; form.season];
        let smoothing = Smoothing { alpha: 0.0, beta: 0.0, gamma: 0.0, phi: 1.0 };
        let season = if form.season == 1 { Vec::new() } else { season };
        Self { smoothing, level: value, slope: 0.0, season }
    }
}

impl End {
    /// Standard deviation of the one-step errors; of relative ones where the error is relative.
    fn spread(&self, form: EtsForm) -> f64 {
        (self.squares / (self.observed - form.unknowns() as f64).max(1.0)).sqrt()
    }

    /// Whether its forecasts are numbers: states are finite, a relative error is less than the whole, and no
    /// season that multiplies is negative.
    pub(super) fn is_sound(&self, form: EtsForm) -> bool {
        let spread = self.spread(form);
        let states = [self.level, self.slope, spread];
        let finite = states.iter().chain(&self.season).all(|v| v.is_finite());
        let positive = !form.scales() || (self.level > 0.0 && self.season.iter().all(|s| *s >= 0.0));
        finite && positive && (!form.is_relative() || spread < 1.0)
    }

    /// Mean and standard deviation of each step ahead. A mean of relative errors does not fall below zero.
    ///
    /// Source: Hyndman et al. 2008, 6.3. With `c_j = alpha + beta (phi + … + phi^j)`, and `gamma` more where `j`
    /// is a whole season, the variance of step `h` is `sigma^2 (1 + c_1^2 + … + c_{h-1}^2)` for an additive
    /// error. For a relative one it is `(1 + sigma^2) theta_h - mu_h^2`, with
    /// `theta_h = mu_h^2 + sigma^2 (c_1^2 theta_{h-1} + … + c_{h-1}^2 theta_1)`; where the season multiplies,
    /// `mu` is the mean without it, `c_j` is without `gamma`, and the season's own variance comes in as
    /// `(1 + gamma^2 sigma^2)` to the power of the whole seasons passed (6.4.3, small `sigma`).
    pub(super) fn ahead(&self, form: EtsForm, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let Smoothing { alpha, beta, gamma, phi } = self.smoothing;
        let own = self.spread(form);
        let (mut mean, mut carried) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        let (mut damped, mut power) = (0.0, 1.0);
        for step in 0..steps {
            power *= phi;
            damped += power;
            let (ahead, season) = (self.level + damped * self.slope, self.season[step % form.season]);
            mean.push(match (form.scales(), form.is_relative()) {
                (true, _) => ahead.max(0.0),
                (false, true) => (ahead + season).max(0.0),
                (false, false) => ahead + season,
            });
            let seasonal = (step + 1).is_multiple_of(form.season) && !form.scales();
            carried.push(alpha + beta * damped + if seasonal { gamma } else { 0.0 });
        }
        let mut spread =
            if form.is_relative() { self.relative_spread(own, &mean, &carried) } else { plain_spread(own, &carried) };
        if form.scales() {
            let growth = (gamma * own).powi(2).ln_1p();
            for step in 0..steps {
                let season = self.season[step % form.season];
                let variance = spread[step] * spread[step];
                // By how much it has grown, and not to what: one less one would lose a small share's digits.
                let grown = ((step / form.season) as f64 * growth).exp_m1();
                spread[step] = season * (variance + grown * (variance + mean[step] * mean[step])).sqrt();
                mean[step] *= season;
            }
        }
        if form.is_relative() {
            spread.iter_mut().for_each(|s| *s = if *s < WIDEST * self.reach { *s } else { WIDEST * self.reach });
        }
        (mean, spread)
    }

    fn relative_spread(&self, own: f64, mean: &[f64], carried: &[f64]) -> Vec<f64> {
        let share = own * own;
        // Past the widest forecast it only has to stay a number.
        let most = (WIDEST * self.reach).powi(2);
        let mut theta: Vec<f64> = Vec::with_capacity(mean.len());
        let mut spread = Vec::with_capacity(mean.len());
        for mean in mean {
            let past: f64 = theta.iter().rev().zip(carried).map(|(theta, c)| c * c * theta).sum();
            let square = mean * mean;
            // What theta has more than the square: their difference would lose a small share's digits.
            let gained = (share * past).min(most - square).max(0.0);
            theta.push((square + gained).min(most));
            spread.push((share * (square + gained).min(most) + gained).sqrt());
        }
        spread
    }
}

fn plain_spread(own: f64, carried: &[f64]) -> Vec<f64> {
    let mut variance = 1.0_f64;
    let mut grow = |carried: &f64| {
        let now = own * variance.sqrt();
        variance += carried * carried;
        now
    };
    carried.iter().map(&mut grow).collect()
}
