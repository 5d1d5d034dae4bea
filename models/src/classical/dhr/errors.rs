//! The ARIMA of what the waves leave, and the waves' coefficients under it.

use foreshadow_kernels::{ArimaFit, ArimaSeries, Device};
use rayon::prelude::*;

use super::ahead::Learned;
use super::prepare::Ready;
use super::regress::Regressed;
use super::waves::Waves;
use super::{Waved, generalised};
use crate::classical::arima::{self, Arima, Prepared};
use crate::transform::fill_gaps;
use crate::{FitStatus, Window};

/// What is learned of each regressed series, by its place in the window.
pub(super) fn learn(
    window: &Window<'_>,
    waves: &Waves,
    regressed: Vec<Waved>,
) -> Vec<(usize, Result<Learned, FitStatus>)> {
    let model = Arima::auto(1);
    let prepare = |(_, own): &Waved| {
        if own.exact { Ok(Prepared::Straight(Box::new(straight(own)))) } else { arima::prepare(&model, &own.errors) }
    };
    let prepared: Vec<_> = regressed.par_iter().map(prepare).collect();
    let ready = |prepared: &Result<Prepared, FitStatus>| prepared.as_ref().ok()?.series().map(|_| ());
    let places: Vec<usize> = (0..prepared.len()).filter(|&at| ready(&prepared[at]).is_some()).collect();
    let series: Vec<ArimaSeries<'_>> = places.iter().filter_map(|&at| prepared[at].as_ref().ok()?.series()).collect();
    let mut fits = vec![None; prepared.len()];
    let best = model.best(&series, &Device::Cpu).expect("host memory refuses nothing of a model's shape");
    places.iter().zip(best).for_each(|(&at, fit)| fits[at] = fit);
    let together = regressed.into_par_iter().zip(prepared).zip(fits);
    let learned = together.map(|(((ready, own), errors), fit)| {
        let candidate = Candidate { waves, values: window.values(ready.series), ready: &ready, own: &own };
        let learned = match errors {
            Err(why) => Err(why),
            Ok(Prepared::Constant(value)) => Ok(candidate.learned(arima::Learned::constant(value))),
            Ok(Prepared::Straight(errors)) => Ok(candidate.learned(*errors)),
            Ok(Prepared::Ready(errors)) => {
                fit.map(|fit| candidate.refined(&errors, fit)).ok_or(FitStatus::NotConverged)
            }
        };
        (ready.series, learned)
    });
    learned.collect()
}

/// Errors that go on by their mean once they are differenced, a gap at the end included.
fn straight(own: &Regressed) -> arima::Learned {
    let last = own.errors.iter().rposition(|v| !v.is_nan()).map_or(0, |last| last + 1);
    let mut filled = fill_gaps(&own.errors[..last]);
    let series = |values| ArimaSeries { values, differences: own.differences, seasonal_differences: 0, season: 1 };
    let carried = series(&[]).carried();
    let foretold = |values: &[f64]| -> f64 { carried.iter().zip(values.iter().rev()).map(|(w, v)| w * v).sum() };
    let rests: Vec<f64> = (own.differences..last).map(|t| filled[t] - foretold(&filled[..t])).collect();
    let mean = crate::transform::mean(&rests);
    for _ in last..own.errors.len() {
        filled.push(mean + foretold(&filled));
    }
    arima::Learned::straight(&series(&filled), mean, 0.0, 1.0)
}

/// A regressed series whose errors are to be learned.
struct Candidate<'a> {
    waves: &'a Waves,
    values: &'a [f64],
    ready: &'a Ready,
    own: &'a Regressed,
}

impl Candidate<'_> {
    /// The series with the coefficients that it has, `errors` being what they leave.
    fn learned(&self, errors: arima::Learned) -> Learned {
        self.with(&self.own.coefficients, errors, self.values.len() - self.ready.missing.len())
    }

    fn with(&self, coefficients: &[f64], errors: arima::Learned, observed: usize) -> Learned {
        Learned::new(self.ready, (self.waves, &self.own.counts), coefficients, errors, (self.values.len(), observed))
    }

    /// The coefficients estimated anew under the errors' ARIMA, and that fitted anew to what they leave; the first ones
    /// where these are not likelier.
    fn refined(&self, errors: &arima::Ready, fit: ArimaFit) -> Learned {
        let again = self.again(errors, &fit);
        match again.filter(|(_, _, again)| again.likelihood.log_likelihood() > fit.likelihood.log_likelihood()) {
            Some((coefficients, values, again)) => {
                let series = ArimaSeries { values: &values, ..errors.series() };
                let learned = arima::Learned::new(&series, &again, errors.centre, errors.scale);
                self.with(&coefficients, learned, again.likelihood.observed)
            }
            None => self.with(&self.own.coefficients, errors.learned(&fit), fit.likelihood.observed),
        }
    }

    fn again(&self, errors: &arima::Ready, fit: &ArimaFit) -> Option<(Vec<f64>, Vec<f64>, ArimaFit)> {
        let mut values: Vec<f64> = self.ready.standardised(self.values).collect();
        let columns: Vec<Vec<f64>> =
            self.waves.waves(&self.own.counts).into_iter().flat_map(|wave| wave.columns(values.len())).collect();
        let coefficients = generalised::coefficients(&values, &columns, errors.series().differences, fit)?;
        for (column, coefficient) in columns.iter().zip(&coefficients) {
            values.iter_mut().zip(column).for_each(|(value, x)| *value -= coefficient * x);
        }
        values.iter_mut().for_each(|value| *value = (*value - errors.centre) / errors.scale);
        let again = Arima::again(&ArimaSeries { values: &values, ..errors.series() }, fit)?;
        Some((coefficients, values, again))
    }
}
