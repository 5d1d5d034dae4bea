//! The ETS recursion and its adjoint: one unit a series, the steps in several launches.
#![allow(clippy::too_many_lines)] // a unit's state stays in registers: a helper would send it through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, CHUNK, array};
use crate::{EtsForm, EtsGradient, KernelError, Smoothing, Trend};

pub(crate) fn ets_gradient<R: Runtime>(
    y: &Buffer<R>,
    offset: &[f64],
    form: EtsForm,
    smoothing: &[Smoothing],
    start: &[f64],
) -> Result<EtsGradient, KernelError> {
    if y.gpu().has_f64() {
        gradient::<R, f64>(y, form, &Passes::upload(y, offset, form, smoothing, start, |value| value))
    } else {
        gradient::<R, f32>(y, form, &Passes::upload(y, offset, form, smoothing, start, |value| value as f32))
    }
}

/// Rows of [`Passes::ahead`]: level, slope, sum of squares, the product of one plus each relative error as a
/// number and how often it was brought back into range, observed steps.
const AHEAD_ROWS: usize = 6;
/// Rows of [`Passes::back`]: derivatives by the level, the slope, and the four weights.
const BACK_ROWS: usize = 6;
/// The product leaves its range upwards here, downwards at one over it: a factor more and `f32` still holds it.
const RANGE: f32 = 1e15;

/// What the passes over a batch read, and what they keep between launches. Every row has one value a series,
/// so that neighbouring units read neighbouring values.
struct Passes {
    /// Alpha, beta, gamma, phi, and the offset.
    weights: Handle,
    /// State of the forward pass.
    ahead: Handle,
    /// The season, a row a slot; until its slot is first observed, the error that the start gives it.
    ring: Handle,
    /// One more than the step at which a slot is first observed; 0 where it never is.
    seen: Handle,
    /// Error of each step, relative where the season multiplies.
    errors: Handle,
    /// Slope before each step, where it is damped: nothing else asks for it again.
    slopes: Handle,
    slope_steps: usize,
    /// Level ahead and season before each step, where the season multiplies.
    levels: Handle,
    seasons: Handle,
    scaled_steps: usize,
    /// State of the adjoint.
    back: Handle,
    /// Derivatives by the season; once the adjoint has met a slot's first observation, by its start.
    back_ring: Handle,
}

impl Passes {
    fn upload<R: Runtime, F: Float + CubeElement>(
        y: &Buffer<R>,
        offset: &[f64],
        form: EtsForm,
        smoothing: &[Smoothing],
        start: &[f64],
        narrow: impl Fn(f64) -> F,
    ) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        let (zero, one) = (narrow(0.0), narrow(1.0));
        let own: Vec<Smoothing> = smoothing.iter().map(|&own| form.weights(own)).collect();
        let mut weights = Vec::with_capacity(5 * series);
        weights.extend(own.iter().map(|own| narrow(own.alpha)));
        weights.extend(own.iter().map(|own| narrow(own.beta)));
        weights.extend(own.iter().map(|own| narrow(own.gamma)));
        weights.extend(own.iter().map(|own| narrow(own.phi)));
        weights.extend(offset.iter().map(|&offset| narrow(offset)));
        let row = |i: usize| start.iter().skip(i).step_by(form.start_len()).map(|&value| narrow(value));
        let mut ahead = vec![zero; AHEAD_ROWS * series];
        if form.scales() {
            ahead[..series].fill(one);
        }
        if form.trend != Trend::None {
            ahead[series..2 * series].iter_mut().zip(row(0)).for_each(|(slope, start)| *slope = start);
        }
        ahead[3 * series..4 * series].fill(one);
        let ring: Vec<F> = (0..form.season).flat_map(|slot| row(1 + slot)).collect();
        let slope_steps = if form.trend == Trend::Damped { y.steps() } else { 0 };
        let scaled_steps = if form.scales() { y.steps() } else { 0 };
        Self {
            weights: gpu.upload(&weights),
            ahead: gpu.upload(&ahead),
            ring: gpu.upload(&ring),
            seen: gpu.upload(&vec![0_u32; form.season * series]),
            errors: gpu.empty::<F>(y.steps() * series),
            slopes: gpu.empty::<F>(slope_steps * series),
            slope_steps,
            levels: gpu.empty::<F>(scaled_steps * series),
            seasons: gpu.empty::<F>(scaled_steps * series),
            scaled_steps,
            back: gpu.upload(&vec![zero; BACK_ROWS * series]),
            back_ring: gpu.upload(&vec![zero; form.season * series]),
        }
    }
}

fn gradient<R: Runtime, F: Float + CubeElement + Into<f64>>(
    y: &Buffer<R>,
    form: EtsForm,
    passes: &Passes,
) -> Result<EtsGradient, KernelError> {
    let chunks = (0..y.steps()).step_by(CHUNK);
    chunks.clone().for_each(|first| launch_forward::<R, F>(y, form, passes, first));
    chunks.rev().for_each(|first| launch_adjoint::<R, F>(y, form, passes, first));
    let read = |handle: &Handle| -> Result<Vec<f64>, KernelError> {
        let values: Vec<F> = y.gpu().download(handle, "the ETS gradient")?;
        Ok(values.into_iter().map(Into::into).collect())
    };
    Ok(collect(form, y.series(), &read(&passes.ahead)?, &read(&passes.back)?, &read(&passes.back_ring)?))
}

/// Turns rows of one value a series into a gradient; the adjoint differentiates half the sum.
fn collect(form: EtsForm, series: usize, ahead: &[f64], back: &[f64], ring: &[f64]) -> EtsGradient {
    let of = |row: usize, s: usize| 2.0 * back[row * series + s];
    let only = |there: bool, value: f64| if there { value } else { 0.0 };
    let sloped = form.trend != Trend::None;
    let growth = |s: usize| {
        let ln = ahead[3 * series + s].ln() + ahead[4 * series + s] * f64::from(RANGE).ln();
        if ln.is_nan() { f64::NEG_INFINITY } else { ln }
    };
    let mut gradient = EtsGradient {
        sse: ahead[2 * series..3 * series].to_vec(),
        log_growth: (0..series).map(growth).collect(),
        smoothing: vec![],
        start: vec![],
    };
    for s in 0..series {
        gradient.smoothing.push(Smoothing {
            alpha: of(2, s),
            beta: only(sloped, of(3, s)),
            gamma: only(form.season > 1, of(4, s)),
            phi: of(5, s), // its kernel leaves 0 where nothing is damped
        });
        gradient.start.push(only(sloped, of(1, s)));
        gradient.start.extend((0..form.season).map(|slot| 2.0 * ring[slot * series + s]));
    }
    gradient
}

fn launch_forward<R: Runtime, F: Float + CubeElement>(y: &Buffer<R>, form: EtsForm, passes: &Passes, first: usize) {
    let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: each argument has the count that `Passes::upload` made it with: a row is one value a series,
    // `slopes` has a row a step where the form is damped, `levels` and `seasons` where its season multiplies,
    // and none is touched elsewhere. `first..last` lies within the steps; units past the last series stop.
    unsafe {
        forward::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            y.arg(),
            array(&passes.weights, 5 * series),
            array(&passes.ahead, AHEAD_ROWS * series),
            array(&passes.ring, form.season * series),
            array(&passes.seen, form.season * series),
            array(&passes.errors, steps * series),
            array(&passes.slopes, passes.slope_steps * series),
            array(&passes.levels, passes.scaled_steps * series),
            array(&passes.seasons, passes.scaled_steps * series),
            series as u32,
            form.season as u32,
            first as u32,
            (first + CHUNK).min(steps) as u32,
            form.trend == Trend::Damped,
            form.is_relative(),
            form.scales(),
        );
    }
}

fn launch_adjoint<R: Runtime, F: Float + CubeElement>(y: &Buffer<R>, form: EtsForm, passes: &Passes, first: usize) {
    let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: as in the forward pass.
    unsafe {
        adjoint::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            y.arg(),
            array(&passes.weights, 5 * series),
            array(&passes.ahead, AHEAD_ROWS * series),
            array(&passes.back, BACK_ROWS * series),
            array(&passes.back_ring, form.season * series),
            array(&passes.seen, form.season * series),
            array(&passes.errors, steps * series),
            array(&passes.slopes, passes.slope_steps * series),
            array(&passes.levels, passes.scaled_steps * series),
            array(&passes.seasons, passes.scaled_steps * series),
            series as u32,
            form.season as u32,
            first as u32,
            (first + CHUNK).min(steps) as u32,
            form.trend == Trend::Damped,
            form.is_relative(),
            form.scales(),
        );
    }
}

/// Steps `first..last` of the recursion. A form without a slope has one of 0 that stays so, and a form
/// without a season one slot of weight 0.
#[cube(launch_unchecked)]
fn forward<F: Float>(
    y: &Array<f32>,
    weights: &Array<F>,
    state: &mut Array<F>,
    ring: &mut Array<F>,
    seen: &mut Array<u32>,
    errors: &mut Array<F>,
    slopes: &mut Array<F>,
    levels: &mut Array<F>,
    seasons: &mut Array<F>,
    series: u32,
    season: u32,
    first: u32,
    last: u32,
    #[comptime] damped: bool,
    #[comptime] relative: bool,
    #[comptime] scaled: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let alpha = weights[s as usize];
        let beta = weights[(series + s) as usize];
        let gamma = weights[(2 * series + s) as usize];
        let phi = weights[(3 * series + s) as usize];
        let offset = weights[(4 * series + s) as usize];
        let one = F::new(1.0f32);
        let mut level = state[s as usize];
        let mut slope = state[(series + s) as usize];
        let mut sse = state[(2 * series + s) as usize];
        let mut product = state[(3 * series + s) as usize];
        let mut ranges = state[(4 * series + s) as usize];
        let mut observed = state[(5 * series + s) as usize];
        for t in first..last {
            let at = (t * series + s) as usize;
            let slot = (t % season * series + s) as usize;
            if damped {
                slopes[at] = slope;
            }
            let drift = phi * slope;
            let ahead = level + drift;
            let mut error = F::new(0.0f32);
            let mut before = ring[slot];
            if !y[at].is_nan() {
                let value = F::cast_from(y[at]);
                let whole = value + offset;
                let held = ring[slot];
                let fresh = seen[slot] == 0;
                if fresh {
                    seen[slot] = t + 1;
                }
                let mut ratio = one;
                if scaled {
                    if fresh {
                        before = whole / (ahead * (one + held));
                        error = held;
                        ratio = one + held;
                    } else {
                        ratio = whole / (ahead * held);
                        error = ratio - one;
                    }
                    ring[slot] = before * (one + gamma * error);
                    sse += error * error;
                } else {
                    if fresh {
                        if relative {
                            error = whole - whole / (one + held);
                        } else {
                            error = held;
                        }
                        before = value - ahead - error;
                    } else {
                        error = value - ahead - held;
                    }
                    ring[slot] = before + gamma * error;
                    if relative {
                        let share = error / (whole - error);
                        ratio = whole / (whole - error);
                        sse += share * share;
                    } else {
                        sse += error * error;
                    }
                }
                if relative {
                    product *= ratio;
                    if product > F::new(RANGE) {
                        product /= F::new(RANGE);
                        ranges += one;
                    } else if product < one / F::new(RANGE) {
                        // Where an expected value is not positive the product ends here, for good.
                        product *= F::new(RANGE);
                        ranges -= one;
                        if ratio <= F::new(0.0f32) {
                            product = F::new(0.0f32);
                        }
                    }
                }
                observed += one;
            }
            errors[at] = error;
            if scaled {
                levels[at] = ahead;
                seasons[at] = before;
                level = ahead * (one + alpha * error);
                slope = drift + beta * ahead * error;
            } else {
                level = ahead + alpha * error;
                slope = drift + beta * error;
            }
        }
        state[s as usize] = level;
        state[(series + s) as usize] = slope;
        state[(2 * series + s) as usize] = sse;
        state[(3 * series + s) as usize] = product;
        state[(4 * series + s) as usize] = ranges;
        state[(5 * series + s) as usize] = observed;
    }
}

/// Steps `first..last` of the adjoint, the last one first.
#[cube(launch_unchecked)]
fn adjoint<F: Float>(
    y: &Array<f32>,
    weights: &Array<F>,
    ahead_state: &Array<F>,
    state: &mut Array<F>,
    ring: &mut Array<F>,
    seen: &Array<u32>,
    errors: &Array<F>,
    slopes: &Array<F>,
    levels: &Array<F>,
    seasons: &Array<F>,
    series: u32,
    season: u32,
    first: u32,
    last: u32,
    #[comptime] damped: bool,
    #[comptime] relative: bool,
    #[comptime] scaled: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let alpha = weights[s as usize];
        let beta = weights[(series + s) as usize];
        let gamma = weights[(2 * series + s) as usize];
        let phi = weights[(3 * series + s) as usize];
        let offset = weights[(4 * series + s) as usize];
        let variance = ahead_state[(2 * series + s) as usize] / ahead_state[(5 * series + s) as usize];
        let one = F::new(1.0f32);
        let mut level = state[s as usize];
        let mut slope = state[(series + s) as usize];
        let mut by_alpha = state[(2 * series + s) as usize];
        let mut by_beta = state[(3 * series + s) as usize];
        let mut by_gamma = state[(4 * series + s) as usize];
        let mut by_phi = state[(5 * series + s) as usize];
        for i in first..last {
            let t = last - 1 - (i - first);
            let at = (t * series + s) as usize;
            let slot = (t % season * series + s) as usize;
            let mut ahead = level;
            if !y[at].is_nan() {
                let error = errors[at];
                let held = ring[slot];
                let fresh = seen[slot] == t + 1;
                if scaled {
                    let q = levels[at];
                    let before = seasons[at];
                    let ratio = one + error;
                    let by_level = level * q;
                    let by_slope = slope * q;
                    let by_season = held * before;
                    let pull = error - variance / ratio + alpha * by_level + beta * by_slope + gamma * by_season;
                    by_alpha += error * by_level;
                    by_beta += error * by_slope;
                    by_gamma += error * by_season;
                    let grown = held * (one + gamma * error);
                    ahead = level * (one + alpha * error) + slope * beta * error;
                    if fresh {
                        ahead -= grown * before / q;
                        ring[slot] = pull - grown * before / ratio;
                    } else {
                        ahead -= pull * ratio / q;
                        ring[slot] = grown - pull * ratio / before;
                    }
                } else {
                    let mut pushed = error;
                    let mut steep = one;
                    if relative {
                        let whole = F::cast_from(y[at]) + offset;
                        let expected = whole - error;
                        steep = whole / (expected * expected);
                        pushed = (error * whole / (expected * expected) - variance) / expected;
                    }
                    let pull = pushed + alpha * level + beta * slope + gamma * held;
                    by_alpha += error * level;
                    by_beta += error * slope;
                    by_gamma += error * held;
                    if fresh {
                        ahead -= held;
                        // What comes before observes nothing of this slot, so the ring has room for its start.
                        ring[slot] = (pull - held) / steep;
                    } else {
                        ahead -= pull;
                        ring[slot] = held - pull;
                    }
                }
            }
            if damped {
                by_phi += slopes[at] * (slope + ahead);
            }
            slope = phi * (slope + ahead);
            level = ahead;
        }
        state[s as usize] = level;
        state[(series + s) as usize] = slope;
        state[(2 * series + s) as usize] = by_alpha;
        state[(3 * series + s) as usize] = by_beta;
        state[(4 * series + s) as usize] = by_gamma;
        state[(5 * series + s) as usize] = by_phi;
    }
}
