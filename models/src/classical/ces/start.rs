//! A series made ready: its scale, and where each form starts.

use foreshadow_kernels::CesForm;

use super::super::theta::season::decompose;
use super::{Ces, estimated};
use crate::FitStatus;

/// Steps whose mean starts the level of a form without a season.
const FIRST: usize = 10;
/// Observations more than estimates that the corrected criterion asks for.
const FREEDOM: usize = 2;

/// A series ready to be fitted.
pub(super) struct Prepared {
    /// Its values up to the last observed one, over `scale`.
    pub(super) y: Vec<f64>,
    /// Mean size of its values.
    pub(super) scale: f64,
    /// Lowest and highest of `y`.
    pub(super) range: (f64, f64),
    /// Unobserved steps between the last observed one and the window's end.
    pub(super) unseen: usize,
    pub(super) observed: f64,
    pub(super) season: usize,
    form: Option<CesForm>,
    /// Level of the forms with and without a season, and the season around it; none where it is too short for one.
    level: f64,
    first: f64,
    places: Option<Vec<f64>>,
}

/// Prepares a series, or says why it cannot be fitted.
pub(super) fn prepare(values: &[f64], model: &Ces) -> Result<Prepared, FitStatus> {
    let Some(last) = values.iter().rposition(|v| !v.is_nan()) else { return Err(FitStatus::NoData) };
    let seen = &values[..=last];
    let count = seen.iter().filter(|v| !v.is_nan()).count();
    let season = model.season;
    if seen.iter().all(|v| v.is_nan() || *v == seen[0]) {
        return Err(FitStatus::Constant);
    }
    let form = model.form.unwrap_or(CesForm::None);
    let cycles = if form == CesForm::None { 0 } else { 2 * season.max(2) };
    let needed = estimated(form) + FREEDOM;
    if count < needed.max(cycles) || seen.len() < cycles {
        return Err(FitStatus::TooShort { observed: count, needed: needed.max(cycles) });
    }
    let scale = mean(seen.iter().map(|v| v.abs()));
    let y: Vec<f64> = seen.iter().map(|v| v / scale).collect();
    let sound = scale.is_normal() && y.iter().all(|v| v.is_nan() || v.is_finite());
    if !sound {
        return Err(FitStatus::NotConverged);
    }
    let range = y.iter().filter(|v| !v.is_nan()).fold((f64::MAX, f64::MIN), |(l, h), v| (v.min(l), v.max(h)));
    let places = if season > 1 && y.len() >= 2 * season { decompose(&y, season, false) } else { None };
    if model.form.is_some_and(|form| form != CesForm::None) && places.is_none() {
        return Err(FitStatus::TooShort { observed: count, needed: cycles });
    }
    let first = mean(y[..FIRST.min(y.len())].iter().copied());
    let level = mean(y[..season.min(y.len())].iter().copied());
    let (unseen, observed) = (values.len() - seen.len(), count as f64);
    Ok(Prepared { y, scale, range, unseen, observed, season, form: model.form, level, first, places })
}

/// Mean of what is not NaN; a window starts at an observed step, so there is some.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let seen = values.filter(|v| !v.is_nan());
    let (count, mean) = seen.fold((0.0, 0.0), |(count, mean), v| (count + 1.0, mean + (v - mean) / (count + 1.0)));
    if count > 0.0 { mean } else { 0.0 }
}

impl Prepared {
    /// Whether the form is asked for, and the series long enough for it.
    pub(super) fn may_be(&self, form: CesForm) -> bool {
        let asked = self.form.is_none_or(|own| own == form);
        let seasonal = form != CesForm::None;
        asked && (!seasonal || self.places.is_some()) && self.observed >= (estimated(form) + FREEDOM) as f64
    }

    /// Where the form starts, as the kernel takes it.
    pub(super) fn start(&self, form: CesForm) -> Vec<f64> {
        let places = self.places.as_deref().unwrap_or_default();
        match form {
            CesForm::None => vec![self.first],
            // A place that was not seen in the first season starts at what its season says.
            CesForm::Simple => {
                self.y.iter().zip(places).map(|(y, place)| if y.is_nan() { self.level + place } else { *y }).collect()
            }
            CesForm::Partial | CesForm::Full => std::iter::once(self.level).chain(places.iter().copied()).collect(),
        }
    }
}
