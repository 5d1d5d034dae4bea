//! The exact Gaussian likelihood of a short ARMA model without a season, its gradient and about its curvature.
//!
//! What came before the first step reaches a model through as many numbers `v` as its longer side has coefficients:
//! `φ(B) y = θ(B) e + v`, both sides zero before the first step and `v` zero after those numbers. So the residuals are
//! `e₀ - H v`, `e₀` those of nothing before and `H` the shifted impulse responses of `1/θ(B)`, and the exact likelihood
//! is that of a regression on `H` whose coefficients are drawn from `v`'s covariance `V`:
//!
//! ```text
//! S = min over v of |e₀ - H v|² + v' V⁻¹ v,    log |Σ| = log |I + V H'H|
//! ```
//!
//! A handful of filters and correlations give all of it with the derivatives. Source: Ljung and Box, The likelihood
//! function of stationary autoregressive-moving average models, Biometrika 66(2), 1979.

mod columns;

use pulp::{Arch, Simd, WithSimd};

use self::columns::{LAGS, PAD, correlate, divided, multiply, past_end, total};
use super::super::fused;
use super::search::Look;
use super::stationary::{self, REACH, Stationary};
use crate::ArmaOrder;
use crate::arima_fit::log_likelihood;

/// An impulse response this small counts as gone.
const GONE: f64 = 1e-13;

type Square = [[f64; REACH]; REACH];

/// A series and room for what is filtered of it, each between zeros.
pub(super) struct Presample {
    steps: usize,
    constant: bool,
    y: Vec<f64>,
    /// `y/θ` and the same of a column of ones.
    z: Vec<f64>,
    ones: Vec<f64>,
    /// Residuals, and those of the ones.
    e: Vec<f64>,
    c: Vec<f64>,
    /// `e/θ`.
    w: Vec<f64>,
    /// `1/θ` and `1/θ²`, up to where they are gone.
    h: Vec<f64>,
    g: Vec<f64>,
    kept: usize,
}

/// A model's coefficients, zeros past its order.
struct Model {
    phi: [f64; REACH],
    theta: [f64; REACH],
    /// Numbers that the time before the first step reaches it by.
    reach: usize,
    order: ArmaOrder,
}

/// What is known of `v` at a place.
struct Before {
    /// `H'H`, the posterior covariance `(V⁻¹ + H'H)⁻¹`, and `H'` of the ones' residuals.
    inner: Square,
    posterior: Square,
    of_ones: [f64; REACH],
    /// Its mean and `V⁻¹` times that, with the constant at its best.
    mean: [f64; REACH],
    pulled: [f64; REACH],
    constant: f64,
    /// What of the ones' squares it leaves.
    ones: f64,
    squares: f64,
    logs: f64,
}

impl Presample {
    /// Whether a model is short enough.
    pub(super) fn fits(order: ArmaOrder) -> bool {
        order.seasonal_ar + order.seasonal_ma == 0 && order.ar <= REACH && order.ma <= REACH
    }

    /// Room for a series that has been differenced and centred.
    pub(super) fn new(values: &[f64], constant: bool) -> Self {
        let room = || vec![0.0; PAD + values.len().next_multiple_of(16) + PAD];
        let mut y = room();
        y[PAD..PAD + values.len()].copy_from_slice(values);
        let [z, ones, e, c, w, h, g] = std::array::from_fn(|_| room());
        Self { steps: values.len(), constant, y, z, ones, e, c, w, h, g, kept: 0 }
    }

    /// The negative log-likelihood at coefficients, its gradient by them and, where asked for, its squares' curvature.
    pub(super) fn look(&mut self, order: ArmaOrder, coefficients: &[f64], curved: bool) -> Look {
        Arch::new().dispatch(At { presample: self, order, coefficients, curved })
    }

    #[inline(always)]
    fn run<const FMA: bool>(&mut self, order: ArmaOrder, coefficients: &[f64], curved: bool) -> Look {
        let (ar, ma) = coefficients.split_at(order.ar);
        let fill = |taps: &[f64]| std::array::from_fn(|i| taps.get(i).copied().unwrap_or(0.0));
        let model = Model { phi: fill(ar), theta: fill(ma), reach: order.ar.max(order.ma), order };
        match order.ma {
            0 => self.divide::<FMA, 0>(&model),
            1 => self.divide::<FMA, 1>(&model),
            2 => self.divide::<FMA, 2>(&model),
            3 => self.divide::<FMA, 3>(&model),
            4 => self.divide::<FMA, 4>(&model),
            _ => self.divide::<FMA, 5>(&model),
        }
        let stationary = Stationary::new::<FMA>(ar, ma);
        multiply::<FMA>(&self.z, &mut self.e, &model.phi, self.steps);
        if self.constant {
            multiply::<FMA>(&self.ones, &mut self.c, &model.phi, self.steps);
        }
        let mut before = self.before::<FMA>(model.reach, &stationary.before());
        self.smooth::<FMA>(&before);
        before.squares += total::<FMA>(&self.e, &self.e, self.steps);
        match model.order.ma {
            0 => self.divide_again::<FMA, 0>(&model),
            1 => self.divide_again::<FMA, 1>(&model),
            2 => self.divide_again::<FMA, 2>(&model),
            3 => self.divide_again::<FMA, 3>(&model),
            4 => self.divide_again::<FMA, 4>(&model),
            _ => self.divide_again::<FMA, 5>(&model),
        }
        let n = self.steps as f64;
        let weight = n / before.squares.max(f64::MIN_POSITIVE);
        let mut gradient = self.slopes::<FMA>(&model, &before, weight);
        let curvature = if curved { self.products::<FMA>(&model, &before, weight) } else { Vec::new() };
        let (by_phi, by_theta) = stationary.pull_back::<FMA>(&before.slopes(model.reach, weight));
        let through = by_phi[..order.ar].iter().chain(&by_theta[1..=order.ma]);
        gradient.iter_mut().zip(through).for_each(|(slope, more)| *slope += more);
        Look { value: -log_likelihood(n, before.squares, before.logs), gradient, curvature }
    }

    /// `y/θ`, `1/θ` and its sums.
    #[inline(always)]
    fn divide<const FMA: bool, const TAPS: usize>(&mut self, model: &Model) {
        let end = PAD + self.steps;
        let mut past = [0.0; TAPS];
        for (y, z) in self.y[PAD..end].iter().zip(&mut self.z[PAD..end]) {
            *z = divided::<FMA, TAPS>(*y, &model.theta, &mut past);
        }
        let (mut past, mut input, mut sum) = ([0.0; TAPS], 1.0, 0.0);
        self.kept = self.steps;
        for t in 0..self.steps {
            let next = divided::<FMA, TAPS>(input, &model.theta, &mut past);
            input = 0.0;
            (self.h[PAD + t], sum) = (next, sum + next);
            self.ones[PAD + t] = sum;
            if past.iter().all(|v| v.abs() < GONE) {
                self.kept = t + 1;
                break;
            }
        }
        self.ones[PAD + self.kept..end].fill(sum);
        self.h[PAD + self.kept..].fill(0.0);
    }

    /// `e/θ` and `1/θ²`.
    #[inline(always)]
    fn divide_again<const FMA: bool, const TAPS: usize>(&mut self, model: &Model) {
        let end = PAD + self.steps;
        let mut past = [0.0; TAPS];
        for (e, w) in self.e[PAD..end].iter().zip(&mut self.w[PAD..end]) {
            *w = divided::<FMA, TAPS>(*e, &model.theta, &mut past);
        }
        let mut past = [0.0; TAPS];
        let end = PAD + self.kept;
        for (h, g) in self.h[PAD..end].iter().zip(&mut self.g[PAD..end]) {
            *g = divided::<FMA, TAPS>(*h, &model.theta, &mut past);
        }
        self.g[end..].fill(0.0);
    }

    /// The regression on what came before.
    #[inline(always)]
    fn before<const FMA: bool>(&self, reach: usize, spread: &stationary::Square) -> Before {
        let (h, kept) = (&self.h, self.kept);
        let own = correlate::<FMA>(h, h, 0, kept);
        let mut inner = [[0.0; REACH]; REACH];
        for a in 0..reach {
            for b in 0..=a {
                let lag = a - b;
                let past_end: f64 = (self.steps - a.min(self.steps)..self.steps.saturating_sub(lag))
                    .map(|s| h[PAD + s] * h[PAD + s + lag])
                    .sum();
                inner[a][b] = own[lag] - past_end;
                inner[b][a] = inner[a][b];
            }
        }
        let first: [f64; LAGS] = correlate::<FMA>(h, &self.e, 0, kept);
        let (root, factor, logs) = posterior_root(reach, spread, &inner);
        let on_root = |v: &[f64]| -> [f64; REACH] {
            std::array::from_fn(|k| if k < reach { (0..reach).map(|i| root[k][i] * v[i]).sum() } else { 0.0 })
        };
        let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let (mut constant, mut left, mut of_ones) = (0.0, 0.0, [0.0; LAGS]);
        if self.constant {
            of_ones = correlate::<FMA>(h, &self.c, 0, kept);
            let ones = on_root(&of_ones);
            left = total::<FMA>(&self.c, &self.c, self.steps) - dot(&ones, &ones);
            let cross = total::<FMA>(&self.e, &self.c, self.steps) - dot(&on_root(&first), &ones);
            constant = if left > 0.0 { cross / left } else { 0.0 };
        }
        let right: [f64; REACH] = std::array::from_fn(|i| first[i] - constant * of_ones[i]);
        let scaled = on_root(&right);
        let mut drawn = [0.0; REACH];
        for i in (0..reach).rev() {
            let known: f64 = (i + 1..reach).map(|k| factor[k][i] * drawn[k]).sum();
            drawn[i] = (scaled[i] - known) / factor[i][i];
        }
        let mut mean = [0.0; REACH];
        let mut posterior = [[0.0; REACH]; REACH];
        for a in 0..reach {
            mean[a] = (0..reach).map(|k| root[k][a] * scaled[k]).sum();
            for b in 0..reach {
                posterior[a][b] = (0..reach).map(|k| root[k][a] * root[k][b]).sum();
            }
        }
        let pulled = std::array::from_fn(|i| right[i] - dot(&inner[i], &mean));
        let of_ones = std::array::from_fn(|i| of_ones[i]);
        // What is left of the residuals is added once they are known: a difference of two sums would lose its digits.
        Before { inner, posterior, of_ones, mean, pulled, constant, ones: left, squares: dot(&drawn, &drawn), logs }
    }

    /// Takes the constant and what came before out of the residuals.
    #[inline(always)]
    fn smooth<const FMA: bool>(&mut self, before: &Before) {
        let end = PAD + self.steps;
        if self.constant {
            for ((z, e), (ones, c)) in self.z[PAD..end]
                .iter_mut()
                .zip(&mut self.e[PAD..end])
                .zip(self.ones[PAD..end].iter().zip(&self.c[PAD..end]))
            {
                *z = fused::<FMA>(-before.constant, *ones, *z);
                *e = fused::<FMA>(-before.constant, *c, *e);
            }
        }
        let end = PAD + (self.kept + REACH).min(self.steps);
        for t in PAD..end {
            let mut sum = self.e[t];
            for lag in 0..REACH {
                sum = fused::<FMA>(-before.mean[lag], self.h[t - lag], sum);
            }
            self.e[t] = sum;
        }
    }

    /// Derivatives by φ and θ, `V` held.
    #[inline(always)]
    fn slopes<const FMA: bool>(&self, model: &Model, before: &Before, weight: f64) -> Vec<f64> {
        let (n, kept) = (self.steps, self.kept);
        let by_phi = correlate::<FMA>(&self.z, &self.e, 0, n);
        let by_theta = correlate::<FMA>(&self.w, &self.e, 0, n);
        let mut gradient: Vec<f64> = by_phi[1..=model.order.ar].iter().map(|sum| -weight * sum).collect();
        let near = correlate::<FMA>(&self.g, &self.h, 0, kept);
        let far = correlate::<FMA>(&self.g, &self.h, LAGS, kept);
        let ahead = correlate::<FMA>(&self.h, &self.g, 0, kept);
        let at_end = kept + 2 * REACH > n;
        for j in 1..=model.order.ma {
            // Half the derivative of the logarithm: minus the posterior covariance times H' and H's derivative.
            let mut sum = 0.0;
            for a in 0..model.reach {
                for b in 0..model.reach {
                    let c = b + j;
                    let mut product = match c.checked_sub(a) {
                        Some(lag) if lag < LAGS => near[lag],
                        Some(lag) => far[lag - LAGS],
                        None => ahead[a - c],
                    };
                    if at_end {
                        product -= past_end(&self.h, &self.g, n, (a, c));
                    }
                    sum += before.posterior[a][b] * product;
                }
            }
            gradient.push(-weight * by_theta[j] - sum);
        }
        gradient
    }

    /// Products of the residuals' derivatives once what came before and the constant are taken out. Where roots nearly
    /// cancel little is left, of which the few terms past the end that a correlation counts would be most.
    #[inline(always)]
    fn products<const FMA: bool>(&self, model: &Model, before: &Before, weight: f64) -> Vec<f64> {
        let (n, kept, ar, reach) = (self.steps, self.kept, model.order.ar, model.reach);
        let count = model.order.coefficients();
        // No closures: one that is not inlined would lose the instruction set.
        let (zz, zw) = (correlate::<FMA>(&self.z, &self.z, 0, n), correlate::<FMA>(&self.z, &self.w, 0, n));
        let (wz, ww) = (correlate::<FMA>(&self.w, &self.z, 0, n), correlate::<FMA>(&self.w, &self.w, 0, n));
        let (zc, wc) = (correlate::<FMA>(&self.z, &self.c, 0, n), correlate::<FMA>(&self.w, &self.c, 0, n));
        let (zh, wh) = (correlate::<FMA>(&self.z, &self.h, 0, kept), correlate::<FMA>(&self.w, &self.h, 0, kept));
        let (hz, hw) = (correlate::<FMA>(&self.h, &self.z, 0, kept), correlate::<FMA>(&self.h, &self.w, 0, kept));
        // Whether a derivative is by φ, and its lag.
        let of = |i: usize| {
            if i < ar { (true, i + 1) } else { (false, i - ar + 1) }
        };
        let column = |phi: bool| if phi { &self.z } else { &self.w };
        let mut on_before = vec![[0.0; REACH]; count];
        let mut on_ones = vec![0.0; count];
        for i in 0..count {
            let (phi, lag) = of(i);
            for a in 0..reach {
                on_before[i][a] = match (phi, a.checked_sub(lag)) {
                    (true, Some(ahead)) => hz[ahead],
                    (true, None) => zh[lag - a],
                    (false, Some(ahead)) => hw[ahead],
                    (false, None) => wh[lag - a],
                } - past_end(column(phi), &self.h, n, (lag, a));
            }
            on_ones[i] = if phi { zc[lag] } else { wc[lag] };
        }
        let seen: Vec<[f64; REACH]> = on_before
            .iter()
            .map(|row| std::array::from_fn(|a| (0..reach).map(|b| before.posterior[a][b] * row[b]).sum()))
            .collect();
        let dot = |a: &[f64; REACH], b: &[f64; REACH]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        for i in 0..count {
            on_ones[i] -= dot(&seen[i], &before.of_ones);
        }
        let mut products = vec![0.0; count * count];
        for i in 0..count {
            for j in i..count {
                let ((left, a), (right, b)) = (of(i), of(j));
                let product = match (left, right, a >= b) {
                    (true, true, _) => zz[a.abs_diff(b)],
                    (false, false, _) => ww[a.abs_diff(b)],
                    (_, _, true) => zw[a - b],
                    _ => wz[b - a],
                } - past_end(column(left), column(right), n, (a, b));
                let ones = if before.ones > 0.0 { on_ones[i] * on_ones[j] / before.ones } else { 0.0 };
                let sum = weight * (product - dot(&seen[i], &on_before[j]) - ones);
                (products[i * count + j], products[j * count + i]) = (sum, sum);
            }
        }
        products
    }
}

impl Before {
    /// Derivatives of the negative log-likelihood by `V`.
    fn slopes(&self, reach: usize, weight: f64) -> stationary::Square {
        let product = |a: &Square, b: &Square| -> Square {
            std::array::from_fn(|i| std::array::from_fn(|j| (0..reach).map(|k| a[i][k] * b[k][j]).sum()))
        };
        let known = product(&product(&self.inner, &self.posterior), &self.inner);
        let mut slopes = stationary::Square::default();
        for a in 0..reach {
            for b in 0..reach {
                slopes[a][b] = 0.5 * (self.inner[a][b] - known[a][b] - weight * self.pulled[a] * self.pulled[b]);
            }
        }
        slopes
    }
}

struct At<'a> {
    presample: &'a mut Presample,
    order: ArmaOrder,
    coefficients: &'a [f64],
    curved: bool,
}

impl WithSimd for At<'_> {
    type Output = Look;

    #[inline(always)]
    fn with_simd<V: Simd>(self, _simd: V) -> Look {
        if V::IS_SCALAR {
            self.presample.run::<false>(self.order, self.coefficients, self.curved)
        } else {
            self.presample.run::<true>(self.order, self.coefficients, self.curved)
        }
    }
}

/// A root of `(V⁻¹ + H'H)⁻¹` by rows, the factor that made it of a root of `V`, and the logarithm of `|I + V H'H|`; the
/// root of `V` may be singular.
fn posterior_root(reach: usize, spread: &stationary::Square, inner: &Square) -> (Square, Square, f64) {
    let mut root = [[0.0; REACH]; REACH];
    for j in 0..reach {
        let left = spread[j][j] - (0..j).map(|k| root[j][k] * root[j][k]).sum::<f64>();
        if left.is_nan() || left <= 1e-15 * spread[j][j] {
            continue;
        }
        root[j][j] = left.sqrt();
        for i in j + 1..reach {
            let known: f64 = (0..j).map(|k| root[i][k] * root[j][k]).sum();
            root[i][j] = (spread[i][j] - known) / root[j][j];
        }
    }
    // Cholesky of I + L'(H'H)L, and that applied to L' from the left.
    let half: Square =
        std::array::from_fn(|i| std::array::from_fn(|j| (0..reach).map(|k| inner[i][k] * root[k][j]).sum()));
    let mut factor = [[0.0; REACH]; REACH];
    let mut solved = [[0.0; REACH]; REACH];
    let mut logs = 0.0;
    for i in 0..reach {
        for j in 0..=i {
            let sum: f64 = (0..reach).map(|k| root[k][i] * half[k][j]).sum();
            let known: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let left = sum + if i == j { 1.0 } else { 0.0 } - known;
            factor[i][j] = if i == j { left.max(1.0).sqrt() } else { left / factor[j][j] };
        }
        logs += 2.0 * factor[i][i].ln();
        for column in 0..reach {
            let known: f64 = (0..i).map(|k| factor[i][k] * solved[k][column]).sum();
            solved[i][column] = (root[column][i] - known) / factor[i][i];
        }
    }
    (solved, factor, logs)
}

#[cfg(test)]
mod tests {
    use super::super::exact::{Same, sums};
    use super::super::solve::spd_solve;
    use super::super::transform::{Place, Region};
    use super::*;

    fn place(order: ArmaOrder, free: &[f64]) -> Place {
        Region { order, margin: 0.0 }.place(free)
    }

    fn value(values: &[f64], order: ArmaOrder, free: &[f64], constant: bool) -> f64 {
        let rows: Vec<[f64; 1]> = place(order, free).coefficients.iter().map(|c| [*c]).collect();
        let sums = sums(&Same(values), order, &rows, constant, None);
        let explained = if constant { sums.cross[0] * sums.cross[0] / sums.ones[0] } else { 0.0 };
        -log_likelihood(values.len() as f64, sums.squares[0] - explained, sums.logs[0])
    }

    #[test]
    fn value_and_slopes_are_the_filters() {
        let mut before = 0.0;
        let values: Vec<f64> = (0..90_i64)
            .map(|t| {
                before = 0.7 * before + ((t * t * 37) % 101) as f64 / 50.0 - 1.0;
                before
            })
            .collect();
        let all = [0.4, -0.9, 0.2, 1.1, -0.3, 0.8, 0.5, -0.2, 0.9, -0.6];
        for steps in [12, 90] {
            for (ar, ma) in (0..=5).flat_map(|ar| (0..=5).map(move |ma| (ar, ma))) {
                for (constant, edge) in [(false, 1.0), (true, 1.0), (true, 2.5)] {
                    let order = ArmaOrder { ar, ma, season: 1, ..ArmaOrder::default() };
                    // A root near the circle reaches past the last step.
                    let mut free: Vec<f64> = all[..ar + ma].to_vec();
                    free.iter_mut().for_each(|v| *v *= if v.abs() > 1.0 { edge } else { 1.0 });
                    let at = place(order, &free);
                    let mut look = Presample::new(&values[..steps], constant).look(order, &at.coefficients, true);
                    at.pull_back(&mut look.gradient, &mut []);
                    let expected = value(&values[..steps], order, &free, constant);
                    let what = format!("{steps} {order:?} {constant} {edge}");
                    assert!(
                        (look.value - expected).abs() < 1e-8 * (1.0 + expected.abs()),
                        "{what}: {}",
                        look.value - expected
                    );
                    for (i, slope) in look.gradient.iter().enumerate() {
                        let at = |by: f64| {
                            let mut moved = free.clone();
                            moved[i] += by;
                            value(&values[..steps], order, &moved, constant)
                        };
                        let difference = (at(1e-4) - at(-1e-4)) / 2e-4;
                        // Third derivatives of some hundreds times the span's square.
                        assert!(
                            (slope - difference).abs() < 1e-5 * (1.0 + difference.abs()),
                            "{what} {i}: {slope} {difference}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_value_is_the_filters_where_roots_nearly_cancel() {
        let values: Vec<f64> = (0..672_i64)
            .map(|t| (t as f64 * std::f64::consts::TAU / 24.0).sin() + ((t * t * 37) % 101) as f64 / 50.0 - 1.0)
            .collect();
        // Roots a day apart on either side, within a thousandth of the circle and of each other.
        for free in [[2.03, -3.0, 0.6, 2.85, -3.0], [2.02, -3.4, 0.5, 2.74, -3.8], [2.03, -4.8, 0.1, 2.0, -2.5]] {
            let order = ArmaOrder { ar: 3, ma: 2, season: 1, ..ArmaOrder::default() };
            for constant in [false, true] {
                let at = place(order, &free).coefficients;
                let look = Presample::new(&values, constant).look(order, &at, false);
                let expected = value(&values, order, &free, constant);
                // Squares of up to a million times what is left of them keep ten of their sixteen digits.
                assert!((look.value - expected).abs() < 1e-6, "{free:?}: {} {expected}", look.value);
                assert!(look.curvature.is_empty());
                let mut curvature = Presample::new(&values, constant).look(order, &at, true).curvature;
                (0..5).for_each(|i| curvature[6 * i] *= 1.0 + 1e-9);
                assert!(spd_solve(&mut curvature, &[0.0; 5]).is_some(), "{free:?}: a sum of squares is positive");
            }
        }
    }
}
