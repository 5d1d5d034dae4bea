//! Small transforms of one series that several parts share.

/// The series with each gap on the straight line between its neighbours, and the nearest observation
/// past either end; all zero for a series without one.
pub(crate) fn fill_gaps(values: &[f64]) -> Vec<f64> {
    let mut filled = values.to_vec();
    let mut last: Option<usize> = None;
    for t in 0..values.len() {
        if values[t].is_nan() {
            continue;
        }
        let (from, start) = last.map_or((0, values[t]), |last| (last + 1, values[last]));
        let span = (t + 1 - from) as f64;
        for (ahead, hole) in filled[from..t].iter_mut().enumerate() {
            *hole = start + (values[t] - start) * (ahead + 1) as f64 / span;
        }
        last = Some(t);
    }
    let tail = last.map_or(0, |last| last + 1);
    let end = last.map_or(0.0, |last| values[last]);
    filled[tail..].fill(end);
    filled
}

/// Takes the least-squares line out of a series without gaps.
pub(crate) fn detrend(values: &mut [f64]) {
    let n = values.len() as f64;
    let centre = (n - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / n;
    let (top, bottom) = values.iter().enumerate().fold((0.0, 0.0), |(top, bottom), (t, y)| {
        let t = t as f64 - centre;
        (top + t * (y - mean), bottom + t * t)
    });
    let slope = if bottom > 0.0 { top / bottom } else { 0.0 };
    for (t, y) in values.iter_mut().enumerate() {
        *y -= mean + slope * (t as f64 - centre);
    }
}

/// Draws values that lie further than `widths` robust deviations from the median back to that distance,
/// so that a burst does not outweigh a season. The deviation is 1.4826 times the median absolute one; a
/// series that is its median more than half of the time is left as it is.
pub(crate) fn clip_spikes(values: &mut [f64], widths: f64) {
    let centre = median(&mut values.to_vec());
    let mut distances: Vec<f64> = values.iter().map(|y| (y - centre).abs()).collect();
    let reach = widths * 1.4826 * median(&mut distances);
    if reach > 0.0 {
        values.iter_mut().for_each(|y| *y = y.clamp(centre - reach, centre + reach));
    }
}

/// The mean; NaN of none.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The middle value, the upper one of two; the order of `values` is lost. Zero for none.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_become_lines_and_ends_repeat() {
        let nan = f64::NAN;
        assert_eq!(fill_gaps(&[nan, 1.0, nan, nan, 4.0, nan]), [1.0, 1.0, 2.0, 3.0, 4.0, 4.0]);
        assert_eq!(fill_gaps(&[nan, nan]), [0.0, 0.0]);
    }

    #[test]
    fn a_line_is_taken_out_whole() {
        let mut line: Vec<f64> = (0..50).map(|t| 3.0 + 0.25 * f64::from(t)).collect();
        detrend(&mut line);
        assert!(line.iter().all(|y| y.abs() < 1e-12));
    }

    #[test]
    fn a_spike_is_drawn_in_and_the_rest_is_kept() {
        let mut values: Vec<f64> = (0..9).map(f64::from).chain([1e6]).collect();
        clip_spikes(&mut values, 3.0);
        assert_eq!(values[..9], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert!((values[9] - (5.0 + 3.0 * 1.4826 * 3.0)).abs() < 1e-9);
        let mut mostly_zero = [0.0, 0.0, 0.0, 7.0];
        clip_spikes(&mut mostly_zero, 3.0);
        assert_eq!(mostly_zero, [0.0, 0.0, 0.0, 7.0]);
    }
}
