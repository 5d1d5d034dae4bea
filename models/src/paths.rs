//! Sample paths: whole futures that a forecast holds possible.
//!
//! Each step follows the forecast's own quantiles, and steps go together as errors have gone together on past folds, so
//! that a sum or a maximum over a stretch of time has the distribution that its steps alone do not tell.
//!
//! Source: Pinson, Madsen, Nielsen, Papaefthymiou and Klöckl, *From probabilistic forecasts to statistical scenarios of
//! short-term wind power production*, Wind Energy 12(1), 2009: a Gaussian copula over the steps ahead; here with a
//! correlation that falls geometrically with the steps between, as few folds cannot tell a matrix.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Bounds, Forecast, normal_quantile};

/// Least probability that a path's step is drawn at, and most: the ends of what quantiles can be stretched to.
const TAIL: f64 = 1e-6;

/// So many paths of one series, `[paths, horizon]` in its unit; `None` where its forecast is not finite or has fewer than
/// two quantiles.
///
/// `persistence` is the correlation of neighbouring steps' errors, in `[0, 1)`; `bounds` hold for
/// every path. Between levels a quantile is interpolated, and past the outermost ones stretched, on the normal
/// distribution's scale. The same seed gives the same paths, whatever else the forecast is of.
pub fn sample_paths(
    forecast: &Forecast,
    series: usize,
    persistence: f64,
    bounds: &Bounds,
    count: usize,
    seed: u64,
) -> Option<Vec<Vec<f64>>> {
    let levels = forecast.quantiles().levels();
    if levels.len() < 2 || !forecast.is_finite(series) {
        return None;
    }
    let scale: Vec<f64> = levels.iter().map(|level| normal_quantile(*level)).collect();
    let bands: Vec<&[f64]> = (0..levels.len()).map(|index| forecast.quantile(series, index)).collect();
    let persistence = persistence.clamp(0.0, 1.0 - f64::EPSILON);
    let renewal = (1.0 - persistence * persistence).sqrt();
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || normal_quantile(random.random_range(TAIL..1.0 - TAIL));
    let path = |_| {
        let mut z = normal();
        let value = |step: usize| {
            if step > 0 {
                z = persistence * z + renewal * normal();
            }
            bounds.hold(value_at(&scale, |index| bands[index][step], z))
        };
        (0..forecast.horizon().steps()).map(value).collect()
    };
    Some((0..count).map(path).collect())
}

/// The value at a point of the normal scale, from quantiles at rising points of it.
fn value_at(scale: &[f64], quantile: impl Fn(usize) -> f64, z: f64) -> f64 {
    let upper = scale.partition_point(|at| *at <= z).clamp(1, scale.len() - 1);
    let (from, to) = (quantile(upper - 1), quantile(upper));
    from + (to - from) * (z - scale[upper - 1]) / (scale[upper] - scale[upper - 1])
}

/// Correlation of neighbouring steps' errors over folds, `[folds][horizon]` and NaN where unobserved, each already on one
/// scale. An error that stays is correlation too: no mean is taken out. Zero where nothing tells.
pub(crate) fn persistence<'a>(folds: impl Iterator<Item = &'a [f64]> + Clone) -> f64 {
    let pairs = folds.flat_map(|fold| fold.windows(2)).filter(|pair| pair.iter().all(|e| e.is_finite()));
    let (both, own) = pairs.fold((0.0, 0.0), |(both, own), pair| {
        (both + pair[0] * pair[1], own + 0.5 * (pair[0] * pair[0] + pair[1] * pair[1]))
    });
    if own > 0.0 { (both / own).clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Horizon, Quantiles};

    fn forecast(steps: usize) -> Forecast {
        let mut forecast = Forecast::empty(2, Horizon::new(steps).unwrap(), Quantiles::standard());
        let mean: Vec<f64> = (0..steps).map(|step| 10.0 + step as f64).collect();
        forecast.set_normal(1, &mean, |step| 1.0 + 0.1 * step as f64);
        forecast
    }

    #[test]
    fn each_step_has_the_forecasts_own_quantiles() {
        let (forecast, count) = (forecast(6), 20_000);
        let paths = sample_paths(&forecast, 1, 0.8, &Bounds::NONE, count, 3).unwrap();
        for step in 0..6 {
            for (index, level) in forecast.quantiles().levels().iter().enumerate() {
                let edge = forecast.quantile(1, index)[step];
                let under = paths.iter().filter(|path| path[step] <= edge).count() as f64 / count as f64;
                // Four standard errors of a share.
                let room = 4.0 * (level * (1.0 - level) / count as f64).sqrt();
                assert!((under - level).abs() < room, "step {step} level {level}: {under}");
            }
        }
    }

    #[test]
    fn neighbouring_steps_go_together_as_told() {
        let forecast = forecast(40);
        for told in [0.0, 0.5, 0.95] {
            let paths = sample_paths(&forecast, 1, told, &Bounds::NONE, 2_000, 5).unwrap();
            let error = |step: usize, value: f64| (value - 10.0 - step as f64) / (1.0 + 0.1 * step as f64);
            let errors: Vec<Vec<f64>> =
                paths.iter().map(|path| path.iter().enumerate().map(|(step, v)| error(step, *v)).collect()).collect();
            let found = persistence(errors.iter().map(Vec::as_slice));
            assert!((found - told).abs() < 0.02, "{found} for {told}");
        }
    }

    #[test]
    fn the_highest_step_of_a_stretch_is_more_than_the_steps_tell() {
        let paths = |persistence| sample_paths(&forecast(12), 1, persistence, &Bounds::NONE, 4_000, 9).unwrap();
        let sum_spread = |paths: &[Vec<f64>]| {
            let sums: Vec<f64> = paths.iter().map(|path| path.iter().sum()).collect();
            let mean = sums.iter().sum::<f64>() / sums.len() as f64;
            (sums.iter().map(|sum| (sum - mean) * (sum - mean)).sum::<f64>() / sums.len() as f64).sqrt()
        };
        assert!(sum_spread(&paths(0.9)) > 2.0 * sum_spread(&paths(0.0)), "errors that stay add up");
    }

    #[test]
    fn paths_are_the_same_by_seed_and_none_of_a_forecast_that_is_not_there() {
        let forecast = forecast(3);
        let bounds = Bounds::new(11.0, 12.5).unwrap();
        let of = |seed| sample_paths(&forecast, 1, 0.5, &bounds, 50, seed).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(1).iter().flatten().all(|v| bounds.contain(*v)));
        assert_eq!(sample_paths(&forecast, 0, 0.5, &bounds, 5, 1), None);
        let bare = Forecast::empty(1, Horizon::new(3).unwrap(), Quantiles::new(Vec::new()).unwrap());
        assert_eq!(sample_paths(&bare, 0, 0.5, &bounds, 5, 1), None);
    }
}
