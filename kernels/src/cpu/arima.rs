//! ARMA residuals and their gradient, eight series side by side in `f64`.

mod filters;

use rayon::prelude::*;

pub(super) use self::filters::{Counted, Filters, HALF, Half};
use crate::{ArmaGradient, ArmaOrder, LANES, Lanes};

/// See [`crate::arma_gradient`].
pub(crate) fn arma_gradient(y: &Lanes, order: ArmaOrder, coefficients: &[f64], skip: usize) -> ArmaGradient {
    let (series, count) = (y.series(), order.coefficients());
    let halves: Vec<_> = (0..y.groups() * (LANES / HALF))
        .into_par_iter()
        .map(|half| {
            let (group, from) = (half / (LANES / HALF), half % (LANES / HALF) * HALF);
            let mut filters = Filters::new(order.longest_lag(), y.steps());
            for (to, row) in filters.y_mut().iter_mut().zip(y.group(group)) {
                *to = std::array::from_fn(|lane| f64::from(row[from + lane]));
            }
            let of = |lane: usize| (half * HALF + lane).min(series - 1);
            let rows: Vec<Half> =
                (0..count).map(|i| std::array::from_fn(|lane| coefficients[of(lane) * count + i])).collect();
            filters.evaluate(order, &rows, skip, None)
        })
        .collect();
    let mut gradient = ArmaGradient { sse: Vec::with_capacity(series), coefficients: Vec::new() };
    for s in 0..series {
        let (moments, lane) = (&halves[s / HALF], s % HALF);
        gradient.sse.push(moments.sse[lane]);
        gradient.coefficients.extend((0..count).map(|i| 2.0 * moments.gradient[i][lane]));
    }
    gradient
}
