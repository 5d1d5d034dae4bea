//! The seed rule for one series.

use crate::score::SCORE_LIMIT;

/// See [`crate::score()`]: each step's score, and whether it is an anomaly.
pub fn score(deviation: &[f64], half_width: &[f64], threshold: f64) -> Vec<(f64, bool)> {
    let mut scores = Vec::new();
    for t in 0..deviation.len() {
        let limit = f64::from(SCORE_LIMIT);
        let unknown = deviation[t].is_nan() || half_width[t].is_nan() || half_width[t] < 0.0;
        scores.push(if unknown {
            (f64::NAN, false)
        } else if deviation[t] == 0.0 {
            (0.0, 0.0 > threshold * half_width[t])
        } else {
            ((deviation[t] / half_width[t]).clamp(-limit, limit), deviation[t].abs() > threshold * half_width[t])
        });
    }
    scores
}
