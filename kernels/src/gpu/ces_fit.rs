//! Complex exponential smoothing's fit on a device: one unit a series, a place of each search a round of launches.
//!
//! The search is the CPU's: a few places, then damped Gauss-Newton steps from the best of them. A series whose ways
//! down have all ended rests while the launches go on.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a unit's numbers stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::ces::{Passes, SQUARES};
use super::{RowBuffer, array, is_number};
use crate::ces_fit::{
    CRAWLS, FIRST_DAMPING, HOPE, LEAST_DAMPING, MAX_EVALUATIONS, MOST_DAMPING, betas, places, places_gone_on_from,
};
use crate::{CES_RANGES, CES_TRIANGLE, CES_WEIGHTS, CesFit, CesForm, KernelError};

const WEIGHTS: u32 = CES_WEIGHTS as u32;
/// Rows of a search: the best end's sum of squares and weights; where it is: its sum of squares, weights, slope and
/// curvature; the damping, and the sum of squares halfway to the cap.
const BEST: u32 = 0;
const HERE: u32 = 1 + WEIGHTS;
const SLOPE: u32 = HERE + 1 + WEIGHTS;
const CURVATURE: u32 = SLOPE + WEIGHTS;
const DAMPING: u32 = CURVATURE + CES_TRIANGLE as u32;
const HALF_WAY: u32 = DAMPING + 1;
const SEARCH_ROWS: usize = HALF_WAY as usize + 1;
/// Rows of counters: evaluations with derivatives; whether the best end settled; ways down begun, and at which
/// evaluation the last of them was; whether the best of them met its cap.
const EVALUATIONS: u32 = 0;
const SETTLED: u32 = 1;
const BEGUN: u32 = 2;
const BEGUN_AT: u32 = 3;
const CAPPED: u32 = 4;
const COUNT_ROWS: usize = 5;
/// The sum of squares of a place that has none, or was not reached.
const NOWHERE: f32 = 1e37;
/// No curvature, in floats of any kind.
const NO_CURVATURE: f32 = 1e-30;

/// What rounding leaves to tell, in the floats of a device.
struct Precision {
    /// Gain under which a step is not worth its pass, as a share of the sum of squares.
    settled: f32,
    /// A step so short that it changes nothing.
    nothing_left: f32,
    /// Squared error a step below which a fit counts as perfect, on data of unit scale.
    nothing: f32,
}

const DOUBLE: Precision = Precision { settled: 1e-7, nothing_left: 1e-9, nothing: 1e-22 };
const SINGLE: Precision = Precision { settled: 1e-5, nothing_left: 1e-6, nothing: 1e-13 };

/// See [`crate::ces_fit()`].
pub(crate) fn ces_fit<R: Runtime>(
    y: &RowBuffer<R>,
    form: CesForm,
    season: usize,
    start: &[f64],
) -> Result<CesFit, KernelError> {
    let (gpu, series) = (y.gpu(), y.count());
    let search = Search::new(y, form);
    let first = places(form).next().into_iter().flatten();
    let weights = gpu.upload_floats(first.flat_map(|weight| std::iter::repeat_n(weight, series)));
    let passes = Passes::new(y, form, season, weights, start);
    for index in 0..search.most_places() {
        passes.run();
        if gpu.has_f64() {
            search.look::<f64>(&passes, index, &DOUBLE);
        } else {
            search.look::<f32>(&passes, index, &SINGLE);
        }
    }
    let ends = gpu.download_floats(&search.rows, "the fit of complex exponential smoothing")?;
    let counts: Vec<u32> = gpu.download(&search.counts, "the fit of complex exponential smoothing")?;
    let reached = |s: usize| ends[s] < f64::from(NOWHERE);
    let weight = |s: usize, k: usize| if k < form.weights() && reached(s) { ends[(1 + k) * series + s] } else { 0.0 };
    Ok(CesFit {
        weights: (0..series).map(|s| std::array::from_fn(|k| weight(s, k))).collect(),
        sse: (0..series).map(|s| if reached(s) { ends[s] } else { f64::INFINITY }).collect(),
        converged: (0..series).map(|s| reached(s) && counts[SETTLED as usize * series + s] == 1).collect(),
        evaluations: counts[..series].to_vec(),
    })
}

/// The searches of all series.
struct Search<'a, R: Runtime> {
    y: &'a RowBuffer<R>,
    form: CesForm,
    places: Handle,
    place_count: usize,
    ranges: Handle,
    /// What each place is worth; nothing once its alphas were gone on from.
    values: Handle,
    rows: Handle,
    counts: Handle,
}

impl<'a, R: Runtime> Search<'a, R> {
    fn new(y: &'a RowBuffer<R>, form: CesForm) -> Self {
        let (gpu, series, place_count) = (y.gpu(), y.count(), places(form).count());
        Self {
            y,
            form,
            places: gpu.upload_floats(places(form).flatten()),
            place_count,
            ranges: gpu.upload_floats(CES_RANGES.into_iter().flat_map(|(low, high)| [low, high])),
            values: gpu.empty_floats(place_count * series),
            rows: gpu.empty_floats(SEARCH_ROWS * series),
            counts: gpu.empty::<u32>(COUNT_ROWS * series),
        }
    }

    /// How many places a series may be looked at in.
    fn most_places(&self) -> u32 {
        self.place_count as u32 + places_gone_on_from(self.form) as u32 * MAX_EVALUATIONS
    }

    /// Takes what the pass over each place tells, and says where to look next.
    fn look<F: Float + CubeElement>(&self, passes: &Passes<'_, R>, index: u32, precision: &Precision) {
        let (gpu, series) = (self.y.gpu(), self.y.count());
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
        // SAFETY: each array was made with the rows that it is passed with; units past the last series stop.
        unsafe {
            look::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                passes.state(),
                array(&self.places, CES_WEIGHTS * self.place_count),
                array(&self.ranges, 2 * CES_WEIGHTS),
                passes.weights(),
                passes.walks(),
                array(&self.values, self.place_count * series),
                array(&self.rows, SEARCH_ROWS * series),
                array(&self.counts, COUNT_ROWS * series),
                series as u32,
                index,
                self.place_count as u32,
                betas(self.form).len() as u32,
                places_gone_on_from(self.form) as u32,
                self.form.weights() as u32,
                precision.settled,
                precision.nothing_left,
                precision.nothing * self.y.width() as f32,
            );
        }
    }
}

/// Whether the sums of a pass are all numbers.
#[cube]
fn is_sound<F: Float>(state: &Array<F>, series: u32, s: u32) -> bool {
    let mut sound = true;
    for row in 0..(1 + CES_WEIGHTS + CES_TRIANGLE) as u32 {
        sound = sound && is_number::<F>(state[((SQUARES + row) * series + s) as usize]);
    }
    sound
}

/// Solves `(C + damping diag C) step = -slope` over the weights that are not held.
#[cube]
fn damped_step<F: Float>(
    rows: &Array<F>,
    held: &Array<u32>,
    factor: &mut Array<F>,
    step: &mut Array<F>,
    damping: F,
    weights: u32,
    series: u32,
    s: u32,
) {
    let zero = F::new(0.0f32);
    for i in 0..weights {
        let free = held[i as usize] == 0u32;
        for j in 0..i + 1 {
            let mut whole = zero + zero;
            if free && held[j as usize] == 0u32 {
                whole = rows[((CURVATURE + i * (i + 1) / 2 + j) * series + s) as usize];
            }
            let mut rest = whole + zero;
            for l in 0..j {
                rest -= factor[(i * WEIGHTS + l) as usize] * factor[(j * WEIGHTS + l) as usize];
            }
            if i == j {
                let mut damped = F::new(1.0f32);
                if free {
                    damped = F::max(rest + damping * whole, F::new(NO_CURVATURE));
                }
                factor[(i * WEIGHTS + i) as usize] = damped.sqrt();
            } else {
                factor[(i * WEIGHTS + j) as usize] = rest / factor[(j * WEIGHTS + j) as usize];
            }
        }
        let mut right = zero + zero;
        if free {
            right -= rows[((SLOPE + i) * series + s) as usize];
        }
        for l in 0..i {
            right -= factor[(i * WEIGHTS + l) as usize] * step[l as usize];
        }
        step[i as usize] = right / factor[(i * WEIGHTS + i) as usize];
    }
    for back in 0..weights {
        let i = weights - 1 - back;
        let mut right = step[i as usize];
        for l in i + 1..weights {
            right -= factor[(l * WEIGHTS + i) as usize] * step[l as usize];
        }
        step[i as usize] = right / factor[(i * WEIGHTS + i) as usize];
    }
}

/// By how much the sum of squares falls along a step, as slope and curvature say.
#[cube]
fn gain<F: Float>(rows: &Array<F>, step: &Array<F>, weights: u32, series: u32, s: u32) -> F {
    let two = F::new(2.0f32);
    let mut gain = F::new(0.0f32);
    for i in 0..weights {
        let own = step[i as usize];
        gain -= two * rows[((SLOPE + i) * series + s) as usize] * own;
        for j in 0..i + 1 {
            let mut bend = rows[((CURVATURE + i * (i + 1) / 2 + j) * series + s) as usize] * own * step[j as usize];
            if i != j {
                bend *= two;
            }
            gain -= bend;
        }
    }
    gain
}

#[cube(launch_unchecked)]
fn look<F: Float>(
    state: &Array<F>,
    places: &Array<F>,
    ranges: &Array<F>,
    trial: &mut Array<F>,
    walks: &mut Array<u32>,
    values: &mut Array<F>,
    rows: &mut Array<F>,
    counts: &mut Array<u32>,
    series: u32,
    index: u32,
    place_count: u32,
    beta_count: u32,
    from: u32,
    weights: u32,
    settled: f32,
    nothing_left: f32,
    nothing: f32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series && walks[s as usize] == 1u32 {
        let zero = F::new(0.0f32);
        let nowhere = F::new(NOWHERE);
        let nothing = F::cast_from(nothing);
        let best_at = (BEST * series + s) as usize;
        let here_at = (HERE * series + s) as usize;
        let damping_at = (DAMPING * series + s) as usize;
        let half_way_at = (HALF_WAY * series + s) as usize;
        let evaluations_at = (EVALUATIONS * series + s) as usize;
        let begun_at = (BEGUN * series + s) as usize;
        let capped_at = (CAPPED * series + s) as usize;
        let sse = state[(SQUARES * series + s) as usize];
        let mut aims = false;
        let mut ends = false;
        let mut capped = false;
        if index < place_count {
            let mut there = nowhere + zero;
            if is_number::<F>(sse) {
                there = sse + zero;
            }
            values[(index * series + s) as usize] = there;
            if index + 1 < place_count {
                for k in 0..WEIGHTS {
                    trial[(k * series + s) as usize] = places[((index + 1) * WEIGHTS + k) as usize];
                }
            } else {
                rows[best_at] = nowhere;
                rows[here_at] = nowhere;
                counts[evaluations_at] = 0u32;
                counts[(SETTLED * series + s) as usize] = 0u32;
                counts[begun_at] = 0u32;
                counts[capped_at] = 0u32;
                ends = true;
            }
        } else {
            let evaluations = counts[evaluations_at] + 1;
            counts[evaluations_at] = evaluations;
            let sound = is_sound::<F>(state, series, s);
            let before = rows[here_at];
            let mut damping = rows[damping_at];
            if sound && sse < before {
                rows[here_at] = sse;
                for k in 0..WEIGHTS {
                    rows[((HERE + 1 + k) * series + s) as usize] = trial[(k * series + s) as usize];
                }
                for row in 0..(CES_WEIGHTS + CES_TRIANGLE) as u32 {
                    rows[((SLOPE + row) * series + s) as usize] = state[((SQUARES + 1 + row) * series + s) as usize];
                }
                if before < nowhere {
                    damping *= F::new(0.2f32);
                }
                aims = true;
            } else if before < nowhere {
                // Damping that grows slowly keeps a search off the walls of a bent valley.
                damping *= F::new(2.5f32);
                aims = true;
            } else {
                ends = true;
            }
            rows[damping_at] = F::max(damping, F::new(LEAST_DAMPING as f32));
            let taken = evaluations - counts[(BEGUN_AT * series + s) as usize];
            if taken == MAX_EVALUATIONS / 2 {
                rows[half_way_at] = rows[here_at];
            }
            if taken >= MAX_EVALUATIONS && aims {
                aims = false;
                ends = true;
                capped = rows[here_at] < F::new((1.0 - CRAWLS) as f32) * rows[half_way_at];
            }
        }
        if aims {
            let damping = rows[damping_at];
            let here = rows[here_at];
            if here <= nothing || damping > F::new(MOST_DAMPING as f32) {
                ends = true;
            } else {
                let mut held = Array::<u32>::new(CES_WEIGHTS);
                let mut step = Array::<F>::new(CES_WEIGHTS);
                let mut factor = Array::<F>::new(CES_WEIGHTS * CES_WEIGHTS);
                for k in 0..WEIGHTS {
                    held[k as usize] = 0u32;
                    step[k as usize] = zero;
                }
                let mut solves = true;
                // A weight at its bound stays where the step would leave it; what is left moves without it.
                for _ in 0..weights + 1 {
                    if solves {
                        solves = false;
                        damped_step::<F>(rows, &held, &mut factor, &mut step, damping, weights, series, s);
                        for k in 0..weights {
                            let at = rows[((HERE + 1 + k) * series + s) as usize];
                            let by = step[k as usize];
                            let low = at <= ranges[(2 * k) as usize] && by < zero;
                            let high = at >= ranges[(2 * k + 1) as usize] && by > zero;
                            if (low || high) && held[k as usize] == 0u32 {
                                held[k as usize] = 1u32;
                                solves = true;
                            }
                        }
                    }
                }
                let mut moved = zero + zero;
                for k in 0..weights {
                    let at = rows[((HERE + 1 + k) * series + s) as usize];
                    let low = ranges[(2 * k) as usize];
                    let high = ranges[(2 * k + 1) as usize];
                    let to = F::min(F::max(at + step[k as usize], low), high);
                    trial[(k * series + s) as usize] = to;
                    step[k as usize] = to - at;
                    moved = F::max(moved, (to - at).abs());
                }
                let promised = gain::<F>(rows, &step, weights, series, s);
                let hopeless = here - F::new(HOPE as f32) * promised > rows[best_at];
                let done = promised <= F::cast_from(settled) * (here + nothing);
                // A gain of little after steps that failed says that they were cut short, not that nothing is left.
                let spent = done && damping <= F::new(1.0f32);
                let going = moved >= F::cast_from(nothing_left) && !hopeless && !spent;
                ends = !going;
            }
        }
        if ends {
            let here = rows[here_at];
            if here < rows[best_at] {
                for row in 0..WEIGHTS + 1 {
                    rows[((BEST + row) * series + s) as usize] = rows[((HERE + row) * series + s) as usize];
                }
                counts[capped_at] = 0u32;
                if capped {
                    counts[capped_at] = 1u32;
                }
            }
            let mut least = nowhere + zero;
            let mut next = place_count + 0u32;
            if counts[begun_at] < from {
                for i in 0..place_count {
                    let value = values[(i * series + s) as usize];
                    if value < least {
                        least = value + zero;
                        next = i + 0u32;
                    }
                }
            }
            if next == place_count {
                counts[(SETTLED * series + s) as usize] = 1u32 - counts[capped_at];
                walks[s as usize] = 0u32;
            } else {
                counts[begun_at] += 1u32;
                counts[(BEGUN_AT * series + s) as usize] = counts[evaluations_at];
                rows[here_at] = nowhere;
                rows[damping_at] = F::new(FIRST_DAMPING as f32);
                rows[half_way_at] = nowhere;
                for k in 0..WEIGHTS {
                    trial[(k * series + s) as usize] = places[(next * WEIGHTS + k) as usize];
                }
                let alphas = next / beta_count * beta_count;
                for i in alphas..alphas + beta_count {
                    values[(i * series + s) as usize] = nowhere;
                }
            }
        }
    }
}
