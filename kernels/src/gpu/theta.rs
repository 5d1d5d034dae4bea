//! The theta recursion: one unit a series, the steps in several launches.
#![allow(clippy::too_many_lines)] // a unit's fifteen numbers stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, CHUNK, array};
use crate::theta::ThetaSums;
use crate::{KernelError, ThetaForm, ThetaProfile};

/// Rows of the state that launches hand on: level, weight and lag; steps seen; the line's steps, mean time, mean,
/// squared times and slope; and the six sums.
pub(super) const ROWS: usize = 15;
/// The row of the steps seen.
pub(super) const SEEN: u32 = 3;
/// Where the sums begin.
pub(super) const SUMS: u32 = 9;

pub(crate) fn theta_profile<R: Runtime>(
    y: &Buffer<R>,
    form: ThetaForm,
    alpha: &[f64],
) -> Result<ThetaProfile, KernelError> {
    let alpha = y.gpu().upload_floats(alpha.iter().copied());
    let passes = Passes::new(y, form, alpha);
    passes.begin();
    passes.run();
    passes.download()
}

/// What passes over a panel share on its device, in the floats that it has.
pub(super) struct Passes<'a, R: Runtime> {
    y: &'a Buffer<R>,
    form: ThetaForm,
    alpha: Handle,
    /// 0 where a series rests while others are passed over.
    walks: Handle,
    state: Handle,
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

impl<'a, R: Runtime> Passes<'a, R> {
    /// Passes with one weight a series.
    pub(super) fn new(y: &'a Buffer<R>, form: ThetaForm, alpha: Handle) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        Self { y, form, alpha, walks: gpu.upload(&vec![1_u32; series]), state: gpu.empty_floats(ROWS * series) }
    }

    /// Fits the line that every pass takes, where there is one.
    pub(super) fn begin(&self) {
        if !self.form.is_dynamic() {
            self.go_over(Task::FitLine);
        }
    }

    /// Goes over every series that walks, each with its weight.
    pub(super) fn run(&self) {
        self.go_over(if self.form.is_dynamic() { Task::Both } else { Task::Smooth });
    }

    fn go_over(&self, task: Task) {
        // A panel of no steps has its sums cleared too.
        for first in (0..self.y.steps().max(1)).step_by(CHUNK) {
            if self.y.gpu().has_f64() {
                self.launch::<f64>(first, task);
            } else {
                self.launch::<f32>(first, task);
            }
        }
    }

    /// What the last pass over each series tells.
    pub(super) fn download(&self) -> Result<ThetaProfile, KernelError> {
        let ends = self.y.gpu().download_floats(&self.state, "the theta recursion")?;
        let series = self.y.series();
        let of = |sum: usize, s: usize| ends[(SUMS as usize + sum) * series + s];
        let sums = |s| ThetaSums { aa: of(0, s), aw: of(1, s), ag: of(2, s), ww: of(3, s), wg: of(4, s), gg: of(5, s) };
        Ok(ThetaProfile::of(self.form, (0..series).map(sums)))
    }

    pub(super) fn alpha(&self) -> ArrayArg<R> {
        array(&self.alpha, self.y.series())
    }

    pub(super) fn alpha_handle(&self) -> &Handle {
        &self.alpha
    }

    pub(super) fn walks(&self) -> ArrayArg<R> {
        array(&self.walks, self.y.series())
    }

    pub(super) fn state(&self) -> ArrayArg<R> {
        array(&self.state, ROWS * self.y.series())
    }

    fn launch<F: Float + CubeElement>(&self, first: usize, task: Task) {
        let (gpu, steps, series) = (self.y.gpu(), self.y.steps(), self.y.series());
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
        // SAFETY: `y` holds `steps * series` elements, `alpha` and `walks` `series` and `state` `ROWS * series`; the
        // kernel stops units past the last series and reads no step past `last`.
        unsafe {
            smooth::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                self.y.arg(),
                self.alpha(),
                self.walks(),
                self.state(),
                series as u32,
                first as u32,
                (first + CHUNK).min(steps) as u32,
                task != Task::FitLine,
                task != Task::Smooth,
            );
        }
    }
}

/// Steps `first..last` of the recursion, begun anew at the first.
#[cube(launch_unchecked)]
fn smooth<F: Float>(
    y: &Array<f32>,
    alpha: &Array<F>,
    walks: &Array<u32>,
    state: &mut Array<F>,
    series: u32,
    first: u32,
    last: u32,
    #[comptime] smooths: bool,
    #[comptime] fits: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series && walks[s as usize] == 1u32 {
        let alpha = alpha[s as usize];
        let zero = F::new(0.0f32);
        let one = F::new(1.0f32);
        let spent = F::new(1e-18f32); // squared, it is still a normal number
        let mut level = zero + zero;
        let mut weight = one + zero;
        let mut lag = one + zero;
        let mut seen = zero + zero;
        let mut count = zero + zero;
        let mut time = zero + zero;
        let mut mean = zero + zero;
        let mut squares = zero + zero;
        let mut slope = zero + zero;
        let mut aa = zero + zero;
        let mut aw = zero + zero;
        let mut ag = zero + zero;
        let mut ww = zero + zero;
        let mut wg = zero + zero;
        let mut gg = zero + zero;
        let mut has_line = first > 0u32;
        if !fits {
            has_line = true;
        }
        if has_line {
            count = state[(4 * series + s) as usize];
            time = state[(5 * series + s) as usize];
            mean = state[(6 * series + s) as usize];
            squares = state[(7 * series + s) as usize];
            slope = state[(8 * series + s) as usize];
        }
        if first > 0u32 {
            level = state[s as usize];
            weight = state[(series + s) as usize];
            lag = state[(2 * series + s) as usize];
            seen = state[(3 * series + s) as usize];
            aa = state[(9 * series + s) as usize];
            aw = state[(10 * series + s) as usize];
            ag = state[(11 * series + s) as usize];
            ww = state[(12 * series + s) as usize];
            wg = state[(13 * series + s) as usize];
            gg = state[(14 * series + s) as usize];
        }
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
