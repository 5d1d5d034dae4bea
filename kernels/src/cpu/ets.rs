//! The ETS recursions and their adjoints on a lane group, in `f64`: several registers a row, whose chains of
//! dependent steps hide part of each other's latency.

mod additive;
mod growth;
mod scaled;

use rayon::prelude::*;

use self::additive::Additive;
use self::scaled::Scaled;
use crate::{EtsForm, EtsGradient, LANES, Lanes, Smoothing};

/// One value for each lane of a group.
pub(super) type Row = [f64; LANES];

/// The smoothing weights of a lane group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weights {
    pub(super) alpha: Row,
    pub(super) beta: Row,
    pub(super) gamma: Row,
    pub(super) phi: Row,
}

/// What a forward pass sums up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sums {
    /// Squared errors.
    pub(super) sse: Row,
    /// Logarithms of one plus each relative error; minus infinity where an expected value is not positive.
    pub(super) log_growth: Row,
}

/// The passes over the series of one group. What they minimise is half of
/// `sse - 2 v log_growth` with `v = sse / observed` of the latest forward pass held fixed.
pub(super) enum Passes<'a> {
    /// The season adds.
    Additive(Additive<'a>),
    /// The season multiplies.
    Scaled(Scaled<'a>),
}

/// See [`crate::ets_gradient`].
pub(crate) fn ets_gradient(
    y: &Lanes,
    offset: &[f64],
    form: EtsForm,
    smoothing: &[Smoothing],
    start: &[f64],
) -> EtsGradient {
    let series = y.series();
    let per_group: Vec<_> = (0..y.groups())
        .into_par_iter()
        .map(|group| {
            let of = |lane: usize| (group * LANES + lane).min(series - 1);
            let weights = Weights::pack(form, |lane| smoothing[of(lane)]);
            let rows: Vec<Row> = (0..form.start_len())
                .map(|i| std::array::from_fn(|lane| start[of(lane) * form.start_len() + i]))
                .collect();
            let mut passes = Passes::new(y.group(group), std::array::from_fn(|lane| offset[of(lane)]), form);
            let mut by_start = vec![[0.0; LANES]; form.start_len()];
            let sums = passes.forward(&weights, &rows);
            let by = passes.adjoint(&weights, &mut by_start);
            (sums, by, by_start)
        })
        .collect();
    let mut gradient = EtsGradient { sse: vec![], log_growth: vec![], smoothing: vec![], start: vec![] };
    for s in 0..series {
        let (sums, by, by_start) = &per_group[s / LANES];
        let lane = s % LANES;
        gradient.sse.push(sums.sse[lane]);
        gradient.log_growth.push(sums.log_growth[lane]);
        // The passes differentiate half the sum.
        gradient.smoothing.push(Smoothing {
            alpha: 2.0 * by.alpha[lane],
            beta: 2.0 * by.beta[lane],
            gamma: 2.0 * by.gamma[lane],
            phi: 2.0 * by.phi[lane],
        });
        gradient.start.extend(by_start.iter().map(|row| 2.0 * row[lane]));
    }
    gradient
}

impl Weights {
    /// Weights of a group, with those that the form does not have at their neutral value.
    pub(super) fn pack(form: EtsForm, of: impl Fn(usize) -> Smoothing) -> Self {
        let mut weights = Self::default();
        for lane in 0..LANES {
            let own = form.weights(of(lane));
            weights.alpha[lane] = own.alpha;
            weights.beta[lane] = own.beta;
            weights.gamma[lane] = own.gamma;
            weights.phi[lane] = own.phi;
        }
        weights
    }

    /// One lane's weights.
    pub(super) fn lane(&self, lane: usize) -> Smoothing {
        Smoothing { alpha: self.alpha[lane], beta: self.beta[lane], gamma: self.gamma[lane], phi: self.phi[lane] }
    }
}

impl<'a> Passes<'a> {
    pub(super) fn new(y: &'a [[f32; LANES]], offset: Row, form: EtsForm) -> Self {
        let seen = Seen::of(y, form.season);
        if form.scales() {
            Self::Scaled(Scaled::new(seen, offset, form))
        } else {
            Self::Additive(Additive::new(seen, offset, form))
        }
    }

    /// Observed steps of each lane.
    pub(super) fn observed(&self) -> &Row {
        match self {
            Self::Additive(passes) => &passes.seen.observed,
            Self::Scaled(passes) => &passes.seen.observed,
        }
    }

    /// Sum of the logarithms of each lane's observed values in the unit where their offset is part of them.
    pub(super) fn log_values(&self, offset: &Row) -> Row {
        let seen = match self {
            Self::Additive(passes) => &passes.seen,
            Self::Scaled(passes) => &passes.seen,
        };
        let value = |v: f32, lane: usize| if v.is_nan() { 0.0 } else { (f64::from(v) + offset[lane]).ln() };
        std::array::from_fn(|lane| seen.y.iter().map(|row| value(row[lane], lane)).sum())
    }

    /// Runs the recursion and keeps its errors.
    pub(super) fn forward(&mut self, weights: &Weights, start: &[Row]) -> Sums {
        match self {
            Self::Additive(passes) => passes.forward(weights, start),
            Self::Scaled(passes) => passes.forward(weights, start),
        }
    }

    /// Errors that a change of the start adds, to first order, kept for [`Passes::moved_adjoint`]; returns
    /// their sum of squares.
    pub(super) fn direction(&mut self, weights: &Weights, change: &[Row]) -> Row {
        match self {
            Self::Additive(passes) => passes.direction(weights, change),
            Self::Scaled(passes) => passes.direction(weights, change),
        }
    }

    /// Derivatives at the latest forward pass, by the weights and, into `by_start`, by the start.
    pub(super) fn adjoint(&mut self, weights: &Weights, by_start: &mut [Row]) -> Weights {
        match self {
            Self::Additive(passes) => passes.adjoint(weights, by_start),
            Self::Scaled(passes) => passes.adjoint(weights, by_start),
        }
    }

    /// Derivatives by the start after the errors have moved by `stride` times the latest direction's, to
    /// first order; exact where the error is additive.
    pub(super) fn moved_adjoint(&mut self, weights: &Weights, stride: &Row, by_start: &mut [Row]) {
        match self {
            Self::Additive(passes) => passes.moved_adjoint(weights, stride, by_start),
            Self::Scaled(passes) => passes.moved_adjoint(weights, stride, by_start),
        }
    }
}

/// The series of one group and where they are observed.
pub(super) struct Seen<'a> {
    y: &'a [[f32; LANES]],
    /// Some step of some lane is unobserved.
    gaps: bool,
    /// Step at which a slot is first observed; -1 where it never is.
    first: Vec<Row>,
    observed: Row,
}

impl<'a> Seen<'a> {
    fn of(y: &'a [[f32; LANES]], season: usize) -> Self {
        // Steps after the group's last observation change nothing.
        let steps = y.iter().rposition(|row| row.iter().any(|v| !v.is_nan())).map_or(0, |at| at + 1);
        let y = &y[..steps];
        let mut first = vec![[-1.0; LANES]; season];
        let mut observed = [0.0; LANES];
        for (t, row) in y.iter().enumerate() {
            let first = &mut first[t % season];
            for lane in 0..LANES {
                if !row[lane].is_nan() {
                    observed[lane] += 1.0;
                    if first[lane] < 0.0 {
                        first[lane] = t as f64;
                    }
                }
            }
        }
        let gaps = observed.iter().any(|&count| count < steps as f64);
        Self { y, gaps, first, observed }
    }
}
