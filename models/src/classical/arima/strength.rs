//! How strong a season is: what of the detrended variance it explains, by STL.

/// Cycles that the seasonal smoother spans, as R's `mstl` has it for one season.
const CYCLES: usize = 11;
/// Passes of the decomposition.
const PASSES: usize = 5;

/// `1 - Var(remainder) / Var(season + remainder)`, in `[0, 1]`; 0 for a series that never moves.
///
/// Source: Cleveland, Cleveland, McRae and Terpenning, STL, Journal of Official Statistics 6(1), 1990, without its
/// robust passes and with a seasonal smoother of degree 0, as statsforecast calls it.
pub(super) fn seasonal_strength(values: &[f64], season: usize) -> f64 {
    let n = values.len();
    if values.iter().all(|value| *value == values[0]) {
        return 0.0;
    }
    let width = odd((1.5 * season as f64 / (1.0 - 1.5 / CYCLES as f64)).ceil() as usize);
    let (low_pass, trend_smoother) = (Smoother::new(odd(season + 1), n, true), Smoother::new(width, n, true));
    let mut trend = vec![0.0; n];
    let mut seasonal = vec![0.0; n];
    for _ in 0..PASSES {
        let rest: Vec<f64> = values.iter().zip(&trend).map(|(value, trend)| value - trend).collect();
        let cycles = cycle_subseries(&rest, season);
        let averaged = moving_average(&moving_average(&moving_average(&cycles, season), season), 3);
        let low = low_pass.smooth(&averaged);
        for t in 0..n {
            seasonal[t] = cycles[season + t] - low[t];
        }
        let level: Vec<f64> = values.iter().zip(&seasonal).map(|(value, season)| value - season).collect();
        trend = trend_smoother.smooth(&level);
    }
    let detrended: Vec<f64> = values.iter().zip(&trend).map(|(value, trend)| value - trend).collect();
    let remainder: Vec<f64> = detrended.iter().zip(&seasonal).map(|(value, season)| value - season).collect();
    let share = variance(&remainder) / variance(&detrended);
    if share.is_nan() { 0.0 } else { (1.0 - share).clamp(0.0, 1.0) }
}

fn odd(width: usize) -> usize {
    width + 1 - width % 2
}

fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|value| (value - mean) * (value - mean)).sum()
}

fn moving_average(values: &[f64], width: usize) -> Vec<f64> {
    let mut sum: f64 = values[..width].iter().sum();
    let mut averages = vec![sum / width as f64];
    for t in width..values.len() {
        sum += values[t] - values[t - width];
        averages.push(sum / width as f64);
    }
    averages
}

/// Each slot of the season smoothed along the cycles, and continued by one at either end.
fn cycle_subseries(values: &[f64], season: usize) -> Vec<f64> {
    let n = values.len();
    let mut cycles = vec![0.0; n + 2 * season];
    for slot in 0..season {
        let own: Vec<f64> = values.iter().skip(slot).step_by(season).copied().collect();
        let smoother = Smoother::new(CYCLES, own.len(), false);
        let near = CYCLES.min(own.len());
        let before = fit(&own[..near], -1.0, CYCLES, own.len(), false);
        let after = fit(&own[own.len() - near..], near as f64, CYCLES, own.len(), false);
        let middle = smoother.smooth(&own);
        for (k, value) in [before].into_iter().chain(middle).chain([after]).enumerate() {
            cycles[slot + k * season] = value;
        }
    }
    cycles
}

/// A local regression over a window of so many steps.
struct Smoother {
    width: usize,
    steps: usize,
    sloped: bool,
    /// Weights in the middle of a long series, where they are the same at every step.
    middle: Vec<f64>,
}

impl Smoother {
    fn new(width: usize, steps: usize, sloped: bool) -> Self {
        let middle = weights(width.min(steps), (width / 2) as f64, width, steps, sloped);
        Self { width, steps, sloped, middle }
    }

    fn smooth(&self, values: &[f64]) -> Vec<f64> {
        let (width, half) = (self.width, self.width / 2);
        let one = |t: usize| {
            if width <= self.steps && t >= half && t + half < self.steps {
                let window = &values[t - half..t + half + 1];
                return window.iter().zip(&self.middle).map(|(value, weight)| value * weight).sum();
            }
            let near = width.min(self.steps);
            let from = t.saturating_sub(half).min(self.steps - near);
            fit(&values[from..from + near], (t - from) as f64, width, self.steps, self.sloped)
        };
        (0..values.len()).map(one).collect()
    }
}

/// The local regression's value `at` a place counted from the window's first step.
fn fit(window: &[f64], at: f64, width: usize, steps: usize, sloped: bool) -> f64 {
    let weights = weights(window.len(), at, width, steps, sloped);
    window.iter().zip(&weights).map(|(value, weight)| value * weight).sum()
}

/// What each step of a window counts for the regression's value at a place: tricube, and tilted where a slope is
/// fitted.
fn weights(near: usize, at: f64, width: usize, steps: usize, sloped: bool) -> Vec<f64> {
    let mut reach = at.max(near as f64 - 1.0 - at);
    if width > steps {
        reach += ((width - steps) / 2) as f64;
    }
    let tricube = |j: usize| {
        let distance = (j as f64 - at).abs();
        if distance <= 0.001 * reach {
            1.0
        } else if distance <= 0.999 * reach {
            (1.0 - (distance / reach).powi(3)).powi(3)
        } else {
            0.0
        }
    };
    let mut weights: Vec<f64> = (0..near).map(tricube).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
    if sloped {
        let centre: f64 = weights.iter().enumerate().map(|(j, w)| w * j as f64).sum();
        let spread: f64 = weights.iter().enumerate().map(|(j, w)| w * (j as f64 - centre).powi(2)).sum();
        if spread.sqrt() > 0.001 * (steps as f64 - 1.0) {
            let tilt = (at - centre) / spread;
            weights.iter_mut().enumerate().for_each(|(j, w)| *w *= tilt * (j as f64 - centre) + 1.0);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strength_is_statsforecasts() {
        let value = |t: usize| {
            [5.0, -2.0, 1.0, 0.0, -3.0, 2.0][t % 6] * (1.0 + 0.002 * t as f64)
                + ((t * t * 37) % 101) as f64 * 0.08
                + 0.01 * t as f64
        };
        let values: Vec<f64> = (0..100).map(value).collect();
        // statsforecast 2.1.1, `seas_heuristic(x, 6)`.
        let found = seasonal_strength(&values, 6);
        assert!((found - 0.647_946_077_949_555_6).abs() < 1e-9, "{found}");
        assert_eq!(seasonal_strength(&[3.0; 40], 6), 0.0);
    }
}
