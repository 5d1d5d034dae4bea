use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::{Horizon, Quantiles};

const FREE: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// A forecast of one step: a mean for each series, quantiles a spread to either side of it.
fn said(means: &[f64], spreads: &[f64]) -> Forecast {
    let quantiles = Quantiles::new(vec![0.1, 0.5, 0.9]).unwrap();
    let mut forecast = Forecast::empty(means.len(), Horizon::new(1).unwrap(), quantiles);
    for (series, (mean, spread)) in means.iter().zip(spreads).enumerate() {
        forecast.set_normal(series, &[*mean], |_| *spread);
    }
    forecast
}

fn means(forecast: &Forecast) -> Vec<f64> {
    (0..forecast.series_count()).map(|series| forecast.mean(series)[0]).collect()
}

fn aggregate(series: usize, parts: &[usize]) -> Aggregate {
    Aggregate { series, parts: parts.to_vec() }
}

/// Two regions of two hosts each, and everything: hosts 0 to 3, regions 4 and 5, everything 6.
fn fleet() -> Vec<Aggregate> {
    vec![aggregate(4, &[0, 1]), aggregate(5, &[2, 3]), aggregate(6, &[0, 1, 2, 3])]
}

/// The solution of `A x = b` by elimination with pivoting.
fn eliminated(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let order = b.len();
    for column in 0..order {
        let pivot = (column..order).max_by(|x, y| a[*x][column].abs().total_cmp(&a[*y][column].abs())).unwrap();
        a.swap(column, pivot);
        b.swap(column, pivot);
        for row in column + 1..order {
            let times = a[row][column] / a[column][column];
            for k in column..order {
                a[row][k] -= times * a[column][k];
            }
            b[row] -= times * b[column];
        }
    }
    for row in (0..order).rev() {
        let known: f64 = (row + 1..order).map(|k| a[row][k] * b[k]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    b
}

/// Weighted least squares of the parts on all forecasts, `(S' W⁻¹ S)⁻¹ S' W⁻¹ y`: the paper's equation 9.
fn by_least_squares(means: &[f64], spreads: &[f64], sums: &[Aggregate], part_count: usize) -> Vec<f64> {
    let row_of = |series: usize| -> Vec<f64> {
        match sums.iter().find(|sum| sum.series == series) {
            Some(sum) => (0..part_count).map(|part| f64::from(u8::from(sum.parts.contains(&part)))).collect(),
            None => (0..part_count).map(|part| f64::from(u8::from(part == series))).collect(),
        }
    };
    let mut gram = vec![vec![0.0; part_count]; part_count];
    let mut right = vec![0.0; part_count];
    for (series, (mean, spread)) in means.iter().zip(spreads).enumerate() {
        let row = row_of(series);
        for i in 0..part_count {
            right[i] += row[i] * mean / spread.powi(2);
            for j in 0..part_count {
                gram[i][j] += row[i] * row[j] / spread.powi(2);
            }
        }
    }
    eliminated(gram, right)
}

#[test]
fn one_sum_shares_its_discrepancy_by_variance() {
    // Parts 10 ± 1 and 20 ± 2, their sum 36 ± 1: variances 1, 4 and 1 share 6.
    let forecast = said(&[10.0, 20.0, 36.0], &[1.0, 2.0, 1.0]);
    let to = sums(&forecast, &[aggregate(2, &[0, 1])], &[1.0, 2.0, 1.0], &[FREE; 3]).unwrap();
    for (found, expected) in means(&to).iter().zip([11.0, 24.0, 35.0]) {
        assert!((found - expected).abs() < 1e-7, "{found} {expected}"); // the ridge is 1e-9 of a variance
    }
    for series in 0..3 {
        let by = to.mean(series)[0] - forecast.mean(series)[0];
        for index in 0..3 {
            assert!((to.quantile(series, index)[0] - forecast.quantile(series, index)[0] - by).abs() < 1e-12);
        }
    }
}

#[test]
fn sums_that_share_parts_are_what_least_squares_make_of_them() {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for _ in 0..50 {
        let spreads: Vec<f64> = (0..7).map(|_| random.random_range(0.2..5.0)).collect();
        let base: Vec<f64> = (0..7).map(|_| random.random_range(-100.0..100.0)).collect();
        let to = sums(&said(&base, &spreads), &fleet(), &spreads, &[FREE; 7]).unwrap();
        let expected = by_least_squares(&base, &spreads, &fleet(), 4);
        for (part, expected) in expected.iter().enumerate() {
            // Values of 100 with a ridge of 1e-9 of variances that differ 625 times at most.
            assert!((to.mean(part)[0] - expected).abs() < 1e-4, "{part}: {} {expected}", to.mean(part)[0]);
        }
    }
}

#[test]
fn what_is_certain_stays_and_equal_sums_are_no_trouble() {
    let (base, spreads) = ([10.0, 20.0, 36.0, 33.0], [0.0, 2.0, 1.0, 1.0]);
    let twice = [aggregate(2, &[0, 1]), aggregate(3, &[0, 1])];
    let to = sums(&said(&base, &spreads), &twice, &spreads, &[FREE; 4]).unwrap();
    assert_eq!(to.mean(0)[0], 10.0, "a constant does not move");
    assert_eq!(to.mean(2)[0], to.mean(3)[0]);
    // Nothing is uncertain: the parts have it.
    let certain = sums(&said(&base, &[0.0; 4]), &twice, &[0.0; 4], &[FREE; 4]).unwrap();
    assert_eq!(means(&certain), [10.0, 20.0, 30.0, 30.0]);
    // The sums are certain and say different things: their mean is met.
    let firm = sums(&said(&base, &[1.0, 1.0, 0.0, 0.0]), &twice, &[1.0, 1.0, 0.0, 0.0], &[FREE; 4]).unwrap();
    assert!((firm.mean(2)[0] - 34.5).abs() < 1e-4, "{}", firm.mean(2)[0]);
}

#[test]
fn bounds_hold_and_a_sum_is_still_exact() {
    // A sum far lower than its parts would push the small one below nothing.
    let forecast = said(&[1.0, 50.0, 5.0], &[2.0, 2.0, 0.1]);
    let floor = (0.0, f64::INFINITY);
    let to = sums(&forecast, &[aggregate(2, &[0, 1])], &[2.0, 2.0, 0.1], &[floor; 3]).unwrap();
    assert_eq!(to.mean(0)[0], 0.0);
    assert_eq!(to.mean(2)[0], to.mean(0)[0] + to.mean(1)[0]);
    assert!((0..3).all(|index| to.quantile(0, index)[0] >= forecast.quantile(0, 0)[0].min(0.0)));
    // Parts may be negative, their sum never was.
    let to = sums(
        &said(&[-8.0, 3.0, 0.5], &[1.0, 1.0, 9.0]),
        &[aggregate(2, &[0, 1])],
        &[1.0, 1.0, 9.0],
        &[FREE, FREE, floor],
    );
    let to = to.unwrap();
    assert!(to.mean(2)[0].abs() < 1e-12 && to.mean(2)[0] == to.mean(0)[0] + to.mean(1)[0], "{:?}", means(&to));
    // A most holds as a least does.
    let to =
        sums(&said(&[95.0, 10.0, 140.0], &[1.0; 3]), &[aggregate(2, &[0, 1])], &[1.0; 3], &[(0.0, 100.0), FREE, FREE]);
    assert_eq!(to.unwrap().mean(0)[0], 100.0);
}

#[test]
fn a_maximum_is_never_under_a_part() {
    let forecast = said(&[10.0, 30.0, 25.0], &[9.0, 1.0, 1.0]);
    let to = maxima(&forecast, &[aggregate(2, &[0, 1])]);
    assert_eq!(means(&to), [10.0, 30.0, 30.0]);
    for index in 0..3 {
        let at = |series| to.quantile(series, index)[0];
        assert!(at(2) >= at(0) && at(2) >= at(1) && at(2) >= forecast.quantile(2, index)[0]);
    }
    assert!(to.quantile(2, 0)[0] <= to.quantile(2, 1)[0] && to.quantile(2, 1)[0] <= to.quantile(2, 2)[0]);
}

#[test]
fn sums_are_grouped_by_the_parts_they_share() {
    let sums =
        [aggregate(9, &[0, 1]), aggregate(8, &[2]), aggregate(7, &[3, 4]), aggregate(6, &[1, 4]), aggregate(5, &[])];
    assert_eq!(connected(&sums), [vec![0, 2, 3], vec![1], vec![4]]);
}

#[test]
fn what_cannot_be_reconciled_says_why() {
    let huge = [1.7e308, 1.7e308, 1.0];
    let refused = sums(&said(&huge, &[1.0; 3]), &[aggregate(2, &[0, 1])], &[1.0; 3], &[FREE; 3]);
    assert_eq!(refused.unwrap_err(), ReconcileError::NotFinite);
    let many: Vec<Aggregate> = (0..=MOST_SUMS).map(|_| aggregate(1, &[0])).collect();
    let refused = sums(&said(&[1.0, 1.0], &[1.0; 2]), &many, &[1.0; 2], &[FREE; 2]).unwrap_err();
    assert_eq!(refused, ReconcileError::TooMany { count: MOST_SUMS + 1 });
}

#[test]
fn a_spread_is_that_of_the_outermost_quantiles() {
    for (found, expected) in spreads(&said(&[10.0, -3.0], &[2.0, 0.0])).iter().zip([2.0, 0.0]) {
        assert!((found - expected).abs() < 1e-12);
    }
    let bare = Forecast::empty(2, Horizon::new(1).unwrap(), Quantiles::new(vec![0.5]).unwrap());
    assert_eq!(spreads(&bare), [1.0, 1.0]);
}

#[test]
fn squared_errors_fall_on_average() {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let (mut before, mut after) = (0.0, 0.0);
    for _ in 0..500 {
        let mut truth: Vec<f64> = (0..4).map(|_| random.random_range(50.0..200.0)).collect();
        truth.extend([truth[0] + truth[1], truth[2] + truth[3]]);
        truth.push(truth[4] + truth[5]);
        let spreads: Vec<f64> = (0..7).map(|_| random.random_range(1.0..20.0)).collect();
        // Twelve uniforms make a normal error.
        let mut normal = || (0..12).map(|_| random.random_range(0.0..1.0)).sum::<f64>() - 6.0;
        let base: Vec<f64> = truth.iter().zip(&spreads).map(|(y, spread)| y + spread * normal()).collect();
        let to = sums(&said(&base, &spreads), &fleet(), &spreads, &[FREE; 7]).unwrap();
        let error = |said: &[f64]| said.iter().zip(&truth).map(|(f, y)| (f - y).powi(2)).sum::<f64>();
        before += error(&base);
        after += error(&means(&to));
    }
    assert!(after < 0.75 * before, "{after} {before}");
}

proptest! {
    #[test]
    fn sums_are_exact_and_quantiles_rise(
        base in proptest::collection::vec(0.0_f64..1e6, 7),
        spreads in proptest::collection::vec(0.0_f64..1e5, 7),
    ) {
        let forecast = said(&base, &spreads);
        let bounds: Vec<_> = base.iter().zip(&spreads).map(|(mean, spread)| if mean > spread { (0.0, f64::INFINITY) } else { FREE }).collect();
        let to = sums(&forecast, &fleet(), &spreads, &bounds).unwrap();
        for sum in fleet() {
            let parts: f64 = sum.parts.iter().map(|part| to.mean(*part)[0]).sum();
            prop_assert!((to.mean(sum.series)[0] - parts).abs() <= 1e-9 * parts.abs());
        }
        for series in 0..7 {
            let at = |index| to.quantile(series, index)[0];
            prop_assert!(at(0) <= at(1) && at(1) <= at(2));
            prop_assert!(series > 3 || bounds[series] == FREE || to.mean(series)[0] >= 0.0);
        }
    }
}
