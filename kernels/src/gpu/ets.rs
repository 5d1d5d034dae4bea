//! The ETS recursion and its adjoint: one unit a series, the steps in several launches.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, CHUNK, array};
use crate::{EtsForm, EtsGradient, KernelError, Smoothing, Trend};

pub(crate) fn ets_gradient<R: Runtime>(
    y: &Buffer<R>,
    form: EtsForm,
    smoothing: &[Smoothing],
    start: &[f64],
) -> Result<EtsGradient, KernelError> {
    if y.gpu().has_f64() {
        gradient::<R, f64>(y, form, &Passes::upload(y, form, smoothing, start, |value| value))
    } else {
        gradient::<R, f32>(y, form, &Passes::upload(y, form, smoothing, start, |value| value as f32))
    }
}

/// Rows of [`Passes::ahead`]: level, slope, sum of squares.
const AHEAD_ROWS: usize = 3;
/// Rows of [`Passes::back`]: derivatives by the level, the slope, and the four weights.
const BACK_ROWS: usize = 6;

/// What the passes over a batch read, and what they keep between launches. Every row has one value a series,
/// so that neighbouring units read neighbouring values.
struct Passes {
    /// Alpha, beta, gamma and phi.
    weights: Handle,
    /// State of the forward pass.
    ahead: Handle,
    /// The season, a row a slot; until its slot is first observed, the error that the start gives it.
    ring: Handle,
    /// One more than the step at which a slot is first observed; 0 where it never is.
    seen: Handle,
    /// Error of each step.
    errors: Handle,
    /// Slope before each step, where it is damped: nothing else asks for it again.
    slopes: Handle,
    slope_steps: usize,
    /// State of the adjoint.
    back: Handle,
    /// Derivatives by the season; once the adjoint has met a slot's first observation, by its start.
    back_ring: Handle,
}

impl Passes {
    fn upload<R: Runtime, F: Float + CubeElement>(
        y: &Buffer<R>,
        form: EtsForm,
        smoothing: &[Smoothing],
        start: &[f64],
        narrow: impl Fn(f64) -> F,
    ) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        let zero = narrow(0.0);
        let own: Vec<Smoothing> = smoothing.iter().map(|&own| form.weights(own)).collect();
        let mut weights = Vec::with_capacity(4 * series);
        weights.extend(own.iter().map(|own| narrow(own.alpha)));
        weights.extend(own.iter().map(|own| narrow(own.beta)));
        weights.extend(own.iter().map(|own| narrow(own.gamma)));
        weights.extend(own.iter().map(|own| narrow(own.phi)));
        let row = |i: usize| start.iter().skip(i).step_by(form.start_len()).map(|&value| narrow(value));
        let mut ahead = vec![zero; AHEAD_ROWS * series];
        if form.trend != Trend::None {
            ahead[series..2 * series].iter_mut().zip(row(0)).for_each(|(slope, start)| *slope = start);
        }
        let ring: Vec<F> = (0..form.season).flat_map(|slot| row(1 + slot)).collect();
        let slope_steps = if form.trend == Trend::Damped { y.steps() } else { 0 };
        Self {
            weights: gpu.upload(&weights),
            ahead: gpu.upload(&ahead),
            ring: gpu.upload(&ring),
            seen: gpu.upload(&vec![0_u32; form.season * series]),
            errors: gpu.empty::<F>(y.steps() * series),
            slopes: gpu.empty::<F>(slope_steps * series),
            slope_steps,
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
    let mut gradient = EtsGradient { sse: ahead[2 * series..3 * series].to_vec(), smoothing: vec![], start: vec![] };
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
    // `slopes` has a row a step where the form is damped and is not touched elsewhere. `first..last` lies
    // within the steps; units past the last series stop.
    unsafe {
        forward::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            y.arg(),
            array(&passes.weights, 4 * series),
            array(&passes.ahead, AHEAD_ROWS * series),
            array(&passes.ring, form.season * series),
            array(&passes.seen, form.season * series),
            array(&passes.errors, steps * series),
            array(&passes.slopes, passes.slope_steps * series),
            series as u32,
            form.season as u32,
            first as u32,
            (first + CHUNK).min(steps) as u32,
            form.trend == Trend::Damped,
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
            array(&passes.weights, 4 * series),
            array(&passes.back, BACK_ROWS * series),
            array(&passes.back_ring, form.season * series),
            array(&passes.seen, form.season * series),
            array(&passes.errors, steps * series),
            array(&passes.slopes, passes.slope_steps * series),
            series as u32,
            form.season as u32,
            first as u32,
            (first + CHUNK).min(steps) as u32,
            form.trend == Trend::Damped,
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
    series: u32,
    season: u32,
    first: u32,
    last: u32,
    #[comptime] damped: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let alpha = weights[s as usize];
        let beta = weights[(series + s) as usize];
        let gamma = weights[(2 * series + s) as usize];
        let phi = weights[(3 * series + s) as usize];
        let mut level = state[s as usize];
        let mut slope = state[(series + s) as usize];
        let mut sse = state[(2 * series + s) as usize];
        for t in first..last {
            let at = (t * series + s) as usize;
            let slot = (t % season * series + s) as usize;
            if damped {
                slopes[at] = slope;
            }
            let drift = phi * slope;
            let ahead = level + drift;
            let mut error = F::new(0.0f32);
            if !y[at].is_nan() {
                let above = F::cast_from(y[at]) - ahead;
                let held = ring[slot];
                let mut before = held;
                if seen[slot] == 0 {
                    seen[slot] = t + 1;
                    error = held;
                    before = above - error;
                } else {
                    error = above - held;
                }
                ring[slot] = before + gamma * error;
            }
            level = ahead + alpha * error;
            slope = drift + beta * error;
            sse += error * error;
            errors[at] = error;
        }
        state[s as usize] = level;
        state[(series + s) as usize] = slope;
        state[(2 * series + s) as usize] = sse;
    }
}

/// Steps `first..last` of the adjoint, the last one first.
#[cube(launch_unchecked)]
fn adjoint<F: Float>(
    y: &Array<f32>,
    weights: &Array<F>,
    state: &mut Array<F>,
    ring: &mut Array<F>,
    seen: &Array<u32>,
    errors: &Array<F>,
    slopes: &Array<F>,
    series: u32,
    season: u32,
    first: u32,
    last: u32,
    #[comptime] damped: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let alpha = weights[s as usize];
        let beta = weights[(series + s) as usize];
        let gamma = weights[(2 * series + s) as usize];
        let phi = weights[(3 * series + s) as usize];
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
                let pull = error + alpha * level + beta * slope + gamma * held;
                by_alpha += error * level;
                by_beta += error * slope;
                by_gamma += error * held;
                if seen[slot] == t + 1 {
                    ahead -= held;
                    // What comes before observes nothing of this slot, so the ring has room for its start.
                    ring[slot] = pull - held;
                } else {
                    ahead -= pull;
                    ring[slot] = held - pull;
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
