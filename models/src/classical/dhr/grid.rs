//! What series of one length share: their waves, and which steps a regression looks at.

use foreshadow_kernels::products::Design;

use super::waves::Waves;

/// Steps that an autoregression looks back at most, as a share of a series.
const SHARE: usize = 8;

/// The columns of every season at each step of a window.
pub(super) struct Grid<'a> {
    pub(super) waves: &'a Waves,
    /// The constant, the time, which no regression here uses, and the waves' columns.
    pub(super) design: Design,
    /// Steps that the whitening autoregression looks back at most.
    pub(super) lags: usize,
    /// Steps at the start that have too few before them to be differenced and whitened.
    pub(super) skip: usize,
}

impl<'a> Grid<'a> {
    /// A grid of so many steps.
    pub(super) fn new(steps: usize, waves: &'a Waves) -> Self {
        let columns: Vec<Vec<f64>> = waves.list().iter().flat_map(|wave| wave.columns(steps)).collect();
        let time = (0..steps).map(|t| t as f64).collect();
        let design = Design::new(time, columns.len(), |t, column| columns[column][t]);
        // R's `ar` looks back as far as ten times the decimal logarithm.
        let lags = ((10.0 * (steps.max(1) as f64).log10()) as usize).min(steps / SHARE);
        Self { waves, design, lags, skip: (lags + 2).min(steps) }
    }
}

/// Where the design keeps a column of the regression: it has the time behind the constant.
pub(super) fn in_design(column: usize) -> usize {
    if column == 0 { 0 } else { column + 1 }
}
