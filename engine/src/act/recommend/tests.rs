use proptest::prelude::*;

use super::*;
use crate::config::{Capacity, Demand};
use crate::issue::Missing;
use crate::issue::tests::{issue, shadow};

const MINUTE: i64 = 60_000;

fn workload() -> Workload {
    Workload {
        name: "web".into(),
        demand: Demand::Series(r#"requests{app="web"}"#.parse().unwrap()),
        unit_capacity: 10.0,
        target: 0.5,
        quantile: 0.9,
        lead_time_ms: 10 * MINUTE,
        min: 2,
        max: 40,
        step: 2,
    }
}

fn recommended(workload: &Workload, ask: &Ask, issue: &Issue) -> Result<Recommendation, RecommendError> {
    recommend(workload, ask, issue, &Drivers::of(std::slice::from_ref(workload), issue)[0])
}

fn web(series: &str, values: &[f64], width: f64) -> Shadow {
    shadow(&format!(r#"requests{{app="web",pod="{series}"}}"#), 120 * MINUTE, 5 * MINUTE, values, width)
}

fn horizon(steps: i64) -> Ask {
    Ask { horizon_ms: Some(steps * 5 * MINUTE), ..Ask::default() }
}

#[test]
fn the_whole_answer_of_one_request() {
    let other = shadow("memory", 120 * MINUTE, 5 * MINUTE, &[1e9; 12], 0.0);
    let values = [20.0, 20.0, 30.0, 44.0, 44.0, 30.0, 20.0, 20.0, 20.0, 20.0, 20.0, 90.0];
    let issue = issue(vec![web("a", &values, 10.0), web("b", &[1.0; 12], 0.0), other], 30 * MINUTE);
    let answer = recommended(&workload(), &Ask::default(), &issue).unwrap();
    // Slot and lead time are eight steps, so the rise to 90 lies past them. q0.9 of the peak is
    // 44 + 10 · 0.4 + 1 = 49, and 49 ÷ (10 · 0.5) = 9.8 units.
    assert_eq!(answer.replicas, 10);
    assert_eq!(answer.confidence, 0.9);
    let entry = |minute, replicas| ScheduleEntry { start_ms: minute * MINUTE, replicas };
    // 25 needs 5 units, stepped to 6; 35 needs 7, stepped to 8. Asked for a step and a lead time ahead,
    // and never before the slot began at minute 120.
    assert_eq!(answer.schedule, [entry(120, 8), entry(125, 10), entry(135, 8), entry(140, 6)]);
    assert_eq!(answer.evidence.model, "snaive24");
    assert_eq!((answer.evidence.coverage95_percent, answer.evidence.cutoff_ms), (94.5, 120 * MINUTE));
    assert_eq!((answer.evidence.peak_demand, answer.evidence.peak_ms), (49.0, 140 * MINUTE));
    assert_eq!(answer.evidence.drivers, [r#"requests{app="web",pod="a"}"#, r#"requests{app="web",pod="b"}"#]);
    assert_eq!(recommended(&workload(), &Ask::default(), &issue), Ok(answer));
}

#[test]
fn a_driver_without_a_shadow_is_refused_rather_than_left_out() {
    let missing = vec![Missing { series: r#"requests{app="web",pod="b"}"#.into(), reason: "too short".into() }];
    let issue = Issue::new(vec![web("a", &[1.0; 12], 0.0)], missing, 30 * MINUTE).unwrap();
    let error = recommended(&workload(), &Ask::default(), &issue).unwrap_err();
    assert!(matches!(&error, RecommendError::MissingDriver { series, .. } if series.contains("pod=\"b\"")), "{error}");
}

#[test]
fn a_request_out_of_range_names_the_field_and_the_range() {
    let issue = issue(vec![web("a", &[1.0; 12], 0.0)], 30 * MINUTE);
    let cases = [
        (Ask { quantile: Some(0.99), ..Ask::default() }, "quantile is 0.99; it must lie in [0.5, 0.975]"),
        (Ask { quantile: Some(f64::NAN), ..Ask::default() }, "quantile is NaN; it must lie in [0.5, 0.975]"),
        (horizon(13), "horizon_ms is 3900000; it must lie in [1, 3600000] ms, which the issue's shadows cover"),
        (Ask { target: Some(0.0), ..Ask::default() }, "target_utilization is 0; it must lie in (0, 1]"),
        (Ask { min: Some(41), ..Ask::default() }, "max is 40; it must lie in [41, …), min being its floor"),
        (Ask { step: Some(0), ..Ask::default() }, "step is 0; it must lie in [1, …)"),
    ];
    for (ask, message) in cases {
        assert_eq!(recommended(&workload(), &ask, &issue).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_series_that_stopped_is_told_and_one_that_lags_a_step_is_used() {
    let late = |cutoff| shadow(r#"requests{app="web"}"#, cutoff * MINUTE, 5 * MINUTE, &[1.0; 12], 0.0);
    let now = shadow("other", 120 * MINUTE, 5 * MINUTE, &[1.0; 12], 0.0);
    let ask = horizon(12);
    let answer = recommended(&workload(), &ask, &issue(vec![late(115), now.clone()], 30 * MINUTE)).unwrap();
    assert_eq!((answer.replicas, answer.evidence.cutoff_ms), (2, 115 * MINUTE));
    let error = recommended(&workload(), &ask, &issue(vec![late(60), now], 30 * MINUTE)).unwrap_err();
    assert!(matches!(error, RecommendError::Lagging { .. }), "{error}");
}

#[test]
fn utilisation_is_driven_by_its_own_demand_series_alone() {
    let utilisation = "requests".parse().unwrap();
    let demand = Demand::Utilisation { utilisation, capacity: Capacity::Number(4.0) };
    let workload = Workload { demand, ..workload() };
    let built = shadow(&workload.demand_series(), 120 * MINUTE, 5 * MINUTE, &[50.0; 12], 0.0);
    let answer = recommended(&workload, &Ask::default(), &issue(vec![built, web("a", &[9e9; 12], 0.0)], 30 * MINUTE));
    assert_eq!(answer.unwrap().replicas, 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn bounds_step_and_order_hold(
        values in prop::collection::vec(-50.0..1e4_f64, 8),
        more in prop::collection::vec(0.0..1e3_f64, 8),
        width in 0.0..100.0_f64,
        (min, span, step) in (0_i64..50, 0_i64..500, 1_i64..20),
        quantile in 0.5..0.975_f64,
    ) {
        let workload = Workload { min, max: min + span, step, quantile, ..workload() };
        let ask = horizon(8);
        let of = |values: &[f64]| recommended(&workload, &ask, &issue(vec![web("a", values, width)], 30 * MINUTE)).unwrap();
        let answer = of(&values);
        prop_assert!((min..=min + span).contains(&answer.replicas));
        prop_assert!(answer.replicas % step == 0 || answer.replicas == min || answer.replicas == min + span);
        prop_assert_eq!(answer.schedule.iter().map(|entry| entry.replicas).max(), Some(answer.replicas));
        prop_assert!(answer.schedule.windows(2).all(|pair| pair[0].start_ms < pair[1].start_ms));
        if answer.replicas < min + span {
            let carried = answer.replicas as f64 * workload.unit_capacity * workload.target;
            prop_assert!(answer.evidence.peak_demand <= carried * (1.0 + 1e-8) + 1e-9);
        }
        let higher: Vec<f64> = values.iter().zip(&more).map(|(value, more)| value + more).collect();
        prop_assert!(of(&higher).replicas >= answer.replicas, "more demand never asks for less");
        let surer = Workload { quantile: 0.975, ..workload.clone() };
        let surer = recommended(&surer, &ask, &issue(vec![web("a", &values, width)], 30 * MINUTE)).unwrap();
        prop_assert!(surer.replicas >= answer.replicas, "a higher quantile never asks for less");
    }
}
