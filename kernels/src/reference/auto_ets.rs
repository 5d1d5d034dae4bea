//! The likeliest additive ETS form of a series, each form searched the slow and plain way.

use super::ets_fit::ets_fit;
use crate::{EtsForm, aicc};

/// The least criterion of one standardised series and its form; see [`crate::auto_ets()`].
pub fn auto_ets(y: &[f64], forms: &[EtsForm]) -> (f64, EtsForm) {
    let observed = y.iter().filter(|v| !v.is_nan()).count() as f64;
    let criterion = |&form: &EtsForm| {
        assert!(!form.is_relative(), "the reference fits additive errors alone");
        (observed * ets_fit(y, form).0.ln() + aicc(0.0, observed, form.unknowns() + 1), form)
    };
    forms.iter().map(criterion).min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are forms")
}
