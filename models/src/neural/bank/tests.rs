use super::*;
use crate::classical::SeasonalNaive;
use crate::{Panel, artifact, check};

const DAY: usize = 24;

fn noise(t: usize, s: usize) -> f64 {
    ((t * 7_919 + s * 104_729) % 1_009) as f64 / 1_009.0 - 0.5
}

/// A day that comes every day, and a push that fades within hours of coming: what a cycle alone never tells.
fn pushed(steps: usize, s: usize) -> Vec<f64> {
    let mut push = 0.0;
    let value = |t: usize| {
        push = 0.8 * push + if (t * 31 + s * 17).is_multiple_of(29) { 6.0 } else { 0.0 };
        10.0 + 3.0 * (t as f64 / DAY as f64 * std::f64::consts::TAU).sin() + push + 0.5 * noise(t, s)
    };
    (0..steps).map(value).collect()
}

fn bank(horizon: usize) -> LstmBank {
    let bank = LstmBank::new(Horizon::new(horizon).unwrap());
    LstmBank { effort: LstmEffort { windows: 16, steps: 100, ..bank.effort }, ..bank }
}

fn panel(series: &[Vec<f64>]) -> Panel {
    let mut panel = Panel::new(3_600_000);
    series.iter().enumerate().for_each(|(s, values)| panel.push(format!("s{s}"), 1_700_000_400_000, values));
    panel
}

#[test]
fn what_fades_is_forecast_to_fade() {
    let series: Vec<Vec<f64>> = (0..6).map(|s| pushed(600, s)).collect();
    let shown: Vec<Vec<f64>> = series.iter().map(|values| values[..588].to_vec()).collect();
    let error = |model: &dyn Model| {
        let (_, forecast) = check::forecast(model, &shown, 12);
        let of = |s: usize| (0..12).map(move |t| (s, t));
        let all = (0..6).flat_map(of).map(|(s, t)| (forecast.mean(s)[t] - series[s][588 + t]).abs());
        all.sum::<f64>() / 72.0
    };
    let (own, naive) = (error(&bank(12)), error(&SeasonalNaive { season: DAY }));
    assert!(own < 0.8 * naive, "{own} and {naive}");
}

/// Where the last value is all that can be known, a network is left out, or does next to no harm.
#[test]
fn a_walk_is_not_forecast_worse_than_by_its_last_value() {
    let walk = |s: usize| -> Vec<f64> {
        let mut level = 50.0;
        let step = |t: usize| {
            level += noise(t * t + t, s);
            level
        };
        (0..612).map(step).collect()
    };
    let series: Vec<Vec<f64>> = (0..8).map(walk).collect();
    let shown: Vec<Vec<f64>> = series.iter().map(|values| values[..600].to_vec()).collect();
    let (status, forecast) = check::forecast(&bank(12), &shown, 12);
    let (mut own, mut naive) = (0.0, 0.0);
    for s in (0..8).filter(|s| status[*s].is_usable()) {
        for (came, expected) in series[s][600..].iter().zip(forecast.mean(s)) {
            own += (came - expected).abs();
            naive += (came - shown[s][599]).abs();
        }
    }
    assert!(own <= 1.1 * naive, "{own} and {naive}: {status:?}");
    assert!(status.iter().any(|own| own.word() == "not_converged"), "{status:?}");
}

#[test]
fn what_cannot_be_learned_says_why_and_changes_no_neighbour() {
    let good = pushed(400, 1);
    let mut holed = pushed(400, 2);
    holed[50..80].fill(f64::NAN);
    let cycle: Vec<f64> = (0..400).map(|t| (t % DAY) as f64).collect();
    let huge: Vec<f64> = good.iter().map(|y| 1e9 + y).collect();
    let all = [good.clone(), holed, vec![7.0; 400], vec![f64::NAN; 400], good[..60].to_vec(), cycle, huge];
    let (status, forecast) = check::forecast(&bank(12), &all, 20);
    let words: Vec<&str> = status.iter().map(FitStatus::word).collect();
    assert_eq!(words, ["fitted", "fitted", "constant", "no_data", "too_short", "fitted", "fitted"]);
    for (s, status) in status.iter().enumerate() {
        assert_eq!(forecast.mean(s).iter().all(|y| y.is_finite()), status.is_usable(), "series {s}");
    }
    assert_eq!(forecast.mean(2), [7.0; 20]);
    let next: Vec<f64> = (400..420).map(|t| (t % DAY) as f64).collect();
    assert_eq!(forecast.mean(5), next, "a cycle that always comes is what comes");
    let (_, alone) = check::forecast(&bank(12), &[good], 20);
    assert_eq!(alone.mean(0), forecast.mean(0));
}

#[test]
fn bands_do_not_cross_and_a_fit_goes_on_and_comes_back_to_the_bit() {
    let series: Vec<Vec<f64>> = (0..3).map(|s| pushed(400, s)).collect();
    let (horizon, quantiles) = (Horizon::new(30).unwrap(), Quantiles::standard());
    let mut fitted = bank(12).fit(&panel(&series).window(), 3).unwrap();
    fitted.append(&[12.0, f64::NAN, 9.0]).unwrap();
    let forecast = fitted.predict(horizon, &quantiles).unwrap();
    for s in 0..3 {
        for step in 0..30 {
            let at = |level: usize| forecast.quantile(s, level)[step];
            assert!((1..quantiles.levels().len()).all(|level| at(level - 1) <= at(level)), "series {s}, step {step}");
        }
    }
    let bytes = artifact::encode(&*fitted).unwrap();
    let back = artifact::decode(&bytes).unwrap();
    let again = back.predict(horizon, &quantiles).unwrap();
    assert!((0..3).all(|s| again.mean(s) == forecast.mean(s)));
    assert_eq!(artifact::encode(&*back).unwrap(), bytes);
}

/// A day later most is known already.
#[test]
fn a_fit_that_begins_where_one_ended_is_there_sooner_and_no_worse() {
    let series: Vec<Vec<f64>> = (0..4).map(|s| pushed(624, s)).collect();
    let now = panel(&series);
    let family = bank(12);
    let learned = family.fit(&now.window().until(|_| 600), 0).unwrap();
    let earlier: Vec<Option<Vec<f32>>> = (0..4).map(|s| learned.learned(s).map(<[f32]>::to_vec)).collect();
    assert!(earlier.iter().all(Option::is_some));
    let few = LstmBank { effort: LstmEffort { steps: 10, ..family.effort }, ..family };
    let error = |fitted: Box<dyn Fitted>| {
        let forecast = fitted.predict(Horizon::new(12).unwrap(), &Quantiles::standard()).unwrap();
        let off = |s: usize| (0..12).map(|t| (forecast.mean(s)[t] - pushed(636, s)[624 + t]).abs()).sum::<f64>();
        (0..4).map(off).sum::<f64>() / 48.0
    };
    let warm = error(few.refit(&now.window(), 0, &earlier).unwrap());
    let whole = error(family.fit(&now.window(), 0).unwrap());
    let cold = error(few.fit(&now.window(), 0).unwrap());
    assert!(warm < 1.25 * whole, "{warm} after a tenth of the steps and {whole}");
    assert!(cold.is_nan() || warm < 0.95 * cold, "{warm} and {cold}"); // NaN: a network that is of no use yet
    // What does not fit its network is not begun with.
    let wrong = vec![Some(vec![1.0; 3]); 4];
    let (one, other) = (few.refit(&now.window(), 0, &wrong).unwrap(), few.fit(&now.window(), 0).unwrap());
    assert_eq!(artifact::encode(&*one).unwrap(), artifact::encode(&*other).unwrap());
}
