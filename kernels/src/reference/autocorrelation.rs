//! How one series resembles itself some steps later.

/// See [`crate::autocorrelations`].
pub fn autocorrelations(y: &[f64], lags: usize) -> Vec<f64> {
    let observed: Vec<f64> = y.iter().copied().filter(|v| !v.is_nan()).collect();
    let mean = observed.iter().sum::<f64>() / observed.len().max(1) as f64;
    let distance: Vec<f64> = y.iter().map(|v| if v.is_nan() { 0.0 } else { v - mean }).collect();
    let squares: f64 = distance.iter().map(|d| d * d).sum();
    let at = |lag: usize| -> f64 { distance.iter().zip(distance.iter().skip(lag)).map(|(a, b)| a * b).sum() };
    (1..=lags).map(|lag| if squares > 0.0 { at(lag) / squares } else { 0.0 }).collect()
}
