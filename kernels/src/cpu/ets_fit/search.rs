//! A projected quasi-Newton search over at most four weights, one series each.
//!
//! The weights are searched in a box: `alpha`, the share of its range that `beta` takes, the share that
//! `gamma` takes, and `phi`.

use super::profile::Least;
use crate::{ALPHA_RANGE, EtsForm, PHI_RANGE, Smoothing, Trend};

/// A place in the box.
pub(super) type Point = [f64; 4];

pub(super) const LOWEST: Point = [ALPHA_RANGE.0, 0.0, 0.0, PHI_RANGE.0];
pub(super) const HIGHEST: Point = [ALPHA_RANGE.1, 1.0, 1.0, PHI_RANGE.1];
/// Floor of `beta` and `gamma`.
pub(super) const FLOOR: f64 = ALPHA_RANGE.0;
/// Gain in log-likelihood under which a step is not worth its evaluation.
pub(super) const SETTLED: f64 = 1e-5;
const MAX_EVALUATIONS: u32 = 120;
/// Times the gain that its next step promises that a descent is trusted to gain in all.
pub(super) const HOPE: f64 = 30.0;
/// Precision of the profiled start, as a bound on its share of the sum of squares: at the first looks, in the
/// search and in the end.
const ON_LOOKS: f64 = 1e-4;
const IN_SEARCH: f64 = 1e-9;
const IN_THE_END: f64 = 1e-13;

/// Places to look at first, one for each combination: a search begins in every valley of these.
pub(super) struct Looks {
    axes: [Vec<f64>; 3],
    phi: f64,
}

impl Looks {
    /// Places all over the box.
    pub(super) fn everywhere(form: EtsForm) -> Self {
        let has = free(form);
        let axis = |i: usize, values: &[f64]| if has[i] { values.to_vec() } else { vec![0.0] };
        let alphas = vec![0.02, 0.1, 0.4, 0.9];
        Self { axes: [alphas, axis(1, &[0.01, 0.2]), axis(2, &[0.02, 0.15, 0.6])], phi: 0.95 }
    }

    /// Places about the weights of a kindred form; along a weight that it does not have, from end to end.
    pub(super) fn near(form: EtsForm, kindred: &Smoothing) -> Self {
        let has = free(form);
        let alpha = kindred.alpha.clamp(LOWEST[0], HIGHEST[0]);
        let share = |weight: f64, range: f64| ((weight - FLOOR) / (range - FLOOR).max(FLOOR)).clamp(0.0, 1.0);
        let axis = |i: usize, weight: f64, range: f64, others: &[f64]| match (has[i], weight > 0.0) {
            (false, _) => vec![0.0],
            (true, true) => vec![share(weight, range)],
            (true, false) => others.to_vec(),
        };
        let slopes = axis(1, kindred.beta, alpha, &[0.01, 0.2]);
        let seasons = axis(2, kindred.gamma, 1.0 - alpha, &[0.02, 0.15, 0.6]);
        let phi = if kindred.phi < 1.0 { kindred.phi.clamp(PHI_RANGE.0, PHI_RANGE.1) } else { 0.95 };
        Self { axes: [vec![alpha], slopes, seasons], phi }
    }

    /// How many places.
    pub(super) fn len(&self) -> usize {
        self.axes.iter().map(Vec::len).product()
    }

    /// The place of an index.
    pub(super) fn point(&self, mut index: usize) -> Point {
        let mut point = [0.0, 0.0, 0.0, self.phi];
        for (i, axis) in self.axes.iter().enumerate().rev() {
            point[i] = axis[index % axis.len()];
            index /= axis.len();
        }
        point
    }

    /// Whether no neighbour is lower than the place of this index.
    fn is_valley(&self, places: &[Place], index: usize) -> bool {
        let mut stride = places.len();
        let value = |index: usize| places[index].value;
        self.axes.iter().all(|axis| {
            stride /= axis.len();
            let along = index / stride % axis.len();
            (along == 0 || value(index) <= value(index - stride))
                && (along + 1 == axis.len() || value(index) < value(index + stride))
        })
    }
}

/// The place of a kindred form's weights, with a place of no great effect for those that it does not have.
pub(super) fn point_near(form: EtsForm, kindred: &Smoothing) -> Point {
    let alpha = kindred.alpha.clamp(LOWEST[0], HIGHEST[0]);
    let share = |weight: f64, range: f64| ((weight - FLOOR) / (range - FLOOR).max(FLOOR)).clamp(0.0, 1.0);
    let or = |weight: f64, range: f64, other: f64| if weight > 0.0 { share(weight, range) } else { other };
    let has = free(form);
    let slope = if has[1] { or(kindred.beta, alpha, 0.01) } else { 0.0 };
    let season = if has[2] { or(kindred.gamma, 1.0 - alpha, 0.05) } else { 0.0 };
    [alpha, slope, season, if kindred.phi < 1.0 { kindred.phi.clamp(PHI_RANGE.0, PHI_RANGE.1) } else { 0.95 }]
}

/// Which coordinates the form has.
pub(super) fn free(form: EtsForm) -> [bool; 4] {
    [true, form.trend != Trend::None, form.season > 1, form.trend == Trend::Damped]
}

/// The weights at a place in the box.
pub(super) fn smoothing_at(form: EtsForm, &[alpha, slope, season, phi]: &Point) -> Smoothing {
    let has = free(form);
    Smoothing {
        alpha,
        beta: if has[1] { FLOOR + (alpha - FLOOR) * slope } else { 0.0 },
        gamma: if has[2] { FLOOR + (1.0 - alpha - FLOOR) * season } else { 0.0 },
        phi: if has[3] { phi } else { 1.0 },
    }
}

/// The search of one series.
pub(super) struct Search {
    form: EtsForm,
    observed: f64,
    /// Half a deviance that it has to fall below to be of use.
    limit: f64,
    looks: Looks,
    /// Places looked at first, with their values and gradients.
    offers: Vec<Place>,
    /// Valleys among them that wait for their search, the lowest one last.
    valleys: Vec<usize>,
    /// The best end of the valleys done.
    best: Place,
    at: Place,
    curvature: [Point; 4],
    direction: Point,
    stride: f64,
    /// Gain that the direction promises.
    promised: f64,
    state: Progress,
    converged: bool,
    restart: Option<usize>,
    evaluations: u32,
}

#[derive(Clone, Copy)]
struct Place {
    point: Point,
    /// Negative log-likelihood up to a constant.
    value: f64,
    gradient: Point,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Progress {
    /// Places are looked at.
    Looking,
    /// A valley is descended.
    Searching,
    /// The best place is evaluated once more, to the last digit.
    Ending,
    Done,
}

impl Search {
    /// A search that gives up, and does not converge, where it sees that it will not fall to `limit`.
    pub(super) fn new(form: EtsForm, looks: Looks, observed: f64, limit: f64) -> Self {
        let nowhere = Place { point: looks.point(0), value: f64::INFINITY, gradient: [0.0; 4] };
        Self {
            form,
            observed,
            limit,
            looks,
            offers: Vec::new(),
            valleys: Vec::new(),
            best: nowhere,
            at: nowhere,
            curvature: [[0.0; 4]; 4],
            direction: [0.0; 4],
            stride: 1.0,
            promised: 0.0,
            state: Progress::Looking,
            converged: false,
            restart: None,
            evaluations: 0,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == Progress::Done
    }

    pub(super) fn converged(&self) -> bool {
        self.converged
    }

    pub(super) fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// The place looked at whose start the next evaluation begins from, if it is not the latest one's.
    pub(super) fn take_restart(&mut self) -> Option<usize> {
        self.restart.take()
    }

    /// Places looked at so far.
    pub(super) fn looked(&self) -> usize {
        self.offers.len()
    }

    /// The best weights found.
    pub(super) fn smoothing(&self) -> Smoothing {
        smoothing_at(self.form, &self.best.point)
    }

    /// The weights to evaluate next.
    pub(super) fn trial(&self) -> Smoothing {
        smoothing_at(self.form, &self.trial_point())
    }

    /// Precision that the next evaluation is worth: a bound on its share of the sum of squares.
    pub(super) fn precision(&self) -> f64 {
        match self.state {
            Progress::Looking => ON_LOOKS,
            // A thousandth of what the step promises, in nats.
            Progress::Searching if self.form.is_relative() => {
                (2e-3 * self.stride * self.promised / self.observed).clamp(IN_SEARCH, ON_LOOKS)
            }
            Progress::Searching => IN_SEARCH,
            // Rounding lets the steps of a relative error come no nearer.
            Progress::Ending | Progress::Done if self.form.is_relative() => 1e-10,
            Progress::Ending | Progress::Done => IN_THE_END,
        }
    }

    fn trial_point(&self) -> Point {
        match self.state {
            Progress::Looking => self.looks.point(self.offers.len()),
            Progress::Searching => std::array::from_fn(|i| {
                (self.at.point[i] + self.stride * self.direction[i]).clamp(LOWEST[i], HIGHEST[i])
            }),
            Progress::Ending | Progress::Done => self.best.point,
        }
    }

    /// What the trial is worth.
    pub(super) fn receive(&mut self, least: &Least, lane: usize) {
        self.evaluations += 1;
        let there = self.likelihood(&self.trial_point(), least, lane);
        match self.state {
            Progress::Looking => {
                self.offers.push(there);
                if self.offers.len() == self.looks.len() {
                    self.begin();
                }
            }
            Progress::Searching => self.descend(there),
            Progress::Ending | Progress::Done => self.state = Progress::Done,
        }
    }

    /// Begins in the lowest valley of the places looked at.
    fn begin(&mut self) {
        let value = |index: &usize| self.offers[*index].value;
        let mut valleys: Vec<usize> = (0..self.offers.len())
            // There is nothing to follow where an expected value is not positive.
            .filter(|index| value(index).is_finite() && self.looks.is_valley(&self.offers, *index))
            .collect();
        valleys.sort_by(|a, b| value(b).total_cmp(&value(a)));
        self.valleys = valleys;
        self.next_valley();
    }

    /// Ends the search of one valley and begins the next one, if there is one.
    fn next_valley(&mut self) {
        while let Some(valley) = self.valleys.pop() {
            self.state = Progress::Searching;
            self.at = self.offers[valley];
            self.restart = Some(valley);
            self.curvature = self.first_curvature();
            self.aim();
            if self.state == Progress::Searching {
                return;
            }
            self.keep_best();
        }
        self.converged = self.best.value.is_finite() && self.best.value <= self.limit;
        self.state = if self.converged { Progress::Ending } else { Progress::Done };
    }

    fn keep_best(&mut self) {
        if self.at.value < self.best.value {
            self.best = self.at;
        }
    }

    /// Takes a step of the descent, or shortens it.
    fn descend(&mut self, there: Place) {
        let step: Point = std::array::from_fn(|i| there.point[i] - self.at.point[i]);
        let expected = dot(&self.at.gradient, &step);
        let mut settled = false;
        if there.value <= self.at.value + 1e-4 * expected {
            self.learn(&step, &std::array::from_fn(|i| there.gradient[i] - self.at.gradient[i]));
            self.at = there;
            self.aim();
            settled = self.state != Progress::Searching;
        } else if -expected < SETTLED || self.stride < 1e-6 {
            settled = true;
        } else {
            // The parabola through both values and the slope at the start, kept inside a tenth and a half.
            let best = -0.5 * expected / (there.value - self.at.value - expected);
            self.stride *= if best.is_nan() { 0.1 } else { best.clamp(0.1, 0.5) };
        }
        if settled {
            self.keep_best();
            self.next_valley();
        } else if self.evaluations >= MAX_EVALUATIONS {
            self.keep_best();
            self.state = Progress::Done;
        }
    }

    /// The negative log-likelihood at a place and its derivatives by the coordinates of the box.
    fn likelihood(&self, point: &Point, least: &Least, lane: usize) -> Place {
        let half_by = least.by.lane(lane);
        let value = least.value[lane];
        let scale = self.observed / (least.sums.sse[lane] + least.nothing[lane]);
        let [alpha, slope, season, _] = *point;
        let has = free(self.form);
        let from_slope = if has[1] { slope * half_by.beta } else { 0.0 };
        let from_season = if has[2] { season * half_by.gamma } else { 0.0 };
        let by = [
            half_by.alpha + from_slope - from_season,
            (alpha - FLOOR) * half_by.beta,
            (1.0 - alpha - FLOOR) * half_by.gamma,
            half_by.phi,
        ];
        let gradient = std::array::from_fn(|i| if has[i] { scale * by[i] } else { 0.0 });
        Place { point: *point, value, gradient }
    }

    /// About the information that so many steps hold on each weight.
    fn first_curvature(&self) -> [Point; 4] {
        let [alpha, slope, season, _] = self.at.point;
        let n = self.observed;
        let diagonal = [n / (2.0 * alpha), n / (2.0 * slope.max(0.01)), n / (4.0 * season.max(0.01)), 0.01 * n];
        std::array::from_fn(|i| std::array::from_fn(|j| if i == j { diagonal[i].max(1.0) } else { 0.0 }))
    }

    /// The damped BFGS update, which keeps the curvature positive.
    fn learn(&mut self, step: &Point, change: &Point) {
        let bent: Point = std::array::from_fn(|i| dot(&self.curvature[i], step));
        let old = dot(step, &bent);
        let seen = dot(step, change);
        if old <= 0.0 {
            return;
        }
        let trust = if seen >= 0.2 * old { 1.0 } else { 0.8 * old / (old - seen) };
        let mixed: Point = std::array::from_fn(|i| trust * change[i] + (1.0 - trust) * bent[i]);
        let new = dot(step, &mixed);
        for i in 0..4 {
            for j in 0..4 {
                self.curvature[i][j] += mixed[i] * mixed[j] / new - bent[i] * bent[j] / old;
            }
        }
    }

    /// Points the search at the least value of its quadratic in the box, or ends it.
    fn aim(&mut self) {
        let has = free(self.form);
        self.direction = step_in_box(self.form, &self.at.point, &self.at.gradient, &self.curvature);
        self.stride = 1.0;
        let downhill = dot(&self.at.gradient, &self.direction);
        if downhill.is_nan() || downhill >= 0.0 {
            self.direction = std::array::from_fn(|i| {
                let step = if has[i] { -self.at.gradient[i] / self.curvature[i][i] } else { 0.0 };
                (self.at.point[i] + step).clamp(LOWEST[i], HIGHEST[i]) - self.at.point[i]
            });
        }
        let promised = -dot(&self.at.gradient, &self.direction);
        self.promised = promised;
        if promised.is_nan() || promised <= SETTLED || self.at.value - HOPE * promised > self.limit {
            self.state = Progress::Ending;
        }
    }
}

/// The step from a place in the box to the least value of a quadratic in it.
pub(super) fn step_in_box(form: EtsForm, point: &Point, gradient: &Point, curvature: &[Point; 4]) -> Point {
    let has = free(form);
    let mut fixed: [Option<f64>; 4] = std::array::from_fn(|i| {
        let outward = (point[i] <= LOWEST[i] && gradient[i] > 0.0) || (point[i] >= HIGHEST[i] && gradient[i] < 0.0);
        (!has[i] || outward).then_some(0.0)
    });
    loop {
        let step = solve(curvature, gradient, &fixed);
        let mut inside = true;
        for i in 0..4 {
            let to = point[i] + step[i];
            if fixed[i].is_none() && !(LOWEST[i]..=HIGHEST[i]).contains(&to) {
                fixed[i] = Some(to.clamp(LOWEST[i], HIGHEST[i]) - point[i]);
                inside = false;
            }
        }
        if inside {
            return step;
        }
    }
}

/// Solves `curvature step = -gradient` in the coordinates that are not fixed, given the fixed ones' steps.
fn solve(curvature: &[Point; 4], gradient: &Point, fixed: &[Option<f64>; 4]) -> Point {
    let mut a = [[0.0; 5]; 4];
    for i in 0..4 {
        if let Some(step) = fixed[i] {
            a[i][i] = 1.0;
            a[i][4] = step;
            continue;
        }
        a[i][4] = -gradient[i];
        for j in 0..4 {
            match fixed[j] {
                Some(step) => a[i][4] -= curvature[i][j] * step,
                None => a[i][j] = curvature[i][j],
            }
        }
    }
    // Positive definite, so elimination needs no pivoting.
    for k in 0..4 {
        for i in k + 1..4 {
            let factor = a[i][k] / a[k][k];
            for j in k..5 {
                a[i][j] -= factor * a[k][j];
            }
        }
    }
    let mut step = [0.0; 4];
    for k in (0..4).rev() {
        let known: f64 = (k + 1..4).map(|j| a[k][j] * step[j]).sum();
        step[k] = (a[k][4] - known) / a[k][k];
    }
    step
}

fn dot(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
