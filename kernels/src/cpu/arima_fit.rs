//! ARIMA by maximum likelihood: the screen over lane groups, the exact search over one series at a time.

mod descent;
mod exact;
mod kalman;
mod polynomial;
mod prepare;
mod presample;
mod regression;
mod screen;
mod search;
mod solve;
mod stationary;
mod transform;

use std::ops::Range;

use rayon::prelude::*;

use self::exact::{Innovations, Same, Sums, sums};
use self::presample::Presample;
use self::search::{Look, Moves};
use self::transform::Region;
use super::arima::HALF;
use crate::arima_fit::limits::search::{SEARCHED, SPAN};
use crate::arima_fit::{
    ArimaCandidate, ArimaEffort, ArimaFit, ArimaLikelihood, ArimaSeries, Differencing, Ladder, aicc, log_likelihood,
};
use crate::{ArmaOrder, Rows};

/// Series that one thread screens together at most.
const MOST_A_TASK: usize = 64;
/// Nats by which a filter may differ from the likelihood by what came before the first step where that was searched.
const AGREED: f64 = 1e-3;
/// The same for a fit that is only ranked.
const RANKED: f64 = 1e-2;

/// See [`crate::arima_screen`].
pub(crate) fn arima_screen(
    y: &Rows,
    differencing: Differencing,
    orders: &[ArmaOrder],
    margin: f64,
    keep: usize,
) -> Vec<Vec<ArimaCandidate>> {
    let ladder = Ladder::new(orders);
    let series: Vec<ArimaSeries<'_>> = (0..y.count()).map(|s| begun(y, differencing, s)).collect();
    // Series that are as long as each other once differenced lie side by side: no step of theirs is worked on in vain.
    let mut sorted: Vec<usize> = (0..series.len()).collect();
    sorted.sort_by_key(|&s| series[s].values.len().saturating_sub(series[s].lost_steps()));
    // Some tasks a thread, of some groups each: a lane that is done early takes another series of its task.
    let task = series.len().div_ceil(4 * rayon::current_num_threads()).next_multiple_of(HALF).clamp(HALF, MOST_A_TASK);
    let screened: Vec<_> = sorted
        .par_chunks(task)
        .flat_map_iter(|group| {
            let own: Vec<ArimaSeries<'_>> = group.iter().map(|&s| series[s]).collect();
            screen::screen(&own, &ladder, margin, keep)
        })
        .collect();
    let mut found = vec![Vec::new(); series.len()];
    sorted.into_iter().zip(screened).for_each(|(s, candidates)| found[s] = candidates);
    found
}

/// A series of a batch, from its first observed step on.
fn begun(y: &Rows, differencing: Differencing, s: usize) -> ArimaSeries<'_> {
    let row = y.row(s);
    let first = row.iter().position(|v| !v.is_nan()).unwrap_or(row.len());
    differencing.of(&row[first..])
}

/// See [`crate::arima_fit()`].
pub(crate) fn arima_fit(
    y: &Rows,
    differencing: Differencing,
    starts: &[(usize, &ArimaCandidate)],
    effort: ArimaEffort,
) -> Vec<ArimaFit> {
    starts.par_iter().map(|(s, candidate)| fit(&begun(y, differencing, *s), candidate, effort)).collect()
}

fn fit(series: &ArimaSeries<'_>, candidate: &ArimaCandidate, effort: ArimaEffort) -> ArimaFit {
    let (order, constant) = (candidate.order, candidate.constant);
    let region = Region { order, margin: candidate.margin };
    let filled = Data::filled(series, constant);
    let (mut end, known) = filled.top(series, region, &candidate.free, effort);
    // A search that is there to be compared spares the matrices that a gap asks for.
    let in_full = series.values.iter().any(|v| v.is_nan()) && effort == ArimaEffort::Full;
    let size = order.ar_reach().max(order.ma_reach() + 1) + series.lost_steps();
    let searched = in_full && size * size * series.values.len() <= SEARCHED;
    let gaps = Data::with_gaps(series, constant);
    if searched {
        let near = search::minimise(&end.free, None, effort, |free, _| gaps.look(region, free));
        end = search::End { evaluations: end.evaluations + near.evaluations, ..near };
    }
    let coefficients = region.place(&end.free).coefficients;
    let likelihood = match known {
        Some(known) if !in_full => known,
        _ => if in_full { &gaps } else { &filled }.likelihood(series, order, &coefficients),
    };
    let parameters = order.coefficients() + 1 + usize::from(constant);
    ArimaFit {
        order,
        margin: candidate.margin,
        constant: likelihood.constant,
        aicc: aicc(likelihood.log_likelihood(), likelihood.observed as f64, parameters),
        converged: end.converged && likelihood.log_likelihood().is_finite(),
        promised: end.promised,
        evaluations: end.evaluations,
        likelihood,
        coefficients,
        free: end.free,
    }
}

/// See [`crate::arima_likelihood`].
pub(crate) fn arima_likelihood(
    y: &Rows,
    differencing: Differencing,
    order: ArmaOrder,
    coefficients: &[f64],
    constant: bool,
) -> Vec<ArimaLikelihood> {
    let one = |s: usize| {
        let series = begun(y, differencing, s);
        let constant = constant && series.may_have_constant();
        let gaps = series.values.iter().any(|v| v.is_nan());
        let data = if gaps { Data::with_gaps(&series, constant) } else { Data::filled(&series, constant) };
        data.likelihood(&series, order, &coefficients[s * order.coefficients()..][..order.coefficients()])
    };
    (0..y.count()).into_par_iter().map(one).collect()
}

/// What a likelihood is taken of: the differenced series about its mean, or one with gaps as it is.
struct Data<'a> {
    differenced: Vec<f64>,
    mean: f64,
    gaps: Option<ArimaSeries<'a>>,
    constant: bool,
}

impl<'a> Data<'a> {
    fn filled(series: &ArimaSeries<'a>, constant: bool) -> Self {
        let mut differenced = series.differenced();
        let mean = if constant { differenced.iter().sum::<f64>() / differenced.len().max(1) as f64 } else { 0.0 };
        differenced.iter_mut().for_each(|value| *value -= mean);
        Self { differenced, mean, gaps: None, constant }
    }

    fn with_gaps(series: &ArimaSeries<'a>, constant: bool) -> Self {
        Self { differenced: Vec::new(), mean: 0.0, gaps: Some(*series), constant }
    }

    /// The likelihood at coefficients, and the state that the series ends in.
    fn likelihood(&self, series: &ArimaSeries<'_>, order: ArmaOrder, coefficients: &[f64]) -> ArimaLikelihood {
        let rows: Vec<[f64; 1]> = coefficients.iter().map(|c| [*c]).collect();
        let (sums, observed) = self.sums(order, &rows, None);
        let (squares, best) = self.profile(&sums, 0);
        let width = order.ar_reach().max(order.ma_reach() + 1);
        let mean = |column: usize, i: usize| sums.state[column].get(i).map_or(0.0, |row| row[0]);
        // The constant's share of the state goes with it: what is left is the process about its mean.
        let shift = best.unwrap_or(0.0);
        let state = (0..width).map(|i| mean(0, i) - shift * mean(1, i)).collect();
        let lost = series.lost_steps();
        let tail = if self.gaps.is_some() {
            let column = |i: usize| series.constant_column(series.values.len() as f64 - 1.0 - i as f64);
            let of = |i: usize| mean(0, width + i) - shift * (mean(1, width + i) - column(i));
            (0..lost).map(of).collect()
        } else {
            series.values.iter().rev().take(lost).copied().collect()
        };
        let constant = best.map(|best| best + self.mean);
        ArimaLikelihood { observed: observed[0] as usize, squares, logs: sums.logs[0], constant, state, tail }
    }

    /// Where a search from a start ends, and the likelihood there if it is known.
    fn top(
        &self,
        series: &ArimaSeries<'_>,
        region: Region,
        start: &[f64],
        effort: ArimaEffort,
    ) -> (search::End, Option<ArimaLikelihood>) {
        let order = region.order;
        let wide = |start: &[f64]| search::minimise(start, None, effort, |free, _| self.look(region, free));
        if self.gaps.is_some() || !Presample::fits(order) {
            return (wide(start), None);
        }
        let mut presample = Presample::new(&self.differenced, self.constant);
        let end = search::minimise(start, Some(region), effort, |place, curved| presample.look(order, place, curved));
        let filtered = self.likelihood(series, order, &region.place(&end.free).coefficients);
        // Roots of a moving average that crowd on the circle make squares of which little is left.
        let apart = (filtered.log_likelihood() + end.value).abs();
        if apart < if effort == ArimaEffort::Full { AGREED } else { RANKED } {
            return (end, Some(filtered));
        }
        (wide(&end.free), None)
    }

    /// The negative log-likelihood at free numbers, its gradient and about its curvature: central differences, many
    /// likelihoods side by side.
    fn look(&self, region: Region, free: &[f64]) -> Look {
        let (mut look, mut moves) = (Look::default(), Moves::default());
        // The first lane of each round holds the place itself.
        for from in (0..free.len().max(1)).step_by(7) {
            let some = from..(from + 7).min(free.len());
            match some.len() {
                0..=1 => self.wide::<4>(region, free, some, &mut look, &mut moves),
                2..=3 => self.wide::<8>(region, free, some, &mut look, &mut moves),
                4..=5 => self.wide::<12>(region, free, some, &mut look, &mut moves),
                _ => self.wide::<16>(region, free, some, &mut look, &mut moves),
            }
        }
        look.curvature = moves.curvature();
        look
    }

    fn wide<const W: usize>(
        &self,
        region: Region,
        free: &[f64],
        some: Range<usize>,
        look: &mut Look,
        moves: &mut Moves,
    ) {
        let (order, count) = (region.order, 2 * some.len() + 1);
        let place = |w: usize| {
            let mut place = free.to_vec();
            if (1..count).contains(&w) {
                place[some.start + (w - 1) / 2] += if w % 2 == 1 { SPAN } else { -SPAN };
            }
            region.place(&place).coefficients
        };
        let own: Vec<Vec<f64>> = (0..W).map(place).collect();
        let rows: Vec<[f64; W]> = (0..order.coefficients()).map(|i| std::array::from_fn(|w| own[w][i])).collect();
        let steps = self.gaps.as_ref().map_or(self.differenced.len(), |series| series.values.len());
        let mut innovations = Innovations::new(steps);
        let (sums, observed) = self.sums(order, &rows, Some(&mut innovations));
        let profiled: [(f64, Option<f64>); W] = std::array::from_fn(|w| self.profile(&sums, w));
        let value = |w: usize| -log_likelihood(observed[w], profiled[w].0, sums.logs[w]);
        let [gone, left] = &innovations.rows;
        for i in 0..some.len() {
            let (up, down) = (1 + 2 * i, 2 + 2 * i);
            look.gradient.push((value(up) - value(down)) / (2.0 * SPAN));
            // A filter's diffuse start rounds its values to some 1e-8, of which a second difference would be all noise.
            let bend = (value(up) + value(down) - 2.0 * value(0)) / (SPAN * SPAN);
            moves.bends.push(if self.gaps.is_some() { 0.0 } else { bend });
            let (up_constant, down_constant) = (profiled[up].1.unwrap_or(0.0), profiled[down].1.unwrap_or(0.0));
            let step = |(gone, left): (&[f64; W], &[f64; W])| {
                let (above, below) = (gone[up] - up_constant * left[up], gone[down] - down_constant * left[down]);
                (above - below) / (2.0 * SPAN)
            };
            moves.rows.push(gone.iter().zip(left).map(step).collect());
        }
        look.value = value(0);
        moves.squares = profiled[0].0 / observed[0];
        moves.weights = innovations.weights;
    }

    fn sums<const W: usize>(
        &self,
        order: ArmaOrder,
        rows: &[[f64; W]],
        innovations: Option<&mut Innovations<W>>,
    ) -> (Sums<W>, [f64; W]) {
        match &self.gaps {
            Some(series) => {
                let filtered = kalman::filter(series, order, rows, innovations);
                (filtered.sums, filtered.counted)
            }
            None => {
                let sums = sums(&Same(&self.differenced), order, rows, self.constant, innovations);
                (sums, [self.differenced.len() as f64; W])
            }
        }
    }

    /// Squares left by the best constant, and that constant; all of them without one.
    fn profile<const W: usize>(&self, sums: &Sums<W>, w: usize) -> (f64, Option<f64>) {
        if !self.constant {
            return (sums.squares[w], None);
        }
        let best = if sums.ones[w] > 0.0 { sums.cross[w] / sums.ones[w] } else { 0.0 };
        ((sums.squares[w] - best * sums.cross[w]).max(0.0), Some(best))
    }
}
