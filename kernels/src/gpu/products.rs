//! Masked cross-products by their definition: one unit a sum, the steps in several launches.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{CHUNK, Gpu, array};
use crate::KernelError;
use crate::products::{Design, Layout};

pub(crate) fn masked_gram<R: Runtime>(
    gpu: &Gpu<R>,
    design: &Design,
    layouts: &[Layout],
) -> Result<Vec<f64>, KernelError> {
    if gpu.has_f64() {
        gram(gpu, &Terms::<f64>::upload(gpu, design, layouts, |value| value), layouts)
    } else {
        gram(gpu, &Terms::<f32>::upload(gpu, design, layouts, |value| value as f32), layouts)
    }
}

pub(crate) fn masked_cross<R: Runtime>(
    gpu: &Gpu<R>,
    design: &Design,
    layouts: &[Layout],
    layout_of: &[usize],
    y: &[f64],
) -> Result<Vec<f64>, KernelError> {
    // Time-major, and 0 where a series is not observed: such a step then adds nothing to any sum.
    let (steps, series) = (design.steps(), layout_of.len());
    let mut values = vec![0.0; steps * series];
    for (s, &layout) in layout_of.iter().enumerate() {
        for t in (0..steps).filter(|&t| !y[s * steps + t].is_nan()) {
            values[t * series + s] = y[s * steps + t];
        }
        for &t in &layouts[layout].missing {
            values[t as usize * series + s] = 0.0;
        }
    }
    if gpu.has_f64() {
        cross(gpu, &Terms::<f64>::upload(gpu, design, layouts, |value| value), layout_of, &values)
    } else {
        let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
        cross(gpu, &Terms::<f32>::upload(gpu, design, layouts, |value| value as f32), layout_of, &values)
    }
}

/// A design's columns and the layouts' knots on the device.
struct Terms<F> {
    columns: Handle,
    knots: Handle,
    steps: usize,
    shared: usize,
    hinges: usize,
    layouts: usize,
    zero: F,
}

impl<F: Float + CubeElement> Terms<F> {
    fn upload<R: Runtime>(gpu: &Gpu<R>, design: &Design, layouts: &[Layout], narrow: impl Fn(f64) -> F) -> Self {
        let (steps, shared) = (design.steps(), design.columns());
        let at = (0..shared).flat_map(|column| (0..steps).map(move |t| (t, column)));
        let columns: Vec<F> = at.map(|(t, column)| narrow(design.value(t, column))).collect();
        let knots: Vec<u32> = layouts.iter().flat_map(|layout| layout.knots.iter().copied()).collect();
        let hinges = layouts.first().map_or(0, |layout| layout.knots.len());
        let (columns, knots) = (gpu.upload(&columns), gpu.upload(&knots));
        Self { columns, knots, steps, shared, hinges, layouts: layouts.len(), zero: narrow(0.0) }
    }

    fn order(&self) -> usize {
        self.shared + self.hinges
    }

    fn columns<R: Runtime>(&self) -> ArrayArg<R> {
        array(&self.columns, self.shared * self.steps)
    }

    fn knots<R: Runtime>(&self) -> ArrayArg<R> {
        array(&self.knots, self.hinges * self.layouts)
    }
}

fn gram<R: Runtime, F: Float + CubeElement + Into<f64>>(
    gpu: &Gpu<R>,
    terms: &Terms<F>,
    layouts: &[Layout],
) -> Result<Vec<f64>, KernelError> {
    let mut observed = vec![1_u32; layouts.len() * terms.steps];
    for (layout, observed) in layouts.iter().zip(observed.chunks_mut(terms.steps)) {
        layout.missing.iter().for_each(|&t| observed[t as usize] = 0);
    }
    let observed_count = observed.len();
    let observed = gpu.upload(&observed);
    let count = layouts.len() * terms.order() * terms.order();
    let sums = gpu.upload(&vec![terms.zero; count]);
    let (cubes, dim) = gpu.one_unit_per(count);
    for first in (0..terms.steps).step_by(CHUNK) {
        // SAFETY: `sums` holds one element a unit, `observed` one a layout and step, the terms what
        // `Terms::upload` made; the layouts' knots were checked to lie on the grid. Units past the last stop.
        unsafe {
            gram_kernel::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                terms.columns(),
                terms.knots(),
                array(&observed, observed_count),
                array(&sums, count),
                terms.steps as u32,
                terms.shared as u32,
                terms.hinges as u32,
                first as u32,
                (first + CHUNK).min(terms.steps) as u32,
            );
        }
    }
    let sums: Vec<F> = gpu.download(&sums, "masked Gram matrices")?;
    Ok(sums.into_iter().map(Into::into).collect())
}

fn cross<R: Runtime, F: Float + CubeElement + Into<f64>>(
    gpu: &Gpu<R>,
    terms: &Terms<F>,
    layout_of: &[usize],
    y: &[F],
) -> Result<Vec<f64>, KernelError> {
    let (series, order) = (layout_of.len(), terms.order());
    let values = gpu.upload(y);
    let layout_of = gpu.upload(&layout_of.iter().map(|&layout| layout as u32).collect::<Vec<_>>());
    let sums = gpu.upload(&vec![terms.zero; series * order]);
    let (cubes, dim) = gpu.one_unit_per(series * order);
    for first in (0..terms.steps).step_by(CHUNK) {
        // SAFETY: `sums` holds one element a unit, `values` one a step and series, `layout_of` one a series
        // and each of them a layout of the terms, as was checked. Units past the last stop.
        unsafe {
            cross_kernel::launch_unchecked::<F, R>(
                gpu.client(),
                cubes.clone(),
                dim,
                terms.columns(),
                terms.knots(),
                array(&layout_of, series),
                array(&values, y.len()),
                array(&sums, series * order),
                terms.steps as u32,
                terms.shared as u32,
                terms.hinges as u32,
                first as u32,
                (first + CHUNK).min(terms.steps) as u32,
            );
        }
    }
    let sums: Vec<F> = gpu.download(&sums, "masked cross-products")?;
    Ok((0..series).flat_map(|s| (0..order).map(move |i| (s, i))).map(|(s, i)| sums[i * series + s].into()).collect())
}

/// Column `column` of a layout at step `t`: a shared one, or the hinge that leaves zero at its knot. Time is
/// the design's second column.
#[cube]
fn term<F: Float>(
    columns: &Array<F>,
    knots: &Array<u32>,
    steps: u32,
    shared: u32,
    hinges: u32,
    layout: u32,
    column: u32,
    t: u32,
) -> F {
    let mut value = F::new(0.0f32);
    if column < shared {
        value = columns[(column * steps + t) as usize];
    } else {
        let knot = knots[(layout * hinges + column - shared) as usize];
        if t > knot {
            value = columns[(steps + t) as usize] - columns[(steps + knot) as usize];
        }
    }
    value
}

#[cube(launch_unchecked)]
fn gram_kernel<F: Float>(
    columns: &Array<F>,
    knots: &Array<u32>,
    observed: &Array<u32>,
    sums: &mut Array<F>,
    steps: u32,
    shared: u32,
    hinges: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS;
    if at < sums.len() {
        let order = shared + hinges;
        let layout = at as u32 / (order * order);
        let i = at as u32 / order % order;
        let j = at as u32 % order;
        let mut sum = sums[at];
        for t in first..last {
            if observed[(layout * steps + t) as usize] == 1 {
                sum += term::<F>(columns, knots, steps, shared, hinges, layout, i, t)
                    * term::<F>(columns, knots, steps, shared, hinges, layout, j, t);
            }
        }
        sums[at] = sum;
    }
}

#[cube(launch_unchecked)]
fn cross_kernel<F: Float>(
    columns: &Array<F>,
    knots: &Array<u32>,
    layout_of: &Array<u32>,
    y: &Array<F>,
    sums: &mut Array<F>,
    steps: u32,
    shared: u32,
    hinges: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS;
    if at < sums.len() {
        let series = layout_of.len() as u32;
        let i = at as u32 / series;
        let s = at as u32 % series;
        let layout = layout_of[s as usize];
        let mut sum = sums[at];
        for t in first..last {
            sum += term::<F>(columns, knots, steps, shared, hinges, layout, i, t) * y[(t * series + s) as usize];
        }
        sums[at] = sum;
    }
}
