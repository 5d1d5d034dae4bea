//! The theta method's fit, the slow and plain way: a fine grid over the weight, and a finer one around its best.

use super::theta::theta_profile;
use crate::{THETA_ALPHA_RANGE, ThetaForm};

/// Least sum of squares of one series and the weight that reaches it; see [`crate::theta_fit`].
pub fn theta_fit(y: &[f64], form: ThetaForm) -> (f64, f64) {
    let (lowest, highest) = THETA_ALPHA_RANGE;
    let mut best = (f64::INFINITY, lowest);
    let (mut from, mut to) = (lowest, highest);
    for _ in 0..3 {
        for i in 0..=200 {
            let alpha = from + (to - from) * f64::from(i) / 200.0;
            let sse = theta_profile(&[y.to_vec()], form, &[alpha]).sse[0];
            if sse < best.0 {
                best = (sse, alpha);
            }
        }
        let reach = (to - from) / 200.0;
        (from, to) = ((best.1 - reach).max(lowest), (best.1 + reach).min(highest));
    }
    best
}
