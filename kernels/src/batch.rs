//! Rows of `f64`, on the host or on a device: what linear algebra over many series works on.

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;

use crate::error::expect_len;
use crate::gpu::RowBuffer;
use crate::{Device, KernelError};

/// A `[count, width]` batch in double precision: one right side, one vector of coefficients, one square matrix
/// a row. [`crate::Matrix`] is its like in single precision, for panels.
///
/// It lies where it was put: an operation works there and leaves its result there, and only
/// [`Rows::to_device`] and [`Batch::to_host`] move its numbers. A GPU without `f64` holds them in `f32`.
#[derive(Clone, Debug)]
pub enum Batch {
    /// In host memory.
    Cpu(Rows),
    /// In the memory of a wgpu adapter.
    Wgpu(RowBuffer<WgpuRuntime>),
    /// In the memory of an NVIDIA GPU.
    Cuda(RowBuffer<CudaRuntime>),
}

impl Batch {
    /// Rows.
    pub fn count(&self) -> usize {
        match self {
            Self::Cpu(rows) => rows.count(),
            Self::Wgpu(buffer) => buffer.count(),
            Self::Cuda(buffer) => buffer.count(),
        }
    }

    /// Values of each row.
    pub fn width(&self) -> usize {
        match self {
            Self::Cpu(rows) => rows.width(),
            Self::Wgpu(buffer) => buffer.width(),
            Self::Cuda(buffer) => buffer.width(),
        }
    }

    /// `cpu`, `wgpu` or `cuda`: where it lies.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Wgpu(buffer) => buffer.gpu().kind(),
            Self::Cuda(buffer) => buffer.gpu().kind(),
        }
    }

    /// Copies the rows to host memory.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device refused this copy or any work that led to the rows.
    pub fn to_host(&self) -> Result<Rows, KernelError> {
        match self {
            Self::Cpu(rows) => Ok(rows.clone()),
            Self::Wgpu(buffer) => buffer.download(),
            Self::Cuda(buffer) => buffer.download(),
        }
    }

    /// That it is `[count, width]`, as an operand of that name must be.
    pub(crate) fn expect(&self, operand: &'static str, count: usize, width: usize) -> Result<(), KernelError> {
        expect_len(operand, self.count(), count)?;
        expect_len(operand, self.width(), width)
    }

    /// The error of lying here where the batch lies on `needed`.
    pub(crate) fn elsewhere(&self, operand: &'static str, needed: &'static str) -> KernelError {
        KernelError::Elsewhere { operand, found: self.kind(), needed }
    }
}

/// A `[count, width]` batch in host memory, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    count: usize,
    width: usize,
    values: Vec<f64>,
}

impl Rows {
    /// Rows of equal width, one after the other.
    ///
    /// # Errors
    /// [`KernelError::Shape`] unless there are `count * width` values.
    pub fn new(count: usize, width: usize, values: Vec<f64>) -> Result<Self, KernelError> {
        expect_len("rows", values.len(), count * width)?;
        Ok(Self { count, width, values })
    }

    /// Copies the rows to a device.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device has no room for them.
    pub fn to_device(&self, device: &Device) -> Result<Batch, KernelError> {
        match device {
            Device::Cpu => Ok(Batch::Cpu(self.clone())),
            Device::Wgpu(gpu) => RowBuffer::upload(gpu, self).map(Batch::Wgpu),
            Device::Cuda(gpu) => RowBuffer::upload(gpu, self).map(Batch::Cuda),
        }
    }

    /// Rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Values of each row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    /// All values, row by row.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// All values, row by row, to write.
    pub(crate) fn values_mut(&mut self) -> &mut [f64] {
        &mut self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;

    #[test]
    fn rows_come_back_from_every_device_as_they_were() {
        for device in check::in_both_precisions() {
            for (count, width) in [(0, 3), (3, 0), (1, 1), (18, 3), (257, 48)] {
                let value = |i: usize| if i % 7 == 2 { f64::NAN } else { i as f64 / 3.0 };
                let rows = Rows::new(count, width, (0..count * width).map(value).collect()).unwrap();
                let back = rows.to_device(&device).unwrap().to_host().unwrap();
                assert_eq!((back.count(), back.width()), (count, width));
                for (found, sent) in back.values().iter().zip(rows.values()) {
                    let sent = if device.has_f64() { *sent } else { f64::from(*sent as f32) };
                    assert!(*found == sent || (found.is_nan() && sent.is_nan()), "{found} for {sent} on {device}");
                }
            }
        }
    }

    #[test]
    fn rows_have_a_value_for_each_place() {
        let error = Rows::new(2, 3, vec![0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "rows has 5 values where the batch needs 6");
    }
}
