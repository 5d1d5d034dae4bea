//! The orders of a screen, smaller ones first.

use crate::ArmaOrder;

/// The orders to screen, each after those one coefficient smaller that it may start from.
pub(crate) struct Ladder {
    pub(crate) orders: Vec<ArmaOrder>,
    /// Index of each smaller order, and where in the coefficients its missing one stands.
    pub(crate) parents: Vec<Vec<(usize, usize)>>,
    /// Whether one order alone is asked for, which is then looked for in every valley.
    pub(crate) thorough: bool,
}

impl Ladder {
    /// All orders asked for, and for each a way up from none.
    pub(crate) fn new(asked: &[ArmaOrder]) -> Self {
        let mut orders: Vec<ArmaOrder> = asked.to_vec();
        let thorough = asked.len() == 1;
        let mut next = 0;
        while next < orders.len() {
            let mut missing: Vec<ArmaOrder> = smaller(orders[next]).into_iter().map(|(parent, _)| parent).collect();
            if !thorough && missing.iter().any(|parent| orders.contains(parent)) {
                missing.clear();
            } else if !thorough {
                missing.drain(..missing.len().saturating_sub(1));
            }
            missing.retain(|parent| !orders.contains(parent));
            orders.extend(missing);
            next += 1;
        }
        orders.sort_by_key(|order| (order.coefficients(), *order));
        orders.dedup();
        let index = |order: &ArmaOrder| orders.iter().position(|other| other == order);
        let parents = orders
            .iter()
            .map(|order| smaller(*order).iter().filter_map(|(p, at)| Some((index(p)?, *at))).collect())
            .collect();
        Self { orders, parents, thorough }
    }
}

/// The orders one coefficient smaller, each with the place of the coefficient that it lacks.
fn smaller(order: ArmaOrder) -> Vec<(ArmaOrder, usize)> {
    let [ar, seasonal_ar, ma, seasonal_ma] = order.blocks();
    let ends = [ar, ar + seasonal_ar, ar + seasonal_ar + ma, order.coefficients()];
    let less = [
        (ar > 0).then(|| ArmaOrder { ar: ar - 1, ..order }),
        (seasonal_ar > 0).then(|| ArmaOrder { seasonal_ar: seasonal_ar - 1, ..order }),
        (ma > 0).then(|| ArmaOrder { ma: ma - 1, ..order }),
        (seasonal_ma > 0).then(|| ArmaOrder { seasonal_ma: seasonal_ma - 1, ..order }),
    ];
    less.into_iter().zip(ends).filter_map(|(order, end)| Some((order?, end - 1))).collect()
}
