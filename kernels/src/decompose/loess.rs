//! Loess as weights: of a whole grid, once for every series, and of the steps that one series observed.

use pulp::{Arch, Simd, WithSimd};

/// A local fit by weighted least squares, the weights falling off as `(1 - (distance / reach)^3)^3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loess {
    /// Points that a fit looks at; odd.
    pub(crate) window: usize,
    /// 0 for a constant, 1 for a line.
    pub(crate) degree: usize,
    /// Places of the grid, observed or not.
    pub(crate) steps: usize,
}

impl Loess {
    /// Points of a fit where there are so many.
    pub(crate) fn width(&self, points: usize) -> usize {
        self.window.min(points)
    }

    /// The first of the `width` points nearest to `at`, the earlier one of two as near; `from` is a start
    /// that is not past it.
    fn nearest(&self, points: &[f64], at: f64, from: usize) -> usize {
        let width = self.width(points.len());
        let last = points.len() - width;
        (from..last).find(|&first| points[first + width] - at >= at - points[first]).unwrap_or(last)
    }

    /// The weights that give the fit at `at` from the values of `window`, which lies among so many `points`.
    ///
    /// A window with no weight left, far off across a gap, says what its nearest point does.
    #[inline(always)]
    fn weigh(&self, window: &[f64], points: usize, at: f64, weights: &mut [f64]) {
        // A window longer than the series reaches further, as if there were more.
        let beyond = self.window.saturating_sub(points) / 2;
        let ends = [at - window[0], window[window.len() - 1] - at];
        let reach = ends[0].max(ends[1]) + beyond as f64;
        let [total, first, second] = fall_off(window, at, reach, weights);
        if total <= 0.0 {
            let nearest = closest(window, at);
            weights.fill(0.0);
            weights[nearest] = 1.0;
            return;
        }
        // A local mean, or a local line unless the points lie too close to tell one.
        let centre = first / total;
        let square = second / total - centre * centre;
        let is_line = self.degree > 0 && square.max(0.0).sqrt() > 0.001 * (self.steps as f64 - 1.0);
        let slope = if is_line { -centre / square } else { 0.0 };
        for (weight, point) in weights.iter_mut().zip(window) {
            *weight *= (1.0 + slope * (point - at - centre)) / total;
        }
    }
}

fn closest(window: &[f64], at: f64) -> usize {
    let distance = |i: &usize| (window[*i] - at).abs();
    (0..window.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).expect("a window has points")
}

/// Fills `weights` by distance from `at`; returns the sums of weight, weight by distance and by its square.
#[inline(always)]
fn fall_off(window: &[f64], at: f64, reach: f64, weights: &mut [f64]) -> [f64; 3] {
    const CHAINS: usize = 8;
    let weigh = |away: f64| {
        let distance = away.abs();
        let share = distance / reach;
        let rest = 1.0 - share * share * share;
        let weight = if distance > 0.999 * reach { 0.0 } else { rest * rest * rest };
        // Near either end of the range it is 1 or 0, as in the authors' program.
        if distance <= 0.001 * reach { 1.0 } else { weight }
    };
    let mut sums = [[0.0; CHAINS]; 3];
    let (blocks, rest) = weights.as_chunks_mut::<CHAINS>();
    let (points, rest_points) = window.as_chunks::<CHAINS>();
    for (weights, points) in blocks.iter_mut().zip(points) {
        for lane in 0..CHAINS {
            let away = points[lane] - at;
            let weight = weigh(away);
            weights[lane] = weight;
            sums[0][lane] += weight;
            sums[1][lane] += weight * away;
            sums[2][lane] += weight * away * away;
        }
    }
    for (lane, (weight, point)) in rest.iter_mut().zip(rest_points).enumerate() {
        let away = point - at;
        *weight = weigh(away);
        sums[0][lane] += *weight;
        sums[1][lane] += *weight * away;
        sums[2][lane] += *weight * away * away;
    }
    sums.map(|chains| chains.iter().sum())
}

/// A linear smoother: each output is a weighted sum of `width` inputs in a row.
#[derive(Clone, Debug)]
pub(crate) struct Smoother {
    width: usize,
    /// First input of each output.
    first: Vec<u32>,
    /// Which row of `weights` each output has.
    row: Vec<u32>,
    weights: Vec<f64>,
}

impl Smoother {
    /// Fits at every step of a grid that is wholly observed.
    pub(crate) fn of_grid(loess: &Loess) -> Self {
        Self::at(loess, &grid(loess.steps), 0.0, loess.steps)
    }

    /// Fits at every step of a grid that is wholly observed, and one step past either end.
    pub(crate) fn past_both_ends(loess: &Loess) -> Self {
        Self::at(loess, &grid(loess.steps), -1.0, loess.steps + 2)
    }

    /// Fits at so many `places` from `start` on, from the values at rising `points`, of which there is one at
    /// least.
    pub(crate) fn at(loess: &Loess, points: &[f64], start: f64, places: usize) -> Self {
        let width = loess.width(points.len());
        let empty = || Vec::with_capacity(places);
        let mut smoother = Self { width, first: empty(), row: empty(), weights: Vec::new() };
        Arch::new().dispatch(Fits { loess, points, start, places, smoother: &mut smoother });
        smoother
    }

    pub(crate) fn outputs(&self) -> usize {
        self.first.len()
    }

    /// First input and weights of an output.
    pub(crate) fn output(&self, output: usize) -> (usize, &[f64]) {
        (self.first[output] as usize, &self.weights[self.row[output] as usize * self.width..][..self.width])
    }

    /// The same smoother in blocks of outputs.
    pub(crate) fn blocks(&self) -> Blocks {
        let mut blocks = Blocks { places: Vec::new(), weights: Vec::new(), outputs: self.outputs() };
        for start in (0..self.outputs()).step_by(BLOCK) {
            let outputs = start..(start + BLOCK).min(self.outputs());
            let first = self.first[start];
            let shared = start >= BLOCK
                && outputs.len() == BLOCK
                && outputs.clone().all(|o| {
                    let before = o - BLOCK;
                    self.row[o] == self.row[before]
                        && self.first[o] - first == self.first[before] - self.first[start - BLOCK]
                });
            if shared {
                let place = blocks.places[blocks.places.len() - 1];
                blocks.places.push(Place { first, ..place });
                continue;
            }
            let end = self.first[outputs.end - 1] as usize + self.width;
            let (from, len) = (blocks.weights.len(), end - first as usize);
            blocks.weights.resize(from + len, [0.0; BLOCK]);
            for (lane, output) in outputs.enumerate() {
                let (own, weights) = self.output(output);
                let rows = &mut blocks.weights[from + own - first as usize..];
                rows.iter_mut().zip(weights).for_each(|(row, weight)| row[lane] = *weight as f32);
            }
            blocks.places.push(Place { first, from: from as u32, len: len as u32 });
        }
        blocks
    }
}

fn grid(steps: usize) -> Vec<f64> {
    (0..steps).map(|t| t as f64).collect()
}

struct Fits<'a> {
    loess: &'a Loess,
    points: &'a [f64],
    start: f64,
    places: usize,
    smoother: &'a mut Smoother,
}

impl WithSimd for Fits<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { loess, points, start, places, smoother } = self;
        let (width, mut first) = (smoother.width, 0);
        // Windows without a hole have the same weights where they lie alike around their place: of a grid, all
        // but those at its ends.
        let mut shared: Option<(f64, u32)> = None;
        for place in 0..places {
            let at = start + place as f64;
            first = loess.nearest(points, at, first);
            let window = &points[first..first + width];
            let whole = window[width - 1] - window[0] == (width - 1) as f64;
            let from = smoother.weights.len();
            let own = (from / width) as u32;
            let row = shared.filter(|(offset, _)| whole && *offset == at - window[0]).map_or(own, |(_, row)| row);
            if row == own {
                smoother.weights.resize(from + width, 0.0);
                loess.weigh(window, points.len(), at, &mut smoother.weights[from..]);
            }
            if whole {
                shared = Some((at - window[0], row));
            }
            smoother.first.push(first as u32);
            smoother.row.push(row);
        }
    }
}

/// Outputs of a block: twelve AVX2 registers of sums for a lane group, and what a GPU's unit adds up at once.
pub(crate) const BLOCK: usize = 6;

/// A smoother whose outputs are made [`BLOCK`] at a time, so that an input is read once for all of them.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    pub(crate) places: Vec<Place>,
    /// For each input of a block, its weight in each of the block's outputs.
    pub(crate) weights: Vec<[f32; BLOCK]>,
    pub(crate) outputs: usize,
}

/// Where a block's numbers lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// First input.
    pub(crate) first: u32,
    /// Its row of weights.
    pub(crate) from: u32,
    /// Inputs.
    pub(crate) len: u32,
}
