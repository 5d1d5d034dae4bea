//! What a model says of the steps after a cutoff.

use crate::bounds::Bounds;
use crate::normal_quantile;

/// Steps ahead to forecast, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Horizon(usize);

impl Horizon {
    /// A horizon of `steps`; `None` for zero.
    pub fn new(steps: usize) -> Option<Self> {
        (steps > 0).then_some(Self(steps))
    }

    /// The number of steps.
    pub fn steps(self) -> usize {
        self.0
    }
}

/// Probabilities in `(0, 1)`, rising, none twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles(Vec<f64>);

impl Quantiles {
    /// Checks that `levels` rise strictly inside `(0, 1)`; `None` if they do not.
    pub fn new(levels: Vec<f64>) -> Option<Self> {
        let inside = levels.iter().all(|q| *q > 0.0 && *q < 1.0);
        let rising = levels.windows(2).all(|pair| pair[0] < pair[1]);
        (inside && rising).then_some(Self(levels))
    }

    /// The nine deciles and the ends of the 80 % and 95 % bands: what a shadow carries.
    pub fn standard() -> Self {
        Self(vec![0.025, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.975])
    }

    /// The levels, rising.
    pub fn levels(&self) -> &[f64] {
        &self.0
    }

    /// Where a level stands, if it is among them to 1e-9.
    pub fn index_of(&self, level: f64) -> Option<usize> {
        self.0.iter().position(|q| (q - level).abs() < 1e-9)
    }
}

/// Mean and quantiles of a batch, logically `[quantiles, horizon, series]`, in each series' own unit.
///
/// Stored series by series, so that one series' curve is one slice. Rows of a series whose
/// [`crate::FitStatus`] is not usable are NaN.
#[derive(Clone, Debug)]
pub struct Forecast {
    horizon: Horizon,
    quantiles: Quantiles,
    mean: Vec<f64>,
    bands: Vec<f64>,
}

impl Forecast {
    /// A forecast of NaN for `series_count` series, to be filled.
    pub fn empty(series_count: usize, horizon: Horizon, quantiles: Quantiles) -> Self {
        let mean = vec![f64::NAN; series_count * horizon.steps()];
        let bands = vec![f64::NAN; mean.len() * quantiles.levels().len()];
        Self { horizon, quantiles, mean, bands }
    }

    /// Normal forecasts of as many series as `curves` has: mean and standard deviation of each step ahead, or nothing,
    /// which leaves NaN.
    pub fn normal(
        horizon: Horizon,
        quantiles: &Quantiles,
        curves: impl ExactSizeIterator<Item = Option<(Vec<f64>, Vec<f64>)>>,
    ) -> Self {
        let mut forecast = Self::empty(curves.len(), horizon, quantiles.clone());
        for (series, curve) in curves.enumerate() {
            if let Some((mean, spread)) = curve {
                forecast.set_normal(series, &mean, |step| spread[step]);
            }
        }
        forecast
    }

    /// Fills one series with its mean and normal quantiles of standard deviation `spread(step)`, the
    /// first step ahead being 0.
    ///
    /// # Panics
    /// When `mean` is not one value a step.
    pub fn set_normal(&mut self, series: usize, mean: &[f64], spread: impl Fn(usize) -> f64) {
        self.mean_mut(series).copy_from_slice(mean);
        for index in 0..self.quantiles.levels().len() {
            let z = normal_quantile(self.quantiles.levels()[index]);
            let band = self.quantile_mut(series, index);
            for (step, value) in band.iter_mut().enumerate() {
                *value = mean[step] + z * spread(step);
            }
        }
    }

    /// Steps ahead.
    pub fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// The levels of its quantiles.
    pub fn quantiles(&self) -> &Quantiles {
        &self.quantiles
    }

    /// Series of the batch.
    pub fn series_count(&self) -> usize {
        self.mean.len() / self.horizon.steps()
    }

    /// The mean of one series, one value a step ahead.
    pub fn mean(&self, series: usize) -> &[f64] {
        &self.mean[series * self.horizon.steps()..][..self.horizon.steps()]
    }

    /// The mean of one series, to write.
    pub fn mean_mut(&mut self, series: usize) -> &mut [f64] {
        let steps = self.horizon.steps();
        &mut self.mean[series * steps..][..steps]
    }

    /// One quantile of one series, `index` into [`Quantiles::levels`].
    pub fn quantile(&self, series: usize, index: usize) -> &[f64] {
        let at = series * self.quantiles.levels().len() + index;
        &self.bands[at * self.horizon.steps()..][..self.horizon.steps()]
    }

    /// One quantile of one series, to write.
    pub fn quantile_mut(&mut self, series: usize, index: usize) -> &mut [f64] {
        let steps = self.horizon.steps();
        let at = series * self.quantiles.levels().len() + index;
        &mut self.bands[at * steps..][..steps]
    }

    /// Holds everything that is said of a series between bounds.
    pub fn hold(&mut self, series: usize, bounds: &Bounds) {
        self.mean_mut(series).iter_mut().for_each(|value| *value = bounds.hold(*value));
        for index in 0..self.quantiles.levels().len() {
            self.quantile_mut(series, index).iter_mut().for_each(|value| *value = bounds.hold(*value));
        }
    }

    /// Takes over what another forecast says of one of its series.
    ///
    /// # Panics
    /// When horizon or quantiles differ.
    pub fn copy(&mut self, series: usize, from: &Forecast, from_series: usize) {
        assert!(self.horizon == from.horizon && self.quantiles == from.quantiles, "forecasts of one shape");
        self.mean_mut(series).copy_from_slice(from.mean(from_series));
        for index in 0..self.quantiles.levels().len() {
            self.quantile_mut(series, index).copy_from_slice(from.quantile(from_series, index));
        }
    }

    /// Whether every number said of a series is finite.
    pub fn is_finite(&self, series: usize) -> bool {
        let curves = (0..self.quantiles.levels().len()).flat_map(|index| self.quantile(series, index));
        self.mean(series).iter().chain(curves).all(|value| value.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_must_rise_inside_the_unit_interval() {
        for bad in [vec![0.0], vec![0.5, 0.5], vec![0.9, 0.1], vec![1.0], vec![f64::NAN]] {
            assert!(Quantiles::new(bad.clone()).is_none(), "{bad:?}");
        }
        assert_eq!(Quantiles::standard().index_of(0.975), Some(10));
    }

    #[test]
    fn a_normal_band_has_its_textbook_width() {
        let mut forecast = Forecast::empty(2, Horizon::new(2).unwrap(), Quantiles::new(vec![0.025, 0.975]).unwrap());
        forecast.set_normal(1, &[10.0, 20.0], |step| (step + 1) as f64);
        assert!((forecast.quantile(1, 1)[1] - (20.0 + 2.0 * 1.959_963_984_540_054)).abs() < 1e-12);
        assert!(forecast.mean(0).iter().all(|v| v.is_nan()), "an unfilled series stays NaN");
    }
}
