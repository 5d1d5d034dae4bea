//! The complex exponential smoothing recursion on a lane group, in `f64`: two AVX-512 registers a row.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::ets::Row;
use crate::ces::SECOND;
use crate::{CES_TRIANGLE, CES_WEIGHTS, CesForm, CesSquares, LANES, Rows};

/// See [`crate::ces_squares`].
pub(crate) fn ces_squares(
    y: &Rows,
    form: CesForm,
    season: usize,
    weights: &[[f64; CES_WEIGHTS]],
    start: &[f64],
) -> CesSquares {
    let series = y.count();
    let groups: Vec<Squares> = (0..series.div_ceil(LANES))
        .into_par_iter()
        .map(|group| {
            let mut passes = Passes::zeros(form, season, y.width());
            let len = form.start_len(season);
            for lane in 0..LANES {
                let s = (group * LANES + lane).min(series - 1);
                passes.set(lane, y.row(s), &start[s * len..(s + 1) * len]);
            }
            let of = |k: usize| std::array::from_fn(|lane| weights[(group * LANES + lane).min(series - 1)][k]);
            passes.squares(&std::array::from_fn(of))
        })
        .collect();
    let of = |s: usize| (&groups[s / LANES], s % LANES);
    CesSquares {
        sse: (0..series).map(of).map(|(sums, lane)| sums.sse[lane]).collect(),
        slope: (0..series).map(of).map(|(sums, lane)| sums.slope.map(|row| row[lane])).collect(),
        curvature: (0..series).map(of).map(|(sums, lane)| sums.curvature.map(|row| row[lane])).collect(),
    }
}

/// The weights of a lane group.
pub(super) type Weights = [Row; CES_WEIGHTS];

/// The sums of a lane group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Squares {
    pub(super) sse: Row,
    pub(super) slope: [Row; CES_WEIGHTS],
    pub(super) curvature: [Row; CES_TRIANGLE],
}

/// The series of one group, and what every evaluation of them shares.
pub(super) struct Passes {
    arch: pulp::Arch,
    form: CesForm,
    y: Vec<Row>,
    level: Row,
    /// The first of each place's pair.
    season: Vec<Row>,
}

impl Passes {
    /// Memory for a group of `steps` steps, all of it 0.
    pub(super) fn zeros(form: CesForm, season: usize, steps: usize) -> Self {
        let places = form.start_len(season) - usize::from(form.has_level());
        let (y, season) = (vec![[0.0; LANES]; steps], vec![[0.0; LANES]; places]);
        Self { arch: pulp::Arch::new(), form, y, level: [0.0; LANES], season }
    }

    /// Puts a series into a lane.
    pub(super) fn set(&mut self, lane: usize, y: &[f64], start: &[f64]) {
        self.y.iter_mut().zip(y).for_each(|(row, y)| row[lane] = *y);
        let (level, season) = start.split_at(usize::from(self.form.has_level()));
        self.level[lane] = level.first().copied().unwrap_or(0.0);
        self.season.iter_mut().zip(season).for_each(|(row, start)| row[lane] = *start);
    }

    /// One evaluation with derivatives.
    pub(super) fn squares(&self, weights: &Weights) -> Squares {
        match self.form {
            CesForm::None => self.arch.dispatch(Run::<2, true, 0, true, 2> { passes: self, weights }),
            CesForm::Simple => self.arch.dispatch(Run::<2, false, 2, true, 2> { passes: self, weights }),
            CesForm::Partial => self.arch.dispatch(Run::<1, true, 1, true, 3> { passes: self, weights }),
            CesForm::Full => self.arch.dispatch(Run::<1, true, 2, true, 4> { passes: self, weights }),
        }
    }

    /// One evaluation without.
    pub(super) fn sse(&self, weights: &Weights) -> Row {
        let squares = match self.form {
            CesForm::None => self.arch.dispatch(Run::<2, true, 0, false, 2> { passes: self, weights }),
            CesForm::Simple => self.arch.dispatch(Run::<2, false, 2, false, 2> { passes: self, weights }),
            CesForm::Partial => self.arch.dispatch(Run::<2, true, 1, false, 3> { passes: self, weights }),
            CesForm::Full => self.arch.dispatch(Run::<2, true, 2, false, 4> { passes: self, weights }),
        };
        squares.sse
    }
}

/// An evaluation as pulp dispatches it: so many registers side by side, whose dependent steps hide one another's
/// latency; with a level or not; with so many numbers for each place of the season; with derivatives or not, of so
/// many weights.
struct Run<'p, const WIDE: usize, const LEVEL: bool, const PLACE: usize, const SLOPES: bool, const WEIGHTS: usize> {
    passes: &'p Passes,
    weights: &'p Weights,
}

impl<const WIDE: usize, const LEVEL: bool, const PLACE: usize, const SLOPES: bool, const WEIGHTS: usize> WithSimd
    for Run<'_, WIDE, LEVEL, PLACE, SLOPES, WEIGHTS>
{
    type Output = Squares;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Squares {
        let mut squares = Squares::default();
        let registers = LANES / S::F64_LANES;
        let mut ring = Vec::with_capacity(self.passes.season.len());
        for first in (0..registers).step_by(WIDE) {
            let sums = self.some::<S>(simd, first, &mut ring);
            for (i, sums) in sums.iter().enumerate() {
                let lanes = (first + i) * S::F64_LANES..(first + i + 1) * S::F64_LANES;
                let told = |row: &mut Row, sum: &S::f64s| {
                    row[lanes.clone()].copy_from_slice(pulp::bytemuck::cast_slice(std::slice::from_ref(sum)));
                };
                told(&mut squares.sse, &sums.sse);
                (0..WEIGHTS).for_each(|k| told(&mut squares.slope[k], &sums.slope[k]));
                (0..WEIGHTS * (WEIGHTS + 1) / 2).for_each(|at| told(&mut squares.curvature[at], &sums.curvature[at]));
            }
        }
        squares
    }
}

impl<const WIDE: usize, const LEVEL: bool, const PLACE: usize, const SLOPES: bool, const WEIGHTS: usize>
    Run<'_, WIDE, LEVEL, PLACE, SLOPES, WEIGHTS>
{
    /// The three passes over the registers from `first` on.
    #[inline(always)]
    fn some<S: Simd>(&self, simd: S, first: usize, ring: &mut Vec<[Pair<S>; WIDE]>) -> [Sums<S>; WIDE] {
        let Passes { y, level, season, .. } = self.passes;
        let start = |row: &Row, paired: bool| -> [Pair<S>; WIDE] {
            std::array::from_fn(|i| Pair::start(simd, register::<S>(row, first + i), paired))
        };
        ring.clear();
        ring.extend(season.iter().map(|row| start(row, PLACE == 2)));
        let mut level = start(level, true);
        let gains: [[Gain<S>; 2]; WIDE] = std::array::from_fn(|i| {
            let of = |k: usize| register::<S>(&self.weights[k], first + i);
            [Gain::of(simd, of(0), of(1)), Gain::of(simd, of(2), of(3))]
        });
        let mut sums = [Sums::zero(simd); WIDE];
        let m = ring.len().max(1);
        let mut none = start(&[0.0; LANES], false);
        let mut place = 0;
        for y in y {
            let at = if PLACE == 0 { &mut none } else { &mut ring[place] };
            self.step::<S>(simd, first, y, (&mut level, at), &gains, None);
            place = if place + 1 == m { 0 } else { place + 1 };
        }
        rest::<S, WIDE, LEVEL, PLACE, SLOPES, WEIGHTS>(simd, &mut level, ring, &gains);
        for y in y.iter().rev() {
            place = if place == 0 { m - 1 } else { place - 1 };
            let at = if PLACE == 0 { &mut none } else { &mut ring[place] };
            self.step::<S>(simd, first, y, (&mut level, at), &gains, None);
        }
        rest::<S, WIDE, LEVEL, PLACE, SLOPES, WEIGHTS>(simd, &mut level, ring, &gains);
        for y in y {
            let at = if PLACE == 0 { &mut none } else { &mut ring[place] };
            self.step::<S>(simd, first, y, (&mut level, at), &gains, Some(&mut sums));
            place = if place + 1 == m { 0 } else { place + 1 };
        }
        sums
    }

    /// One step of the registers from `first` on. No closure here or below: it would lose the instruction set.
    #[inline(always)]
    fn step<S: Simd>(
        &self,
        simd: S,
        first: usize,
        y: &Row,
        (level, place): (&mut [Pair<S>; WIDE], &mut [Pair<S>; WIDE]),
        gains: &[[Gain<S>; 2]; WIDE],
        mut sums: Option<&mut [Sums<S>; WIDE]>,
    ) {
        for i in 0..WIDE {
            let y = register::<S>(y, first + i);
            let state = (&mut level[i], &mut place[i]);
            #[allow(clippy::manual_map)] // a closure leaves the instruction set that this runs in
            let sums = match &mut sums {
                Some(sums) => Some(&mut sums[i]),
                None => None,
            };
            take_step::<S, LEVEL, PLACE, SLOPES, WEIGHTS>(simd, y, state, &gains[i], sums);
        }
    }
}

/// One register's worth of a row.
#[inline(always)]
fn register<S: Simd>(row: &Row, at: usize) -> S::f64s {
    S::as_simd_f64s(row).0[at]
}

/// A pair, or a number and nothing, with its derivatives by each weight.
#[derive(Clone, Copy)]
struct Pair<S: Simd> {
    a: S::f64s,
    b: S::f64s,
    da: [S::f64s; CES_WEIGHTS],
    db: [S::f64s; CES_WEIGHTS],
}

/// What two weights make of a pair and an error.
#[derive(Clone, Copy)]
struct Gain<S: Simd> {
    first: S::f64s,
    /// `w1 - 1` and `1 - w0`: what `b` adds.
    a_of_b: S::f64s,
    b_of_b: S::f64s,
    /// `w0 - w1` and `w0 + w1`: what the error adds.
    a_of_e: S::f64s,
    b_of_e: S::f64s,
}

#[derive(Clone, Copy)]
struct Sums<S: Simd> {
    sse: S::f64s,
    slope: [S::f64s; CES_WEIGHTS],
    curvature: [S::f64s; CES_TRIANGLE],
}

impl<S: Simd> Sums<S> {
    #[inline(always)]
    fn zero(simd: S) -> Self {
        let zero = simd.splat_f64s(0.0);
        Self { sse: zero, slope: [zero; CES_WEIGHTS], curvature: [zero; CES_TRIANGLE] }
    }
}

impl<S: Simd> Gain<S> {
    #[inline(always)]
    fn of(simd: S, w0: S::f64s, w1: S::f64s) -> Self {
        let one = simd.splat_f64s(1.0);
        Self {
            first: w0,
            a_of_b: simd.sub_f64s(w1, one),
            b_of_b: simd.sub_f64s(one, w0),
            a_of_e: simd.sub_f64s(w0, w1),
            b_of_e: simd.add_f64s(w0, w1),
        }
    }
}

impl<S: Simd> Pair<S> {
    #[inline(always)]
    fn start(simd: S, a: S::f64s, paired: bool) -> Self {
        let zero = simd.splat_f64s(0.0);
        let b = if paired { simd.mul_f64s(simd.splat_f64s(SECOND), a) } else { zero };
        Self { a, b, da: [zero; CES_WEIGHTS], db: [zero; CES_WEIGHTS] }
    }

    /// Takes an error, of which `first` and the weight after it are its own weights.
    #[inline(always)]
    fn take<const SLOPES: bool, const WEIGHTS: usize>(
        &mut self,
        simd: S,
        gain: &Gain<S>,
        first: usize,
        e: S::f64s,
        de: &[S::f64s; CES_WEIGHTS],
    ) {
        let (a, b) = (self.a, self.b);
        self.a = simd.mul_add_e_f64s(gain.a_of_e, e, simd.mul_add_e_f64s(gain.a_of_b, b, a));
        self.b = simd.mul_add_e_f64s(gain.b_of_e, e, simd.mul_add_e_f64s(gain.b_of_b, b, a));
        if !SLOPES {
            return;
        }
        let left = simd.sub_f64s(b, e);
        for k in 0..WEIGHTS {
            let (da, db) = (self.da[k], self.db[k]);
            let (for_a, for_b) = if k == first {
                (simd.add_f64s(da, e), simd.sub_f64s(da, left))
            } else if k == first + 1 {
                (simd.add_f64s(da, left), simd.add_f64s(da, e))
            } else {
                (da, da)
            };
            self.da[k] = simd.mul_add_e_f64s(gain.a_of_e, de[k], simd.mul_add_e_f64s(gain.a_of_b, db, for_a));
            self.db[k] = simd.mul_add_e_f64s(gain.b_of_e, de[k], simd.mul_add_e_f64s(gain.b_of_b, db, for_b));
        }
    }
}

/// What a level and a place forecast together, of those that there are.
#[inline(always)]
fn sum<S: Simd, const LEVEL: bool, const PLACE: usize>(simd: S, level: S::f64s, place: S::f64s) -> S::f64s {
    match (LEVEL, PLACE > 0) {
        (true, true) => simd.add_f64s(level, place),
        (true, false) => level,
        _ => place,
    }
}

/// One step of one register: level and place in, level and place out.
#[inline(always)]
fn take_step<S: Simd, const LEVEL: bool, const PLACE: usize, const SLOPES: bool, const WEIGHTS: usize>(
    simd: S,
    y: S::f64s,
    (level, place): (&mut Pair<S>, &mut Pair<S>),
    gains: &[Gain<S>; 2],
    sums: Option<&mut Sums<S>>,
) {
    let zero = simd.splat_f64s(0.0);
    let seen = simd.equal_f64s(y, y);
    let e = simd.select_f64s(seen, simd.sub_f64s(y, sum::<S, LEVEL, PLACE>(simd, level.a, place.a)), zero);
    let mut de = [zero; CES_WEIGHTS];
    if SLOPES {
        for k in 0..WEIGHTS {
            let by = sum::<S, LEVEL, PLACE>(simd, level.da[k], place.da[k]);
            de[k] = simd.select_f64s(seen, simd.neg_f64s(by), zero);
        }
    }
    if LEVEL {
        level.take::<SLOPES, WEIGHTS>(simd, &gains[0], 0, e, &de);
    }
    if PLACE == 2 {
        let own = usize::from(LEVEL);
        place.take::<SLOPES, WEIGHTS>(simd, &gains[own], 2 * own, e, &de);
    }
    if PLACE == 1 {
        let beta = gains[1].first;
        place.a = simd.mul_add_e_f64s(beta, e, place.a);
        if SLOPES {
            for k in 0..WEIGHTS {
                let direct = if k == 2 { simd.add_f64s(place.da[k], e) } else { place.da[k] };
                place.da[k] = simd.mul_add_e_f64s(beta, de[k], direct);
            }
        }
    }
    if let Some(sums) = sums {
        sums.sse = simd.mul_add_e_f64s(e, e, sums.sse);
        if SLOPES {
            for k in 0..WEIGHTS {
                sums.slope[k] = simd.mul_add_e_f64s(e, de[k], sums.slope[k]);
                for l in 0..=k {
                    let at = k * (k + 1) / 2 + l;
                    sums.curvature[at] = simd.mul_add_e_f64s(de[k], de[l], sums.curvature[at]);
                }
            }
        }
    }
}

/// Every pair goes one step on without an error, between two passes.
#[inline(always)]
fn rest<S: Simd, const WIDE: usize, const LEVEL: bool, const PLACE: usize, const SLOPES: bool, const WEIGHTS: usize>(
    simd: S,
    level: &mut [Pair<S>; WIDE],
    ring: &mut [[Pair<S>; WIDE]],
    gains: &[[Gain<S>; 2]; WIDE],
) {
    let zero = simd.splat_f64s(0.0);
    let none = [zero; CES_WEIGHTS];
    if LEVEL {
        for (level, gains) in level.iter_mut().zip(gains) {
            level.take::<SLOPES, WEIGHTS>(simd, &gains[0], 0, zero, &none);
        }
    }
    if PLACE == 2 {
        let own = usize::from(LEVEL);
        for places in ring {
            for (place, gains) in places.iter_mut().zip(gains) {
                place.take::<SLOPES, WEIGHTS>(simd, &gains[own], 2 * own, zero, &none);
            }
        }
    }
}
