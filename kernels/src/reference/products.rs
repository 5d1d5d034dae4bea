//! Cross-products by their definition: every column of every step, hinges included.

use crate::products::{Design, Layout};

fn row(design: &Design, knots: &[u32], step: usize) -> Vec<f64> {
    let now = design.time()[step];
    let hinges = knots.iter().map(|&knot| (now - design.time()[knot as usize]).max(0.0));
    (0..design.columns()).map(|column| design.value(step, column)).chain(hinges).collect()
}

/// See [`crate::products::masked_gram`].
pub fn masked_gram(design: &Design, layouts: &[Layout]) -> Vec<f64> {
    let mut grams = Vec::new();
    for layout in layouts {
        let order = design.columns() + layout.knots.len();
        let mut gram = vec![0.0; order * order];
        for step in (0..design.steps()).filter(|&step| !layout.missing.contains(&(step as u32))) {
            let x = row(design, &layout.knots, step);
            for i in 0..order {
                for j in 0..order {
                    gram[i * order + j] += x[i] * x[j];
                }
            }
        }
        grams.extend(gram);
    }
    grams
}

/// See [`crate::products::masked_cross`].
pub fn masked_cross(design: &Design, layouts: &[Layout], layout_of: &[usize], y: &[f64]) -> Vec<f64> {
    let mut products = Vec::new();
    for (s, &layout) in layout_of.iter().enumerate() {
        let layout = &layouts[layout];
        let mut sums = vec![0.0; design.columns() + layout.knots.len()];
        for step in (0..design.steps()).filter(|&step| !layout.missing.contains(&(step as u32))) {
            let value = y[s * design.steps() + step];
            if !value.is_nan() {
                for (sum, x) in sums.iter_mut().zip(row(design, &layout.knots, step)) {
                    *sum += x * value;
                }
            }
        }
        products.extend(sums);
    }
    products
}

/// See [`crate::products::take_fitted`].
pub fn take_fitted(design: &Design, layouts: &[Layout], layout_of: &[usize], x: &[f64], y: &mut [f64]) {
    let order = x.len() / layout_of.len().max(1);
    for (s, &layout) in layout_of.iter().enumerate() {
        for step in 0..design.steps() {
            let terms = row(design, &layouts[layout].knots, step);
            let fitted: f64 = terms.iter().zip(&x[s * order..]).map(|(x, factor)| x * factor).sum();
            y[s * design.steps() + step] -= fitted;
        }
    }
}
