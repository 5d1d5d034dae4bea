//! Every order's conditional least squares on eight series side by side, and the exact likelihood where it ends.

use super::super::arima::{Counted, Filters, HALF, Half};
use super::exact::{Each, sums};
use super::regression::Products;
use super::solve::spd_solve;
use super::transform;
use crate::ArmaOrder;
use crate::arima_fit::{ArimaCandidate, ArimaSeries, aicc, log_likelihood};

/// Evaluations of one order's sum of squares at most; a search that ends there is near enough to be ranked.
const MAX_TRIALS: usize = 16;
/// Share of the sum of squares that a step must still promise.
const SETTLED: f64 = 1e-5;
/// The longest move of a free number in one step.
const LONGEST: f64 = 1.5;
/// Free numbers that an exact search begins within: partial autocorrelations of 0.995.
const INSIDE: f64 = 3.0;

/// The orders to screen, each after those one coefficient smaller that it may start from.
pub(super) struct Ladder {
    orders: Vec<ArmaOrder>,
    /// Index of each smaller order, and where in the coefficients its missing one stands.
    parents: Vec<Vec<(usize, usize)>>,
    /// Whether one order alone is asked for, which is then looked for in every valley.
    thorough: bool,
}

impl Ladder {
    /// All orders asked for, and for each a way up from none.
    pub(super) fn new(asked: &[ArmaOrder]) -> Self {
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

/// Eight series, packed.
struct Group {
    filters: Filters,
    /// Steps that are thought of before the first one.
    before: usize,
    lengths: [usize; HALF],
    means: Half,
    may_have_constant: [bool; HALF],
    /// Which steps count; `None` where all do.
    counted: Option<Counted>,
}

impl Group {
    fn pack(series: &[ArimaSeries<'_>], ladder: &Ladder) -> Self {
        let lane_of = |lane: usize| lane.min(series.len() - 1);
        let data: Vec<Vec<f64>> = series.iter().map(ArimaSeries::differenced).collect();
        let means: Vec<f64> = series
            .iter()
            .zip(&data)
            .map(|(s, w)| if s.may_have_constant() { w.iter().sum::<f64>() / w.len().max(1) as f64 } else { 0.0 })
            .collect();
        let longest = data.iter().map(Vec::len).max().unwrap_or(0);
        let reach = |of: fn(ArmaOrder) -> usize| ladder.orders.iter().map(|order| of(*order)).max().unwrap_or(0);
        let (before, pad) = (reach(ArmaOrder::ar_reach), reach(ArmaOrder::longest_lag));
        let mut filters = Filters::new(pad, before + longest);
        for lane in 0..HALF {
            let (own, mean) = (&data[lane_of(lane)], means[lane_of(lane)]);
            let season = series[lane_of(lane)].season.min(own.len()).max(1);
            // What is differenced is about noise, of which a repeated season would be a wrong memory.
            let repeats = series[lane_of(lane)].lost_steps() == 0;
            for (t, row) in filters.y_mut().iter_mut().enumerate() {
                let step = match t.checked_sub(before) {
                    Some(step) => step,
                    None if repeats => (season - (before - t) % season) % season,
                    None => usize::MAX,
                };
                row[lane] = own.get(step).map_or(0.0, |value| value - mean);
            }
        }
        let lengths: [usize; HALF] = std::array::from_fn(|lane| data[lane_of(lane)].len());
        let counted = lengths.iter().any(|len| *len < longest).then(|| {
            let ends = lengths.map(|len| before + len);
            let weight = |t: usize, lane: usize| if t < ends[lane] { 1.0 } else { 0.0 };
            let weights = (0..before + longest).map(|t| std::array::from_fn(|lane| weight(t, lane))).collect();
            Counted { weights, ends }
        });
        Self {
            filters,
            before,
            lengths,
            means: std::array::from_fn(|lane| means[lane_of(lane)]),
            may_have_constant: std::array::from_fn(|lane| series[lane_of(lane)].may_have_constant()),
            counted,
        }
    }
}

impl Group {
    /// What regressions on the past are made of.
    fn products(&self, ladder: &Ladder) -> Products {
        let reach = ladder.orders.iter().map(|order| order.longest_lag()).max().unwrap_or(0);
        let season = ladder.orders.iter().map(|order| order.season).max().unwrap_or(1);
        Products::new(&self.filters.y()[self.before..], &self.lengths, reach, season)
    }
}

/// One lane's way down the sum of squares of one order.
#[derive(Clone)]
struct Descent {
    free: Vec<f64>,
    sse: f64,
    gradient: Vec<f64>,
    products: Vec<f64>,
    damping: f64,
    open: bool,
}

impl Descent {
    fn from(free: Vec<f64>) -> Self {
        Self { free, sse: f64::INFINITY, gradient: Vec::new(), products: Vec::new(), damping: 1e-3, open: true }
    }

    /// Sets off from the better start.
    fn begin(&mut self) {
        (self.damping, self.open) = (1e-3, self.sse.is_finite());
    }

    /// The next place to look at.
    fn trial(&self) -> Vec<f64> {
        if self.gradient.is_empty() || !self.open {
            return self.free.clone();
        }
        let step = self.step();
        let to = |(free, step): (&f64, &f64)| {
            (free + step.clamp(-LONGEST, LONGEST)).clamp(-transform::FARTHEST, transform::FARTHEST)
        };
        self.free.iter().zip(&step).map(to).collect()
    }

    fn step(&self) -> Vec<f64> {
        let count = self.free.len();
        let mut matrix = self.products.clone();
        for i in 0..count {
            matrix[i * count + i] = matrix[i * count + i] * (1.0 + self.damping) + 1e-9 * self.sse;
        }
        let downhill: Vec<f64> = self.gradient.iter().map(|g| -g).collect();
        spd_solve(&mut matrix, &downhill).unwrap_or_else(|| vec![0.0; count])
    }

    /// Takes what was found at the trial.
    fn receive(&mut self, order: ArmaOrder, trial: Vec<f64>, sse: f64, mut gradient: Vec<f64>, mut products: Vec<f64>) {
        if sse < self.sse {
            let gained = self.sse - sse;
            transform::pull_back(order, &trial, &mut gradient, &mut products);
            self.damping = (self.damping * 0.2).max(1e-6);
            self.open = gained > SETTLED * sse;
            (self.free, self.sse, self.gradient, self.products) = (trial, sse, gradient, products);
            if self.open {
                let promised: f64 = self.gradient.iter().zip(self.step()).map(|(g, s)| -g * s).sum();
                self.open = promised > SETTLED * sse;
            }
        } else {
            self.damping *= 10.0;
            self.open = self.damping < 1e2 && sse.is_finite();
        }
    }
}

/// The best models of up to eight series, of those whose roots keep a margin from the unit circle.
pub(super) fn screen(
    series: &[ArimaSeries<'_>],
    ladder: &Ladder,
    margin: f64,
    keep: usize,
) -> Vec<Vec<ArimaCandidate>> {
    let mut group = Group::pack(series, ladder);
    let products = group.products(ladder);
    let mut ends: Vec<Vec<Descent>> = Vec::with_capacity(ladder.orders.len());
    for (order, parents) in ladder.orders.iter().zip(&ladder.parents) {
        let regressed = (0..HALF).map(|lane| products.start(*order, lane)).collect();
        let mixed = order.ma + order.seasonal_ma > 0 && order.coefficients() > 1;
        let end = if ladder.thorough && mixed {
            // Every way in is gone down to its end.
            let ways = (0..parents.len()).map(|i| (0..HALF).map(|lane| begin(&ends, &parents[i..=i], lane)).collect());
            let all = ways.chain([regressed]).map(|starts| descend(&mut group, *order, &[starts]));
            all.reduce(|a, b| a.into_iter().zip(b).map(|(a, b)| if b.sse < a.sse { b } else { a }).collect())
        } else {
            let from_smaller = (0..HALF).map(|lane| begin(&ends, parents, lane)).collect();
            let starts = if mixed { vec![from_smaller, regressed] } else { vec![from_smaller] };
            Some(descend(&mut group, *order, &starts))
        };
        ends.push(end.expect("the regression is a way in"));
    }
    let mut found: Vec<Vec<ArimaCandidate>> = vec![Vec::new(); series.len()];
    for (order, ends) in ladder.orders.iter().zip(&ends) {
        score(&group, *order, ends, margin, &mut found);
    }
    for candidates in &mut found {
        candidates.sort_by(|a, b| a.aicc.total_cmp(&b.aicc));
        candidates.truncate(keep);
    }
    found
}

/// Where the best of the smaller orders ended, with nothing for the new coefficient.
fn begin(ends: &[Vec<Descent>], parents: &[(usize, usize)], lane: usize) -> Vec<f64> {
    let best = parents.iter().min_by(|a, b| ends[a.0][lane].sse.total_cmp(&ends[b.0][lane].sse));
    let Some(&(parent, at)) = best else { return Vec::new() };
    let mut free = ends[parent][lane].free.clone();
    free.insert(at, 0.0);
    free
}

/// Goes down from the better start of each lane.
fn descend(group: &mut Group, order: ArmaOrder, starts: &[Vec<Vec<f64>>]) -> Vec<Descent> {
    let count = order.coefficients();
    let mut lanes: Vec<Descent> = starts[0].iter().cloned().map(Descent::from).collect();
    for round in 0..MAX_TRIALS {
        let trials: Vec<Vec<f64>> = match starts.get(round) {
            Some(starts) => starts.clone(),
            None => lanes.iter().map(Descent::trial).collect(),
        };
        let rows = rows_of(order, &trials);
        let moments = group.filters.evaluate(order, &rows, group.before, group.counted.as_ref());
        for (lane, (descent, trial)) in lanes.iter_mut().zip(trials).enumerate() {
            // Every start is looked at before a lane may close.
            if descent.open || round < starts.len() {
                let gradient = moments.gradient.iter().map(|row| row[lane]).collect();
                let products = moments.products.iter().map(|row| row[lane]).collect();
                descent.receive(order, trial, moments.sse[lane], gradient, products);
            }
        }
        if round + 1 < starts.len() {
            continue;
        }
        if round + 1 == starts.len() {
            lanes.iter_mut().for_each(Descent::begin);
        }
        if count == 0 || lanes.iter().all(|descent| !descent.open) {
            break;
        }
    }
    lanes
}

/// Coefficients at each lane's free numbers, a row a coefficient.
fn rows_of(order: ArmaOrder, free: &[Vec<f64>]) -> Vec<Half> {
    let own: Vec<Vec<f64>> = free.iter().map(|free| transform::coefficients(order, free)).collect();
    (0..order.coefficients()).map(|i| std::array::from_fn(|lane| own[lane][i])).collect()
}

/// The exact likelihood of each lane's end, with and without a constant.
fn score(group: &Group, order: ArmaOrder, ends: &[Descent], margin: f64, found: &mut [Vec<ArimaCandidate>]) {
    let free: Vec<Vec<f64>> = ends.iter().map(|end| end.free.clone()).collect();
    let source = Each { rows: &group.filters.y()[group.before..], lengths: group.lengths };
    let ones = group.may_have_constant.contains(&true);
    let sums = sums(&source, order, &rows_of(order, &free), ones, None);
    for (lane, candidates) in found.iter_mut().enumerate() {
        let (n, mean) = (group.lengths[lane] as f64, group.means[lane]);
        let own = transform::coefficients(order, &free[lane]);
        if !order.is_clear_of_unit_circle(&own, margin) {
            continue;
        }
        let mut add = |constant: bool, squares: f64| {
            let parameters = order.coefficients() + 1 + usize::from(constant);
            let aicc = aicc(log_likelihood(n, squares, sums.logs[lane]), n, parameters);
            if aicc.is_finite() {
                // Where a number is at its bound nothing moves, downhill or not.
                let free = free[lane].iter().map(|free| free.clamp(-INSIDE, INSIDE)).collect();
                candidates.push(ArimaCandidate { order, constant, aicc, free });
            }
        };
        if group.may_have_constant[lane] {
            let (cross, ones) = (sums.cross[lane], sums.ones[lane]);
            add(true, sums.squares[lane] - cross * cross / ones);
            add(false, sums.squares[lane] + mean * (2.0 * cross + mean * ones));
        } else {
            add(false, sums.squares[lane]);
        }
    }
}
