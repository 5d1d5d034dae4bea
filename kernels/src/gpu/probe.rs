//! The first kernel a GPU runs: it compiles, computes and knows a NaN, or the device is not used.

use cubecl::prelude::*;

use super::{Gpu, array};
use crate::KernelError;

/// One past a cube, so that a second one starts too.
const COUNT: usize = 257;
const MISSING: usize = 100;

pub(super) fn check<R: Runtime>(gpu: &Gpu<R>) -> Result<(), KernelError> {
    let mut x: Vec<f32> = (0..COUNT).map(|i| i as f32).collect();
    x[MISSING] = f32::NAN;
    let (x, out) = (gpu.upload(&x), gpu.empty::<f32>(COUNT));
    let (cubes, dim) = gpu.one_unit_per(COUNT);
    // SAFETY: both arrays hold `COUNT` elements and the kernel stops units past the last.
    unsafe { probe::launch_unchecked::<R>(gpu.client(), cubes, dim, array(&x, COUNT), array(&out, COUNT)) }
    let out: Vec<f32> = gpu.download(&out, "the probe kernel")?;
    let expected = |i: usize| if i == MISSING { -1.0 } else { 4.0 * (i * i) as f32 + 0.5 };
    match (0..COUNT).find(|&i| out[i] != expected(i)) {
        None => Ok(()),
        Some(i) => Err(KernelError::Device {
            device: gpu.kind(),
            operation: "the probe kernel",
            reason: format!("it computes {} where {} is right", out[i], expected(i)),
        }),
    }
}

/// `4 x² + 0.5`, exact in `f32` for these integers, and -1 for a NaN.
#[cube(launch_unchecked)]
fn probe(x: &Array<f32>, out: &mut Array<f32>) {
    let i = ABSOLUTE_POS;
    if i < out.len() {
        let value = x[i];
        let mut sum = 0.5f32;
        for _ in 0..4u32 {
            sum += value * value;
        }
        if value.is_nan() {
            sum = -1.0f32;
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
            probe::launch_unchecked::<R>(
                gpu.client(),
                CubeCount::Static(count as u32 / units, 1, 1),
                too_large,
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
