//! The theta recursion: one unit a series, the steps in several launches.
#![allow(clippy::too_many_lines)] // a unit's fifteen numbers stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, CHUNK, array};
use crate::theta::ThetaSums;
use crate::{KernelError, ThetaForm, ThetaProfile};

/// Rows of the state that launches hand on: level, weight and lag; steps seen; the line's steps, mean time, mean,
/// squared times and slope; and the six sums.
const ROWS: usize = 15;
/// Where the sums begin.
const SUMS: usize = 9;

pub(crate) fn theta_profile<R: Runtime>(
    y: &Buffer<R>,
    form: ThetaForm,
    alpha: &[f64],
) -> Result<ThetaProfile, KernelError> {
    if y.gpu().has_f64() {
        profile::<R, f64>(y, form, alpha, |value| value)
    } else {
        profile::<R, f32>(y, form, alpha, |value| value as f32)
    }
}

fn profile<R: Runtime, F: Float + CubeElement + Into<f64>>(
    y: &Buffer<R>,
    form: ThetaForm,
    alpha: &[f64],
    narrow: impl Fn(f64) -> F,
) -> Result<ThetaProfile, KernelError> {
    let (gpu, series) = (y.gpu(), y.series());
    let alpha: Vec<F> = alpha.iter().map(|&value| narrow(value)).collect();
    let mut start = vec![narrow(0.0); ROWS * series];
    start[series..3 * series].fill(narrow(1.0)); // weight and lag
    let (alpha, state) = (gpu.upload(&alpha), gpu.upload(&start));
    if !form.is_dynamic() {
        (0..y.steps()).step_by(CHUNK).for_each(|first| launch::<R, F>(y, &alpha, &state, first, Task::FitLine));
    }
    let task = if form.is_dynamic() { Task::Both } else { Task::Smooth };
    (0..y.steps()).step_by(CHUNK).for_each(|first| launch::<R, F>(y, &alpha, &state, first, task));
    let ends: Vec<F> = gpu.download(&state, "the theta recursion")?;
    let ends: Vec<f64> = ends.into_iter().map(Into::into).collect();
    let of = |sum: usize, s: usize| ends[(SUMS + sum) * series + s];
    let sums = |s| ThetaSums { aa: of(0, s), aw: of(1, s), ag: of(2, s), ww: of(3, s), wg: of(4, s), gg: of(5, s) };
    Ok(ThetaProfile::of(form, (0..series).map(sums)))
}

/// What a launch does with its steps.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    /// Fits the line alone.
    FitLine,
    /// Smooths with the line as it is.
    Smooth,
    /// Smooths with the line as it is, and lets it take the step.
    Both,
}

fn launch<R: Runtime, F: Float + CubeElement>(y: &Buffer<R>, alpha: &Handle, state: &Handle, first: usize, task: Task) {
    let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: `y` holds `steps * series` elements, `alpha` `series` and `state` `ROWS * series`; the kernel stops
    // units past the last series and reads no step past `last`.
    unsafe {
        smooth::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            y.arg(),
            array(alpha, series),
            array(state, ROWS * series),
            series as u32,
            first as u32,
            (first + CHUNK).min(steps) as u32,
            task != Task::FitLine,
            task != Task::Smooth,
        );
    }
}

/// Steps `first..last` of the recursion.
#[cube(launch_unchecked)]
fn smooth<F: Float>(
    y: &Array<f32>,
    alpha: &Array<F>,
    state: &mut Array<F>,
    series: u32,
    first: u32,
    last: u32,
    #[comptime] smooths: bool,
    #[comptime] fits: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let alpha = alpha[s as usize];
        let zero = F::new(0.0f32);
        let one = F::new(1.0f32);
        let spent = F::new(1e-18f32); // squared, it is still a normal number
        let mut level = state[s as usize];
        let mut weight = state[(series + s) as usize];
        let mut lag = state[(2 * series + s) as usize];
        let mut seen = state[(3 * series + s) as usize];
        let mut count = state[(4 * series + s) as usize];
        let mut time = state[(5 * series + s) as usize];
        let mut mean = state[(6 * series + s) as usize];
        let mut squares = state[(7 * series + s) as usize];
        let mut slope = state[(8 * series + s) as usize];
        let mut aa = state[(9 * series + s) as usize];
        let mut aw = state[(10 * series + s) as usize];
        let mut ag = state[(11 * series + s) as usize];
        let mut ww = state[(12 * series + s) as usize];
        let mut wg = state[(13 * series + s) as usize];
        let mut gg = state[(14 * series + s) as usize];
        for t in first..last {
            let at = (t * series + s) as usize;
            if y[at].is_nan() {
                lag += one;
            } else {
                let value = F::cast_from(y[at]);
                if smooths {
                    let a = value - level;
                    let g = (mean - slope * time) * weight + slope * lag;
                    if seen >= F::new(3.0f32) {
                        aa += a * a;
                        aw += a * weight;
                        ag += a * g;
                        ww += weight * weight;
                        wg += weight * g;
                        gg += g * g;
                    }
                    let kept = one - alpha;
                    level += alpha * a;
                    lag = one + kept * lag;
                    weight *= kept;
                    if weight < spent {
                        weight = zero;
                    }
                    seen += one;
                }
                if fits {
                    count += one;
                    let share = one / count;
                    let later = F::cast_from(t + 1) - time;
                    let above = value - mean;
                    let left = later * (one - share);
                    squares += later * left;
                    if squares > zero {
                        slope += left / squares * (above - slope * later);
                    }
                    time += later * share;
                    mean += above * share;
                }
            }
        }
        if smooths {
            state[s as usize] = level;
            state[(series + s) as usize] = weight;
            state[(2 * series + s) as usize] = lag;
            state[(3 * series + s) as usize] = seen;
            state[(9 * series + s) as usize] = aa;
            state[(10 * series + s) as usize] = aw;
            state[(11 * series + s) as usize] = ag;
            state[(12 * series + s) as usize] = ww;
            state[(13 * series + s) as usize] = wg;
            state[(14 * series + s) as usize] = gg;
        }
        if fits {
            state[(4 * series + s) as usize] = count;
            state[(5 * series + s) as usize] = time;
            state[(6 * series + s) as usize] = mean;
            state[(7 * series + s) as usize] = squares;
            state[(8 * series + s) as usize] = slope;
        }
    }
}
