//! What the families' tests share.

use crate::{FitStatus, Forecast, Horizon, Model, Panel, Quantiles};

/// A panel of series that start together, a second a step, named by their places.
pub(crate) fn panel_of(series: &[Vec<f64>]) -> Panel {
    let mut panel = Panel::new(1_000);
    for (s, values) in series.iter().enumerate() {
        panel.push(s.to_string(), 0, values);
    }
    panel
}

/// How the fits of all series went, and what they say of so many steps ahead.
pub(crate) fn forecast(model: &dyn Model, series: &[Vec<f64>], steps: usize) -> (Vec<FitStatus>, Forecast) {
    let panel = panel_of(series);
    let fitted = model.fit(&panel.window(), 0).unwrap();
    let forecast = fitted.predict(Horizon::new(steps).unwrap(), &Quantiles::standard()).unwrap();
    (fitted.status().to_vec(), forecast)
}
