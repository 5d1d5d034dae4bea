//! Masked Gram matrices and residuals by their definition, one unit a sum or a value; cross-products are among the sums
//! of [`super::regression`].

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::regression::Sums;
use super::{CHUNK, Gpu, RowBuffer, array, is_nan};
use crate::KernelError;
use crate::products::{Design, Layout};

/// A design's columns, its layouts and which of them each series has, in device memory.
#[derive(Clone, Debug)]
pub(crate) struct Terms<R: Runtime> {
    gpu: Gpu<R>,
    /// `[steps, shared]`: neighbouring units read neighbouring columns.
    columns: Handle,
    /// `[hinges, layouts]`, as steps.
    knots: Handle,
    /// `[steps, layouts]`: 1 where a layout does not miss the step, else 0.
    observed: Handle,
    /// One a series.
    layout_of: Handle,
    steps: usize,
    shared: usize,
    hinges: usize,
    layouts: usize,
    series: usize,
}

impl<R: Runtime> Terms<R> {
    /// Copies what was checked on the host to the device.
    pub(crate) fn upload(
        gpu: &Gpu<R>,
        design: &Design,
        layouts: &[Layout],
        layout_of: &[usize],
    ) -> Result<Self, KernelError> {
        let (steps, shared, count) = (design.steps(), design.columns(), layouts.len());
        let hinges = layouts.first().map_or(0, |layout| layout.knots.len());
        let at = (0..steps).flat_map(|t| (0..shared).map(move |column| (t, column)));
        let columns = gpu.upload_floats(at.map(|(t, column)| design.value(t, column)));
        let knots = (0..hinges).flat_map(|hinge| layouts.iter().map(move |layout| layout.knots[hinge]));
        let mut observed = vec![1_u32; steps * count];
        for (l, layout) in layouts.iter().enumerate() {
            layout.missing.iter().for_each(|&t| observed[t as usize * count + l] = 0);
        }
        let terms = Self {
            gpu: gpu.clone(),
            columns,
            knots: gpu.upload(&knots.collect::<Vec<_>>()),
            observed: gpu.upload(&observed),
            layout_of: gpu.upload(&layout_of.iter().map(|&layout| layout as u32).collect::<Vec<_>>()),
            steps,
            shared,
            hinges,
            layouts: count,
            series: layout_of.len(),
        };
        gpu.accepted("upload")?;
        Ok(terms)
    }

    /// The device they lie on.
    pub(crate) fn gpu(&self) -> &Gpu<R> {
        &self.gpu
    }

    pub(super) fn order(&self) -> usize {
        self.shared + self.hinges
    }

    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    pub(super) fn series(&self) -> usize {
        self.series
    }

    pub(super) fn shared(&self) -> usize {
        self.shared
    }

    pub(super) fn hinges(&self) -> usize {
        self.hinges
    }

    pub(super) fn layouts(&self) -> usize {
        self.layouts
    }

    pub(super) fn columns(&self) -> ArrayArg<R> {
        array(&self.columns, self.steps * self.shared)
    }

    pub(super) fn knots(&self) -> ArrayArg<R> {
        array(&self.knots, self.hinges * self.layouts)
    }

    pub(super) fn observed(&self) -> ArrayArg<R> {
        array(&self.observed, self.steps * self.layouts)
    }

    pub(super) fn layout_of(&self) -> ArrayArg<R> {
        array(&self.layout_of, self.series)
    }

    /// Runs of steps that one launch does; an empty one where there are none, for sums are begun in it.
    fn chunks(&self) -> impl Iterator<Item = (u32, u32)> {
        let steps = self.steps;
        (0..steps.max(1)).step_by(CHUNK).map(move |first| (first as u32, (first + CHUNK).min(steps) as u32))
    }
}

pub(crate) fn masked_gram<R: Runtime>(x: &Terms<R>) -> Result<RowBuffer<R>, KernelError> {
    let sums = RowBuffer::empty(&x.gpu, x.layouts, x.order() * x.order())?;
    if x.gpu.has_f64() {
        launch_gram::<R, f64>(x, &sums)
    } else {
        launch_gram::<R, f32>(x, &sums)
    }
    x.gpu.accepted("masked Gram matrices")?;
    Ok(sums)
}

fn launch_gram<R: Runtime, F: Float>(x: &Terms<R>, sums: &RowBuffer<R>) {
    let Some((cubes, dim)) = x.gpu.one_unit_per_any(sums.count() * sums.width()) else { return };
    for (first, last) in x.chunks() {
        // SAFETY: `sums` holds one element a unit, the terms what `Terms::upload` made them with; the layouts'
        // knots were checked to lie on the grid. Units past the last stop.
        unsafe {
            gram_kernel::launch_unchecked::<F, R>(
                x.gpu.client(),
                cubes.clone(),
                dim,
                x.columns(),
                x.knots(),
                x.observed(),
                sums.arg(),
                x.layouts as u32,
                x.shared as u32,
                x.hinges as u32,
                first,
                last,
            );
        }
    }
}

pub(crate) fn masked_cross<R: Runtime>(x: &Terms<R>, y: &RowBuffer<R>) -> Result<RowBuffer<R>, KernelError> {
    let sums = Sums::new(x)?;
    if x.gpu.has_f64() {
        sums.launch::<f64, f64>(x, || y.arg(), None)?;
    } else {
        sums.launch::<f32, f32>(x, || y.arg(), None)?;
    }
    x.gpu.accepted("masked cross-products")?;
    Ok(sums.cross)
}

pub(crate) fn take_fitted<R: Runtime>(
    x: &Terms<R>,
    factors: &RowBuffer<R>,
    y: &RowBuffer<R>,
) -> Result<RowBuffer<R>, KernelError> {
    let left = RowBuffer::empty(&x.gpu, y.count(), y.width())?;
    if x.gpu.has_f64() {
        launch_take::<R, f64>(x, factors, y, &left);
    } else {
        launch_take::<R, f32>(x, factors, y, &left);
    }
    x.gpu.accepted("residuals")?;
    Ok(left)
}

fn launch_take<R: Runtime, F: Float>(x: &Terms<R>, factors: &RowBuffer<R>, y: &RowBuffer<R>, left: &RowBuffer<R>) {
    let Some((cubes, dim)) = x.gpu.one_unit_per_any(y.count() * y.width()) else { return };
    // SAFETY: `y` and `left` hold one element a unit, a step and series; `factors` was checked to hold one a term
    // and series, each of `layout_of` to be a layout of the terms. Units past the last stop.
    unsafe {
        take_kernel::launch_unchecked::<F, R>(
            x.gpu.client(),
            cubes,
            dim,
            x.columns(),
            x.knots(),
            x.layout_of(),
            factors.arg(),
            y.arg(),
            left.arg(),
            x.layouts as u32,
            x.shared as u32,
            x.hinges as u32,
            x.series as u32,
        );
    }
}

/// Column `column` of a layout at step `t`: a shared one, or the hinge that leaves zero at its knot. Time is
/// the design's second column.
#[cube]
fn term<F: Float>(
    columns: &Array<F>,
    knots: &Array<u32>,
    layouts: u32,
    shared: u32,
    layout: u32,
    column: u32,
    t: u32,
) -> F {
    let mut value = F::new(0.0f32);
    if column < shared {
        value = columns[(t * shared + column) as usize];
    } else {
        let knot = knots[((column - shared) * layouts + layout) as usize];
        if t > knot {
            value = columns[(t * shared + 1) as usize] - columns[(knot * shared + 1) as usize];
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
    layouts: u32,
    shared: u32,
    hinges: u32,
    first: u32,
    last: u32,
) {
    let at = ABSOLUTE_POS;
    if at < sums.len() {
        let order = shared + hinges;
        let layout = at as u32 % layouts;
        let i = at as u32 / layouts / order;
        let j = at as u32 / layouts % order;
        let mut sum = F::new(0.0f32);
        if first > 0 {
            sum = sums[at];
        }
        for t in first..last {
            if observed[(t * layouts + layout) as usize] == 1 {
                sum += term::<F>(columns, knots, layouts, shared, layout, i, t)
                    * term::<F>(columns, knots, layouts, shared, layout, j, t);
            }
        }
        sums[at] = sum;
    }
}

#[cube(launch_unchecked)]
fn take_kernel<F: Float>(
    columns: &Array<F>,
    knots: &Array<u32>,
    layout_of: &Array<u32>,
    factors: &Array<F>,
    y: &Array<F>,
    left: &mut Array<F>,
    layouts: u32,
    shared: u32,
    hinges: u32,
    series: u32,
) {
    let at = ABSOLUTE_POS;
    if at < left.len() {
        let t = at as u32 / series;
        let s = at as u32 % series;
        let layout = layout_of[s as usize];
        let mut rest = y[at];
        // A NaN stays what it is: WGSL promises nothing of its difference.
        if !is_nan::<F>(rest) {
            for i in 0..shared + hinges {
                rest -= term::<F>(columns, knots, layouts, shared, layout, i, t) * factors[(i * series + s) as usize];
            }
        }
        left[at] = rest;
    }
}
