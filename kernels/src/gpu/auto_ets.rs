//! Every admissible ETS form of every series on a device, a place of each search a round of launches.
//!
//! A form is searched from the ends of the forms that it is one component away from, as the CPU does, and given up
//! where it is seen that it will not beat the best so far. Nothing is downloaded on the way: a device keeps lists of the
//! series that still search.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, array};
use crate::auto_ets::{EtsChoice, EtsEnd};
use crate::{EtsForm, KernelError, Trend};

mod aim;
mod descend;
mod newton;
mod one;
mod pass;
mod places;
mod prepare;
mod quadratic;
mod rounds;
mod seasonless;

pub(super) use one::fit_one;

use places::{Beginning, Whose, launch_begin, launch_choose, launch_keep};
use prepare::{Panel, UNIT_ROWS};
use rounds::{Rounds, Scratch, Search};

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
/// It has converged, and is asked once more.
const ASKED: u32 = 2;
const CONVERGED: u32 = 3;
const DONE: u32 = 4;
/// It will not beat the best form so far.
const GAVE_UP: u32 = 5;
/// Places that a beginning is followed for before it is compared with others: by limited memory, and by Newton where
/// there is a best form so far, where there is none, and where a form is searched alone.
const TRIED: u32 = 20;
const TRIED_BY_NEWTON: [u32; 3] = [3, 4, 4];
/// The form of a series without one.
const NO_FORM: u32 = u32::MAX;
/// The worth of a place that was not reached.
const NOWHERE: f32 = 1e37;
/// Values of a season that a cube's shared memory has room for, on any device.
const SHARED_BYTES: usize = 32 * 1024;
const CUBE: u32 = 128;

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
    /// Searches forms one after the other, each from its beginnings and those that are looked at besides, or with none
    /// of those for as long as it may be the best.
    fn climb(panel: Panel<'a, R>, forms: &[EtsForm], besides: Option<fn(EtsForm) -> Vec<Beginning>>) -> Self {
        let season = forms.iter().map(|form| form.season).max().unwrap_or(1);
        let y = panel.y;
        let mut ladder = Self {
            panel,
            scratch: Scratch::new::<R, F>(y, season),
            search: Search::new::<F>(y, forms),
            best: Best::new::<F>(y, season),
            ends: Vec::new(),
            floats: std::marker::PhantomData,
        };
        for (index, &form) in forms.iter().enumerate() {
            let ends = ladder.search(form, index, besides.map(|besides| besides(form)));
            launch_choose::<R, F>(&ladder.panel, &ends, &ladder.best, index);
            ladder.ends.push(ends);
        }
        ladder
    }

    /// The likeliest form of each series in any unit.
    fn choose(y: &'a Buffer<R>, forms: &[EtsForm]) -> EtsChosen<R> {
        let season = forms.iter().map(|form| form.season).max().unwrap_or(1);
        let ladder = Self::climb(Panel::new::<F>(y, season, None), forms, None);
        EtsChosen { best: ladder.best, units: ladder.panel.unit_rows().clone(), forms: forms.to_vec() }
    }

    /// Searches one form from everywhere that is promising.
    fn search(&self, form: EtsForm, index: usize, besides: Option<Vec<Beginning>>) -> Ends<R> {
        let ends = Ends::new::<F>(self.panel.y, form);
        let is_root = form.trend == Trend::None && !form.is_relative();
        let limited = besides.is_none() && index > 0 && !is_root;
        let rounds = Rounds::new(&self.panel, form, &self.scratch, &self.search, limited.then_some(&self.best));
        let beginnings = beginnings(form);
        // The end of each kin, the simplest last, which is always known; what the valleys that those miss begin from is
        // its season.
        let kin: Vec<&Ends<R>> = self.ends.iter().rev().filter(|near| is_kin(form, near.form)).collect();
        let from_kin = kin.iter().map(|&near| (beginnings[0], Some(near)));
        let alone = kin.is_empty().then_some((beginnings[0], None));
        let tried_places = TRIED_BY_NEWTON[if limited { 0 } else { 1 + usize::from(besides.is_some()) }];
        let besides = besides.unwrap_or_default();
        let others = beginnings[1..].iter().chain(&besides).map(|&other| (other, kin.last().copied()));
        let places: Vec<_> = from_kin.chain(alone).chain(others).collect();
        let goes_on = places.len() > 1 || form.is_relative();
        for (tried, (beginning, near)) in places.into_iter().enumerate() {
            let known = near.is_some() && (limited || tried > 0);
            launch_begin::<R, F>(&rounds, beginning, near, if known { Whose::Known } else { Whose::All });
            if goes_on {
                let judged = rounds.try_out::<F>(tried_places);
                launch_keep::<R, F>(&rounds, &ends, judged, tried == 0);
            }
        }
        if form.is_relative() {
            launch_begin::<R, F>(&rounds, NAIVE, Some(&ends), Whose::Unknown);
            let judged = rounds.try_out::<F>(tried_places);
            launch_keep::<R, F>(&rounds, &ends, judged, false);
        }
        if goes_on {
            launch_begin::<R, F>(&rounds, beginnings[0], Some(&ends), Whose::Known);
        }
        rounds.run_out::<F>();
        launch_keep::<R, F>(&rounds, &ends, false, true);
        ends
    }
}

/// Where a relative error begins whose expected value is not positive at every step from any of the others: about the
/// naive forecast.
const NAIVE: Beginning = Beginning { alpha: 0.9, shares: [0.01, 0.01], phi: 0.9, replaces: true };

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
    // What is below zero stays as the kin has it.
    match (form.is_relative(), form.trend) {
        (true, Trend::Additive) if form.scales() => vec![from_kin, other(0.06, [0.04, 0.85], 1.0)],
        (true, _) => vec![from_kin],
        (false, Trend::None) if form.season > 1 => {
            let places = [(0.8, 0.6), (0.05, 0.2), (0.6, 0.01), (0.4, 0.95)];
            std::iter::once(from_kin).chain(places.map(|(alpha, season)| other(alpha, [0.0, season], 1.0))).collect()
        }
        (false, Trend::None) => vec![from_kin, other(0.9, [0.0; 2], 1.0)],
        (false, Trend::Additive) if form.season > 1 => {
            let places = [(0.08, [0.04, 0.76]), (0.8, [0.8, 0.05]), (0.05, [0.02, 0.85]), (-1.0, [0.0, -1.0])];
            std::iter::once(from_kin).chain(places.map(|(alpha, shares)| other(alpha, shares, 1.0))).collect()
        }
        (false, Trend::Additive) => vec![from_kin, other(0.4, [0.2, 0.0], 1.0)],
        (false, Trend::Damped) if form.season > 1 => {
            vec![from_kin, other(0.3, [0.3, 0.1], 0.9), other(0.8, [0.8, 0.05], 0.85)]
        }
        (false, Trend::Damped) => vec![from_kin, other(0.3, [0.3, 0.1], 0.9), other(0.9, [0.8, 0.0], 0.82)],
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
