//! Every admissible ETS form of every series on a device: one unit a series, a place of each search a launch.
//!
//! A form is searched from the ends of the forms that it is one component away from, as the CPU does. Nothing is
//! downloaded on the way: a search that has settled costs its unit one look a launch.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, array};
use crate::auto_ets::{EtsChoice, EtsEnd};
use crate::{EtsForm, KernelError, Trend};

mod descend;
mod one;
mod pass;
mod places;
mod prepare;

pub(super) use one::fit_one;

use descend::{COUNT_ROWS, MAX_EVALUATIONS, STATE_ROWS};
use places::{Beginning, launch_begin, launch_choose, launch_keep};
use prepare::{Panel, UNIT_ROWS};

/// Iterations that software Vulkan grants one unit; a pass goes over the steps forth and back.
const MOST_STEPS: usize = 30_000;
/// Rows of a place: alpha, the shares of their ranges that beta and gamma take, and phi come first. A share below
/// zero is of a weight that the form lacks.
const SLOPE: u32 = 4;
const START: u32 = 5;
const PRECONDITIONERS: usize = 6;
/// Pairs that a search remembers.
const MEMORY: u32 = 8;
/// Floor of alpha, beta and gamma.
const FLOOR: f32 = 1e-4;
/// Squared error a step below which a fit counts as perfect, on standardised data: `f32` holds no less.
const NOTHING: f32 = 1e-15;
/// What a series' search is at.
const BEGINS: u32 = 0;
const SEARCHES: u32 = 1;
const CONVERGED: u32 = 2;
const DONE: u32 = 3;
/// Places that a beginning is followed for before it is compared with others.
const TRIED: u32 = 20;
/// The form of a series without one.
const NO_FORM: u32 = u32::MAX;
/// The worth of a place that was not reached.
const NOWHERE: f32 = 1e37;
/// Values of a season that a cube's shared memory has room for, on any device.
const SHARED_BYTES: usize = 32 * 1024;
const CUBE: u32 = 128;

/// Memory that every search uses in turn.
struct Scratch {
    ring: Handle,
    errors: Handle,
    slopes: Handle,
    levels: Handle,
    seasons: Handle,
    steps: usize,
    longest: usize,
    value_size: usize,
}

/// Rows of each scratch array that a form reads, and values of shared memory a cube.
struct Held {
    ring: usize,
    slopes: usize,
    scaled: usize,
    near: u32,
}

impl Scratch {
    fn new<R: Runtime, F: Float + CubeElement>(y: &Buffer<R>, season: usize) -> Self {
        let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
        let rows = || gpu.empty::<f32>(steps * series);
        let value_size = size_of::<F>();
        let near = season * value_size * CUBE as usize <= SHARED_BYTES;
        let scaled = |one: Handle| if season > 1 { rows() } else { one };
        Self {
            ring: gpu.empty::<F>(if near { 1 } else { season * series }),
            errors: rows(),
            slopes: rows(),
            levels: scaled(gpu.empty::<f32>(1)),
            seasons: scaled(gpu.empty::<f32>(1)),
            steps,
            longest: season,
            value_size,
        }
    }

    fn held(&self, form: EtsForm) -> Held {
        let near = self.longest * self.value_size * CUBE as usize <= SHARED_BYTES;
        Held {
            ring: if near { 0 } else { self.longest },
            slopes: if form.trend == Trend::Damped { self.steps } else { 0 },
            scaled: if form.scales() { self.steps } else { 0 },
            near: if near { form.season as u32 * CUBE } else { 1 },
        }
    }
}

/// One search of every series.
struct Search<R: Runtime> {
    y: Buffer<R>,
    rows: usize,
    phase: Handle,
    counts: Handle,
    state: Handle,
    at: Handle,
    trial: Handle,
    value: Handle,
    gradient: Handle,
    at_gradient: Handle,
    direction: Handle,
    moves: Handle,
    changes: Handle,
    inverses: Handle,
    preconditioner: Handle,
}

impl<R: Runtime> Search<R> {
    fn new<F: Float + CubeElement>(y: &Buffer<R>, season: usize) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        let rows = START as usize + season;
        let point = || gpu.empty::<F>(rows * series);
        let pairs = || gpu.empty::<f32>(MEMORY as usize * rows * series);
        Self {
            y: y.clone(),
            rows,
            phase: gpu.empty::<u32>(series),
            counts: gpu.empty::<u32>(COUNT_ROWS * series),
            state: gpu.empty::<F>(STATE_ROWS * series),
            at: point(),
            trial: point(),
            value: gpu.empty::<F>(2 * series),
            gradient: point(),
            at_gradient: point(),
            direction: point(),
            moves: pairs(),
            changes: pairs(),
            inverses: gpu.empty::<F>(MEMORY as usize * series),
            preconditioner: gpu.empty::<F>(PRECONDITIONERS * series),
        }
    }

    fn rows_of(&self, handle: &Handle, rows: usize) -> ArrayArg<R> {
        array(handle, rows * self.y.series())
    }

    fn phase(&self) -> ArrayArg<R> {
        self.rows_of(&self.phase, 1)
    }

    fn counts(&self) -> ArrayArg<R> {
        self.rows_of(&self.counts, COUNT_ROWS)
    }

    fn state(&self) -> ArrayArg<R> {
        self.rows_of(&self.state, STATE_ROWS)
    }

    fn at(&self) -> ArrayArg<R> {
        self.rows_of(&self.at, self.rows)
    }

    fn trial(&self) -> ArrayArg<R> {
        self.rows_of(&self.trial, self.rows)
    }

    /// The worth of the place on trial, and its sum of squares.
    fn value(&self) -> ArrayArg<R> {
        self.rows_of(&self.value, 2)
    }

    fn gradient(&self) -> ArrayArg<R> {
        self.rows_of(&self.gradient, self.rows)
    }

    fn at_gradient(&self) -> ArrayArg<R> {
        self.rows_of(&self.at_gradient, self.rows)
    }

    fn direction(&self) -> ArrayArg<R> {
        self.rows_of(&self.direction, self.rows)
    }

    fn moves(&self) -> ArrayArg<R> {
        self.rows_of(&self.moves, MEMORY as usize * self.rows)
    }

    fn changes(&self) -> ArrayArg<R> {
        self.rows_of(&self.changes, MEMORY as usize * self.rows)
    }

    fn inverses(&self) -> ArrayArg<R> {
        self.rows_of(&self.inverses, MEMORY as usize)
    }

    fn preconditioner(&self) -> ArrayArg<R> {
        self.rows_of(&self.preconditioner, PRECONDITIONERS)
    }
}

/// Where the searches of a form ended.
#[derive(Clone)]
struct Ends<R: Runtime> {
    y: Buffer<R>,
    form: EtsForm,
    point: Handle,
    /// Half the deviance, and one where the search settled.
    worth: Handle,
}

impl<R: Runtime> Ends<R> {
    fn new<F: Float + CubeElement>(y: &Buffer<R>, form: EtsForm) -> Self {
        let rows = START as usize + form.season;
        let point = y.gpu().empty::<F>(rows * y.series());
        Self { y: y.clone(), form, point, worth: y.gpu().empty::<F>(2 * y.series()) }
    }

    fn point(&self) -> ArrayArg<R> {
        array(&self.point, (START as usize + self.form.season) * self.y.series())
    }

    fn worth(&self) -> ArrayArg<R> {
        array(&self.worth, 2 * self.y.series())
    }
}

/// The likeliest form of each series so far.
struct Best<R: Runtime> {
    y: Buffer<R>,
    season: usize,
    aicc: Handle,
    form: Handle,
    settled: Handle,
    point: Handle,
}

impl<R: Runtime> Best<R> {
    fn new<F: Float + CubeElement>(y: &Buffer<R>, season: usize) -> Self {
        let (gpu, series) = (y.gpu(), y.series());
        let point = gpu.empty::<F>((START as usize + season) * series);
        Self {
            y: y.clone(),
            season,
            aicc: gpu.empty::<F>(series),
            form: gpu.empty::<u32>(series),
            settled: gpu.empty::<u32>(series),
            point,
        }
    }

    fn aicc(&self) -> ArrayArg<R> {
        array(&self.aicc, self.y.series())
    }

    fn settled(&self) -> ArrayArg<R> {
        array(&self.settled, self.y.series())
    }

    fn form(&self) -> ArrayArg<R> {
        array(&self.form, self.y.series())
    }

    fn point(&self) -> ArrayArg<R> {
        array(&self.point, (START as usize + self.season) * self.y.series())
    }
}

/// What one form's launches share.
struct Rounds<'a, R: Runtime> {
    panel: &'a Panel<'a, R>,
    form: EtsForm,
    scratch: &'a Scratch,
    search: &'a Search<R>,
}

impl<R: Runtime> Rounds<'_, R> {
    fn units(&self) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new_1d(CUBE);
        (cubecl::calculate_cube_count_elemwise(self.panel.y.gpu().client(), self.panel.y.series(), dim), dim)
    }

    fn run<F: Float + CubeElement>(&self, places: u32) {
        for _ in 0..places {
            pass::launch::<R, F>(self);
            descend::launch::<R, F>(self);
        }
    }
}

/// Every form's likeliest place, still on its device.
pub struct EtsChosen<R: Runtime> {
    best: Best<R>,
    units: Handle,
    forms: Vec<EtsForm>,
}

/// See [`crate::auto_ets()`].
pub(crate) fn auto_ets<R: Runtime>(y: &Buffer<R>, forms: &[EtsForm]) -> Result<EtsChosen<R>, KernelError> {
    expect_walkable(y)?;
    let chosen =
        if y.gpu().has_f64() { Ladder::<R, f64>::choose(y, forms) } else { Ladder::<R, f32>::choose(y, forms) };
    y.gpu().accepted("the ETS search")?;
    Ok(chosen)
}

fn expect_walkable<R: Runtime>(y: &Buffer<R>) -> Result<(), KernelError> {
    if y.steps() > MOST_STEPS {
        let reason = format!("{} steps are more than the {MOST_STEPS} that one unit may walk", y.steps());
        return Err(KernelError::Device { device: y.gpu().kind(), operation: "the ETS search", reason });
    }
    Ok(())
}

/// The forms searched so far, in floats of one kind.
struct Ladder<'a, R: Runtime, F> {
    panel: Panel<'a, R>,
    scratch: Scratch,
    search: Search<R>,
    best: Best<R>,
    ends: Vec<Ends<R>>,
    floats: std::marker::PhantomData<F>,
}

impl<'a, R: Runtime, F: Float + CubeElement> Ladder<'a, R, F> {
    /// Searches forms one after the other, each from its beginnings and those that are looked at besides.
    fn climb(panel: Panel<'a, R>, forms: &[EtsForm], besides: fn(EtsForm) -> Vec<Beginning>) -> Self {
        let season = forms.iter().map(|form| form.season).max().unwrap_or(1);
        let y = panel.y;
        let mut ladder = Self {
            panel,
            scratch: Scratch::new::<R, F>(y, season),
            search: Search::new::<F>(y, season),
            best: Best::new::<F>(y, season),
            ends: Vec::new(),
            floats: std::marker::PhantomData,
        };
        for (index, &form) in forms.iter().enumerate() {
            ladder.step(form, index, &besides(form));
        }
        ladder
    }

    /// The likeliest form of each series in any unit.
    fn choose(y: &'a Buffer<R>, forms: &[EtsForm]) -> EtsChosen<R> {
        let season = forms.iter().map(|form| form.season).max().unwrap_or(1);
        let ladder = Self::climb(Panel::new::<F>(y, season, None), forms, |_| Vec::new());
        EtsChosen { best: ladder.best, units: ladder.panel.unit_rows().clone(), forms: forms.to_vec() }
    }

    /// Searches one form from everywhere that is promising, and chooses it where it is likeliest.
    fn step(&mut self, form: EtsForm, index: usize, besides: &[Beginning]) {
        let y = self.panel.y;
        let ends = Ends::new::<F>(y, form);
        let beginnings = beginnings(form);
        let rounds = Rounds { panel: &self.panel, form, scratch: &self.scratch, search: &self.search };
        // The end of each kin, the simplest last; what the valleys that those miss begin from is the first's season.
        let kin: Vec<&Ends<R>> = self.ends.iter().rev().filter(|near| is_kin(form, near.form)).collect();
        let from_kin = kin.iter().map(|&near| (beginnings[0], Some(near)));
        let alone = kin.is_empty().then_some((beginnings[0], None));
        let others = beginnings[1..].iter().chain(besides).map(|&other| (other, kin.first().copied()));
        for (tried, (beginning, near)) in from_kin.chain(alone).chain(others).enumerate() {
            launch_begin::<R, F>(&self.panel, &self.search, form, beginning, near);
            rounds.run::<F>(TRIED);
            launch_keep::<R, F>(&self.panel, &self.search, &ends, tried == 0);
        }
        launch_begin::<R, F>(&self.panel, &self.search, form, beginnings[0], Some(&ends));
        rounds.run::<F>(MAX_EVALUATIONS);
        launch_keep::<R, F>(&self.panel, &self.search, &ends, true);
        launch_choose::<R, F>(&self.panel, &ends, &self.best, index);
        self.ends.push(ends);
    }
}

/// Whether a form may begin from the ends of another: it has one component less, or a simpler one.
fn is_kin(form: EtsForm, near: EtsForm) -> bool {
    let without_trend = EtsForm { trend: Trend::None, ..form };
    let additive = EtsForm::additive(form.trend, form.season);
    let undamped = EtsForm { trend: Trend::Additive, ..form };
    near != form && [without_trend, additive, undamped].contains(&near)
}

/// Where the searches of a form begin: from its kin's ends, and from the valleys that those often miss.
fn beginnings(form: EtsForm) -> Vec<Beginning> {
    let from_kin = Beginning { alpha: 0.3, shares: [0.01, 0.05], phi: 0.95, replaces: false };
    let other = |alpha, shares, phi| Beginning { alpha, shares, phi, replaces: true };
    match (form.is_relative(), form.trend) {
        (true, _) => vec![from_kin],
        (false, Trend::None) if form.season > 1 => {
            let places = [(0.8, 0.6), (0.05, 0.2), (0.6, 0.01), (0.4, 0.95)];
            std::iter::once(from_kin).chain(places.map(|(alpha, season)| other(alpha, [0.0, season], 1.0))).collect()
        }
        (false, Trend::None) => vec![from_kin, other(0.9, [0.0; 2], 1.0)],
        (false, Trend::Additive) if form.season > 1 => {
            vec![from_kin, other(0.08, [0.04, 0.76], 1.0), other(0.8, [0.8, 0.05], 1.0)]
        }
        (false, Trend::Additive) => vec![from_kin, other(0.4, [0.2, 0.0], 1.0)],
        (false, Trend::Damped) if form.season > 1 => {
            vec![from_kin, other(0.3, [0.3, 0.1], 0.9), other(0.8, [0.8, 0.05], 0.85)]
        }
        (false, Trend::Damped) => vec![from_kin, other(0.3, [0.3, 0.1], 0.9)],
    }
}

impl<R: Runtime> EtsChosen<R> {
    /// Copies what was chosen to the host.
    pub(crate) fn download(&self) -> Result<EtsChoice, KernelError> {
        let (gpu, series) = (self.best.y.gpu(), self.best.y.series());
        let read = |handle: &Handle| gpu.download_floats(handle, "the ETS search");
        let (aicc, point, units) = (read(&self.best.aicc)?, read(&self.best.point)?, read(&self.units)?);
        let form: Vec<u32> = gpu.download(&self.best.form, "the ETS search")?;
        let settled: Vec<u32> = gpu.download(&self.best.settled, "the ETS search")?;
        debug_assert_eq!(units.len(), UNIT_ROWS * series);
        let choices = (0..series).map(|s| {
            let form = *self.forms.get(form[s] as usize)?;
            let of = |row: u32| point[row as usize * series + s];
            Some(EtsEnd::of_place(form, (aicc[s], settled[s] == 1), [of(0), of(1), of(2), of(3)], of(SLOPE), |slot| {
                of(START + slot as u32)
            }))
        });
        let unit = |s: usize| (units[s], 1.0 / units[series + s]);
        Ok(EtsChoice { chosen: choices.collect(), units: (0..series).map(unit).collect() })
    }
}
