//! The covariance of every model's stationary state by doubling, one unit a cell.
//!
//! It is a sum of squares, `Σ TᵏR(TᵏR)'`, so nothing cancels where roots of the two sides nearly do. The state's form:
//! Gardner, Harvey and Phillips, AS 154, Applied Statistics 29(3), 1980; the doubling: Anderson and Moore, *Optimal
//! Filtering*, 1979, 6.7.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::Group;

/// Doublings: 1.00001, the smallest root, raised to two to this has no bound left.
pub(super) const DOUBLINGS: usize = 22;

/// `[width, width]` rows, in units of the noise's variance.
pub(super) fn covariance<R: Runtime, F: Float + CubeElement>(group: &Group<'_, R>) -> Handle {
    let (gpu, width) = (group.gpu, group.model.width);
    let square = || gpu.empty_floats(width * width * group.series());
    let (mut power, mut next, sum, half) = (square(), square(), square(), square());
    let Some((cubes, dim)) = gpu.one_unit_per_any(width * width * group.series()) else { return sum };
    // SAFETY: both sides have `width` rows, the squares `width * width`; units past the last cell stop.
    unsafe {
        spread::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            group.rows(&group.ar, width),
            group.rows(&group.ma, width),
            group.rows(&power, width * width),
            group.rows(&sum, width * width),
            group.series() as u32,
            width as u32,
        );
    }
    for _ in 0..DOUBLINGS {
        launch_product::<R, F>(group, &power, &sum, &half, false);
        launch_product::<R, F>(group, &half, &power, &sum, true);
        launch_product::<R, F>(group, &power, &power, &next, false);
        std::mem::swap(&mut power, &mut next);
    }
    sum
}

/// `to = left right`, or `to = to + left right'`.
fn launch_product<R: Runtime, F: Float + CubeElement>(
    group: &Group<'_, R>,
    left: &Handle,
    right: &Handle,
    to: &Handle,
    adds_turned: bool,
) {
    let (gpu, width) = (group.gpu, group.model.width);
    let Some((cubes, dim)) = gpu.one_unit_per_any(width * width * group.series()) else { return };
    // SAFETY: every square has `width * width` rows and `to` is neither factor; units past the last cell stop.
    unsafe {
        product::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            group.rows(left, width * width),
            group.rows(right, width * width),
            group.rows(to, width * width),
            group.series() as u32,
            width as u32,
            adds_turned,
        );
    }
}

/// The transition, and the noise's own share of the covariance.
#[cube(launch_unchecked)]
fn spread<F: Float>(ar: &Array<F>, ma: &Array<F>, power: &mut Array<F>, sum: &mut Array<F>, series: u32, width: u32) {
    let at = ABSOLUTE_POS as u32;
    if at < width * width * series {
        let s = at % series;
        let i = at / series / width;
        let j = at / series % width;
        let mut cell = F::new(0.0f32);
        if j == 0u32 {
            cell += ar[(i * series + s) as usize];
        }
        if j == i + 1 {
            cell += F::new(1.0f32);
        }
        power[at as usize] = cell;
        sum[at as usize] = ma[(i * series + s) as usize] * ma[(j * series + s) as usize];
    }
}

#[cube(launch_unchecked)]
fn product<F: Float>(
    left: &Array<F>,
    right: &Array<F>,
    to: &mut Array<F>,
    series: u32,
    width: u32,
    #[comptime] adds_turned: bool,
) {
    let at = ABSOLUTE_POS as u32;
    if at < width * width * series {
        let s = at % series;
        let i = at / series / width;
        let j = at / series % width;
        let mut cell = F::new(0.0f32);
        if adds_turned {
            cell += to[at as usize];
        }
        for k in 0..width {
            let a = left[((i * width + k) * series + s) as usize];
            if adds_turned {
                cell += a * right[((j * width + k) * series + s) as usize];
            } else {
                cell += a * right[((k * width + j) * series + s) as usize];
            }
        }
        to[at as usize] = cell;
    }
}
