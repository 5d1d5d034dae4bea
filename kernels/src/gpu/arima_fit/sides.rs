//! Both sides of every model multiplied out, a unit a model.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::Group;

/// Writes the group's two sides from a row of each coefficient.
pub(super) fn multiply_out<R: Runtime, F: Float + CubeElement>(group: &Group<'_, R>, coefficients: &Handle) {
    let (gpu, order, width) = (group.gpu, group.model.order, group.model.width);
    let Some((cubes, dim)) = gpu.one_unit_per_any(group.series()) else { return };
    // SAFETY: there is a row a coefficient, and both sides reach as far as the state has elements; units past the last
    // series stop.
    unsafe {
        sides::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            group.rows(coefficients, order.coefficients()),
            group.rows(&group.ar, width),
            group.rows(&group.ma, width),
            group.series() as u32,
            width as u32,
            order.ar as u32,
            order.seasonal_ar as u32,
            order.ma as u32,
            order.seasonal_ma as u32,
            order.season as u32,
        );
    }
}

#[cube(launch_unchecked)]
fn sides<F: Float>(
    coefficients: &Array<F>,
    ar_side: &mut Array<F>,
    ma_side: &mut Array<F>,
    series: u32,
    width: u32,
    ar: u32,
    seasonal_ar: u32,
    ma: u32,
    seasonal_ma: u32,
    season: u32,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let zero = F::new(0.0f32);
        for i in 0..width {
            ar_side[(i * series + s) as usize] = zero;
            ma_side[(i * series + s) as usize] = zero;
        }
        ma_side[s as usize] = F::new(1.0f32);
        let minus = F::new(-1.0f32);
        product::<F>(coefficients, ar_side, minus, 0u32, ar, seasonal_ar, 0u32, season, series, s);
        let from = ar + seasonal_ar;
        product::<F>(coefficients, ma_side, F::new(1.0f32), from, ma, seasonal_ma, 1u32, season, series, s);
    }
}

/// `sign · ((1 + sign·a₁B + …)(1 + sign·b₁Bᵐ + …) - 1)`, its lag 1 in row `row`.
#[cube]
fn product<F: Float>(
    coefficients: &Array<F>,
    side: &mut Array<F>,
    sign: F,
    from: u32,
    steps: u32,
    seasons: u32,
    row: u32,
    season: u32,
    series: u32,
    s: u32,
) {
    for i in 0..steps {
        side[((row + i) * series + s) as usize] = coefficients[((from + i) * series + s) as usize];
    }
    for j in 0..seasons {
        let lag = row + (j + 1) * season;
        let b = coefficients[((from + steps + j) * series + s) as usize];
        side[((lag - 1) * series + s) as usize] += b;
        for i in 0..steps {
            let a = coefficients[((from + i) * series + s) as usize];
            side[((lag + i) * series + s) as usize] += sign * a * b;
        }
    }
}
