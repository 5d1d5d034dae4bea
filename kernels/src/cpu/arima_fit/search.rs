//! A damped search for the exact likelihood of one series: Gauss-Newton's curvature, mended by what a look tells of the
//! second derivatives and by what the last step showed.

use super::solve::spd_solve;
use super::transform::{Place, Region};
use crate::arima_fit::ArimaEffort;
use crate::arima_fit::limits::search::{ASTRAY, FREE, LONGEST, NEAR, STUCK};
use crate::arima_fit::limits::{AT_BOUND, FARTHEST};

/// Steps after which a curvature is no longer looked at anew where that costs more.
const FRESH: usize = 1;

/// What is known of a place.
#[derive(Default)]
pub(super) struct Look {
    /// Negative log-likelihood.
    pub(super) value: f64,
    pub(super) gradient: Vec<f64>,
    /// About its second derivatives; empty where nobody asked.
    pub(super) curvature: Vec<f64>,
}

/// How each free number moves the innovations.
#[derive(Default)]
pub(super) struct Moves {
    pub(super) rows: Vec<Vec<f64>>,
    /// How the innovations are weighed, and the noise's variance.
    pub(super) weights: Vec<f64>,
    pub(super) squares: f64,
    /// Second derivatives of the negative log-likelihood by each free number.
    pub(super) bends: Vec<f64>,
}

impl Moves {
    /// Products of the innovations' derivatives, about the second derivatives of the negative log-likelihood; where
    /// those are known to be larger, they stand.
    pub(super) fn curvature(&self) -> Vec<f64> {
        let count = self.rows.len();
        let mut curvature = vec![0.0; count * count];
        for i in 0..count {
            let weighed: Vec<f64> = self.rows[i].iter().zip(&self.weights).map(|(v, w)| v * w / self.squares).collect();
            for j in i..count {
                let sum = dot(&weighed, &self.rows[j]);
                (curvature[i * count + j], curvature[j * count + i]) = (sum, sum);
            }
            if self.bends[i] > curvature[i * count + i] {
                curvature[i * count + i] = self.bends[i];
            }
        }
        curvature
    }
}

/// Where a search ended.
pub(super) struct End {
    pub(super) free: Vec<f64>,
    /// Negative log-likelihood there.
    pub(super) value: f64,
    /// Nats that another step promises.
    pub(super) promised: f64,
    pub(super) converged: bool,
    /// Places looked at.
    pub(super) evaluations: usize,
}

/// Minimises the negative log-likelihood from a start. A look is told whether its curvature is asked for; without one,
/// the last is mended by the gradients of step after step. A look is at the coefficients of a region and its derivatives
/// are by them, or at the free numbers where no region is given.
///
/// By coefficients what a curvature says holds for longer: in free numbers a valley near the unit circle is bent.
pub(super) fn minimise(
    start: &[f64],
    region: Option<Region>,
    effort: ArimaEffort,
    mut look: impl FnMut(&[f64], bool) -> Look,
) -> End {
    let mut free = start.to_vec();
    let mut chart = Chart::new(region, &free);
    let mut at = look(&chart.values, true);
    let mut bent = std::mem::take(&mut at.curvature);
    let (mut taken, mut mended) = (0, false);
    let mut damping = 1e-3;
    let (most, settled) = (effort.most_looks(), effort.settled());
    let mut evaluations = 1;
    loop {
        if !at.value.is_finite() || free.is_empty() {
            return End { converged: at.value.is_finite(), value: at.value, free, promised: 0.0, evaluations };
        }
        let (slopes, curvature) = chart.by_free(&at.gradient, &bent);
        let unheld = direction(&curvature, &slopes, &free, FREE);
        let promised = -0.5 * dot(&unheld, &slopes);
        let stuck = damping > STUCK;
        if promised.is_nan() || promised.abs() < settled || stuck || evaluations >= most {
            let converged = promised.abs() < if stuck { NEAR } else { settled };
            return End { converged, value: at.value, free, promised, evaluations };
        }
        let step = direction(&curvature, &slopes, &free, damping);
        let held = -0.5 * dot(&step, &slopes);
        let trial = chart.ahead(&free, &step);
        let ahead = Chart::new(region, &trial);
        let mut there = look(&ahead.values, taken < FRESH);
        evaluations += 1;
        if there.value < at.value - 1e-4 * held {
            let gained = at.value - there.value;
            damping = if gained > 0.5 * held { (0.1 * damping).max(FREE) } else { 2.0 * damping };
            taken += 1;
            let carried = there.curvature.is_empty();
            if !carried {
                bent = std::mem::take(&mut there.curvature);
            }
            let moved: Vec<f64> = ahead.values.iter().zip(&chart.values).map(|(to, from)| to - from).collect();
            mend(&mut bent, &moved, &at.gradient, &there.gradient, carried);
            mended = true;
            (free, chart, at) = (trial, ahead, there);
        } else {
            damping = (10.0 * damping).max(1e-2);
            if mended && damping > ASTRAY {
                at = look(&chart.values, true);
                evaluations += 1;
                bent = std::mem::take(&mut at.curvature);
                (damping, mended) = (1e-2, false);
            }
        }
    }
}

/// What a look is at, and its derivatives by.
struct Chart {
    values: Vec<f64>,
    place: Option<Place>,
}

impl Chart {
    fn new(region: Option<Region>, free: &[f64]) -> Self {
        let place = region.map(|region| region.place(free));
        Self { values: place.as_ref().map_or(free, |place| &place.coefficients).to_vec(), place }
    }

    /// Derivatives by the free numbers.
    fn by_free(&self, gradient: &[f64], bent: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut slopes, mut curvature) = (gradient.to_vec(), bent.to_vec());
        if let Some(place) = &self.place {
            place.pull_back(&mut slopes, &mut curvature);
        }
        (slopes, curvature)
    }

    /// The free numbers that a step leads to.
    fn ahead(&self, free: &[f64], step: &[f64]) -> Vec<f64> {
        let trial = free.iter().zip(step).map(|(free, step)| free + step).collect();
        match &self.place {
            Some(place) => place.ahead(step, trial),
            None => trial,
        }
    }
}

/// Makes a curvature say of the last step what the gradients at its ends do. One that is carried on from step to step
/// says no less than a fifth of what it said, so that it stays positive; one just looked at is let be where they would
/// have it negative. Held to a fifth at every step, a look anew would creep wherever it is ten times too stiff, as it
/// is near the unit circle.
///
/// Source: Nocedal and Wright, *Numerical Optimization*, 2nd ed., 6.1, the BFGS update, and procedure 18.2, Powell's
/// damped one.
fn mend(bent: &mut [f64], step: &[f64], before: &[f64], after: &[f64], carried: bool) {
    let count = step.len();
    let expected: Vec<f64> = bent.chunks(count).map(|row| dot(row, step)).collect();
    let thought = dot(step, &expected);
    let mut turned: Vec<f64> = after.iter().zip(before).map(|(after, before)| after - before).collect();
    let mut along = dot(step, &turned);
    if thought.is_nan() || thought <= 0.0 || along.is_nan() {
        return;
    }
    if carried && along < 0.2 * thought {
        let share = 0.8 * thought / (thought - along);
        turned.iter_mut().zip(&expected).for_each(|(turned, bent)| *turned = share * *turned + (1.0 - share) * bent);
        along = 0.2 * thought;
    } else if along <= 1e-8 * (dot(step, step) * dot(&turned, &turned)).sqrt() {
        return;
    }
    for i in 0..count {
        for j in 0..count {
            bent[i * count + j] += turned[i] * turned[j] / along - expected[i] * expected[j] / thought;
        }
    }
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
        if free[i].abs() >= AT_BOUND && downhill[i] * free[i] > 0.0 {
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

/// A sum of products, eight side by side.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_is_always_too_stiff_is_not_crept_along() {
        let look = |free: &[f64], _: bool| {
            let (away, stiff) = (free[0] - 0.7, 50.0);
            Look { value: 500.0 * away * away, gradient: vec![1e3 * away], curvature: vec![1e3 * stiff] }
        };
        let end = minimise(&[0.0], None, ArimaEffort::Full, look);
        assert!(end.converged && end.evaluations < 10, "{} {}", end.evaluations, end.promised);
        assert!((end.free[0] - 0.7).abs() < 1e-3, "{:?}", end.free);
    }

    #[test]
    fn a_number_about_to_reach_its_bound_does_not_end_the_search_of_the_others() {
        let (target, own, shared) = ([8.0, 1.5], 100.0, -95.0);
        let look = |free: &[f64], _: bool| {
            let [x, y] = [free[0] - target[0], free[1] - target[1]];
            let gradient = vec![own * x + shared * y, shared * x + own * y];
            let value = 0.5 * (x * gradient[0] + y * gradient[1]);
            Look { value, gradient, curvature: vec![own, shared, shared, own] }
        };
        let end = minimise(&[5.99, 0.0], None, ArimaEffort::Full, look);
        let best = target[1] - shared / own * (end.free[0] - target[0]);
        assert!(end.converged && (end.free[1] - best).abs() < 1e-3, "{:?} for {best}", end.free);
    }
}
