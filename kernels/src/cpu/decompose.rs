//! MSTL on a lane group: sixteen series under one set of weights, their rows in the second-level cache. Series
//! with gaps are done one by one, and apart.

mod gaps;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::decompose::loess::{BLOCK, Blocks};
use crate::decompose::{INNER_ROUNDS, Parts, Stl, rounds, segment};
use crate::{LANES, Lanes};

type Row = [f32; LANES];

/// See [`crate::decompose()`].
pub(crate) fn decompose(y: &Lanes, stls: &[Stl]) -> Parts<Lanes> {
    let zeros = || Lanes::zeros(y.steps(), y.series());
    let mut parts = Parts { trend: zeros(), seasons: stls.iter().map(|_| zeros()).collect(), remainder: zeros() };
    let plans: Vec<Plan> = stls.iter().map(|stl| Plan::new(stl, y.steps())).collect();
    let mut slots = slots(&mut parts);
    let arch = Arch::new();
    slots.par_iter_mut().enumerate().for_each_init(
        || Scratch::new(&plans, y.steps()),
        |scratch, (group, slot)| {
            let y = y.group(group);
            let gaps: [bool; LANES] = std::array::from_fn(|lane| y.iter().any(|row| row[lane].is_nan()));
            if gaps.contains(&false) {
                arch.dispatch(Mstl16 { y, plans: &plans, slot, scratch });
            }
            for lane in (0..LANES).filter(|&lane| gaps[lane]) {
                if lane > 0 && same(y, lane) {
                    slot.repeat(lane);
                } else {
                    gaps::decompose(y.iter().map(|row| f64::from(row[lane])), stls).write(lane, slot);
                }
            }
        },
    );
    drop(slots);
    parts
}

/// See [`crate::without_seasons`].
pub(crate) fn without_seasons(trend: &Lanes, rest: &Lanes) -> Lanes {
    Lanes::from_fn(trend.steps(), trend.series(), |t, s| trend.get(t, s) + rest.get(t, s))
}

/// Whether a lane repeats the one before it, as padding does.
fn same(y: &[Row], lane: usize) -> bool {
    y.iter().all(|row| row[lane].to_bits() == row[lane - 1].to_bits())
}

/// Where the parts of a lane group go.
struct Slot<'a> {
    trend: &'a mut [Row],
    seasons: Vec<&'a mut [Row]>,
    remainder: &'a mut [Row],
}

impl Slot<'_> {
    /// Gives a lane the parts of the one before it.
    fn repeat(&mut self, lane: usize) {
        let parts = self.seasons.iter_mut().chain([&mut self.trend, &mut self.remainder]);
        parts.flat_map(|rows| rows.iter_mut()).for_each(|row| row[lane] = row[lane - 1]);
    }
}

fn slots(parts: &mut Parts<Lanes>) -> Vec<Slot<'_>> {
    let both = parts.trend.par_groups_mut().zip(parts.remainder.par_groups_mut());
    let mut slots: Vec<Slot<'_>> =
        both.map(|((_, trend), (_, remainder))| Slot { trend, seasons: Vec::new(), remainder }).collect();
    for season in &mut parts.seasons {
        let groups: Vec<_> = season.par_groups_mut().collect();
        slots.iter_mut().zip(groups).for_each(|(slot, (_, rows))| slot.seasons.push(rows));
    }
    slots
}

/// One season's smoothers as lanes use them.
struct Plan {
    season: usize,
    /// Slots that have a cycle more than the others.
    longer: usize,
    cycles: [Blocks; 2],
    low_pass: Blocks,
    trend: Blocks,
}

impl Plan {
    fn new(stl: &Stl, steps: usize) -> Self {
        Self {
            season: stl.season,
            longer: stl.longer_slots(steps),
            cycles: [stl.cycles[0].blocks(), stl.cycles[1].blocks()],
            low_pass: stl.low_pass.blocks(),
            trend: stl.trend.blocks(),
        }
    }
}

/// Rows that one task reuses from group to group.
struct Scratch {
    /// The series without the other seasons.
    input: Vec<Row>,
    /// What is smoothed next.
    work: Vec<Row>,
    /// Smoothed cycles, one more at either end.
    cycles: Vec<Row>,
    /// Two stages of the low-pass filter.
    means: [Vec<Row>; 2],
}

impl Scratch {
    fn new(plans: &[Plan], steps: usize) -> Self {
        let longest = plans.iter().map(|plan| plan.season).max().unwrap_or(0);
        let rows = |count: usize| vec![[0.0; LANES]; count];
        let extended = steps + 2 * longest;
        Self { input: rows(steps), work: rows(steps), cycles: rows(extended), means: [rows(extended), rows(extended)] }
    }
}

struct Mstl16<'a, 'b> {
    y: &'a [Row],
    plans: &'a [Plan],
    slot: &'a mut Slot<'b>,
    scratch: &'a mut Scratch,
}

impl WithSimd for Mstl16<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        if S::IS_SCALAR { self.run::<false>() } else { self.run::<true>() }
    }
}

impl Mstl16<'_, '_> {
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Self { y, plans, slot, scratch } = self;
        for _ in 0..rounds(plans.len()) {
            for (i, plan) in plans.iter().enumerate() {
                scratch.input.copy_from_slice(y);
                for other in (0..plans.len()).filter(|&other| other != i) {
                    take(&mut scratch.input, slot.seasons[other]);
                }
                stl16::<FMA>(plan, slot.seasons[i], slot.trend, scratch);
            }
        }
        slot.remainder.copy_from_slice(y);
        take(slot.remainder, slot.trend);
        slot.seasons.iter().for_each(|season| take(slot.remainder, season));
    }
}

/// Season and trend of `scratch.input`.
#[inline(always)]
fn stl16<const FMA: bool>(plan: &Plan, season: &mut [Row], trend: &mut [Row], scratch: &mut Scratch) {
    let (steps, length) = (season.len(), plan.season);
    let Scratch { input, work, cycles, means } = scratch;
    let cycles = &mut cycles[..steps + 2 * length];
    let [first, second] = means;
    let (first, second) = (&mut first[..steps + length + 1], &mut second[..steps + 2]);
    for round in 0..INNER_ROUNDS {
        work.copy_from_slice(input);
        if round > 0 {
            take(work, trend);
        }
        for slot in 0..length {
            let blocks = &plan.cycles[usize::from(slot >= plan.longer)];
            smooth16::<FMA>(blocks, work, slot, length, cycles);
        }
        moving_mean16(cycles, length, first);
        moving_mean16(first, length, second);
        moving_mean16(second, 3, work);
        smooth16::<FMA>(&plan.low_pass, work, 0, 1, season);
        for t in 0..steps {
            for lane in 0..LANES {
                season[t][lane] = cycles[length + t][lane] - season[t][lane];
                work[t][lane] = input[t][lane] - season[t][lane];
            }
        }
        smooth16::<FMA>(&plan.trend, work, 0, 1, trend);
    }
}

/// Smooths the rows `offset, offset + stride, …` of `x` into the same rows of `out`.
#[inline(always)]
fn smooth16<const FMA: bool>(blocks: &Blocks, x: &[Row], offset: usize, stride: usize, out: &mut [Row]) {
    for (block, place) in blocks.places.iter().enumerate() {
        let weights = &blocks.weights[place.from as usize..][..place.len as usize];
        let sums = block16::<FMA>(weights, &x[place.first as usize * stride + offset..], stride);
        let outputs = block * BLOCK..((block + 1) * BLOCK).min(blocks.outputs);
        for (output, sums) in outputs.zip(sums) {
            out[output * stride + offset] = sums;
        }
    }
}

/// The outputs of one block, all their sums in registers.
#[inline(always)]
fn block16<const FMA: bool>(weights: &[[f32; BLOCK]], x: &[Row], stride: usize) -> [Row; BLOCK] {
    let mut sums = [[0.0; LANES]; BLOCK];
    let x = &x[..(weights.len() - 1) * stride + 1];
    let mut at = 0;
    for weights in weights {
        let row = x[at];
        for o in 0..BLOCK {
            for lane in 0..LANES {
                sums[o][lane] = fused::<FMA>(weights[o], row[lane], sums[o][lane]);
            }
        }
        at += stride;
    }
    sums
}

#[inline(always)]
fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Means of `width` rows in a row. A running sum starts anew now and then, so that its roundings stay few.
#[inline(always)]
fn moving_mean16(x: &[Row], width: usize, out: &mut [Row]) {
    let share = 1.0 / width as f32;
    for (segment, out) in out.chunks_mut(segment(width)).enumerate() {
        let x = &x[segment * self::segment(width)..][..out.len() + width - 1];
        let mut sum = [0.0; LANES];
        for row in &x[..width - 1] {
            for lane in 0..LANES {
                sum[lane] += row[lane];
            }
        }
        for ((out, last), first) in out.iter_mut().zip(&x[width - 1..]).zip(x) {
            for lane in 0..LANES {
                let total = sum[lane] + last[lane];
                out[lane] = total * share;
                sum[lane] = total - first[lane];
            }
        }
    }
}

#[inline(always)]
fn take(from: &mut [Row], part: &[Row]) {
    for (from, part) in from.iter_mut().zip(part) {
        for lane in 0..LANES {
            from[lane] -= part[lane];
        }
    }
}
