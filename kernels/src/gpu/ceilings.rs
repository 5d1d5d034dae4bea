//! What a GPU can do at most, for figures to be held against.

use cubecl::prelude::*;

use super::{Gpu, array};
use crate::KernelError;

/// A GPU's own limits.
#[derive(Clone, Copy, Debug)]
pub struct GpuCeilings {
    /// `a[i] = b[i] + s * c[i]` over arrays of a gigabyte, in GB/s read and written.
    pub triad_gbps: f64,
    /// Multiply-adds in `f32`, two FLOP each, in GFLOP/s.
    pub f32_gflops: f64,
    /// The same in `f64`; 0 where there is none.
    pub f64_gflops: f64,
}

const ELEMENTS: usize = 1 << 28;
/// Units of the multiply-adds: many times what any GPU runs at once.
const UNITS: usize = 1 << 22;
const CHAINS: usize = 8;
const TURNS: u32 = 1_024;
const RUNS: usize = 5;

impl<R: Runtime> Gpu<R> {
    /// Measures the limits, by a clock of seconds since whenever: three gigabytes of memory, and a second.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device refuses the work.
    pub fn ceilings(&self, now: &dyn Fn() -> f64) -> Result<GpuCeilings, KernelError> {
        let memory = [0; 3].map(|_| self.empty::<f32>(ELEMENTS));
        let triad_seconds = self.median(now, || {
            let (cubes, dim) = self.one_unit_per(ELEMENTS);
            let [a, b, c] = memory.each_ref().map(|own| array(own, ELEMENTS));
            // SAFETY: all three have as many elements; units past the last stop.
            unsafe { triad::launch_unchecked::<R>(&self.client, cubes, dim, a, b, c, 3.0) }
        })?;
        let flop = 2.0 * f64::from(TURNS) * (CHAINS * UNITS) as f64;
        Ok(GpuCeilings {
            triad_gbps: (3 * size_of::<f32>() * ELEMENTS) as f64 / triad_seconds / 1e9,
            f32_gflops: flop / self.chains::<f32>(now)? / 1e9,
            f64_gflops: if self.has_f64 { flop / self.chains::<f64>(now)? / 1e9 } else { 0.0 },
        })
    }

    fn chains<F: Float + CubeElement>(&self, now: &dyn Fn() -> f64) -> Result<f64, KernelError> {
        let out = self.empty::<F>(UNITS);
        self.median(now, || {
            let (cubes, dim) = self.one_unit_per(UNITS);
            // SAFETY: one element a unit; units past the last stop.
            unsafe { multiply_add::launch_unchecked::<F, R>(&self.client, cubes, dim, array(&out, UNITS), TURNS, 0.75) }
        })
    }

    /// Median seconds of a launch, the first one left out.
    fn median(&self, now: &dyn Fn() -> f64, launch: impl Fn()) -> Result<f64, KernelError> {
        launch();
        self.wait()?;
        let mut seconds = Vec::with_capacity(RUNS);
        for _ in 0..RUNS {
            let start = now();
            launch();
            self.wait()?;
            seconds.push(now() - start);
        }
        seconds.sort_by(f64::total_cmp);
        Ok(seconds[RUNS / 2])
    }
}

#[cube(launch_unchecked)]
fn triad(a: &mut Array<f32>, b: &Array<f32>, c: &Array<f32>, scale: f32) {
    let at = ABSOLUTE_POS;
    if at < a.len() {
        a[at] = b[at] + scale * c[at];
    }
}

#[cube(launch_unchecked)]
fn multiply_add<F: Float>(out: &mut Array<F>, turns: u32, factor: f32) {
    let at = ABSOLUTE_POS;
    if at < out.len() {
        let scale = F::cast_from(factor);
        let shift = F::cast_from(at) * F::new(1e-9f32);
        let mut c0 = shift * scale;
        let mut c1 = c0 * scale;
        let mut c2 = c1 * scale;
        let mut c3 = c2 * scale;
        let mut c4 = c3 * scale;
        let mut c5 = c4 * scale;
        let mut c6 = c5 * scale;
        let mut c7 = c6 * scale;
        for _ in 0..turns {
            c0 = c0 * scale + shift;
            c1 = c1 * scale + shift;
            c2 = c2 * scale + shift;
            c3 = c3 * scale + shift;
            c4 = c4 * scale + shift;
            c5 = c5 * scale + shift;
            c6 = c6 * scale + shift;
            c7 = c7 * scale + shift;
        }
        out[at] = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7;
    }
}
