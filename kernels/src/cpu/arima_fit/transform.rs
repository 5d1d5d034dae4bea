//! Stationary and invertible coefficients from free numbers, by partial autocorrelations.

use crate::ArmaOrder;
use crate::arima_fit::MAX_BLOCK;

/// The largest partial autocorrelation: a root of modulus 1.00001 for a polynomial of one coefficient.
const LARGEST: f64 = 0.999_99;
/// The largest partial autocorrelation that a search begins from.
const INSIDE: f64 = 0.98;
/// Free numbers are held inside this: past it their coefficient no longer moves.
pub(super) const FARTHEST: f64 = 6.0;

/// Coefficients of one polynomial `1 - a₁B - …` and their derivatives, `by[j][i]` of coefficient `i` by free number
/// `j`.
pub(super) struct Block {
    pub(super) coefficients: [f64; MAX_BLOCK],
    pub(super) by: [[f64; MAX_BLOCK]; MAX_BLOCK],
}

/// The Durbin-Levinson recursion from partial autocorrelations `tanh` of the free numbers.
///
/// Source: Jones, Maximum likelihood fitting of ARMA models to time series with missing observations,
/// Technometrics 22(3), 1980.
pub(super) fn block(free: &[f64]) -> Block {
    let mut block = Block { coefficients: [0.0; MAX_BLOCK], by: [[0.0; MAX_BLOCK]; MAX_BLOCK] };
    for (j, free) in free.iter().enumerate() {
        let partial = LARGEST * free.tanh();
        let slope = LARGEST - partial * partial / LARGEST;
        let before = block.coefficients;
        for i in 0..j {
            block.coefficients[i] = before[i] - partial * before[j - 1 - i];
            block.by[j][i] = -slope * before[j - 1 - i];
        }
        for by in &mut block.by[..j] {
            let before = *by;
            for i in 0..j {
                by[i] = before[i] - partial * before[j - 1 - i];
            }
        }
        block.coefficients[j] = partial;
        block.by[j][j] = slope;
    }
    block
}

/// The coefficients of a model at free numbers, φ, Φ, θ and Θ one after the other.
pub(super) fn coefficients(order: ArmaOrder, free: &[f64]) -> Vec<f64> {
    let mut all = Vec::with_capacity(free.len());
    for_blocks(order, |from, count, sign| {
        let block = block(&free[from..from + count]);
        all.extend(block.coefficients[..count].iter().map(|c| sign * c));
    });
    all
}

/// Free numbers whose coefficients are these, or near them where a root lies on the wrong side of the unit circle.
pub(super) fn free_numbers(order: ArmaOrder, coefficients: &[f64]) -> Vec<f64> {
    let mut free = vec![0.0; coefficients.len()];
    for_blocks(order, |from, count, sign| {
        let mut a: Vec<f64> = coefficients[from..from + count].iter().map(|c| sign * c).collect();
        while let Some(last) = a.pop() {
            let partial = last.clamp(-INSIDE, INSIDE);
            let before = a.clone();
            for i in 0..a.len() {
                a[i] = (before[i] + partial * before[a.len() - 1 - i]) / (1.0 - partial * partial);
            }
            free[from + a.len()] = (partial / LARGEST).atanh();
        }
    });
    free
}

/// Turns derivatives by the coefficients into derivatives by the free numbers: a gradient and a symmetric matrix of
/// second ones, both in place; no matrix, no work on it.
pub(super) fn pull_back(order: ArmaOrder, free: &[f64], gradient: &mut [f64], products: &mut [f64]) {
    let count = free.len();
    for_blocks(order, |from, len, sign| {
        let block = block(&free[from..from + len]);
        let turn =
            |values: [f64; MAX_BLOCK], j: usize| (0..len).map(|i| sign * block.by[j][i] * values[i]).sum::<f64>();
        let mut own = [0.0; MAX_BLOCK];
        own[..len].copy_from_slice(&gradient[from..from + len]);
        for j in 0..len {
            gradient[from + j] = turn(own, j);
        }
        for other in 0..if products.is_empty() { 0 } else { count } {
            for i in 0..len {
                own[i] = products[(from + i) * count + other];
            }
            for j in 0..len {
                products[(from + j) * count + other] = turn(own, j);
            }
        }
        for other in 0..if products.is_empty() { 0 } else { count } {
            for i in 0..len {
                own[i] = products[other * count + from + i];
            }
            for j in 0..len {
                products[other * count + from + j] = turn(own, j);
            }
        }
    });
}

/// Calls with each polynomial's first coefficient, count and sign: a moving average adds where the recursion's
/// polynomial subtracts.
fn for_blocks(order: ArmaOrder, mut work: impl FnMut(usize, usize, f64)) {
    let mut from = 0;
    for (count, sign) in order.blocks().into_iter().zip([1.0, 1.0, -1.0, -1.0]) {
        work(from, count, sign);
        from += count;
    }
}

impl ArmaOrder {
    /// Whether every root of each polynomial of two or more coefficients lies outside a circle of modulus `1 + margin`,
    /// the lag being the polynomial's own.
    pub(crate) fn is_clear_of_unit_circle(self, coefficients: &[f64], margin: f64) -> bool {
        let order = self;
        let mut clear = true;
        for_blocks(order, |from, count, sign| {
            let mut power = 1.0;
            let scaled: Vec<f64> = coefficients[from..from + count]
                .iter()
                .map(|c| {
                    power *= 1.0 + margin;
                    sign * c * power
                })
                .collect();
            clear &= count < 2 || is_stationary(&scaled);
        });
        clear
    }
}

/// Whether `1 - a₁B - …` has all its roots outside the unit circle: the recursion of [`block`] run back.
fn is_stationary(coefficients: &[f64]) -> bool {
    let mut a = coefficients.to_vec();
    while let Some(partial) = a.pop() {
        let left = 1.0 - partial * partial;
        if left.is_nan() || left <= 0.0 {
            return false;
        }
        let n = a.len();
        let before = a.clone();
        for i in 0..n {
            a[i] = (before[i] + partial * before[n - 1 - i]) / left;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_partial_autocorrelations_make_the_textbook_coefficients() {
        let (first, second): (f64, f64) = (0.3, -0.7);
        let block = block(&[first, second]);
        let (r1, r2) = (LARGEST * first.tanh(), LARGEST * second.tanh());
        assert!((block.coefficients[0] - r1 * (1.0 - r2)).abs() < 1e-15);
        assert_eq!(block.coefficients[1], r2);
    }

    #[test]
    fn derivatives_are_differences() {
        let free = [0.4, -0.9, 0.2, 1.1];
        let at = block(&free);
        for j in 0..4 {
            let mut more = free;
            more[j] += 1e-6;
            let moved = block(&more);
            for i in 0..4 {
                let slope = (moved.coefficients[i] - at.coefficients[i]) / 1e-6;
                // A forward difference is off by half the second derivative, of order one, times 1e-6.
                assert!((slope - at.by[j][i]).abs() < 1e-5, "{i} {j}: {slope} {}", at.by[j][i]);
            }
        }
    }

    #[test]
    fn free_numbers_come_back() {
        let order = ArmaOrder { ar: 3, seasonal_ar: 1, ma: 2, seasonal_ma: 0, season: 4 };
        let free = [0.4, -0.9, 0.2, 1.1, -0.3, 0.8];
        let back = free_numbers(order, &coefficients(order, &free));
        assert!(free.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-12), "{back:?}");
        assert!(free_numbers(order, &[3.0; 6]).iter().all(|v| v.is_finite()));
    }

    #[test]
    fn roots_on_either_side_are_told_apart() {
        let order = ArmaOrder { ar: 2, season: 1, ..ArmaOrder::default() };
        // (1 - 0.98B)(1 - 0.5B): a root at 1.0204.
        let near = [1.48, -0.49];
        assert!(order.is_clear_of_unit_circle(&near, 0.01) && !order.is_clear_of_unit_circle(&near, 0.03));
        let free = [3.0, -5.0];
        assert!(is_stationary(&coefficients(order, &free)));
    }
}
