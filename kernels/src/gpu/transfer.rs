//! Every copy between host and device memory.

use std::cell::Cell;

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::Gpu;
use crate::KernelError;

impl<R: Runtime> Gpu<R> {
    /// Device memory that holds a copy of `values`; of one element if there are none, for a kernel's
    /// argument may not be empty.
    pub(crate) fn upload<T: CubeElement>(&self, values: &[T]) -> Handle {
        if values.is_empty() {
            return self.empty::<T>(1);
        }
        note(size_of_val(values), 0);
        self.client.create_from_slice(T::as_bytes(values))
    }

    /// [`Gpu::upload`] of `f64`, narrowed to `f32` on the way to a device that has no other.
    pub(crate) fn upload_floats(&self, values: impl Iterator<Item = f64>) -> Handle {
        if self.has_f64 {
            self.upload(&values.collect::<Vec<f64>>())
        } else {
            self.upload(&values.map(|value| value as f32).collect::<Vec<f32>>())
        }
    }

    /// Device memory for `count` elements, holding nothing in particular.
    pub(crate) fn empty<T: CubeElement>(&self, count: usize) -> Handle {
        self.client.empty(count.max(1) * size_of::<T>())
    }

    /// [`Gpu::empty`] for `f64`, or for `f32` on a device that has no other.
    pub(crate) fn empty_floats(&self, count: usize) -> Handle {
        if self.has_f64 { self.empty::<f64>(count) } else { self.empty::<f32>(count) }
    }

    /// Copies device memory to the host, once every launch before it is known to have been accepted.
    pub(crate) fn download<T: CubeElement>(
        &self,
        handle: &Handle,
        operation: &'static str,
    ) -> Result<Vec<T>, KernelError> {
        self.accepted(operation)?;
        let bytes = self.client.read_one(handle.clone()).map_err(|error| self.refused(operation, &error))?;
        note(0, bytes.len());
        Ok(T::from_bytes(&bytes).to_vec())
    }

    /// [`Gpu::download`] of what [`Gpu::upload_floats`] or a kernel in the same floats left there.
    pub(crate) fn download_floats(&self, handle: &Handle, operation: &'static str) -> Result<Vec<f64>, KernelError> {
        if self.has_f64 {
            return self.download(handle, operation);
        }
        let values: Vec<f32> = self.download(handle, operation)?;
        Ok(values.into_iter().map(f64::from).collect())
    }
}

thread_local! {
    static CARRIED: Cell<Carried> = const { Cell::new(Carried { up: 0, down: 0 }) };
}

/// Bytes that one thread has carried to devices and back. Tests alone count them, to hold a chain to what its
/// contract says it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Carried {
    up: usize,
    down: usize,
}

fn note(up: usize, down: usize) {
    if cfg!(test) {
        let before = CARRIED.get();
        CARRIED.set(Carried { up: before.up + up, down: before.down + down });
    }
}

/// Bytes that `work` carries to devices and back, and what it returns.
#[cfg(test)]
pub(crate) fn carried<T>(work: impl FnOnce() -> T) -> (usize, usize, T) {
    let before = CARRIED.get();
    let result = work();
    let after = CARRIED.get();
    (after.up - before.up, after.down - before.down, result)
}
