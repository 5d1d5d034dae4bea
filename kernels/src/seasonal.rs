//! The mean of each place in the season.

use crate::{KernelError, Matrix, cpu, gpu};

/// Mean of each place in the season over the steps that observed it, all series at once.
///
/// `means[p, s]` is the mean of `y[p, s], y[p + season, s], y[p + 2 season, s], …`, those that are NaN left
/// out; NaN where a place was never observed, as every place past the last step is.
///
/// - `y`: `[steps, series]`; NaN where unobserved.
/// - Returns `[season, series]` in the unit of `y`.
///
/// `y` is read once. Sums are kept in `f64` on the CPU, and on a GPU in `f32` blocks of 64.
/// Source: the seasonal means of classical decomposition, Hyndman and Athanasopoulos, *Forecasting:
/// Principles and Practice*, 3rd ed., 3.4, step 3.
///
/// # Errors
/// [`KernelError::Shape`] for a season of no steps; [`KernelError::Device`] when the device refuses the work.
pub fn seasonal_means(y: &Matrix, season: usize) -> Result<Matrix, KernelError> {
    if season == 0 {
        return Err(KernelError::Shape { operand: "season", found: 0, needed: 1 });
    }
    match y {
        Matrix::Cpu(y) => Ok(Matrix::Cpu(cpu::seasonal::seasonal_means(y, season))),
        Matrix::Wgpu(y) => gpu::seasonal::seasonal_means(y, season).map(Matrix::Wgpu),
        Matrix::Cuda(y) => gpu::seasonal::seasonal_means(y, season).map(Matrix::Cuda),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{self, SHAPES};
    use crate::{device, reference};

    #[test]
    fn seasonal_means_match_reference() {
        for device in device::present() {
            for (steps, series) in SHAPES {
                let y = check::with_gaps(check::random_walk(steps, series));
                let on_device = y.to_device(&device).unwrap();
                for season in [1, 7, 24] {
                    let means = seasonal_means(&on_device, season).unwrap().to_host().unwrap();
                    assert_eq!((means.steps(), means.series()), (season, series));
                    for s in 0..series {
                        let column = check::column(&y, s);
                        let scale = column.iter().filter(|v| !v.is_nan()).fold(0.0, |m: f64, v| m.max(v.abs()));
                        // A block of 64 roundings, then at most 5,000 / 64 block sums: 144 half-ulps of the
                        // largest value, 9e-6 of it.
                        let expected = reference::seasonal::seasonal_means(&column, season);
                        check::assert_close(&check::column(&means, s), &expected, 9e-6 * scale, &device);
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_panel_is_summed_in_several_launches() {
        for device in device::present() {
            let y = crate::Lanes::from_fn(140_000, 1, |t, _| (t % 2) as f32);
            let means = seasonal_means(&y.to_device(&device).unwrap(), 1).unwrap().to_host().unwrap();
            // Whole sums under 2^24 are exact in f32, so a cut loop would show.
            assert_eq!(means.column(0), [0.5], "{device}");
        }
    }

    #[test]
    fn a_place_that_was_never_observed_has_no_mean() {
        let y = crate::Lanes::from_fn(5, 2, |t, s| if t % 3 == 1 { f32::NAN } else { (t * (s + 1)) as f32 });
        for device in device::present() {
            let means = seasonal_means(&y.to_device(&device).unwrap(), 3).unwrap().to_host().unwrap();
            let second = means.column(1);
            assert!(second[0] == 3.0 && second[1].is_nan() && second[2] == 4.0, "{second:?} on {device}");
            let season = seasonal_means(&y.to_device(&device).unwrap(), 0).unwrap_err();
            assert_eq!(season.to_string(), "season has 0 values where the batch needs 1");
        }
    }
}
