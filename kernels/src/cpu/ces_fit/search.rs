//! A search over at most four weights by Levenberg's and Marquardt's steps, within bounds.

use crate::ces_fit::{
    CRAWLS, FIRST_DAMPING, HOPE, LEAST_DAMPING, MAX_EVALUATIONS, MOST_DAMPING, Point, places_gone_on_from,
};
use crate::{CES_RANGES, CES_TRIANGLE, CES_WEIGHTS, CesForm};

/// Gain under which a step is not worth its pass, as a share of the sum of squares.
const SETTLED: f64 = 1e-7;
/// A step so short that it changes nothing.
const NOTHING_LEFT: f64 = 1e-9;
/// Squared error a step below which a fit counts as perfect, on data of unit scale.
const NOTHING: f64 = 1e-22;

#[derive(Clone, Copy, Debug)]
struct Place {
    point: Point,
    sse: f64,
    slope: [f64; CES_WEIGHTS],
    curvature: [f64; CES_TRIANGLE],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    Searching,
    Settled,
    Capped,
}

/// The search of one series.
pub(super) struct Search {
    weights: usize,
    from: usize,
    /// Sum of squares that counts as none.
    nothing: f64,
    /// The best places offered, best first.
    offered: Vec<(f64, Point)>,
    /// The lowest end of the searches done.
    best: (f64, Point),
    /// Where this one is; `None` before its first evaluation.
    here: Option<Place>,
    trial: Point,
    /// What the trial would gain if the sum of squares were as its slope and curvature say.
    promised: f64,
    damping: f64,
    state: Progress,
    capped: bool,
    evaluations: u32,
    begun_at: u32,
    /// Sum of squares halfway to the cap.
    half_way: f64,
}

impl Search {
    pub(super) fn new(form: CesForm, observed: f64) -> Self {
        Self {
            weights: form.weights(),
            from: places_gone_on_from(form),
            nothing: NOTHING * observed,
            offered: Vec::new(),
            best: (f64::INFINITY, [0.0; CES_WEIGHTS]),
            here: None,
            trial: [0.0; CES_WEIGHTS],
            promised: 0.0,
            damping: FIRST_DAMPING,
            state: Progress::Searching,
            capped: false,
            evaluations: 0,
            begun_at: 0,
            half_way: f64::INFINITY,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state == Progress::Searching
    }

    pub(super) fn converged(&self) -> bool {
        self.state == Progress::Settled && self.best.0.is_finite()
    }

    pub(super) fn evaluations(&self) -> u32 {
        self.evaluations
    }

    pub(super) fn sse(&self) -> f64 {
        self.best.0
    }

    /// The best weights found; 0 where the form has none.
    pub(super) fn weights(&self) -> Point {
        std::array::from_fn(|k| if k < self.weights { self.best.1[k] } else { 0.0 })
    }

    /// The weights to evaluate next.
    pub(super) fn trial(&self) -> Point {
        self.trial
    }

    /// What a place is worth.
    pub(super) fn offer(&mut self, place: Point, sse: f64) {
        let same = |(_, offered): &(f64, Point)| offered[..2] == place[..2];
        if let Some(other) = self.offered.iter().position(same) {
            if self.offered[other].0 <= sse || sse.is_nan() {
                return;
            }
            self.offered.remove(other);
        }
        if sse.is_finite() {
            let at = self.offered.partition_point(|(offered, _)| *offered <= sse);
            self.offered.insert(at, (sse, place));
            self.offered.truncate(self.from);
        }
    }

    /// Begins at the best place, once all were offered.
    pub(super) fn begin(&mut self) {
        self.offered.reverse();
        self.next();
    }

    fn next(&mut self) {
        let Some((_, place)) = self.offered.pop() else {
            self.state = if self.capped { Progress::Capped } else { Progress::Settled };
            return;
        };
        (self.here, self.trial, self.damping) = (None, place, FIRST_DAMPING);
        self.begun_at = self.evaluations;
    }

    fn end(&mut self, capped: bool) {
        if let Some(here) = self.here.filter(|here| here.sse < self.best.0) {
            self.best = (here.sse, here.point);
            self.capped = capped;
        }
        self.next();
    }

    /// What the trial is worth.
    pub(super) fn receive(&mut self, sse: f64, slope: [f64; CES_WEIGHTS], curvature: [f64; CES_TRIANGLE]) {
        self.evaluations += 1;
        let there = Place { point: self.trial, sse, slope, curvature };
        let sound = sse.is_finite() && slope.iter().chain(&curvature).all(|v| v.is_finite());
        match self.here {
            None if sound => self.here = Some(there),
            None => return self.end(false),
            Some(here) if sound && sse < here.sse => {
                self.damping *= 0.2;
                self.here = Some(there);
            }
            // Damping that grows slowly keeps a search off the walls of a bent valley.
            Some(_) => self.damping *= 2.5,
        }
        self.damping = self.damping.max(LEAST_DAMPING);
        let taken = self.evaluations - self.begun_at;
        if taken == MAX_EVALUATIONS / 2 {
            self.half_way = self.here.map_or(f64::INFINITY, |here| here.sse);
        }
        if taken >= MAX_EVALUATIONS {
            return self.end(self.here.is_some_and(|here| here.sse < (1.0 - CRAWLS) * self.half_way));
        }
        self.aim();
    }

    /// Takes the damped step within the bounds, or ends this search.
    fn aim(&mut self) {
        let Some(here) = self.here else { return };
        if here.sse <= self.nothing || self.damping > MOST_DAMPING {
            return self.end(false);
        }
        let mut held = [false; CES_WEIGHTS];
        let mut step = [0.0; CES_WEIGHTS];
        // A weight at its bound stays where the step would leave it; what is left moves without it.
        for _ in 0..=self.weights {
            step = damped_step(&here, self.weights, self.damping, &held);
            let mut newly = false;
            for k in 0..self.weights {
                let (low, high) = CES_RANGES[k];
                let outwards = (here.point[k] <= low && step[k] < 0.0) || (here.point[k] >= high && step[k] > 0.0);
                newly |= outwards && !held[k];
                held[k] |= outwards;
            }
            if !newly {
                break;
            }
        }
        let mut moved: f64 = 0.0;
        for k in 0..self.weights {
            let (low, high) = CES_RANGES[k];
            self.trial[k] = (here.point[k] + step[k]).clamp(low, high);
            step[k] = self.trial[k] - here.point[k];
            moved = moved.max(step[k].abs());
        }
        self.promised = gain(&here, self.weights, &step);
        if here.sse - HOPE * self.promised > self.best.0 {
            return self.end(false);
        }
        let settled = self.promised <= SETTLED * (here.sse + self.nothing);
        // A gain of little after steps that failed says that they were cut short, not that nothing is left.
        if moved < NOTHING_LEFT || moved.is_nan() || (settled && self.damping <= 1.0) {
            self.end(false);
        }
    }
}

/// Solves `(C + damping diag C) step = -slope` over the weights that are not held.
fn damped_step(here: &Place, weights: usize, damping: f64, held: &[bool; CES_WEIGHTS]) -> Point {
    let mut factor = [[0.0; CES_WEIGHTS]; CES_WEIGHTS];
    let mut step = [0.0; CES_WEIGHTS];
    for i in 0..weights {
        for j in 0..=i {
            let whole = if held[i] || held[j] { 0.0 } else { here.curvature[i * (i + 1) / 2 + j] };
            let rest = whole - (0..j).map(|l| factor[i][l] * factor[j][l]).sum::<f64>();
            if i == j {
                let damped = if held[i] { 1.0 } else { rest + damping * whole };
                factor[i][i] = damped.max(f64::MIN_POSITIVE).sqrt();
            } else {
                factor[i][j] = rest / factor[j][j];
            }
        }
        let right = if held[i] { 0.0 } else { -here.slope[i] };
        step[i] = (right - (0..i).map(|l| factor[i][l] * step[l]).sum::<f64>()) / factor[i][i];
    }
    for i in (0..weights).rev() {
        step[i] = (step[i] - (i + 1..weights).map(|l| factor[l][i] * step[l]).sum::<f64>()) / factor[i][i];
    }
    step
}

/// By how much the sum of squares falls along a step, as slope and curvature say.
fn gain(here: &Place, weights: usize, step: &Point) -> f64 {
    let mut gain = 0.0;
    for i in 0..weights {
        gain -= 2.0 * here.slope[i] * step[i];
        for j in 0..=i {
            let twice = if i == j { 1.0 } else { 2.0 };
            gain -= twice * here.curvature[i * (i + 1) / 2 + j] * step[i] * step[j];
        }
    }
    gain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ces_fit::places;

    /// Searches errors that are linear in the weights: `e = A (w - truth)`, two of each weight.
    fn search(form: CesForm, truth: Point) -> Search {
        let evaluate = |point: Point| {
            let (mut sse, mut slope, mut curvature) = (1.0, [0.0; CES_WEIGHTS], [0.0; CES_TRIANGLE]);
            for row in [[1.0, 0.5, 0.0, 0.0], [0.0, 1.0, -1.0, 0.3], [0.2, 0.0, 1.0, 2.0], [0.0, 0.1, 0.0, 1.0]] {
                let own = |k: usize| if k < form.weights() { row[k] } else { 0.0 };
                let e: f64 = (0..CES_WEIGHTS).map(|k| own(k) * (point[k] - truth[k])).sum();
                sse += e * e;
                for k in 0..CES_WEIGHTS {
                    slope[k] += e * own(k);
                    (0..=k).for_each(|l| curvature[k * (k + 1) / 2 + l] += own(k) * own(l));
                }
            }
            (sse, slope, curvature)
        };
        let mut search = Search::new(form, 100.0);
        places(form).for_each(|place| search.offer(place, evaluate(place).0));
        search.begin();
        while search.is_active() {
            let (sse, slope, curvature) = evaluate(search.trial());
            search.receive(sse, slope, curvature);
        }
        search
    }

    #[test]
    fn a_valley_inside_the_bounds_is_found() {
        for form in CesForm::ALL {
            let found = search(form, [0.7, 1.2, 0.4, 0.9]);
            // It ends where a step promises a part in 10^7 of a sum of 1.
            assert!(found.converged() && found.sse() < 1.0 + 1e-6, "{form:?}: {}", found.sse());
        }
    }

    #[test]
    fn a_valley_beyond_a_bound_ends_at_it() {
        let found = search(CesForm::Full, [2.5, 1.2, 0.4, 0.9]);
        assert!(found.converged() && found.weights()[0] == CES_RANGES[0].1, "{:?}", found.weights());
        // With alpha_0 0.7 too low, alpha_1 takes what the first error's share of 0.5 asks it for, against the rest.
        let held = found.sse();
        assert!(held > 1.0 && held < 1.0 + 0.7 * 0.7 * 1.04, "{held}");
    }

    #[test]
    fn what_is_never_a_number_ends_unconverged() {
        let mut search = Search::new(CesForm::None, 5.0);
        places(CesForm::None).for_each(|place| search.offer(place, f64::NAN));
        search.begin();
        assert!(!search.is_active() && !search.converged());
    }
}
