//! ETS by maximum likelihood: a search over the weights, the start profiled out inside it, or from a hint a descent
//! of both together.
//!
//! A task of the search has a run of series and a lane group. A lane whose series is done takes the next one, so that
//! no lane waits for its neighbours' searches.

mod answers;
mod gram;
mod joint;
mod profile;
mod search;

use std::ops::Range;

use rayon::prelude::*;

use self::profile::{Least, Profile};
use self::search::{Looks, Search};
use super::ets::Weights;
use crate::{EtsFit, EtsForm, EtsHint, EtsPlace, LANES, Lanes, Smoothing, Trend};

/// Series of a task, at most: enough to keep its lanes full until the last few.
const RUN: usize = 16 * LANES;

/// See [`crate::ets_fit`].
pub(crate) fn ets_fit(y: &Lanes, offset: &[f64], form: EtsForm, hints: &[EtsHint]) -> EtsFit {
    if form.is_relative() && hints.is_empty() && y.series() > 0 {
        // To search all over costs most where the errors are not linear in the start; the weights of the additive
        // form are near, and cheap.
        let kindred = EtsForm::additive(form.trend, form.season);
        let near = ets_fit(y, offset, kindred, &[]);
        let hint = |s: usize| hint_of(y, s, kindred, &near);
        let hints: Vec<EtsHint> = (0..y.series()).map(hint).collect();
        return ets_fit(y, offset, form, &hints);
    }
    let outcomes = if !hints.is_empty() && form.season <= joint::LONGEST {
        joint::fit(y, offset, form, hints)
    } else {
        fit_in_lanes(y, offset, form, hints)
    };
    let mut fit = EtsFit::with_room(y.series(), form);
    for outcome in outcomes {
        fit.smoothing.push(outcome.smoothing);
        fit.start.extend(outcome.start);
        fit.sse.push(outcome.sse);
        fit.deviance.push(outcome.deviance);
        fit.converged.push(outcome.converged);
        fit.evaluations.push(outcome.evaluations);
    }
    fit
}

/// A hint made of a series' fit in an additive form.
fn hint_of(y: &Lanes, series: usize, kindred: EtsForm, fit: &EtsFit) -> EtsHint {
    let near = fit.smoothing[series];
    let start = &fit.start[series * kindred.start_len()..][..kindred.start_len()];
    let (mut level, mut slope, mut season) = (0.0, start[0], vec![0.0; kindred.season]);
    let mut seen = vec![false; kindred.season];
    // Past the first observation of every slot, nothing more is told of the start.
    for (t, row) in y.group(series / LANES).iter().enumerate() {
        let (slot, value) = (t % kindred.season, f64::from(row[series % LANES]));
        level += near.phi * slope;
        slope *= near.phi;
        if value.is_nan() {
            continue;
        }
        if seen[slot] {
            break;
        }
        seen[slot] = true;
        let error = start[1 + slot];
        season[slot] = value - level - error;
        level += near.alpha * error;
        slope += near.beta * error;
    }
    let place = EtsPlace { smoothing: near, slope: start[0], season };
    let mut places = vec![place.clone()];
    if kindred.trend != Trend::None {
        // A slope that hardly changes, and one that gives way to errors soon: other valleys often lie there.
        for (share, phi) in [(0.001, 0.98), (0.2, 0.9)] {
            let smoothing = Smoothing { beta: share * near.alpha, phi: if near.phi < 1.0 { phi } else { 1.0 }, ..near };
            places.push(EtsPlace { smoothing, slope: 0.0, ..place.clone() });
        }
    }
    EtsHint { places, limit: f64::INFINITY }
}

/// Fits a lane group of series at a time.
fn fit_in_lanes(y: &Lanes, offset: &[f64], form: EtsForm, hints: &[EtsHint]) -> Vec<Outcome> {
    let tasks = 2 * rayon::current_num_threads();
    let run = y.series().div_ceil(tasks).next_multiple_of(LANES).clamp(LANES, RUN);
    let runs: Vec<Vec<Outcome>> = (0..y.series().div_ceil(run))
        .into_par_iter()
        .map(|index| Task::new(y, offset, form, hints, index * run..((index + 1) * run).min(y.series())).run())
        .collect();
    runs.into_iter().flatten().collect()
}

/// What a task found of one series.
struct Outcome {
    series: usize,
    smoothing: Smoothing,
    start: Vec<f64>,
    sse: f64,
    deviance: f64,
    converged: bool,
    evaluations: u32,
}

/// The series that a lane works on.
struct Job {
    series: usize,
    search: Search,
    /// The best start of each place looked at.
    starts: Vec<f64>,
}

struct Task<'a> {
    y: &'a Lanes,
    offset: &'a [f64],
    form: EtsForm,
    hints: &'a [EtsHint],
    waiting: Range<usize>,
    profile: Profile,
    jobs: Vec<Job>,
    active: [bool; LANES],
    outcomes: Vec<Outcome>,
}

impl<'a> Task<'a> {
    fn new(y: &'a Lanes, offset: &'a [f64], form: EtsForm, hints: &'a [EtsHint], series: Range<usize>) -> Self {
        let outcomes = Vec::with_capacity(series.len());
        let profile = Profile::new(y.steps(), form);
        Self { y, offset, form, hints, waiting: series, profile, jobs: Vec::new(), active: [true; LANES], outcomes }
    }

    fn run(mut self) -> Vec<Outcome> {
        let last = self.waiting.end - 1;
        for lane in 0..LANES {
            // A lane too many looks at the last series for nothing.
            let next = self.waiting.next();
            self.active[lane] = next.is_some();
            let job = self.job(lane, next.unwrap_or(last));
            self.jobs.push(job);
        }
        while self.active.contains(&true) {
            let weights = Weights::pack(self.form, |lane| self.jobs[lane].search.trial());
            let precision = std::array::from_fn(|lane| self.jobs[lane].search.precision());
            let least = self.profile.evaluate(&weights, &self.active, &precision);
            for lane in (0..LANES).filter(|&lane| least.ready[lane]) {
                self.deliver(lane, &least);
            }
        }
        self.outcomes.sort_by_key(|outcome| outcome.series);
        self.outcomes
    }

    /// Gives a search what its trial is worth.
    fn deliver(&mut self, lane: usize, least: &Least) {
        let job = &mut self.jobs[lane];
        let looked = job.search.looked();
        job.search.receive(least, lane);
        if job.search.looked() > looked {
            job.starts.extend(self.profile.start(lane));
        }
        if job.search.is_done() {
            self.finish(lane, least);
        } else if let Some(look) = job.search.take_restart() {
            let len = self.form.start_len();
            self.profile.set_start(lane, job.starts[look * len..][..len].iter().copied());
        }
    }

    fn job(&mut self, lane: usize, series: usize) -> Job {
        let rows = self.y.group(series / LANES).iter();
        let observed = self.profile.place(lane, rows.map(|row| row[series % LANES]), self.offset[series]);
        let hint = self.hints.get(series);
        let looks =
            hint.map_or_else(|| Looks::everywhere(self.form), |hint| Looks::near(self.form, &hint.places[0].smoothing));
        let limit = hint.map_or(f64::INFINITY, |hint| 0.5 * hint.limit - self.logs(lane));
        Job { series, search: Search::new(self.form, looks, observed, limit), starts: Vec::new() }
    }

    /// What the deviance of a relative error has besides the part that is searched.
    fn logs(&self, lane: usize) -> f64 {
        if self.form.is_relative() { self.profile.log_values(lane) } else { 0.0 }
    }

    /// Keeps what a lane found, and gives it the next series.
    fn finish(&mut self, lane: usize, least: &Least) {
        let job = &self.jobs[lane];
        let ended = job.search.converged() && self.profile.settled(lane);
        self.outcomes.push(Outcome {
            series: job.series,
            smoothing: job.search.smoothing(),
            start: self.profile.start(lane).collect(),
            sse: least.sums.sse[lane],
            deviance: 2.0 * (least.value[lane] + self.logs(lane)),
            converged: ended,
            evaluations: job.search.evaluations(),
        });
        match self.waiting.next() {
            Some(series) => self.jobs[lane] = self.job(lane, series),
            None => self.active[lane] = false,
        }
    }
}
