//! Stationary and invertible coefficients from free numbers, by partial autocorrelations.

use crate::ArmaOrder;
use crate::arima_fit::MAX_BLOCK;
use crate::arima_fit::limits::{FARTHEST, INSIDE, LARGEST};

/// Coefficients of one polynomial `1 - a₁B - …` and their derivatives, `by[j][i]` of coefficient `i` by free number
/// `j`.
struct Block {
    coefficients: [f64; MAX_BLOCK],
    by: [[f64; MAX_BLOCK]; MAX_BLOCK],
}

/// One exponential; the library's takes twice as long to be exact where the result is next to nothing.
fn tanh(x: f64) -> f64 {
    1.0 - 2.0 / ((2.0 * x).exp() + 1.0)
}

/// The Durbin-Levinson recursion from partial autocorrelations `tanh` of the free numbers.
///
/// Source: Jones, Maximum likelihood fitting of ARMA models to time series with missing observations,
/// Technometrics 22(3), 1980.
fn block(free: &[f64]) -> Block {
    let mut block = Block { coefficients: [0.0; MAX_BLOCK], by: [[0.0; MAX_BLOCK]; MAX_BLOCK] };
    for (j, free) in free.iter().enumerate() {
        let partial = LARGEST * tanh(*free);
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

/// The coefficients that a model may have: no polynomial of two or more has a root within a margin of the unit circle.
#[derive(Clone, Copy)]
pub(super) struct Region {
    pub(super) order: ArmaOrder,
    pub(super) margin: f64,
}

/// A model's coefficients at free numbers and their derivatives, `[coefficients, free numbers]`.
pub(super) struct Place {
    region: Region,
    pub(super) coefficients: Vec<f64>,
    jacobian: Vec<f64>,
}

impl Region {
    /// The coefficients at free numbers, φ, Φ, θ and Θ one after the other.
    pub(super) fn place(self, free: &[f64]) -> Place {
        let count = free.len();
        let mut place = Place { region: self, coefficients: vec![0.0; count], jacobian: vec![0.0; count * count] };
        self.for_blocks(|from, len, sign, shrink| {
            let block = block(&free[from..from + len]);
            let mut share = sign;
            for i in 0..len {
                share *= shrink;
                place.coefficients[from + i] = share * block.coefficients[i];
                for j in 0..len {
                    place.jacobian[(from + i) * count + from + j] = share * block.by[j][i];
                }
            }
        });
        place
    }

    /// Free numbers whose coefficients are these, or near them where a root lies on the wrong side.
    pub(super) fn free_numbers(self, coefficients: &[f64]) -> Vec<f64> {
        let mut free = vec![0.0; coefficients.len()];
        self.for_blocks(|from, len, sign, shrink| {
            let inside = |partial: f64| Some(partial.clamp(-INSIDE, INSIDE));
            let own = &coefficients[from..from + len];
            free[from..from + len].copy_from_slice(&inverse(own, sign, shrink, inside).expect("a clamp is an answer"));
        });
        free
    }

    /// Calls with each polynomial's first coefficient, count and sign, and by what a coefficient shrinks a lag to keep
    /// the margin: a moving average adds where the recursion's polynomial subtracts.
    fn for_blocks(self, mut work: impl FnMut(usize, usize, f64, f64)) {
        let mut from = 0;
        for (len, sign) in self.order.blocks().into_iter().zip([1.0, 1.0, -1.0, -1.0]) {
            work(from, len, sign, if len > 1 { 1.0 / (1.0 + self.margin) } else { 1.0 });
            from += len;
        }
    }
}

impl Place {
    /// Free numbers of the place that a step in free numbers points at, the way there straight in the coefficients: what
    /// is left of a series is linear in most of them, and bends with the free numbers near the unit circle. Where a
    /// polynomial would leave the region its free numbers take the step as it is.
    pub(super) fn ahead(&self, step: &[f64], otherwise: Vec<f64>) -> Vec<f64> {
        let count = step.len();
        let mut free = otherwise;
        self.region.for_blocks(|from, len, sign, shrink| {
            let moved: Vec<f64> = (from..from + len)
                .map(|i| {
                    let by = &self.jacobian[i * count..][from..from + len];
                    self.coefficients[i] + by.iter().zip(&step[from..]).map(|(by, step)| by * step).sum::<f64>()
                })
                .collect();
            let farthest = LARGEST * FARTHEST.tanh();
            let inside = |partial: f64| (partial.abs() <= farthest).then_some(partial);
            if let Some(own) = inverse(&moved, sign, shrink, inside) {
                free[from..from + len].copy_from_slice(&own);
            }
        });
        free
    }

    /// Turns derivatives by the coefficients into derivatives by the free numbers: a gradient and a symmetric matrix of
    /// second ones, both in place; no matrix, no work on it.
    pub(super) fn pull_back(&self, gradient: &mut [f64], products: &mut [f64]) {
        let count = gradient.len();
        let rows = if products.is_empty() { 0 } else { count };
        self.region.for_blocks(|from, len, _, _| {
            let turn = |values: &[f64; MAX_BLOCK], j: usize| -> f64 {
                (0..len).map(|i| self.jacobian[(from + i) * count + from + j] * values[i]).sum()
            };
            let mut own = [0.0; MAX_BLOCK];
            own[..len].copy_from_slice(&gradient[from..from + len]);
            (0..len).for_each(|j| gradient[from + j] = turn(&own, j));
            for other in 0..rows {
                (0..len).for_each(|i| own[i] = products[(from + i) * count + other]);
                (0..len).for_each(|j| products[(from + j) * count + other] = turn(&own, j));
            }
            for other in 0..rows {
                own[..len].copy_from_slice(&products[other * count + from..][..len]);
                (0..len).for_each(|j| products[other * count + from + j] = turn(&own, j));
            }
        });
    }
}

/// The free numbers of one polynomial, the recursion of [`block`] run back; `None` where a partial autocorrelation is
/// not let pass.
fn inverse(coefficients: &[f64], sign: f64, shrink: f64, pass: impl Fn(f64) -> Option<f64>) -> Option<Vec<f64>> {
    let mut share = sign;
    let mut grown = |c: &f64| {
        share /= shrink;
        share * c
    };
    let mut a: Vec<f64> = coefficients.iter().map(&mut grown).collect();
    let mut free = vec![0.0; a.len()];
    while let Some(last) = a.pop() {
        let partial = pass(last)?;
        let before = a.clone();
        for i in 0..a.len() {
            a[i] = (before[i] + partial * before[a.len() - 1 - i]) / (1.0 - partial * partial);
        }
        free[a.len()] = (partial / LARGEST).atanh();
    }
    Some(free)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(ar: usize, seasonal_ar: usize, ma: usize, margin: f64) -> Region {
        Region { order: ArmaOrder { ar, seasonal_ar, ma, seasonal_ma: 0, season: 4 }, margin }
    }

    #[test]
    fn two_partial_autocorrelations_make_the_textbook_coefficients() {
        let (first, second): (f64, f64) = (0.3, -0.7);
        let block = block(&[first, second]);
        let (r1, r2) = (LARGEST * first.tanh(), LARGEST * second.tanh());
        assert!((block.coefficients[0] - r1 * (1.0 - r2)).abs() < 1e-15);
        assert!((block.coefficients[1] - r2).abs() < 1e-15);
    }

    #[test]
    fn derivatives_are_differences() {
        let free = [0.4, -0.9, 0.2, 1.1, -0.3, 0.8];
        let region = region(4, 0, 2, 0.01);
        let at = region.place(&free);
        for j in 0..6 {
            let mut more = free;
            more[j] += 1e-6;
            let moved = region.place(&more);
            for i in 0..6 {
                let slope = (moved.coefficients[i] - at.coefficients[i]) / 1e-6;
                let by = at.jacobian[6 * i + j];
                // A forward difference is off by half the second derivative, of order one, times 1e-6.
                assert!((slope - by).abs() < 1e-5, "{i} {j}: {slope} {by}");
            }
        }
    }

    #[test]
    fn free_numbers_come_back() {
        for margin in [0.0, 0.01] {
            let region = region(3, 1, 2, margin);
            let free = [0.4, -0.9, 0.2, 1.1, -0.3, 0.8];
            let back = region.free_numbers(&region.place(&free).coefficients);
            assert!(free.iter().zip(&back).all(|(a, b)| (a - b).abs() < 1e-12), "{back:?}");
            assert!(region.free_numbers(&[3.0; 6]).iter().all(|v| v.is_finite()));
        }
    }

    #[test]
    fn a_step_is_straight_in_the_coefficients_and_stays_inside() {
        let region = region(3, 0, 2, 0.01);
        let free = [0.4, -0.9, 0.2, -0.3, 0.8];
        let (place, step) = (region.place(&free), [0.1, -0.2, 0.05, 0.1, 0.1]);
        let otherwise: Vec<f64> = free.iter().zip(&step).map(|(free, step)| free + step).collect();
        let there = region.place(&place.ahead(&step, otherwise.clone()));
        for i in 0..5 {
            let straight: f64 = (0..5).map(|j| place.jacobian[5 * i + j] * step[j]).sum();
            assert!((there.coefficients[i] - place.coefficients[i] - straight).abs() < 1e-12, "{i}");
        }
        let far = [0.1, -3.0, 0.05, 0.1, 0.1];
        let ahead = place.ahead(&far, otherwise.clone());
        assert_eq!(ahead[..3], otherwise[..3], "a polynomial that would leave");
        assert!(ahead[3] != otherwise[3], "one that would not");
    }

    #[test]
    fn no_root_comes_within_the_margin() {
        // (1 - B/r)(1 + B/r) at its largest has its roots at the margin's edge.
        let place = region(2, 0, 0, 0.01).place(&[0.0, FARTHEST]);
        let root = 1.0 / place.coefficients[1].sqrt();
        assert!((root - 1.01).abs() < 1e-4, "{root}");
        let alone = region(1, 0, 0, 0.01).place(&[FARTHEST]);
        assert!(alone.coefficients[0] > 0.9999, "a polynomial of one coefficient keeps none");
    }
}
