//! The seed rule.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::matrix::SMALL_ROWS;
use crate::score::SCORE_LIMIT;
use crate::{LANES, Lanes};

pub(crate) fn score(deviation: &Lanes, half_width: &Lanes, threshold: &[f32]) -> (Lanes, Lanes) {
    let (steps, series) = (deviation.steps(), deviation.series());
    let arch = Arch::new();
    let (mut score, mut anomaly) = (Lanes::zeros(steps, series), Lanes::zeros(steps, series));
    let work = |group: usize, score: &mut [[f32; LANES]], anomaly: &mut [[f32; LANES]]| {
        let first = group * LANES;
        let threshold = std::array::from_fn(|lane| threshold[(first + lane).min(series - 1)]);
        let (deviation, half_width) = (deviation.group(group), half_width.group(group));
        arch.dispatch(Score16 { deviation, half_width, threshold, score, anomaly });
    };
    if steps * deviation.groups() <= SMALL_ROWS {
        (0..score.groups()).for_each(|group| work(group, score.group_mut(group), anomaly.group_mut(group)));
    } else {
        let groups = score.par_groups_mut().zip(anomaly.par_groups_mut());
        groups.for_each(|((group, score), (_, anomaly))| work(group, score, anomaly));
    }
    (score, anomaly)
}

struct Score16<'a> {
    deviation: &'a [[f32; LANES]],
    half_width: &'a [[f32; LANES]],
    threshold: [f32; LANES],
    score: &'a mut [[f32; LANES]],
    anomaly: &'a mut [[f32; LANES]],
}

impl WithSimd for Score16<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for t in 0..self.deviation.len() {
            for lane in 0..LANES {
                let (deviation, width) = (self.deviation[t][lane], self.half_width[t][lane]);
                let known = width >= 0.0 && !deviation.is_nan();
                let score = (deviation / width).clamp(-SCORE_LIMIT, SCORE_LIMIT);
                let score = if deviation == 0.0 { 0.0 } else { score }; // on a shadow without width
                self.score[t][lane] = if known { score } else { f32::NAN };
                let over = known && deviation.abs() > self.threshold[lane] * width;
                self.anomaly[t][lane] = if over { 1.0 } else { 0.0 };
            }
        }
    }
}
