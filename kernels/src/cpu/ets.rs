//! The ETS recursions and their adjoints on a lane group, in `f64`: several registers a row, whose chains of
//! dependent steps hide part of each other's latency.

mod additive;
mod growth;
mod scaled;

use rayon::prelude::*;

use self::additive::Additive;
pub(super) use self::additive::LEAST_BEND;
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
pub(super) enum Passes {
    /// The season adds.
    Additive(Additive),
    /// The season multiplies.
    Scaled(Scaled),
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
            let mut passes = Passes::new(y.steps(), form);
            for lane in 0..LANES {
                passes.place(lane, y.group(group).iter().map(|row| row[lane]), offset[of(lane)]);
            }
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

impl Passes {
    /// Passes over at most `steps` steps, with nothing observed yet.
    pub(super) fn new(steps: usize, form: EtsForm) -> Self {
        if form.scales() { Self::Scaled(Scaled::new(steps, form)) } else { Self::Additive(Additive::new(steps, form)) }
    }

    /// Gives a lane another series and what its values lack to be proportional to it.
    pub(super) fn place(&mut self, lane: usize, values: impl Iterator<Item = f32>, offset: f64) {
        match self {
            Self::Additive(passes) => passes.seen.place(lane, values, offset),
            Self::Scaled(passes) => passes.seen.place(lane, values, offset),
        }
    }

    /// Observed steps of each lane.
    pub(super) fn observed(&self) -> &Row {
        match self {
            Self::Additive(passes) => &passes.seen.observed,
            Self::Scaled(passes) => &passes.seen.observed,
        }
    }

    /// One past a lane's last observation.
    pub(super) fn last(&self, lane: usize) -> usize {
        match self {
            Self::Additive(passes) => passes.seen.last[lane],
            Self::Scaled(passes) => passes.seen.last[lane],
        }
    }

    /// Sum of the logarithms of a lane's observed values in the unit where its offset is part of them.
    pub(super) fn log_values(&self, lane: usize) -> f64 {
        let seen = match self {
            Self::Additive(passes) => &passes.seen,
            Self::Scaled(passes) => &passes.seen,
        };
        let value = |v: f32| if v.is_nan() { 0.0 } else { (f64::from(v) + seen.offset[lane]).ln() };
        seen.y[..seen.last[lane]].iter().map(|row| value(row[lane])).sum()
    }

    /// The start, at these weights, of a season that is the same in every slot: for a relative error, whose
    /// expected values would not be positive from elsewhere.
    pub(super) fn flat(&self, weights: &Weights, lane: usize) -> Vec<f64> {
        match self {
            Self::Additive(passes) => passes.flat(weights, lane),
            Self::Scaled(passes) => passes.flat(weights, lane),
        }
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
pub(super) struct Seen {
    y: Vec<[f32; LANES]>,
    /// What each series lacks to be proportional to what it measures.
    offset: Row,
    /// One past each lane's last observation; what comes after it changes nothing.
    last: [usize; LANES],
    /// One past the group's.
    steps: usize,
    /// Some step of some lane is unobserved.
    gaps: bool,
    /// Step at which a slot is first observed; -1 where it never is.
    first: Vec<Row>,
    observed: Row,
}

impl Seen {
    fn new(steps: usize, season: usize) -> Self {
        Self {
            y: vec![[f32::NAN; LANES]; steps],
            offset: [0.0; LANES],
            last: [0; LANES],
            steps: 0,
            gaps: false,
            first: vec![[-1.0; LANES]; season],
            observed: [0.0; LANES],
        }
    }

    fn place(&mut self, lane: usize, values: impl Iterator<Item = f32>, offset: f64) {
        let season = self.first.len();
        self.offset[lane] = offset;
        self.observed[lane] = 0.0;
        self.last[lane] = 0;
        self.first.iter_mut().for_each(|first| first[lane] = -1.0);
        for ((t, row), value) in self.y.iter_mut().enumerate().zip(values) {
            row[lane] = value;
            if !value.is_nan() {
                self.last[lane] = t + 1;
                self.observed[lane] += 1.0;
                let first = &mut self.first[t % season][lane];
                if *first < 0.0 {
                    *first = t as f64;
                }
            }
        }
        self.steps = self.last.into_iter().max().unwrap_or(0);
        self.gaps = self.observed.iter().any(|&count| count < self.steps as f64);
    }

    /// One lane's values.
    fn values(&self, lane: usize) -> impl Iterator<Item = f64> {
        self.y[..self.last[lane]].iter().map(move |row| f64::from(row[lane]))
    }

    /// The mean of each slot's first value, in the unit where the offset is part of it.
    fn common(&self, lane: usize) -> f64 {
        let first = |row: &Row| (row[lane] >= 0.0).then(|| f64::from(self.y[row[lane] as usize][lane]));
        let (mut sum, mut count) = (0.0, 0.0);
        for value in self.first.iter().filter_map(first) {
            sum += value;
            count += 1.0;
        }
        sum / count + self.offset[lane]
    }
}
