//! The theta method's fit on a device: one unit a series, a place of each search a launch.
//!
//! The search is the CPU's: a grid over the weight, then parabolas in each of its valleys, from the highest weight
//! down. A series that has settled rests while the launches go on.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a unit's places stay in registers: a helper would send them through memory

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::theta::{Passes, SEEN, SUMS};
use super::{Buffer, array, is_number};
use crate::theta_fit::{EDGE, GRID, MAX_EVALUATIONS, NARROW, NEAREST, NOTHING, grid};
use crate::{KernelError, ThetaFit, ThetaForm};

/// Rows of a search: the lowest end of the valleys done, then the valley under search: its lowest place and one on
/// either side, at an end of the range itself. Each is a weight and what it is worth.
const BEST: u32 = 0;
const LEFT: u32 = 2;
const LOW: u32 = 4;
const RIGHT: u32 = 6;
const SEARCH_ROWS: usize = 8;
/// Rows of counters: places looked at, the valley under search, and one where nothing is left to search.
const EVALUATIONS: u32 = 0;
const VALLEY: u32 = 1;
const SETTLED: u32 = 2;
const COUNT_ROWS: usize = 3;
/// The worth of a place that has none, and of one that was not reached.
const NOWHERE: f32 = 1e37;

/// What rounding leaves to tell, in the floats of a device.
struct Precision {
    /// Gain under which a step is not worth its pass, as a share of the sum of squares.
    settled: f32,
    /// Width at which a valley holds nothing but rounding.
    nothing_left: f32,
    /// Under this share of its largest value a determinant is rounding.
    flat: f32,
}

const DOUBLE: Precision = Precision { settled: 1e-10, nothing_left: 1e-7, flat: 1e-12 };
const SINGLE: Precision = Precision { settled: 1e-6, nothing_left: 1e-3, flat: 1e-6 };

/// See [`crate::theta_fit()`].
pub(crate) fn theta_fit<R: Runtime>(y: &Buffer<R>, form: ThetaForm) -> Result<ThetaFit, KernelError> {
    let (gpu, series) = (y.gpu(), y.series());
    let passes = Passes::new(y, form, gpu.upload_floats((0..series).map(|_| grid(0))));
    let search = Search::new(y);
    passes.begin();
    for index in 0..MAX_EVALUATIONS {
        passes.run();
        if gpu.has_f64() {
            search.look::<f64>(&passes, form, index, &DOUBLE);
        } else {
            search.look::<f32>(&passes, form, index, &SINGLE);
        }
    }
    // The last look leaves every series at its best.
    passes.run();
    let best = passes.download()?;
    let alpha = gpu.download_floats(passes.alpha_handle(), "the theta fit")?;
    let counts: Vec<u32> = gpu.download(&search.counts, "the theta fit")?;
    Ok(ThetaFit {
        alpha: alpha[..series].to_vec(),
        level: best.level,
        share: best.share,
        sse: best.sse,
        converged: (0..series).map(|s| counts[SETTLED as usize * series + s] == 1).collect(),
        evaluations: counts[..series].to_vec(),
    })
}

/// The searches of all series.
struct Search<'a, R: Runtime> {
    y: &'a Buffer<R>,
    grid: Handle,
    /// What each place of the grid is worth.
    values: Handle,
    places: Handle,
    counts: Handle,
}

impl<'a, R: Runtime> Search<'a, R> {
    fn new(y: &'a Buffer<R>) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        Self {
            y,
            grid: gpu.upload_floats((0..GRID).map(grid)),
            values: gpu.empty_floats(GRID * series),
            places: gpu.empty_floats(SEARCH_ROWS * series),
            counts: gpu.empty::<u32>(COUNT_ROWS * series),
        }
    }

    /// Takes what the pass over each place tells, and says where to look next.
    fn look<F: Float + CubeElement>(&self, passes: &Passes<'_, R>, form: ThetaForm, index: u32, precision: &Precision) {
        let (gpu, series) = (self.y.gpu(), self.y.series());
        let Some((cubes, dim)) = gpu.one_unit_per_any(series) else { return };
        // SAFETY: each array was made with the rows that it is passed with; units past the last series stop.
        unsafe {
            look::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                passes.state(),
                array(&self.grid, GRID),
                passes.alpha(),
                passes.walks(),
                array(&self.values, GRID * series),
                array(&self.places, SEARCH_ROWS * series),
                array(&self.counts, COUNT_ROWS * series),
                series as u32,
                GRID as u32,
                index,
                u32::from(index + 1 == MAX_EVALUATIONS),
                precision.settled,
                precision.nothing_left,
                precision.flat,
                form.is_optimised(),
            );
        }
    }
}

/// The least sum of squares that a pass tells of, over all levels and shares.
#[cube]
fn worth<F: Float>(state: &Array<F>, series: u32, s: u32, flat: F, #[comptime] optimised: bool) -> F {
    let zero = F::new(0.0f32);
    let aa = state[(SUMS * series + s) as usize];
    let aw = state[((SUMS + 1) * series + s) as usize];
    let ag = state[((SUMS + 2) * series + s) as usize];
    let ww = state[((SUMS + 3) * series + s) as usize];
    let wg = state[((SUMS + 4) * series + s) as usize];
    let gg = state[((SUMS + 5) * series + s) as usize];
    let mut share = F::new(0.5f32);
    if optimised {
        let determinant = ww * gg - wg * wg;
        if determinant > flat * ww * gg {
            share = F::min(F::max((ag * ww - aw * wg) / determinant, zero), F::new(1.0f32));
        }
    }
    let mut level = zero + zero;
    if ww > zero {
        level = (aw - share * wg) / ww;
    }
    let sse = aa - F::new(2.0f32) * share * ag + share * share * gg - level * level * ww;
    let mut worth = F::new(NOWHERE);
    if is_number::<F>(sse) {
        worth = F::max(sse, zero);
    }
    worth
}

/// The highest valley of the grid below a place of it; as many as the grid has places where there is none.
#[cube]
fn valley_below<F: Float>(values: &Array<F>, place: u32, count: u32, series: u32, s: u32) -> u32 {
    let mut found = count + 0u32;
    for i in 0..place {
        let own = values[(i * series + s) as usize];
        let mut falls = true;
        let mut rises = true;
        if i > 0u32 {
            falls = own <= values[((i - 1) * series + s) as usize];
        }
        if i + 1 < count {
            rises = own < values[((i + 1) * series + s) as usize];
        }
        if falls && rises {
            found = i + 0u32;
        }
    }
    found
}

#[cube(launch_unchecked)]
fn look<F: Float>(
    state: &Array<F>,
    grid: &Array<F>,
    alpha: &mut Array<F>,
    walks: &mut Array<u32>,
    values: &mut Array<F>,
    places: &mut Array<F>,
    counts: &mut Array<u32>,
    series: u32,
    count: u32,
    index: u32,
    last: u32,
    settled: f32,
    nothing_left: f32,
    flat: f32,
    #[comptime] optimised: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        let best_at = (BEST * series + s) as usize;
        let best_worth_at = ((BEST + 1) * series + s) as usize;
        let mut ends = false;
        let mut left = zero + zero;
        let mut left_worth = zero + zero;
        let mut low = zero + zero;
        let mut low_worth = F::new(NOWHERE);
        let mut right = zero + zero;
        let mut right_worth = zero + zero;
        let mut trial = alpha[s as usize];
        let mut valley = count + 0u32;
        let mut open = walks[s as usize] == 1u32;
        if open {
            let there = worth::<F>(state, series, s, F::cast_from(flat), optimised);
            counts[(EVALUATIONS * series + s) as usize] = index + 1;
            if index < count {
                values[(index * series + s) as usize] = there;
                if index + 1 < count {
                    alpha[s as usize] = grid[(index + 1) as usize];
                    open = false;
                } else {
                    places[best_at] = grid[0];
                    places[best_worth_at] = F::new(NOWHERE);
                    counts[(SETTLED * series + s) as usize] = 0u32;
                    ends = true;
                }
            } else {
                left = places[(LEFT * series + s) as usize];
                left_worth = places[((LEFT + 1) * series + s) as usize];
                low = places[(LOW * series + s) as usize];
                low_worth = places[((LOW + 1) * series + s) as usize];
                right = places[(RIGHT * series + s) as usize];
                right_worth = places[((RIGHT + 1) * series + s) as usize];
                valley = counts[(VALLEY * series + s) as usize];
                let at_an_end = left == low || right == low;
                if there < low_worth {
                    if trial < low {
                        right = low + zero;
                        right_worth = low_worth + zero;
                    } else {
                        left = low + zero;
                        left_worth = low_worth + zero;
                    }
                    low = trial + zero;
                    low_worth = there + zero;
                } else {
                    ends = at_an_end;
                    if trial < low {
                        left = trial + zero;
                        left_worth = there + zero;
                    } else {
                        right = trial + zero;
                        right_worth = there + zero;
                    }
                }
            }
        }
        // Each valley is begun and aimed in at most once.
        for _ in 0..count + 2 {
            if open {
                if ends {
                    if low_worth < places[best_worth_at] {
                        places[best_at] = low;
                        places[best_worth_at] = low_worth;
                    }
                    valley = valley_below::<F>(values, valley, count, series, s);
                    if valley == count {
                        counts[(SETTLED * series + s) as usize] = 1u32;
                        walks[s as usize] = 0u32;
                        open = false;
                    } else {
                        ends = false;
                        low = grid[valley as usize];
                        low_worth = values[(valley * series + s) as usize];
                        left = low + zero;
                        left_worth = low_worth + zero;
                        right = low + zero;
                        right_worth = low_worth + zero;
                        if valley > 0u32 {
                            left = grid[(valley - 1) as usize];
                            left_worth = values[((valley - 1) * series + s) as usize];
                        } else {
                            trial = low + F::new(EDGE as f32);
                            open = false;
                        }
                        if valley + 1 < count {
                            right = grid[(valley + 1) as usize];
                            right_worth = values[((valley + 1) * series + s) as usize];
                        } else {
                            trial = low - F::new(EDGE as f32);
                            open = false;
                        }
                    }
                } else {
                    let before = low - left;
                    let after = right - low;
                    let fall = (low_worth - left_worth) / before;
                    let rise = (right_worth - low_worth) / after;
                    let curvature = (rise - fall) / (before + after);
                    let slope = (rise * before + fall * after) / (before + after);
                    let mut step = zero + zero;
                    let mut gain = zero + zero;
                    // Neither where the valley is flat nor where its sides are out of reach.
                    if curvature > zero && is_number::<F>(slope * slope / curvature) {
                        step = F::new(-0.5f32) * slope / curvature;
                        gain = F::new(0.25f32) * slope * slope / curvature;
                    }
                    let nothing = F::new(NOTHING as f32) * state[(SEEN * series + s) as usize];
                    let width = before + after;
                    let narrow = width < F::new(NARROW as f32);
                    let spent = gain <= F::cast_from(settled) * (low_worth + nothing);
                    if width < F::cast_from(nothing_left) || (narrow && spent) {
                        ends = true;
                    } else {
                        let mut wider = zero - before;
                        if after >= before {
                            wider = after + zero;
                        }
                        let nearest = F::new(NEAREST as f32) * wider;
                        if step.abs() < nearest.abs() {
                            step = nearest + zero;
                        }
                        trial = low + step;
                        open = false;
                    }
                }
            }
        }
        // Where a search goes on, its valley has a place on either side.
        let going = walks[s as usize] == 1u32 && index + 1 >= count;
        if going {
            alpha[s as usize] = trial;
            counts[(VALLEY * series + s) as usize] = valley;
            places[(LEFT * series + s) as usize] = left;
            places[((LEFT + 1) * series + s) as usize] = left_worth;
            places[(LOW * series + s) as usize] = low;
            places[((LOW + 1) * series + s) as usize] = low_worth;
            places[(RIGHT * series + s) as usize] = right;
            places[((RIGHT + 1) * series + s) as usize] = right_worth;
        }
        if last == 1u32 {
            if going && low_worth < places[best_worth_at] {
                places[best_at] = low;
                places[best_worth_at] = low_worth;
            }
            alpha[s as usize] = places[best_at];
            walks[s as usize] = 1u32;
        }
    }
}
