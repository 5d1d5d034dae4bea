//! The mean of each place in the season.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::{LANES, Lanes};

pub(crate) fn seasonal_means(y: &Lanes, season: usize) -> Lanes {
    let arch = Arch::new();
    let mut means = Lanes::zeros(season, y.series());
    means.par_groups_mut().for_each(|(group, means)| arch.dispatch(Means16 { y: y.group(group), means }));
    means
}

struct Means16<'a> {
    y: &'a [[f32; LANES]],
    means: &'a mut [[f32; LANES]],
}

impl WithSimd for Means16<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let season = self.means.len();
        for (place, mean) in self.means.iter_mut().enumerate() {
            let mut total = [0.0_f64; LANES];
            let mut count = [0.0_f64; LANES];
            for row in self.y.iter().skip(place).step_by(season) {
                for lane in 0..LANES {
                    let observed = !row[lane].is_nan();
                    total[lane] += if observed { f64::from(row[lane]) } else { 0.0 };
                    count[lane] += if observed { 1.0 } else { 0.0 };
                }
            }
            for lane in 0..LANES {
                mean[lane] = (total[lane] / count[lane]) as f32; // 0 / 0 says that nothing was observed
            }
        }
    }
}
