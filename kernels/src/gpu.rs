//! The GPU side of every operation: one CubeCL source for wgpu and CUDA. Nothing here calls `cpu` or
//! `reference`.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cubecl::features::MmaConfig;
use cubecl::prelude::*;
use cubecl::server::ServerError;
use half::f16;

use crate::KernelError;

pub(crate) mod arima;
pub(crate) mod arima_fit;
pub(crate) mod auto_ets;
pub(crate) mod autocorrelation;
mod buffer;
mod ceilings;
pub(crate) mod ces;
pub(crate) mod ces_fit;
pub(crate) mod decompose;
pub(crate) mod ets;
pub(crate) mod ets_fit;
pub(crate) mod lstm;
mod probe;
pub(crate) mod products;
pub(crate) mod quantile;
pub(crate) mod regression;
mod rows;
pub(crate) mod score;
pub(crate) mod seasonal;
pub(crate) mod shrink;
pub(crate) mod solve;
pub(crate) mod theta;
pub(crate) mod theta_fit;
pub(crate) mod transfer;

pub use buffer::Buffer;
use buffer::array;
pub use ceilings::GpuCeilings;
pub use rows::RowBuffer;

/// Iterations of one unit in one launch: software Vulkan silently stops a unit's loops at 65,535.
const CHUNK: usize = 32_768;

/// An open GPU of one runtime.
pub struct Gpu<R: Runtime> {
    device: R::Device,
    client: ComputeClient<R>,
    kind: &'static str,
    name: Arc<str>,
    software: bool,
    has_f64: bool,
    has_matrix_units: bool,
}

impl<R: Runtime> Gpu<R> {
    /// Opens a device that was found to be there, and checks that it compiles and computes.
    pub(crate) fn open(
        device: &R::Device,
        kind: &'static str,
        name: String,
        software: bool,
    ) -> Result<Self, KernelError> {
        // The looks that come first leave a client little to panic about, but it still may: a driver of
        // the wrong version, a device in exclusive use.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let client = R::client(device);
            // cubecl 0.10 writes `double` for CUDA and leaves it out of what it says the device can do.
            let has_f64 = kind == "cuda" || client.properties().supports_type(f64::as_type_native_unchecked());
            let has_matrix_units = has_matrix_units(client.properties());
            let gpu =
                Self { device: device.clone(), client, kind, name: name.into(), software, has_f64, has_matrix_units };
            probe::check(&gpu).map(|()| gpu)
        }));
        let panicked =
            |_| KernelError::Device { device: kind, operation: "to open", reason: "its client panicked".into() };
        opened.unwrap_or_else(|panic| Err(panicked(panic)))
    }

    /// What cubecl calls it, for others that compute there by the same client.
    pub fn device(&self) -> &R::Device {
        &self.device
    }

    /// `wgpu` or `cuda`.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The device's own name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a CPU in disguise.
    pub fn is_software(&self) -> bool {
        self.software
    }

    /// Bytes of the largest piece of memory that it gives.
    pub(crate) fn largest_piece(&self) -> usize {
        self.client.properties().memory.max_page_size as usize
    }

    /// Whether kernels may compute in `f64`.
    pub fn has_f64(&self) -> bool {
        self.has_f64
    }

    /// Whether planes of 32 units multiply tiles of 16 by 16 in half precision, summed up in `f32`.
    pub(crate) fn has_matrix_units(&self) -> bool {
        self.has_matrix_units
    }

    /// The same device as one without `f64`, which a test's machine may not have.
    #[cfg(test)]
    pub(crate) fn without_f64(mut self) -> Self {
        self.has_f64 = false;
        self
    }

    /// The same device as one without matrix units.
    #[cfg(test)]
    pub(crate) fn without_matrix_units(mut self) -> Self {
        self.has_matrix_units = false;
        self
    }

    pub(crate) fn client(&self) -> &ComputeClient<R> {
        &self.client
    }

    /// Whether every launch since the last question was accepted. A refused one is told here and nowhere
    /// else: reading its output returns stale memory without a word.
    pub(crate) fn accepted(&self, operation: &'static str) -> Result<(), KernelError> {
        self.client.flush().map_err(|error| self.refused(operation, &error))
    }

    /// Waits until all work that was given to the device is done.
    pub(crate) fn wait(&self) -> Result<(), KernelError> {
        self.accepted("to wait")?;
        cubecl::future::block_on(self.client.sync()).map_err(|error| self.refused("to wait", &error))
    }

    /// How to launch one unit for each of `units` places; a kernel stops units past the last.
    pub(crate) fn one_unit_per(&self, units: usize) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new_1d(self.client.properties().hardware.max_units_per_cube.min(256));
        (cubecl::calculate_cube_count_elemwise(&self.client, units, dim), dim)
    }

    /// [`Gpu::one_unit_per`] place, or nothing to launch where there is none.
    pub(crate) fn one_unit_per_any(&self, units: usize) -> Option<(CubeCount, CubeDim)> {
        (units > 0).then(|| self.one_unit_per(units))
    }

    fn refused(&self, operation: &'static str, error: &ServerError) -> KernelError {
        KernelError::Device { device: self.kind, operation, reason: plain(&error.to_string()) }
    }
}

fn has_matrix_units(properties: &cubecl::ir::DeviceProperties) -> bool {
    let [half, single] = [f16::as_type_native_unchecked(), f32::as_type_native_unchecked()].map(|of| of.storage_type());
    let tile = MmaConfig { a_type: half, b_type: half, cd_type: single, m: 16, n: 16, k: 16 };
    let planes = [properties.hardware.plane_size_min, properties.hardware.plane_size_max];
    planes == [32, 32] && properties.features.matmul.cmma.contains(&tile)
}

impl<R: Runtime> Clone for Gpu<R> {
    fn clone(&self) -> Self {
        let (device, client, name) = (self.device.clone(), self.client.clone(), self.name.clone());
        Self { device, client, name, ..*self }
    }
}

impl<R: Runtime> fmt::Debug for Gpu<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

/// The facts of a server error, without its headings and backtraces, on one line.
fn plain(message: &str) -> String {
    let facts = message.split("Backtrace").next().unwrap_or(message);
    let lines = facts.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty() && *line != "Caused by:").collect();
    lines.join(": ")
}

/// Whether a float is a NaN. It asks the `f32` of it: in WGSL, cubecl 0.10 tells of an `f64` that it never is.
#[cube]
fn is_nan<F: Float>(value: F) -> bool {
    f32::cast_from(value).is_nan()
}

/// Whether a float is a number within the range of `f32`: neither a NaN nor an infinity, nor past 3.4e38.
#[cube]
fn is_number<F: Float>(value: F) -> bool {
    let value = f32::cast_from(value);
    !value.is_nan() && !value.is_inf()
}

/// What ln 2 has more than 1,453,635 / 2^21.
const LN_2_REST: f32 = -1.904_654_3e-9;

/// The natural logarithm of a number above zero and within the range of `f32`, in the floats at hand: WGSL has none
/// of an `f64`.
#[cube]
fn ln<F: Float>(value: F) -> F {
    let one = F::new(1.0f32);
    let mut part = value * one;
    let mut doublings = F::new(0.0f32);
    // As far as any `f32` goes: neither nothing nor an infinity keeps a unit for ever.
    while part > F::new(1.5f32) && doublings < F::new(150.0f32) {
        part *= F::new(0.5f32);
        doublings += one;
    }
    while part < F::new(0.75f32) && doublings > F::new(-150.0f32) {
        part *= F::new(2.0f32);
        doublings -= one;
    }
    // ln m = 2 artanh z, and z is at most a fifth.
    let z = (part - one) / (part + one);
    let square = z * z;
    let mut power = z * one;
    let mut sum = z * one;
    let mut odd = one * one;
    for _ in 0..11u32 {
        power *= square;
        odd += F::new(2.0f32);
        sum += power / odd;
    }
    let two_logs = F::cast_from(1_453_635_u32) / F::cast_from(2_097_152_u32);
    // ln 2 as a fraction that floats hold, and what that lacks of it.
    F::new(2.0f32) * sum + doublings * (two_logs + F::new(LN_2_REST))
}
