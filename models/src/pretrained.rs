//! Networks that others trained, from a folder of the user's: zero-shot forecasts, for series with next to no history too.

mod chronos;
mod t5;

use std::sync::Arc;

use rayon::prelude::*;

use crate::append::append_each;
use crate::{
    AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window,
    normal_quantile,
};
use chronos::measures;

pub use chronos::{ChronosBolt, ChronosError};

/// A family of one network that learns nothing of the series that it is asked about.
#[derive(Clone, Debug)]
pub struct Pretrained {
    name: String,
    network: Arc<ChronosBolt>,
}

impl Pretrained {
    /// The family of a checkpoint, by what it is called.
    pub fn new(name: &str, network: Arc<ChronosBolt>) -> Self {
        Self { name: name.into(), network }
    }
}

impl Model for Pretrained {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        let series = (0..window.series_count()).map(|s| {
            let values = window.values(s);
            let recent = values[values.len().saturating_sub(self.network.context_length())..].to_vec();
            match status(&recent) {
                // A gap as long as all that the network looks at.
                FitStatus::NoData if values.iter().any(|y| !y.is_nan()) => {
                    (FitStatus::TooShort { observed: 0, needed: 1 }, None)
                }
                status => (status.clone(), status.is_usable().then_some(recent)),
            }
        });
        let (status, recent) = series.unzip();
        Ok(Box::new(FittedPretrained { network: self.network.clone(), status, recent }))
    }

    fn is_trained(&self) -> bool {
        true
    }
}

/// What can be said of a series by its latest values.
fn status(recent: &[f64]) -> FitStatus {
    let mut seen = recent.iter().filter(|y| !y.is_nan());
    let Some(first) = seen.next() else { return FitStatus::NoData };
    let (mean, scale) = measures(recent);
    match (mean + scale).is_finite() {
        _ if first.is_finite() && seen.all(|y| y == first) => FitStatus::Constant,
        true if scale > 0.0 => FitStatus::Fitted,
        _ => FitStatus::NotConverged,
    }
}

struct FittedPretrained {
    network: Arc<ChronosBolt>,
    status: Vec<FitStatus>,
    recent: Vec<Option<Vec<f64>>>,
}

impl Fitted for FittedPretrained {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "pretrained"
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        let most = self.network.context_length();
        append_each(&mut self.status, &mut self.recent, points, |recent, value, _| {
            recent.push(value);
            recent.drain(..recent.len().saturating_sub(most));
            Some(status(recent))
        })
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.status.len(), horizon, quantiles.clone());
        let usable = self.recent.iter().enumerate().filter_map(|(s, own)| Some((s, own.as_deref()?)));
        let (constant, moving): (Vec<_>, Vec<_>) = usable.partition(|(s, _)| self.status[*s] == FitStatus::Constant);
        let say = |(_, own): &(usize, &[f64])| self.network.say(own, horizon.steps());
        let said: Vec<Vec<f64>> = moving.par_iter().map(say).collect();
        for ((s, _), said) in moving.into_iter().zip(said) {
            self.share(&mut forecast, s, &said, horizon.steps());
        }
        for (s, recent) in constant {
            let value = recent.iter().copied().find(|y| !y.is_nan()).unwrap_or(f64::NAN);
            forecast.mean_mut(s).fill(value);
            (0..quantiles.levels().len()).for_each(|level| forecast.quantile_mut(s, level).fill(value));
        }
        Ok(forecast)
    }
}

impl FittedPretrained {
    /// What the network says of a series, `[levels, steps]`, as its forecast. The median stands for the mean.
    fn share(&self, forecast: &mut Forecast, s: usize, said: &[f64], steps: usize) {
        let own = self.network.levels();
        let levels = forecast.quantiles().levels().to_vec();
        for step in 0..steps {
            let mut rising: Vec<f64> = (0..own.len()).map(|level| said[level * steps + step]).collect();
            rising.sort_unstable_by(f64::total_cmp);
            forecast.mean_mut(s)[step] = at(own, &rising, 0.5);
            for (index, level) in levels.iter().enumerate() {
                forecast.quantile_mut(s, index)[step] = at(own, &rising, *level);
            }
        }
    }
}

/// The value at a level: on the line between those that are known, and outside them as far from the middle as a normal
/// distribution would have it.
fn at(levels: &[f64], values: &[f64], level: f64) -> f64 {
    let after = levels.partition_point(|own| *own < level);
    let last = levels.len() - 1;
    let beyond = |outer: usize| {
        let middle = at(levels, values, 0.5);
        middle + (values[outer] - middle) * normal_quantile(level) / normal_quantile(levels[outer])
    };
    match after {
        0 if levels[0] == level => values[0],
        0 => beyond(0),
        after if after > last => beyond(last),
        after => {
            let share = (level - levels[after - 1]) / (levels[after] - levels[after - 1]);
            values[after - 1] + share * (values[after] - values[after - 1])
        }
    }
}

#[cfg(test)]
mod tests;
