//! Every ETS form with a season of 24, chosen by AICc: series a second, and choice and likelihood against
//! statsforecast.

use foreshadow_kernels::{Effect, EtsForm, Smoothing, Trend};
use foreshadow_models::classical::{AutoEts, Ets, EtsParameters, FittedAutoEts};
use foreshadow_models::{Fitted, Panel};
use serde_json::Value;

use crate::fit::{Cost, fit};
use crate::{BenchError, BenchPanel, Context, Figures, bench_panel_of, mase, peer};

const SEASON: usize = 24;
const SEED: u64 = 1_524;
/// Copies of each series: a fit takes milliseconds.
const COPIES: usize = 10;
/// Fifteen forms of four passes, each at a dozen operations a step and column of 29, and as many products of two
/// columns a step.
const COST: Cost = Cost { flop: 15.0 * 4.0 * (12.0 * 29.0 + 29.0 * 29.0) * 672.0, bytes: 15.0 * 672.0 * 8.0 };
/// Nats that a fit may be less likely than its peer's and still count as no worse.
const ROOM_NATS: f64 = 1e-3;
/// The longest season that every form is tried with.
const LONGEST_SEASON: usize = 288;
/// Rise of AICc over the peer's that still counts as none: twice those nats.
const ROOM_AICC: f64 = 2.0 * ROOM_NATS;

/// Takes the figures of the automatic ETS.
///
/// # Errors
/// [`BenchError`] when the telemetry or the peer is not there.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel_of(context, SEED, COPIES)?;
    let window = bench.panel.window();
    let model = AutoEts { season: SEASON };
    let count = window.series_count();
    let (fitted, cpu_seconds) = fit("autoets.", count, COST, context, figures, || model.learn(&window));
    let unusable = fitted.status().iter().filter(|status| !status.is_usable()).count();
    figures.add("autoets.unusable_series", unusable as f64, "series");
    if context.peers {
        against_statsforecast(&bench, &fitted, cpu_seconds / count as f64, figures)?;
    }
    mase::figures("autoets", &model, context, figures)
}

/// Scores our parameters and statsforecast's by one function, on the unchanged series: the form that each chose, and
/// our fit of the form that the peer chose.
fn against_statsforecast(
    bench: &BenchPanel,
    fitted: &FittedAutoEts,
    seconds_a_series: f64,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let series: Vec<&[f64]> = bench.originals.iter().map(|&s| bench.panel.values(s)).collect();
    let broken = |reason: String| BenchError::Program { program: "peer autoets".into(), reason };
    let ran = peer("autoets", &bench.panel, &bench.originals, &[SEASON], 1)?;
    let fits = ran.fits();
    let read = |fit: &Value| peer_fit(fit, SEASON).ok_or_else(|| broken(format!("not a form of ETS: {fit}")));
    let theirs = fits.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let likelier = gains_of_their_forms(&series, SEASON, &theirs);
    let mut good = 0;
    let mut chosen = Vec::with_capacity(series.len());
    for (index, (form, parameters)) in theirs.iter().enumerate() {
        let gain = gain(series[index], fitted.parameters(bench.originals[index]), *form, parameters);
        good += usize::from(gain >= -ROOM_AICC && likelier[index] >= -ROOM_NATS);
        chosen.push(gain);
    }
    chosen.sort_by(f64::total_cmp);
    let least = likelier.into_iter().fold(f64::INFINITY, f64::min);
    figures.add("autoets.parity_percent", 100.0 * good as f64 / series.len() as f64, "%");
    figures.add("autoets.likelihood_gain_least", least, "nats");
    figures.add("autoets.aicc_gain_least", chosen[0], "");
    figures.add("autoets.aicc_gain_median", chosen[chosen.len() / 2], "");
    figures.add("autoets.ratio", ran.fit_seconds_a_series() / seconds_a_series, "x");
    Ok(())
}

/// Whether our choice for each series has no higher criterion than statsforecast's, and our fit of its form is as likely.
pub(crate) fn no_worse(panel: &Panel, seasons: &[usize], fits: &[&Value]) -> Vec<Option<bool>> {
    if seasons[0] > LONGEST_SEASON {
        return vec![None; fits.len()];
    }
    let fitted = AutoEts { season: seasons[0] }.learn(&panel.window());
    let read = |(s, fit): (usize, &&Value)| Some((s, peer_fit(fit, seasons[0])?));
    let (known, theirs): (Vec<usize>, Vec<_>) = fits.iter().enumerate().filter_map(read).unzip();
    let series: Vec<&[f64]> = known.iter().map(|&s| panel.values(s)).collect();
    let likelier = gains_of_their_forms(&series, seasons[0], &theirs);
    let mut verdicts = vec![None; fits.len()];
    for ((&s, (form, parameters)), likelier) in known.iter().zip(&theirs).zip(likelier) {
        let gain = gain(panel.values(s), fitted.parameters(s), *form, parameters);
        verdicts[s] = Some(gain >= -ROOM_AICC && likelier >= -ROOM_NATS);
    }
    verdicts
}

/// How much lower the criterion of our choice is than that of theirs.
fn gain(values: &[f64], own: Option<(EtsForm, &EtsParameters)>, form: EtsForm, parameters: &EtsParameters) -> f64 {
    let own = own.map_or(f64::INFINITY, |(form, own)| aicc(values, form, own));
    aicc(values, form, parameters) - own
}

/// How much likelier our fit of the form that the peer chose is than the peer's, series by series.
fn gains_of_their_forms(series: &[&[f64]], season: usize, theirs: &[(EtsForm, EtsParameters)]) -> Vec<f64> {
    let mut panel = Panel::new(1);
    for (index, values) in series.iter().enumerate() {
        panel.push(index.to_string(), 0, values);
    }
    let mut gains = vec![f64::NEG_INFINITY; series.len()];
    for form in EtsForm::admissible(season) {
        if theirs.iter().all(|(other, _)| *other != form) {
            continue;
        }
        let ours = Ets::of(form).learn(&panel.window());
        for (index, (_, parameters)) in theirs.iter().enumerate().filter(|(_, (other, _))| *other == form) {
            let own = ours.parameters(index).map_or(f64::INFINITY, |own| deviance(series[index], form, own));
            gains[index] = 0.5 * (deviance(series[index], form, parameters) - own);
        }
    }
    gains
}

/// Parameters as statsforecast gives them: alpha, beta, gamma, phi, level, slope where there is one, and the
/// season, its latest slot first.
fn peer_fit(fit: &Value, season: usize) -> Option<(EtsForm, EtsParameters)> {
    let kind: Vec<char> = fit["kind"].as_str()?.chars().collect();
    let trend = match (kind.get(1)?, kind.get(3)?) {
        ('N', _) => Trend::None,
        ('A', 'D') => Trend::Damped,
        ('A', _) => Trend::Additive,
        _ => return None,
    };
    let effect = |letter: char| if letter == 'M' { Effect::Multiplicative } else { Effect::Additive };
    let slots = if *kind.get(2)? == 'N' { 1 } else { season };
    let form = EtsForm { error: effect(kind[0]), trend, seasonal: effect(kind[2]), season: slots };
    // A weight that the form does not have is NaN there, which is null here.
    let values: Vec<f64> = fit["par"].as_array()?.iter().map(|v| v.as_f64().unwrap_or(f64::NAN)).collect();
    let or = |value: f64, neutral: f64| if value.is_nan() { neutral } else { value };
    let [alpha, beta, gamma, phi] = *values.first_chunk::<4>()?;
    let phi = if trend == Trend::Damped { phi } else { 1.0 };
    let smoothing = Smoothing { alpha, beta: or(beta, 0.0), gamma: or(gamma, 0.0), phi };
    let states = if trend == Trend::None { 1 } else { 2 };
    let mut seasonal = if slots == 1 { Vec::new() } else { values.get(4 + states..)?.to_vec() };
    seasonal.truncate(season);
    seasonal.reverse();
    let slope = if states == 2 { *values.get(5)? } else { 0.0 };
    let sound = seasonal.is_empty() || seasonal.len() == season;
    sound.then_some((form, EtsParameters { smoothing, level: *values.get(4)?, slope, season: seasonal }))
}

fn aicc(values: &[f64], form: EtsForm, parameters: &EtsParameters) -> f64 {
    let (n, k) = (values.len() as f64, form.unknowns() as f64 + 1.0);
    deviance(values, form, parameters) + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0)
}

/// `n ln(sse)` and twice the logarithms of the expected values where the error is relative, both fits' one judge.
fn deviance(values: &[f64], form: EtsForm, parameters: &EtsParameters) -> f64 {
    let Smoothing { alpha, beta, gamma, phi } = parameters.smoothing;
    let (mut level, mut slope) = (parameters.level, parameters.slope);
    let neutral = if form.scales() { 1.0 } else { 0.0 };
    let mut season = if parameters.season.is_empty() { vec![neutral] } else { parameters.season.clone() };
    let slots = season.len();
    let (mut sse, mut logs) = (0.0, 0.0);
    for (t, value) in values.iter().enumerate() {
        let held = season[t % slots];
        let drift = phi * slope;
        let ahead = level + drift;
        let expected = if form.scales() { ahead * held } else { ahead + held };
        let error = value - expected;
        let share = error / expected;
        if form.is_relative() {
            sse += share * share;
            logs += expected.abs().ln();
        } else {
            sse += error * error;
        }
        let push = if form.scales() { ahead * share } else { error };
        season[t % slots] += gamma * if form.scales() { held * share } else { error };
        level = ahead + alpha * push;
        slope = drift + beta * push;
    }
    values.len() as f64 * sse.ln() + 2.0 * logs
}
