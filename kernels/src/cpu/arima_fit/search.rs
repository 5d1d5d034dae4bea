//! A damped Gauss-Newton search for the exact likelihood of one series.

use super::solve::spd_solve;
use super::transform::FARTHEST;

/// Gain in log-likelihood under which a step is not worth its evaluation.
const SETTLED: f64 = 2e-5;
const MAX_ROUNDS: usize = 60;
/// The longest move of a free number in one step.
const LONGEST: f64 = 1.0;
/// Damping at which a search that finds no way down gives up.
const STUCK: f64 = 1e6;

/// What is known of a place.
pub(super) struct Look {
    /// Negative log-likelihood.
    pub(super) value: f64,
    pub(super) gradient: Vec<f64>,
    /// How each free number moves the innovations, and how those are weighed.
    pub(super) rows: Vec<Vec<f64>>,
    pub(super) weights: Vec<f64>,
    /// The noise's variance.
    pub(super) squares: f64,
}

impl Look {
    /// Products of the innovations' derivatives: about the second derivatives of the negative log-likelihood.
    fn curvature(&self) -> Vec<f64> {
        let count = self.rows.len();
        let mut curvature = vec![0.0; count * count];
        for i in 0..count {
            let weighed: Vec<f64> = self.rows[i].iter().zip(&self.weights).map(|(v, w)| v * w / self.squares).collect();
            for j in i..count {
                let sum: f64 = weighed.iter().zip(&self.rows[j]).map(|(a, b)| a * b).sum();
                (curvature[i * count + j], curvature[j * count + i]) = (sum, sum);
            }
        }
        curvature
    }
}

/// Where a search ended.
pub(super) struct End {
    pub(super) free: Vec<f64>,
    pub(super) converged: bool,
    /// Places looked at.
    pub(super) evaluations: usize,
}

/// Minimises the negative log-likelihood from a start, in at most so many looks.
pub(super) fn minimise(start: &[f64], most: usize, mut look: impl FnMut(&[f64]) -> Look) -> End {
    let mut free = start.to_vec();
    let mut at = look(&free);
    let mut bent = at.curvature();
    let mut damping = 1e-3;
    let most = most.min(MAX_ROUNDS);
    for round in 1..most {
        let end = |free: Vec<f64>, converged: bool| End { free, converged, evaluations: round };
        if !at.value.is_finite() || free.is_empty() {
            return end(free, at.value.is_finite());
        }
        let step = direction(&bent, &at.gradient, &free, damping);
        let promised = -0.5 * dot(&step, &at.gradient);
        if promised.is_nan() || promised < SETTLED || damping > STUCK {
            return end(free, !promised.is_nan());
        }
        let trial: Vec<f64> = free.iter().zip(&step).map(|(free, step)| free + step).collect();
        let there = look(&trial);
        if there.value < at.value - 1e-4 * promised {
            let gained = at.value - there.value;
            damping = if gained > 0.5 * promised { (0.1 * damping).max(1e-7) } else { 2.0 * damping };
            (free, at) = (trial, there);
            bent = at.curvature();
        } else {
            damping = (10.0 * damping).max(1e-2);
        }
    }
    End { free, converged: false, evaluations: most }
}

/// The damped step to the least value of the quadratic, no number moved too far; those at their bound that would leave
/// it stay.
fn direction(bent: &[f64], gradient: &[f64], free: &[f64], damping: f64) -> Vec<f64> {
    let count = free.len();
    let mut matrix = bent.to_vec();
    let mut downhill: Vec<f64> = gradient.iter().map(|g| -g).collect();
    for i in 0..count {
        // A unit besides what is known: a number that hardly shows is not thrown far.
        matrix[i * count + i] = matrix[i * count + i] * (1.0 + damping) + 1e-2 + damping;
    }
    for i in 0..count {
        if free[i].abs() >= FARTHEST && downhill[i] * free[i] > 0.0 {
            downhill[i] = 0.0;
            (0..count).for_each(|j| (matrix[i * count + j], matrix[j * count + i]) = (0.0, 0.0));
            matrix[i * count + i] = 1.0;
        }
    }
    let step = spd_solve(&mut matrix, &downhill).unwrap_or(downhill);
    let most = step.iter().fold(0.0_f64, |most, s| most.max(s.abs()));
    let shrink = if most > LONGEST { LONGEST / most } else { 1.0 };
    let bounded = |(step, free): (&f64, &f64)| (free + shrink * step).clamp(-FARTHEST, FARTHEST) - free;
    step.iter().zip(free).map(bounded).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
