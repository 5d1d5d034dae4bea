//! Settings beyond the defaults, against `prophet` 1.5.0 on CmdStan.

use std::collections::BTreeMap;

use super::*;

pub(super) const NEW_YEAR_2019: i64 = 1_546_300_800_000;
/// Steps ahead whose forecasts are compared.
const AHEAD: [usize; 3] = [1, 10, 48];

/// Beside the trend: values at every step, standard deviation of the prior, whether it multiplies.
type Column = (Vec<f64>, f64, bool);

/// What a peer's fit came to: its objective, and its forecasts [`AHEAD`].
struct Peer {
    objective: f64,
    ahead: [f64; 3],
}

/// A series, its settings, and all that its objective is made of.
pub(super) struct Case {
    step_ms: i64,
    start_ms: i64,
    values: Vec<f64>,
    pub(super) config: ProphetConfig,
    columns: Vec<Column>,
    /// Capacity and floor at every step.
    bounds: Option<fn(usize) -> (f64, f64)>,
    peer: Peer,
}

pub(super) fn many(count: usize, value: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..count).map(value).collect()
}

/// Waves of one season as Prophet counts them, from 1970.
fn season(case: (i64, i64, usize), period: f64, order: usize, scale: f64, multiplies: bool) -> Vec<Column> {
    let (step_ms, start_ms, count) = case;
    let turn =
        |i: usize, wave: usize| TAU * ((start_ms + i as i64 * step_ms) as f64 / DAY as f64) * wave as f64 / period;
    let pair = |wave: usize| [many(count, |i| turn(i, wave).sin()), many(count, |i| turn(i, wave).cos())];
    (1..=order).flat_map(pair).map(|values| (values, scale, multiplies)).collect()
}

/// Prophet's objective by its definition; S-curves with the offsets `gamma` of `prophet.stan`.
fn objective(p: &Parameters, case: &Case) -> f64 {
    assert_eq!(p.beta.len(), case.columns.len(), "columns");
    let (mut rss, mut count) = (0.0, 0.0);
    for (i, value) in case.values.iter().enumerate().filter(|(_, v)| !v.is_nan()) {
        let time = i as f64 / (case.values.len() - 1) as f64;
        let (cap, floor) = case.bounds.map_or((f64::NAN, 0.0), |bounds| bounds(i));
        let (mut k, mut m, mut offset) = (p.k, p.m, p.m);
        for (index, (at, delta)) in p.changepoints.iter().zip(&p.delta).enumerate() {
            let rate = p.k + p.delta[..index].iter().sum::<f64>();
            let gamma = (at - offset) * (1.0 - rate / (rate + delta));
            offset += gamma;
            if time >= *at {
                k += delta;
                m += if case.bounds.is_some() { gamma } else { -at * delta };
            }
        }
        let trend = match case.bounds {
            Some(_) => (cap - floor) / p.y_scale / (1.0 + (-k * (time - m)).exp()),
            None => k * time + m,
        };
        let (mut factor, mut added) = (1.0, 0.0);
        for ((values, _, multiplies), beta) in case.columns.iter().zip(&p.beta) {
            *(if *multiplies { &mut factor } else { &mut added }) += values[i] * beta;
        }
        rss += ((value - floor) / p.y_scale - trend * factor - added).powi(2);
        count += 1.0;
    }
    let betas = p.beta.iter().zip(&case.columns).map(|(beta, (_, scale, _))| (beta / scale).powi(2) / 2.0);
    count * p.sigma.ln()
        + rss / (2.0 * p.sigma * p.sigma)
        + (p.k * p.k + p.m * p.m) / 50.0
        + p.delta.iter().map(|delta| delta.abs()).sum::<f64>() / 0.05
        + betas.sum::<f64>()
        + 2.0 * p.sigma * p.sigma
}

pub(super) fn learn(case: &Case) -> FittedProphet {
    let mut panel = Panel::new(case.step_ms);
    panel.push("a".into(), case.start_ms, &case.values);
    case.config.clone().build().unwrap().learn(&panel.window()).unwrap()
}

/// The objective is at most the peer's, and not by more than an early stop explains; forecasts are near.
fn check(name: &str, case: &Case) -> FittedProphet {
    let fitted = learn(case);
    assert_eq!(fitted.status()[0], FitStatus::Fitted, "{name}");
    let found = fitted.parameters(0).unwrap();
    let (ours, stan) = (objective(&found, case), case.peer.objective);
    assert!(ours <= stan + 1e-6 && ours > stan - 8.0, "{name}: {ours} against {stan}");
    let forecast = fitted.predict(Horizon::new(48).unwrap(), &Quantiles::standard()).unwrap();
    for (ahead, expected) in AHEAD.iter().zip(case.peer.ahead) {
        let found_ahead = forecast.mean(0)[ahead - 1];
        // Fits of nearly one objective differ by up to 2 % of the scale where Stan stopped early.
        let close = (found_ahead - expected).abs() < 0.02 * found.y_scale;
        assert!(close, "{name}, {ahead} ahead: {found_ahead} against {expected}");
        assert!((1..11).all(|q| forecast.quantile(0, q)[ahead - 1] >= forecast.quantile(0, q - 1)[ahead - 1]));
    }
    no_parameter_can_be_moved_for_the_better(name, &found, case);
    fitted
}

fn no_parameter_can_be_moved_for_the_better(name: &str, found: &Parameters, case: &Case) {
    let best = objective(found, case);
    let flat = case.config.growth == Growth::Flat;
    for by in [-1e-4, 1e-4] {
        let mut others = Vec::new();
        for index in 0..3 + found.delta.len() + found.beta.len() {
            let mut moved = found.clone();
            match index {
                0 if flat => continue,
                0 => moved.k += by,
                1 => moved.m += by,
                2 => moved.sigma += by,
                _ if index < 3 + found.delta.len() => moved.delta[index - 3] += by,
                _ => moved.beta[index - 3 - found.delta.len()] += by,
            }
            others.push(objective(&moved, case));
        }
        for (index, other) in others.iter().enumerate() {
            // What rounding leaves of a gradient gains 1e-9 at most over such a step.
            assert!(*other > best - 1e-8, "{name}, parameter {index} by {by}: {other} against {best}");
        }
    }
}

/// A trend that bends once, a day that grows with it, and gaps.
pub(super) fn growing(i: usize) -> f64 {
    let trend = 30.0 + 0.05 * i as f64 - 0.08 * (i as f64 - 200.0).max(0.0);
    let value = trend * (1.0 + 0.3 * (TAU * i as f64 / 24.0).sin()) + 1.5 * wave(i);
    if i * i % 17 == 2 { f64::NAN } else { value }
}

pub(super) fn multiplicative() -> Case {
    let at = (HOUR, START, 400);
    let columns = [season(at, 7.0, 3, 10.0, true), season(at, 1.0, 4, 10.0, true)].concat();
    Case {
        step_ms: HOUR,
        start_ms: START,
        values: many(400, growing),
        config: ProphetConfig { mode: Mode::Multiplicative, ..ProphetConfig::default() },
        columns,
        bounds: None,
        peer: Peer { objective: -1_259.983_858_201_427_4, ahead: [25.086_510_27, 36.174_936_76, 25.496_337_21] },
    }
}

#[test]
fn seasons_that_multiply_the_trend() {
    // Its last changepoints reach a quarter of the way to the end of 16 days: weeks are there.
    check("multiplicative", &multiplicative());
}

#[test]
fn seasons_of_the_callers() {
    let at = (DAY, NEW_YEAR_2019, 500);
    let value = |i: usize| {
        let day = if i % 7 == 5 { 3.0 } else { 0.0 };
        let slow = 6.0 * (TAU * i as f64 / 30.5).sin();
        100.0 + 0.02 * i as f64 + slow + day * (1.0 + 0.002 * i as f64) + 2.0 * wave(i)
    };
    let of = |name: &str, period_days, order, prior_scale, mode| Season {
        name: name.into(),
        period_days,
        order,
        prior_scale,
        mode,
    };
    let case = Case {
        step_ms: DAY,
        start_ms: NEW_YEAR_2019,
        values: many(500, value),
        config: ProphetConfig {
            weekly: Builtin::Off,
            seasons: vec![
                of("monthly", 30.5, 5, Some(5.0), None),
                of("week", 7.0, 3, None, Some(Mode::Multiplicative)),
            ],
            ..ProphetConfig::default()
        },
        columns: [season(at, 30.5, 5, 5.0, false), season(at, 7.0, 3, 10.0, true)].concat(),
        bounds: None,
        peer: Peer { objective: -2_076.486_184_789_928_8, ahead: [113.937_295_7, 109.542_171_17, 108.779_940_1] },
    };
    let fitted = check("seasons", &case);
    let effects = fitted.effects(0).unwrap();
    assert_eq!((effects[0].as_str(), effects[15].as_str()), ("monthly sine 1", "week cosine 3"));
}

#[test]
fn a_year_that_is_asked_for_is_there_before_two_years() {
    let at = (DAY, NEW_YEAR_2019, 400);
    let case = Case {
        step_ms: DAY,
        start_ms: NEW_YEAR_2019,
        values: many(400, daily),
        config: ProphetConfig { yearly: Builtin::Order(3), weekly: Builtin::Order(2), ..ProphetConfig::default() },
        columns: [season(at, 365.25, 3, 10.0, false), season(at, 7.0, 2, 10.0, false)].concat(),
        bounds: None,
        peer: Peer { objective: 0.0, ahead: [0.0; 3] },
    };
    let fitted = learn(&case);
    assert_eq!(fitted.effects(0).unwrap().len(), 10);
    no_parameter_can_be_moved_for_the_better("year", &fitted.parameters(0).unwrap(), &case);
}

pub(super) fn drive(i: usize) -> f64 {
    5.0 * (i as f64 / 9.0).sin() + wave(3 * i + 1)
}

fn switch(i: usize) -> f64 {
    if i % 50 < 7 { 1.0 } else { 0.0 }
}

/// Days of a sale; the last one lies after the data.
const SALES: [i64; 4] = [40, 200, 380, 700];

pub(super) fn driven(i: usize) -> f64 {
    let on = |offset: i64| SALES[..3].iter().any(|day| i as i64 == day + offset);
    let sale = [(0, 20.0), (1, 8.0), (-1, -4.0)].iter().filter(|(offset, _)| on(*offset)).map(|(_, by)| by);
    let day = if i % 7 == 5 { 3.0 } else { 0.0 };
    60.0 + 0.8 * drive(i) + 9.0 * switch(i) + sale.sum::<f64>() + day + wave(i)
}

pub(super) fn regressor(name: &str, value: fn(usize) -> f64, count: usize) -> Regressor {
    Regressor {
        name: name.into(),
        known: Known::Shared(Track::new(NEW_YEAR_2019, DAY, many(count, value))),
        prior_scale: None,
        standardise: Standardise::Automatic,
        mode: None,
    }
}

pub(super) fn sale() -> Holiday {
    Holiday {
        name: "sale".into(),
        dates_ms: SALES.iter().map(|day| NEW_YEAR_2019 + day * DAY + 5 * HOUR).collect(),
        days_before: 1,
        days_after: 1,
        prior_scale: Some(5.0),
    }
}

fn with_sales_and_drives(multiplies: bool, peer: Peer) -> Case {
    let at = (DAY, NEW_YEAR_2019, 450);
    let mut columns = season(at, 7.0, 3, 10.0, false);
    for offset in [-1, 0, 1] {
        let on = |i: usize| f64::from(SALES.iter().any(|day| i as i64 == day + offset));
        columns.push((many(450, on), 5.0, false));
    }
    let values = many(450, drive);
    let mean = values.iter().sum::<f64>() / 450.0;
    let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 449.0).sqrt();
    columns.push((values.iter().map(|v| (v - mean) / deviation).collect(), 0.5, false));
    columns.push((many(450, switch), 10.0, multiplies));
    let mode = multiplies.then_some(Mode::Multiplicative);
    Case {
        step_ms: DAY,
        start_ms: NEW_YEAR_2019,
        values: many(450, driven),
        config: ProphetConfig {
            holidays: vec![sale()],
            regressors: vec![
                Regressor { prior_scale: Some(0.5), ..regressor("drive", drive, 498) },
                Regressor { mode, ..regressor("switch", switch, 498) },
            ],
            ..ProphetConfig::default()
        },
        columns,
        bounds: None,
        peer,
    }
}

#[test]
fn holidays_and_regressors_that_are_added() {
    let peer = Peer { objective: -2_041.627_887_040_482_6, ahead: [67.390_088_98, 62.006_792_33, 56.566_138_88] };
    let fitted = check("added", &with_sales_and_drives(false, peer));
    let expected = ["sale -1", "sale", "sale +1", "drive", "switch"];
    assert_eq!(&fitted.effects(0).unwrap()[6..], expected);
}

#[test]
fn a_regressor_that_multiplies() {
    let peer = Peer { objective: -2_042.041_967_216_025_1, ahead: [67.397_258_65, 62.004_027_17, 56.562_229_2] };
    check("multiplying", &with_sales_and_drives(true, peer));
}

/// National holidays of Germany as `prophet` has them of Python's `holidays` 0.109: days since 2019 began.
const GERMAN: [(&str, [i64; 3]); 9] = [
    ("Christi Himmelfahrt", [149, 506, 863]),
    ("Erster Weihnachtstag", [358, 724, 1_089]),
    ("Karfreitag", [108, 465, 822]),
    ("Neujahr", [0, 365, 731]),
    ("Ostermontag", [111, 468, 825]),
    ("Pfingstmontag", [160, 517, 874]),
    ("Tag der Arbeit", [120, 486, 851]),
    ("Tag der Deutschen Einheit", [275, 641, 1_006]),
    ("Zweiter Weihnachtstag", [359, 725, 1_090]),
];

#[test]
fn holidays_of_a_country() {
    let at = (DAY, NEW_YEAR_2019, 800);
    let free = |i: usize| GERMAN.iter().any(|(_, days)| days.contains(&(i as i64)));
    let value = move |i: usize| daily(i) - if free(i) { 25.0 } else { 0.0 };
    let mut columns = [season(at, 365.25, 10, 10.0, false), season(at, 7.0, 3, 10.0, false)].concat();
    columns.extend(GERMAN.map(|(_, days)| (many(800, |i| f64::from(days.contains(&(i as i64)))), 10.0, false)));
    let case = Case {
        step_ms: DAY,
        start_ms: NEW_YEAR_2019,
        values: many(800, value),
        config: ProphetConfig { countries: vec!["germany".into()], ..ProphetConfig::default() },
        columns,
        bounds: None,
        peer: Peer { objective: -3_271.286_771_651_39, ahead: [109.282_218_36, 109.749_831_62, 109.078_610_6] },
    };
    let fitted = check("country", &case);
    assert_eq!(fitted.effects(0).unwrap()[26..], GERMAN.map(|(name, _)| name.to_string()));
    let forecast = fitted.predict(Horizon::new(300).unwrap(), &Quantiles::standard()).unwrap();
    let labour_day = forecast.mean(0)[851 - 800];
    assert!(labour_day < forecast.mean(0)[858 - 800] - 15.0, "the next first of May is free as well: {labour_day}");
}

#[test]
fn a_flat_trend() {
    let at = (HOUR, START, 336);
    let value = |i: usize| 40.0 + 4.0 * (TAU * i as f64 / 24.0).sin() + wave(i);
    let case = Case {
        step_ms: HOUR,
        start_ms: START,
        values: many(336, value),
        config: ProphetConfig { growth: Growth::Flat, ..ProphetConfig::default() },
        // Thirteen days and 23 hours: no weeks.
        columns: season(at, 1.0, 4, 10.0, false),
        bounds: None,
        peer: Peer { objective: -1_295.750_928_067_284_1, ahead: [39.987_945_53, 42.811_633_78, 38.963_408_33] },
    };
    let fitted = check("flat", &case);
    let found = fitted.parameters(0).unwrap();
    assert!(found.k == 0.0 && found.delta.is_empty());
    let forecast = fitted.predict(Horizon::new(2_400).unwrap(), &Quantiles::standard()).unwrap();
    let width = |step: usize| forecast.quantile(0, 10)[step] - forecast.quantile(0, 0)[step];
    assert!((width(0) - width(2_399)).abs() < 1e-9, "nothing of a flat trend is to come");
}

fn saturating(bounds: fn(usize) -> (f64, f64), values: Vec<f64>, config: ProphetConfig, peer: Peer) -> Case {
    let at = (HOUR, START, values.len());
    let multiplies = config.mode == Mode::Multiplicative;
    let columns = [season(at, 7.0, 3, 10.0, multiplies), season(at, 1.0, 4, 10.0, multiplies)].concat();
    Case { step_ms: HOUR, start_ms: START, values, config, columns, bounds: Some(bounds), peer }
}

pub(super) fn saturation(i: usize) -> f64 {
    90.0 / (1.0 + (-(i as f64 - 220.0) / 45.0).exp()) + 3.0 * (TAU * i as f64 / 24.0).sin() + 1.5 * wave(i)
}

#[test]
fn an_s_curve_below_a_constant_capacity() {
    let growth = Growth::Logistic { capacity: Known::Constant(100.0), floor: None };
    let config = ProphetConfig { growth, ..ProphetConfig::default() };
    let peer = Peer { objective: -1_558.779_439_439_024_1, ahead: [86.994_211_58, 91.104_093_63, 91.009_293_78] };
    let fitted = check("s-curve", &saturating(|_| (100.0, 0.0), many(400, saturation), config, peer));
    let forecast = fitted.predict(Horizon::new(4_000).unwrap(), &Quantiles::standard()).unwrap();
    let (high, low) = (forecast.quantile(0, 10)[3_999], forecast.quantile(0, 0)[3_999]);
    assert!(high < 110.0 && low > -10.0, "ten times as far as the data: {low} to {high}");
}

#[test]
fn an_s_curve_between_a_floor_and_a_moving_capacity() {
    let bounds = |i: usize| (20.0 + (80.0 + 0.06 * i as f64), 20.0);
    let value = |i: usize| {
        let up = (60.0 + 0.05 * i as f64) / (1.0 + (-(i as f64 - 180.0) / 40.0).exp());
        20.0 + up * (1.0 + 0.1 * (TAU * i as f64 / 24.0).sin()) + wave(i)
    };
    let track = Track::new(START, HOUR, many(448, |i| bounds(i).0));
    let tracks = Arc::new(BTreeMap::from([("a".to_string(), track)]));
    let growth = Growth::Logistic { capacity: Known::PerSeries(tracks), floor: Some(Known::Constant(20.0)) };
    let config = ProphetConfig { growth, mode: Mode::Multiplicative, ..ProphetConfig::default() };
    // Prophet's own forecasts multiply the floor as well, though its fit does not: those are not compared.
    let peer = Peer { objective: -1_652.730_681_792_400_2, ahead: [0.0; 3] };
    let mut case = saturating(bounds, many(400, value), config, peer);
    let fitted = learn(&case);
    let forecast = fitted.predict(Horizon::new(48).unwrap(), &Quantiles::standard()).unwrap();
    case.peer.ahead = AHEAD.map(|ahead| forecast.mean(0)[ahead - 1]);
    check("floor", &case);
    assert!((forecast.mean(0)[0] - value(400)).abs() < 3.0, "{}", forecast.mean(0)[0]);
    let error = fitted.predict(Horizon::new(49).unwrap(), &Quantiles::standard()).unwrap_err();
    assert!(matches!(error, PredictError::Input { ref name, .. } if name == "capacity"), "{error}");
}
