//! What the kernels' tests share: batches from fixed seeds, and closeness.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{Device, Lanes, device};

/// One element, then just below, at and above a cube, then a long recurrence.
pub(crate) const SHAPES: [(usize, usize); 5] = [(1, 1), (48, 255), (48, 256), (48, 257), (5_000, 31)];

/// Every device present, and every GPU once more as if it had no `f64`.
pub(crate) fn in_both_precisions() -> Vec<Device> {
    let mut devices = device::present();
    for device in device::present() {
        match device {
            Device::Cpu => {}
            Device::Wgpu(gpu) => devices.push(Device::Wgpu(gpu.without_f64())),
            Device::Cuda(gpu) => devices.push(Device::Cuda(gpu.without_f64())),
        }
    }
    devices
}

pub(crate) fn random_walk(steps: usize, series: usize) -> Lanes {
    let mut rng = ChaCha8Rng::seed_from_u64(17);
    let mut walks = vec![0.0_f32; steps * series];
    for s in 0..series {
        let mut level = rng.random_range(-5.0..5.0);
        for t in 0..steps {
            level += rng.random_range(-1.0..1.0);
            walks[t * series + s] = level;
        }
    }
    Lanes::from_fn(steps, series, |t, s| walks[t * series + s])
}

/// The same batch with every seventh value gone, and the second series wholly unobserved.
pub(crate) fn with_gaps(y: Lanes) -> Lanes {
    Lanes::from_fn(y.steps(), y.series(), |t, s| if (5 * t + s) % 7 == 3 || s == 1 { f32::NAN } else { y.get(t, s) })
}

pub(crate) fn column(y: &Lanes, series: usize) -> Vec<f64> {
    y.column(series).into_iter().map(f64::from).collect()
}

/// Every value within `tolerance` of what is expected, a NaN only where one is.
#[track_caller]
pub(crate) fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, device: &Device) {
    assert_eq!(found.len(), expected.len());
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= tolerance || (found.is_nan() && expected.is_nan());
        assert!(close, "{found} at {i} where {expected} to {tolerance:e} is right, on {device}");
    }
}
