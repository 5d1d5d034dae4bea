//! One form alone, searched from the ends of those that it is one component away from.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::descend::{COUNT_ROWS, EVALUATIONS};
use super::places::{Beginning, Whose, launch_begin};
use super::prepare::{LOGS, Panel};
use super::{Ends, Ladder, NOWHERE, Rounds, SLOPE, START, Search, beginnings, expect_walkable, pass};
use crate::auto_ets::EtsEnd;
use crate::gpu::Buffer;
use crate::{EtsFit, EtsForm, KernelError, Trend};

/// See [`crate::ets_fit()`].
pub(in crate::gpu) fn fit_one<R: Runtime>(y: &Buffer<R>, offset: &[f64], form: EtsForm) -> Result<EtsFit, KernelError> {
    expect_walkable(y)?;
    let forms = with_kin(form);
    let found = if y.gpu().has_f64() {
        Ladder::<R, f64>::fit(y, offset, &forms)
    } else {
        Ladder::<R, f32>::fit(y, offset, &forms)
    };
    found.expect("a form is the last of its kin").download()
}

/// A form after all those that its search begins from, each of them after its own.
fn with_kin(form: EtsForm) -> Vec<EtsForm> {
    let trends = match form.trend {
        Trend::None => &[Trend::None][..],
        Trend::Additive => &[Trend::None, Trend::Additive],
        Trend::Damped => &[Trend::None, Trend::Additive, Trend::Damped],
    };
    let mut forms: Vec<EtsForm> = trends.iter().map(|&trend| EtsForm::additive(trend, form.season)).collect();
    if form.is_relative() {
        forms.extend(trends.iter().map(|&trend| EtsForm { trend, ..form }));
    }
    forms
}

/// Places all over the box: a form that the series does not suit has many valleys. A relative error begins where the
/// additive one ended.
fn everywhere(form: EtsForm) -> Vec<Beginning> {
    if form.is_relative() {
        return Vec::new();
    }
    let slopes: &[f32] = if form.trend == Trend::None { &[0.0] } else { &[0.01, 0.2, 0.8] };
    let seasons: &[f32] = if form.season == 1 { &[0.0] } else { &[0.02, 0.15, 0.6] };
    let phis: &[f32] = if form.trend == Trend::Damped { &[0.85, 0.97] } else { &[1.0] };
    let mut all = Vec::new();
    for alpha in [0.02, 0.1, 0.4, 0.9] {
        for &slope in slopes {
            for &season in seasons {
                all.extend(phis.iter().map(|&phi| Beginning { alpha, shares: [slope, season], phi, replaces: true }));
            }
        }
    }
    all
}

/// Where the searches of one form ended.
struct EtsFound<R: Runtime> {
    ends: Ends<R>,
    evaluations: Handle,
    /// The worth of each end, and its sum of squares.
    values: Handle,
    units: Handle,
}

impl<'a, R: Runtime, F: Float + CubeElement> Ladder<'a, R, F> {
    /// The likeliest place of the last of some forms, each of them kin of one after it, for standardised series.
    fn fit(y: &'a Buffer<R>, offset: &[f64], forms: &[EtsForm]) -> Option<EtsFound<R>> {
        let form = *forms.last()?;
        let ladder = Self::climb(Panel::new::<F>(y, form.season, Some(offset)), forms, Some(everywhere));
        let evaluations = ladder.search.counts.clone();
        let ends = ladder.ends.last()?;
        // A last look at each end, for its sum of squares.
        let counts = y.gpu().empty::<u32>(COUNT_ROWS * y.series());
        let search = Search { counts, ..ladder.search };
        let rounds = Rounds::new(&ladder.panel, form, &ladder.scratch, &search, None);
        launch_begin::<R, F>(&rounds, beginnings(form)[0], Some(ends), Whose::Known);
        pass::launch::<R, F>(&rounds);
        Some(EtsFound {
            ends: ends.clone(),
            evaluations,
            values: search.value,
            units: ladder.panel.unit_rows().clone(),
        })
    }
}

impl<R: Runtime> EtsFound<R> {
    /// Copies what was found to the host.
    fn download(&self) -> Result<EtsFit, KernelError> {
        let Ends { y, form, point, worth } = &self.ends;
        let (gpu, series) = (y.gpu(), y.series());
        let read = |handle: &Handle| gpu.download_floats(handle, "the ETS fit");
        let (point, worth, values, units) = (read(point)?, read(worth)?, read(&self.values)?, read(&self.units)?);
        let counts: Vec<u32> = gpu.download(&self.evaluations, "the ETS fit")?;
        let mut fit = EtsFit::with_room(series, *form);
        for s in 0..series {
            let of = |row: u32| point[row as usize * series + s];
            let unit = |row: u32| units[row as usize * series + s];
            let reached = worth[s] < f64::from(NOWHERE);
            if !reached {
                fit.push_unfit(*form);
                continue;
            }
            let logs = if form.is_relative() { unit(LOGS) } else { 0.0 };
            let settled = worth[series + s] == 1.0;
            let place = [of(0), of(1), of(2), of(3)];
            let start = |slot: usize| of(START + slot as u32);
            let end = EtsEnd::of_place(*form, (0.0, settled), place, of(SLOPE), start);
            fit.smoothing.push(end.smoothing);
            fit.start.extend(end.start);
            fit.sse.push(values[series + s]);
            fit.deviance.push(2.0 * (worth[s] + logs));
            fit.converged.push(settled);
            fit.evaluations.push(counts[EVALUATIONS as usize * series + s]);
        }
        Ok(fit)
    }
}
