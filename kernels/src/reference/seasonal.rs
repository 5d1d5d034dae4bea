//! The mean of each place in the season of one series.

/// See [`crate::seasonal_means`].
pub fn seasonal_means(y: &[f64], season: usize) -> Vec<f64> {
    let mut means = Vec::new();
    for place in 0..season {
        let mut total = 0.0;
        let mut count = 0;
        for t in 0..y.len() {
            if t % season == place && !y[t].is_nan() {
                total += y[t];
                count += 1;
            }
        }
        means.push(if count == 0 { f64::NAN } else { total / f64::from(count) });
    }
    means
}
