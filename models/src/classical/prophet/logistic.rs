//! What an S-curve needs: its bounds, its values and where a search for it starts.

use super::inputs::Known;

/// Capacity and floor of a series at a time; the name of the one that cannot be used.
pub(super) fn bounds(
    capacity: &Known,
    floor: Option<&Known>,
    series: &str,
    at_ms: i64,
) -> Result<(f64, f64), &'static str> {
    let floor = match floor {
        Some(floor) => floor.at(series, at_ms).ok_or("floor")?,
        None => 0.0,
    };
    match capacity.at(series, at_ms) {
        Some(capacity) if capacity > floor => Ok((capacity, floor)),
        _ => Err("capacity"),
    }
}

/// How much of the capacity a line comes to.
pub(super) fn share(line: f64) -> f64 {
    if line >= 0.0 {
        1.0 / (1.0 + (-line).exp())
    } else {
        let small = line.exp();
        small / (1.0 + small)
    }
}

/// Where a curve of the line `level + rate t` is half-way up: Prophet's `m`.
pub(super) fn middle(level: f64, rate: f64) -> f64 {
    -level / rate
}

/// Adds what the prior of the middle, `weight m^2 / 2`, gives to the normal equations of the line's level and rate.
///
/// By level and rate the curve is as good as linear where the data are far below the capacity; by rate and middle it
/// has a long bent valley there. The price is this prior, which is not convex in them: its second derivatives are
/// taken with the level's own raised by a third, the least that leaves them without a direction that falls. The data
/// tell the level far better than this prior does, so that next to nothing is lost by it.
pub(super) fn add_middle(gram: &mut [f64], cross: &mut [f64], (level, rate): (f64, f64), weight: f64) {
    let order = cross.len();
    let (first, twist) = (1.0 / rate, level / (rate * rate));
    let (a, b) = (2.0 / 3.0_f64.sqrt() * first, -3.0_f64.sqrt() * twist);
    gram[0] += weight * a * a;
    gram[1] += weight * a * b;
    gram[order] += weight * a * b;
    gram[order + 1] += weight * b * b;
    cross[0] -= weight * level * first * first;
    cross[1] += weight * level * twist * first;
}

/// Mean share of the capacity below which a curve is next to exponential.
const LOW: f64 = 0.05;
/// Level of a curve about values that are not above their floor.
const LEAST_LEVEL: f64 = -27.0;
/// What a bend costs, and the prior of the middle against it: the rate from which both gain alike.
const BEND_AGAINST_MIDDLE: f64 = 1.0 / 500.0;

/// Level and rate of the line through the first and the last value, a span apart (`logistic_growth_init`), and of a
/// second one: far below the capacity, of a curve about as high as the values are on average, else of one that starts
/// half-way up and rises by as much.
pub(super) fn starts(y: &[f64], capacity: &[f64], span: f64) -> Vec<(f64, f64)> {
    let end = |t: usize| capacity[t] / y[t].clamp(0.01 * capacity[t], 0.99 * capacity[t]);
    let (mut first, last) = (end(0), end(y.len() - 1));
    if (first - last).abs() <= 0.01 {
        first *= 1.05;
    }
    let (from, to) = ((first - 1.0).ln(), (last - 1.0).ln());
    let (up, prophets) = (1.0f64.copysign(from - to), (-from, (from - to) / span));
    let share = y.iter().zip(capacity).map(|(y, capacity)| y / capacity).sum::<f64>() / y.len() as f64;
    if share < LOW {
        let level = if share > 0.0 { share.ln() } else { LEAST_LEVEL };
        return vec![prophets, (level, up * (BEND_AGAINST_MIDDLE * level * level).cbrt())];
    }
    vec![prophets, (-0.5 * up, up / span)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prior_of_the_middle_has_its_gradient_and_no_direction_that_falls() {
        let value = |level: f64, rate: f64| 0.04 * middle(level, rate).powi(2) / 2.0;
        for (level, rate) in [(-7.0, 0.4), (3.0, 2.0), (0.0, 1.0), (-1.0, -0.2)] {
            let (mut gram, mut cross) = ([0.0; 4], [0.0; 2]);
            add_middle(&mut gram, &mut cross, (level, rate), 0.04);
            let step = 1e-5;
            let by_level = (value(level + step, rate) - value(level - step, rate)) / (2.0 * step);
            let by_rate = (value(level, rate + step) - value(level, rate - step)) / (2.0 * step);
            // Central differences are good to the square of the step, times third derivatives of at most 1e4 here.
            assert!((cross[0] + by_level).abs() < 1e-5 && (cross[1] + by_rate).abs() < 1e-5, "{cross:?}");
            assert!(gram[0] * gram[3] - gram[1] * gram[2] > -1e-12 * gram[0] * gram[3].max(1.0), "{gram:?}");
            assert_eq!(gram[1], gram[2]);
        }
    }
}
