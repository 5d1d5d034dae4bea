//! The steps that a few series of one length are regressed on, and least squares there.

use foreshadow_kernels::KernelError;
use foreshadow_kernels::products::{Layout, masked_cross, masked_gram, take_fitted};

use super::factor::Factor;
use super::grid::{Grid, in_design};
use super::prepare::Ready;

/// The rows of each series' regression, and what those on the same rows share.
pub(super) struct Rows<'a> {
    grid: &'a Grid<'a>,
    layouts: Vec<Layout>,
    /// The layout of each series.
    layout_of: Vec<usize>,
    /// Products of the columns of each layout, without the time: `[columns, columns]`.
    grams: Vec<Vec<f64>>,
    /// Of the columns that the series can tell.
    factors: Vec<(Vec<usize>, Factor)>,
}

impl<'a> Rows<'a> {
    /// `left_out` gives the steps, rising, that are no row of a member's; it gives members that miss no step the same.
    pub(super) fn new(
        grid: &'a Grid<'a>,
        members: &[Ready],
        left_out: impl Fn(usize) -> Vec<u32>,
    ) -> Result<Self, KernelError> {
        let (mut layouts, mut of, mut layout_of) = (Vec::new(), Vec::new(), Vec::with_capacity(members.len()));
        let mut whole = None;
        for (i, own) in members.iter().enumerate() {
            // Two series hardly ever miss the same steps but for those that miss none.
            let known = whole.filter(|_| own.missing.is_empty());
            layout_of.push(known.unwrap_or(layouts.len()));
            if known.is_none() {
                whole = if own.missing.is_empty() { Some(layouts.len()) } else { whole };
                layouts.push(Layout { missing: left_out(i), knots: Vec::new() });
                of.push(i);
            }
        }
        let width = grid.waves.width();
        let without_time = |gram: &[f64]| -> Vec<f64> {
            let row = |i: usize| (0..width).map(move |j| gram[in_design(i) * (width + 1) + in_design(j)]);
            (0..width).flat_map(row).collect()
        };
        let grams: Vec<Vec<f64>> =
            masked_gram(&grid.design, &layouts)?.chunks_exact((width + 1) * (width + 1)).map(without_time).collect();
        let factor = |(gram, &i): (&Vec<f64>, &usize)| {
            let picked: Vec<usize> = std::iter::once(0).chain(grid.waves.picked(&members[i].told)).collect();
            let factor = Factor::new(gram, width, &picked);
            (picked, factor)
        };
        let factors = grams.iter().zip(&of).map(factor).collect();
        Ok(Self { grid, layouts, layout_of, grams, factors })
    }

    /// Products of a member's columns.
    pub(super) fn gram(&self, member: usize) -> &[f64] {
        &self.grams[self.layout_of[member]]
    }

    /// What of a member's steps are rows.
    pub(super) fn of(&self, member: usize, values: &[f64]) -> Vec<f64> {
        let mut out = self.layouts[self.layout_of[member]].missing.iter().copied().peekable();
        (0..).zip(values).filter(|(t, _)| out.next_if_eq(t).is_none()).map(|(_, value)| *value).collect()
    }

    /// Products of each series with every column: `[series, columns]`.
    pub(super) fn cross(&self, y: &[f64]) -> Result<Vec<f64>, KernelError> {
        let cross = masked_cross(&self.grid.design, &self.layouts, &self.layout_of, y)?;
        let width = self.grid.waves.width();
        let own = |row: &[f64]| (0..width).map(|column| row[in_design(column)]).collect::<Vec<_>>();
        Ok(cross.chunks_exact(width + 1).flat_map(own).collect())
    }

    /// Coefficients of every column that each series can tell, zero for the others.
    pub(super) fn every(&self, y: &[f64]) -> Result<Vec<Vec<f64>>, KernelError> {
        let width = self.grid.waves.width();
        let cross = self.cross(y)?;
        let solve = |(right, &layout): (&[f64], &usize)| {
            let (picked, factor) = &self.factors[layout];
            let right: Vec<f64> = picked.iter().map(|&column| right[column]).collect();
            let mut all = vec![0.0; width];
            picked.iter().zip(factor.solve(&right)).for_each(|(&column, value)| all[column] = value);
            all
        };
        Ok(cross.chunks_exact(width).zip(&self.layout_of).map(solve).collect())
    }

    /// What all columns that each series can tell leave of `y`, at every step.
    pub(super) fn left(&self, y: &[f64]) -> Result<Vec<f64>, KernelError> {
        let mut left = y.to_vec();
        self.take(&self.every(y)?, &mut left)?;
        Ok(left)
    }

    /// Takes what coefficients explain out of `y`, at every step.
    pub(super) fn take(&self, coefficients: &[Vec<f64>], y: &mut [f64]) -> Result<(), KernelError> {
        let with_time = |own: &Vec<f64>| [&own[..1], &[0.0], &own[1..]].concat();
        let all: Vec<f64> = coefficients.iter().flat_map(with_time).collect();
        take_fitted(&self.grid.design, &self.layouts, &self.layout_of, &all, y)
    }
}
