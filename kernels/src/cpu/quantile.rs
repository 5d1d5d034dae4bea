//! Quantiles along time.

use rayon::prelude::*;

use crate::{LANES, Lanes};

pub(crate) fn quantiles(y: &Lanes, levels: &[f32]) -> Lanes {
    let mut quantiles = Lanes::zeros(levels.len(), y.series());
    quantiles.par_groups_mut().for_each(|(group, quantiles)| {
        let mut sorted = Vec::with_capacity(y.steps());
        for lane in 0..LANES {
            sorted.clear();
            sorted.extend(y.group(group).iter().map(|row| row[lane]).filter(|value| !value.is_nan()));
            sorted.sort_unstable_by(f32::total_cmp);
            for (row, &level) in quantiles.iter_mut().zip(levels) {
                row[lane] = interpolate(&sorted, level);
            }
        }
    });
    quantiles
}

fn interpolate(sorted: &[f32], level: f32) -> f32 {
    let Some(last) = sorted.len().checked_sub(1) else { return f32::NAN };
    let h = last as f64 * f64::from(level);
    let below = h as usize; // `level` is at most 1, so this is at most `last`
    let above = (below + 1).min(last);
    let share = (h - below as f64) as f32;
    (1.0 - share) * sorted[below] + share * sorted[above]
}
