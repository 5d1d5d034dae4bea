//! How each series resembles itself some steps later.

use crate::error::expect_len;
use crate::{KernelError, Matrix, cpu, gpu};

/// Mean square, as a share of the squared mean, under which a series does not move: a mean summed in `f32` is known
/// to about a millionth of itself.
pub(crate) const MOVES: f64 = 1e-12;

/// Autocorrelations at the lags `1..=lags`, all series at once.
///
/// `r[k - 1, s] = sum_t d[t] d[t + k] / sum_t d[t]^2` with `d` the distance from the series' mean, 0 where
/// unobserved; 0 for a series that moves no further from its mean than `f32` rounds.
///
/// - `y`: `[steps, series]`, standardised or nearly so; NaN where unobserved.
/// - Returns `[lags, series]`, each in `[-1, 1]`.
///
/// `steps * lags` products a series in `f32`, summed in blocks of 256; the block sums and the mean are `f64` on
/// the CPU and `f32` on a GPU.
/// Source: Box, Jenkins, Reinsel and Ljung, *Time Series Analysis*, 5th ed., 2.1.4: the estimate that divides
/// both sums by the number of steps.
///
/// # Errors
/// [`KernelError::Shape`] for no lags; [`KernelError::Device`] when the device refuses the work.
pub fn autocorrelations(y: &Matrix, lags: usize) -> Result<Matrix, KernelError> {
    expect_len("lags", lags, lags.max(1))?;
    match y {
        Matrix::Cpu(y) => Ok(Matrix::Cpu(cpu::autocorrelation::autocorrelations(y, lags))),
        Matrix::Wgpu(y) => gpu::autocorrelation::autocorrelations(y, lags).map(Matrix::Wgpu),
        Matrix::Cuda(y) => gpu::autocorrelation::autocorrelations(y, lags).map(Matrix::Cuda),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{self, SHAPES};
    use crate::{Lanes, device, reference};

    #[test]
    fn autocorrelations_match_reference() {
        for device in device::present() {
            for (steps, series) in SHAPES {
                let y = check::with_gaps(check::random_walk(steps, series));
                let on_device = y.to_device(&device).unwrap();
                for lags in [1, 4, 27] {
                    let found = autocorrelations(&on_device, lags).unwrap().to_host().unwrap();
                    assert_eq!((found.steps(), found.series()), (lags, series));
                    for s in 0..series {
                        // A block adds 256 products and then joins 20 others, each with half an ulp of the sum so
                        // far, which no more than doubles by the mean's own error: 276 * 2 * 6e-8.
                        let expected = reference::autocorrelation::autocorrelations(&check::column(&y, s), lags);
                        check::assert_close(&check::column(&found, s), &expected, 4e-5, &device);
                    }
                }
            }
        }
    }

    #[test]
    fn a_series_that_never_moves_resembles_nothing() {
        for device in device::present() {
            let y = Lanes::from_fn(9, 3, |t, s| match s {
                0 => 0.1,
                1 => f32::NAN,
                _ => t as f32,
            });
            let found = autocorrelations(&y.to_device(&device).unwrap(), 3).unwrap().to_host().unwrap();
            assert_eq!((found.column(0), found.column(1)), (vec![0.0; 3], vec![0.0; 3]), "{device}");
            assert!(found.get(0, 2) > 0.5, "{device}");
            assert!(autocorrelations(&y.to_device(&device).unwrap(), 0).is_err());
        }
    }

    #[test]
    fn a_series_has_the_same_bits_in_any_batch() {
        let y = check::random_walk(300, 20);
        for device in device::present() {
            let all = autocorrelations(&y.to_device(&device).unwrap(), 24).unwrap().to_host().unwrap();
            let alone = Lanes::from_fn(300, 1, |t, _| y.get(t, 4)).to_device(&device).unwrap();
            assert_eq!(autocorrelations(&alone, 24).unwrap().to_host().unwrap().column(0), all.column(4), "{device}");
        }
    }

    #[test]
    fn a_long_panel_is_summed_in_several_launches() {
        for device in device::present() {
            let y = Lanes::from_fn(140_000, 1, |t, _| (t % 2) as f32);
            let found = autocorrelations(&y.to_device(&device).unwrap(), 2).unwrap().to_host().unwrap();
            // 1 less a pair or two of 140,000.
            check::assert_close(&check::column(&found, 0), &[-1.0, 1.0], 4e-5, &device);
        }
    }
}
