use foreshadow_models::{Horizon, Panel, Quantiles};

use super::*;
use crate::bytes::DecodeError;

/// A shadow whose mean is `values` and whose quantile of level q is `value + width · (q − 0.5)`.
pub(crate) fn shadow(series: &str, cutoff_ms: i64, step_ms: i64, values: &[f64], width: f64) -> Shadow {
    let mut panel = Panel::new(step_ms);
    panel.push(series.into(), cutoff_ms, &[1.0]);
    let quantiles = Quantiles::standard();
    let mut forecast = Forecast::empty(1, Horizon::new(values.len()).unwrap(), quantiles.clone());
    forecast.mean_mut(0).copy_from_slice(values);
    for (index, level) in quantiles.levels().iter().enumerate() {
        for (out, value) in forecast.quantile_mut(0, index).iter_mut().zip(values) {
            *out = value + width * (level - 0.5);
        }
    }
    let accuracy = Accuracy {
        mase: Some(0.8),
        mase_seasonal_naive: None,
        coverage95_percent: 94.5,
        folds: 3,
        shares: quantiles.levels().iter().map(|level| (*level, *level)).collect(),
    };
    Shadow::from_forecast(&panel.window(), 0, &forecast, 0, "snaive24".into(), Some(accuracy)).unwrap()
}

pub(crate) fn issue(shadows: Vec<Shadow>, slot_length_ms: i64) -> Issue {
    Issue::new(shadows, Vec::new(), slot_length_ms).unwrap()
}

#[test]
fn a_time_finds_the_step_whose_interval_holds_it() {
    let shadow = shadow("a", 1_000, 100, &[1.0, 2.0, 3.0], 0.0);
    let steps = [1_000, 1_001, 1_100, 1_101, 1_300, 1_301].map(|time| shadow.step_at(time));
    assert_eq!(steps, [None, Some(0), Some(0), Some(1), Some(2), None]);
    assert_eq!((shadow.time_ms(0), shadow.end_ms()), (1_100, 1_300));
}

#[test]
fn a_level_between_two_is_linear_and_one_outside_is_none() {
    let shadow = shadow("a", 0, 1, &[10.0], 10.0);
    assert_eq!(shadow.quantile_at(0.5, 0), Some(10.0));
    assert!((shadow.quantile_at(0.95, 0).unwrap() - 14.5).abs() < 1e-6);
    assert_eq!(shadow.quantile_at(0.99, 0), None);
    assert_eq!(shadow.quantile_at(0.01, 0), None);
}

#[test]
fn a_share_is_that_of_the_judged_level_below() {
    let shadow = shadow("a", 0, 1, &[10.0], 10.0);
    let share = |level| shadow.accuracy().unwrap().share_at(level);
    assert_eq!([0.9, 0.95, 0.999, 0.01].map(share), [0.9, 0.9, 0.975, 0.0]);
}

#[test]
fn huge_offsets_keep_their_swing() {
    let shadow = shadow("a", 0, 1, &[1e12, 1e12 + 0.5], 0.0);
    assert_eq!((shadow.mean(0), shadow.mean(1)), (1e12, 1e12 + 0.5));
}

#[test]
fn bytes_read_back_equal_and_damage_is_told() {
    let missing = vec![Missing { series: "z".into(), reason: "no finite value".into() }];
    let shadows = (0..5).map(|s| shadow(&format!("s{s}"), 1_000 + s, 100, &[1.0, 2.5], 3.0)).collect();
    let issue = Issue::new(shadows, missing, 60_000).unwrap();
    let (header, slabs) = (issue.header_bytes(), issue.slabs(2).collect::<Vec<_>>());
    assert_eq!(Issue::decode(&header, slabs.clone()).unwrap(), issue);
    for cut in 0..slabs[0].len() {
        assert_eq!(Issue::decode(&header, [slabs[0][..cut].to_vec()]), Err(DecodeError::Damaged), "{cut}");
    }
    for cut in 1..header.len() {
        assert_eq!(Issue::decode(&header[..cut], slabs.clone()), Err(DecodeError::Damaged), "{cut}");
    }
    let mut later = header;
    later[0] = 9;
    assert_eq!(Issue::decode(&later, slabs), Err(DecodeError::Format { found: 9, known: 1 }));
}

#[test]
fn an_id_names_slot_and_contents() {
    let of = |value| issue(vec![shadow("a", 90_000, 100, &[value], 1.0)], 60_000);
    assert_eq!(of(1.0).id(), of(1.0).id());
    assert_ne!(of(1.0).id(), of(1.5).id());
    assert!(of(1.0).id().starts_with("1970-01-01T00:01:00Z-"));
    assert_eq!(of(1.0).slot(), Slot { start_ms: 60_000, length_ms: 60_000 });
}
