//! The covariance of a short ARMA model's stationary state, by doubling.
//!
//! It is a sum of squares, `Σ TᵏR(TᵏR)'`, so nothing cancels where roots of the two sides nearly do; through
//! autocovariances half the digits go. The state's form: Gardner, Harvey and Phillips, AS 154, Applied Statistics
//! 29(3), 1980; the doubling: Anderson and Moore, *Optimal Filtering*, 1979, 6.7.

use super::super::fused;

/// The most coefficients a side.
pub(super) const REACH: usize = 5;
/// Elements of a state, and the columns of a row of them.
pub(super) const WIDTH: usize = REACH + 1;
const ROW: usize = 8;
/// Doublings at most: 1.00001, the smallest root, raised to two to this has no bound left.
const DOUBLINGS: usize = 22;
/// Share of the sum that counts as none.
const GONE: f64 = 1e-18;

pub(super) type Square = [[f64; ROW]; WIDTH];
pub(super) type Taps = [f64; WIDTH];

/// A stationary state.
pub(super) struct Stationary {
    /// Coefficients of the past values at their element, and of the noise, with 1 first.
    phi: Taps,
    theta: Taps,
    /// Elements that are not always zero.
    width: usize,
    /// The state's covariance, in units of the noise's variance.
    pub(super) covariance: Square,
    /// The transition raised to 1, 2, 4 and so on.
    powers: [Square; DOUBLINGS],
    count: usize,
}

impl Stationary {
    /// The state of `φ` and `θ`, each of at most five coefficients.
    #[inline(always)]
    pub(super) fn new<const FMA: bool>(ar: &[f64], ma: &[f64]) -> Self {
        let (mut phi, mut theta) = ([0.0; WIDTH], [0.0; WIDTH]);
        phi[..ar.len()].copy_from_slice(ar);
        theta[0] = 1.0;
        theta[1..=ma.len()].copy_from_slice(ma);
        let width = ar.len().max(ma.len() + 1);
        let mut power = [[0.0; ROW]; WIDTH];
        let mut covariance = [[0.0; ROW]; WIDTH];
        for i in 0..width {
            power[i][0] = phi[i];
            if i + 1 < width {
                power[i][i + 1] = 1.0;
            }
            for j in 0..width {
                covariance[i][j] = theta[i] * theta[j];
            }
        }
        let mut powers = [[[0.0; ROW]; WIDTH]; DOUBLINGS];
        let mut count = 0;
        while count < DOUBLINGS {
            powers[count] = power;
            count += 1;
            let half = product::<FMA>(&power, &covariance, width);
            let more = product::<FMA>(&half, &turned(&power), width);
            // The traces bound the rest of either.
            let (mut added, mut all) = (0.0, 0.0);
            for i in 0..width {
                for j in 0..ROW {
                    covariance[i][j] += more[i][j];
                }
                (added, all) = (added + more[i][i], all + covariance[i][i]);
            }
            if added <= GONE * all {
                break;
            }
            power = product::<FMA>(&power, &power, width);
        }
        Self { phi, theta, width, covariance, powers, count }
    }

    /// What of the state the first innovation does not hold: its covariance less the noise's share.
    #[inline(always)]
    pub(super) fn before(&self) -> Square {
        let mut before = self.covariance;
        for i in 0..WIDTH {
            for j in 0..WIDTH {
                before[i][j] -= self.theta[i] * self.theta[j];
            }
        }
        before
    }

    /// Derivatives by φ and θ of what moves by `slopes` with [`Self::before`].
    #[inline(always)]
    pub(super) fn pull_back<const FMA: bool>(&self, slopes: &Square) -> (Taps, Taps) {
        let mut sum = *slopes;
        for power in &self.powers[..self.count] {
            let half = product::<FMA>(&sum, power, self.width);
            let more = product::<FMA>(&turned(power), &half, self.width);
            for i in 0..self.width {
                for j in 0..ROW {
                    sum[i][j] += more[i][j];
                }
            }
        }
        let (mut by_phi, mut by_theta) = ([0.0; WIDTH], [0.0; WIDTH]);
        for i in 0..WIDTH {
            for j in 0..WIDTH {
                let above = if j + 1 < WIDTH { self.covariance[j + 1][0] } else { 0.0 };
                let ahead = self.phi[j] * self.covariance[0][0] + above;
                by_phi[i] += 2.0 * sum[i][j] * ahead;
                by_theta[i] += 2.0 * (sum[i][j] - slopes[i][j]) * self.theta[j];
            }
        }
        (by_phi, by_theta)
    }
}

#[inline(always)]
fn product<const FMA: bool>(a: &Square, b: &Square, width: usize) -> Square {
    let mut product = [[0.0; ROW]; WIDTH];
    for i in 0..width {
        let mut row = [0.0; ROW];
        for k in 0..width {
            let (share, other) = (a[i][k], b[k]);
            for j in 0..ROW {
                row[j] = fused::<FMA>(share, other[j], row[j]);
            }
        }
        product[i] = row;
    }
    product
}

#[inline(always)]
fn turned(a: &Square) -> Square {
    let mut turned = [[0.0; ROW]; WIDTH];
    for i in 0..WIDTH {
        for j in 0..WIDTH {
            turned[i][j] = a[j][i];
        }
    }
    turned
}
