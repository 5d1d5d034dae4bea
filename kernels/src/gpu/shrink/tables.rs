//! What all series of a Gram share, as the kernel reads it.

use cubecl::prelude::*;
use cubecl::server::Handle;
use rayon::prelude::*;

use super::state::shared;
use crate::KernelError;
use crate::gpu::Gpu;
use crate::shrink::Prior;
use crate::shrink::spectrum::Spectrum;
use crate::solve::PIVOT_FLOOR;

/// Iterations of one unit in one launch on software Vulkan, which silently stops a unit's loops at 65,535: there a launch
/// takes few steps. Elsewhere it takes them all.
pub(super) const MOST_ITERATIONS: usize = 60_000;
/// Columns of a table and coefficients of a unit come in as many as a multiple of this, so that fewer kernels are
/// compiled than there are numbers of them.
const PADDING: usize = 4;

/// Places of the settings, which follow the tables.
pub(super) const LAPLACE: usize = 0;
pub(super) const NOISE: usize = 1;
pub(super) const FLOOR: usize = 2;
pub(super) const FIRST_TOLERANCE: usize = 3;
pub(super) const TOLERANCE: usize = 4;
pub(super) const RIDGE_TOLERANCE: usize = 5;
pub(super) const STEEPER: usize = 6;
pub(super) const ROUNDING: usize = 7;
pub(super) const PIVOT: usize = 8;
pub(super) const SETTINGS: usize = 9;

/// A prior and the Gram matrices of series in device memory.
#[derive(Clone, Debug)]
pub(crate) struct Tables<R: Runtime> {
    pub(super) gpu: Gpu<R>,
    /// Of each Gram `[h, d]` across, `[h, h]` itself, `[d, d]` vectors, then `d` values, least sums and precisions.
    pub(super) tables: Handle,
    pub(super) len: usize,
    pub(super) gram_of: Handle,
    pub(super) normal: usize,
    pub(super) hinges: usize,
    pub(super) grams: usize,
    pub(super) series: usize,
}

/// How many columns are kept for a number of them.
pub(super) fn padded(count: usize) -> usize {
    count.next_multiple_of(PADDING).max(PADDING)
}

pub(super) fn table_len(d: usize, h: usize) -> usize {
    h * d + h * h + d * d + 3 * d
}

impl<R: Runtime> Tables<R> {
    /// Copies what was checked on the host to the device.
    pub(crate) fn upload(
        gpu: &Gpu<R>,
        prior: &Prior,
        order: usize,
        grams: &[f64],
        gram_of: &[usize],
    ) -> Result<Self, KernelError> {
        let normal = prior.precisions.len();
        let hinges = order - normal;
        let (d, h) = (padded(normal), padded(hinges));
        let (floats, marks) = shared(d, h);
        let bytes = floats * if gpu.has_f64() { size_of::<f64>() } else { size_of::<f32>() } + marks * size_of::<u32>();
        if bytes > gpu.client().properties().hardware.max_shared_memory_size {
            let reason = format!("{hinges} Laplace coefficients take more shared memory than it grants a cube");
            return Err(KernelError::Device { device: gpu.kind(), operation: "the shrunk fit", reason });
        }
        let count = grams.len() / (order * order).max(1);
        let own: Vec<Vec<f64>> =
            grams.par_chunks_exact((order * order).max(1)).map(|gram| table(prior, gram, order, d, h)).collect();
        let limits = if gpu.has_f64() {
            [1e-3, 1e-11, 1e-9, 1e-9, 1e-14, PIVOT_FLOOR]
        } else {
            // As far above the rounding of an `f32` as those are above that of an `f64`, or nearly.
            [1e-3, 1e-4, 1e-3, 1e-4, 1e-6, 1.0 / f64::from(1_u32 << 14)]
        };
        let settings = [prior.laplace_scale, prior.noise_scale.powi(2), prior.noise_floor.powi(2)];
        let values = own.into_iter().flatten().chain(settings).chain(limits);
        let tables = Self {
            gpu: gpu.clone(),
            tables: gpu.upload_floats(values),
            len: count * table_len(d, h) + SETTINGS,
            gram_of: gpu.upload(&gram_of.iter().map(|&gram| gram as u32).collect::<Vec<_>>()),
            normal,
            hinges,
            grams: count,
            series: gram_of.len(),
        };
        gpu.accepted("upload")?;
        Ok(tables)
    }

    /// The device they lie on.
    pub(crate) fn gpu(&self) -> &Gpu<R> {
        &self.gpu
    }
}

/// One Gram's table; what pads it is zero, and one where it is divided by.
fn table(prior: &Prior, gram: &[f64], order: usize, d: usize, h: usize) -> Vec<f64> {
    let normal = prior.precisions.len();
    let spectrum = Spectrum::new(prior, gram, order);
    let mut table = vec![0.0; table_len(d, h)];
    let (across, rest) = table.split_at_mut(h * d);
    let (own, rest) = rest.split_at_mut(h * h);
    let (vectors, rest) = rest.split_at_mut(d * d);
    let (values, rest) = rest.split_at_mut(d);
    let (least, precisions) = rest.split_at_mut(d);
    values.fill(1.0);
    for m in 0..normal {
        (values[m], least[m], precisions[m]) = (spectrum.values[m], spectrum.least[m], spectrum.precisions[m]);
        vectors[m * d..][..normal].copy_from_slice(&spectrum.vectors[m * normal..][..normal]);
    }
    for j in 0..order - normal {
        across[j * d..][..normal].copy_from_slice(&spectrum.across[j * normal..][..normal]);
        own[j * h..][..order - normal].copy_from_slice(&gram[(normal + j) * order + normal..][..order - normal]);
    }
    table
}

/// The most iterations of one unit in one step with so many Laplace coefficients, all of them active, and of a launch
/// around it.
pub(super) fn iterations(hinges: usize) -> usize {
    hinges * hinges / 2 + 20 * hinges + 400
}
