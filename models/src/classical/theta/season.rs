//! Whether a series has its season, and the season taken out by classical decomposition.
//!
//! Source: Fiorucci et al. 2016, section 2, and Hyndman and Athanasopoulos, *Forecasting: Principles and
//! Practice*, 3rd ed., 3.4; the choices between them are those of statsforecast 2.1.1.

use serde::{Deserialize, Serialize};

/// Shortest season that is looked for.
pub(super) const SHORTEST: usize = 4;

/// The 95 % point of the normal distribution: a two-sided test at 10 %.
const CRITICAL: f64 = 1.644_853_626_951_472_2;

/// A season that multiplies and somewhere takes all but so much away is added instead.
const LEAST_FACTOR: f64 = 0.01;

/// A season as one number for each of its places, the first step's first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ThetaSeason {
    /// None was found.
    None,
    /// Numbers that are added, in the series' unit, with a mean of 0.
    Added(Vec<f64>),
    /// Factors with a mean of 1.
    Multiplied(Vec<f64>),
}

impl ThetaSeason {
    /// The season of `steps` steps of a series: factors where every value is positive, else sums. `None` where
    /// gaps leave a place of the season without any number.
    pub(super) fn of(values: &[f64], steps: usize) -> Option<Self> {
        if values.iter().all(|v| v.is_nan() || *v > 0.0) {
            let factors = decompose(values, steps, true)?;
            if factors.iter().all(|factor| *factor >= LEAST_FACTOR) {
                return Some(Self::Multiplied(factors));
            }
        }
        decompose(values, steps, false).map(Self::Added)
    }

    /// A series without it.
    pub(super) fn without(&self, values: &[f64]) -> Vec<f64> {
        let mut left = values.to_vec();
        match self {
            Self::None => {}
            Self::Added(places) => {
                for cycle in left.chunks_mut(places.len()) {
                    cycle.iter_mut().zip(places).for_each(|(value, place)| *value -= place);
                }
            }
            Self::Multiplied(places) => {
                for cycle in left.chunks_mut(places.len()) {
                    cycle.iter_mut().zip(places).for_each(|(value, place)| *value /= place);
                }
            }
        }
        left
    }

    /// What a forecast of step `t` becomes with it: factor and sum.
    pub(super) fn at(&self, t: usize) -> (f64, f64) {
        match self {
            Self::None => (1.0, 0.0),
            Self::Added(places) => (1.0, places[t % places.len()]),
            Self::Multiplied(places) => (places[t % places.len()], 0.0),
        }
    }

    /// Whether it has numbers, each of them finite.
    pub(super) fn is_finite(&self) -> bool {
        match self {
            Self::None => true,
            Self::Added(places) | Self::Multiplied(places) => {
                !places.is_empty() && places.iter().all(|place| place.is_finite())
            }
        }
    }
}

/// Whether the autocorrelation one season later stands out at the 10 % level, given those at the lags up to it
/// and the number of observed steps: Bartlett's bound.
pub(super) fn is_seasonal(autocorrelations: &[f32], observed: usize) -> bool {
    let Some((at_season, before)) = autocorrelations.split_last() else { return false };
    let squares: f64 = before.iter().map(|r| f64::from(*r) * f64::from(*r)).sum();
    f64::from(*at_season).abs() > CRITICAL * ((1.0 + 2.0 * squares) / observed as f64).sqrt()
}

/// Classical decomposition: what is left at each place of the season, on average, of the centred moving average.
///
/// Over a gap the average is that of the steps seen, which leans towards their places in the season; so a gap is
/// filled with what that first season says, and the season is found once more.
pub(in crate::classical) fn decompose(values: &[f64], season: usize, multiplied: bool) -> Option<Vec<f64>> {
    let trend = moving_average(values, season);
    let first = places(values, &trend, season, multiplied)?;
    if !values.iter().any(|v| v.is_nan()) {
        return Some(first);
    }
    let filled: Vec<f64> = (values.iter().zip(&trend).enumerate())
        .map(|(t, (value, trend))| match (value.is_nan(), multiplied) {
            (false, _) => *value,
            (true, false) => trend + first[t % season],
            (true, true) => trend * first[t % season],
        })
        .collect();
    places(values, &moving_average(&filled, season), season, multiplied)
}

/// Mean of what the trend leaves at each place of the season, with a mean of 0 or 1 over the places.
fn places(values: &[f64], trend: &[f64], season: usize, multiplied: bool) -> Option<Vec<f64>> {
    let mut totals = vec![(0.0, 0.0); season];
    for (values, trend) in values.chunks(season).zip(trend.chunks(season)) {
        for ((value, trend), (total, count)) in values.iter().zip(trend).zip(&mut totals) {
            let left = if multiplied { value / trend } else { value - trend };
            if !left.is_nan() {
                *total += left;
                *count += 1.0;
            }
        }
    }
    if totals.iter().any(|(_, count)| *count == 0.0) {
        return None;
    }
    let mut places: Vec<f64> = totals.iter().map(|(total, count)| total / count).collect();
    let mean = places.iter().sum::<f64>() / season as f64;
    places.iter_mut().for_each(|place| if multiplied { *place /= mean } else { *place -= mean });
    Some(places)
}

/// The average over one season around each step, of the steps seen; NaN less than half a season from an end and
/// where less than half of the steps were seen. An even season takes half of the step at either end.
fn moving_average(values: &[f64], season: usize) -> Vec<f64> {
    let half = season / 2;
    let mut trend = vec![f64::NAN; values.len()];
    if values.len() < season + 1 - season % 2 {
        return trend;
    }
    let gaps = values.iter().any(|v| v.is_nan());
    let totals = if gaps {
        window_sums(&values.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect::<Vec<_>>(), season)
    } else {
        window_sums(values, season)
    };
    let counts =
        gaps.then(|| window_sums(&values.iter().map(|v| f64::from(u8::from(!v.is_nan()))).collect::<Vec<_>>(), season));
    let full = season as f64;
    let (step, both) = if season.is_multiple_of(2) { (1, 2.0) } else { (0, 1.0) };
    let around = |sums: &[f64], at: usize| if step == 1 { sums[at] + sums[at + 1] } else { sums[at] };
    for at in 0..totals.len() - step {
        let count = counts.as_ref().map_or(both * full, |counts| around(counts, at));
        if 2.0 * count >= both * full {
            trend[at + half] = around(&totals, at) / count;
        }
    }
    trend
}

/// Sum of every `width` neighbours. Each is the end of one block of `width` and the beginning of the next, so that
/// nothing is ever taken away again: one huge value spoils no window but its own.
fn window_sums(values: &[f64], width: usize) -> Vec<f64> {
    let count = values.len() + 1 - width;
    let mut sums = vec![0.0; count];
    for block in (0..count).step_by(width) {
        let mut sum = 0.0;
        for at in (block..block + width).rev() {
            sum += values[at];
            if at < count {
                sums[at] = sum;
            }
        }
        let mut sum = 0.0;
        for at in block + 1..(block + width).min(count) {
            sum += values[at + width - 1];
            sums[at] += sum;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_summed_from_two_blocks() {
        let values: Vec<f64> = (0..23).map(|t| f64::from(t * t % 17)).collect();
        for width in 1..=23 {
            let expected: Vec<f64> = values.windows(width).map(|w| w.iter().sum()).collect();
            assert_eq!(window_sums(&values, width), expected, "{width}"); // whole numbers: exact
        }
        let mut spiked = values.clone();
        spiked[7] = 1e30;
        assert_eq!(window_sums(&spiked, 4)[8..], window_sums(&values, 4)[8..]);
    }

    /// statsmodels 0.15 `seasonal_decompose` of `t + 20 + [4, -3, 0, 1, 2][t mod 5]`, 17 steps, and of a season of 4.
    #[test]
    fn the_season_is_the_peers() {
        let wave = |season: usize| -> Vec<f64> {
            (0..17).map(|t| t as f64 + 20.0 + [4.0, -3.0, 0.0, 1.0, 2.0][t % season]).collect()
        };
        for (season, multiplied, expected) in GOLDEN {
            let found = decompose(&wave(*season), *season, *multiplied).unwrap();
            for (found, expected) in found.iter().zip(*expected) {
                assert!((found - expected).abs() < 1e-12, "{season} {multiplied}: {found} {expected}");
            }
        }
    }

    const GOLDEN: &[(usize, bool, &[f64])] = &[
        (5, false, &[3.2, -3.8, -0.8, 0.2, 1.2]),
        (
            5,
            true,
            &[
                1.113_510_197_348_309,
                0.869_002_241_296_331_3,
                0.970_186_680_894_480_3,
                1.006_678_459_226_342_7,
                1.040_622_421_234_537_2,
            ],
        ),
        (4, false, &[3.5, -3.5, -0.5, 0.5]),
        (
            4,
            true,
            &[1.123_111_062_313_051_6, 0.878_825_078_071_739_9, 0.980_834_711_051_455_8, 1.017_229_148_563_753_2],
        ),
    ];

    #[test]
    fn a_gap_is_filled_with_the_season_it_lies_in() {
        let truth = [4.0, -3.0, 0.5, -1.5];
        let mut values: Vec<f64> = (0..48).map(|t| 0.25 * f64::from(t) + truth[t as usize % 4]).collect();
        for t in [9, 21, 22, 34] {
            values[t] = f64::NAN;
        }
        let found = decompose(&values, 4, false).unwrap();
        for (found, truth) in found.iter().zip(truth) {
            assert!((found - truth).abs() < 0.1, "{found} {truth}"); // a sixth of a place's spread, twice
        }
    }

    #[test]
    fn signs_and_depth_choose_between_sum_and_factor() {
        let wave = |base: f64, depth: f64| -> Vec<f64> {
            (0..24).map(|t| base + depth * [1.0, -1.0, 0.5, -0.5][t % 4]).collect()
        };
        assert!(matches!(ThetaSeason::of(&wave(10.0, 3.0), 4), Some(ThetaSeason::Multiplied(_))));
        assert!(matches!(ThetaSeason::of(&wave(2.0, 3.0), 4), Some(ThetaSeason::Added(_))));
        assert!(matches!(ThetaSeason::of(&wave(3.01, 3.0), 4), Some(ThetaSeason::Added(_))), "a factor of 0.003");
        let hole: Vec<f64> = (0..24).map(|t| if t % 4 == 2 { f64::NAN } else { 5.0 }).collect();
        assert_eq!(ThetaSeason::of(&hole, 4), None);
    }
}
