//! A family of ours as a contender, in a process of its own.

use std::path::Path;

use foreshadow::families::{Given, Networks, family};
use foreshadow_kernels::Device;
use foreshadow_models::classical::CustomProphet;
use foreshadow_models::{Fitted, Forecast, Horizon, Panel, Quantiles};
use serde_json::Value;

use super::growth::grow;
use super::work::{Answer, Ran, Said, Work};
use crate::clock::{Spent, timed};
use crate::program::peak_mib;

/// CPU-seconds of a fit that is short enough to be repeated until the middle one of five is known.
const SHORT: f64 = 1.0;

/// Answers the work that lies in a file, and prints that as JSON.
///
/// # Errors
/// Why there is no answer, as one clause.
pub fn answer_file(path: &Path) -> Result<(), String> {
    let text = std::fs::read(path).map_err(|error| format!("{} could not be read: {error}", path.display()))?;
    let work = serde_json::from_slice(&text).map_err(|error| format!("{} is no work: {error}", path.display()))?;
    println!("{}", serde_json::to_string(&answer(&work)?).expect("an answer is plain data"));
    Ok(())
}

/// Fits and forecasts; forecasts of every window, or without a horizon what befell those that failed.
pub(super) fn answer(work: &Work) -> Result<Answer, String> {
    let (panel, lengths) = shown(work);
    let window = panel.window_until(|s| lengths[s]);
    // `auto` picks for a horizon: a season where none is asked for.
    let horizon = Horizon::new(work.horizon).or(Horizon::new(work.season)).ok_or("a season has steps")?;
    let name = &work.contender;
    let (prophet, networks) = (CustomProphet::default(), Networks::default());
    let given = Given { horizon, prophet: &prophet, networks: &networks, device: &Device::Cpu };
    let model = family(name, work.season, &given).ok_or_else(|| format!("no {name} of ours"))?;
    let fit = || model.fit(&window, 0).map_err(|error| error.to_string());
    let (fitted, spent, repetitions) = repeated(fit, work.budget)?;
    let mut rows = Vec::new();
    let mut forecast_cpu_seconds = 0.0;
    if work.horizon > 0 {
        let levels = Quantiles::new(vec![0.025, 0.975]).expect("two levels that rise");
        let (forecast, spent) = timed(|| fitted.predict(horizon, &levels));
        let forecast = forecast.map_err(|error| error.to_string())?;
        forecast_cpu_seconds = spent.cpu_seconds;
        rows.extend((0..window.series_count()).map(|s| said(fitted.as_ref(), &forecast, s)));
    } else {
        let failed = fitted.status().iter().filter(|status| !status.is_usable());
        rows.extend(failed.map(|status| Said::Failed { error: format!("{status:?}") }));
    }
    Ok(Answer::Ran(Ran {
        tried: window.series_count(),
        repetitions,
        fit_cpu_seconds: spent.cpu_seconds,
        fit_wall_seconds: spent.wall_seconds,
        forecast_cpu_seconds,
        peak_mib: peak_mib("self").unwrap_or(f64::NAN),
        rows,
    }))
}

/// The windows as a panel, and how many steps of each may be seen: a window may end in a gap, which a panel's series
/// cannot, so that each has one value more.
fn shown(work: &Work) -> (Panel, Vec<usize>) {
    let mut panel = Panel::new(work.step_ms);
    let mut lengths = Vec::new();
    let mut push = |start_ms: i64, mut values: Vec<f64>| {
        lengths.push(values.len());
        values.push(0.0);
        panel.push(lengths.len().to_string(), start_ms, &values);
    };
    match work.grown {
        Some(grown) => (0..grown.series).for_each(|index| push(0, grow(work, index, grown.steps))),
        None => work.series.iter().for_each(|one| push(one.start_ms, one.numbers())),
    }
    (panel, lengths)
}

/// The last of some repetitions, which all learn the same, and what the middle one took: five of a short fit, two of one
/// that the budget holds twice; the others' memory is given back before the next.
fn repeated<T>(fit: impl Fn() -> Result<T, String>, budget: f64) -> Result<(T, Spent, usize), String> {
    let (first, spent) = timed(&fit);
    let mut fitted = first?;
    let repetitions = match spent.cpu_seconds {
        ..SHORT => 5,
        seconds if 2.0 * seconds <= budget => 1,
        _ => 0,
    };
    let mut all = Vec::from_iter((repetitions == 0).then_some(spent));
    for _ in 0..repetitions {
        drop(fitted);
        let (again, spent) = timed(&fit);
        fitted = again?;
        all.push(spent);
    }
    all.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    Ok((fitted, all[all.len() / 2], repetitions + 1))
}

fn said(fitted: &dyn Fitted, forecast: &Forecast, series: usize) -> Said {
    let status = &fitted.status()[series];
    if !status.is_usable() {
        return Said::Failed { error: format!("{status:?}") };
    }
    let known = |curve: &[f64]| curve.iter().map(|value| value.is_finite().then_some(*value)).collect();
    let (mean, low, high) = (forecast.mean(series), forecast.quantile(series, 0), forecast.quantile(series, 1));
    Said::Forecast { mean: known(mean), low: known(low), high: known(high), fit: Value::Null }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::work::{Grown, Shown};

    fn work(contender: &str, series: Vec<Shown>) -> Work {
        let (contender, seasons) = (contender.into(), vec![4]);
        Work {
            contender,
            step_ms: 1_000,
            season: 4,
            seasons,
            horizon: 4,
            jobs: 1,
            limit: 60.0,
            budget: 60.0,
            series,
            grown: None,
        }
    }

    fn ran(work: &Work) -> Ran {
        match answer(work).unwrap() {
            Answer::Ran(ran) => ran,
            Answer::TooSlow { .. } => panic!("ours has no limit"),
        }
    }

    #[test]
    fn a_window_that_ends_in_a_gap_is_forecast_from_its_own_end() {
        let wave = [1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0, 1.0, f64::NAN];
        let ran = ran(&work("snaive", vec![Shown::new(0, &wave)]));
        let Said::Forecast { mean, .. } = &ran.rows[0] else { panic!("{:?}", ran.rows) };
        assert_eq!(
            mean,
            &[Some(3.0), Some(4.0), Some(1.0), Some(2.0)],
            "the step after the gap is the third of its season"
        );
    }

    #[test]
    fn a_series_that_cannot_be_fitted_is_a_row_with_its_reason_and_spoils_no_other() {
        let good: Vec<f64> = (0..24).map(|t| f64::from(t % 4)).collect();
        let ran = ran(&work("theta", vec![Shown::new(0, &good), Shown::new(0, &[1.0, 2.0])]));
        assert_eq!((ran.tried, ran.rows.len()), (2, 2));
        assert!(matches!(&ran.rows[0], Said::Forecast { .. }), "{:?}", ran.rows[0]);
        assert!(matches!(&ran.rows[1], Said::Failed { error } if error.contains("TooShort")), "{:?}", ran.rows[1]);
        assert!(ran.peak_mib > 1.0 && ran.repetitions == 6, "{ran:?}");
    }

    #[test]
    fn an_unknown_family_is_refused_by_name() {
        assert_eq!(answer(&work("thea", Vec::new())).unwrap_err(), "no thea of ours");
    }

    #[test]
    fn growth_fits_as_many_series_as_asked_for_and_forecasts_none() {
        let base: Vec<f64> = (0..24).map(|t| f64::from(t % 4) + 1.0).collect();
        let grown = Some(Grown { series: 5, steps: 40 });
        let ran = ran(&Work { grown, horizon: 0, ..work("snaive", vec![Shown::new(0, &base)]) });
        assert_eq!((ran.tried, ran.rows.len()), (5, 0));
    }
}
