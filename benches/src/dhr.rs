//! Dynamic harmonic regression with a day and a week: series a second, accuracy, and likelihood against statsmodels.

use foreshadow_models::classical::{ArimaParameters, Dhr, DhrParameters, DhrWave};
use foreshadow_models::{FitStatus, Fitted};
use serde_json::{Value, json};

use crate::arima::log_likelihood;
use crate::fit::{Cost, fit};
use crate::peers::{numbers, peer_given};
use crate::{BenchError, BenchPanel, Context, Figures, Scale, bench_panel_of, mase};

const SEASONS: [usize; 2] = [24, 168];
const SEED: u64 = 144;
/// Copies of each series: a fit takes tens of milliseconds.
const COPIES: usize = 4;
/// Three regressions on 39 columns and one on whitened ones; thirty orders, sixty gradients each, twenty operations a step.
const COST: Cost =
    Cost { flop: (3.0 * 2.0 * 39.0 + 39.0 * 39.0 + 2.0 * 39.0 * 6.0 + 36_000.0) * 672.0, bytes: 672.0 * 8.0 };
/// Originals that the peer is given: a fit of it takes half a minute.
const PEER_SERIES: usize = 8;
/// Nats that a fit may be less likely than its peer's and still count as no worse.
const ROOM_NATS: f64 = 1e-2;

/// Takes the figures of dynamic harmonic regression.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel_of(context, SEED, COPIES)?;
    let window = bench.panel.window();
    let model = Dhr::new(&SEASONS);
    let count = window.series_count();
    let (fitted, cpu_seconds) =
        fit("dhr.", count, COST, context, figures, || model.learn(&window).expect("the CPU refuses no regression"));
    let capped = fitted.status().iter().filter(|s| **s == FitStatus::NotConverged).count();
    figures.add("dhr.capped_series", capped as f64, "series");
    if context.peers && context.scale != Scale::Smoke {
        let learned = |s: usize| Some((s, fitted.parameters(s)?.clone()));
        let given: Vec<_> = bench.originals.iter().filter_map(|&s| learned(s)).take(PEER_SERIES).collect();
        against_statsmodels(&bench, &given, cpu_seconds / count as f64, figures)?;
    }
    mase::own_figures("dhr", &model, context, figures)
}

/// Has statsmodels maximise the likelihood of the very waves and order that ours chose, and scores both by one function.
///
/// The peer is spared the choice, which is most of our work: the ratio is what one such fit of it costs over all of ours.
fn against_statsmodels(
    bench: &BenchPanel,
    given: &[(usize, DhrParameters)],
    seconds_a_series: f64,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let broken =
        |fit: &Value| BenchError::Program { program: "peer sarimax".into(), reason: format!("a fit is {fit}") };
    let asked: Vec<(usize, Value)> = given.iter().map(|(s, own)| (*s, model_of(own))).collect();
    let ran = peer_given("sarimax", &bench.panel, &asked, &SEASONS, 1)?;
    let mut gains = Vec::with_capacity(given.len());
    for (fit, (s, own)) in ran.fits().iter().zip(given) {
        let theirs = peer_parameters(fit, own).ok_or_else(|| broken(fit))?;
        let values = bench.panel.values(*s);
        gains.push(likelihood(values, own) - likelihood(values, &theirs));
    }
    gains.sort_by(f64::total_cmp);
    let good = gains.iter().filter(|gain| **gain >= -ROOM_NATS).count();
    figures.add("dhr.parity_percent", 100.0 * good as f64 / gains.len().max(1) as f64, "%");
    figures.add("dhr.likelihood_gain_least", gains.first().copied().unwrap_or(f64::NAN), "nats");
    figures.add("dhr.likelihood_gain_median", gains.get(gains.len() / 2).copied().unwrap_or(f64::NAN), "nats");
    figures.add("dhr.ratio", ran.fit_seconds_a_series() / seconds_a_series, "x");
    Ok(())
}

/// What the peer is asked to fit.
fn model_of(own: &DhrParameters) -> Value {
    let ArimaParameters { order, differences, constant, .. } = &own.errors;
    let waves: Vec<[usize; 2]> = own.waves.iter().map(|wave| [wave.season, wave.turns]).collect();
    json!({ "order": [order.ar, *differences, order.ma], "constant": constant.is_some(), "waves": waves })
}

/// The peer's fit of our model.
fn peer_parameters(fit: &Value, own: &DhrParameters) -> Option<DhrParameters> {
    let pairs = fit["waves"].as_array().filter(|waves| waves.len() == own.waves.len())?;
    let wave = |(own, pair): (&DhrWave, &Value)| match numbers(pair)?[..] {
        [sine, cosine] => Some(DhrWave { sine, cosine, ..*own }),
        _ => None,
    };
    let waves = own.waves.iter().zip(pairs).map(wave).collect::<Option<_>>()?;
    let coefficients = [numbers(&fit["ar"])?, numbers(&fit["ma"])?].concat();
    let errors = ArimaParameters { coefficients, constant: fit["constant"].as_f64(), ..own.errors.clone() };
    Some(DhrParameters { waves, errors })
}

/// The exact log-likelihood of a series at parameters.
fn likelihood(values: &[f64], own: &DhrParameters) -> f64 {
    let explained = |t: usize| -> f64 {
        let at = |wave: &DhrWave| {
            let place = (wave.turns * t % wave.season) as f64 / wave.season as f64;
            let (sine, cosine) = (std::f64::consts::TAU * place).sin_cos();
            wave.sine * sine + wave.cosine * cosine
        };
        own.waves.iter().map(at).sum()
    };
    let rest: Vec<f64> = values.iter().enumerate().map(|(t, value)| value - explained(t)).collect();
    log_likelihood(&rest, &own.errors)
}

#[cfg(test)]
mod tests {
    use foreshadow_models::Panel;

    use super::*;

    #[test]
    fn a_fit_is_scored_as_it_said_and_another_is_worse() {
        let noise = |t: usize| ((t * t * 7_919) % 10_007) as f64 / 10_007.0;
        let value = |t: usize| 10.0 + 3.0 * (t as f64 * std::f64::consts::TAU / 24.0).sin() + noise(t);
        let values: Vec<f64> = (0..300).map(value).collect();
        let mut panel = Panel::new(3_600_000);
        panel.push("wave".into(), 0, &values);
        let own = Dhr::new(&[24]).learn(&panel.window()).unwrap().parameters(0).unwrap().clone();
        // Rounding of 300 steps, on a unit of its own.
        assert!((likelihood(&values, &own) - own.errors.log_likelihood).abs() < 1e-6, "{own:?}");
        let model = model_of(&own);
        assert_eq!(model["waves"][0], json!([24, 1]));
        let (ar, ma) = own.errors.coefficients.split_at(own.errors.order.ar);
        let waves: Vec<[f64; 2]> = own.waves.iter().map(|wave| [wave.sine, wave.cosine]).collect();
        let fit = json!({ "ar": ar, "ma": ma, "constant": own.errors.constant, "waves": waves });
        let mut theirs = peer_parameters(&fit, &own).unwrap();
        assert_eq!(theirs.waves, own.waves);
        theirs.waves[0].cosine += 0.3;
        assert!(likelihood(&values, &theirs) < likelihood(&values, &own) - 1.0);
        for unread in [Value::Null, json!({ "waves": [[1.0, 2.0]], "ar": [] }), json!({ "waves": [] })] {
            assert!(peer_parameters(&unread, &own).is_none(), "{unread}");
        }
    }
}
