//! How often a series must be differenced to be stationary.

use super::strength::seasonal_strength;
use crate::transform::fill_gaps;

/// Differences at a lag of one step, at most.
const MOST: usize = 2;
/// Kwiatkowski and others' level statistic that a stationary series passes once in twenty times: their table 1.
const UNLIKELY: f64 = 0.463;
/// Seasonal strength from which a season is taken out by a difference.
const STRONG: f64 = 0.64;

/// Differences at a lag of one step, and at a lag of one season.
///
/// Source: Hyndman and Khandakar, Automatic time series forecasting, Journal of Statistical Software 27(3), 2008, with
/// the seasonal strength of Wang, Smith and Hyndman, Data Mining and Knowledge Discovery 13, 2006, in place of the
/// test there.
pub(in crate::classical) fn needed(values: &[f64], season: usize) -> (usize, usize) {
    let mut values = fill_gaps(values);
    let seasonal = usize::from(season > 1 && values.len() > 2 * season && seasonal_strength(&values, season) > STRONG);
    if seasonal > 0 {
        values = differenced(&values, season);
    }
    let mut steps = 0;
    while steps < MOST && !is_constant(&values) && level_statistic(&values) > UNLIKELY {
        steps += 1;
        values = differenced(&values, 1);
    }
    (steps, seasonal)
}

fn differenced(values: &[f64], lag: usize) -> Vec<f64> {
    values.iter().zip(values.iter().skip(lag)).map(|(before, now)| now - before).collect()
}

pub(super) fn is_constant(values: &[f64]) -> bool {
    values.iter().all(|value| *value == values[0])
}

/// The KPSS statistic about a level: squared partial sums over the long-run variance, its lags weighed by Bartlett.
///
/// Source: Kwiatkowski, Phillips, Schmidt and Shin, Journal of Econometrics 54, 1992, with `3 √n / 13` lags.
fn level_statistic(values: &[f64]) -> f64 {
    let n = values.len();
    if n < 3 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let rest: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let lags = ((3.0 * (n as f64).sqrt() / 13.0) as usize).min(n - 1);
    let mut sum = 0.0;
    let partial: f64 = rest
        .iter()
        .map(|value| {
            sum += value;
            sum * sum
        })
        .sum();
    let product = |lag: usize| rest[lag..].iter().zip(&rest).map(|(a, b)| a * b).sum::<f64>();
    let weighed = |lag: usize| 2.0 * product(lag) * (1.0 - lag as f64 / (lags + 1) as f64);
    let long_run = product(0) + (1..=lags).map(weighed).sum::<f64>();
    let statistic = partial / (n as f64 * long_run);
    if statistic.is_finite() { statistic } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: usize) -> impl Fn(usize) -> f64 {
        move |t| (((t * 7_919 + seed * 104_729) % 10_007) as f64 / 10_007.0 - 0.5) * 2.0
    }

    #[test]
    fn the_statistic_is_statsmodels() {
        let values: Vec<f64> = (0..50).map(|t| ((t * t * 37) % 101) as f64 + 0.4 * t as f64).collect();
        // statsmodels 0.15.0, `kpss(x, "c", nlags=1)`.
        assert!((level_statistic(&values) - 0.119_564_101_696_717_27).abs() < 1e-9, "{}", level_statistic(&values));
    }

    #[test]
    fn a_walk_needs_one_difference_and_noise_none() {
        let step = noise(3);
        let plain: Vec<f64> = (0..400).map(&step).collect();
        let mut level = 0.0;
        let walk: Vec<f64> = plain
            .iter()
            .map(|v| {
                level += v + 0.05;
                level
            })
            .collect();
        assert_eq!(needed(&plain, 1), (0, 0));
        assert_eq!(needed(&walk, 1), (1, 0));
        let wave: Vec<f64> = (0..400).map(|t| 4.0 * (t as f64 * 0.5).sin().signum() + step(t) * 0.2).collect();
        assert_eq!(needed(&wave, 1).0, 0);
        let season: Vec<f64> = (0..400).map(|t| [3.0, -1.0, 0.5, -2.5][t % 4] + 0.3 * step(t)).collect();
        assert_eq!(needed(&season, 4), (0, 1));
    }
}
