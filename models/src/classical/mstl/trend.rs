//! What goes on once the seasons are taken out: exponential smoothing without a season, its form by AICc.

use foreshadow_kernels::{Device, KernelError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::{MOST_STEPS, Whole};
use crate::classical::{Ets, EtsParameters, FittedEts};
use crate::device;
use crate::{AppendError, FitStatus, Fitted, Forecast, Horizon, Panel, PredictError, Quantiles};

/// Every form fitted to a batch, and which one each series goes on with.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TrendForecaster {
    forms: Vec<FittedEts>,
    /// Index of each series' form; `None` where no form has a fit.
    chosen: Vec<Option<usize>>,
    /// Unobserved steps between each series' last observation and the first step to forecast.
    bare: Vec<usize>,
}

impl TrendForecaster {
    /// Fits a panel of series without seasons, of which so many steps at the end were not observed.
    pub(super) fn learn(panel: Panel, bare: Vec<usize>, device: &Device) -> Result<Self, KernelError> {
        let window = panel.window();
        let forms = device::each(device, Ets::forms(1).to_vec(), |form| form.learn_on(&window, device))?;
        let choose = |s: usize| {
            let usable = (0..forms.len()).filter_map(|form| Some((form, forms[form].parameters(s)?)));
            let scored = usable.map(|(form, own)| (form, aicc(window.values(s), own)));
            scored.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(form, _)| form)
        };
        let chosen = (0..panel.series_count()).into_par_iter().map(choose).collect();
        Ok(Self { forms, chosen, bare })
    }

    /// How the fit of one series went: that of its form, or of the simplest where none has a fit.
    pub(super) fn status(&self, series: usize) -> FitStatus {
        self.forms[self.chosen[series].unwrap_or(0)].status()[series].clone()
    }

    /// Whether it may have been learned of so many series.
    pub(super) fn is_whole(&self, series_count: usize) -> bool {
        let forms = self.forms.iter().all(|form| form.is_whole() && form.status().len() == series_count);
        let chosen = self.chosen.iter().flatten().all(|form| *form < self.forms.len());
        let counts = self.chosen.len() == series_count && self.bare.len() == series_count;
        !self.forms.is_empty() && forms && chosen && counts && self.bare.iter().all(|bare| *bare < MOST_STEPS)
    }

    /// Takes in a point of every series. One whose window ended unobserved has no way to catch up: it is outdated.
    pub(super) fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        for form in &mut self.forms {
            form.append(points)?;
        }
        for (chosen, bare) in self.chosen.iter_mut().zip(&mut self.bare).filter(|(_, bare)| **bare > 0) {
            (*chosen, *bare) = (None, 0);
        }
        Ok(())
    }

    /// Whether a series has a forecast.
    pub(super) fn forecasts(&self, series: usize) -> bool {
        self.chosen[series].is_some() && self.status(series).is_usable()
    }

    /// Forecasts from the end of each window, which the last observation may lie before.
    pub(super) fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let longest = horizon.steps() + self.bare.iter().max().copied().unwrap_or(0);
        let reach = Horizon::new(longest).expect("a horizon has steps");
        let ahead: Vec<_> = self.forms.iter().map(|form| form.predict(reach, quantiles)).collect::<Result<_, _>>()?;
        let mut forecast = Forecast::empty(self.chosen.len(), horizon, quantiles.clone());
        for (s, (chosen, &bare)) in self.chosen.iter().zip(&self.bare).enumerate() {
            let Some(form) = chosen else { continue };
            let steps = bare..bare + horizon.steps();
            forecast.mean_mut(s).copy_from_slice(&ahead[*form].mean(s)[steps.clone()]);
            for index in 0..quantiles.levels().len() {
                forecast.quantile_mut(s, index).copy_from_slice(&ahead[*form].quantile(s, index)[steps.clone()]);
            }
        }
        Ok(forecast)
    }
}

/// Akaike's criterion, corrected for short series, of a form and its weights; lower is better. Source: Hyndman
/// and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd ed., 8.6.
fn aicc(values: &[f64], parameters: &EtsParameters) -> f64 {
    let smoothing = &parameters.smoothing;
    let (mut level, mut slope) = (parameters.level, parameters.slope);
    let (mut square, mut observed) = (0.0, 0.0);
    for value in values {
        let drift = smoothing.phi * slope;
        let error = if value.is_nan() { 0.0 } else { value - level - drift };
        observed += if value.is_nan() { 0.0 } else { 1.0 };
        square += error * error;
        level += drift + smoothing.alpha * error;
        slope = drift + smoothing.beta * error;
    }
    // Level and its weight, slope and its weight, damping; and the errors' spread.
    let unknowns = 3 + if smoothing.beta > 0.0 { 2 } else { 0 } + usize::from(smoothing.phi < 1.0);
    foreshadow_kernels::aicc(-0.5 * observed * f64::ln(square), observed, unknowns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(values: &[f64], bare: usize) -> TrendForecaster {
        let mut panel = Panel::new(1_000);
        panel.push(String::new(), 0, values);
        TrendForecaster::learn(panel, vec![bare], &Device::Cpu).unwrap()
    }

    /// A disturbance that never repeats, of about unit size.
    fn noise(t: usize) -> f64 {
        ((t * t) as f64 * 0.7).sin()
    }

    #[test]
    fn a_slope_is_taken_where_there_is_one() {
        let (flat, steep): (Vec<f64>, Vec<f64>) = (0..80).map(|t| (noise(t), 2.0 * t as f64 + noise(t))).unzip();
        assert_eq!(learn(&flat, 0).chosen, [Some(0)]);
        assert_eq!(learn(&steep, 0).chosen, [Some(1)]);
    }

    #[test]
    fn a_bare_end_is_walked_through() {
        let steep: Vec<f64> = (0..80).map(|t| 2.0 * t as f64 + noise(t)).collect();
        let ahead = |bare: usize, steps: usize| {
            let forecast = learn(&steep, bare).predict(Horizon::new(steps).unwrap(), &Quantiles::standard()).unwrap();
            (forecast.mean(0).to_vec(), forecast.quantile(0, 10).to_vec())
        };
        let ((mean, upper), (later, later_upper)) = (ahead(0, 9), ahead(5, 4));
        assert_eq!((&mean[5..], &upper[5..]), (&later[..], &later_upper[..]));
    }

    #[test]
    fn the_criterion_counts_the_errors_and_the_unknowns() {
        let smoothing = foreshadow_kernels::Smoothing { alpha: 0.5, beta: 0.0, gamma: 0.0, phi: 1.0 };
        let parameters = EtsParameters { smoothing, level: 1.0, slope: 0.0, season: Vec::new() };
        // Errors 1, 0.5, none, -1.75, 0.125, 1, 0.5: their squares add up to 5.578125.
        let values = [2.0, 2.0, f64::NAN, 0.0, 1.0, 1.9375, 1.9375];
        let expected = 6.0 * 5.578_125_f64.ln() + 6.0 + 24.0 / 2.0;
        assert!((aicc(&values, &parameters) - expected).abs() < 1e-12, "{} {expected}", aicc(&values, &parameters));
    }
}
