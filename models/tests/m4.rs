//! Golden figures on the 100 M4 hourly series, official split.

mod telemetry;

use foreshadow_models::classical::SeasonalNaive;
use foreshadow_models::metrics::Accuracy;
use foreshadow_models::{Auto, Horizon, Origins, Quantiles, backtest};

#[test]
fn seasonal_naive_has_its_published_accuracy() {
    let Some(panel) = telemetry::panel("m4_hourly.parquet") else { return };
    let horizon = Horizon::new(48).unwrap();
    let origins = Origins::at(telemetry::train_steps(&panel));
    let window = panel.window();
    let model = SeasonalNaive { season: 24 };
    let test = backtest(&window, &[&model], origins, horizon, &Quantiles::standard(), 0, &|_, _| ()).unwrap();
    let accuracy = Accuracy::of(&test.scores(0, 24));
    println!("{accuracy:?}");
    assert_eq!((accuracy.scored, accuracy.unscaled), (100, 0));
    // Published to these digits, for these 100 of the 414 series.
    assert!((accuracy.mase.unwrap() - 1.0732).abs() < 5e-5, "{accuracy:?}");
    assert!((accuracy.smape.unwrap() - 14.382).abs() < 5e-4, "{accuracy:?}");
}

/// `Auto` on the official split, in its one configuration, within honest bands.
#[test]
fn auto_reaches_its_goal() {
    let Some(panel) = telemetry::panel("m4_hourly.parquet") else { return };
    let horizon = Horizon::new(48).unwrap();
    let origins = Origins::at(telemetry::train_steps(&panel));
    let window = panel.window();
    let test =
        backtest(&window, &[&Auto::new(horizon)], origins, horizon, &Quantiles::standard(), 0, &|_, _| ()).unwrap();
    let accuracy = Accuracy::of(&test.scores(0, 24));
    let mut counts = std::collections::BTreeMap::new();
    for chosen in &test.fold(0, 0).chosen {
        *counts.entry(chosen.clone().unwrap().champion).or_insert(0) += 1;
    }
    println!("{accuracy:?}\n{counts:?}");
    assert!(accuracy.mase.unwrap() <= 0.90, "{accuracy:?}");
    assert!((90.0..=98.0).contains(&accuracy.coverage95.unwrap()), "{accuracy:?}");
}
