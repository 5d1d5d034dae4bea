use super::*;
use crate::auto::pool;
use crate::classical::CustomProphet;
use crate::{Auto, Panel};

/// Runs a check on a run that has begun on a series of a day and noise, hourly, where each candidate is tried.
fn begun(wishes: Option<&[Wish]>, check: impl Fn(&Run<'_>)) {
    let noise = |t: usize| (t * 7_919 % 1_009) as f64 / 1_009.0;
    let mut panel = Panel::new(3_600_000);
    let values: Vec<f64> =
        (0..600).map(|t| 10.0 + (t as f64 / 24.0 * std::f64::consts::TAU).sin() + noise(t)).collect();
    panel.push("a".into(), 0, &values);
    let (window, horizon) = (panel.window(), Horizon::new(24).unwrap());
    let seasons = pool::seasons(&window);
    let folds = vec![Auto::new(horizon).folds(values.len(), &seasons[0])];
    let pool = pool::candidates(&seasons, &CustomProphet::default());
    let done = AtomicUsize::new(0);
    check(&Run {
        window: &window,
        horizon,
        seed: 0,
        seasons,
        folds,
        pool,
        screen: 2,
        wishes,
        done,
        progress: &|_, _| (),
    });
}

#[test]
fn what_was_lived_counts_beside_the_folds_and_those_the_less_the_more_they_promised() {
    let lived = |name: &str, error| Lived { name: name.into(), error, horizons: 2.0 };
    let wish = Wish { lived: vec![lived("naive", 1.0), lived("drift", 4.0)], ..Wish::default() };
    begun(Some(&[wish]), |run| {
        let folds = run.folds[0].picking.len() as f64;
        let own = Losses { singles: vec![Some(2.0); run.pool.len()], blends: [None; 3] };
        let pooled = run.pooled(0, &own).singles;
        let of = |name: &str| pooled[run.pool.iter().position(|c| c.model.name() == name).unwrap()].unwrap();
        assert_eq!(of("naive"), (folds * 2.0 + 2.0) / (folds + 2.0));
        let kept = folds / 4.0; // it erred twice as much as its folds promised
        assert_eq!(of("drift"), (kept * 2.0 + 8.0) / (kept + 2.0));
        assert_eq!(of("snaive24"), 2.0, "nothing was lived");
    });
}

#[test]
fn what_errs_more_than_twice_as_much_as_the_best_on_the_newest_folds_is_tried_on_no_older_one() {
    begun(None, |run| {
        let members: Vec<Vec<usize>> = run.pool.iter().map(|_| vec![0]).collect();
        let off = |c: usize, end: usize| {
            let by = [1.0, 1.9, 2.1][c % 3];
            vec![Some(run.actual(0, end).iter().map(|y| y + by).collect())]
        };
        let of = |c: usize| run.screening(0).0.iter().map(|end| off(c, *end)).collect();
        let means: Means = (0..run.pool.len()).map(of).collect();
        let stay: Vec<bool> = run.screened(&members, &means).iter().map(|own| !own.is_empty()).collect();
        let expected: Vec<bool> = (0..run.pool.len()).map(|c| run.pool[c].floor || c % 3 < 2).collect();
        assert_eq!(stay, expected);
        assert!(expected.contains(&false) && (0..run.pool.len()).any(|c| run.pool[c].floor && c % 3 == 2));
    });
}
