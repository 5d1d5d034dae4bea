//! From what was learned of one series to its forecast.

use foreshadow_kernels::aicc;
use serde::{Deserialize, Serialize};

use super::prepare::Ready;
use super::waves::{Wave, Waves};
use super::{DhrParameters, DhrWave};
use crate::artifact::MOST_STEPS;
use crate::classical::arima;

/// A series' parameters, and where a forecast starts from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Learned {
    pub(super) parameters: DhrParameters,
    /// Of the series about its centre, in units of its spread.
    errors: arima::Learned,
    /// Steps between the window's first and the first to forecast.
    steps: usize,
    centre: f64,
    scale: f64,
    /// Lowest and highest forecast.
    bounds: (f64, f64),
}

impl Learned {
    /// `coefficients` are those of the standardised series, and `errors` is what they leave; `observed` counts what the
    /// errors' likelihood saw.
    pub(super) fn new(
        ready: &Ready,
        (waves, counts): (&Waves, &[usize]),
        coefficients: &[f64],
        mut errors: arima::Learned,
        (steps, observed): (usize, usize),
    ) -> Self {
        let (centre, scale) = (ready.centre, ready.scale);
        let mut rest = coefficients.iter().map(|v| scale * v);
        let mut next = || rest.next().expect("a coefficient for each column");
        let in_unit = |wave: Wave| {
            let sine = if wave.has_sine() { next() } else { 0.0 };
            DhrWave { season: wave.season, turns: wave.turns, sine, cosine: next() }
        };
        let waves = waves.waves(counts).into_iter().map(in_unit).collect();
        let own = &mut errors.parameters;
        let observed = observed as f64;
        let alone = own.order.coefficients() + usize::from(own.constant.is_some());
        let together = alone + coefficients.len();
        // The waves too take degrees of freedom.
        own.spread *= ((observed - alone as f64).max(1.0) / (observed - together as f64).max(1.0)).sqrt();
        let mut in_unit = own.clone();
        in_unit.spread *= scale;
        let base = if own.differences == 0 { centre } else { 0.0 };
        in_unit.constant = own.constant.map(|constant| base + scale * constant);
        if own.log_likelihood.is_finite() {
            in_unit.log_likelihood -= observed * scale.ln();
            in_unit.aicc = aicc(in_unit.log_likelihood, observed, together + 1);
        }
        Self {
            parameters: DhrParameters { waves, errors: in_unit },
            errors,
            steps,
            centre,
            scale,
            bounds: ready.bounds,
        }
    }

    /// A series that never moved.
    pub(super) fn constant(value: f64) -> Self {
        let errors = arima::Learned::constant(value);
        let parameters = DhrParameters { waves: Vec::new(), errors: errors.parameters.clone() };
        Self { parameters, errors, steps: 0, centre: 0.0, scale: 1.0, bounds: (value, value) }
    }

    pub(super) fn is_finite(&self) -> bool {
        let parameters = &self.parameters;
        let waves = parameters.waves.iter().all(|wave| wave.sine.is_finite() && wave.cosine.is_finite());
        waves && parameters.errors.spread.is_finite() && self.errors.is_finite()
    }

    /// Whether it may have been learned.
    pub(super) fn is_whole(&self) -> bool {
        let (low, high) = self.bounds;
        let turns = |wave: &DhrWave| (1..=MOST_STEPS).contains(&wave.season) && wave.turns <= wave.season;
        let numbered = self.parameters.waves.iter().all(turns) && self.steps <= MOST_STEPS;
        let bounded = low <= high && (high - low).is_finite() && self.centre.is_finite() && self.scale.is_finite();
        numbered && bounded && self.is_finite() && self.errors.is_whole()
    }

    /// Mean and standard deviation of each step ahead, both within the series' bounds.
    pub(super) fn ahead(&self, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let (mut mean, mut spread) = self.errors.ahead(steps);
        let (low, high) = self.bounds;
        for (h, (mean, spread)) in mean.iter_mut().zip(&mut spread).enumerate() {
            *mean = self.centre + self.scale * *mean;
            *spread = (*spread * self.scale).min(high - low);
            for wave in &self.parameters.waves {
                let (sine, cosine) = Wave { season: wave.season, turns: wave.turns }.at(self.steps + h);
                *mean += wave.sine * sine + wave.cosine * cosine;
            }
            *mean = if mean.is_nan() { high } else { mean.clamp(low, high) };
        }
        (mean, spread)
    }
}
