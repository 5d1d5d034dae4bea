//! MSTL written from its papers, one series at a time: every local fit is made anew.

/// Trend, seasons and remainder of one series; see [`crate::decompose()`]. NaN throughout where a slot of a
/// season was never observed.
pub fn decompose(y: &[f64], seasons: &[usize]) -> (Vec<f64>, Vec<Vec<f64>>, Vec<f64>) {
    let mut parts = vec![vec![0.0; y.len()]; seasons.len()];
    let mut trend = vec![0.0; y.len()];
    let rounds = if seasons.len() == 1 { 1 } else { 2 };
    for _ in 0..rounds {
        for (i, &season) in seasons.iter().enumerate() {
            parts[i].fill(0.0);
            let others = less(y, &parts);
            (parts[i], trend) = stl(&others, season, 7 + 4 * (i + 1));
        }
    }
    let adjusted = less(y, &parts);
    let remainder = adjusted.iter().zip(&trend).map(|(y, trend)| y - trend).collect();
    (trend, parts, remainder)
}

/// A series less its seasons; see [`crate::without_seasons`].
pub fn without_seasons(y: &[f64], seasons: &[Vec<f64>]) -> Vec<f64> {
    less(y, seasons)
}

fn less(y: &[f64], parts: &[Vec<f64>]) -> Vec<f64> {
    (0..y.len()).map(|t| y[t] - parts.iter().map(|part| part[t]).sum::<f64>()).collect()
}

/// Season and trend after five inner loops; Cleveland et al. 1990, section 2.
fn stl(y: &[f64], season: usize, cycles: usize) -> (Vec<f64>, Vec<f64>) {
    let n = y.len();
    let odd = |length: f64| (length.ceil() as usize) | 1;
    let trend_window = odd(1.5 * season as f64 / (1.0 - 1.5 / cycles as f64));
    let low_pass_window = odd(season as f64 + 1.0);
    let (mut seasonal, mut trend) = (vec![0.0; n], vec![0.0; n]);
    for _ in 0..5 {
        // Each slot's cycles smoothed, one cycle more at either end.
        let mut smoothed = vec![0.0; n + 2 * season];
        for slot in 0..season {
            let detrended: Vec<f64> = (slot..n).step_by(season).map(|t| y[t] - trend[t]).collect();
            for (place, value) in loess(&detrended, cycles, 0, 1).into_iter().enumerate() {
                smoothed[place * season + slot] = value;
            }
        }
        let filtered = moving_mean(&moving_mean(&moving_mean(&smoothed, season), season), 3);
        let low_pass = loess(&filtered, low_pass_window, 1, 0);
        for t in 0..n {
            seasonal[t] = smoothed[season + t] - low_pass[t];
        }
        let adjusted: Vec<f64> = y.iter().zip(&seasonal).map(|(y, season)| y - season).collect();
        trend = loess(&adjusted, trend_window, 1, 0);
    }
    (seasonal, trend)
}

fn moving_mean(x: &[f64], width: usize) -> Vec<f64> {
    x.windows(width).map(|window| window.iter().sum::<f64>() / width as f64).collect()
}

/// Local fits from the values that are not NaN, at every step and at so many past either end.
fn loess(values: &[f64], window: usize, degree: usize, past: usize) -> Vec<f64> {
    let steps = values.iter().enumerate().filter(|(_, v)| !v.is_nan());
    let points: Vec<(f64, f64)> = steps.map(|(t, v)| (t as f64, *v)).collect();
    let places = (0..values.len() + 2 * past).map(|place| place as f64 - past as f64);
    places.map(|at| fit(&points, window, degree, values.len() as f64 - 1.0, at)).collect()
}

/// The local fit at a place from the `window` nearest points.
fn fit(points: &[(f64, f64)], window: usize, degree: usize, span: f64, at: f64) -> f64 {
    let here = points.partition_point(|(t, _)| *t < at);
    let mut near = points[here.saturating_sub(window)..(here + window).min(points.len())].to_vec();
    if near.is_empty() {
        return f64::NAN;
    }
    let beyond = window.saturating_sub(points.len()) / 2;
    // A stable sort leaves the earlier one of two as near in front.
    near.sort_by(|a, b| (a.0 - at).abs().total_cmp(&(b.0 - at).abs()));
    near.truncate(window);
    let reach = near.iter().map(|(t, _)| (t - at).abs()).fold(0.0, f64::max) + beyond as f64;
    let weight = |t: f64| match (t - at).abs() {
        far if far > 0.999 * reach => 0.0,
        close if close <= 0.001 * reach => 1.0,
        distance => (1.0 - (distance / reach).powi(3)).powi(3),
    };
    let weights: Vec<f64> = near.iter().map(|(t, _)| weight(*t)).collect();
    let sum = |of: &dyn Fn(f64, f64) -> f64| weights.iter().zip(&near).map(|(w, &(t, v))| w * of(t, v)).sum::<f64>();
    let total = sum(&|_, _| 1.0);
    if total <= 0.0 {
        return near[0].1;
    }
    let (centre, mean) = (sum(&|t, _| t) / total, sum(&|_, v| v) / total);
    let spread = sum(&|t, _| (t - centre).powi(2)) / total;
    if degree == 0 || spread.sqrt() <= 0.001 * span {
        return mean;
    }
    let slope = sum(&|t, v| (t - centre) * v) / total / spread;
    mean + slope * (at - centre)
}
