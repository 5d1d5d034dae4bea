//! A series' scale and differences, or why it has none.

use foreshadow_kernels::{ArimaFit, ArimaSeries};

use super::ahead::Learned;
use super::differences::{is_constant, needed};
use super::{Arima, MOST, MOST_SEASONAL};
use crate::FitStatus;
use crate::transform::fill_gaps;

/// Cells of covariance that a filter over gaps goes through at most: some seconds of one core.
const LARGEST_FILTER: usize = 1_000_000_000;

/// A series that can be forecast.
pub(in crate::classical) enum Prepared {
    /// It never moved from this value.
    Constant(f64),
    /// It never moves once differenced, so nothing is left to estimate.
    Straight(Box<Learned>),
    /// It goes to the kernels.
    Ready(Ready),
}

/// A standardised series and its differences.
pub(in crate::classical) struct Ready {
    pub(in crate::classical) values: Vec<f64>,
    pub(in crate::classical) centre: f64,
    pub(in crate::classical) scale: f64,
    differences: usize,
    seasonal_differences: usize,
    season: usize,
}

impl Prepared {
    pub(in crate::classical) fn series(&self) -> Option<ArimaSeries<'_>> {
        match self {
            Self::Ready(ready) => Some(ready.series()),
            _ => None,
        }
    }
}

impl Ready {
    pub(in crate::classical) fn series(&self) -> ArimaSeries<'_> {
        ArimaSeries {
            values: &self.values,
            differences: self.differences,
            seasonal_differences: self.seasonal_differences,
            season: self.season,
        }
    }

    /// What a fit says, back in the series' unit.
    pub(in crate::classical) fn learned(&self, fit: &ArimaFit) -> Learned {
        Learned::new(&self.series(), fit, self.centre, self.scale)
    }
}

/// Standardises a series by what it is once differenced.
pub(in crate::classical) fn prepare(model: &Arima, values: &[f64]) -> Result<Prepared, FitStatus> {
    let seen = || values.iter().filter(|v| !v.is_nan());
    let observed = seen().count();
    if observed == 0 {
        return Err(FitStatus::NoData);
    }
    if seen().all(|v| *v == values[0]) {
        return Ok(Prepared::Constant(values[0]));
    }
    let season = model.season;
    let needed_steps = match model.fixed {
        _ if season > Arima::LONGEST_SEASON => usize::MAX,
        Some(fixed) => {
            let reach = fixed.order.ar_reach().max(fixed.order.ma_reach());
            fixed.differences + season * fixed.seasonal_differences + reach.max(season) + fixed.order.coefficients() + 5
        }
        None => (2 * season).max(10) + 2,
    };
    if observed < needed_steps {
        return Err(FitStatus::TooShort { observed, needed: needed_steps });
    }
    let centre = seen().sum::<f64>() / observed as f64;
    let spread = (seen().map(|v| (v - centre) * (v - centre)).sum::<f64>() / observed as f64).sqrt();
    if !spread.is_normal() || !centre.is_finite() {
        return Err(FitStatus::NotConverged);
    }
    let mut values: Vec<f64> = values.iter().map(|v| (v - centre) / spread).collect();
    let (differences, seasonal_differences) = match model.fixed {
        Some(fixed) => (fixed.differences, fixed.seasonal_differences),
        None => needed(&values, season),
    };
    let lost = differences + season * seasonal_differences;
    if observed < values.len() && !gaps_can_be_bridged(&values, season, seasonal_differences, lost) {
        return Err(FitStatus::NotConverged);
    }
    let filled = fill_gaps(&values);
    let differenced = ArimaSeries { values: &filled, differences, seasonal_differences, season }.differenced();
    let mean = differenced.iter().sum::<f64>() / differenced.len().max(1) as f64;
    let size = differenced.iter().map(|w| (w - mean) * (w - mean)).sum::<f64>() / differenced.len().max(1) as f64;
    // Rounding leaves some 1e-16 of the offset's size in every value, which is not the series'.
    let rounding = 4.0 * f64::EPSILON * (1.0 + centre.abs() / spread);
    if is_constant(&differenced) || size.sqrt() <= rounding {
        let series = ArimaSeries { values: &filled, differences, seasonal_differences, season };
        return Ok(Prepared::Straight(Box::new(Learned::straight(&series, mean, centre, spread))));
    }
    values.iter_mut().for_each(|v| *v /= size.sqrt());
    let scale = spread * size.sqrt();
    Ok(Prepared::Ready(Ready { values, centre, scale, differences, seasonal_differences, season }))
}

/// Whether every slot of a season that is differenced was once observed, and the filter's covariance is of a size to be
/// carried over all steps.
fn gaps_can_be_bridged(values: &[f64], season: usize, seasonal_differences: usize, lost: usize) -> bool {
    let slots = if seasonal_differences > 0 { season } else { 1 };
    let known = |slot: usize| values.iter().skip(slot).step_by(slots).any(|value| !value.is_nan());
    let size = lost + if season > 1 { MOST + MOST_SEASONAL * season } else { MOST };
    (0..slots).all(known) && size * size * values.len() <= LARGEST_FILTER
}
