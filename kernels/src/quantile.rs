//! Quantiles along time.

use crate::{KernelError, Matrix, cpu, gpu};

/// Sample quantiles of each series over its observed steps, all series at once.
///
/// With the `n` observed values of a series in rising order, `x[0] … x[n-1]`, and `h = (n - 1) level`,
/// `quantiles[l, s] = x[⌊h⌋] + (h - ⌊h⌋) (x[⌊h⌋ + 1] - x[⌊h⌋])`; NaN for a series without a value.
///
/// - `y`: `[steps, series]`; finite, or NaN where unobserved.
/// - `levels`: each in `[0, 1]`.
/// - Returns `[levels, series]` in the unit of `y`.
///
/// The order statistics are exact on every device. The CPU sorts each series once. A GPU, one unit a level
/// and series, builds the statistic's bits from the highest down, reading `y` once a bit: 33 times a level.
/// Source: Hyndman and Fan, *Sample quantiles in statistical packages*, The American Statistician 50(4),
/// 1996, definition 7.
///
/// # Errors
/// [`KernelError::Shape`] for a level outside `[0, 1]`; [`KernelError::Device`] when the device refuses the
/// work.
pub fn quantiles(y: &Matrix, levels: &[f32]) -> Result<Matrix, KernelError> {
    let inside = levels.iter().filter(|level| (0.0..=1.0).contains(*level)).count();
    crate::error::expect_len("levels in [0, 1]", inside, levels.len())?;
    match y {
        Matrix::Cpu(y) => Ok(Matrix::Cpu(cpu::quantile::quantiles(y, levels))),
        Matrix::Wgpu(y) => gpu::quantile::quantiles(y, levels).map(Matrix::Wgpu),
        Matrix::Cuda(y) => gpu::quantile::quantiles(y, levels).map(Matrix::Cuda),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{self, SHAPES};
    use crate::{Lanes, device, reference};

    const LEVELS: [f32; 6] = [0.0, 0.025, 0.1, 0.5, 0.975, 1.0];

    #[test]
    fn quantiles_match_reference() {
        for device in device::present() {
            for (steps, series) in SHAPES {
                let y = check::with_gaps(check::random_walk(steps, series));
                let found = quantiles(&y.to_device(&device).unwrap(), &LEVELS).unwrap().to_host().unwrap();
                assert_eq!((found.steps(), found.series()), (LEVELS.len(), series));
                for s in 0..series {
                    let column = check::column(&y, s);
                    let expected = reference::quantile::quantiles(&column, &LEVELS.map(f64::from));
                    // `h` under 5,000 carries 3e-4 of rounding, and neighbours of a walk of steps under 1
                    // lie less than 1 apart; a wrong order statistic would be far off at n = 48.
                    check::assert_close(&check::column(&found, s), &expected, 3e-4, &device);
                }
            }
        }
    }

    #[test]
    fn order_statistics_are_exact_for_every_sign_and_size() {
        let values = [-3e38, -1.0, -1e-30, 0.0, 1e-30, 2.0, 3e38_f32];
        let y = Lanes::from_fn(7, 1, |t, _| values[(t * 3) % 7]);
        let levels: Vec<f32> = (0..7).map(|k| k as f32 / 6.0).collect();
        for device in device::present() {
            let found = quantiles(&y.to_device(&device).unwrap(), &levels[..1]).unwrap().to_host().unwrap();
            assert_eq!(found.column(0), [-3e38], "{device}");
            let found = quantiles(&y.to_device(&device).unwrap(), &levels[6..]).unwrap().to_host().unwrap();
            assert_eq!(found.column(0), [3e38], "{device}");
            let found = quantiles(&y.to_device(&device).unwrap(), &[0.5]).unwrap().to_host().unwrap();
            assert_eq!(found.column(0), [0.0], "{device}");
        }
    }

    #[test]
    fn a_long_panel_is_counted_in_several_launches() {
        for device in device::present() {
            let y = Lanes::from_fn(140_001, 1, |t, _| ((t * 7_919) % 140_001) as f32);
            let found = quantiles(&y.to_device(&device).unwrap(), &[0.5, 1.0]).unwrap().to_host().unwrap();
            assert_eq!(found.column(0), [70_000.0, 140_000.0], "{device}");
        }
    }

    #[test]
    fn a_level_outside_the_unit_interval_is_refused() {
        let y = Matrix::Cpu(Lanes::zeros(3, 1));
        let error = quantiles(&y, &[0.5, f32::NAN]).unwrap_err();
        assert_eq!(error.to_string(), "levels in [0, 1] has 1 values where the batch needs 2");
    }
}
