//! The fit of what is not linear in its parameters: effects that multiply the trend, S-curves; flat trends too.
//!
//! Gauss and Newton's steps: about a point the curve is replaced by its tangent, and the objective that is left,
//! Laplace priors and noise included, is minimised exactly ([`foreshadow_kernels::shrink`]). A step that does not
//! lower the true objective is damped as Levenberg and Marquardt do, so that the objective never rises. Source: Lee,
//! Sun and Saunders, "Proximal Newton-type methods for minimizing composite functions", SIAM J. Optim. 24(3), 2014.

use std::borrow::Cow;

use foreshadow_kernels::KernelError;
use foreshadow_kernels::shrink::{Moments, Prior, shrink};
use rayon::prelude::*;

use super::config::Growth;
use super::features::FURTHEST;
use super::fit::{Candidate, Fit, Found, Group, NOISE_FLOOR, NOISE_SCALE, TREND_PRECISION};
use super::logistic;
use crate::FitStatus;

/// Tangents taken; ten are usual.
const ROUND_CAP: usize = 400;
/// Dampings tried about one tangent, each four times the last.
const TRY_CAP: usize = 24;
const LEAST_DAMPING: f64 = 1e-4;
const STRETCH_CAP: u32 = 10;
/// A gain this small beside the objective, twice without damping, ends the search: ten times its rounding.
const TOLERANCE: f64 = 1e-13;
/// Noise that a series without any is left with. There the search would creep on along points that fit as
/// perfectly, as far at a time as a tangent is that exact: it is stopped.
const NO_NOISE: f64 = 1e-8;
const NO_NOISE_ROUNDS: usize = 40;
/// The range of a series beside its distance from the floor of its S-curve: below it the priors, which are on the scale
/// of that distance, hold nothing back.
const NARROWEST: f64 = 1e-6;
/// The range of a series beside its floor: less, and the digits that tell its values apart are lost below it.
const DIGITS_LEFT: f64 = 1e-10;
/// So little in so many rounds is won where data leave parameters open, such as the share of a season far longer
/// than they are: the point is as likely as the optimum, and Stan stops nats before it.
const CREEP: f64 = 0.02;
const CREEP_ROUNDS: usize = 50;

pub(super) fn fit(group: &Group<'_>, candidates: &[Candidate]) -> Result<Vec<Fit>, KernelError> {
    let columns = group.features.columns();
    let all: Vec<f64> = (0..group.shape.steps)
        .flat_map(|t| (0..columns).map(move |c| (t, c)))
        .map(|(t, c)| group.value(t, c))
        .collect();
    let time = group.time();
    let fit_one = |one: &Candidate| {
        let problem = match Problem::new(group, one, &time, &all) {
            Ok(problem) => problem,
            Err(why) => return Ok((one.series, why, None)),
        };
        Ok(match problem.solve()? {
            Some(end) if !problem.tells(&end) => {
                let at_ms = group.window.start_ms(one.series);
                (one.series, FitStatus::Input { name: "capacity".into(), at_ms }, None)
            }
            Some(end) => group.finish(one, problem.found(end)),
            None => (one.series, FitStatus::NotConverged, None),
        })
    };
    candidates.par_iter().map(fit_one).collect()
}

/// One series, scaled: its observed steps alone.
struct Problem<'a> {
    y: Vec<f64>,
    y_scale: f64,
    time: Vec<f64>,
    /// `[observed steps, columns]`.
    columns: Cow<'a, [f64]>,
    multiplies: &'a [bool],
    /// Scaled distance of capacity and floor; empty unless the trend is an S-curve.
    capacity: Vec<f64>,
    /// Rows at which the trend bends.
    knots: Vec<usize>,
    /// Parameters of the trend: the level, and the rate unless it is flat.
    lead: usize,
    prior: Prior,
}

/// The curve about a point, with its residuals.
struct Curve {
    trend: Vec<f64>,
    /// Derivative of the trend by its line; empty where they are one.
    steepness: Vec<f64>,
    /// What the trend is multiplied by.
    factor: Vec<f64>,
    residual: Vec<f64>,
    square: f64,
}

struct End {
    x: Vec<f64>,
    variance: f64,
    value: f64,
}

impl<'a> Problem<'a> {
    fn new(group: &'a Group<'_>, one: &Candidate, time: &[f64], all: &'a [f64]) -> Result<Self, FitStatus> {
        let (features, settings) = (&group.features, group.settings);
        let values = &group.window.values(one.series)[..group.shape.steps];
        let seen: Vec<usize> = (0..values.len()).filter(|&t| !values[t].is_nan()).collect();
        let mut y: Vec<f64> = seen.iter().map(|&t| values[t]).collect();
        let mut capacity = above_floor(group, one, &seen, &mut y)?;
        let most = y.iter().fold(0.0, |most: f64, y| most.max(y.abs()));
        let y_scale = if most == 0.0 { 1.0 } else { most };
        if !y_scale.is_finite() {
            return Err(FitStatus::NotConverged);
        }
        y.iter_mut().chain(&mut capacity).for_each(|value| *value /= y_scale);
        if capacity.iter().any(|capacity| *capacity >= FURTHEST) {
            let at_ms = group.window.start_ms(one.series);
            return Err(FitStatus::Input { name: "capacity".into(), at_ms });
        }
        let width = features.columns();
        let columns = if seen.len() == values.len() {
            Cow::Borrowed(all)
        } else {
            Cow::Owned(seen.iter().flat_map(|&t| &all[t * width..(t + 1) * width]).copied().collect())
        };
        let row = |&knot: &u32| seen.binary_search(&(knot as usize)).expect("changepoints are observed steps");
        let lead = if settings.growth == Growth::Flat { 1 } else { 2 };
        // An S-curve's prior of its middle is no prior of its line: `objective` has it.
        let level = if capacity.is_empty() { TREND_PRECISION } else { 0.0 };
        let trend = [level, TREND_PRECISION].into_iter().take(lead);
        let prior = Prior {
            precisions: trend.chain(features.precisions.iter().copied()).collect(),
            laplace_scale: settings.changepoint_scale,
            noise_scale: NOISE_SCALE,
            noise_floor: NOISE_FLOOR,
        };
        let knots = one.layout.knots.iter().map(row).collect();
        let time = seen.iter().map(|&t| time[t]).collect();
        Ok(Self { y, y_scale, time, columns, multiplies: &features.multiplies, capacity, knots, lead, prior })
    }

    /// From each start, and the better end; `None` where no search ended.
    fn solve(&self) -> Result<Option<End>, KernelError> {
        let mut best: Option<End> = None;
        for (level, rate) in self.starts() {
            let mut start = vec![0.0; self.prior.precisions.len() + self.knots.len()];
            start[0] = level;
            if self.lead == 2 {
                start[1] = rate;
            }
            if let Some(end) = self.descend(start)?
                && best.as_ref().is_none_or(|best| end.value < best.value)
            {
                best = Some(end);
            }
        }
        Ok(best)
    }

    /// Whether an S-curve's bounds suit the series: where they are so far from it, or so wrong, that the noise is wider
    /// than the series' whole range, a curve between them says less than a constant would. Its priors are to blame: they
    /// leave no curve flat enough for its first steps.
    fn tells(&self, end: &End) -> bool {
        let (low, high) = self.y.iter().fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(*y), high.max(*y)));
        self.capacity.is_empty() || end.variance.sqrt() <= high - low
    }

    /// Level and rate of the line: Prophet's own start, through the first and the last observation, and for a line the
    /// mean.
    fn starts(&self) -> Vec<(f64, f64)> {
        let last = self.y.len() - 1;
        let span = self.time[last] - self.time[0];
        let mean = self.y.iter().sum::<f64>() / self.y.len() as f64;
        if !self.capacity.is_empty() {
            return logistic::starts(&self.y, &self.capacity, span);
        }
        if self.lead == 1 {
            return vec![(mean, 0.0)];
        }
        let rate = (self.y[last] - self.y[0]) / span;
        vec![(mean, 0.0), (self.y[0] - rate * self.time[0], rate)]
    }

    fn descend(&self, start: Vec<f64>) -> Result<Option<End>, KernelError> {
        let mut x = start;
        let mut curve = self.curve(&x);
        let (mut value, mut variance) = self.objective(&x, curve.square);
        let (mut damping, mut small, mut before) = (0.0, 0, f64::INFINITY);
        for round in 0..ROUND_CAP {
            let (mut gram, mut cross) = self.normal_equations(&curve);
            if !self.capacity.is_empty() {
                logistic::add_middle(&mut gram, &mut cross, (x[0], x[1]), variance * TREND_PRECISION);
            }
            let moments = [Moments { count: self.y.len(), square: curve.square }];
            let slack = TOLERANCE * (self.y.len() as f64 + value.abs());
            let (mut gain, mut sound) = (None, false);
            for _ in 0..TRY_CAP {
                let step = shrink(&self.prior, &damped(&gram, cross.len(), damping), &[0], &moments, &cross, &x)?;
                let next = self.curve(&step.x);
                let (next_value, next_variance) = self.objective(&step.x, next.square);
                sound |= next_value.is_finite();
                if next_value < value {
                    let end = End { x: step.x, variance: next_variance, value: next_value };
                    let (end, next) = self.stretch(&x, end, next);
                    gain = Some(value - end.value);
                    (x, curve, value, variance) = (end.x, next, end.value, end.variance);
                    break;
                }
                if damping == 0.0 && next_value - value <= slack {
                    break; // no better point but for rounding
                }
                damping = (4.0 * damping).max(LEAST_DAMPING);
            }
            let Some(gain) = gain else {
                return Ok((sound && value.is_finite()).then_some(End { x, variance, value }));
            };
            small = if gain <= slack && damping == 0.0 { small + 1 } else { 0 };
            let mut over = small == 2 || round >= NO_NOISE_ROUNDS && variance <= NO_NOISE * NO_NOISE;
            if (round + 1) % CREEP_ROUNDS == 0 {
                over |= before - value < CREEP;
                before = value;
            }
            if over {
                return Ok(Some(End { x, variance, value }));
            }
            damping = if damping <= LEAST_DAMPING { 0.0 } else { damping / 8.0 };
        }
        Ok(None)
    }

    /// Goes on the way a step went, twice as far each time, while that lowers the objective: along a narrow bent
    /// valley, such as a small trend's times large effects, tangents alone creep.
    fn stretch(&self, from: &[f64], mut end: End, mut curve: Curve) -> (End, Curve) {
        let by: Vec<f64> = end.x.iter().zip(from).map(|(to, from)| to - from).collect();
        for doubling in 1..=STRETCH_CAP {
            let length = f64::from(1_u32 << doubling);
            let x: Vec<f64> = from.iter().zip(&by).map(|(from, by)| from + length * by).collect();
            let next = self.curve(&x);
            let (value, variance) = self.objective(&x, next.square);
            if value >= end.value || value.is_nan() {
                break;
            }
            (end, curve) = (End { x, variance, value }, next);
        }
        (end, curve)
    }

    /// The line of the trend at every row, with its bends: of an S-curve too, which is what Prophet's offsets `gamma`
    /// come to.
    fn line(&self, x: &[f64]) -> Vec<f64> {
        let bends = &x[self.prior.precisions.len()..];
        let (mut level, mut rate, mut next) = (x[0], if self.lead == 2 { x[1] } else { 0.0 }, 0);
        let of = |&now: &f64| {
            while next < bends.len() && now >= self.time[self.knots[next]] {
                rate += bends[next];
                level -= bends[next] * self.time[self.knots[next]];
                next += 1;
            }
            level + rate * now
        };
        self.time.iter().map(of).collect()
    }

    fn curve(&self, x: &[f64]) -> Curve {
        let count = self.y.len();
        let mut trend = self.line(x);
        let mut steepness = Vec::new();
        if !self.capacity.is_empty() {
            steepness.reserve(count);
            for (trend, cap) in trend.iter_mut().zip(&self.capacity) {
                let share = logistic::share(*trend);
                *trend = cap * share;
                steepness.push(cap * share * (1.0 - share));
            }
        }
        let beta = &x[self.lead..self.prior.precisions.len()];
        let (mut factor, mut residual, mut square) = (vec![1.0; count], Vec::with_capacity(count), 0.0);
        for t in 0..count {
            let mut added = 0.0;
            let row = &self.columns[t * beta.len()..(t + 1) * beta.len()];
            for ((value, beta), multiplies) in row.iter().zip(beta).zip(self.multiplies) {
                if *multiplies { factor[t] += value * beta } else { added += value * beta }
            }
            let left = self.y[t] - trend[t] * factor[t] - added;
            residual.push(left);
            square += left * left;
        }
        Curve { trend, steepness, factor, residual, square }
    }

    /// The objective with the noise that is best for it, and that noise's variance.
    fn objective(&self, x: &[f64], square: f64) -> (f64, f64) {
        let count = self.y.len() as f64;
        let Prior { precisions, laplace_scale, noise_scale, noise_floor } = &self.prior;
        let best = 2.0 * square / (count + (count * count + 4.0 * square / (noise_scale * noise_scale)).sqrt());
        let variance = best.max(noise_floor * noise_floor);
        let mut normal: f64 = precisions.iter().zip(x).map(|(precision, x)| precision * x * x / 2.0).sum();
        if !self.capacity.is_empty() {
            normal += TREND_PRECISION * logistic::middle(x[0], x[1]).powi(2) / 2.0;
        }
        let laplace: f64 = x[precisions.len()..].iter().map(|x| x.abs() / laplace_scale).sum();
        let noise = variance / (2.0 * noise_scale * noise_scale);
        (count * variance.ln() / 2.0 + square / (2.0 * variance) + normal + laplace + noise, variance)
    }

    /// The tangent's Gram and its products with the residuals. Rows go by fours, and bends that have not begun
    /// are left out.
    fn normal_equations(&self, curve: &Curve) -> (Vec<f64>, Vec<f64>) {
        let (dense, order) = (self.prior.precisions.len(), self.prior.precisions.len() + self.knots.len());
        let (mut gram, mut cross) = (vec![0.0; order * order], vec![0.0; order]);
        let mut rows = vec![vec![0.0; order]; 4];
        let mut begun = 0;
        for start in (0..self.y.len()).step_by(4) {
            let end = (start + 4).min(self.y.len());
            while begun < self.knots.len() && self.knots[begun] < end {
                begun += 1;
            }
            let width = dense + begun;
            for (row, t) in rows.iter_mut().zip(start..start + 4) {
                if t < end { self.tangent(curve, t, &mut row[..width]) } else { row[..width].fill(0.0) }
            }
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| &rows[i][..width]);
            for i in 0..width {
                let target = &mut gram[i * order..i * order + width];
                for (j, target) in target.iter_mut().enumerate().skip(i) {
                    *target += (a[i] * a[j] + b[i] * b[j]) + (c[i] * c[j] + d[i] * d[j]);
                }
            }
            for (row, residual) in rows.iter().zip(&curve.residual[start..end]) {
                for (cross, value) in cross.iter_mut().zip(&row[..width]) {
                    *cross += value * residual;
                }
            }
        }
        for i in 0..order {
            for j in 0..i {
                gram[i * order + j] = gram[j * order + i];
            }
        }
        (gram, cross)
    }

    /// Derivatives of the curve at a row by every parameter.
    fn tangent(&self, curve: &Curve, t: usize, row: &mut [f64]) {
        let now = self.time[t];
        let by_line = curve.factor[t] * curve.steepness.get(t).copied().unwrap_or(1.0);
        row[0] = by_line;
        if self.lead == 2 {
            row[1] = by_line * now;
        }
        let dense = self.prior.precisions.len();
        let columns = &self.columns[t * self.multiplies.len()..];
        for ((target, value), multiplies) in row[self.lead..dense].iter_mut().zip(columns).zip(self.multiplies) {
            *target = if *multiplies { value * curve.trend[t] } else { *value };
        }
        for (target, &knot) in row[dense..].iter_mut().zip(&self.knots) {
            *target = by_line * (now - self.time[knot]).max(0.0);
        }
    }

    fn found(&self, end: End) -> Found {
        let (dense, delta) = end.x.split_at(self.prior.precisions.len());
        let rate = if self.lead == 2 { dense[1] } else { 0.0 };
        let m = if self.capacity.is_empty() { dense[0] } else { logistic::middle(dense[0], rate) };
        let smooth = [m, rate].into_iter().chain(dense[self.lead..].iter().copied()).collect();
        let (delta, sigma) = (delta.to_vec(), end.variance.sqrt());
        Found { smooth, delta, sigma, y_scale: self.y_scale, converged: true }
    }
}

/// Takes the floor from the observed values of an S-curve, and returns the capacity above it; else nothing.
fn above_floor(group: &Group<'_>, one: &Candidate, seen: &[usize], y: &mut [f64]) -> Result<Vec<f64>, FitStatus> {
    let Growth::Logistic { capacity: above, floor } = &group.settings.growth else { return Ok(Vec::new()) };
    let lacking = |name: &str, at_ms| FitStatus::Input { name: name.into(), at_ms };
    let (name, start_ms) = (group.window.name(one.series), group.window.start_ms(one.series));
    let (low, high) = y.iter().fold((f64::MAX, f64::MIN), |(low, high), y| (low.min(*y), high.max(*y)));
    let range = high - low;
    let mut capacity = Vec::with_capacity(y.len());
    for (y, &t) in y.iter_mut().zip(seen) {
        let at_ms = start_ms + t as i64 * group.window.step_ms();
        let (cap, floor) = logistic::bounds(above, floor.as_ref(), name, at_ms).map_err(|name| lacking(name, at_ms))?;
        if (*y - floor).abs() > range / NARROWEST || floor.abs() > range / DIGITS_LEFT {
            return Err(lacking("floor", at_ms));
        }
        *y -= floor;
        capacity.push(cap - floor);
    }
    Ok(capacity)
}

/// A Gram whose diagonal is larger by a share of itself.
fn damped(gram: &[f64], order: usize, damping: f64) -> Cow<'_, [f64]> {
    if damping == 0.0 {
        return Cow::Borrowed(gram);
    }
    let mut damped = gram.to_vec();
    damped.iter_mut().step_by(order + 1).for_each(|own| *own *= 1.0 + damping);
    Cow::Owned(damped)
}
