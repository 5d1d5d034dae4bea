//! Products of how free numbers move the innovations, of which Gauss-Newton's curvature is made, from innovations that lie
//! in memory: what `short` sums up as it goes, for every other model. A constant is held where it is.

use cubecl::prelude::*;
use cubecl::server::Handle;

use crate::gpu::{CHUNK, Gpu, array};

/// Innovations of models, `variants` columns each: of the first column there is one over their variance instead.
pub(super) struct Innovations<'a, R: Runtime> {
    pub(super) gpu: &'a Gpu<R>,
    pub(super) values: Handle,
    pub(super) steps: usize,
    pub(super) models: usize,
    pub(super) variants: usize,
}

/// Cells on and below the diagonal.
pub(super) fn triangle(count: usize) -> usize {
    count * (count + 1) / 2
}

/// The row of a cell of a triangle.
#[cube]
pub(super) fn row_of(cell: u32) -> u32 {
    let mut row = 0u32.runtime();
    while (row + 1) * (row + 2) / 2 <= cell {
        row += 1u32;
    }
    row
}

/// What a column tells of a step: one over the innovation's variance in a model's first, the innovation in any other.
#[cube]
pub(super) fn told<F: Float>(column: u32, gone: F, inverse: F) -> F {
    let mut told = gone + F::new(0.0f32);
    if column == 0 {
        told = inverse + F::new(0.0f32);
    }
    told
}

impl<R: Runtime> Innovations<'_, R> {
    /// A triangle of products a model, from those of every model that walks.
    pub(super) fn products<F: Float + CubeElement>(&self, walks: &Handle, products: &Handle) {
        let cells = triangle(self.variants / 2) * self.models;
        let Some((cubes, dim)) = self.gpu.one_unit_per_any(cells) else { return };
        for first in (0..self.steps).step_by(CHUNK) {
            // SAFETY: each array was made with the rows that it is passed with; units past the last cell stop, and steps
            // end with the series.
            unsafe {
                products::launch_unchecked::<F, R>(
                    self.gpu.client(),
                    cubes.clone(),
                    dim,
                    array(&self.values, self.steps * self.variants * self.models),
                    array(walks, self.models),
                    array(products, cells),
                    self.models as u32,
                    self.variants as u32,
                    first as u32,
                    (first + CHUNK).min(self.steps) as u32,
                );
            }
        }
    }
}

#[cube(launch_unchecked)]
fn products<F: Float>(
    innovations: &Array<F>,
    walks: &Array<u32>,
    products: &mut Array<F>,
    models: u32,
    variants: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS as u32;
    let count = variants / 2;
    let cells = count * (count + 1) / 2;
    let m = at / cells;
    if m < models && walks[m as usize] == 1u32 {
        let cell = at % cells;
        let row = row_of(cell);
        let column = cell - row * (row + 1) / 2;
        let mut sum = F::new(0.0f32);
        if first > 0u32 {
            sum = products[(cell * models + m) as usize];
        }
        for t in first..last {
            let own = ((t * models + m) * variants) as usize;
            let up = own + 1 + 2 * row as usize;
            let other = own + 1 + 2 * column as usize;
            let turn = innovations[up] - innovations[up + 1];
            sum += innovations[own] * turn * (innovations[other] - innovations[other + 1]);
        }
        products[(cell * models + m) as usize] = sum;
    }
}
