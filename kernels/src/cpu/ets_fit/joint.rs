//! Weights and start of one series together, from the weights of a kindred form: Levenberg and Marquardt's damped
//! steps of Gauss and Newton. Near the place they take a handful of passes, where a search with the start profiled
//! out takes some for each of its places.

use rayon::prelude::*;

use super::Outcome;
use super::answers::{Answers, SEASON, SLOPE, Unknowns, Worth};
use super::search::{HIGHEST, HOPE, LOWEST, Point, SETTLED, free, smoothing_at, step_in_box};
use crate::{EtsForm, EtsHint, LANES, Lanes};

/// Evaluations of a series with a limit, and from one place of a series without.
const EVALUATIONS: u32 = 60;
const MOST_EVALUATIONS: u32 = 200;
/// Share of the Hessian's diagonal that a step adds to it: at first, and where no step is shortened any further.
const FIRST_DAMPING: f64 = 1e-3;
const LEAST_DAMPING: f64 = 1e-6;
const MOST_DAMPING: f64 = 1e8;
/// Above this a step is too short for its gain to tell what there is to gain.
const TRUSTED_DAMPING: f64 = 0.1;
/// A series that stuck with less than this to gain, in nats, is where it belongs.
const STUCK: f64 = 1e-2;
/// A step that promised more, in nats, leads to where the quadratic is another.
const FAR: f64 = 0.5;
/// Steps after which the quadratic is made anew no more: what Gauss and Newton leave out of it is learnt then.
const NEW: u32 = 5;
/// Curvature of a weight that does nothing, so that rounding does not send it from end to end of its range.
const IDLE: f64 = 1e-4;
/// Weights to begin from where none of the others has a positive expected value at every step: about the naive
/// forecast.
const NAIVE: Point = [0.9, 0.01, 0.01, 0.9];

/// The longest season that has all its answers side by side.
pub(super) const LONGEST: usize = 64 - SEASON;

/// Fits each series from its hint.
pub(super) fn fit(y: &Lanes, offset: &[f64], form: EtsForm, hints: &[EtsHint]) -> Vec<Outcome> {
    match SEASON + form.season {
        ..=8 => fit_within::<8>(y, offset, form, hints),
        9..=16 => fit_within::<16>(y, offset, form, hints),
        17..=32 => fit_within::<32>(y, offset, form, hints),
        _ => fit_within::<64>(y, offset, form, hints),
    }
}

fn fit_within<const W: usize>(y: &Lanes, offset: &[f64], form: EtsForm, hints: &[EtsHint]) -> Vec<Outcome> {
    let one = |answers: &mut Answers<W>, series: usize| {
        let rows = y.group(series / LANES).iter();
        answers.place(rows.map(|row| row[series % LANES]), offset[series]);
        let logs = if form.is_relative() { answers.log_values() } else { 0.0 };
        let limit = 0.5 * hints[series].limit - logs;
        let mut descent = Descent::new(form, answers, limit);
        let converged = descent.run(&hints[series]);
        let Descent { at, worth, evaluations, .. } = descent;
        Outcome {
            series,
            smoothing: smoothing_at(form, &at.point),
            start: answers.start(&at),
            sse: worth.sse,
            deviance: 2.0 * (worth.value + logs),
            converged,
            evaluations,
        }
    };
    (0..y.series()).into_par_iter().with_min_len(LANES).map_init(|| Answers::<W>::new(form), one).collect()
}

/// The way of one series.
struct Descent<'a, const W: usize> {
    form: EtsForm,
    answers: &'a mut Answers<W>,
    /// Half a deviance that it has to fall below to be of use.
    limit: f64,
    at: Unknowns,
    worth: Worth,
    damping: f64,
    evaluations: u32,
    /// Evaluations after which it gives up.
    most: u32,
    /// Steps taken.
    steps: u32,
    /// The damped Hessian, the start's columns first, on its way to a triangle.
    system: Vec<[f64; W]>,
}

/// A step and the gain that the quadratic promises for it.
struct Step<const W: usize> {
    by: [f64; W],
    promised: f64,
}

impl<'a, const W: usize> Descent<'a, W> {
    fn new(form: EtsForm, answers: &'a mut Answers<W>, limit: f64) -> Self {
        Self {
            form,
            answers,
            limit,
            at: Unknowns { point: LOWEST, slope: 0.0, season: vec![0.0; form.season] },
            worth: Worth { sse: f64::INFINITY, value: f64::INFINITY },
            damping: FIRST_DAMPING,
            evaluations: 0,
            most: EVALUATIONS,
            steps: 0,
            system: vec![[0.0; W]; W],
        }
    }

    /// Descends from the hint's most promising place, or without a limit from all of them; whether it came to its
    /// end and below the limit.
    fn run(&mut self, hint: &EtsHint) -> bool {
        let places: Vec<Unknowns> = hint.places.iter().map(|place| self.answers.hinted(place)).collect();
        if self.limit == f64::INFINITY {
            return self.run_all(places);
        }
        let mut best: Option<(f64, Unknowns, Worth, [f64; W])> = None;
        let mut hessian = Vec::new();
        let mut any = false;
        for at in places {
            if !self.look(at) {
                continue;
            }
            any = true;
            let promised = self.step(true).promised;
            let ahead = self.worth.value - promised;
            let hopeless = promised.is_nan() || self.worth.value - HOPE * promised > self.limit;
            if !hopeless && best.as_ref().is_none_or(|(other, ..)| ahead < *other) {
                best = Some((ahead, self.at.clone(), self.worth, self.answers.gradient));
                hessian.clone_from(&self.answers.hessian);
            }
        }
        if let Some((_, at, worth, gradient)) = best {
            (self.at, self.worth, self.answers.gradient) = (at, worth, gradient);
            self.answers.hessian = hessian;
            return self.descend();
        }
        !any && self.begin_anew() && self.descend()
    }

    /// Descends from every place, and keeps the lowest end.
    fn run_all(&mut self, places: Vec<Unknowns>) -> bool {
        let mut best: Option<(Unknowns, Worth, bool)> = None;
        let count = places.len();
        for (index, at) in places.into_iter().enumerate() {
            self.most = self.evaluations + MOST_EVALUATIONS;
            (self.damping, self.steps) = (FIRST_DAMPING, 0);
            let there = self.look(at) || (index + 1 == count && best.is_none() && self.begin_anew());
            if !there {
                continue;
            }
            let ended = self.descend();
            // An end counts more than a place on the way.
            let key = |worth: &Worth, ended: bool| (!ended, worth.value);
            if best.as_ref().is_none_or(|(_, worth, other)| key(&self.worth, ended) < key(worth, *other)) {
                best = Some((self.at.clone(), self.worth, ended));
            }
        }
        best.is_some_and(|(at, worth, ended)| {
            (self.at, self.worth) = (at, worth);
            ended
        })
    }

    /// Descends to the end; whether it came to it and below the limit.
    fn descend(&mut self) -> bool {
        let mut asked = false;
        loop {
            let step = self.step(true);
            let trusted = self.damping <= TRUSTED_DAMPING;
            if step.promised.is_nan() || (trusted && self.worth.value - HOPE * step.promised > self.limit) {
                return false;
            }
            let taken = self.take(&step);
            if trusted && step.promised <= SETTLED {
                // What secants made of the quadratic may promise too little: it is asked once more, made anew.
                if asked || self.steps <= NEW {
                    return self.worth.value <= self.limit;
                }
                asked = true;
                self.answers.evaluate(&self.at);
                self.evaluations += 1;
                self.answers.square();
            }
            if (!taken && self.damping > MOST_DAMPING) || self.evaluations >= self.most {
                self.damping = 0.0;
                return self.step(true).promised <= STUCK && self.worth.value <= self.limit;
            }
        }
    }

    /// Goes to a place of the series' own, at the hint's weights or about the naive forecast.
    fn begin_anew(&mut self) -> bool {
        let [near, naive] = [self.at.point, NAIVE].map(|point| self.answers.beginnings(point));
        for at in near.into_iter().chain(naive) {
            if self.look(at) {
                let step = self.step(false);
                self.take(&step);
                self.damping = FIRST_DAMPING;
                return true;
            }
        }
        false
    }

    fn look(&mut self, at: Unknowns) -> bool {
        self.worth = self.answers.evaluate(&at);
        self.evaluations += 1;
        self.at = at;
        if self.worth.value.is_finite() {
            self.answers.square();
        }
        self.worth.value.is_finite()
    }

    /// Takes a step that lowers the value, or damps the next one more.
    fn take(&mut self, step: &Step<W>) -> bool {
        let mut to = self.at.clone();
        for i in 0..4 {
            to.point[i] = (to.point[i] + step.by[i]).clamp(LOWEST[i], HIGHEST[i]);
        }
        to.slope += step.by[SLOPE];
        to.season.iter_mut().zip(&step.by[SEASON..]).for_each(|(season, by)| *season += by);
        let worth = self.answers.evaluate(&to);
        self.evaluations += 1;
        let gained = self.worth.value - worth.value;
        let taken = gained >= 1e-4 * step.promised;
        if taken {
            (self.at, self.worth) = (to, worth);
            self.steps += 1;
            if step.promised > FAR && self.steps <= NEW {
                self.answers.square();
            } else {
                let before = self.answers.gradient;
                self.answers.slope();
                self.learn(&step.by, &before);
            }
            self.damping = (0.1 * self.damping).max(LEAST_DAMPING);
        } else {
            self.damping = (8.0 * self.damping).max(FIRST_DAMPING);
        }
        taken
    }

    /// The damped BFGS update by what a step changed in the gradient.
    fn learn(&mut self, by: &[f64; W], before: &[f64; W]) {
        let used = SEASON + self.form.season;
        let product = |a: &[f64], b: &[f64; W]| a[..used].iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let change: [f64; W] = std::array::from_fn(|i| self.answers.gradient[i] - before[i]);
        let bent: [f64; W] = std::array::from_fn(|i| product(&self.answers.hessian[i], by));
        let (old, seen) = (product(&bent, by), product(&change, by));
        if old <= 0.0 {
            return;
        }
        let trust = if seen >= 0.2 * old { 1.0 } else { 0.8 * old / (old - seen) };
        let mixed: [f64; W] = std::array::from_fn(|i| trust * change[i] + (1.0 - trust) * bent[i]);
        let new = product(&mixed, by);
        for (i, row) in self.answers.hessian.iter_mut().enumerate() {
            for (j, own) in row.iter_mut().enumerate() {
                *own += mixed[i] * mixed[j] / new - bent[i] * bent[j] / old;
            }
        }
    }

    /// The damped step in the box, with the weights or without.
    fn step(&mut self, weights: bool) -> Step<W> {
        let used = SEASON + self.form.season;
        let starts = used - SLOPE;
        // The start's columns first, so that what is left is the weights' own.
        let column = |i: usize| if i < starts { SLOPE + i } else { i - starts };
        let mut right = [0.0; W];
        for i in 0..used {
            let row = &self.answers.hessian[column(i)];
            for j in 0..used {
                self.system[i][j] = row[column(j)];
            }
            self.system[i][i] *= 1.0 + self.damping;
            right[i] = -self.answers.gradient[column(i)];
        }
        self.eliminate(starts, used, &mut right);
        let mut solved = [0.0; W];
        if weights {
            let has = free(self.form);
            let inner = |i: usize, j: usize| match (i == j, self.system[starts + i][starts + j]) {
                (true, own) => own + if has[i] { IDLE } else { 1.0 },
                (_, own) => own,
            };
            let curvature = std::array::from_fn(|i| std::array::from_fn(|j| inner(i.min(j), i.max(j))));
            let gradient = std::array::from_fn(|i| -right[starts + i]);
            let step = step_in_box(self.form, &self.at.point, &gradient, &curvature);
            solved[starts..used].copy_from_slice(&step);
        }
        for k in (0..starts).rev() {
            let known: f64 = (k + 1..used).map(|i| self.system[k][i] * solved[i]).sum();
            solved[k] = if self.system[k][k] > 0.0 { (right[k] - known) / self.system[k][k] } else { 0.0 };
        }
        let mut by = [0.0; W];
        (0..used).for_each(|i| by[column(i)] = solved[i]);
        let promised = self.promised(&by);
        Step { by, promised }
    }

    /// Eliminates the start's columns from the upper triangle and the right side.
    fn eliminate(&mut self, starts: usize, used: usize, right: &mut [f64; W]) {
        for k in 0..starts {
            let (upper, lower) = self.system.split_at_mut(k + 1);
            let row = &upper[k];
            // Rounding, or a slot that nothing is seen of, may leave no positive pivot: it stays where it is.
            if row[k] <= 0.0 {
                continue;
            }
            for (i, other) in (k + 1..used).zip(lower) {
                let factor = row[i] / row[k];
                for (other, own) in other[i / 8 * 8..].iter_mut().zip(&row[i / 8 * 8..]) {
                    *other -= factor * own;
                }
                right[i] -= factor * right[k];
            }
        }
    }

    /// What the quadratic, undamped, gains by a step.
    fn promised(&self, by: &[f64; W]) -> f64 {
        let used = SEASON + self.form.season;
        let along = |i: usize| {
            let bent: f64 = self.answers.hessian[i][..used].iter().zip(by).map(|(h, by)| h * by).sum();
            by[i] * (self.answers.gradient[i] + 0.5 * bent)
        };
        -(0..used).map(along).sum::<f64>()
    }
}
