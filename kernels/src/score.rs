//! The seed rule: how far a fleet's values lie from their shadows, in half-widths of the band.

use crate::error::expect_len;
use crate::{KernelError, Matrix, cpu, gpu};

/// The largest score. A band without width would divide by nothing, and a score past this says no more.
pub const SCORE_LIMIT: f32 = 1e6;

/// Scores of a batch and what the rule makes of them.
#[derive(Clone, Debug)]
pub struct Scores {
    /// `[steps, series]`, in half-widths, negative below the shadow; NaN where there is no data.
    pub score: Matrix,
    /// `[steps, series]`: 1 for an anomaly, else 0.
    pub anomaly: Matrix,
}

/// Scores every value against its shadow, all series at once.
///
/// `score = deviation / half_width`, held within ±[`SCORE_LIMIT`], and an anomaly is
/// `|deviation| > threshold * half_width`. A band without width scores 0 for a value on the shadow and
/// ±[`SCORE_LIMIT`] for any other. A NaN deviation is a value that was not observed, a NaN or negative
/// half-width a shadow that is not there: either scores NaN and is no anomaly.
///
/// - `deviation`: `[steps, series]`, the value less its shadow. Subtract in `f64`: of two byte counters near
///   1e12, `f32` keeps only multiples of 65,536.
/// - `half_width`: `[steps, series]`, half of the band's upper less its lower end.
/// - `threshold`: half-widths, one a series.
///
/// Both batches are read once, both results written once. Source: DESIGN.md section 5, the plain detector.
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Elsewhere`] unless the operands share a shape and a device;
/// [`KernelError::Device`] when the device refuses the work.
pub fn score(deviation: &Matrix, half_width: &Matrix, threshold: &[f32]) -> Result<Scores, KernelError> {
    expect_len("half_width (steps)", half_width.steps(), deviation.steps())?;
    expect_len("half_width (series)", half_width.series(), deviation.series())?;
    expect_len("threshold", threshold.len(), deviation.series())?;
    let (score, anomaly) = match (deviation, half_width) {
        (Matrix::Cpu(deviation), Matrix::Cpu(half_width)) => {
            let (score, anomaly) = cpu::score::score(deviation, half_width, threshold);
            (Matrix::Cpu(score), Matrix::Cpu(anomaly))
        }
        (Matrix::Wgpu(deviation), Matrix::Wgpu(half_width)) => {
            let (score, anomaly) = gpu::score::score(deviation, half_width, threshold)?;
            (Matrix::Wgpu(score), Matrix::Wgpu(anomaly))
        }
        (Matrix::Cuda(deviation), Matrix::Cuda(half_width)) => {
            let (score, anomaly) = gpu::score::score(deviation, half_width, threshold)?;
            (Matrix::Cuda(score), Matrix::Cuda(anomaly))
        }
        _ => {
            let (found, needed) = (half_width.kind(), deviation.kind());
            return Err(KernelError::Elsewhere { operand: "half_width", found, needed });
        }
    };
    Ok(Scores { score, anomaly })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{self, SHAPES};
    use crate::{Device, Lanes, device, reference};

    fn run(device: &Device, deviation: &Lanes, half_width: &Lanes, threshold: &[f32]) -> (Lanes, Lanes) {
        let (deviation, half_width) = (deviation.to_device(device).unwrap(), half_width.to_device(device).unwrap());
        let scores = score(&deviation, &half_width, threshold).unwrap();
        (scores.score.to_host().unwrap(), scores.anomaly.to_host().unwrap())
    }

    #[test]
    fn score_matches_reference() {
        for device in device::present() {
            for (steps, series) in SHAPES {
                let deviation = check::with_gaps(check::random_walk(steps, series));
                let half_width = Lanes::from_fn(steps, series, |t, s| 0.5 + ((3 * t + s) % 5) as f32);
                let threshold: Vec<f32> = (0..series).map(|s| 1.0 + 0.1 * (s % 7) as f32).collect();
                let (found, anomaly) = run(&device, &deviation, &half_width, &threshold);
                for s in 0..series {
                    let width = check::column(&half_width, s);
                    let limit = f64::from(threshold[s]);
                    let expected = reference::score::score(&check::column(&deviation, s), &width, limit);
                    let scores: Vec<f64> = expected.iter().map(|(score, _)| *score).collect();
                    // One division: 2.5 ulps on Vulkan, scores under 5,000 / 0.5.
                    let scale = scores.iter().filter(|v| !v.is_nan()).fold(0.0, |m: f64, v| m.max(v.abs()));
                    check::assert_close(&check::column(&found, s), &scores, 3e-7 * scale, &device);
                    for (t, (score, expected)) in expected.iter().enumerate() {
                        // A value on the threshold to the last bit may fall on either side of it.
                        let on_the_edge = (score.abs() / limit - 1.0).abs() < 1e-6;
                        let found = anomaly.get(t, s) == 1.0;
                        assert!(found == *expected || on_the_edge, "step {t} of {s} on {device}");
                    }
                }
            }
        }
    }

    #[test]
    fn no_data_and_bands_without_width_have_scores_of_their_own() {
        let deviation = [2.0, f32::NAN, 1.0, 1.0, 0.0, -1e-9, 1e9, -3.0];
        let width = [1.0, 1.0, f32::NAN, -1.0, 0.0, 0.0, 1e-9, 1.0];
        for device in device::present() {
            let row = |values: [f32; 8]| Lanes::from_fn(1, 8, |_, s| values[s]);
            let (scores, anomaly) = run(&device, &row(deviation), &row(width), &[2.0; 8]);
            let found: Vec<f32> = (0..8).map(|s| scores.get(0, s)).collect();
            assert_eq!(found[0], 2.0);
            assert!(found[1..4].iter().all(|score| score.is_nan()), "{found:?} on {device}");
            assert_eq!(found[4..], [0.0, -SCORE_LIMIT, SCORE_LIMIT, -3.0], "{device}");
            let flags: Vec<f32> = (0..8).map(|s| anomaly.get(0, s)).collect();
            assert_eq!(flags, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0], "2 half-widths are not over 2, on {device}");
        }
    }

    #[test]
    fn operands_must_share_a_shape_and_a_device() {
        let y = Lanes::zeros(2, 3);
        let error = score(&Matrix::Cpu(y.clone()), &Matrix::Cpu(Lanes::zeros(2, 4)), &[1.0; 3]).unwrap_err();
        assert_eq!(error.to_string(), "half_width (series) has 4 values where the batch needs 3");
        for device in device::present().iter().filter(|device| device.kind() != "cpu") {
            let there = y.to_device(device).unwrap();
            let error = score(&Matrix::Cpu(y.clone()), &there, &[1.0; 3]).unwrap_err();
            assert_eq!(error.to_string(), format!("half_width lies on {}, the batch on cpu", device.kind()));
        }
    }
}
