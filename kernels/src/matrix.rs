//! A batch, on the host or on a device.

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;
use rayon::prelude::*;

use crate::{Buffer, Device, KernelError};

/// A `[steps, series]` batch. It lies where it was put: an operation works there and leaves its result
/// there, and only [`Matrix::to_device`] and [`Matrix::to_host`] move numbers.
#[derive(Clone, Debug)]
pub enum Matrix {
    /// In host memory.
    Cpu(Lanes),
    /// In the memory of a wgpu adapter.
    Wgpu(Buffer<WgpuRuntime>),
    /// In the memory of an NVIDIA GPU.
    Cuda(Buffer<CudaRuntime>),
}

impl Matrix {
    /// Steps of every series.
    pub fn steps(&self) -> usize {
        match self {
            Self::Cpu(lanes) => lanes.steps(),
            Self::Wgpu(buffer) => buffer.steps(),
            Self::Cuda(buffer) => buffer.steps(),
        }
    }

    /// Series of the batch.
    pub fn series(&self) -> usize {
        match self {
            Self::Cpu(lanes) => lanes.series(),
            Self::Wgpu(buffer) => buffer.series(),
            Self::Cuda(buffer) => buffer.series(),
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

    /// Copies the batch to host memory.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device refused this copy or any work that led to the batch.
    pub fn to_host(&self) -> Result<Lanes, KernelError> {
        match self {
            Self::Cpu(lanes) => Ok(lanes.clone()),
            Self::Wgpu(buffer) => buffer.download(),
            Self::Cuda(buffer) => buffer.download(),
        }
    }
}

/// Rows of 16 that one thread does sooner than two: some tens of microseconds of memory traffic.
pub(crate) const SMALL_ROWS: usize = 8_192;

/// Series in a lane group: one AVX-512 register, two AVX2 registers.
pub const LANES: usize = 16;

/// A `[steps, series]` batch in host memory.
///
/// Group `g` holds series `16 g .. 16 g + 16`; inside it, row `t` is one `[f32; 16]`. Lanes past the
/// last series repeat it, so that a kernel never meets a number that no series has.
#[derive(Clone, Debug)]
pub struct Lanes {
    steps: usize,
    series: usize,
    rows: Vec<[f32; LANES]>,
}

impl Lanes {
    /// A batch of zeros.
    pub fn zeros(steps: usize, series: usize) -> Self {
        Self { steps, series, rows: vec![[0.0; LANES]; steps * series.div_ceil(LANES)] }
    }

    /// Packs a batch from `value(step, series)`; groups are packed in parallel.
    pub fn from_fn(steps: usize, series: usize, value: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let mut lanes = Self::zeros(steps, series);
        if steps > 0 {
            lanes.for_each_group(|group, rows| {
                for lane in 0..LANES {
                    let s = (group * LANES + lane).min(series - 1);
                    for (t, row) in rows.iter_mut().enumerate() {
                        row[lane] = value(t, s);
                    }
                }
            });
        }
        lanes
    }

    /// Copies the batch to a device.
    ///
    /// # Errors
    /// [`KernelError::Device`] when the device has no room for it.
    pub fn to_device(&self, device: &Device) -> Result<Matrix, KernelError> {
        match device {
            Device::Cpu => Ok(Matrix::Cpu(self.clone())),
            Device::Wgpu(gpu) => Buffer::upload(gpu, self).map(Matrix::Wgpu),
            Device::Cuda(gpu) => Buffer::upload(gpu, self).map(Matrix::Cuda),
        }
    }

    /// Steps of every series.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Series of the batch, padding lanes not counted.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Groups of 16 series, the last one perhaps padded.
    pub fn groups(&self) -> usize {
        self.series.div_ceil(LANES)
    }

    /// The rows of one group, `steps` of them.
    pub fn group(&self, group: usize) -> &[[f32; LANES]] {
        &self.rows[group * self.steps..(group + 1) * self.steps]
    }

    /// The rows of one group, to write.
    pub fn group_mut(&mut self, group: usize) -> &mut [[f32; LANES]] {
        &mut self.rows[group * self.steps..(group + 1) * self.steps]
    }

    /// Does `work` on every group's index and rows; in parallel, unless there is so little that waking other
    /// threads would take longer.
    fn for_each_group(&mut self, work: impl Fn(usize, &mut [[f32; LANES]]) + Sync) {
        if self.rows.len() <= SMALL_ROWS {
            self.rows.chunks_mut(self.steps.max(1)).enumerate().for_each(|(group, rows)| work(group, rows));
        } else {
            self.par_groups_mut().for_each(|(group, rows)| work(group, rows));
        }
    }

    /// Every group's index and rows, to write in parallel.
    pub(crate) fn par_groups_mut(&mut self) -> impl IndexedParallelIterator<Item = (usize, &mut [[f32; LANES]])> {
        self.rows.par_chunks_mut(self.steps.max(1)).enumerate()
    }

    /// One value.
    ///
    /// # Panics
    /// When `step` or `series` lies outside the batch.
    pub fn get(&self, step: usize, series: usize) -> f32 {
        assert!(step < self.steps && series < self.series, "({step}, {series}) lies outside the batch");
        self.rows[series / LANES * self.steps + step][series % LANES]
    }

    /// One series, oldest first.
    pub fn column(&self, series: usize) -> Vec<f32> {
        self.group(series / LANES).iter().map(|row| row[series % LANES]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_lanes_repeat_the_last_series() {
        let lanes = Lanes::from_fn(3, 18, |t, s| (100 * t + s) as f32);
        assert_eq!((lanes.steps(), lanes.series(), lanes.groups()), (3, 18, 2));
        assert_eq!(lanes.get(2, 17), 217.0);
        assert_eq!(lanes.column(16), [16.0, 116.0, 216.0]);
        assert!(lanes.group(1)[1][1..].iter().all(|&v| v == 117.0));
    }

    #[test]
    fn a_batch_comes_back_from_every_device_bit_equal() {
        for device in crate::device::present() {
            for (steps, series) in [(0, 3), (1, 1), (3, 18), (48, 257)] {
                let lanes = Lanes::from_fn(steps, series, |t, s| if t == s { f32::NAN } else { 0.1 * (t * s) as f32 });
                let back = lanes.to_device(&device).unwrap().to_host().unwrap();
                assert_eq!((back.steps(), back.series()), (steps, series));
                for (a, b) in lanes.rows.iter().zip(&back.rows) {
                    assert_eq!(a.map(f32::to_bits), b.map(f32::to_bits), "{steps} by {series} on {device}");
                }
            }
        }
    }
}
