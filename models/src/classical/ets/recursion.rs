//! One series through the recursion in `f64`: from the start the kernel found to the state at the end,
//! and from there ahead.

use foreshadow_kernels::{EtsForm, Smoothing, Trend};

use super::{EtsParameters, unknowns};

/// A series' state after its last step, in the series' unit.
#[derive(Clone, Debug)]
pub(super) struct Learned {
    pub(super) parameters: EtsParameters,
    level: f64,
    slope: f64,
    /// The next step's slot first.
    season: Vec<f64>,
    /// Standard deviation of the one-step errors.
    spread: f64,
}

/// Runs the recursion of [`foreshadow_kernels::ets_gradient`] over a series standardised by `centre` and
/// `scale`, and tells its ends in the series' unit.
pub(super) fn run(
    values: &[f64],
    form: EtsForm,
    (centre, scale): (f64, f64),
    smoothing: &Smoothing,
    start: &[f64],
) -> Learned {
    let mut level = 0.0;
    let mut slope = if form.trend == Trend::None { 0.0 } else { start[0] };
    let mut season: Vec<Option<f64>> = vec![None; form.season];
    let mut first = vec![0.0; form.season];
    let (mut sse, mut observed) = (0.0, 0_usize);
    for (t, value) in values.iter().enumerate() {
        let slot = t % form.season;
        let drift = smoothing.phi * slope;
        let ahead = level + drift;
        (level, slope) = (ahead, drift);
        if value.is_nan() {
            continue;
        }
        let y = (value - centre) / scale;
        let before = *season[slot].get_or_insert_with(|| {
            first[slot] = y - ahead - start[1 + slot];
            first[slot]
        });
        let error = y - ahead - before;
        season[slot] = Some(before + smoothing.gamma * error);
        level += smoothing.alpha * error;
        slope += smoothing.beta * error;
        sse += error * error;
        observed += 1;
    }
    // The start has its level in the season: their common part goes back.
    let common = first.iter().sum::<f64>() / form.season as f64;
    let parameters = EtsParameters {
        smoothing: *smoothing,
        level: centre + scale * common,
        slope: if form.trend == Trend::None { 0.0 } else { scale * start[0] },
        season: if form.season == 1 { Vec::new() } else { first.iter().map(|s| scale * (s - common)).collect() },
    };
    let freedom = observed.saturating_sub(unknowns(form)).max(1);
    season.rotate_left(values.len() % form.season);
    Learned {
        parameters,
        level: centre + scale * level,
        slope: scale * slope,
        // A slot never seen has no season: it leaves NaN, which the caller sees as no fit.
        season: season.into_iter().map(|s| scale * s.unwrap_or(f64::NAN)).collect(),
        spread: scale * (sse / freedom as f64).sqrt(),
    }
}

impl Learned {
    /// A series that never moved.
    pub(super) fn constant(value: f64, form: EtsForm) -> Self {
        let season = vec![0.0; form.season];
        let parameters = EtsParameters {
            smoothing: Smoothing { alpha: 0.0, beta: 0.0, gamma: 0.0, phi: 1.0 },
            level: value,
            slope: 0.0,
            season: if form.season == 1 { Vec::new() } else { season.clone() },
        };
        Self { parameters, level: value, slope: 0.0, season, spread: 0.0 }
    }

    pub(super) fn is_finite(&self) -> bool {
        let states = [self.level, self.slope, self.spread];
        states.iter().chain(&self.season).all(|v| v.is_finite())
    }

    /// Mean and standard deviation of each step ahead.
    ///
    /// Source: Hyndman et al. 2008, 6.3: the variance of step `h` is `sigma^2 (1 + c_1^2 + … + c_{h-1}^2)`
    /// with `c_j = alpha + beta (phi + … + phi^j)`, and `gamma` more where `j` is a whole season.
    pub(super) fn ahead(&self, form: EtsForm, steps: usize) -> (Vec<f64>, Vec<f64>) {
        let Smoothing { alpha, beta, gamma, phi } = self.parameters.smoothing;
        let (mut mean, mut spread) = (Vec::with_capacity(steps), Vec::with_capacity(steps));
        let (mut damped, mut power, mut variance) = (0.0, 1.0, 1.0_f64);
        for step in 0..steps {
            power *= phi;
            damped += power;
            mean.push(self.level + damped * self.slope + self.season[step % form.season]);
            spread.push(self.spread * variance.sqrt());
            let seasonal = if (step + 1).is_multiple_of(form.season) { gamma } else { 0.0 };
            let carried = alpha + beta * damped + seasonal;
            variance += carried * carried;
        }
        (mean, spread)
    }
}
