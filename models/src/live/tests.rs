use super::*;

const HOUR: i64 = 3_600_000;

/// Serves a forecast every six hours of a day ahead for `days`, by hourly values that are always 10; each family
/// says what it says of the day served.
fn run(track: &mut Track, days: std::ops::Range<i64>, says: &dyn Fn(i64) -> Vec<(&'static str, f64)>, promised: f64) {
    let leads = leads(Horizon::new(24).unwrap());
    for quarter in 4 * days.start..4 * days.end {
        let cutoff = 6 * quarter;
        track.observe(0, HOUR, &vec![10.0; cutoff as usize + 1]);
        let said = says(quarter / 4);
        let champion = track.wish().unwrap_or(said[0].0).to_string();
        track.serve(Said {
            cutoff_ms: cutoff * HOUR,
            times_ms: leads.iter().map(|lead| (cutoff + *lead as i64 + 1) * HOUR).collect(),
            champion,
            recommended: said[0].0.into(),
            stand_in: said[said.len() - 1].0.into(),
            promised: Some(promised),
            values: said.iter().map(|(name, value)| ((*name).to_string(), vec![*value; leads.len()])).collect(),
            band: vec![(8.0, 12.0); leads.len()],
            outside: (0.025, 0.025),
        });
    }
}

#[test]
fn leads_are_spread_over_the_horizon_and_end_with_it() {
    assert_eq!(leads(Horizon::new(24).unwrap()), [2, 5, 8, 11, 14, 17, 20, 23]);
    assert_eq!(leads(Horizon::new(3).unwrap()), [0, 1, 2]);
    assert_eq!(leads(Horizon::new(288).unwrap()).last(), Some(&287));
}

#[test]
fn a_champion_in_trouble_is_replaced_and_comes_back_when_it_is_as_good() {
    let mut track = Track::default();
    // From the tenth to the twentieth day the champion errs by five times what is usual.
    let says = |day: i64| vec![("weekly", if (10..20).contains(&day) { 15.0 } else { 11.0 }), ("daily", 12.0)];
    run(&mut track, 0..10, &says, 1.0);
    assert_eq!((track.champion(), track.switches().len()), (Some("weekly"), 0));
    run(&mut track, 10..20, &says, 1.0);
    let switch = track.switches().next().unwrap();
    assert_eq!((switch.from.as_str(), switch.to.as_str()), ("weekly", "daily"));
    assert!(switch.reason.contains("times as much as usual"), "{}", switch.reason);
    let times = switch.reason.split(' ').nth(2).unwrap().parse::<f64>().unwrap();
    assert!(times >= TROUBLE, "the trouble told is that of the champion that was: {}", switch.reason);
    assert!(switch.cutoff_ms <= 10 * 24 * HOUR + 30 * HOUR, "as soon as a whole horizon said so");
    assert_eq!(track.switches().len(), 1, "it stays");
    assert_eq!((track.standings()[0].name, track.standings()[0].error), ("daily", Some(2.0)));
    run(&mut track, 20..30, &says, 1.0);
    assert_eq!((track.champion(), track.switches().len()), (Some("weekly"), 2));
    assert!(track.switches().last().unwrap().reason.contains("the folds recommend it"));
}

#[test]
fn luck_and_one_wild_value_replace_nothing() {
    let mut track = Track::default();
    run(&mut track, 0..60, &|_| vec![("a", 11.0), ("b", 10.5)], 1.0);
    assert_eq!(track.switches().len(), 0, "it errs as usual, however good another is");
    let mut track = Track::default();
    run(&mut track, 0..5, &|_| vec![("a", 11.0), ("b", 12.0)], 1.0);
    let mut wild = vec![10.0; 24 * 5 + 1];
    *wild.last_mut().unwrap() = 1e30;
    track.observe(0, HOUR, &wild);
    run(&mut track, 6..9, &|_| vec![("a", 11.0), ("b", 12.0)], 1.0);
    assert_eq!(track.switches().len(), 0);
    assert!(track.standings().iter().all(|standing| standing.error.unwrap().is_finite()));
}

#[test]
fn a_champion_that_cannot_serve_is_a_switch_with_that_reason() {
    let mut track = Track::default();
    let serve = |track: &mut Track, at: i64, champion: &str| {
        track.serve(Said {
            cutoff_ms: at * HOUR,
            times_ms: vec![(at + 1) * HOUR],
            champion: champion.into(),
            recommended: champion.into(),
            stand_in: "naive".into(),
            promised: None,
            values: vec![(champion.into(), vec![1.0])],
            band: vec![(0.0, 2.0)],
            outside: (0.025, 0.025),
        });
    };
    serve(&mut track, 1, "ets");
    serve(&mut track, 2, "naive");
    assert_eq!(track.switches().next().unwrap().reason, "ets could not be fitted");
    for at in 3..100 {
        serve(&mut track, at, if at % 2 == 0 { "ets" } else { "naive" });
    }
    assert_eq!(track.switches().len(), REMEMBERED);
}

#[test]
fn bands_follow_what_falls_outside_on_their_own_side() {
    let mut track = Track::default();
    let leads = 8;
    for at in 0..40 {
        track.observe(0, HOUR, &vec![20.0; 24 * at as usize + 1]);
        track.serve(Said {
            cutoff_ms: 24 * at * HOUR,
            times_ms: (1..=leads).map(|lead| (24 * at + 3 * lead) * HOUR).collect(),
            champion: "a".into(),
            recommended: "a".into(),
            stand_in: "a".into(),
            promised: Some(1.0),
            values: vec![("a".into(), vec![10.0; 8])],
            band: vec![(8.0, 12.0); 8],
            outside: (0.025, 0.025),
        });
    }
    assert_eq!(track.width().above, *WIDTHS.end(), "always above");
    assert!(track.width().below < 1.0 && track.width().below >= *WIDTHS.start(), "never below");
}

#[test]
fn gaps_say_nothing_and_a_clock_set_back_asks_anew() {
    let mut track = Track::default();
    run(&mut track, 0..3, &|_| vec![("a", 11.0)], 1.0);
    let before = track.standings()[0].error;
    track.observe(0, HOUR, &[f64::NAN; 24 * 4]);
    assert_eq!(track.standings()[0].error, before);
    run(&mut track, 1..2, &|_| vec![("a", 11.0)], 1.0);
    assert!(track.pending.iter().all(|probe| probe.cutoff_ms < 2 * 24 * HOUR));
}

#[test]
fn a_band_of_any_levels_is_held_to_the_shares_that_it_leaves_outside() {
    let mut track = Track::default();
    // One value in five lies above a band that leaves a fifth there, and none below one that leaves a hundredth.
    let values: Vec<f64> = (0..401).map(|hour| if hour % 5 == 0 { 20.0 } else { 10.0 }).collect();
    for at in 0..40 {
        track.observe(0, HOUR, &values[..=10 * at as usize]);
        track.serve(Said {
            cutoff_ms: 10 * at * HOUR,
            times_ms: (1..=10).map(|lead| (10 * at + lead) * HOUR).collect(),
            champion: "a".into(),
            recommended: "a".into(),
            stand_in: "a".into(),
            promised: Some(1.0),
            values: vec![("a".into(), vec![10.0; 10])],
            band: vec![(8.0, 12.0); 10],
            outside: (0.01, 0.2),
        });
    }
    let width = track.width();
    assert!((width.above - 1.0).abs() < 1e-9, "{width:?}");
    assert!(width.below < 1.0 && width.below > 0.6, "{width:?}");
}
