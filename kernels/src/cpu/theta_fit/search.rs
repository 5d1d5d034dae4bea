//! A search over one weight without derivatives: a grid, then a parabola through three places in every valley.

use crate::theta_fit::{EDGE, GRID, MAX_EVALUATIONS, NARROW, NEAREST, NOTHING, grid};

/// Gain under which a step is not worth its pass, as a share of the sum of squares.
const SETTLED: f64 = 1e-10;
/// Width at which a valley holds nothing but rounding.
const NOTHING_LEFT: f64 = 1e-7;

#[derive(Clone, Copy, Debug)]
struct Place {
    alpha: f64,
    value: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    Searching,
    Settled,
    Capped,
}

/// The search of one series.
pub(super) struct Search {
    /// Sum of squares that counts as none.
    nothing: f64,
    values: [f64; GRID],
    /// Valleys of the grid that wait for their search.
    valleys: Vec<usize>,
    /// The lowest end of the valleys done.
    best: Place,
    /// The valley under search: its lowest place, and one on either side; at an end of the range, itself.
    left: Place,
    low: Place,
    right: Place,
    trial: f64,
    state: Progress,
    evaluations: u32,
}

impl Search {
    pub(super) fn new(observed: f64) -> Self {
        let nowhere = Place { alpha: grid(0), value: f64::INFINITY };
        Self {
            nothing: NOTHING * observed,
            values: [f64::INFINITY; GRID],
            valleys: Vec::new(),
            best: nowhere,
            left: nowhere,
            low: nowhere,
            right: nowhere,
            trial: nowhere.alpha,
            state: Progress::Searching,
            evaluations: 0,
        }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state == Progress::Searching
    }

    pub(super) fn converged(&self) -> bool {
        self.state == Progress::Settled
    }

    pub(super) fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// The best weight found.
    pub(super) fn alpha(&self) -> f64 {
        self.best.alpha
    }

    /// The weight to evaluate next.
    pub(super) fn trial(&self) -> f64 {
        if self.is_active() { self.trial } else { self.best.alpha }
    }

    /// What a place of the grid is worth.
    pub(super) fn offer(&mut self, index: usize, sse: f64) {
        self.evaluations += 1;
        self.values[index] = sse;
    }

    /// Begins in a valley of the grid, once all of it was offered.
    pub(super) fn begin(&mut self) {
        let values = self.values;
        let is_valley =
            |&i: &usize| (i == 0 || values[i] <= values[i - 1]) && (i + 1 == GRID || values[i] < values[i + 1]);
        self.valleys = (0..GRID).filter(is_valley).collect();
        self.next_valley();
    }

    fn place(&self, index: usize) -> Place {
        Place { alpha: grid(index), value: self.values[index] }
    }

    fn next_valley(&mut self) {
        let Some(valley) = self.valleys.pop() else {
            self.state = Progress::Settled;
            return;
        };
        self.low = self.place(valley);
        self.left = if valley == 0 { self.low } else { self.place(valley - 1) };
        self.right = if valley + 1 == GRID { self.low } else { self.place(valley + 1) };
        if valley == 0 {
            self.trial = self.low.alpha + EDGE;
        } else if valley + 1 == GRID {
            self.trial = self.low.alpha - EDGE;
        } else {
            self.aim();
        }
    }

    /// What the trial is worth.
    pub(super) fn receive(&mut self, sse: f64) {
        self.evaluations += 1;
        let there = Place { alpha: self.trial, value: sse };
        let at_an_end = self.left.alpha == self.low.alpha || self.right.alpha == self.low.alpha;
        let lower = there.value < self.low.value;
        match (lower, there.alpha < self.low.alpha) {
            (true, true) => (self.right, self.low) = (self.low, there),
            (true, false) => (self.left, self.low) = (self.low, there),
            (false, true) => self.left = there,
            (false, false) => self.right = there,
        }
        if at_an_end && !lower {
            self.end_valley();
        } else if self.evaluations >= MAX_EVALUATIONS {
            self.keep_best();
            self.state = Progress::Capped;
        } else {
            self.aim();
        }
    }

    fn keep_best(&mut self) {
        if self.low.value < self.best.value {
            self.best = self.low;
        }
    }

    fn end_valley(&mut self) {
        self.keep_best();
        self.next_valley();
    }

    /// Takes the lowest place of the parabola through the valley's three places, kept away from the one between,
    /// or ends the valley.
    fn aim(&mut self) {
        let (left, low, right) = (self.left, self.low, self.right);
        let (before, after) = (low.alpha - left.alpha, right.alpha - low.alpha);
        let (fall, rise) = ((low.value - left.value) / before, (right.value - low.value) / after);
        let curvature = (rise - fall) / (before + after);
        let slope = (rise * before + fall * after) / (before + after);
        let flat = curvature.is_nan() || curvature <= 0.0;
        let (step, gain) = if flat { (0.0, 0.0) } else { (-0.5 * slope / curvature, 0.25 * slope * slope / curvature) };
        let width = before + after;
        if width < NOTHING_LEFT || (width < NARROW && gain <= SETTLED * (low.value + self.nothing)) {
            self.end_valley();
            return;
        }
        let wider = if after >= before { after } else { -before };
        let step = if step.abs() < NEAREST * wider.abs() { NEAREST * wider } else { step };
        self.trial = low.alpha + step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a function of the weight alone.
    fn search(value: impl Fn(f64) -> f64) -> Search {
        let mut search = Search::new(100.0);
        (0..GRID).for_each(|index| search.offer(index, value(grid(index))));
        search.begin();
        while search.is_active() {
            search.receive(value(search.trial()));
        }
        search
    }

    #[test]
    fn a_valley_inside_or_at_an_end_is_found() {
        for truth in [0.1, 0.1003, 0.12, 0.37, 0.5, 0.98, 0.989_95, 0.99] {
            // Skewed, so that no parabola is exact.
            let value = |alpha: f64| 1.0 + (alpha - truth).powi(2) * (2.0 + (3.0 * alpha).sin());
            let found = search(value);
            assert!(found.converged(), "{truth}");
            // A part in 10^10 of the value is a step of 1e-5 here; an end is looked at 1e-4 inside.
            assert!(value(found.alpha()) < 1.0 + 1e-8, "{truth}: {}", found.alpha());
            assert!(found.evaluations() <= GRID as u32 + 12, "{truth}: {}", found.evaluations());
        }
    }

    #[test]
    fn the_lowest_of_several_valleys_wins() {
        let value = |alpha: f64| 2.0 + (12.0 * alpha).cos() + 0.2 * (alpha - 0.8).powi(2);
        let found = search(value);
        let least = (0..=89_000).map(|i| value(0.1 + f64::from(i) * 1e-5)).fold(f64::INFINITY, f64::min);
        assert!(found.converged() && value(found.alpha()) < least + 1e-8, "{}", found.alpha());
    }

    #[test]
    fn a_flat_floor_and_noise_end() {
        assert!(search(|_| 0.0).converged());
        assert!(search(|alpha| 1e-30 * (1e9 * alpha).sin().abs()).converged());
        assert!(search(|alpha| 1.0 + (1e9 * alpha).sin().abs()).converged());
    }
}
