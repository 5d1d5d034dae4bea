//! Cross-products of a piecewise-linear regression with many series that lack steps of their own.

use crate::{Device, KernelError, cpu, gpu};

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
    masked_gram_on(&Device::Cpu, design, layouts)
}

/// [`masked_gram`] on a device of the caller's choice, the numbers carried there and back. A GPU takes each
/// sum by its definition, one unit a sum; one without `f64` adds in `f32`.
///
/// # Errors
/// As [`masked_gram`]; [`KernelError::Device`] when the device refuses the work.
pub fn masked_gram_on(device: &Device, design: &Design, layouts: &[Layout]) -> Result<Vec<f64>, KernelError> {
    check(design, layouts)?;
    match device {
        Device::Cpu => Ok(cpu::products::masked_gram(design, layouts)),
        Device::Wgpu(gpu) => gpu::products::masked_gram(gpu, design, layouts),
        Device::Cuda(gpu) => gpu::products::masked_gram(gpu, design, layouts),
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
    masked_cross_on(&Device::Cpu, design, layouts, layout_of, y)
}

/// [`masked_cross`] on a device of the caller's choice, as [`masked_gram_on`] does it.
///
/// # Errors
/// As [`masked_cross`]; [`KernelError::Device`] when the device refuses the work.
pub fn masked_cross_on(
    device: &Device,
    design: &Design,
    layouts: &[Layout],
    layout_of: &[usize],
    y: &[f64],
) -> Result<Vec<f64>, KernelError> {
    check(design, layouts)?;
    check_series(design, layouts, layout_of, y)?;
    match device {
        Device::Cpu => Ok(cpu::products::masked_cross(design, layouts, layout_of, y)),
        Device::Wgpu(gpu) => gpu::products::masked_cross(gpu, design, layouts, layout_of, y),
        Device::Cuda(gpu) => gpu::products::masked_cross(gpu, design, layouts, layout_of, y),
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
    let order = design.columns() + layouts.first().map_or(0, |layout| layout.knots.len());
    expect("x", x.len(), layout_of.len() * order)?;
    cpu::products::take_fitted(design, layouts, layout_of, x, y);
    Ok(())
}

fn check_series(design: &Design, layouts: &[Layout], layout_of: &[usize], y: &[f64]) -> Result<(), KernelError> {
    expect("y", y.len(), layout_of.len() * design.steps())?;
    let unknown = layout_of.iter().find(|&&layout| layout >= layouts.len());
    expect("layout_of", unknown.map_or(layouts.len(), |layout| layout + 1), layouts.len())
}

fn check(design: &Design, layouts: &[Layout]) -> Result<(), KernelError> {
    let knots = layouts.first().map_or(0, |layout| layout.knots.len());
    for layout in layouts {
        expect("knots", layout.knots.len(), knots)?;
        for list in [&layout.missing, &layout.knots] {
            let rising = list.windows(2).all(|pair| pair[0] < pair[1]);
            let past = list.last().map_or(0, |&last| last as usize + 1).max(design.steps());
            expect("layout", if rising { past } else { usize::MAX }, design.steps())?;
        }
    }
    Ok(())
}

fn expect(operand: &'static str, found: usize, needed: usize) -> Result<(), KernelError> {
    if found == needed { Ok(()) } else { Err(KernelError::Shape { operand, found, needed }) }
}

#[cfg(test)]
mod tests;
