//! The seed rule.

use cubecl::prelude::*;

use super::{Buffer, array};
use crate::KernelError;
use crate::score::SCORE_LIMIT;

pub(crate) fn score<R: Runtime>(
    deviation: &Buffer<R>,
    half_width: &Buffer<R>,
    threshold: &[f32],
) -> Result<(Buffer<R>, Buffer<R>), KernelError> {
    let gpu = deviation.gpu();
    let (steps, series) = (deviation.steps(), deviation.series());
    let (score, anomaly) = (deviation.empty(steps, series), deviation.empty(steps, series));
    let threshold = gpu.upload(threshold);
    let (cubes, dim) = gpu.one_unit_per(steps * series);
    // SAFETY: all batches hold `steps * series` elements, `threshold` one a series; units past the last stop.
    unsafe {
        score_kernel::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            deviation.arg(),
            half_width.arg(),
            array(&threshold, series),
            score.arg(),
            anomaly.arg(),
            series as u32,
            f32::NAN,
        );
    }
    gpu.accepted("scores")?;
    Ok((score, anomaly))
}

#[cube(launch_unchecked)]
fn score_kernel(
    deviation: &Array<f32>,
    half_width: &Array<f32>,
    threshold: &Array<f32>,
    score: &mut Array<f32>,
    anomaly: &mut Array<f32>,
    series: u32,
    missing: f32,
) {
    let at = ABSOLUTE_POS;
    if at < deviation.len() {
        let away = deviation[at];
        let width = half_width[at];
        let mut scored = missing;
        let mut flag = 0.0f32;
        if !away.is_nan() && !width.is_nan() && width >= 0.0f32 {
            // The quotient is taken only where it stays in range: beyond it WGSL promises nothing.
            if away.abs() >= SCORE_LIMIT * width {
                scored = select(away > 0.0f32, SCORE_LIMIT, -SCORE_LIMIT);
            } else {
                scored = away / width;
            }
            if away == 0.0f32 {
                scored = 0.0f32;
            }
            if away.abs() > threshold[at % series as usize] * width {
                flag = 1.0f32;
            }
        }
        score[at] = scored;
        anomaly[at] = flag;
    }
}
