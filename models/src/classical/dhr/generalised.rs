//! Generalised least squares: the regression of one series whose errors are an ARIMA.

use foreshadow_kernels::ArimaFit;

use super::factor::Factor;

/// Elements of an ARMA state at most: five coefficients a side.
const WIDTH: usize = 6;
/// Doublings at most: a root of 1.0001 raised to two to this has nothing left.
const DOUBLINGS: usize = 20;
/// How near an innovation's variance must be to the noise's for the filter to have settled.
const SETTLED: f64 = 1e-12;

type Square = [[f64; WIDTH]; WIDTH];

/// The best coefficients of `columns` given the ARMA that the differenced errors follow; the errors' mean is estimated
/// beside them where the ARMA has one. Rows that differencing cannot make for a gap are left out. `None` where numbers
/// leave their range.
///
/// Target and columns go through the filter that makes the errors white, the innovations of a Kalman filter in units of
/// their deviation, and are regressed by ordinary least squares: the exact likelihood's coefficients at this ARMA.
/// Source: Harvey and Phillips, Biometrika 66(1), 1979; the state's form: Gardner, Harvey and Phillips, AS 154, Applied
/// Statistics 29(3), 1980.
pub(super) fn coefficients(
    values: &[f64],
    columns: &[Vec<f64>],
    differences: usize,
    errors: &ArimaFit,
) -> Option<Vec<f64>> {
    let constant = usize::from(errors.constant.is_some());
    let width = 1 + constant + columns.len();
    let mut filter = Filter::new(&errors.coefficients[..errors.order.ar], &errors.coefficients[errors.order.ar..]);
    let mut states = vec![0.0; filter.width * width];
    let (mut row, mut white) = (vec![1.0; width], vec![0.0; width]);
    let mut gram = vec![0.0; width * width];
    for t in differences..values.len() {
        row[0] = differenced(values, t, differences);
        let seen = !row[0].is_nan();
        let (deviation, gain) = filter.step(seen);
        if seen {
            row[1 + constant..].iter_mut().zip(columns).for_each(|(value, x)| *value = differenced(x, t, differences));
            white.iter_mut().zip(&row).zip(&states).for_each(|((w, value), mean)| *w = value - mean);
            states.chunks_exact_mut(width).zip(gain).for_each(|(state, gain)| {
                state.iter_mut().zip(&white).for_each(|(state, w)| *state += gain * w);
            });
            white.iter_mut().for_each(|w| *w /= deviation);
            add_square(&mut gram, &white);
        }
        filter.advance(&mut states, width);
    }
    let picked: Vec<usize> = (1..width).collect();
    mirror(&mut gram, width);
    let right: Vec<f64> = picked.iter().map(|&i| gram[i * width]).collect();
    let mut solution = Factor::new(&gram, width, &picked).solve(&right);
    solution.drain(..constant);
    solution.iter().all(|v| v.is_finite()).then_some(solution)
}

fn differenced(values: &[f64], t: usize, differences: usize) -> f64 {
    match differences {
        0 => values[t],
        1 => values[t] - values[t - 1],
        _ => values[t] - 2.0 * values[t - 1] + values[t - 2],
    }
}

/// Adds the products of a row with itself, below the diagonal.
fn add_square(gram: &mut [f64], row: &[f64]) {
    for (i, (into, own)) in gram.chunks_exact_mut(row.len()).zip(row).enumerate() {
        into[..=i].iter_mut().zip(row).for_each(|(sum, other)| *sum += own * other);
    }
}

fn mirror(gram: &mut [f64], width: usize) {
    for i in 0..width {
        (0..i).for_each(|j| gram[j * width + i] = gram[i * width + j]);
    }
}

/// The filter of an ARMA whose noise has variance one.
struct Filter {
    phi: [f64; WIDTH],
    theta: [f64; WIDTH],
    /// Elements of the state.
    width: usize,
    /// What is not known of the state before a step is seen.
    covariance: Square,
    settled: bool,
}

impl Filter {
    fn new(ar: &[f64], ma: &[f64]) -> Self {
        let (mut phi, mut theta) = ([0.0; WIDTH], [0.0; WIDTH]);
        phi[..ar.len()].copy_from_slice(ar);
        theta[0] = 1.0;
        theta[1..=ma.len()].copy_from_slice(ma);
        let width = ar.len().max(ma.len() + 1);
        let mut filter = Self { phi, theta, width, covariance: [[0.0; WIDTH]; WIDTH], settled: false };
        filter.covariance = filter.stationary();
        filter
    }

    /// The transition, which the first element's weights and a shift make up.
    fn transition(&self) -> Square {
        let mut transition = [[0.0; WIDTH]; WIDTH];
        for (i, row) in transition.iter_mut().enumerate() {
            row[0] = self.phi[i];
            if i + 1 < WIDTH {
                row[i + 1] = 1.0;
            }
        }
        transition
    }

    fn noise(&self) -> Square {
        std::array::from_fn(|i| std::array::from_fn(|j| self.theta[i] * self.theta[j]))
    }

    /// The sum of all that past noise has left in the state, by doubling: Anderson and Moore, *Optimal Filtering*, 1979,
    /// 6.7.
    fn stationary(&self) -> Square {
        let (mut power, mut sum) = (self.transition(), self.noise());
        for _ in 0..DOUBLINGS {
            let more = product(&product(&power, &sum), &transposed(&power));
            sum = std::array::from_fn(|i| std::array::from_fn(|j| sum[i][j] + more[i][j]));
            power = product(&power, &power);
        }
        sum
    }

    /// Deviation of a step's innovation, and what of it goes into each element of the state; the covariance moves on.
    fn step(&mut self, seen: bool) -> (f64, [f64; WIDTH]) {
        if self.settled && seen {
            return (1.0, self.theta);
        }
        let variance = self.covariance[0][0];
        let gain: [f64; WIDTH] = std::array::from_fn(|i| self.covariance[i][0] / variance);
        let mut left = self.covariance;
        if seen {
            for (i, row) in left.iter_mut().enumerate() {
                row.iter_mut()
                    .enumerate()
                    .for_each(|(j, v)| *v = self.covariance[i][j] - gain[i] * self.covariance[j][0]);
            }
        }
        let (transition, noise) = (self.transition(), self.noise());
        let moved = product(&product(&transition, &left), &transposed(&transition));
        self.covariance = std::array::from_fn(|i| std::array::from_fn(|j| moved[i][j] + noise[i][j]));
        self.settled = seen && self.covariance[0][0] - 1.0 < SETTLED;
        if self.settled {
            self.covariance = noise;
        }
        (variance.sqrt(), gain)
    }

    /// Moves states on by a step: `[elements, columns]`.
    fn advance(&self, states: &mut [f64], columns: usize) {
        let first: Vec<f64> = states[..columns].to_vec();
        for i in 0..self.width {
            let (own, later) = states[i * columns..].split_at_mut(columns);
            for (c, (own, first)) in own.iter_mut().zip(&first).enumerate() {
                *own = self.phi[i] * first + later.get(c).copied().unwrap_or(0.0);
            }
        }
    }
}

fn product(a: &Square, b: &Square) -> Square {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..WIDTH).map(|k| a[i][k] * b[k][j]).sum()))
}

fn transposed(a: &Square) -> Square {
    std::array::from_fn(|i| std::array::from_fn(|j| a[j][i]))
}

#[cfg(test)]
mod tests {
    use foreshadow_kernels::{ArimaLikelihood, ArmaOrder};

    use super::*;

    fn errors(ar: &[f64], ma: &[f64]) -> ArimaFit {
        let order = ArmaOrder { ar: ar.len(), ma: ma.len(), season: 1, ..ArmaOrder::default() };
        let (state, tail) = (Vec::new(), Vec::new());
        let likelihood = ArimaLikelihood { observed: 0, squares: 0.0, logs: 0.0, constant: None, state, tail };
        ArimaFit {
            order,
            margin: 0.0,
            coefficients: [ar, ma].concat(),
            free: Vec::new(),
            constant: None,
            likelihood,
            aicc: 0.0,
            converged: true,
            promised: 0.0,
            evaluations: 0,
        }
    }

    #[test]
    fn gaps_and_all_the_coefficients_are_those_of_the_dense_covariance() {
        let (phi, theta, steps) = (0.7, 0.4, 30);
        let columns: Vec<Vec<f64>> = [5, 7].map(|m| (0..steps).map(|t| ((t * t + t) % m) as f64).collect()).to_vec();
        let mut y: Vec<f64> = (0..steps).map(|t| ((t * t * 37) % 23) as f64).collect();
        [4, 9, 10, 11, 29].into_iter().for_each(|t| y[t] = f64::NAN);
        let seen: Vec<usize> = (0..steps).filter(|&t| !y[t].is_nan()).collect();
        // Box, Jenkins and Reinsel, 4th ed., 3.4.3.
        let share = 1.0 / (1.0 - phi * phi);
        let near = [(1.0 + 2.0 * phi * theta + theta * theta) * share, (1.0 + phi * theta) * (phi + theta) * share];
        let covariance = |lag: usize| if lag == 0 { near[0] } else { near[1] * f64::powi(phi, lag as i32 - 1) };
        let dense: Vec<f64> = seen.iter().flat_map(|&i| seen.iter().map(move |&j| covariance(i.abs_diff(j)))).collect();
        let factor = Factor::new(&dense, seen.len(), &(0..seen.len()).collect::<Vec<_>>());
        let own = |values: &[f64]| -> Vec<f64> { seen.iter().map(|&t| values[t]).collect() };
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let weighed: Vec<Vec<f64>> = columns.iter().map(|x| factor.solve(&own(x))).collect();
        let gram: Vec<f64> = weighed.iter().flat_map(|w| columns.iter().map(|x| dot(w, &own(x)))).collect();
        let right: Vec<f64> = weighed.iter().map(|w| dot(w, &own(&y))).collect();
        let expected = Factor::new(&gram, 2, &[0, 1]).solve(&right);
        let found = coefficients(&y, &columns, 0, &errors(&[phi], &[theta])).unwrap();
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-10, "{found} {expected}");
        }
        // A sum of the series has the same differences, so the same coefficients.
        let mut whole: Vec<f64> = (0..steps).map(|t| ((t * t * 37) % 23) as f64).collect();
        let plain = coefficients(&whole, &columns, 0, &errors(&[phi], &[theta])).unwrap();
        let summed = |values: &[f64]| -> Vec<f64> {
            let mut sum = 0.0;
            std::iter::once(0.0)
                .chain(values.iter().map(|v| {
                    sum += v;
                    sum
                }))
                .collect()
        };
        whole = summed(&whole);
        let columns: Vec<Vec<f64>> = columns.iter().map(|x| summed(x)).collect();
        let found = coefficients(&whole, &columns, 1, &errors(&[phi], &[theta])).unwrap();
        assert!(found.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-10), "{found:?} {plain:?}");
    }
}
