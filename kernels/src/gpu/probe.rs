//! The first kernel a GPU runs: it compiles, computes and knows a NaN, or the device is not used.

use cubecl::prelude::*;

use super::{Gpu, array, is_nan};
use crate::KernelError;

/// One past a cube, so that a second one starts too.
const COUNT: usize = 257;
const MISSING: usize = 100;

pub(super) fn check<R: Runtime>(gpu: &Gpu<R>) -> Result<(), KernelError> {
    check_in::<R, f32>(gpu, 0.5, |value| value as f32)?;
    if gpu.has_f64() {
        // A number that `f32` would round.
        check_in::<R, f64>(gpu, 0.5 + 2.0_f64.powi(-30), |value| value)?;
    }
    Ok(())
}

fn check_in<R: Runtime, F: Float + CubeElement + Into<f64>>(
    gpu: &Gpu<R>,
    more: f64,
    narrow: impl Fn(f64) -> F,
) -> Result<(), KernelError> {
    let value = |i: usize| if i == MISSING { f64::NAN } else { i as f64 };
    let x: Vec<F> = (0..COUNT).map(|i| narrow(value(i))).collect();
    let (x, more_of, out) = (gpu.upload(&x), gpu.upload(&[narrow(more)]), gpu.empty::<F>(COUNT));
    let (cubes, dim) = gpu.one_unit_per(COUNT);
    let (x, more_of, found) = (array(&x, COUNT), array(&more_of, 1), array(&out, COUNT));
    // SAFETY: two arrays hold `COUNT` elements and one holds one; the kernel stops units past the last.
    unsafe { probe::launch_unchecked::<F, R>(gpu.client(), cubes, dim, x, more_of, found) }
    let out: Vec<F> = gpu.download(&out, "the probe kernel")?;
    let out: Vec<f64> = out.into_iter().map(Into::into).collect();
    let expected = |i: usize| if i == MISSING { -1.0 } else { 4.0 * (i * i) as f64 + more };
    match (0..COUNT).find(|&i| out[i] != expected(i)) {
        None => Ok(()),
        Some(i) => Err(KernelError::Device {
            device: gpu.kind(),
            operation: "the probe kernel",
            reason: format!("it computes {} where {} is right", out[i], expected(i)),
        }),
    }
}

/// `4 x²` and something more, exact for these integers, and -1 for a NaN.
#[cube(launch_unchecked)]
fn probe<F: Float>(x: &Array<F>, more: &Array<F>, out: &mut Array<F>) {
    let i = ABSOLUTE_POS;
    if i < out.len() {
        let value = x[i];
        let mut sum = more[0];
        for _ in 0..4u32 {
            sum += value * value;
        }
        if is_nan::<F>(value) {
            sum = F::new(-1.0f32);
        }
        out[i] = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{self, Device};

    /// A refused launch says nothing at the launch and nothing at the read; only the flush between them
    /// knows, so every read must ask it.
    fn a_refused_launch_is_an_error<R: Runtime>(gpu: &Gpu<R>) {
        let count = 1_024 * 1_024;
        let x = gpu.upload(&vec![1.0f32; count]);
        let out = gpu.upload(&vec![7.0f32; count]);
        let units = 4 * gpu.client().properties().hardware.max_units_per_cube;
        let too_large = CubeDim::new_1d(units);
        // SAFETY: both arrays hold `count` elements, and the device refuses the launch.
        unsafe {
            probe::launch_unchecked::<f32, R>(
                gpu.client(),
                CubeCount::Static(count as u32 / units, 1, 1),
                too_large,
                array(&x, count),
                array(&x, count),
                array(&out, count),
            );
        }
        let error = gpu.download::<f32>(&out, "an oversized launch").unwrap_err();
        assert!(error.to_string().contains("refused an oversized launch"), "{error}");
        check(gpu).expect("the device works on after a refusal");
    }

    #[test]
    fn a_refused_launch_is_an_error_and_never_stale_numbers() {
        for device in device::present() {
            match device {
                Device::Cpu => {}
                Device::Wgpu(gpu) => a_refused_launch_is_an_error(&gpu),
                Device::Cuda(gpu) => a_refused_launch_is_an_error(&gpu),
            }
        }
    }
}
