//! What is kept of a fit between two processes.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::{Growth, Settings};
use super::features::Features;
use super::inputs::Known;
use super::{FittedProphet, Learned, Trend};
use crate::FitStatus;
use crate::artifact::{Whole, each_is_whole};

/// More steps than a window and what was appended to it have, and milliseconds than one of them takes: their product is
/// a time.
const MOST_STEPS: usize = 1 << 22;
const LONGEST_STEP_MS: i64 = 1 << 38;
/// Times of no calendar.
const LATEST_MS: i64 = 1 << 60;

/// A fit whose future hangs on nothing outside it but numbers.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeptProphet {
    family: String,
    growth: KeptGrowth,
    names: Vec<String>,
    step_ms: i64,
    status: Vec<FitStatus>,
    /// Series of one shape share theirs.
    features: Vec<Features>,
    learned: Vec<Option<KeptLearned>>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum KeptGrowth {
    Linear,
    Flat,
    Logistic { capacity: f64, floor: Option<f64> },
}

#[derive(Clone, Serialize, Deserialize)]
struct KeptLearned {
    /// Index of its features.
    features: usize,
    span_steps: usize,
    window_steps: usize,
    start_ms: i64,
    trend: Trend,
    y_scale: f64,
    smooth: Vec<f64>,
    delta: Vec<f64>,
    knots: Vec<u32>,
    sigma: f64,
}

impl KeptProphet {
    /// What is kept of a fit; `None` of one with regressors or with bounds that are recorded, whose values come from
    /// outside and reach no further than they did.
    pub(super) fn of(fitted: &FittedProphet) -> Option<Self> {
        let constant = |known: &Known| if let Known::Constant(value) = known { Some(*value) } else { None };
        let growth = match &fitted.settings.growth {
            _ if !fitted.settings.regressors.is_empty() => return None,
            Growth::Linear => KeptGrowth::Linear,
            Growth::Flat => KeptGrowth::Flat,
            Growth::Logistic { capacity, floor: None } => {
                KeptGrowth::Logistic { capacity: constant(capacity)?, floor: None }
            }
            Growth::Logistic { capacity, floor: Some(floor) } => {
                KeptGrowth::Logistic { capacity: constant(capacity)?, floor: Some(constant(floor)?) }
            }
        };
        let (mut features, mut index) = (Vec::new(), HashMap::new());
        let mut keep = |own: &Learned| KeptLearned {
            features: *index.entry(Arc::as_ptr(&own.features)).or_insert_with(|| {
                features.push(Features::clone(&own.features));
                features.len() - 1
            }),
            span_steps: own.span_steps,
            window_steps: own.window_steps,
            start_ms: own.start_ms,
            trend: own.trend,
            y_scale: own.y_scale,
            smooth: own.smooth.clone(),
            delta: own.delta.clone(),
            knots: own.knots.clone(),
            sigma: own.sigma,
        };
        let learned = fitted.learned.iter().map(|own| own.as_ref().map(&mut keep)).collect();
        let (family, names, status) = (fitted.family.clone(), fitted.names.clone(), fitted.status.clone());
        Some(Self { family, growth, names, step_ms: fitted.step_ms, status, features, learned })
    }

    /// The fit that it was kept of.
    pub(crate) fn restore(self) -> FittedProphet {
        let growth = match self.growth {
            KeptGrowth::Linear => Growth::Linear,
            KeptGrowth::Flat => Growth::Flat,
            KeptGrowth::Logistic { capacity, floor } => {
                Growth::Logistic { capacity: Known::Constant(capacity), floor: floor.map(Known::Constant) }
            }
        };
        let features: Vec<Arc<Features>> = self.features.into_iter().map(Arc::new).collect();
        let restore = |own: KeptLearned| Learned {
            features: Arc::clone(&features[own.features]),
            span_steps: own.span_steps,
            window_steps: own.window_steps,
            start_ms: own.start_ms,
            trend: own.trend,
            y_scale: own.y_scale,
            smooth: own.smooth,
            delta: own.delta,
            knots: own.knots,
            sigma: own.sigma,
        };
        let learned = self.learned.into_iter().map(|own| own.map(restore)).collect();
        // What else was set has done its part in the fit.
        let settings = Arc::new(Settings { growth, ..Settings::plain() });
        let (family, names, status) = (self.family, self.names, self.status);
        FittedProphet { family, settings, names, step_ms: self.step_ms, status, learned }
    }
}

impl Whole for KeptProphet {
    fn is_whole(&self) -> bool {
        let sound = |own: &KeptLearned| {
            let columns = self.features.get(own.features).map(Features::columns);
            let shaped = columns == own.smooth.len().checked_sub(2) && own.delta.len() == own.knots.len();
            let curved = matches!(self.growth, KeptGrowth::Logistic { .. }) || own.trend != Trend::Logistic;
            let steps = own.span_steps > 0 && own.window_steps < MOST_STEPS && own.start_ms.abs() < LATEST_MS;
            let mut numbers = own.smooth.iter().chain(&own.delta).chain([&own.sigma, &own.y_scale]);
            shaped && curved && steps && numbers.all(|v| v.is_finite())
        };
        let bounded = match self.growth {
            KeptGrowth::Logistic { capacity, floor } => capacity > floor.unwrap_or(0.0) && capacity.is_finite(),
            KeptGrowth::Linear | KeptGrowth::Flat => true,
        };
        (1..LONGEST_STEP_MS).contains(&self.step_ms)
            && bounded
            && self.features.iter().all(Features::is_whole)
            && each_is_whole(&self.status, &self.learned, sound)
    }
}
