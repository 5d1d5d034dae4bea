//! Families on the clocks of their series and inside their bounds.

use foreshadow_kernels::Device;

use super::{Local, Way};
use crate::bounds::Bounds;
use crate::{Chosen, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// A family that follows the clocks of a window's series and keeps to their bounds, as [`crate::Auto`] does by itself.
pub struct AsRead(pub Box<dyn Model>);

impl Model for AsRead {
    fn name(&self) -> String {
        self.0.name()
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        self.refit(window, seed, &[])
    }

    fn refit(&self, window: &Window<'_>, seed: u64, learned: &[Option<Vec<f32>>]) -> Result<Box<dyn Fitted>, FitError> {
        let bounds: Vec<Bounds> = (0..window.series_count()).map(|s| window.bounds(s)).collect();
        let Some(local) = Local::of(window) else {
            let fitted = self.0.refit(window, seed, learned)?;
            if bounds.iter().all(|bounds| *bounds == Bounds::NONE) {
                return Ok(fitted);
            }
            let status = fitted.status().to_vec();
            return Ok(Box::new(FittedAsRead { fitted, status, way: None, bounds }));
        };
        let fitted = self.0.refit(&local.panel().window(), seed, learned)?;
        let way = local.into_way();
        Ok(Box::new(FittedAsRead { status: way.statuses(fitted.status()), fitted, way: Some(way), bounds }))
    }

    fn is_trained(&self) -> bool {
        self.0.is_trained()
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        self.0.on(device).map(|family| Box::new(Self(family)) as Box<dyn Model>)
    }
}

struct FittedAsRead {
    fitted: Box<dyn Fitted>,
    status: Vec<FitStatus>,
    way: Option<Way>,
    bounds: Vec<Bounds>,
}

impl Fitted for FittedAsRead {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        self.fitted.family()
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = match &self.way {
            None => self.fitted.predict(horizon, quantiles)?,
            Some(way) => {
                let local = self.fitted.predict(way.horizon(horizon), quantiles).map_err(|error| way.error(error))?;
                way.back(&local, horizon)
            }
        };
        self.bounds.iter().enumerate().for_each(|(series, bounds)| forecast.hold(series, bounds));
        Ok(forecast)
    }

    fn learned(&self, series: usize) -> Option<&[f32]> {
        self.fitted.learned(series)
    }

    fn chosen(&self, series: usize) -> Option<Chosen> {
        self.fitted.chosen(series)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::tests::{HOUR, summer};
    use super::*;
    use crate::classical::{Drift, SeasonalNaive};
    use crate::{Limits, Maximum, Origins, Panel, backtest};

    #[test]
    fn yesterday_is_the_same_hour_of_the_clock() {
        // 100 at noon of the clock, 0 else, for days about the change at hour 100.
        let noon =
            |hour: i64| f64::from(u8::from(summer().local_ms(hour * HOUR).div_euclid(HOUR).rem_euclid(24) == 12));
        let values: Vec<f64> = (0..96).map(|hour| 100.0 * noon(hour)).collect();
        let mut panel = Panel::new(HOUR);
        panel.push("a".into(), 0, &values);
        let says = |panel: &Panel| {
            let fitted = AsRead(Box::new(SeasonalNaive { season: 24 })).fit(&panel.window(), 0).unwrap();
            fitted.predict(Horizon::new(24).unwrap(), &Quantiles::standard()).unwrap().mean(0).to_vec()
        };
        let wanted: Vec<f64> = (96..120).map(|hour| 100.0 * noon(hour)).collect();
        assert_ne!(says(&panel), wanted);
        assert_eq!(says(&panel.with_clock(Some(Arc::new(summer())))), wanted);
    }

    #[test]
    fn bounds_hold_for_mean_and_quantiles_at_every_past_cutoff() {
        let mut panel = Panel::new(HOUR);
        panel.push("free".into(), 0, &(0..20).map(f64::from).collect::<Vec<_>>());
        panel.push("bound".into(), 0, &(0..20).map(f64::from).collect::<Vec<_>>());
        let records: Arc<[(i64, f64)]> = vec![(0, 12.0), (15 * HOUR, 21.0)].into();
        panel.limit(1, Limits { minimum: Some(11.5), maximum: Some(Maximum::Recorded(records)) });
        let (window, horizon) = (panel.window(), Horizon::new(4).unwrap());
        let origins = Origins::rolling(&window, horizon, 3, 4);
        let family = AsRead(Box::new(Drift));
        let folds = backtest(&window, &[&family], origins, horizon, &Quantiles::standard(), 0, &|_, _| ()).unwrap();
        for (origin, most) in [(0, 21.0), (1, 12.0), (2, 12.0)] {
            let forecast = &folds.fold(0, origin).forecast;
            for index in 0..Quantiles::standard().levels().len() {
                assert!(forecast.quantile(1, index).iter().all(|value| (11.5..=most).contains(value)), "{origin}");
            }
            assert!(forecast.mean(1).iter().all(|value| *value <= most));
        }
        assert!(folds.fold(0, 0).forecast.mean(0)[3] > 18.0);
        assert_eq!(folds.fold(0, 1).forecast.mean(1), [12.0; 4], "11 and rising by one, at its most");
    }
}
