//! A series' scale, gaps and the waves that it can tell, or why it has none.

use super::grid::Grid;
use crate::FitStatus;

/// Observations that the errors' model needs.
const LEAST: usize = 12;
/// By how many of its ranges a forecast may leave a series' range: what grows by itself has no bounds.
const LEEWAY: f64 = 10.0;

/// A series that can be regressed.
pub(super) struct Ready {
    /// Its place in the window.
    pub(super) series: usize,
    pub(super) centre: f64,
    pub(super) scale: f64,
    /// Lowest and highest forecast.
    pub(super) bounds: (f64, f64),
    /// Unobserved steps, rising.
    pub(super) missing: Vec<u32>,
    /// How many waves of each season may be used.
    pub(super) told: Vec<usize>,
    /// Deviation, on the scale of the standardised series, below which nothing but rounding is left.
    pub(super) floor: f64,
}

/// Looks at a window's values on the grid of their length.
pub(super) fn prepare(series: usize, values: &[f64], grid: &Grid<'_>) -> Result<Ready, FitStatus> {
    let seen = || values.iter().filter(|v| !v.is_nan());
    let observed = seen().count();
    if observed == 0 {
        return Err(FitStatus::NoData);
    }
    if seen().all(|v| *v == values[0]) {
        return Err(FitStatus::Constant);
    }
    let last = values.iter().rposition(|v| !v.is_nan()).map_or(0, |last| last + 1);
    let needed = LEAST.max(2 * grid.waves.seasons()[0]);
    if observed < LEAST || last < needed {
        return Err(FitStatus::TooShort { observed, needed });
    }
    let rows = values[grid.skip..].iter().filter(|v| !v.is_nan()).count();
    let told = grid.waves.told(&values[..last], rows);
    let centre = seen().sum::<f64>() / observed as f64;
    let scale = (seen().map(|v| (v - centre) * (v - centre)).sum::<f64>() / observed as f64).sqrt();
    let (low, high) = seen().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let room = LEEWAY * (high - low);
    let bounds = (low - room, high + room);
    let finite = centre.is_finite() && (bounds.1 - bounds.0).is_finite();
    if told.iter().all(|&count| count == 0) || !scale.is_normal() || !finite {
        return Err(FitStatus::NotConverged);
    }
    let missing = (0_u32..).zip(values).filter(|(_, v)| v.is_nan()).map(|(t, _)| t).collect();
    // Sums of some thousand products lose a few digits; an offset takes some from every value.
    let floor = 1e-12 + 4.0 * f64::EPSILON * centre.abs() / scale;
    Ok(Ready { series, centre, scale, bounds, missing, told, floor })
}

impl Ready {
    /// The series about its centre, in units of its spread.
    pub(super) fn standardised<'a>(&self, values: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let (centre, scale) = (self.centre, self.scale);
        values.iter().map(move |v| (v - centre) / scale)
    }
}
