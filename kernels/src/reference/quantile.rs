//! Quantiles of one series.

/// See [`crate::quantiles`].
pub fn quantiles(y: &[f64], levels: &[f64]) -> Vec<f64> {
    let mut observed: Vec<f64> = y.iter().copied().filter(|value| !value.is_nan()).collect();
    observed.sort_by(f64::total_cmp);
    let mut quantiles = Vec::new();
    for level in levels {
        if observed.is_empty() {
            quantiles.push(f64::NAN);
            continue;
        }
        let h = (observed.len() - 1) as f64 * level;
        let low = observed[h.floor() as usize];
        let high = observed[h.ceil() as usize];
        quantiles.push(low + (h - h.floor()) * (high - low));
    }
    quantiles
}
