//! A series made ready: gaps filled for the screen, differences taken.

use crate::arima_fit::ArimaSeries;

impl ArimaSeries<'_> {
    /// The series differenced, its gaps filled first.
    pub fn differenced(&self) -> Vec<f64> {
        let series = self;
        let mut values = filled(series.values, series.season);
        for _ in 0..series.seasonal_differences {
            difference(&mut values, series.season);
        }
        for _ in 0..series.differences {
            difference(&mut values, 1);
        }
        values
    }
}

fn difference(values: &mut Vec<f64>, lag: usize) {
    if values.len() <= lag {
        values.clear();
        return;
    }
    for t in 0..values.len() - lag {
        values[t] = values[t + lag] - values[t];
    }
    values.truncate(values.len() - lag);
}

/// Each gap from the same slot of the seasons about it, moved by how the ends of the gap differ from theirs; without
/// a season, a line across.
fn filled(values: &[f64], season: usize) -> Vec<f64> {
    let mut filled = values.to_vec();
    let mut t = 0;
    while t < filled.len() {
        if !filled[t].is_nan() {
            t += 1;
            continue;
        }
        let end = (t..filled.len()).find(|&i| !values[i].is_nan()).unwrap_or(filled.len());
        let shape: Vec<f64> = (t.saturating_sub(1)..=end).map(|i| in_season(values, &filled, i, season)).collect();
        let from = t.saturating_sub(1);
        let before = if t > 0 { filled[t - 1] - shape[0] } else { 0.0 };
        let after = if end < filled.len() { values[end] - shape[end - from] } else { before };
        for i in t..end {
            let share = (i - from) as f64 / (end - from) as f64;
            filled[i] = shape[i - from] + before + share * (after - before);
        }
        t = end;
    }
    filled
}

/// What the nearest seasons on either side hold at a step: their mean, 0 where none holds anything.
fn in_season(values: &[f64], filled: &[f64], step: usize, season: usize) -> f64 {
    if season < 2 {
        return 0.0;
    }
    // A gap of more than a season is not filled yet a season before its end.
    let known = |v: &f64| !v.is_nan();
    let earlier = (1..).map_while(|k| step.checked_sub(k * season)).map(|i| filled[i]).find(known);
    let later = (1..).map_while(|k| values.get(step + k * season)).copied().find(known);
    match (earlier, later) {
        (Some(a), Some(b)) => 0.5 * (a + b),
        (a, b) => a.or(b).unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_follows_the_season_or_a_line() {
        let line = [1.0, f64::NAN, f64::NAN, 4.0];
        assert_eq!(filled(&line, 1), [1.0, 2.0, 3.0, 4.0]);
        let mut wave: Vec<f64> = (0..16).map(|t| [0.0, 5.0, -1.0, 2.0][t % 4] + t as f64).collect();
        let whole = wave.clone();
        wave[5..7].fill(f64::NAN);
        wave[15] = f64::NAN;
        for (found, expected) in filled(&wave, 4).iter().zip(&whole) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let mut long = whole.clone();
        long[5..11].fill(f64::NAN);
        assert!(filled(&long, 4).iter().all(|value| value.is_finite()), "a gap longer than the season");
    }

    #[test]
    fn differences_and_what_they_carry_agree() {
        let values: Vec<f64> = (0..20).map(|t| f64::from((t * t * 7) % 23)).collect();
        let series = ArimaSeries { values: &values, differences: 1, seasonal_differences: 1, season: 3 };
        let carried = series.carried();
        assert_eq!(carried, [1.0, 0.0, 1.0, -1.0]);
        let differenced = series.differenced();
        assert_eq!(differenced.len(), 16);
        for (t, found) in differenced.iter().enumerate() {
            let before: f64 = carried.iter().enumerate().map(|(i, c)| c * values[t + 3 - i]).sum();
            assert_eq!(*found, values[t + 4] - before);
        }
    }
}
