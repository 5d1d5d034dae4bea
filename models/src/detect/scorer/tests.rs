use super::*;

const POINT: ShadowPoint = ShadowPoint { mean: 10.0, lower: 8.0, upper: 12.0, threshold: 1.5 };

fn scorer(points: &[ShadowPoint]) -> Scorer {
    let mut scorer = Scorer::new(points.len());
    scorer.set_shadows(1_000..2_000, points);
    scorer
}

fn sample(id: u64, time_ms: i64, value: f64) -> Sample {
    Sample { id, time_ms, value }
}

#[test]
fn the_seed_rule_decides_and_the_score_is_in_half_widths() {
    let mut scorer = scorer(&[POINT; 3]);
    let tick = scorer.tick(&[sample(2, 1_000, 13.0), sample(0, 1_000, 13.1), sample(1, 1_000, 6.0)]);
    let scores: Vec<f32> = tick.scored.iter().map(|scored| scored.score).collect();
    assert_eq!(scores, [1.5, 3.1_f32 / 2.0, -2.0]);
    let outcomes: Vec<Outcome> = tick.scored.iter().map(|scored| scored.outcome).collect();
    assert_eq!(outcomes, [Outcome::Normal, Outcome::Anomaly, Outcome::Anomaly], "1.5 half-widths are not over 1.5");
    assert_eq!(tick.counts, Counts { normal: 1, anomalies: 2, ..Counts::default() });
}

#[test]
fn samples_that_cannot_be_scored_are_told_apart_and_counted() {
    let mut scorer = scorer(&[POINT, ShadowPoint::NONE]);
    let batch = [
        sample(0, 1_500, 10.0),
        sample(0, 1_500, 99.0),
        sample(0, 1_400, 99.0),
        sample(2, 1_500, 10.0),
        sample(u64::MAX, 1_500, 10.0),
        sample(1, 1_500, 10.0),
        sample(0, 1_600, f64::NAN),
        sample(0, 1_700, f64::INFINITY),
        sample(0, 4_000_000_000_000, 10.0),
    ];
    let tick = scorer.tick(&batch);
    let expected = Counts { normal: 1, anomalies: 0, no_data: 2, no_shadow: 2, duplicates: 1, late: 1, unknown: 2 };
    assert_eq!(tick.counts, expected);
    assert!(tick.scored.iter().all(|scored| scored.score == 0.0), "no NaN leaves a tick");
    let state = scorer.state(0);
    assert_eq!((state.scored, state.last_ms, state.bias), (1, 1_700, 0.0));
    assert_eq!(scorer.state(1).scored, 0);
}

#[test]
fn the_state_follows_the_scores() {
    let mut scorer = scorer(&[POINT]);
    for (k, value) in [12.0, 12.0, 100.0, 100.0].into_iter().enumerate() {
        scorer.tick(&[sample(0, 1_000 + k as i64, value)]);
    }
    let state = *scorer.state(0);
    assert_eq!((state.scored, state.anomalies, state.run, state.last_score), (4, 2, 2, 45.0));
    // 1, 1, then two scores held at 1.5: 1 + 0.5 (1 - 0.95^2).
    assert!((state.bias - 1.048_75).abs() < 1e-6, "{}", state.bias);
    assert_eq!(state.bias, state.spread);
    scorer.tick(&[sample(0, 1_100, 10.0)]);
    assert_eq!(scorer.state(0).run, 0);
}

#[test]
fn a_series_is_scored_alike_whatever_its_neighbours_are() {
    let points: Vec<ShadowPoint> = (0..100)
        .map(|k| ShadowPoint { mean: 1e12 + f64::from(k), lower: 1e12, upper: 1e12 + 7.0, threshold: 1.0 })
        .collect();
    let batch: Vec<Sample> = (0..100).map(|id| sample(id, 1_000, 1e12 + 0.25 * id as f64)).collect();
    let alone = scorer(&points).tick(&batch);
    let mut broken = batch.clone();
    broken[40].value = f64::NAN;
    broken[41].id = 7_000;
    broken.reverse();
    let beside = scorer(&points).tick(&broken);
    for (i, (alone, beside)) in alone.scored.iter().zip(beside.scored.iter().rev()).enumerate() {
        assert!(i == 40 || i == 41 || alone == beside, "sample {i}: {alone:?} and {beside:?}");
    }
    assert!((alone.scored[4].score - -3.0 / 3.5).abs() < 1e-6, "a huge offset cancels in f64");
}

#[test]
fn silent_series_are_those_without_a_sample_in_the_step() {
    let mut scorer = scorer(&[POINT; 3]);
    scorer.tick(&[sample(1, 1_000, f64::NAN)]);
    assert_eq!(scorer.silent().collect::<Vec<_>>(), [0, 2], "a NaN is heard, though it says nothing");
    scorer.set_shadows(2_000..3_000, &[POINT; 3]);
    assert_eq!(scorer.silent().count(), 3);
}

#[test]
fn a_series_takes_less_than_a_kibibyte_and_an_empty_tick_is_nothing() {
    assert!(size_of::<ShadowPoint>() + size_of::<SeriesState>() <= 128);
    assert!(scorer(&[POINT]).tick(&[]).scored.is_empty());
}
