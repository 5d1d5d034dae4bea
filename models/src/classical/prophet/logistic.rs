//! What an S-curve needs: its bounds, its values and where a search for it starts.

use super::inputs::Known;

/// Capacity and floor of a series at a time; the name of the one that cannot be used.
pub(super) fn bounds(
    capacity: &Known,
    floor: Option<&Known>,
    series: &str,
    at_ms: i64,
) -> Result<(f64, f64), &'static str> {
    let floor = match floor {
        Some(floor) => floor.at(series, at_ms).ok_or("floor")?,
        None => 0.0,
    };
    match capacity.at(series, at_ms) {
        Some(capacity) if capacity > floor => Ok((capacity, floor)),
        _ => Err("capacity"),
    }
}

/// How much of the capacity a line comes to.
pub(super) fn share(line: f64) -> f64 {
    if line >= 0.0 {
        1.0 / (1.0 + (-line).exp())
    } else {
        let small = line.exp();
        small / (1.0 + small)
    }
}

/// `m` and `k` of the curve through two `(value, capacity)` a span apart (`logistic_growth_init`), and of one that
/// starts half-way up and rises by as much.
pub(super) fn starts(ends: [(f64, f64); 2], span: f64) -> Vec<(f64, f64)> {
    let [mut first, last] = ends.map(|(y, capacity)| capacity / y.clamp(0.01 * capacity, 0.99 * capacity));
    if (first - last).abs() <= 0.01 {
        first *= 1.05;
    }
    let (from, to) = ((first - 1.0).ln(), (last - 1.0).ln());
    let prophets = (from * span / (from - to), (from - to) / span);
    vec![prophets, (0.5 * span, 1.0f64.copysign(from - to) / span)]
}
