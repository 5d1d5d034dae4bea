//! The search over weights and start together for seasons that have an unknown a unit: Levenberg and Marquardt's
//! damped steps of Gauss and Newton, which secants correct on the way, a step of every series a round.
//!
//! A round is a [`super::pass`], a look at what it found, a new quadratic where one is asked for, the next step, and a
//! list of the series that go on.
#![allow(clippy::identity_op)] // cubecl may give both sides of a plain assignment one register
#![allow(clippy::manual_div_ceil)] // of numbers that a kernel is given

use cubecl::prelude::*;

use super::descend::{AT_VALUE, EVALUATIONS, PAIRS};
use super::{ASKED, BEGINS, CONVERGED, DONE, NOWHERE, Rounds, SEARCHES, START, aim, pass, quadratic, seasonless};
use crate::EtsForm;

/// Rows of [`super::Search::state`] besides the worth of the place that a step begins from: the share of the
/// Hessian's diagonal that the next step adds to it, and the gain that the step on trial promised.
pub(super) const DAMPING: u32 = super::descend::STRIDE;
pub(super) const PROMISED: u32 = super::descend::SCALE;
/// Places that a search may look at.
pub(super) const MOST_EVALUATIONS: u32 = 60;
/// Gain in log-likelihood under which a step is not worth another look.
pub(super) const SETTLED: f32 = 1e-5;
const FIRST_DAMPING: f32 = 1e-3;
const LEAST_DAMPING: f32 = 1e-6;
const MOST_DAMPING: f32 = 1e8;
/// Above this a step is too short for its gain to tell what there is to gain.
pub(super) const TRUSTED_DAMPING: f32 = 0.1;
/// A step that promised more, in nats, leads to where the quadratic is another.
const FAR: f32 = 0.5;
/// Steps after which the quadratic is made anew no more: what Gauss and Newton leave out of it is learnt then.
const NEW: u32 = 12;
/// What a round makes of a place: it stays, goes there for a new quadratic, or goes there and learns by the step. One
/// that has looked at all that it may tells besides whether it settled.
pub(super) const STAYS: u32 = 0;
pub(super) const RENEWS: u32 = 1;
pub(super) const LEARNS: u32 = 2;
pub(super) const LAST: u32 = 4;
/// Rounds of one form: the length of [`super::Search::tally`] is two counters for each.
pub(super) const MOST_ROUNDS: u32 = 2_048;
/// Cubes of a launch, and steps of one cube, that keep every unit's loops under the 65,535 of software Vulkan.
const CUBES: usize = 4_096;
const STEPS_OF_CUBE: usize = 50_000;
/// Units that one cube has at least.
const UNITS: u32 = 32;

/// How many units a series has, one an unknown, and how many series a cube.
#[derive(Clone, Copy)]
pub(super) struct Width {
    pub(super) unknowns: u32,
    pub(super) groups: u32,
}

impl Width {
    /// The most unknowns that have a unit each.
    const MOST: usize = 64;

    pub(super) fn of(form: EtsForm) -> Self {
        let unknowns = (START + form.season as u32).next_power_of_two().max(8);
        Self { unknowns, groups: (UNITS / unknowns).max(1) }
    }

    pub(super) fn suits(season: usize) -> bool {
        START as usize + season <= Self::MOST
    }

    pub(super) fn cubes(self, series: usize, steps: usize) -> (CubeCount, CubeDim) {
        let entries = series.div_ceil(self.groups as usize);
        let wanted = CUBES.max((entries * (2 * steps + 4_096)).div_ceil(STEPS_OF_CUBE));
        (CubeCount::new_1d(entries.min(wanted) as u32), CubeDim::new_1d(self.unknowns * self.groups))
    }
}

/// How often the cubes go over a list of so many series, and how many they take a time.
#[cube]
pub(super) fn entries_of(count: u32, #[comptime] groups: u32) -> (u32, u32) {
    let each = CUBE_COUNT as u32 * groups;
    ((count + each - 1) / each, each)
}

/// Forgets the lists of another form.
pub(super) fn launch_clear<R: Runtime>(rounds: &Rounds<'_, R>) {
    let gpu = rounds.panel.y.gpu();
    let (cubes, dim) = gpu.one_unit_per(2 * MOST_ROUNDS as usize);
    // SAFETY: the counters are as many as the units that do not stop.
    unsafe { clear::launch_unchecked::<R>(gpu.client(), cubes, dim, rounds.search.tally()) }
}

#[cube(launch_unchecked)]
fn clear(tally: &mut Array<u32>) {
    if ABSOLUTE_POS < 2 * MOST_ROUNDS as usize {
        tally[ABSOLUTE_POS] = 0u32;
    }
}

/// One round of every series that still searches.
pub(super) fn round<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    pass::launch::<R, F>(rounds);
    launch_decide::<R, F>(rounds);
    if rounds.form.season > 1 {
        quadratic::launch::<R, F>(rounds);
    } else {
        seasonless::launch::<R, F>(rounds);
    }
    aim::launch::<R, F>(rounds);
    launch_gather(rounds);
    rounds.next();
}

/// What every search has found, its last step with it.
pub(super) fn judge<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    pass::launch::<R, F>(rounds);
    launch_decide::<R, F>(rounds);
    rounds.next();
}

fn launch_decide<R: Runtime, F: Float + CubeElement>(rounds: &Rounds<'_, R>) {
    let Rounds { panel, search, .. } = rounds;
    let (gpu, series) = (panel.y.gpu(), panel.y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: `Search` made each array with the rows that it is passed with; units past the list's end stop.
    unsafe {
        decide::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            search.list(rounds.round()),
            search.tally(),
            search.fresh(),
            search.phase(),
            search.mode(),
            search.counts(),
            search.state(),
            search.value(),
            rounds.round(),
            rounds.fresh_round(),
            series as u32,
        );
    }
}

/// Takes the place on trial or leaves it, and lists those that ask for a new quadratic.
#[cube(launch_unchecked)]
fn decide<F: Float>(
    list: &Array<u32>,
    tally: &Array<Atomic<u32>>,
    fresh: &mut Array<u32>,
    phases: &mut Array<u32>,
    modes: &mut Array<u32>,
    counts: &mut Array<u32>,
    state: &mut Array<F>,
    values: &Array<F>,
    round: u32,
    fresh_round: u32,
    series: u32,
) {
    let entry = ABSOLUTE_POS as u32;
    let count = tally[round as usize].load();
    let mut s = 0u32;
    if entry < count {
        s = list[entry as usize];
    }
    if entry < count && phases[s as usize] < DONE {
        let value = values[s as usize];
        let evaluations = counts[(EVALUATIONS * series + s) as usize] + 1;
        counts[(EVALUATIONS * series + s) as usize] = evaluations;
        let mut phase = phases[s as usize];
        let mut mode = 0u32;
        let mut damping = state[(DAMPING * series + s) as usize];
        if phase == BEGINS {
            damping = F::new(FIRST_DAMPING);
            counts[(PAIRS * series + s) as usize] = 0u32;
            if value < F::new(NOWHERE) {
                phase = SEARCHES + 0u32;
                mode = RENEWS + 0u32;
            } else {
                phase = DONE + 0u32;
            }
        } else {
            let promised = state[(PROMISED * series + s) as usize];
            let gained = state[(AT_VALUE * series + s) as usize] - value;
            // A promise of less than nothing is a quadratic that rounding has bent downwards.
            let trusted = damping <= F::new(TRUSTED_DAMPING) && promised > F::new(-SETTLED);
            let mut steps = counts[(PAIRS * series + s) as usize];
            if value < F::new(NOWHERE) && gained >= F::max(F::new(1e-4f32) * promised, F::new(0.0f32)) {
                steps += 1u32;
                counts[(PAIRS * series + s) as usize] = steps;
                mode = LEARNS + 0u32;
                if promised > F::new(FAR) && steps <= NEW {
                    mode = RENEWS + 0u32;
                }
                damping = F::max(damping * F::new(0.1f32), F::new(LEAST_DAMPING));
            } else {
                damping = F::max(damping * F::new(8.0f32), F::new(FIRST_DAMPING));
            }
            if trusted && promised <= F::new(SETTLED) {
                // What secants made of the quadratic may promise too little: it is asked once more, made anew.
                if mode == LEARNS && steps > NEW && phase != ASKED {
                    phase = ASKED + 0u32;
                    mode = RENEWS + 0u32;
                } else {
                    phase = CONVERGED + 0u32;
                }
            } else if (mode == STAYS && damping > F::new(MOST_DAMPING)) || evaluations >= MOST_EVALUATIONS {
                mode += LAST;
                damping = F::new(LEAST_DAMPING);
            }
        }
        if mode % LAST != STAYS {
            state[(AT_VALUE * series + s) as usize] = value;
        }
        state[(DAMPING * series + s) as usize] = damping;
        phases[s as usize] = phase;
        modes[s as usize] = mode;
        if mode % LAST == RENEWS && phase < CONVERGED {
            let at = tally[fresh_round as usize].fetch_add(1u32);
            fresh[at as usize] = s;
        }
    }
}

/// Lists the series that go on.
fn launch_gather<R: Runtime>(rounds: &Rounds<'_, R>) {
    let Rounds { panel, search, .. } = rounds;
    let (gpu, series) = (panel.y.gpu(), panel.y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: as above; the two lists are not one.
    unsafe {
        gather::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            search.list(rounds.round()),
            search.list(rounds.round() + 1),
            search.tally(),
            search.phase(),
            rounds.round(),
        );
    }
}

#[cube(launch_unchecked)]
fn gather(list: &Array<u32>, next: &mut Array<u32>, tally: &Array<Atomic<u32>>, phases: &Array<u32>, round: u32) {
    let entry = ABSOLUTE_POS as u32;
    let count = tally[round as usize].load();
    let mut s = 0u32;
    if entry < count {
        s = list[entry as usize];
    }
    if entry < count && phases[s as usize] < DONE {
        let at = tally[(round + 1) as usize].fetch_add(1u32);
        next[at as usize] = s;
    }
}
