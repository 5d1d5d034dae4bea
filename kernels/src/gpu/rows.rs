//! Rows of floats in a GPU's memory.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Gpu, array};
use crate::{KernelError, Rows};

/// A `[count, width]` batch in device memory, the row running fastest: neighbouring units read neighbouring
/// rows. In `f64` where the device has it, else in `f32`.
#[derive(Clone, Debug)]
pub struct RowBuffer<R: Runtime> {
    gpu: Gpu<R>,
    handle: Handle,
    count: usize,
    width: usize,
}

impl<R: Runtime> RowBuffer<R> {
    /// Copies host rows to the device.
    pub(crate) fn upload(gpu: &Gpu<R>, rows: &Rows) -> Result<Self, KernelError> {
        let (count, width) = (rows.count(), rows.width());
        addressable(gpu, count, width)?;
        let at = (0..width).flat_map(|i| (0..count).map(move |row| (row, i)));
        let handle = gpu.upload_floats(at.map(|(row, i)| rows.row(row)[i]));
        gpu.accepted("upload")?;
        Ok(Self { gpu: gpu.clone(), handle, count, width })
    }

    /// Copies the rows to the host.
    pub(crate) fn download(&self) -> Result<Rows, KernelError> {
        let values = self.gpu.download_floats(&self.handle, "download")?;
        let at = (0..self.count).flat_map(|row| (0..self.width).map(move |i| (row, i)));
        Rows::new(self.count, self.width, at.map(|(row, i)| values[i * self.count + row]).collect())
    }

    /// Memory for rows, holding nothing in particular.
    pub(crate) fn empty(gpu: &Gpu<R>, count: usize, width: usize) -> Result<Self, KernelError> {
        addressable(gpu, count, width)?;
        let handle = gpu.empty_floats(count * width);
        Ok(Self { gpu: gpu.clone(), handle, count, width })
    }

    /// The device they lie on.
    pub fn gpu(&self) -> &Gpu<R> {
        &self.gpu
    }

    /// Rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Values of each row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Where they lie.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The rows as a kernel's argument.
    pub(crate) fn arg(&self) -> ArrayArg<R> {
        array(&self.handle, self.count * self.width)
    }
}

/// Kernels reckon places in 32 bits.
fn addressable<R: Runtime>(gpu: &Gpu<R>, count: usize, width: usize) -> Result<(), KernelError> {
    if u32::try_from(count as u64 * width as u64).is_ok() {
        return Ok(());
    }
    let reason = format!("{count} rows of {width} values are too many for one batch");
    Err(KernelError::Device { device: gpu.kind(), operation: "rows", reason })
}
