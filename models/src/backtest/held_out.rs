//! What held-out folds say of the model behind a forecast.

use serde::{Deserialize, Serialize};

use super::Backtest;
use crate::metrics::seasonal_scale;

/// A model on folds that had no part in choosing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// How many folds those are.
    pub folds: usize,
    /// Its mean absolute error over the series' mean change a season apart; `None` where that is 0.
    pub mase: Option<f64>,
    /// The same for seasonal naive.
    pub mase_seasonal_naive: Option<f64>,
    /// Percent of values inside the 95 % band, which was made without them.
    pub coverage95_percent: f64,
    /// Share of values at or under each level of [`crate::Quantiles::standard`], again made without them.
    pub share_below: Vec<f64>,
}

impl Backtest<'_> {
    /// What the folds say of a model whose own bands they scored, at the quantiles of the backtest, beside a
    /// `yardstick` of the same backtest and with errors scaled `season` steps apart. `None` for a series
    /// without a usable fold that has an observed step.
    pub fn held_out(&self, model: usize, yardstick: usize, season: usize) -> Vec<Option<HeldOut>> {
        (0..self.window.series_count()).map(|s| self.held_out_of(s, model, yardstick, season)).collect()
    }

    fn held_out_of(&self, s: usize, model: usize, yardstick: usize, season: usize) -> Option<HeldOut> {
        let levels = self.fold(model, 0).forecast.quantiles().levels().len();
        let (mut below, mut inside, mut count, mut folds) = (vec![0_usize; levels], 0_usize, 0_usize, 0);
        for origin in 0..self.origins.count() {
            let fold = self.fold(model, origin);
            let before = count;
            for (step, y) in self.observed(model, origin, s) {
                let quantile = |index: usize| fold.forecast.quantile(s, index)[step];
                for (index, sum) in below.iter_mut().enumerate() {
                    *sum += usize::from(y <= quantile(index));
                }
                inside += usize::from(quantile(0) <= y && y <= quantile(levels - 1));
                count += 1;
            }
            folds += usize::from(count > before);
        }
        let scale = seasonal_scale(self.window.values(s), season);
        let mase = |model| self.mean_absolute_error(model, s).zip(scale).map(|(error, scale)| error / scale);
        (count > 0).then(|| HeldOut {
            folds,
            mase: mase(model),
            mase_seasonal_naive: mase(yardstick),
            coverage95_percent: 100.0 * inside as f64 / count as f64,
            share_below: below.iter().map(|sum| *sum as f64 / count as f64).collect(),
        })
    }

    fn mean_absolute_error(&self, model: usize, s: usize) -> Option<f64> {
        let errors = (0..self.origins.count()).flat_map(|origin| {
            let mean = self.fold(model, origin).forecast.mean(s);
            self.observed(model, origin, s).map(|(step, y)| (y - mean[step]).abs())
        });
        let (count, sum) = errors.fold((0_usize, 0.0), |(n, sum), error| (n + 1, sum + error));
        (count > 0).then(|| sum / count as f64)
    }

    /// Steps of a fold with what was observed there; none where the model's fit was not usable.
    fn observed(&self, model: usize, origin: usize, s: usize) -> impl Iterator<Item = (usize, f64)> {
        let usable = self.fold(model, origin).status[s].is_usable();
        let actual = if usable { self.actual(origin, s) } else { &[] };
        actual.iter().copied().enumerate().filter(|(_, y)| !y.is_nan())
    }
}

#[cfg(test)]
mod tests {
    use crate::classical::{Naive, SeasonalNaive};
    use crate::{Horizon, Origins, Panel, Quantiles, backtest};

    #[test]
    fn folds_are_counted_against_the_bands_of_their_own_fit() {
        let mut panel = Panel::new(1_000);
        // Up by one each step: naive is one and two short, and its spread of 1 puts 95 % at ± 1.96 and 2.77.
        panel.push("line".into(), 0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, f64::NAN, 8.0]);
        panel.push("short".into(), 0, &[1.0]);
        let (window, horizon) = (panel.window(), Horizon::new(2).unwrap());
        let origins = Origins::rolling(&window, horizon, 2, 2);
        let models: [&dyn crate::Model; 2] = [&Naive, &SeasonalNaive { season: 2 }];
        let test = backtest(&window, &models, origins, horizon, &Quantiles::standard(), 0, &|_, _| ()).unwrap();
        let held_out = test.held_out(0, 1, 1);
        let line = held_out[0].as_ref().unwrap();
        // Errors 2 of the newer fold and 1, 2 of the older; two steps apart the line is 2 off, once 1 after a gap.
        assert_eq!((line.folds, line.mase), (2, Some(5.0 / 3.0)));
        assert_eq!(line.mase_seasonal_naive, Some(2.0));
        assert_eq!(line.coverage95_percent, 100.0);
        assert_eq!((line.share_below[0], line.share_below[10]), (0.0, 1.0));
        assert_eq!(held_out[1], None);
    }
}
