//! From what was learned of one series to its forecast.

use foreshadow_kernels::{ArimaFit, ArimaSeries, ArmaOrder};
use serde::{Deserialize, Serialize};

use super::{Arima, ArimaParameters, MOST, MOST_SEASONAL};
use crate::artifact::MOST_STEPS;

/// A series' parameters, and where a forecast starts from, in the series' unit about its centre.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::classical) struct Learned {
    pub(in crate::classical) parameters: ArimaParameters,
    centre: f64,
    /// Expected state of the ARMA process: its first element is the next step's mean.
    state: Vec<f64>,
    /// The last steps that differencing looks back on, the latest first, and their weights.
    tail: Vec<f64>,
    carried: Vec<f64>,
    /// Steps since the last observed one.
    unseen: usize,
}

impl Learned {
    /// What a fit of a standardised series says.
    pub(in crate::classical) fn new(series: &ArimaSeries<'_>, fit: &ArimaFit, centre: f64, scale: f64) -> Self {
        let likelihood = &fit.likelihood;
        let observed = likelihood.observed as f64;
        let unknowns = fit.order.coefficients() + usize::from(fit.constant.is_some());
        let freedom = likelihood.observed.saturating_sub(unknowns).max(1) as f64;
        let rescaled = observed * scale.ln();
        Self {
            parameters: ArimaParameters {
                order: fit.order,
                differences: series.differences,
                seasonal_differences: series.seasonal_differences,
                coefficients: fit.coefficients.clone(),
                constant: fit.constant.map(|c| scale * c + if series.lost_steps() == 0 { centre } else { 0.0 }),
                spread: scale * (likelihood.squares / freedom).sqrt(),
                log_likelihood: likelihood.log_likelihood() - rescaled,
                aicc: fit.aicc + 2.0 * rescaled,
            },
            centre,
            state: likelihood.state.iter().map(|v| scale * v).collect(),
            tail: likelihood.tail.iter().map(|v| scale * v).collect(),
            carried: series.carried(),
            unseen: series.values.iter().rev().take_while(|v| v.is_nan()).count(),
        }
    }

    /// A series that is `mean` at every step once differenced.
    pub(in crate::classical) fn straight(series: &ArimaSeries<'_>, mean: f64, centre: f64, scale: f64) -> Self {
        let lost = series.lost_steps();
        Self {
            parameters: ArimaParameters {
                order: ArmaOrder { season: series.season, ..ArmaOrder::default() },
                differences: series.differences,
                seasonal_differences: series.seasonal_differences,
                coefficients: Vec::new(),
                constant: Some(scale * mean + if lost == 0 { centre } else { 0.0 }),
                spread: 0.0,
                log_likelihood: f64::INFINITY,
                aicc: f64::NEG_INFINITY,
            },
            centre,
            state: vec![0.0],
            tail: series.values.iter().rev().take(lost).map(|v| scale * v).collect(),
            carried: series.carried(),
            unseen: 0,
        }
    }

    /// A series that never moved.
    pub(in crate::classical) fn constant(value: f64) -> Self {
        let one = [0.0];
        let series = ArimaSeries { values: &one, differences: 0, seasonal_differences: 0, season: 1 };
        Self::straight(&series, 0.0, value, 1.0)
    }

    pub(in crate::classical) fn is_finite(&self) -> bool {
        let parameters = &self.parameters;
        let all = self.state.iter().chain(&self.tail).chain(&parameters.coefficients).chain(&parameters.constant);
        all.chain([&parameters.spread]).all(|v| v.is_finite())
    }

    /// Whether it may have been learned.
    pub(in crate::classical) fn is_whole(&self) -> bool {
        let ArimaParameters { order, coefficients, .. } = &self.parameters;
        let ArmaOrder { ar, seasonal_ar, ma, seasonal_ma, season } = *order;
        let allowed = ar.max(ma) <= MOST && seasonal_ar.max(seasonal_ma) <= MOST_SEASONAL;
        let bounded =
            allowed && (1..=Arima::LONGEST_SEASON).contains(&season) && coefficients.len() == order.coefficients();
        let shaped = self.unseen < MOST_STEPS && !self.state.is_empty() && self.tail.len() == self.carried.len();
        bounded && shaped && self.is_finite() && self.centre.is_finite() && self.carried.iter().all(|v| v.is_finite())
    }

    /// Mean and standard deviation of each step ahead.
    ///
    /// Source: Box, Jenkins and Reinsel, *Time Series Analysis*, 4th ed., 5.1 and 5.2: the variance of step `h` is
    /// that of the noise times the sum of the first `h` squared weights of the model multiplied out.
    pub(in crate::classical) fn ahead(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let parameters = &self.parameters;
        let (phi, theta) = parameters.order.multiplied_out(&parameters.coefficients);
        let shift = parameters.constant.unwrap_or(0.0);
        // The mean of a series that is not differenced has the centre in it.
        let base = if self.carried.is_empty() && parameters.constant.is_some() { 0.0 } else { self.centre };
        let (mut state, mut tail) = (self.state.clone(), self.tail.clone());
        let mut mean = Vec::with_capacity(steps);
        for _ in 0..steps {
            let carried: f64 = self.carried.iter().zip(&tail).map(|(weight, past)| weight * past).sum();
            let value = state[0] + shift + carried;
            mean.push(base + value);
            if !tail.is_empty() {
                tail.rotate_right(1);
                tail[0] = value;
            }
            let first = state[0];
            for i in 0..state.len() {
                let next = state.get(i + 1).copied().unwrap_or(0.0);
                state[i] = phi.get(i).map_or(0.0, |phi| phi * first) + next;
            }
        }
        (mean, self.spreads(&phi, &theta, steps))
    }

    fn spreads(&self, phi: &[f64], theta: &[f64], steps: usize) -> Vec<f64> {
        let total = steps + self.unseen;
        let (mut impulse, mut weights) = (Vec::<f64>::with_capacity(total), Vec::<f64>::with_capacity(total));
        let mut variance = 0.0;
        let mut spreads = Vec::with_capacity(total);
        let past =
            |taps: &[f64], values: &[f64]| -> f64 { taps.iter().zip(values.iter().rev()).map(|(a, b)| a * b).sum() };
        for t in 0..total {
            let own = if t == 0 { 1.0 } else { theta.get(t - 1).copied().unwrap_or(0.0) };
            impulse.push(own + past(phi, &impulse));
            weights.push(impulse[t] + past(&self.carried, &weights));
            variance += weights[t] * weights[t];
            spreads.push(self.parameters.spread * variance.sqrt());
        }
        spreads.split_off(self.unseen)
    }
}
