//! The likeliest ETS form of each series, by AICc.

use foreshadow_kernels::{EtsForm, LANES, Trend};
use rayon::prelude::*;

use super::{EtsParameters, Prepared, end_of, fit_form, letters};
use super::recursion::Learned;
use crate::{FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// Every admissible ETS form, chosen by AICc for each series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoEts {
    /// Steps in a season; 1 for none.
    pub season: usize,
}

/// What one series keeps of the forms it was fitted with.
struct Best {
    aicc: f64,
    form: EtsForm,
    learned: Learned,
}

impl AutoEts {
    /// Fits every series of the window; [`Model::fit`] with what it learned in sight.
    pub fn learn(&self, window: &Window<'_>) -> FittedAutoEts {
        let count = window.series_count();
        let mut best: Vec<Option<Best>> = (0..count).map(|_| None).collect();
        let mut status: Vec<FitStatus> = (0..count)
            .map(|s| Prepared::of(window.values(s), EtsForm::additive(Trend::None, 1)))
            .map(|p| p.err().unwrap_or(FitStatus::NotConverged))
            .collect();
        for form in EtsForm::admissible(self.season) {
            let prepared: Vec<_> = (0..count).into_par_iter().map(|s| Prepared::of(window.values(s), form)).collect();
            let fitted: Vec<usize> = (0..count).filter(|&s| prepared[s].is_ok()).collect();
            let chosen: Vec<_> = fitted.iter().filter_map(|&s| prepared[s].as_ref().ok().copied()).collect();
            let clock = std::time::Instant::now();
            let fit = fit_form(form, window, &fitted, &chosen);
            if std::env::var("ETS_TIME").is_ok() {
                let n = fitted.len().max(1);
                println!("{} {:.1} us/series (wall) evals {:.1} capped {}", letters(form), clock.elapsed().as_secs_f64() * 1e6 / n as f64,
                    fit.evaluations.iter().map(|e| f64::from(*e)).sum::<f64>() / n as f64, fit.converged.iter().filter(|c| !**c).count());
            }
            let ends: Vec<_> = (0..fitted.len())
                .into_par_iter()
                .with_min_len(LANES)
                .map(|i| end_of(form, &fit, i, window.values(fitted[i]), chosen[i]))
                .collect();
            for (i, end) in ends.into_iter().enumerate() {
                let s = fitted[i];
                let observed = window.values(s).iter().filter(|v| !v.is_nan()).count() as f64;
                let aicc = aicc(fit.deviance[i], form, observed);
                if let Some(learned) = end && best[s].as_ref().is_none_or(|b| aicc < b.aicc) {
                    best[s] = Some(Best { aicc, form, learned });
                    status[s] = FitStatus::Fitted;
                }
            }
        }
        for s in (0..count).filter(|&s| status[s] == FitStatus::Constant) {
            let form = EtsForm::additive(Trend::None, 1);
            let learned = Learned::constant(window.values(s)[0], form);
            best[s] = Some(Best { aicc: f64::NEG_INFINITY, form, learned });
        }
        FittedAutoEts { status, best }
    }
}

/// Twice the negative log-likelihood and what the unknowns and the variance cost.
fn aicc(deviance: f64, form: EtsForm, observed: f64) -> f64 {
    let k = form.unknowns() as f64 + 1.0;
    deviance + 2.0 * k + 2.0 * k * (k + 1.0) / (observed - k - 1.0)
}

impl Model for AutoEts {
    fn name(&self) -> String {
        match self.season {
            1 => "autoets".into(),
            season => format!("autoets{season}"),
        }
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)))
    }
}

/// The chosen ETS form of each series, after it has learned a window.
pub struct FittedAutoEts {
    status: Vec<FitStatus>,
    best: Vec<Option<Best>>,
}

impl FittedAutoEts {
    /// The form chosen for a series and what was learned of it; `None` where its status is not usable.
    pub fn parameters(&self, series: usize) -> Option<(EtsForm, &EtsParameters)> {
        self.best[series].as_ref().map(|best| (best.form, &best.learned.parameters))
    }

    /// The criterion of the form chosen for a series, up to a constant of the series' own.
    pub fn aicc(&self, series: usize) -> Option<f64> {
        self.best[series].as_ref().map(|best| best.aicc)
    }
}

impl Fitted for FittedAutoEts {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.best.len(), horizon, quantiles.clone());
        for (s, best) in self.best.iter().enumerate() {
            let Some(Best { form, learned, .. }) = best else { continue };
            let (mean, spread) = learned.ahead(*form, horizon.steps());
            forecast.set_normal(s, &mean, |step| spread[step]);
        }
        Ok(forecast)
    }
}
