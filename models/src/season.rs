//! Which seasons a series has: peaks of its periodogram, each confirmed by its autocorrelation.
//!
//! Source: Vlachos, Yu and Castelli, On periodicity detection and structural periodic similarity (AUTOPERIOD),
//! SIAM Data Mining 2005; here the calendar's own seasons are candidates whether or not they peak.

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;

use crate::transform::{clip_spikes, detrend, fill_gaps};

pub(crate) const DAY_MS: i64 = 86_400_000;
pub(crate) const WEEK_MS: i64 = 7 * DAY_MS;

/// Peaks of the periodogram that are looked at.
const PEAKS: usize = 5;
/// The autocorrelation a season must have one season apart …
const MIN_CORRELATION: f64 = 0.2;
/// … and how far that must rise from the lowest one at a shorter lag: a slow wander has none.
const MIN_RISE: f64 = 0.15;
/// Cycles over the whole series that a season must differ by from one already found.
const LEAKAGE: f64 = 1.5;
/// How much better correlated a longer season of the calendar must be than a shorter one.
const MIN_MORE: f64 = 0.05;

/// A season of one series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Season {
    /// Its length in steps.
    pub steps: usize,
    /// Autocorrelation one season apart, at most about 1.
    pub correlation: f64,
}

/// The calendar's seasons at a sampling interval, in steps: the day and the week, where they are whole
/// seasons of at least two steps.
pub fn calendar(step_ms: i64) -> Vec<usize> {
    let steps = |span: i64| (span as f64 / step_ms as f64).round() as usize;
    [steps(DAY_MS), steps(WEEK_MS)].into_iter().filter(|steps| *steps >= 2).collect()
}

/// The seasons that a series shows, the most correlated first; none of a constant or short one.
///
/// `calendar` are candidates in any case; others must peak in the periodogram, and what is a part or a
/// multiple of a season already found is not another. A season must fit twice into the series, one that
/// is not the calendar's three times.
pub fn detect(values: &[f64], calendar: &[usize]) -> Vec<Season> {
    let n = values.len();
    let mut filled = fill_gaps(values);
    clip_spikes(&mut filled, 5.0); // or a burst would tilt the line
    detrend(&mut filled);
    clip_spikes(&mut filled, 5.0);
    let mean = filled.iter().sum::<f64>() / n.max(1) as f64;
    filled.iter_mut().for_each(|y| *y -= mean);
    let scale = values.iter().filter(|y| !y.is_nan()).fold(0.0, |most: f64, y| most.max(y.abs()));
    let noise = 1e-9 * scale; // what rounding leaves of a constant or a straight line
    if n < 8 || filled.iter().all(|y| y.abs() <= noise) {
        return Vec::new();
    }
    let (power, correlation) = spectrum(&filled);
    let confirm = |steps: usize| confirmed(&correlation, steps);
    let mut seasons: Vec<Season> = Vec::new();
    for known in calendar.iter().copied().filter(|steps| 2 * steps <= n).filter_map(confirm) {
        // A day repeats every week too: the week is a season of its own where it says more.
        if seasons.iter().all(|shorter| known.correlation > shorter.correlation + MIN_MORE) {
            seasons.push(known);
        }
    }
    for steps in peaks(&power, &correlation, n) {
        let related = |known: &Season| {
            let (small, large) = (known.steps.min(steps) as f64, known.steps.max(steps) as f64);
            let ratio = large / small;
            // A strong season leaks into the frequencies beside it.
            let apart = n as f64 / small - n as f64 / large;
            (ratio - ratio.round()).abs() < 0.05 * ratio.round() || apart < LEAKAGE
        };
        if !seasons.iter().any(related) {
            seasons.extend(confirm(steps));
        }
    }
    seasons.sort_by(|a, b| b.correlation.total_cmp(&a.correlation).then(a.steps.cmp(&b.steps)));
    seasons
}

/// Periodogram and autocorrelation (of lags below `y.len()`), both from one padded transform.
fn spectrum(y: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let n = y.len();
    let padded = (2 * n).next_power_of_two();
    let mut planner = FftPlanner::new();
    let mut buffer: Vec<Complex<f64>> = y.iter().map(|y| Complex::new(*y, 0.0)).collect();
    buffer.resize(padded, Complex::default());
    planner.plan_fft_forward(padded).process(&mut buffer);
    let power: Vec<f64> = buffer[..padded / 2].iter().map(Complex::norm_sqr).collect();
    buffer.iter_mut().for_each(|c| *c = Complex::new(c.norm_sqr(), 0.0));
    planner.plan_fft_inverse(padded).process(&mut buffer);
    let variance = buffer[0].re / n as f64;
    let correlation = (0..n).map(|lag| buffer[lag].re / ((n - lag) as f64 * variance)).collect();
    (power, correlation)
}

/// Periods of the strongest peaks of the periodogram, each moved to the best lag within its resolution.
fn peaks(power: &[f64], correlation: &[f64], n: usize) -> Vec<usize> {
    let padded = 2 * power.len();
    // A season of n / 3 steps at most, of 2 at least.
    let slowest = (3 * padded).div_ceil(n).max(1);
    let mut peaks: Vec<usize> =
        (slowest..power.len() - 1).filter(|&k| power[k] > power[k - 1] && power[k] >= power[k + 1]).collect();
    peaks.sort_by(|a, b| power[*b].total_cmp(&power[*a]));
    peaks.truncate(PEAKS);
    let best_lag = |k: usize| {
        // Half a bin of the unpadded transform to either side.
        let (period, bin) = (padded as f64 / k as f64, padded as f64 / n as f64 / 2.0);
        let shortest = (padded as f64 / (k as f64 + bin)).floor().max(2.0) as usize;
        let longest = ((padded as f64 / (k as f64 - bin).max(1.0)).ceil() as usize).min(n / 3);
        let by_correlation = |a: &usize, b: &usize| correlation[*a].total_cmp(&correlation[*b]);
        (shortest..=longest.max(shortest)).max_by(by_correlation).unwrap_or(period.round() as usize)
    };
    peaks.into_iter().map(best_lag).filter(|steps| *steps >= 2 && 3 * steps <= n).collect()
}

fn confirmed(correlation: &[f64], steps: usize) -> Option<Season> {
    let here = *correlation.get(steps)?;
    let lowest = correlation[1..steps].iter().copied().fold(f64::INFINITY, f64::min);
    let before = *correlation.get(steps - 1)?;
    let after = correlation.get(steps + 1).copied().unwrap_or(f64::NEG_INFINITY);
    let peak = here + 0.02 >= before && here + 0.02 >= after;
    let noise = 2.0 / (correlation.len() as f64).sqrt(); // Bartlett's bound of white noise
    let season = peak && here >= MIN_CORRELATION.max(noise) && here - lowest.min(here) >= MIN_RISE;
    // A season of two steps has one shorter lag, which is its low.
    season.then_some(Season { steps, correlation: here })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};

    fn steps(values: &[f64], calendar: &[usize]) -> Vec<usize> {
        detect(values, calendar).iter().map(|s| s.steps).collect()
    }

    fn wave(n: usize, of: impl Fn(f64) -> f64) -> Vec<f64> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
        (0..n).map(|t| of(t as f64) + 0.3 * (random.random::<f64>() - 0.5)).collect()
    }

    fn turn(t: f64, steps: f64) -> f64 {
        (t / steps * std::f64::consts::TAU).sin()
    }

    #[test]
    fn the_calendar_at_common_steps() {
        assert_eq!(calendar(3_600_000), [24, 168]);
        assert_eq!(calendar(300_000), [288, 2_016]);
        assert_eq!(calendar(DAY_MS), [7]);
        assert!(calendar(WEEK_MS).is_empty());
    }

    #[test]
    fn a_daily_wave_over_a_trend_with_gaps_and_bursts_is_found() {
        let mut values = wave(24 * 20, |t| turn(t, 24.0) + 0.05 * t);
        values[100..130].fill(f64::NAN);
        values[200] = 1e4;
        assert_eq!(steps(&values, &[24, 168]), [24], "{:?}", detect(&values, &[24, 168]));
    }

    #[test]
    fn a_week_of_two_kinds_of_days_has_both_seasons() {
        let work = |t: f64| if (t / 24.0) as usize % 7 < 5 { 1.0 } else { 0.3 };
        let found = steps(&wave(24 * 35, |t| 2.0 * work(t) + work(t) * turn(t, 24.0)), &[24, 168]);
        assert_eq!(found, [168, 24]);
    }

    #[test]
    fn a_season_of_no_calendar_is_found_to_the_step() {
        assert_eq!(steps(&wave(600, |t| turn(t, 37.0)), &[24, 168]), [37]);
    }

    #[test]
    fn wander_noise_constants_and_short_series_have_none() {
        let mut level = 0.0;
        let steps_taken = wave(1_000, |_| 0.0);
        let wander: Vec<f64> = steps_taken
            .iter()
            .map(|step| {
                level += step;
                level
            })
            .collect();
        assert!(steps(&wander, &[24]).is_empty(), "{:?}", detect(&wander, &[24]));
        assert!(steps(&steps_taken, &[24]).is_empty(), "{:?}", detect(&steps_taken, &[24]));
        for flat in [vec![5e9; 200], (0..200).map(|t| f64::from(t) * 0.1).collect(), vec![1.0, 2.0], vec![f64::NAN; 50]]
        {
            assert!(steps(&flat, &[24]).is_empty());
        }
    }
}
