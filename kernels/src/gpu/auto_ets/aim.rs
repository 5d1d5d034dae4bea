//! The next step of each search: what the last one taught its quadratic, and the damped step to its least value in the
//! box of the weights.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::too_many_lines)] // a cube's sums are met by all its units: a helper would hide where they wait

use cubecl::prelude::*;

use super::descend::{AT_VALUE, ENDED};
use super::newton::{DAMPING, LAST, LEARNS, PROMISED, STAYS, TRUSTED_DAMPING, Width, entries_of};
use super::prepare::{LOGS, OBSERVED};
use super::{CONVERGED, DONE, FLOOR, GAVE_UP, Rounds, SLOPE, START};
use crate::Trend;
use crate::gpu::{array, is_number};

/// A series that stuck with less than this to gain, in nats, is where it belongs.
const STUCK: f32 = 1e-2;
/// Times the gain that its next step promises that a search is trusted to gain in all.
const HOPE: f32 = 30.0;
/// Curvature of a weight that does nothing, so that rounding does not send it from end to end of its range.
const IDLE: f32 = 1e-4;
/// Share of a diagonal element that is left of it by rounding alone.
const NO_PIVOT: f32 = 1e-6;
const WEIGHTS: u32 = 4;

pub(super) fn launch<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    let Rounds { panel, form, search, best, .. } = rounds;
    let (gpu, series, steps) = (panel.y.gpu(), panel.y.series(), panel.y.steps());
    let width = Width::of(*form);
    let (cubes, dim) = width.cubes(series, steps);
    // Without a best form the kernel reads none.
    let limits = best.map_or_else(|| array(&search.value, series), |best| best.aicc());
    // SAFETY: `Search` made each array with the rows that it is passed with; what a cube has too many of units writes
    // nothing.
    unsafe {
        aim::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            panel.units(),
            limits,
            search.list(rounds.round()),
            search.tally(),
            search.mode(),
            search.phase(),
            search.counts(),
            search.state(),
            search.at(),
            search.trial(),
            search.gradient(),
            search.at_gradient(),
            search.hessian(),
            rounds.round(),
            series as u32,
            START + form.season as u32,
            (form.unknowns() + 1) as u32,
            width.unknowns,
            width.groups,
            form.trend != Trend::None,
            form.season > 1,
            form.trend == Trend::Damped,
            form.is_relative(),
            best.is_some(),
        );
    }
}

/// The least value of a quadratic over the weights in their box: `step` gets the way there from `point`.
#[cube]
fn step_in_box(
    curvature: &Array<f32>,
    gradient: &Array<f32>,
    point: &Array<f32>,
    step: &mut Array<f32>,
    #[comptime] sloped: bool,
    #[comptime] seasonal: bool,
    #[comptime] damped: bool,
) {
    // Which weights are held, and last whether one was sent outside.
    let mut held = Array::<u32>::new(5usize);
    let mut to = Array::<f32>::new(4usize);
    let mut a = Array::<f32>::new(16usize);
    #[unroll]
    for i in 0..WEIGHTS {
        let own = comptime!(i as usize);
        held[own] = 0u32;
        to[own] = 0.0f32;
        let has = comptime!(i == 0 || (i == 1 && sloped) || (i == 2 && seasonal) || (i == 3 && damped));
        if has {
            let below = point[own] <= lowest(i) && gradient[own] > 0.0f32;
            let above = point[own] >= highest(i) && gradient[own] < 0.0f32;
            if below || above {
                held[own] = 1u32;
            }
        } else {
            held[own] = 1u32;
        }
    }
    held[4usize] = 1u32;
    for _ in 0..5u32 {
        if held[4usize] == 1u32 {
            #[unroll]
            for i in 0..WEIGHTS {
                let own = comptime!(i as usize);
                let mut right = 0.0f32 - gradient[own];
                #[unroll]
                for j in 0..WEIGHTS {
                    let other = comptime!(j as usize);
                    let both = comptime!((i * WEIGHTS + j) as usize);
                    a[both] = curvature[both];
                    if held[own] == 1u32 || held[other] == 1u32 {
                        if held[other] == 1u32 {
                            right -= curvature[both] * to[other];
                        }
                        a[both] = 0.0f32;
                        if comptime!(i == j) {
                            a[both] = 1.0f32;
                        }
                    }
                }
                step[own] = right;
                if held[own] == 1u32 {
                    step[own] = to[own];
                }
            }
            #[unroll]
            for k in 0..WEIGHTS {
                #[unroll]
                for i in comptime!(k + 1)..WEIGHTS {
                    let factor = a[comptime!((i * WEIGHTS + k) as usize)] / a[comptime!((k * WEIGHTS + k) as usize)];
                    #[unroll]
                    for j in comptime!(k + 1)..WEIGHTS {
                        a[comptime!((i * WEIGHTS + j) as usize)] -= factor * a[comptime!((k * WEIGHTS + j) as usize)];
                    }
                    step[comptime!(i as usize)] -= factor * step[comptime!(k as usize)];
                }
            }
            #[unroll]
            for back in 0..WEIGHTS {
                let k = comptime!(WEIGHTS - 1 - back);
                let mut sum = step[comptime!(k as usize)];
                #[unroll]
                for i in comptime!(k + 1)..WEIGHTS {
                    sum -= a[comptime!((k * WEIGHTS + i) as usize)] * step[comptime!(i as usize)];
                }
                step[comptime!(k as usize)] = sum / a[comptime!((k * WEIGHTS + k) as usize)];
            }
            held[4usize] = 0u32;
            #[unroll]
            for i in 0..WEIGHTS {
                let own = comptime!(i as usize);
                let there = point[own] + step[own];
                if held[own] == 0u32 && (there < lowest(i) || there > highest(i)) {
                    to[own] = f32::min(f32::max(there, lowest(i)), highest(i)) - point[own];
                    held[own] = 1u32;
                    held[4usize] = 1u32;
                }
            }
        }
    }
}

/// The box of the weights.
#[cube]
fn lowest(#[comptime] i: u32) -> f32 {
    comptime!(match i {
        0 => FLOOR,
        3 => 0.8f32,
        _ => 0.0f32,
    })
    .runtime()
}

#[cube]
fn highest(#[comptime] i: u32) -> f32 {
    comptime!(match i {
        0 => 0.9999f32,
        3 => 0.98f32,
        _ => 1.0f32,
    })
    .runtime()
}

#[cube(launch_unchecked)]
fn aim<F: Float>(
    units: &Array<F>,
    best: &Array<F>,
    list: &Array<u32>,
    tally: &Array<u32>,
    modes: &Array<u32>,
    phases: &mut Array<u32>,
    counts: &mut Array<u32>,
    state: &mut Array<F>,
    at: &mut Array<F>,
    trial: &mut Array<F>,
    gradient: &Array<F>,
    at_gradient: &mut Array<F>,
    hessian: &mut Array<f32>,
    round: u32,
    series: u32,
    used: u32,
    parameters: u32,
    #[comptime] width: u32,
    #[comptime] groups: u32,
    #[comptime] sloped: bool,
    #[comptime] seasonal: bool,
    #[comptime] damped: bool,
    #[comptime] relative: bool,
    #[comptime] limited: bool,
) {
    let stride = comptime!(width + 1);
    let all = comptime!((width * groups) as usize);
    let mut system = SharedMemory::<f32>::new(comptime!((width * (width + 1) * groups) as usize));
    let mut diagonal = SharedMemory::<f32>::new(all);
    let mut by = SharedMemory::<f32>::new(all);
    let mut right = SharedMemory::<f32>::new(all);
    let mut along = SharedMemory::<f32>::new(all);

    let count = tally[round as usize];
    let group = UNIT_POS / width;
    let lane = UNIT_POS % width;
    let of_group = group * width;
    let starts = used - WEIGHTS;
    // The start's columns come first, so that what is left is the weights' own.
    let mut unknown = lane + WEIGHTS;
    if lane >= starts {
        unknown = lane - starts;
    }
    let mut has = lane < used;
    if unknown == 1u32 || unknown == SLOPE {
        has = has && sloped;
    }
    if unknown == 2u32 {
        has = has && seasonal;
    }
    if unknown == 3u32 {
        has = has && damped;
    }
    let (turns, each) = entries_of(count, groups);
    for turn in 0..turns {
        let entry = turn * each + CUBE_POS as u32 * groups + group;
        let s = list[u32::min(entry, count - 1) as usize];
        let mode = modes[s as usize];
        let phase = phases[s as usize];
        let writes = entry < count && phase < DONE;
        let taken = mode % LAST != STAYS;
        let learns = mode % LAST == LEARNS;
        let row = (group * width + lane) * stride;
        let first = group * width * stride;
        let own = (unknown * series + s) as usize;
        let mut moved = 0.0f32;
        let mut pull = 0.0f32;
        let mut changed = 0.0f32;
        if has {
            pull = f32::cast_from(at_gradient[own]);
            if taken {
                moved = f32::cast_from(trial[own] - at[own]);
                changed = f32::cast_from(gradient[own] - at_gradient[own]);
                pull = f32::cast_from(gradient[own]);
                if writes {
                    at[own] = trial[own];
                    at_gradient[own] = gradient[own];
                }
            }
        } else if writes && lane < used {
            at[own] = trial[own];
        }
        by[UNIT_POS as usize] = moved;
        let whole = s * comptime!(width * width);
        for j in 0..used {
            let mut other = j + WEIGHTS;
            if j >= starts {
                other = j - starts;
            }
            let mut cell = 0.0f32;
            if lane < used {
                cell = hessian[(whole + other * width + unknown) as usize];
            }
            system[(row + j) as usize] = cell;
        }
        sync_cube();
        // The damped BFGS update by what the step changed in the gradient.
        let mut bent = 0.0f32;
        for j in 0..used {
            bent += system[(row + j) as usize] * by[(of_group + j) as usize];
        }
        right[UNIT_POS as usize] = moved * bent;
        along[UNIT_POS as usize] = moved * changed;
        sync_cube();
        let mut old = 0.0f32;
        let mut seen = 0.0f32;
        for j in 0..used {
            old += right[(of_group + j) as usize];
            seen += along[(of_group + j) as usize];
        }
        let mut trust = 1.0f32;
        if seen < 0.2f32 * old {
            trust = 0.8f32 * old / (old - seen);
        }
        let mixed = trust * changed + (1.0f32 - trust) * bent;
        sync_cube();
        right[UNIT_POS as usize] = mixed;
        along[UNIT_POS as usize] = bent;
        sync_cube();
        let mut new = 0.0f32;
        for j in 0..used {
            new += right[(of_group + j) as usize] * by[(of_group + j) as usize];
        }
        if learns && old > 0.0f32 && new > 0.0f32 && is_number::<f32>(new) {
            let up = mixed / new;
            let down = bent / old;
            for j in 0..used {
                let cell = system[(row + j) as usize] + up * right[(of_group + j) as usize]
                    - down * along[(of_group + j) as usize];
                system[(row + j) as usize] = cell;
                let mut other = j + WEIGHTS;
                if j >= starts {
                    other = j - starts;
                }
                if writes && lane < used {
                    hessian[(whole + other * width + unknown) as usize] = cell;
                }
            }
        }
        let damping = f32::cast_from(state[(DAMPING * series + s) as usize]);
        let bare = system[(row + lane) as usize];
        system[(row + lane) as usize] = bare * (1.0f32 + damping);
        diagonal[UNIT_POS as usize] = bare;
        sync_cube();
        right[UNIT_POS as usize] = 0.0f32 - pull;
        sync_cube();
        // The start is eliminated from the lower triangle; the upper one stays as it was.
        for k in 0..starts {
            let pivot_row = first + k * stride;
            let pivot = system[(pivot_row + k) as usize];
            let sound = pivot > NO_PIVOT * diagonal[(of_group + k) as usize];
            if sound && lane > k && lane < used {
                let factor = system[(row + k) as usize] / pivot;
                for j in k + 1..lane + 1 {
                    system[(row + j) as usize] -= factor * system[(first + j * stride + k) as usize];
                }
                right[UNIT_POS as usize] -= factor * right[(of_group + k) as usize];
            }
            sync_cube();
        }
        let mut step = Array::<f32>::new(4usize);
        let mut curvature = Array::<f32>::new(16usize);
        let mut slope = Array::<f32>::new(4usize);
        let mut point = Array::<f32>::new(4usize);
        #[unroll]
        for i in 0..WEIGHTS {
            let one = comptime!(i as usize);
            slope[one] = 0.0f32 - right[(of_group + starts + i) as usize];
            // It was written by another unit of this cube only if that has taken the trial.
            let mut place = at[(i * series + s) as usize];
            if taken {
                place = trial[(i * series + s) as usize];
            }
            point[one] = f32::cast_from(place);
            #[unroll]
            for j in 0..WEIGHTS {
                let down = comptime!(if i > j { i } else { j });
                let across = comptime!(if i > j { j } else { i });
                let mut cell = system[(first + (starts + down) * stride + starts + across) as usize];
                if comptime!(i == j) {
                    cell += IDLE;
                }
                curvature[comptime!((i * WEIGHTS + j) as usize)] = cell;
            }
        }
        step_in_box(&curvature, &slope, &point, &mut step, sloped, seasonal, damped);
        let mut mine = 0.0f32;
        #[unroll]
        for i in 0..WEIGHTS {
            if lane == starts + i {
                mine = step[comptime!(i as usize)];
            }
        }
        let mut rest = right[UNIT_POS as usize];
        sync_cube();
        by[UNIT_POS as usize] = mine;
        sync_cube();
        for back in 0..used {
            let i = used - 1 - back;
            if i < starts && lane == i {
                let pivot = system[(row + lane) as usize];
                if pivot > NO_PIVOT * diagonal[UNIT_POS as usize] {
                    mine = rest / pivot;
                }
                by[UNIT_POS as usize] = mine;
            }
            sync_cube();
            if lane < i && lane < starts {
                rest -= system[(first + i * stride + lane) as usize] * by[(of_group + i) as usize];
            }
        }
        let mut half = 0.5f32 * bare * mine;
        for j in lane + 1..used {
            half += system[(row + j) as usize] * by[(of_group + j) as usize];
        }
        along[UNIT_POS as usize] = mine * (pull + half);
        sync_cube();
        let mut promised = 0.0f32;
        for j in 0..used {
            promised -= along[(of_group + j) as usize];
        }
        if writes {
            if has {
                let mut from = at[own];
                if taken {
                    from = trial[own];
                }
                let mut to = from + F::cast_from(mine);
                if lane >= starts {
                    to = F::min(F::max(to, lowest_of::<F>(unknown)), highest_of::<F>(unknown));
                }
                trial[own] = to;
            }
            if lane == 0u32 {
                state[(PROMISED * series + s) as usize] = F::cast_from(promised);
                let value = state[(AT_VALUE * series + s) as usize];
                let mut limit = value + F::new(1.0f32);
                if limited {
                    let k = F::cast_from(parameters);
                    let one = F::new(1.0f32);
                    let two = F::new(2.0f32);
                    let left = units[(OBSERVED * series + s) as usize] - k - one;
                    limit = (best[s as usize] - two * k - two * k * (k + one) / left) / two;
                    if relative {
                        limit -= units[(LOGS * series + s) as usize];
                    }
                }
                let mut ahead = value - F::new(HOPE) * F::cast_from(f32::max(promised, 0.0f32));
                let mut goes = phase + 0u32;
                if !is_number::<f32>(promised) {
                    goes = DONE + 0u32;
                } else if phase == CONVERGED || mode >= LAST {
                    if phase == CONVERGED || f32::abs(promised) <= STUCK {
                        counts[(ENDED * series + s) as usize] = 1u32;
                    }
                    goes = DONE + 0u32;
                    ahead = value + F::new(0.0f32);
                    if ahead > limit {
                        goes = GAVE_UP + 0u32;
                    }
                } else if damping <= TRUSTED_DAMPING && ahead > limit {
                    goes = GAVE_UP + 0u32;
                }
                phases[s as usize] = goes;
            }
        }
        sync_cube();
    }
}

#[cube]
fn lowest_of<F: Float>(i: u32) -> F {
    let mut bound = F::new(0.0f32);
    if i == 0u32 {
        bound = F::new(FLOOR);
    }
    if i == 3u32 {
        bound = F::new(0.8f32);
    }
    bound
}

#[cube]
fn highest_of<F: Float>(i: u32) -> F {
    let mut bound = F::new(1.0f32);
    if i == 0u32 {
        bound = F::new(0.9999f32);
    }
    if i == 3u32 {
        bound = F::new(0.98f32);
    }
    bound
}
