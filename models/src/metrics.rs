//! How good a forecast was, as the literature measures it.
//!
//! - MASE: mean |y − f| over the scale, the mean |y_t − y_{t−m}| of the training part with `m` given, the
//!   same for every model. Source: Hyndman and Koehler, Int. J. Forecasting 22(4), 2006.
//! - sMAPE: mean of 200 |y − f| ÷ (|y| + |f|), 0 ÷ 0 being 0. Source: Makridakis et al., The M4
//!   Competition, Int. J. Forecasting 36(1), 2020.
//! - wql: 2 Σ pinball ÷ Σ |y|, the mean over the nine deciles. Source: Park et al., arXiv 2111.06581, 4.
//! - MSIS95: mean of (u − l) + 40 (l − y)⁺ + 40 (y − u)⁺ over the same scale as MASE. Source: Gneiting
//!   and Raftery, J. Am. Stat. Assoc. 102, 2007, 6.2, scaled as the M4 competition does.
//! - Coverage: percent of actual values inside the band, its ends counted.
//!
//! An unobserved actual value is skipped everywhere.

use crate::Forecast;

const DECILES: [f64; 9] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];

/// What MASE and MSIS divide by: the mean |y_t − y_{t−season}| of the training part, over the pairs that
/// were both observed. `None` where that is zero or there is no pair: the series is then unscaled.
pub fn seasonal_scale(train: &[f64], season: usize) -> Option<f64> {
    let changes = train.iter().zip(train.iter().skip(season)).map(|(before, after)| (after - before).abs());
    let (count, sum) = changes.filter(|c| !c.is_nan()).fold((0_usize, 0.0), |(n, sum), c| (n + 1, sum + c));
    let scale = sum / count as f64;
    (scale > 0.0 && scale.is_finite()).then_some(scale)
}

/// The errors of one series, summed so that several origins add up.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesScore {
    /// Actual values met by a finite forecast.
    pub steps: usize,
    /// Σ |y − f|.
    pub absolute_error: f64,
    /// Steps that had a scale.
    scaled_steps: usize,
    scaled_error: f64,
    scaled_interval: f64,
    smape: f64,
    absolute_actual: f64,
    pinball: [f64; 9],
    covered: [usize; 2],
}

impl SeriesScore {
    /// Mean absolute scaled error; `None` for an unscaled or unscored series.
    pub fn mase(&self) -> Option<f64> {
        mean_of(self.scaled_error, self.scaled_steps)
    }

    /// Symmetric mean absolute percentage error, in percent.
    pub fn smape(&self) -> Option<f64> {
        mean_of(self.smape, self.steps)
    }

    /// Mean scaled interval score of the 95 % band.
    pub fn msis95(&self) -> Option<f64> {
        mean_of(self.scaled_interval, self.scaled_steps)
    }

    /// Percent of actual values inside the 95 % band.
    pub fn coverage95(&self) -> Option<f64> {
        mean_of(100.0 * self.covered[1] as f64, self.steps)
    }

    /// Adds what another origin of the same series brought.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.absolute_error += other.absolute_error;
        self.scaled_steps += other.scaled_steps;
        self.scaled_error += other.scaled_error;
        self.scaled_interval += other.scaled_interval;
        self.smape += other.smape;
        self.absolute_actual += other.absolute_actual;
        self.pinball.iter_mut().zip(other.pinball).for_each(|(sum, value)| *sum += value);
        self.covered.iter_mut().zip(other.covered).for_each(|(sum, value)| *sum += value);
    }
}

fn mean_of(sum: f64, count: usize) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

/// Scores one series of a forecast against the actual values from its first step on; fewer than the
/// horizon are allowed, and more are ignored. A level that the forecast does not carry counts as its mean.
pub fn score(forecast: &Forecast, series: usize, actual: &[f64], scale: Option<f64>) -> SeriesScore {
    let mean = forecast.mean(series);
    let level = |q: f64| forecast.quantiles().index_of(q).map_or(mean, |index| forecast.quantile(series, index));
    let deciles = DECILES.map(level);
    let (band80, band95) = ([level(0.1), level(0.9)], [level(0.025), level(0.975)]);
    let mut score = SeriesScore::default();
    for (step, (&y, &f)) in actual.iter().zip(mean).enumerate() {
        if y.is_nan() || !f.is_finite() {
            continue;
        }
        let error = (y - f).abs();
        score.steps += 1;
        score.absolute_error += error;
        score.absolute_actual += y.abs();
        score.smape += if error == 0.0 { 0.0 } else { 200.0 * error / (y.abs() + f.abs()) };
        for (sum, (q, values)) in score.pinball.iter_mut().zip(DECILES.iter().zip(deciles)) {
            *sum += pinball(y, values[step], *q);
        }
        for (covered, [low, high]) in score.covered.iter_mut().zip([band80, band95]) {
            *covered += usize::from(low[step] <= y && y <= high[step]);
        }
        if let Some(scale) = scale {
            score.scaled_steps += 1;
            score.scaled_error += error / scale;
            score.scaled_interval += interval95(y, band95[0][step], band95[1][step]) / scale;
        }
    }
    score
}

/// Loss of forecasting `f` as the quantile `q` of what came out as `y`.
pub fn pinball(y: f64, f: f64, q: f64) -> f64 {
    if y >= f { q * (y - f) } else { (1.0 - q) * (f - y) }
}

fn interval95(y: f64, low: f64, high: f64) -> f64 {
    (high - low) + 40.0 * ((low - y).max(0.0) + (y - high).max(0.0))
}

/// The errors of many series together: scaled measures are means over series, wql and coverage over all
/// steps. `None` where no series can answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Accuracy {
    /// Series with at least one scored step.
    pub scored: usize,
    /// Scored series without a scale, left out of MASE and MSIS.
    pub unscaled: usize,
    /// Mean MASE.
    pub mase: Option<f64>,
    /// Mean sMAPE, in percent.
    pub smape: Option<f64>,
    /// Weighted quantile loss over the nine deciles.
    pub wql: Option<f64>,
    /// Mean MSIS of the 95 % band.
    pub msis95: Option<f64>,
    /// Percent of actual values inside the 80 % band.
    pub coverage80: Option<f64>,
    /// Percent of actual values inside the 95 % band.
    pub coverage95: Option<f64>,
}

impl Accuracy {
    /// Sums up series; one without a scored step counts nowhere.
    pub fn of(scores: &[SeriesScore]) -> Self {
        let scored: Vec<_> = scores.iter().filter(|s| s.steps > 0).collect();
        let mean = |of: fn(&SeriesScore) -> Option<f64>| {
            let values: Vec<f64> = scored.iter().filter_map(|s| of(s)).collect();
            mean_of(values.iter().sum(), values.len())
        };
        let sum = |of: fn(&SeriesScore) -> f64| scored.iter().map(|s| of(s)).sum::<f64>();
        let steps: usize = scored.iter().map(|s| s.steps).sum();
        let covered = |at: usize| mean_of(100.0 * scored.iter().map(|s| s.covered[at]).sum::<usize>() as f64, steps);
        let absolute_actual = sum(|s| s.absolute_actual);
        let pinball = sum(|s| s.pinball.iter().sum::<f64>());
        Self {
            scored: scored.len(),
            unscaled: scored.iter().filter(|s| s.scaled_steps == 0).count(),
            mase: mean(SeriesScore::mase),
            smape: mean(SeriesScore::smape),
            wql: (absolute_actual > 0.0 && absolute_actual.is_finite())
                .then(|| 2.0 * pinball / DECILES.len() as f64 / absolute_actual),
            msis95: mean(SeriesScore::msis95),
            coverage80: covered(0),
            coverage95: covered(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Horizon, Quantiles};

    fn forecast(mean: &[f64], half_width: f64) -> Forecast {
        let mut forecast = Forecast::empty(1, Horizon::new(mean.len()).unwrap(), Quantiles::standard());
        forecast.mean_mut(0).copy_from_slice(mean);
        for (index, q) in Quantiles::standard().levels().iter().enumerate() {
            let side = (q - 0.5).signum() * f64::from((q - 0.5).abs() > 1e-9);
            let band: Vec<f64> = mean.iter().map(|m| m + side * half_width).collect();
            forecast.quantile_mut(0, index).copy_from_slice(&band);
        }
        forecast
    }

    #[test]
    fn the_scale_skips_gaps_and_refuses_zero() {
        assert_eq!(seasonal_scale(&[1.0, 9.0, 3.0, f64::NAN, 7.0], 2), Some(3.0));
        assert_eq!(seasonal_scale(&[1.0, 2.0, 1.0, 2.0], 2), None);
        assert_eq!(seasonal_scale(&[1.0, 2.0], 2), None);
    }

    #[test]
    fn each_measure_has_its_textbook_value() {
        // Errors 1 and 3 of scale 2; the second lies 1 outside its band of half-width 2.
        let score = score(&forecast(&[10.0, 10.0, 10.0], 2.0), 0, &[11.0, f64::NAN, 13.0], Some(2.0));
        assert_eq!((score.steps, score.mase()), (2, Some(1.0)));
        assert_eq!(score.smape(), Some((200.0 / 21.0 + 600.0 / 23.0) / 2.0));
        assert_eq!(score.msis95(), Some((4.0 / 2.0 + 44.0 / 2.0) / 2.0));
        assert_eq!(score.coverage95(), Some(50.0));
        // Deciles under the median at 8, over it at 12. Sums of the levels: 1.0 under, 3.0 over (and 1.0 of 1 − q).
        let first = 3.0 * 1.0 + 0.5 * 1.0 + 1.0 * 1.0;
        let second = 5.0 * 1.0 + 0.5 * 3.0 + 1.0 * 3.0;
        let wql = Accuracy::of(&[score]).wql.unwrap();
        assert!((wql - 2.0 * (first + second) / 9.0 / 24.0).abs() < 1e-12, "{wql}");
    }

    #[test]
    fn a_perfect_zero_costs_nothing_and_an_unscored_series_counts_nowhere() {
        let perfect = score(&forecast(&[0.0], 0.0), 0, &[0.0], None);
        assert_eq!((perfect.smape(), perfect.mase()), (Some(0.0), None));
        let missing = score(&forecast(&[f64::NAN], 0.0), 0, &[1.0], Some(1.0));
        let accuracy = Accuracy::of(&[perfect, missing]);
        assert_eq!((accuracy.scored, accuracy.unscaled, accuracy.mase), (1, 1, None));
        assert_eq!(accuracy.coverage95, Some(100.0));
    }

    #[test]
    fn origins_add_up() {
        let (near, far) = (forecast(&[1.0], 0.5), forecast(&[4.0], 0.5));
        let mut sum = score(&near, 0, &[2.0], Some(1.0));
        sum.add(&score(&far, 0, &[7.0], Some(1.0)));
        assert_eq!((sum.steps, sum.mase(), sum.absolute_error), (2, Some(2.0), 4.0));
    }
}
