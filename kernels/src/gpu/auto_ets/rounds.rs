//! What the launches of one form's search share: where each series stands, and the memory of a pass.

use std::cell::Cell;

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::descend::{COUNT_ROWS, MAX_EVALUATIONS, STATE_ROWS};
use super::newton::{MOST_ROUNDS, Width};
use super::prepare::Panel;
use super::{Best, CUBE, MEMORY, PRECONDITIONERS, SHARED_BYTES, START, TRIED, descend, newton, pass};
use crate::gpu::{Buffer, array};
use crate::{EtsForm, Trend};

/// Memory that every search uses in turn.
pub(super) struct Scratch {
    pub(super) ring: Handle,
    pub(super) errors: Handle,
    pub(super) slopes: Handle,
    pub(super) levels: Handle,
    pub(super) seasons: Handle,
    pub(super) steps: usize,
    pub(super) longest: usize,
    /// Whether the ring of the longest season has room in shared memory.
    pub(super) near: bool,
}

/// Rows of each scratch array that a form reads, and values of shared memory a cube.
pub(super) struct Held {
    pub(super) ring: usize,
    pub(super) slopes: usize,
    pub(super) scaled: usize,
    pub(super) near: u32,
}

impl Scratch {
    pub(super) fn new<R: Runtime, F: Float + CubeElement>(y: &Buffer<R>, season: usize) -> Self {
        let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
        let rows = || gpu.empty::<f32>(steps * series);
        let near = season * size_of::<F>() * CUBE as usize <= SHARED_BYTES;
        let scaled = |one: Handle| if season > 1 { rows() } else { one };
        Self {
            ring: gpu.empty::<F>(if near { 1 } else { season * series }),
            errors: rows(),
            slopes: rows(),
            levels: scaled(gpu.empty::<f32>(1)),
            seasons: scaled(gpu.empty::<f32>(1)),
            steps,
            longest: season,
            near,
        }
    }

    pub(super) fn held(&self, form: EtsForm) -> Held {
        Held {
            ring: if self.near { 0 } else { self.longest },
            slopes: if form.trend == Trend::Damped { self.steps } else { 0 },
            scaled: if form.scales() { self.steps } else { 0 },
            near: if self.near { form.season as u32 * CUBE } else { 1 },
        }
    }
}

/// One search of every series.
pub(super) struct Search<R: Runtime> {
    pub(super) y: Buffer<R>,
    pub(super) rows: usize,
    /// Unknowns that a quadratic has at most, and pairs that a search by limited memory remembers.
    pub(super) width: usize,
    pub(super) memory: usize,
    pub(super) phase: Handle,
    pub(super) mode: Handle,
    pub(super) counts: Handle,
    pub(super) state: Handle,
    pub(super) at: Handle,
    pub(super) trial: Handle,
    pub(super) value: Handle,
    pub(super) gradient: Handle,
    pub(super) at_gradient: Handle,
    pub(super) hessian: Handle,
    /// The series of this round and of the next one, those of this one that ask for a new quadratic, and how many they
    /// are of each round.
    pub(super) lists: [Handle; 2],
    pub(super) fresh: Handle,
    pub(super) tally: Handle,
    pub(super) direction: Handle,
    pub(super) moves: Handle,
    pub(super) changes: Handle,
    pub(super) inverses: Handle,
    pub(super) preconditioner: Handle,
}

impl<R: Runtime> Search<R> {
    pub(super) fn new<F: Float + CubeElement>(y: &Buffer<R>, forms: &[EtsForm]) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        let season = forms.iter().map(|form| form.season).max().unwrap_or(1);
        let short = forms.iter().filter(|form| Width::suits(form.season));
        let width = short.map(|&form| Width::of(form).unknowns as usize).max().unwrap_or(0);
        let memory = if Width::suits(season) { 0 } else { MEMORY as usize };
        let rows = START as usize + season;
        let point = || gpu.empty::<F>(rows * series);
        let pairs = || gpu.empty::<f32>(memory * rows * series);
        let list = || gpu.empty::<u32>(series);
        Self {
            y: y.clone(),
            rows,
            width,
            memory,
            phase: list(),
            mode: list(),
            counts: gpu.empty::<u32>(COUNT_ROWS * series),
            state: gpu.empty::<F>(STATE_ROWS * series),
            at: point(),
            trial: point(),
            value: gpu.empty::<F>(2 * series),
            gradient: point(),
            at_gradient: point(),
            hessian: gpu.empty::<f32>(width * width * series),
            lists: [list(), list()],
            fresh: list(),
            tally: gpu.empty::<u32>(2 * MOST_ROUNDS as usize),
            direction: gpu.empty::<F>(if memory > 0 { rows * series } else { 1 }),
            moves: pairs(),
            changes: pairs(),
            inverses: gpu.empty::<F>(memory * series),
            preconditioner: gpu.empty::<F>(PRECONDITIONERS * series),
        }
    }

    pub(super) fn list(&self, round: u32) -> ArrayArg<R> {
        self.rows_of(&self.lists[round as usize % 2], 1)
    }

    pub(super) fn fresh(&self) -> ArrayArg<R> {
        self.rows_of(&self.fresh, 1)
    }

    pub(super) fn tally(&self) -> ArrayArg<R> {
        array(&self.tally, 2 * MOST_ROUNDS as usize)
    }

    pub(super) fn mode(&self) -> ArrayArg<R> {
        self.rows_of(&self.mode, 1)
    }

    pub(super) fn hessian(&self) -> ArrayArg<R> {
        self.rows_of(&self.hessian, self.width * self.width)
    }

    pub(super) fn rows_of(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.y.series())
    }

    pub(super) fn phase(&self) -> ArrayArg<R> {
        self.rows_of(&self.phase, 1)
    }

    pub(super) fn counts(&self) -> ArrayArg<R> {
        self.rows_of(&self.counts, COUNT_ROWS)
    }

    pub(super) fn state(&self) -> ArrayArg<R> {
        self.rows_of(&self.state, STATE_ROWS)
    }

    pub(super) fn at(&self) -> ArrayArg<R> {
        self.rows_of(&self.at, self.rows)
    }

    pub(super) fn trial(&self) -> ArrayArg<R> {
        self.rows_of(&self.trial, self.rows)
    }

    /// The worth of the place on trial, and its sum of squares.
    pub(super) fn value(&self) -> ArrayArg<R> {
        self.rows_of(&self.value, 2)
    }

    pub(super) fn gradient(&self) -> ArrayArg<R> {
        self.rows_of(&self.gradient, self.rows)
    }

    pub(super) fn at_gradient(&self) -> ArrayArg<R> {
        self.rows_of(&self.at_gradient, self.rows)
    }

    pub(super) fn direction(&self) -> ArrayArg<R> {
        self.rows_of(&self.direction, if self.memory > 0 { self.rows } else { 0 })
    }

    pub(super) fn moves(&self) -> ArrayArg<R> {
        self.rows_of(&self.moves, self.memory * self.rows)
    }

    pub(super) fn changes(&self) -> ArrayArg<R> {
        self.rows_of(&self.changes, self.memory * self.rows)
    }

    pub(super) fn inverses(&self) -> ArrayArg<R> {
        self.rows_of(&self.inverses, self.memory)
    }

    pub(super) fn preconditioner(&self) -> ArrayArg<R> {
        self.rows_of(&self.preconditioner, PRECONDITIONERS)
    }
}

/// What one form's launches share.
pub(super) struct Rounds<'a, R: Runtime> {
    pub(super) panel: &'a Panel<'a, R>,
    pub(super) form: EtsForm,
    pub(super) scratch: &'a Scratch,
    pub(super) search: &'a Search<R>,
    /// What a form has to beat to be of use, if anything.
    pub(super) best: Option<&'a Best<R>>,
    /// Rounds since the counters were cleared.
    pub(super) count: Cell<u32>,
}

impl<'a, R: Runtime> Rounds<'a, R> {
    pub(super) fn new(
        panel: &'a Panel<'a, R>,
        form: EtsForm,
        scratch: &'a Scratch,
        search: &'a Search<R>,
        best: Option<&'a Best<R>>,
    ) -> Self {
        let rounds = Self { panel, form, scratch, search, best, count: Cell::new(0) };
        newton::launch_clear(&rounds);
        rounds
    }

    pub(super) fn units(&self) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new_1d(CUBE);
        (cubecl::calculate_cube_count_elemwise(self.panel.y.gpu().client(), self.panel.y.series(), dim), dim)
    }

    pub(super) fn round(&self) -> u32 {
        self.count.get()
    }

    /// Where the counter of new quadratics is.
    pub(super) fn fresh_round(&self) -> u32 {
        MOST_ROUNDS + self.round()
    }

    pub(super) fn next(&self) {
        self.count.set(self.round() + 1);
        assert!(self.round() + 1 < MOST_ROUNDS, "a form's beginnings are few");
    }

    /// Follows every search to its end.
    pub(super) fn run_out<F: Float + CubeElement>(&self) {
        if Width::suits(self.form.season) {
            (0..newton::MOST_EVALUATIONS).for_each(|_| newton::round::<R, F>(self));
        } else {
            self.descend::<F>(MAX_EVALUATIONS);
        }
    }

    /// Follows every search for a few places, or so many of Newton's; whether it was judged by what it found in the
    /// last one.
    pub(super) fn try_out<F: Float + CubeElement>(&self, by_newton: u32) -> bool {
        let newton = Width::suits(self.form.season);
        if newton {
            (0..by_newton).for_each(|_| newton::round::<R, F>(self));
            newton::judge::<R, F>(self);
        } else {
            self.descend::<F>(TRIED);
        }
        newton
    }

    pub(super) fn descend<F: Float + CubeElement>(&self, places: u32) {
        for _ in 0..places {
            pass::launch::<R, F>(self);
            descend::launch::<R, F>(self);
        }
    }
}
