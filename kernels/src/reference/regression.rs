//! Sums over the steps of series, each residual by its definition.

use super::products::{masked_cross, take_fitted};
use crate::products::{Design, Layout};

/// See [`crate::regression::row_moments`]; rows of equal width.
pub fn row_moments(width: usize, y: &[f64]) -> Vec<f64> {
    let mut moments = Vec::new();
    for row in y.chunks(width) {
        let (mut count, mut square) = (0.0, 0.0);
        for value in row {
            if !value.is_nan() {
                count += 1.0;
                square += value * value;
            }
        }
        moments.extend([count, square]);
    }
    moments
}

/// See [`crate::regression::scaled_start`]; `y` is `[series, steps]`, of finite values and NaN. Scales and starts.
pub fn scaled_start(design: &Design, layouts: &[Layout], layout_of: &[usize], y: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut scales, mut starts) = (Vec::new(), Vec::new());
    for (s, &layout) in layout_of.iter().enumerate() {
        let layout = &layouts[layout];
        let (mut scale, mut sum, mut count) = (0.0_f64, 0.0, 0.0);
        for step in (0..design.steps()).filter(|&step| !layout.missing.contains(&(step as u32))) {
            let value = y[s * design.steps() + step];
            if !value.is_nan() {
                scale = scale.max(value.abs());
                sum += value;
                count += 1.0;
            }
        }
        let nothing = scale == 0.0;
        scales.push(if nothing { 1.0 } else { scale });
        starts.push(if nothing { 0.0 } else { sum / scale / count });
        starts.extend(vec![0.0; design.columns() - 1 + layout.knots.len()]);
    }
    (scales, starts)
}

/// See [`crate::regression::scaled_sums`]; `y` is `[series, steps]`. Moments and products.
pub fn scaled_sums(
    design: &Design,
    layouts: &[Layout],
    layout_of: &[usize],
    y: &[f64],
    scale: &[f64],
    about: &[f64],
) -> (Vec<f64>, Vec<f64>) {
    let mut left = y.to_vec();
    for (s, &layout) in layout_of.iter().enumerate() {
        for step in 0..design.steps() {
            let value = &mut left[s * design.steps() + step];
            *value /= scale[s];
            if layouts[layout].missing.contains(&(step as u32)) {
                *value = f64::NAN;
            }
        }
    }
    take_fitted(design, layouts, layout_of, about, &mut left);
    (row_moments(design.steps(), &left), masked_cross(design, layouts, layout_of, &left))
}
