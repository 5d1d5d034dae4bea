//! What a series shows before anything is estimated of it.

use super::CardSeasons;
use crate::transform::mean;

/// The 90 % points of the chi-squared distribution with one degree of freedom and of the normal one.
const CHI_SQUARED: f64 = 2.705_543_454_095_414;
const NORMAL: f64 = 1.281_551_565_544_600_4;
/// Changes a step whose variance is under this share of the series' speak for an autoregression.
const STEPS_WANDER: f64 = 1.2;
/// What is left of a variance beside another of the same numbers is no more than rounding.
const ROUNDING: f64 = 1e-12;

/// The outcome of the tests, all at the 10 % level.
pub(super) struct Pretests {
    pub(super) seasons: CardSeasons,
    /// Change at each step.
    pub(super) changes: Vec<f64>,
    /// Whether the series is autoregressive: its changes vary less than it does.
    pub(super) wanders: bool,
    /// Whether the means of the places of the season differ, one-way ANOVA of the changes, or of the values where
    /// the series does not wander.
    pub(super) seasonal: bool,
    /// Whether those of the longer season do.
    pub(super) longer_seasonal: bool,
    /// Whether the autocorrelation one season later stands out.
    pub(super) season_recurs: bool,
    /// Whether the one a longer season later does.
    pub(super) longer_recurs: bool,
}

impl Pretests {
    pub(super) fn of(x: &[f64], seasons: CardSeasons) -> Self {
        let changes: Vec<f64> = x.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let wanders = variance(&changes) < STEPS_WANDER * variance(x);
        let z = if wanders { &changes[..] } else { x };
        let (season_recurs, longer_recurs) = recur(z, seasons);
        Self {
            seasons,
            wanders,
            seasonal: places_differ(z, seasons.season),
            longer_seasonal: places_differ(z, seasons.longer),
            season_recurs,
            longer_recurs,
            changes,
        }
    }
}

pub(super) fn variance(values: &[f64]) -> f64 {
    let centre = mean(values);
    values.iter().map(|v| (v - centre) * (v - centre)).sum::<f64>() / values.len() as f64
}

/// Means of whole seasons, the last of which ends with the series.
pub(super) fn cycle_means(values: &[f64], season: usize) -> Vec<f64> {
    values[values.len() % season..].chunks_exact(season).map(mean).collect()
}

/// One-way ANOVA: whether the means of the season's places differ by more than chance, given three seasons.
pub(super) fn places_differ(z: &[f64], season: usize) -> bool {
    let cycles = z.len() / season;
    if season < 2 || cycles < 3 {
        return false;
    }
    let z = &z[z.len() - cycles * season..];
    let mut places = vec![0.0; season];
    for cycle in z.chunks_exact(season) {
        places.iter_mut().zip(cycle).for_each(|(place, z)| *place += z / cycles as f64);
    }
    let between = variance(&places);
    let within = (variance(z) - between).max(ROUNDING * between);
    let (above, below) = ((season - 1) as f64, (season * (cycles - 1)) as f64);
    between > 0.0 && is_large(between / within * below / above, above, below)
}

/// Whether a value of the F distribution lies above its 90 % point, by the cube-root approximation of Paulson
/// (Annals of Mathematical Statistics 13, 1942).
fn is_large(f: f64, above: f64, below: f64) -> bool {
    let (a, b) = (2.0 / (9.0 * above), 2.0 / (9.0 * below));
    let root = f.cbrt();
    (1.0 - b) * root - (1.0 - a) > NORMAL * (b * root * root + a).sqrt()
}

/// Whether the autocorrelations one season and one longer season later stand out, given those before them.
fn recur(z: &[f64], seasons: CardSeasons) -> (bool, bool) {
    let usable = |steps: usize| steps > 1 && z.len() >= 3 * steps;
    let (short, long) = (seasons.season, seasons.longer);
    let lags = if usable(long) { long.max(short) } else { short };
    if !usable(short) && !usable(long) {
        return (false, false);
    }
    let centre = mean(z);
    let d: Vec<f64> = z.iter().map(|z| z - centre).collect();
    let whole = dot(&d, &d);
    if whole == 0.0 {
        return (false, false);
    }
    let mut squares = 0.0;
    let (mut at_short, mut at_long) = (false, false);
    for lag in 1..=lags {
        let r = dot(&d[lag..], &d[..d.len() - lag]) / whole;
        let stands_out = r * r * d.len() as f64 > CHI_SQUARED * (1.0 + 2.0 * squares);
        at_short |= lag == short && usable(short) && stands_out;
        at_long |= lag == long && usable(long) && stands_out;
        squares += r * r;
    }
    (at_short, at_long)
}

/// A dot product whose eight partial sums let the compiler use wide registers.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a_whole, a_rest) = a.as_chunks::<8>();
    let (b_whole, b_rest) = b[..a.len()].as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a_whole.iter().zip(b_whole) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_f_test_is_the_tabled_one() {
        // 90 % points of F; that of (11, 120) lies between the tabled 1.652 at 10 and 1.601 at 12.
        for (point, above, below) in [(2.728, 3.0, 10.0), (1.625, 11.0, 120.0), (1.404, 23.0, 648.0)] {
            assert!(is_large(point * 1.02, above, below) && !is_large(point * 0.98, above, below), "{above} {below}");
        }
    }

    #[test]
    fn a_season_is_told_from_none() {
        let wave: Vec<f64> =
            (0..120).map(|t| [3.0, 1.0, -1.0, -3.0][t % 4] + ((t * t * 7) % 11) as f64 * 0.2).collect();
        let tests = Pretests::of(&wave, CardSeasons::new(4, 28));
        assert!(tests.seasonal && tests.season_recurs, "its season");
        let plain: Vec<f64> = (0..120).map(|t| ((t * t * 7) % 11) as f64).collect();
        assert!(!places_differ(&plain, 4), "none");
        assert!(!places_differ(&wave[..11], 4) && !places_differ(&wave, 1));
    }
}
