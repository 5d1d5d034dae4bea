//! Cross-products of a piecewise-linear regression with many series that lack steps of their own.

use cubecl::cuda::CudaRuntime;
use cubecl::wgpu::WgpuRuntime;

use crate::error::expect_len;
use crate::gpu::products::Terms;
use crate::{Batch, Device, KernelError, Rows, cpu, gpu};

/// Columns that many series on one grid share: the constant 1, a rising time, then any others.
///
/// A regression adds hinges `max(0, time[t] - time[knot])` to them, at knots each [`Layout`] places.
#[derive(Clone, Debug)]
pub struct Design {
    time: Vec<f64>,
    columns: usize,
    /// Column by column.
    values: Vec<f64>,
    /// The same values, eight columns side by side at each step.
    blocks: Vec<[f64; BLOCK]>,
}

/// Columns that lie side by side in memory, one register of the widest instruction set.
pub(crate) const BLOCK: usize = 8;

impl Design {
    /// A design of the constant, `time`, and `others` further columns given by `value(step, column)`.
    ///
    /// # Panics
    /// When `time` does not rise.
    pub fn new(time: Vec<f64>, others: usize, value: impl Fn(usize, usize) -> f64) -> Self {
        assert!(time.windows(2).all(|pair| pair[0] < pair[1]), "a design's time rises");
        let columns = 2 + others;
        let mut values = vec![1.0; time.len()];
        values.extend(&time);
        values
            .extend((0..others).flat_map(|column| (0..time.len()).map(move |t| (t, column))).map(|(t, c)| value(t, c)));
        let mut blocks = vec![[0.0; BLOCK]; columns.div_ceil(BLOCK) * time.len()];
        for (column, values) in values.chunks(time.len().max(1)).enumerate() {
            for (row, &value) in blocks[column / BLOCK * time.len()..].iter_mut().zip(values) {
                row[column % BLOCK] = value;
            }
        }
        Self { time, columns, values, blocks }
    }

    /// Steps of the grid.
    pub fn steps(&self) -> usize {
        self.time.len()
    }

    /// Shared columns, the constant and the time counted.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rising time of every step.
    pub fn time(&self) -> &[f64] {
        &self.time
    }

    /// One shared column's value at one step.
    pub fn value(&self, step: usize, column: usize) -> f64 {
        self.column(column)[step]
    }

    /// One shared column at every step.
    pub fn column(&self, column: usize) -> &[f64] {
        &self.values[column * self.steps()..(column + 1) * self.steps()]
    }

    /// Puts this design, its layouts and the layout of each series where the work is to be done.
    ///
    /// A GPU is sent the columns, one flag a layout and step, the knots, and four bytes a series; every operation
    /// on the result finds them there. On the CPU it is a copy.
    ///
    /// # Errors
    /// [`KernelError::Shape`] when layouts differ in their number of knots, or name a step past the grid, or
    /// `layout_of` a layout that is not there; [`KernelError::Device`] when the device has no room for them.
    pub fn to_device(
        &self,
        device: &Device,
        layouts: &[Layout],
        layout_of: &[usize],
    ) -> Result<Regressors, KernelError> {
        check(self, layouts)?;
        check_layout_of(layouts, layout_of)?;
        let place = match device {
            Device::Cpu => Place::Cpu(self.clone(), layouts.to_vec(), layout_of.to_vec()),
            Device::Wgpu(gpu) => Place::Wgpu(Terms::upload(gpu, self, layouts, layout_of)?),
            Device::Cuda(gpu) => Place::Cuda(Terms::upload(gpu, self, layouts, layout_of)?),
        };
        let order = order(self, layouts);
        Ok(Regressors { steps: self.steps(), order, layouts: layouts.len(), series: layout_of.len(), place })
    }

    /// Eight neighbouring columns at every step; columns past the last are zero.
    pub(crate) fn block(&self, block: usize) -> &[[f64; BLOCK]] {
        &self.blocks[block * self.steps()..(block + 1) * self.steps()]
    }

    /// Blocks of eight columns.
    pub(crate) fn block_count(&self) -> usize {
        self.columns.div_ceil(BLOCK)
    }
}

/// What of a [`Design`] one series, or several alike, take: the steps they lack and where hinges start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Layout {
    /// Unobserved steps, rising.
    pub missing: Vec<u32>,
    /// Steps at which a hinge leaves zero, rising; equally many in every layout of a call.
    pub knots: Vec<u32>,
}

/// A design, its layouts and the layout of each series, where the work is to be done: what the operations named
/// `_on` regress on. Made by [`Design::to_device`].
#[derive(Clone, Debug)]
pub struct Regressors {
    steps: usize,
    order: usize,
    layouts: usize,
    series: usize,
    place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    Cpu(Design, Vec<Layout>, Vec<usize>),
    Wgpu(Terms<WgpuRuntime>),
    Cuda(Terms<CudaRuntime>),
}

impl Regressors {
    /// `p`: the design's columns and each layout's knots.
    pub fn order(&self) -> usize {
        self.order
    }

    /// Steps of the grid.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Series that have a layout.
    pub fn series(&self) -> usize {
        self.series
    }

    /// What they are, where they lie.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// `cpu`, `wgpu` or `cuda`: where they lie.
    pub fn kind(&self) -> &'static str {
        match &self.place {
            Place::Cpu(..) => "cpu",
            Place::Wgpu(terms) => terms.gpu().kind(),
            Place::Cuda(terms) => terms.gpu().kind(),
        }
    }
}

/// Gram matrices `X'X` over each layout's observed steps.
///
/// `gram[l, i, j]` is the sum over the steps `t` that layout `l` does not miss of `x[t, i] * x[t, j]`, the
/// columns of `x` being those of `design` and then one hinge per knot.
///
/// - Returns `[layouts, p, p]`, symmetric, `p` being the design's columns and the knots.
///
/// The design's own Gram is summed once (`steps * columns^2 / 2` products) and each layout takes its missing
/// rows out of it; hinges come from one backward pass of sums (`4 * steps * columns` flops a layout).
/// All in `f64`: the condition of a trend with 25 hinges is about 1e7.
///
/// # Errors
/// [`KernelError::Shape`] when layouts differ in their number of knots, or name a step past the grid.
pub fn masked_gram(design: &Design, layouts: &[Layout]) -> Result<Vec<f64>, KernelError> {
    check(design, layouts)?;
    Ok(cpu::products::masked_gram(design, layouts))
}

/// [`masked_gram`] where the regressors lie. A GPU takes each sum by its definition, one unit a sum; one without
/// `f64` adds in `f32`.
///
/// - Returns `[layouts, p * p]`, left where it was made: nothing crosses the bus.
///
/// # Errors
/// [`KernelError::Device`] when the device refuses the work.
pub fn masked_gram_on(x: &Regressors) -> Result<Batch, KernelError> {
    match &x.place {
        Place::Cpu(design, layouts, _) => {
            let grams = cpu::products::masked_gram(design, layouts);
            Rows::new(x.layouts, x.order * x.order, grams).map(Batch::Cpu)
        }
        Place::Wgpu(terms) => gpu::products::masked_gram(terms).map(Batch::Wgpu),
        Place::Cuda(terms) => gpu::products::masked_gram(terms).map(Batch::Cuda),
    }
}

/// Products `X'y` of each series with the columns its layout takes, over its observed steps.
///
/// `cross[s, i]` is the sum over the observed steps `t` of `x[t, i] * y[s, t]`.
///
/// - `layout_of`: the layout of each series.
/// - `y`: `[series, steps]`, series by series. A NaN counts as unobserved, as does a step the layout misses.
/// - Returns `[series, p]`.
///
/// Each series is summed alone and in a fixed order, so that its bits depend on no neighbour. `y` is read
/// twice from cache, `2 * (columns + 2)` flops a value.
///
/// # Errors
/// [`KernelError::Shape`] as [`masked_gram`], or unless `y` has the grid's steps for each of `layout_of`.
pub fn masked_cross(
    design: &Design,
    layouts: &[Layout],
    layout_of: &[usize],
    y: &[f64],
) -> Result<Vec<f64>, KernelError> {
    check(design, layouts)?;
    check_series(design, layouts, layout_of, y)?;
    Ok(cpu::products::masked_cross(design, layouts, layout_of, y))
}

/// [`masked_cross`] where the operands lie, one unit a series on a GPU.
///
/// - `y`: `[series, steps]`.
/// - Returns `[series, p]`, left where it was made: nothing crosses the bus.
///
/// # Errors
/// [`KernelError::Shape`] and [`KernelError::Elsewhere`] unless the operands share a batch and a device;
/// [`KernelError::Device`] when the device refuses the work.
pub fn masked_cross_on(x: &Regressors, y: &Batch) -> Result<Batch, KernelError> {
    y.expect("y", x.series, x.steps)?;
    match (&x.place, y) {
        (Place::Cpu(design, layouts, layout_of), Batch::Cpu(y)) => {
            let sums = cpu::products::masked_cross(design, layouts, layout_of, y.values());
            Rows::new(x.series, x.order, sums).map(Batch::Cpu)
        }
        (Place::Wgpu(terms), Batch::Wgpu(y)) => gpu::products::masked_cross(terms, y).map(Batch::Wgpu),
        (Place::Cuda(terms), Batch::Cuda(y)) => gpu::products::masked_cross(terms, y).map(Batch::Cuda),
        _ => Err(y.elsewhere("y", x.kind())),
    }
}

/// Takes the fitted values `X x` of each series out of `y`, in place: the residuals.
///
/// - `x`: `[series, p]`, coefficients of the design's columns and then of the layout's hinges.
/// - `y`: `[series, steps]`. A NaN stays NaN; steps that the layout misses are done like any other.
///
/// `2 * (columns + 1)` flops a value; `y` is read and written once.
///
/// # Errors
/// As [`masked_cross`].
pub fn take_fitted(
    design: &Design,
    layouts: &[Layout],
    layout_of: &[usize],
    x: &[f64],
    y: &mut [f64],
) -> Result<(), KernelError> {
    check(design, layouts)?;
    check_series(design, layouts, layout_of, y)?;
    expect_len("x", x.len(), layout_of.len() * order(design, layouts))?;
    cpu::products::take_fitted(design, layouts, layout_of, x, y);
    Ok(())
}

/// [`take_fitted`] where the operands lie, one unit a value on a GPU.
///
/// - `factors`: `[series, p]`, the coefficients.
/// - `y`: `[series, steps]`; it stays as it is.
/// - Returns the residuals, `[series, steps]`, left where they were made: nothing crosses the bus.
///
/// # Errors
/// As [`masked_cross_on`].
pub fn take_fitted_on(x: &Regressors, factors: &Batch, y: &Batch) -> Result<Batch, KernelError> {
    factors.expect("factors", x.series, x.order)?;
    y.expect("y", x.series, x.steps)?;
    match (&x.place, factors, y) {
        (Place::Cpu(design, layouts, layout_of), Batch::Cpu(factors), Batch::Cpu(y)) => {
            let mut left = y.clone();
            cpu::products::take_fitted(design, layouts, layout_of, factors.values(), left.values_mut());
            Ok(Batch::Cpu(left))
        }
        (Place::Wgpu(terms), Batch::Wgpu(factors), Batch::Wgpu(y)) => {
            gpu::products::take_fitted(terms, factors, y).map(Batch::Wgpu)
        }
        (Place::Cuda(terms), Batch::Cuda(factors), Batch::Cuda(y)) => {
            gpu::products::take_fitted(terms, factors, y).map(Batch::Cuda)
        }
        _ if factors.kind() != x.kind() => Err(factors.elsewhere("factors", x.kind())),
        _ => Err(y.elsewhere("y", x.kind())),
    }
}

fn order(design: &Design, layouts: &[Layout]) -> usize {
    design.columns() + layouts.first().map_or(0, |layout| layout.knots.len())
}

fn check_series(design: &Design, layouts: &[Layout], layout_of: &[usize], y: &[f64]) -> Result<(), KernelError> {
    expect_len("y", y.len(), layout_of.len() * design.steps())?;
    check_layout_of(layouts, layout_of)
}

fn check_layout_of(layouts: &[Layout], layout_of: &[usize]) -> Result<(), KernelError> {
    let unknown = layout_of.iter().find(|&&layout| layout >= layouts.len());
    expect_len("layout_of", unknown.map_or(layouts.len(), |layout| layout + 1), layouts.len())
}

fn check(design: &Design, layouts: &[Layout]) -> Result<(), KernelError> {
    let knots = layouts.first().map_or(0, |layout| layout.knots.len());
    for layout in layouts {
        expect_len("knots", layout.knots.len(), knots)?;
        for list in [&layout.missing, &layout.knots] {
            let rising = list.windows(2).all(|pair| pair[0] < pair[1]);
            let past = list.last().map_or(0, |&last| last as usize + 1).max(design.steps());
            expect_len("layout", if rising { past } else { usize::MAX }, design.steps())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
