//! The orders' conditional least squares on eight series side by side, and the exact likelihood where the best end.

use super::super::arima::{Counted, Filters, HALF, Half};
use super::descent::Descent;
use super::exact::{Each, sums};
use super::regression::Products;
use super::transform::{Place, Region};
use crate::ArmaOrder;
use crate::arima_fit::limits::descent::{BEGIN, COMPETING};
use crate::arima_fit::{ArimaCandidate, ArimaSeries, Ladder, aicc, log_likelihood};

/// Series of one task, and eight lanes that their sums are worked on in.
struct Group {
    /// Each series behind the steps that are thought of before its first one.
    packed: Vec<Vec<f64>>,
    filters: Filters,
    before: usize,
    lengths: Vec<usize>,
    means: Vec<f64>,
    may_have_constant: Vec<bool>,
    differenced: Vec<bool>,
    /// Which steps count; `None` where all do.
    counted: Option<Counted>,
    /// What regressions on the past are made of, eight series each.
    products: Vec<Products>,
}

impl Group {
    fn pack(series: &[ArimaSeries<'_>], ladder: &Ladder) -> Self {
        let reach = |of: fn(ArmaOrder) -> usize| ladder.orders.iter().map(|order| of(*order)).max().unwrap_or(0);
        let (before, pad) = (reach(ArmaOrder::ar_reach), reach(ArmaOrder::longest_lag));
        let (mut packed, mut means, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for series in series {
            let mut own = series.differenced();
            let mean = if series.may_have_constant() { own.iter().sum::<f64>() / own.len().max(1) as f64 } else { 0.0 };
            own.iter_mut().for_each(|value| *value -= mean);
            let season = series.season.min(own.len()).max(1);
            // What is differenced is about noise, of which a repeated season would be a wrong memory.
            let repeats = series.lost_steps() == 0;
            let earlier = |ago: usize| {
                if repeats { (season - ago % season) % season } else { usize::MAX }
            };
            let thought = (1..=before).rev().map(|ago| own.get(earlier(ago)).copied().unwrap_or(0.0));
            packed.push(thought.chain(own.iter().copied()).collect());
            means.push(mean);
            lengths.push(own.len());
        }
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let counted = lengths
            .iter()
            .any(|len| *len < longest)
            .then(|| Counted { weights: vec![[0.0; HALF]; before + longest], ends: [before; HALF] });
        let may_have_constant = series.iter().map(ArimaSeries::may_have_constant).collect();
        let differenced = series.iter().map(|series| series.lost_steps() > 0).collect();
        let filters = Filters::new(pad, before + longest);
        let mut group = Self {
            packed,
            filters,
            before,
            lengths,
            means,
            may_have_constant,
            differenced,
            counted,
            products: Vec::new(),
        };
        group.products = group.regressions(ladder);
        group
    }

    fn regressions(&mut self, ladder: &Ladder) -> Vec<Products> {
        let reach = ladder.orders.iter().map(|order| order.longest_lag()).max().unwrap_or(0);
        let season = ladder.orders.iter().map(|order| order.season).max().unwrap_or(1);
        let all: Vec<usize> = (0..self.lengths.len()).collect();
        let regress = |some: &[usize]| {
            let lengths = self.load_all(some);
            Products::new(&self.filters.y()[self.before..], &lengths, reach, season)
        };
        all.chunks(HALF).map(regress).collect()
    }

    /// Puts a series into a lane.
    fn load(&mut self, lane: usize, series: usize) {
        let own = &self.packed[series];
        let rest = std::iter::repeat(&0.0);
        self.filters.y_mut().iter_mut().zip(own.iter().chain(rest)).for_each(|(row, value)| row[lane] = *value);
        if let Some(counted) = &mut self.counted {
            let counts = |t: usize| if t < own.len() { 1.0 } else { 0.0 };
            counted.weights.iter_mut().enumerate().for_each(|(t, row)| row[lane] = counts(t));
            counted.ends[lane] = own.len();
        }
    }

    /// Puts up to eight series into the lanes, the last one into those left; their lengths.
    fn load_all(&mut self, series: &[usize]) -> [usize; HALF] {
        let of: [usize; HALF] = std::array::from_fn(|lane| series[lane.min(series.len() - 1)]);
        (0..HALF).for_each(|lane| self.load(lane, of[lane]));
        of.map(|series| self.lengths[series])
    }

    /// Akaike's corrected criterion of a sum of squares.
    fn criterion(&self, series: usize, order: ArmaOrder, sse: f64) -> f64 {
        let n = self.lengths[series] as f64;
        aicc(log_likelihood(n, sse, 0.0), n, order.coefficients() + 1)
    }
}

/// Where a way down ended.
struct End {
    free: Vec<f64>,
    sse: f64,
    /// Akaike's corrected criterion of the sum.
    criterion: f64,
}

impl End {
    fn candidate(&self, region: Region, constant: bool, aicc: f64) -> ArimaCandidate {
        // Where a number is at its bound nothing moves, downhill or not.
        let free = self.free.iter().map(|free| free.clamp(-BEGIN, BEGIN)).collect();
        ArimaCandidate { order: region.order, margin: region.margin, constant, aicc, free }
    }
}

/// The best models of some series, their roots held a margin from the unit circle.
pub(super) fn screen(
    series: &[ArimaSeries<'_>],
    ladder: &Ladder,
    margin: f64,
    keep: usize,
) -> Vec<Vec<ArimaCandidate>> {
    let mut group = Group::pack(series, ladder);
    let mut ends: Vec<Vec<End>> = Vec::with_capacity(ladder.orders.len());
    for (order, parents) in ladder.orders.iter().zip(&ladder.parents) {
        let region = Region { order: *order, margin };
        let of = |s: usize| group.ways(region, ladder.thorough, &ends, parents, s).into_iter().map(move |way| (s, way));
        let ways: Vec<(usize, Descent)> = (0..series.len()).flat_map(of).collect();
        let mut found: Vec<Option<End>> = series.iter().map(|_| None).collect();
        for (s, Descent { free, sse, .. }) in descend(&mut group, region, ways) {
            if found[s].as_ref().is_none_or(|found| sse < found.sse) {
                found[s] = Some(End { free, sse, criterion: group.criterion(s, *order, sse) });
            }
        }
        ends.push(found.into_iter().map(|end| end.expect("every series has a way to every order")).collect());
    }
    let best = |s: usize| ends.iter().map(|ends| ends[s].criterion).fold(f64::INFINITY, f64::min);
    let enough: Vec<f64> = (0..series.len()).map(|s| best(s) + COMPETING).collect();
    let mut found: Vec<Vec<ArimaCandidate>> = vec![Vec::new(); series.len()];
    for (order, ends) in ladder.orders.iter().zip(&ends) {
        let region = Region { order: *order, margin };
        let (near, far): (Vec<_>, Vec<_>) =
            ends.iter().enumerate().partition(|(s, end)| ladder.thorough || end.criterion <= enough[*s]);
        near.chunks(HALF).for_each(|some| score(&mut group, region, some, &mut found));
        for (s, end) in far.into_iter().filter(|(_, end)| end.criterion.is_finite()) {
            found[s].push(end.candidate(region, group.may_have_constant[s], end.criterion));
        }
    }
    for candidates in &mut found {
        candidates.sort_by(|a, b| a.aicc.total_cmp(&b.aicc));
        candidates.truncate(keep);
    }
    found
}

impl Group {
    /// The ways down to one order of one series: from the better of the best smaller order and a regression, or from each
    /// smaller order and the regression down to their ends.
    fn ways(
        &self,
        region: Region,
        thorough: bool,
        ends: &[Vec<End>],
        parents: &[(usize, usize)],
        series: usize,
    ) -> Vec<Descent> {
        let order = region.order;
        let regressed = self.products[series / HALF].start(region, series % HALF);
        if order.ma + order.seasonal_ma == 0 || order.coefficients() < 2 {
            return vec![Descent::from(vec![begin(ends, parents, series)])];
        }
        if thorough {
            let from_smaller = parents.iter().map(|parent| begin(ends, &[*parent], series));
            return from_smaller.chain([regressed]).map(|start| Descent::from(vec![start])).collect();
        }
        vec![Descent::from(vec![regressed, begin(ends, parents, series)])]
    }
}

/// Where the best of the smaller orders ended, with nothing for the new coefficient.
fn begin(ends: &[Vec<End>], parents: &[(usize, usize)], series: usize) -> Vec<f64> {
    let best = parents.iter().min_by(|a, b| ends[a.0][series].sse.total_cmp(&ends[b.0][series].sse));
    let Some(&(parent, at)) = best else { return Vec::new() };
    let mut free = ends[parent][series].free.clone();
    free.insert(at, 0.0);
    free
}

/// Goes down every way, each with the series that it is of; a lane whose way has ended takes the next one.
fn descend(group: &mut Group, region: Region, ways: Vec<(usize, Descent)>) -> Vec<(usize, Descent)> {
    let count = region.order.coefficients();
    let mut waiting = ways.into_iter();
    let mut lanes: [Option<(usize, Descent)>; HALF] = [const { None }; HALF];
    let mut trials = vec![vec![0.0; count]; HALF];
    let mut places: Vec<Place> = trials.iter().map(|free| region.place(free)).collect();
    let mut ended = Vec::new();
    loop {
        for lane in 0..HALF {
            if lanes[lane].is_none() {
                lanes[lane] = waiting.next();
                lanes[lane].iter().for_each(|(series, _)| group.load(lane, *series));
            }
            if let Some((_, descent)) = &mut lanes[lane] {
                trials[lane] = descent.trial();
                places[lane] = region.place(&trials[lane]);
            }
        }
        if lanes.iter().all(Option::is_none) {
            return ended;
        }
        let moments = group.filters.evaluate(region.order, &rows_of(&places), group.before, group.counted.as_ref());
        for lane in 0..HALF {
            let Some((series, mut descent)) = lanes[lane].take() else {
                continue;
            };
            let gradient = moments.gradient.iter().map(|row| row[lane]).collect();
            let products = moments.products.iter().map(|row| row[lane]).collect();
            descent.receive(std::mem::take(&mut trials[lane]), &places[lane], moments.sse[lane], gradient, products);
            if descent.open {
                lanes[lane] = Some((series, descent));
            } else {
                ended.push((series, descent));
            }
        }
    }
}

/// Coefficients of each lane, a row a coefficient.
fn rows_of(places: &[Place]) -> Vec<Half> {
    let of = |lane: usize| &places[lane.min(places.len() - 1)].coefficients;
    (0..places[0].coefficients.len()).map(|i| std::array::from_fn(|lane| of(lane)[i])).collect()
}

/// The exact likelihood where up to eight series ended, with and without a constant.
fn score(group: &mut Group, region: Region, ends: &[(usize, &End)], found: &mut [Vec<ArimaCandidate>]) {
    let order = region.order;
    let places: Vec<Place> = ends.iter().map(|(_, end)| region.place(&end.free)).collect();
    let of: Vec<usize> = ends.iter().map(|(series, _)| *series).collect();
    let lengths = group.load_all(&of);
    let source = Each { rows: &group.filters.y()[group.before..], lengths };
    let ones = of.iter().any(|&series| group.may_have_constant[series]);
    let sums = sums(&source, order, &rows_of(&places), ones, None);
    for (lane, (series, end)) in ends.iter().enumerate() {
        let (n, mean) = (lengths[lane] as f64, group.means[*series]);
        let mut add = |constant: bool, squares: f64| {
            let parameters = order.coefficients() + 1 + usize::from(constant);
            let aicc = aicc(log_likelihood(n, squares, sums.logs[lane]), n, parameters);
            if aicc.is_finite() {
                found[*series].push(end.candidate(region, constant, aicc));
            }
        };
        if group.may_have_constant[*series] {
            let (cross, ones) = (sums.cross[lane], sums.ones[lane]);
            add(true, sums.squares[lane] - cross * cross / ones);
            if group.differenced[*series] {
                add(false, sums.squares[lane] + mean * (2.0 * cross + mean * ones));
            }
        } else {
            add(false, sums.squares[lane]);
        }
    }
}
