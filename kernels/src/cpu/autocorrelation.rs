//! How each series resembles itself some steps later.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::autocorrelation::MOVES;
use crate::{LANES, Lanes};

/// Products that are added up in `f32` before their sum joins the others.
const BLOCK: usize = 256;
/// Lags that one walk over a block takes together: each value is loaded once for all of them.
const TOGETHER: usize = 4;

pub(crate) fn autocorrelations(y: &Lanes, lags: usize) -> Lanes {
    let arch = Arch::new();
    let mut found = Lanes::zeros(lags, y.series());
    found.par_groups_mut().for_each(|(group, found)| {
        let mut distance = vec![[0.0; LANES]; y.steps()];
        arch.dispatch(Group { y: y.group(group), distance: &mut distance, found });
    });
    found
}

struct Group<'a> {
    y: &'a [[f32; LANES]],
    distance: &'a mut [[f32; LANES]],
    found: &'a mut [[f32; LANES]],
}

impl WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { y, distance, found } = self;
        let rounding = centre(y, distance);
        let mut squares = together::<1>(distance, 0)[0];
        for lane in 0..LANES {
            squares[lane] = if squares[lane] > rounding[lane] { squares[lane] } else { 0.0 };
        }
        let lags = found.len();
        let (whole, rest) = found.split_at_mut(lags / TOGETHER * TOGETHER);
        for (at, found) in whole.chunks_mut(TOGETHER).enumerate() {
            let sums = together::<TOGETHER>(distance, 1 + at * TOGETHER);
            found.iter_mut().zip(&sums).for_each(|(found, sum)| *found = ratio(sum, &squares));
        }
        let done = whole.len();
        for (at, found) in rest.iter_mut().enumerate() {
            *found = ratio(&together::<1>(distance, 1 + done + at)[0], &squares);
        }
    }
}

/// Fills in the distances from each lane's mean; returns the sum of squares that is rounding alone.
#[inline(always)]
fn centre(y: &[[f32; LANES]], distance: &mut [[f32; LANES]]) -> [f64; LANES] {
    let (mut total, mut count) = ([0.0_f64; LANES], [0.0_f64; LANES]);
    for row in y {
        for lane in 0..LANES {
            let observed = !row[lane].is_nan();
            total[lane] += if observed { f64::from(row[lane]) } else { 0.0 };
            count[lane] += if observed { 1.0 } else { 0.0 };
        }
    }
    let mean: [f64; LANES] = std::array::from_fn(|lane| total[lane] / count[lane].max(1.0));
    for (row, distance) in y.iter().zip(distance) {
        for lane in 0..LANES {
            let apart = (f64::from(row[lane]) - mean[lane]) as f32;
            distance[lane] = if row[lane].is_nan() { 0.0 } else { apart };
        }
    }
    std::array::from_fn(|lane| MOVES * count[lane] * mean[lane] * mean[lane])
}

/// Sums of products at the lags `first..first + N`.
#[inline(always)]
fn together<const N: usize>(distance: &[[f32; LANES]], first: usize) -> [[f64; LANES]; N] {
    let mut sums = [[0.0_f64; LANES]; N];
    let steps = distance.len();
    // Steps whose every lag has its partner, then the few at the end that have some.
    let full = steps.saturating_sub(first + N - 1);
    for from in (0..full).step_by(BLOCK) {
        let to = (from + BLOCK).min(full);
        let mut block = [[0.0_f32; LANES]; N];
        for t in from..to {
            let (now, later) = (&distance[t], &distance[t + first..t + first + N]);
            for i in 0..N {
                for lane in 0..LANES {
                    block[i][lane] += now[lane] * later[i][lane];
                }
            }
        }
        for i in 0..N {
            for lane in 0..LANES {
                sums[i][lane] += f64::from(block[i][lane]);
            }
        }
    }
    for t in full..steps {
        for i in 0..N {
            if let Some(later) = distance.get(t + first + i) {
                for lane in 0..LANES {
                    sums[i][lane] += f64::from(distance[t][lane] * later[lane]);
                }
            }
        }
    }
    sums
}

#[inline(always)]
fn ratio(sum: &[f64; LANES], squares: &[f64; LANES]) -> [f32; LANES] {
    std::array::from_fn(|lane| if squares[lane] > 0.0 { (sum[lane] / squares[lane]) as f32 } else { 0.0 })
}
