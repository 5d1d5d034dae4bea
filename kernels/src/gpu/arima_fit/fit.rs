//! The search for the exact likelihood's top on a device: starts of one order together, as many rounds for all of them.

use cubecl::prelude::*;
use cubecl::server::Handle;
use rayon::prelude::*;

use super::criterion::{counted, logs, profiled};
use super::curvature::Innovations;
use super::pack::Packed;
use super::place::Blocks;
use super::prepare::Columns;
use super::search::{CONVERGED, EVALUATIONS, FLAG_ROWS, FREE, PROMISED, Search, search_rows, variants};
use super::short::Short;
use super::{CROSS, FIRST, GAPPED, Group, Model, ONES, SUM_ROWS, TOTAL, columns, largest};
use crate::arima_fit::limits::search::SEARCHED;
use crate::arima_fit::{ArimaCandidate, ArimaEffort, ArimaFit, ArimaLikelihood, Differencing, aicc};
use crate::gpu::{Gpu, RowBuffer, array};
use crate::{ArmaOrder, KernelError};

const OPERATION: &str = "the ARIMA fit";
/// Rows of an end: what it promises, whether it settled, places looked at, squares, logarithms, steps counted and the
/// constant; then free numbers, coefficients, the state and the steps that differencing looks back on.
const END_ROWS: usize = 7;

pub(super) fn fit<R: Runtime, F: Float + CubeElement>(
    y: &RowBuffer<R>,
    differencing: Differencing,
    starts: &[(usize, &ArimaCandidate)],
    effort: ArimaEffort,
) -> Result<Vec<ArimaFit>, KernelError> {
    let mut rows: Vec<u32> = starts.iter().map(|(row, _)| *row as u32).collect();
    rows.par_sort_unstable();
    rows.dedup();
    let mut found: Vec<Option<ArimaFit>> = vec![None; starts.len()];
    for some in rows.chunks((largest::<R, F>(y.gpu()) / y.width().max(1)).max(1)) {
        let fits = Fits::new::<F>(y, differencing, some)?;
        let kind = |at: &usize| {
            let start = starts[*at].1;
            (fits.envelope(start.order, Over::Filled), start.constant, start.margin.to_bits())
        };
        let mut own: Vec<usize> =
            (0..starts.len()).into_par_iter().filter(|&at| fits.place(starts[at].0).is_some()).collect();
        own.par_sort_by_key(kind);
        for alike in own.chunk_by(|a, b| kind(a) == kind(b)) {
            let order = fits.envelope(starts[alike[0]].1.order, Over::Filled);
            for places in alike.chunks(fits.together::<F>(order, effort)) {
                let own: Vec<(usize, &ArimaCandidate)> = places.iter().map(|&at| starts[at]).collect();
                let ends = fits.fit::<F>(&own, effort)?;
                places.iter().zip(ends).for_each(|(&at, end)| found[at] = Some(end));
            }
        }
    }
    Ok(found.into_iter().map(|fit| fit.expect("every start is in some chunk of rows")).collect())
}

/// Some series of a batch, to which models are fitted.
struct Fits<'a, R: Runtime> {
    seen: Columns<'a, R>,
    packed: Packed<'a, R>,
    differencing: Differencing,
    rows: &'a [u32],
    /// Whether each has gaps.
    gapped: Vec<bool>,
}

/// What models are fitted to.
#[derive(Clone, Copy, PartialEq)]
enum Over {
    Filled,
    Gaps,
}

/// How the likelihood of models is found.
enum Exact<'a, R: Runtime> {
    Short(Short<'a, R>),
    Wide(Box<Group<'a, R>>, bool, Option<Innovations<'a, R>>),
}

impl<'a, R: Runtime> Exact<'a, R> {
    /// Sums of every column from a row of each coefficient; short models' state where it is asked for.
    fn run<F: Float + CubeElement>(
        &self,
        blocks: &Blocks,
        coefficients: &Handle,
        walks: &Handle,
        sums: &Handle,
        state: Option<&Handle>,
        products: Option<&Handle>,
    ) -> Handle {
        match self {
            Self::Short(short) => {
                short.run::<F>(blocks, coefficients, walks, sums, state, products);
                sums.clone()
            }
            Self::Wide(group, gapped, innovations) => {
                group.filter::<F>(coefficients, *gapped, innovations.as_ref());
                if let (Some(innovations), Some(products)) = (innovations, products) {
                    innovations.products::<F>(walks, products);
                }
                group.sums.clone()
            }
        }
    }
}

impl<'a, R: Runtime> Fits<'a, R> {
    fn new<F: Float + CubeElement>(
        y: &'a RowBuffer<R>,
        differencing: Differencing,
        rows: &'a [u32],
    ) -> Result<Self, KernelError> {
        let gpu = y.gpu();
        let seen = columns(y).take::<F>(&gpu.upload(rows), rows.len());
        let packed = Packed::new::<F>(&seen, differencing, 0);
        let (counts, _) = seen.measure::<F>(&packed.own);
        let counts: Vec<u32> = gpu.download(&counts, OPERATION)?;
        let gapped =
            counts[GAPPED as usize * rows.len()..].iter().take(rows.len()).map(|gapped| *gapped == 1).collect();
        Ok(Self { seen, packed, differencing, rows, gapped })
    }

    fn place(&self, row: usize) -> Option<usize> {
        self.rows.binary_search(&(row as u32)).ok()
    }

    fn gpu(&self) -> &'a Gpu<R> {
        self.seen.gpu
    }

    /// The order that models are worked on together by: short ones without a season by their longer side.
    fn envelope(&self, order: ArmaOrder, over: Over) -> ArmaOrder {
        if !self.is_short(order, over) {
            return order;
        }
        let reach = order.ar.max(order.ma);
        ArmaOrder { ar: reach, ma: reach, season: 1, ..ArmaOrder::default() }
    }

    fn is_short(&self, order: ArmaOrder, over: Over) -> bool {
        over == Over::Filled && Short::<R>::fits(order, self.packed.own.steps)
    }

    /// Models that there is room for.
    fn together<F: Float>(&self, order: ArmaOrder, effort: ArimaEffort) -> usize {
        let (count, steps) = (order.coefficients(), self.seen.steps);
        let over_gaps = effort == ArimaEffort::Full && self.gapped.contains(&true);
        let column = if self.is_short(order, Over::Filled) && !over_gaps {
            count.max(Short::<R>::width(order) + 1).max(SUM_ROWS)
        } else {
            // Besides what a series asks for, its innovations.
            Model::new(self.differencing, order, true).room(steps) + steps
        };
        let room = (variants(count) * column).max(search_rows(count));
        (largest::<R, F>(self.gpu()) / room).max(1)
    }

    /// Fits models of one order; those over gaps by a second search, where the effort is full.
    fn fit<F: Float + CubeElement>(
        &self,
        starts: &[(usize, &ArimaCandidate)],
        effort: ArimaEffort,
    ) -> Result<Vec<ArimaFit>, KernelError> {
        let mut found = self.search::<F>(starts, effort, effort.most_looks(), Over::Filled)?;
        let is_gapped = |row: usize| self.place(row).is_some_and(|place| self.gapped[place]);
        if effort != ArimaEffort::Full {
            return Ok(found);
        }
        let mut over: Vec<usize> = (0..starts.len()).filter(|&i| is_gapped(starts[i].0)).collect();
        over.sort_by_key(|&i| starts[i].1.order);
        for alike in over.chunk_by(|&a, &b| starts[a].1.order == starts[b].1.order) {
            self.fit_over_gaps::<F>(starts, alike, &mut found)?;
        }
        Ok(found)
    }

    /// A second search of some starts of one order, over gaps.
    fn fit_over_gaps<F: Float + CubeElement>(
        &self,
        starts: &[(usize, &ArimaCandidate)],
        over: &[usize],
        found: &mut [ArimaFit],
    ) -> Result<(), KernelError> {
        let effort = ArimaEffort::Full;
        let model = Model::new(self.differencing, starts[over[0]].1.order, true);
        let lost = self.differencing.of(&[]).lost_steps();
        // A diffuse start has no room in an `f32`, and a long season's covariance would take seconds.
        let is_searched =
            model.size() * model.size() * self.seen.steps <= SEARCHED && (lost == 0 || self.gpu().has_f64());
        let again: Vec<ArimaCandidate> = over.iter().map(|&i| found[i].candidate()).collect();
        let again: Vec<(usize, &ArimaCandidate)> = over.iter().map(|&i| starts[i].0).zip(&again).collect();
        let looks = if is_searched { effort.most_looks() } else { 0 };
        let ends = self.search::<F>(&again, effort, looks, Over::Gaps)?;
        for (&i, end) in over.iter().zip(ends) {
            let first = &found[i];
            let evaluations = first.evaluations + end.evaluations;
            let settled = if is_searched { end.converged } else { first.converged };
            let promised = if is_searched { end.promised } else { first.promised };
            let converged = settled && end.likelihood.log_likelihood().is_finite();
            found[i] = ArimaFit { evaluations, converged, promised, ..end };
        }
        Ok(())
    }

    /// How the likelihood of models of one order on series by their place is found, `variants` columns a model.
    fn exact<'b, F: Float + CubeElement>(
        &'b self,
        model: &'b Model,
        places: &[u32],
        of: &Handle,
        variants: usize,
        over: Over,
    ) -> Exact<'b, R> {
        if self.is_short(model.order, over) {
            return Exact::Short(Short::new(&self.packed, model.order, model.constant, of, places.len(), variants));
        }
        let all: Vec<u32> = places.iter().flat_map(|place| std::iter::repeat_n(*place, variants)).collect();
        let series = if over == Over::Gaps { &self.seen } else { &self.packed.filled };
        let columns = series.take::<F>(&self.gpu().upload(&all), all.len());
        let group = Group::new::<F>(columns, model);
        let innovations = (variants > 1).then(|| {
            let steps = if over == Over::Gaps { group.columns.steps } else { group.differenced.steps };
            let values = self.gpu().empty_floats(steps * all.len());
            Innovations { gpu: self.gpu(), values, steps, models: places.len(), variants }
        });
        Exact::Wide(Box::new(group), over == Over::Gaps, innovations)
    }

    fn search<F: Float + CubeElement>(
        &self,
        starts: &[(usize, &ArimaCandidate)],
        effort: ArimaEffort,
        looks: usize,
        over: Over,
    ) -> Result<Vec<ArimaFit>, KernelError> {
        let Some((_, first)) = starts.first() else { return Ok(Vec::new()) };
        let (gpu, order) = (self.gpu(), self.envelope(first.order, over));
        let count = order.coefficients();
        let model = Model::new(self.differencing, order, first.constant);
        let place = |(row, _): &(usize, &ArimaCandidate)| self.place(*row).map(|at| at as u32);
        let places: Vec<u32> = starts.par_iter().filter_map(place).collect();
        let of = gpu.upload(&places);
        let free: Vec<&[f64]> = starts.iter().map(|(_, start)| start.free.as_slice()).collect();
        let orders: Vec<ArmaOrder> = starts.par_iter().map(|(_, start)| start.order).collect();
        let blocks = Blocks::each(gpu, &orders, first.margin);
        let search = Search::new(gpu, blocks, count, model.constant, over == Over::Filled, &free);
        if looks > 0 {
            let exact = self.exact::<F>(&model, &places, &of, variants(count), over);
            let sums = gpu.empty_floats(SUM_ROWS * variants(count) * starts.len());
            for round in 0..looks {
                search.spread::<F>();
                let products = Some(&search.products);
                let sums = exact.run::<F>(&search.blocks, &search.moved, &search.walks, &sums, None, products);
                search.step::<F>(&sums, effort, round);
            }
        } else {
            search.stay::<F>();
        }
        search.end::<F>();
        let exact = self.exact::<F>(&model, &places, &of, 1, over);
        let ends = self.ends::<F>(&search, &exact, &of)?;
        let likelihoods = match &exact {
            Exact::Short(_) => None,
            Exact::Wide(group, ..) => Some(group.collect(&group.begun()?)?),
        };
        let one = |(m, (_, start)): (usize, &(usize, &ArimaCandidate))| {
            ends.fit(m, start, &model, likelihoods.as_ref().map(|found| found[m].clone()))
        };
        Ok(starts.par_iter().enumerate().map(one).collect())
    }

    /// Where every search ended, brought to the host at once.
    fn ends<F: Float + CubeElement>(
        &self,
        search: &Search<'_, R>,
        exact: &Exact<'_, R>,
        of: &Handle,
    ) -> Result<Ends, KernelError> {
        let (gpu, models, count) = (self.gpu(), search.models, search.count);
        let (width, lost) = match exact {
            Exact::Short(short) => (short.own_width(), self.differencing.of(&[]).lost_steps()),
            Exact::Wide(..) => (0, 0),
        };
        let sums = gpu.empty_floats(SUM_ROWS * models);
        let state = gpu.empty_floats(2 * width * models);
        let sums = exact.run::<F>(&search.blocks, &search.coefficients, &search.walks, &sums, Some(&state), None);
        let rows = END_ROWS + 2 * count + width + lost;
        let ends = gpu.empty_floats(rows * models);
        let (cubes, dim) = gpu.one_unit_per(models);
        // SAFETY: each array was made with the rows that it is passed with, and `of` names series; units past the last
        // model stop.
        unsafe {
            gather::launch_unchecked::<F, R>(
                gpu.client(),
                cubes,
                dim,
                array(&search.rows, search_rows(count) * models),
                array(&search.flags, FLAG_ROWS * models),
                array(&search.coefficients, count * models),
                array(&sums, SUM_ROWS * models),
                array(&state, 2 * width * models),
                self.seen.arg(),
                self.packed.counts(),
                self.packed.units(),
                array(of, models),
                array(&ends, rows * models),
                models as u32,
                self.seen.series as u32,
                self.seen.steps as u32,
                count as u32,
                width as u32,
                lost as u32,
                search.constant,
            );
        }
        Ok(Ends { values: gpu.download_floats(&ends, OPERATION)?, models, count, width, lost })
    }
}

/// Where searches ended, a row after the other.
struct Ends {
    values: Vec<f64>,
    models: usize,
    count: usize,
    width: usize,
    lost: usize,
}

impl Ends {
    fn fit(&self, m: usize, start: &ArimaCandidate, model: &Model, known: Option<ArimaLikelihood>) -> ArimaFit {
        let at = |row: usize| self.values[row * self.models + m];
        let rows = |from: usize, len: usize| (from..from + len).map(at).collect::<Vec<f64>>();
        let likelihood = known.unwrap_or_else(|| ArimaLikelihood {
            observed: at(5) as usize,
            squares: at(3),
            logs: at(4),
            constant: model.constant.then(|| at(6)),
            state: rows(END_ROWS + 2 * self.count, start.order.ar_reach().max(start.order.ma_reach() + 1)),
            tail: rows(END_ROWS + 2 * self.count + self.width, self.lost),
        });
        let count = start.order.coefficients();
        let parameters = count + 1 + usize::from(model.constant);
        ArimaFit {
            order: start.order,
            margin: start.margin,
            coefficients: rows(END_ROWS + self.count, count),
            free: rows(END_ROWS, count),
            constant: likelihood.constant,
            aicc: aicc(likelihood.log_likelihood(), likelihood.observed as f64, parameters),
            converged: at(1) == 1.0 && likelihood.log_likelihood().is_finite(),
            promised: at(0),
            evaluations: at(2) as usize,
            likelihood,
        }
    }
}

#[cube(launch_unchecked)]
fn gather<F: Float>(
    rows: &Array<F>,
    flags: &Array<u32>,
    coefficients: &Array<F>,
    sums: &Array<F>,
    state: &Array<F>,
    seen: &Array<F>,
    counts: &Array<u32>,
    units: &Array<F>,
    of: &Array<u32>,
    ends: &mut Array<F>,
    models: u32,
    series: u32,
    steps: u32,
    count: u32,
    width: u32,
    lost: u32,
    #[comptime] constant: bool,
) {
    let m = ABSOLUTE_POS;
    let models = models as usize;
    if m < models {
        let zero = F::new(0.0f32);
        let count = count as usize;
        let width = width as usize;
        let s = of[m];
        let steps_left = counted::<F>(sums, models, m);
        let ones = sums[ONES as usize * models + m];
        let mut best = zero + zero;
        let mut level = zero + zero;
        if constant {
            if ones > zero {
                best = sums[CROSS as usize * models + m] / ones;
            }
            level = best + units[(TOTAL * series + s) as usize] / F::max(steps_left, F::new(1.0f32));
        }
        ends[m] = rows[PROMISED * models + m];
        ends[models + m] = F::cast_from(flags[CONVERGED * models + m]);
        ends[2 * models + m] = F::cast_from(flags[EVALUATIONS * models + m]);
        ends[3 * models + m] = profiled::<F>(sums, models, m, constant);
        ends[4 * models + m] = logs::<F>(sums, models, m);
        ends[5 * models + m] = steps_left;
        ends[6 * models + m] = level;
        for i in 0..count {
            ends[(END_ROWS + i) * models + m] = rows[(FREE + i) * models + m];
            ends[(END_ROWS + count + i) * models + m] = coefficients[i * models + m];
        }
        let from = END_ROWS + 2 * count;
        for i in 0..width {
            ends[(from + i) * models + m] = state[i * models + m] - best * state[(width + i) * models + m];
        }
        let begun = counts[(FIRST * series + s) as usize];
        for i in 0..lost {
            let mut value = zero + zero;
            if i + begun < steps {
                value = seen[((steps - 1 - i) * series + s) as usize];
            }
            ends[(from + width + i as usize) * models + m] = value;
        }
    }
}
