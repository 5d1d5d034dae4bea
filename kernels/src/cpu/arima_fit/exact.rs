//! The exact Gaussian likelihood of a stationary ARMA model by a recursion on vectors.
//!
//! The state's covariance starts stationary, so its first change has rank one and every later one keeps it: two
//! vectors are carried instead of a matrix. Source: Morf, Sidhu and Kailath, Some new algorithms for recursive
//! estimation in constant, linear, discrete-time systems, IEEE Transactions on Automatic Control 19(4), 1974; the
//! state's form and its start: Gardner, Harvey and Phillips, AS 154, Applied Statistics 29(3), 1980.

use pulp::{Arch, Simd, WithSimd};

use super::super::{fused, one_row};
use super::polynomial::{Start, start};
use crate::ArmaOrder;

/// What the filter leaves of several models of one order, a lane each.
#[derive(Clone, Debug)]
pub(super) struct Sums<const W: usize> {
    /// Squared innovations of the series over their variances.
    pub(super) squares: [f64; W],
    /// The same of the series with a column of ones, and of the column alone: what a constant can explain.
    pub(super) cross: [f64; W],
    pub(super) ones: [f64; W],
    /// Sum of the logarithms of the variances.
    pub(super) logs: [f64; W],
    /// State after the last step, of the series and of the ones.
    pub(super) state: [Vec<[f64; W]>; 2],
}

/// Where a lane's observations come from.
pub(super) trait Source<const W: usize> {
    /// Whether the lanes are compared with each other: then their gains come to rest at one step, so that a difference
    /// between them is none of when that is. Otherwise each comes to rest alone.
    const COMPARED: bool;
    fn steps(&self) -> usize;
    fn row(&self, step: usize) -> [f64; W];
    /// Whether a lane still runs; one that has ended is no longer summed.
    fn runs(&self, step: usize, lane: usize) -> bool;
}

/// One series in every lane.
pub(super) struct Same<'a>(pub(super) &'a [f64]);

impl<const W: usize> Source<W> for Same<'_> {
    const COMPARED: bool = true;

    fn steps(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    fn row(&self, step: usize) -> [f64; W] {
        [self.0[step]; W]
    }

    #[inline(always)]
    fn runs(&self, _step: usize, _lane: usize) -> bool {
        true
    }
}

/// A series of its own in each lane, each of its own length.
pub(super) struct Each<'a, const W: usize> {
    pub(super) rows: &'a [[f64; W]],
    pub(super) lengths: [usize; W],
}

impl<const W: usize> Source<W> for Each<'_, W> {
    const COMPARED: bool = false;

    fn steps(&self) -> usize {
        self.rows.len()
    }

    #[inline(always)]
    fn row(&self, step: usize) -> [f64; W] {
        self.rows[step]
    }

    #[inline(always)]
    fn runs(&self, step: usize, lane: usize) -> bool {
        step < self.lengths[lane]
    }
}

/// Filters a series by models of one order; `with_ones` filters a column of ones besides.
pub(super) fn sums<const W: usize>(
    source: &impl Source<W>,
    order: ArmaOrder,
    coefficients: &[[f64; W]],
    with_ones: bool,
    innovations: Option<&mut Innovations<W>>,
) -> Sums<W> {
    Arch::new().dispatch(Run { source, order, coefficients, with_ones, innovations })
}

/// What a filter could not foresee, step by step, for the curvature that it implies.
pub(super) struct Innovations<const W: usize> {
    /// Of the series, and of the ones.
    pub(super) rows: [Vec<[f64; W]>; 2],
    /// One over the variance in the first lane.
    pub(super) weights: Vec<f64>,
}

impl<const W: usize> Innovations<W> {
    /// Room for so many steps.
    pub(super) fn new(steps: usize) -> Self {
        let rows = || Vec::with_capacity(steps);
        Self { rows: [rows(), rows()], weights: Vec::with_capacity(steps) }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, gone: [f64; W], left: [f64; W], weight: f64) {
        self.rows[0].push(gone);
        self.rows[1].push(left);
        self.weights.push(weight);
    }
}

struct Run<'a, Y, const W: usize> {
    source: &'a Y,
    order: ArmaOrder,
    coefficients: &'a [[f64; W]],
    with_ones: bool,
    innovations: Option<&'a mut Innovations<W>>,
}

impl<Y: Source<W>, const W: usize> WithSimd for Run<'_, Y, W> {
    type Output = Sums<W>;

    #[inline(always)]
    fn with_simd<V: Simd>(self, _simd: V) -> Sums<W> {
        match (V::IS_SCALAR, self.with_ones) {
            (true, false) => self.run::<false, false>(),
            (true, true) => self.run::<false, true>(),
            (false, false) => self.run::<true, false>(),
            (false, true) => self.run::<true, true>(),
        }
    }
}

/// Steps between two looks at whether the gain still moves.
const LOOK: usize = 8;
/// Change of the state's covariance that counts as none: those still to come add to some thousand times that, in units
/// of the noise's variance.
const STILL: f64 = 1e-13;

impl<Y: Source<W>, const W: usize> Run<'_, Y, W> {
    #[inline(always)]
    fn run<const FMA: bool, const ONES: bool>(mut self) -> Sums<W> {
        let mut filter = Filter::new(start::<FMA, W>(self.order, self.coefficients), ONES);
        let mut sums = Sums {
            squares: [0.0; W],
            cross: [0.0; W],
            ones: [0.0; W],
            logs: [0.0; W],
            state: [Vec::new(), Vec::new()],
        };
        let mut product = [1.0; W];
        for t in 0..self.source.steps() {
            let y = self.source.row(t);
            let (mut inverse, mut gone, mut left) = ([0.0; W], [0.0; W], [0.0; W]);
            for w in 0..W {
                inverse[w] = 1.0 / filter.variance[w];
                gone[w] = y[w] - filter.a[0][w];
                left[w] = if ONES { 1.0 - filter.b[0][w] } else { 0.0 };
            }
            for w in 0..W {
                let counted = if self.source.runs(t, w) { inverse[w] } else { 0.0 };
                sums.squares[w] = fused::<FMA>(gone[w] * gone[w], counted, sums.squares[w]);
                if ONES {
                    sums.cross[w] = fused::<FMA>(gone[w] * left[w], counted, sums.cross[w]);
                    sums.ones[w] = fused::<FMA>(left[w] * left[w], counted, sums.ones[w]);
                }
                product[w] *= if self.source.runs(t, w) { filter.variance[w] } else { 1.0 };
            }
            if let Some(innovations) = &mut self.innovations {
                innovations.push(gone, left, inverse[0]);
            }
            if t % LOOK == LOOK - 1 {
                for w in 0..W {
                    sums.logs[w] += product[w].ln();
                }
                product = [1.0; W];
                filter.settle(Y::COMPARED);
            }
            let (mut pull, mut pull_ones) = ([0.0; W], [0.0; W]);
            for w in 0..W {
                pull[w] = gone[w] * inverse[w];
                pull_ones[w] = left[w] * inverse[w];
            }
            if filter.settled {
                filter.step::<FMA, ONES, false>(&pull, &pull_ones, &inverse);
            } else {
                filter.step::<FMA, ONES, true>(&pull, &pull_ones, &inverse);
            }
        }
        (0..W).for_each(|w| sums.logs[w] += product[w].ln());
        filter.a.pop();
        filter.b.pop();
        sums.state = [filter.a, filter.b];
        sums
    }
}

/// The state, with one element of zero past its end so that a shift reads nothing else.
struct Filter<const W: usize> {
    start: Start<W>,
    /// Predicted state of the series, and of the ones.
    a: Vec<[f64; W]>,
    b: Vec<[f64; W]>,
    gain: Vec<[f64; W]>,
    /// The covariance changes by `scale · change changeᵀ` a step.
    change: Vec<[f64; W]>,
    scale: [f64; W],
    /// Variance of the next innovation, in units of the noise's.
    variance: [f64; W],
    settled: bool,
}

impl<const W: usize> Filter<W> {
    fn new(start: Start<W>, with_ones: bool) -> Self {
        let zeros = vec![[0.0; W]; start.width + 1];
        let mut gain = start.covariance.clone();
        gain.push([0.0; W]);
        let variance = gain[0];
        let first = gain[0];
        for (lag, tap) in start.ar.lags.iter().zip(&start.ar.taps) {
            (0..W).for_each(|w| gain[*lag][w] += tap[w] * first[w]);
        }
        gain.remove(0);
        gain.push([0.0; W]);
        Self {
            b: if with_ones { zeros.clone() } else { vec![[0.0; W]] },
            a: zeros,
            change: gain.clone(),
            gain,
            scale: variance.map(|v| -1.0 / v),
            variance,
            settled: false,
            start,
        }
    }

    /// Stops what no longer moves, each lane for itself or all together.
    #[inline(always)]
    fn settle(&mut self, together: bool) {
        if self.settled {
            return;
        }
        let mut most = [0.0_f64; W];
        for row in &self.change {
            for w in 0..W {
                most[w] = most[w].max(row[w] * row[w]);
            }
        }
        let still: [bool; W] = std::array::from_fn(|w| (self.scale[w] * most[w]).abs() < STILL);
        self.settled = still.iter().all(|still| *still);
        for w in 0..W {
            if self.settled || (still[w] && !together) {
                self.scale[w] = 0.0;
            }
        }
    }

    /// One step ahead: the state moves by the gain times `pull`, and the gain by the covariance's change.
    #[inline(always)]
    fn step<const FMA: bool, const ONES: bool, const MOVES: bool>(
        &mut self,
        pull: &[f64; W],
        pull_ones: &[f64; W],
        inverse: &[f64; W],
    ) {
        let width = self.start.width;
        let first = self.change[0];
        let (a0, b0) = (self.a[0], self.b[0]);
        for (lag, tap) in self.start.ar.lags.iter().zip(&self.start.ar.taps) {
            for w in 0..W {
                self.a[*lag][w] = fused::<FMA>(tap[w], a0[w], self.a[*lag][w]);
                if ONES {
                    self.b[*lag][w] = fused::<FMA>(tap[w], b0[w], self.b[*lag][w]);
                }
                if MOVES {
                    self.change[*lag][w] = fused::<FMA>(tap[w], first[w], self.change[*lag][w]);
                }
            }
        }
        let (mut moved, mut share) = ([0.0; W], [0.0; W]);
        for w in 0..W {
            moved[w] = self.scale[w] * first[w];
        }
        if MOVES {
            for w in 0..W {
                self.variance[w] = fused::<FMA>(moved[w], first[w], self.variance[w]);
                share[w] = first[w] / self.variance[w];
                self.scale[w] = fused::<FMA>(moved[w] * moved[w], inverse[w], self.scale[w]);
            }
        }
        let (a, b) = (&mut self.a[..=width], if ONES { &mut self.b[..=width] } else { &mut self.b[..] });
        let (gain, change) = (&mut self.gain[..=width], &mut self.change[..=width]);
        for i in 0..width {
            let i = one_row(i);
            // Whole rows are read before any is written: the rows could overlap for all the compiler knows. No
            // closures: one that is not inlined would lose the instruction set.
            let (held, above) = (gain[i], a[i + 1]);
            let mut next = [0.0; W];
            for w in 0..W {
                next[w] = fused::<FMA>(held[w], pull[w], above[w]);
            }
            a[i] = next;
            if ONES {
                let above = b[i + 1];
                for w in 0..W {
                    next[w] = fused::<FMA>(held[w], pull_ones[w], above[w]);
                }
                b[i] = next;
            }
            if MOVES {
                let ahead = change[i + 1];
                let mut after = [0.0; W];
                for w in 0..W {
                    next[w] = fused::<FMA>(moved[w], ahead[w], held[w]);
                    after[w] = fused::<FMA>(-share[w], next[w], ahead[w]);
                }
                gain[i] = next;
                change[i] = after;
            }
        }
        a[width] = [0.0; W];
        if ONES {
            b[width] = [0.0; W];
        }
        if MOVES {
            change[width] = [0.0; W];
        }
    }
}
