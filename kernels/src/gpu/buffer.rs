//! A batch in a GPU's memory.

use cubecl::prelude::*;
use cubecl::server::Handle;
use rayon::prelude::*;

use super::Gpu;
use crate::{KernelError, LANES, Lanes};

/// A `[steps, series]` batch in device memory, time-major: neighbouring units read neighbouring series.
#[derive(Clone, Debug)]
pub struct Buffer<R: Runtime> {
    gpu: Gpu<R>,
    handle: Handle,
    steps: usize,
    series: usize,
}

impl<R: Runtime> Buffer<R> {
    /// Copies a host batch to the device.
    pub(crate) fn upload(gpu: &Gpu<R>, lanes: &Lanes) -> Result<Self, KernelError> {
        let (steps, series) = (lanes.steps(), lanes.series());
        let mut values = vec![0.0_f32; steps * series];
        values.par_chunks_mut(series.max(1)).enumerate().for_each(|(t, row)| {
            for (group, part) in row.chunks_mut(LANES).enumerate() {
                part.copy_from_slice(&lanes.group(group)[t][..part.len()]);
            }
        });
        let handle = gpu.upload(&values);
        gpu.accepted("upload")?;
        Ok(Self { gpu: gpu.clone(), handle, steps, series })
    }

    /// Copies the batch to the host.
    pub(crate) fn download(&self) -> Result<Lanes, KernelError> {
        let values: Vec<f32> = self.gpu.download(&self.handle, "download")?;
        Ok(Lanes::from_fn(self.steps, self.series, |t, s| values[t * self.series + s]))
    }

    /// Memory for a batch of another shape on the same device, holding nothing in particular.
    pub(crate) fn empty(&self, steps: usize, series: usize) -> Self {
        let handle = self.gpu.empty::<f32>(steps * series);
        Self { gpu: self.gpu.clone(), handle, steps, series }
    }

    /// The device it lies on.
    pub fn gpu(&self) -> &Gpu<R> {
        &self.gpu
    }

    /// Steps of every series.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Series of the batch.
    pub fn series(&self) -> usize {
        self.series
    }

    /// The batch as a kernel's argument.
    pub(crate) fn arg(&self) -> ArrayArg<R> {
        self.arg_of(1)
    }

    /// The batch as a kernel's argument that is read so many neighbouring series at once, of which it is a multiple.
    pub(crate) fn arg_of(&self, wide: usize) -> ArrayArg<R> {
        array(&self.handle, self.steps * self.series / wide)
    }
}

/// Device memory of `count` elements as a kernel's argument.
pub(crate) fn array<R: Runtime>(handle: &Handle, count: usize) -> ArrayArg<R> {
    // SAFETY: each caller passes the count that the memory was made with: `Buffer` keeps its own beside it,
    // an operation makes its scratch memory and its argument from one number. Memory of none has one element.
    unsafe { ArrayArg::from_raw_parts(handle.clone(), count.max(1)) }
}
