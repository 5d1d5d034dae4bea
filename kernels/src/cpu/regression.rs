//! Sums of many series over their steps, on the cores: one series a task.

use rayon::prelude::*;

use super::products::{masked_cross, take_fitted};
use crate::products::{Design, Layout};
use crate::{Lanes, Rows};

pub(crate) fn row_moments(y: &Rows) -> Vec<f64> {
    (0..y.count()).into_par_iter().flat_map_iter(|row| moments(y.row(row))).collect()
}

/// How many values are no NaN, and the sum of their squares.
fn moments(values: &[f64]) -> [f64; 2] {
    let observed = values.iter().filter(|value| !value.is_nan());
    observed.fold([0.0; 2], |[count, square], value| [count + 1.0, square + value * value])
}

/// A series' values, NaN where its layout misses them.
fn observed(layout: &Layout, y: &Lanes, series: usize) -> Vec<f64> {
    let mut values: Vec<f64> = y.column(series).into_iter().map(f64::from).collect();
    layout.missing.iter().for_each(|&step| values[step as usize] = f64::NAN);
    values
}

pub(crate) fn scaled_start(
    design: &Design,
    layouts: &[Layout],
    layout_of: &[usize],
    y: &Lanes,
) -> (Vec<f64>, Vec<f64>) {
    let order = design.columns() + layouts.first().map_or(0, |layout| layout.knots.len());
    let each = layout_of.par_iter().enumerate().map(|(s, &layout)| {
        let values = observed(&layouts[layout], y, s);
        let values: Vec<f64> = values.into_iter().filter(|value| !value.is_nan()).collect();
        let most = values.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        let scale = if most > 0.0 { most } else { 1.0 };
        let mean = values.iter().sum::<f64>() / scale / values.len().max(1) as f64;
        if (scale + mean).is_finite() { (scale, mean) } else { (f64::NAN, f64::NAN) }
    });
    let ends: Vec<(f64, f64)> = each.collect();
    let mut start = vec![0.0; ends.len() * order];
    start.chunks_mut(order).zip(&ends).for_each(|(start, (_, mean))| start[0] = *mean);
    (ends.into_iter().map(|(scale, _)| scale).collect(), start)
}

pub(crate) fn scaled_sums(
    design: &Design,
    layouts: &[Layout],
    layout_of: &[usize],
    y: &Lanes,
    scale: &[f64],
    about: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut values = vec![0.0; layout_of.len() * design.steps()];
    let each = values.par_chunks_mut(design.steps().max(1)).zip(scale).zip(layout_of).enumerate();
    each.for_each(|(s, ((row, scale), &layout))| {
        let own = observed(&layouts[layout], y, s);
        row.iter_mut().zip(own).for_each(|(scaled, value)| *scaled = value / scale);
    });
    take_fitted(design, layouts, layout_of, about, &mut values);
    let moments = values.par_chunks(design.steps().max(1)).zip(scale).flat_map_iter(|(row, scale)| {
        let [count, square] = moments(row);
        [count, if scale.is_nan() { f64::NAN } else { square }]
    });
    (moments.collect(), masked_cross(design, layouts, layout_of, &values))
}
