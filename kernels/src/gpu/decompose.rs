//! MSTL: of a short grid one linear map, else smoother after smoother, where a unit adds up a block of outputs of one
//! series; series with gaps take kernels of their own, which make each fit's weights as they go.

use cubecl::prelude::*;
use cubecl::server::Handle;

use super::{Buffer, array};
use crate::KernelError;
use crate::decompose::loess::{BLOCK, Blocks, Smoother};
use crate::decompose::{INNER_ROUNDS, Parts, Stl, rounds, segment};

mod gaps;
mod map;

use gaps::{Fit, launch_fits, launch_marks, series_with_gaps, take_series, with_series};
use map::Map;

/// Iterations that software Vulkan grants one unit; one that looks for a far neighbour may walk all steps.
const MOST_STEPS: usize = 65_000;
/// Marks of a series: wholly observed, with gaps, with a slot that was never observed.
const WHOLE: u32 = 0;
const GAPS: u32 = 1;
const HOPELESS: u32 = 2;

/// See [`crate::decompose()`].
pub(crate) fn decompose<R: Runtime>(y: &Buffer<R>, stls: &[Stl]) -> Result<Parts<Buffer<R>>, KernelError> {
    let (gpu, steps) = (y.gpu(), y.steps());
    if steps > MOST_STEPS {
        let reason = format!("{steps} steps are more than the {MOST_STEPS} that one unit may walk");
        return Err(KernelError::Device { device: gpu.kind(), operation: "the decomposition", reason });
    }
    let holed = gaps::launch_holes(y);
    if !map::pays(gpu.is_software(), steps, stls) {
        let gaps = if series_with_gaps(gpu, &holed)?.is_empty() { Gaps::None } else { Gaps::Some };
        let parts = staged(y, stls, gaps);
        gpu.accepted("the decomposition")?;
        return Ok(parts);
    }
    let parts = Map::new(y, stls).apply(y);
    let holed = series_with_gaps(gpu, &holed)?;
    if !holed.is_empty() {
        let own = staged(&take_series(y, &holed), stls, Gaps::Some);
        let both = [(&own.trend, &parts.trend), (&own.remainder, &parts.remainder)];
        both.into_iter().chain(own.seasons.iter().zip(&parts.seasons)).for_each(|(own, all)| {
            with_series(own, &holed, all);
        });
    }
    gpu.accepted("the decomposition")?;
    Ok(parts)
}

/// What is known of a batch before its decomposition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gaps {
    None,
    Some,
}

/// Smooths stage by stage.
fn staged<R: Runtime>(y: &Buffer<R>, stls: &[Stl], gaps: Gaps) -> Parts<Buffer<R>> {
    let (gpu, steps, series) = (y.gpu(), y.steps(), y.series());
    let empty = || y.empty(steps, series);
    let parts = Parts { trend: empty(), seasons: stls.iter().map(|_| empty()).collect(), remainder: empty() };
    let marks = gpu.upload(&vec![WHOLE; series]);
    if gaps == Gaps::Some {
        stls.iter().for_each(|stl| launch_marks(y, stl.season, &marks));
    }
    let scratch = Scratch::new(y, stls);
    let plans: Vec<Plan<R>> = stls.iter().map(|stl| Plan::upload(y, stl, &marks, gaps)).collect();
    for round in 0..rounds(stls.len()) {
        for (i, plan) in plans.iter().enumerate() {
            // A season that was not estimated yet is none.
            let known = (0..plans.len()).filter(|&other| other != i && (round > 0 || other < i));
            let others: Vec<_> = known.map(|other| &parts.seasons[other]).collect();
            match others.split_first() {
                None => plan.stl(y, &scratch, &parts.seasons[i], &parts.trend),
                Some((first, rest)) => {
                    launch_less(y, first, &scratch.input);
                    rest.iter().for_each(|other| launch_take(&scratch.input, other));
                    plan.stl(&scratch.input, &scratch, &parts.seasons[i], &parts.trend);
                }
            }
        }
    }
    launch_less(y, &parts.trend, &parts.remainder);
    parts.seasons.iter().for_each(|season| launch_take(&parts.remainder, season));
    if gaps == Gaps::Some {
        launch_blank(y, &marks, &parts.remainder, true);
        parts.seasons.iter().chain([&parts.trend]).for_each(|part| launch_blank(y, &marks, part, false));
    }
    parts
}

/// See [`crate::without_seasons`].
pub(crate) fn without_seasons<R: Runtime>(a: &Buffer<R>, b: &Buffer<R>) -> Result<Buffer<R>, KernelError> {
    let (out, count) = (a.empty(a.steps(), a.series()), a.steps() * a.series());
    let (cubes, dim) = a.gpu().one_unit_per(count);
    // SAFETY: all three hold `count` elements; units past the last stop.
    unsafe { add::launch_unchecked::<R>(a.gpu().client(), cubes, dim, a.arg(), b.arg(), out.arg(), count as u32) }
    a.gpu().accepted("the sum of trend and remainder")?;
    Ok(out)
}

/// Memory that every season's STL uses in turn.
struct Scratch<R: Runtime> {
    /// The series without the other seasons.
    input: Buffer<R>,
    /// What is smoothed next.
    work: Buffer<R>,
    /// Smoothed cycles, one more at either end.
    cycles: Buffer<R>,
    /// Two stages of the low-pass filter.
    means: [Buffer<R>; 2],
}

impl<R: Runtime> Scratch<R> {
    fn new(y: &Buffer<R>, stls: &[Stl]) -> Self {
        let longest = stls.iter().map(|stl| stl.season).max().unwrap_or(0);
        let rows = |more: usize| y.empty(y.steps() + more, y.series());
        let extended = || rows(2 * longest);
        Self { input: rows(0), work: rows(0), cycles: extended(), means: [extended(), extended()] }
    }
}

/// A smoother in device memory.
struct Table {
    /// First input, first row of weights and inputs of each block.
    places: Handle,
    blocks: usize,
    weights: Handle,
    weight_count: usize,
    outputs: usize,
}

impl Table {
    fn upload<R: Runtime>(y: &Buffer<R>, smoother: &Smoother) -> Self {
        let Blocks { places, weights, outputs } = smoother.blocks();
        let flat: Vec<u32> = places.iter().flat_map(|place| [place.first, place.from, place.len]).collect();
        Self {
            places: y.gpu().upload(&flat),
            blocks: places.len(),
            weights: y.gpu().upload(weights.as_flattened()),
            weight_count: weights.len() * BLOCK,
            outputs,
        }
    }
}

/// One season's STL on a device.
struct Plan<'a, R: Runtime> {
    y: &'a Buffer<R>,
    stl: &'a Stl,
    marks: &'a Handle,
    gaps: Gaps,
    cycles: [Table; 2],
    low_pass: Table,
    trend: Table,
}

/// Which rows a smoother reads and writes: `stride * place + slot` for so many slots from the first.
struct Strided {
    slot: usize,
    slots: usize,
    stride: usize,
}

const EVERY_ROW: Strided = Strided { slot: 0, slots: 1, stride: 1 };

impl<'a, R: Runtime> Plan<'a, R> {
    fn upload(y: &'a Buffer<R>, stl: &'a Stl, marks: &'a Handle, gaps: Gaps) -> Self {
        let table = |smoother| Table::upload(y, smoother);
        let [longer, others] = &stl.cycles;
        let cycles = [table(longer), table(others)];
        Self { y, stl, marks, gaps, cycles, low_pass: table(&stl.low_pass), trend: table(&stl.trend) }
    }

    /// Season and trend of `input`.
    fn stl(&self, input: &Buffer<R>, scratch: &Scratch<R>, season: &Buffer<R>, trend: &Buffer<R>) {
        let (steps, stride) = (self.y.steps(), self.stl.season);
        let longer = self.stl.longer_slots(steps);
        let Scratch { work, cycles, means: [first, second], .. } = scratch;
        for round in 0..INNER_ROUNDS {
            if round > 0 {
                launch_less(input, trend, work);
            }
            let detrended = if round > 0 { work } else { input };
            let (long, short) = (Strided { slot: 0, slots: longer, stride }, longer..stride);
            self.smooth(&self.cycles[0], detrended, long, WHOLE, cycles);
            let short = Strided { slot: short.start, slots: short.len(), stride };
            self.smooth(&self.cycles[1], detrended, short, WHOLE, cycles);
            let fit = Fit { rows: steps + 2 * stride, stride, past: 1, loess: self.stl.windows.season_loess(0) };
            self.fit(&fit, detrended, cycles);
            launch_means(cycles, stride, steps + stride + 1, first);
            launch_means(first, stride, steps + 2, second);
            launch_means(second, 3, steps, work);
            self.smooth(&self.low_pass, work, EVERY_ROW, HOPELESS, first);
            launch_split(input, cycles, first, stride, season, work);
            self.smooth(&self.trend, work, EVERY_ROW, WHOLE, trend);
            let fit = Fit { rows: steps, stride: 1, past: 0, loess: self.stl.windows.trend_loess(steps) };
            self.fit(&fit, work, trend);
        }
    }

    /// Fits the series with gaps.
    fn fit(&self, fit: &Fit, x: &Buffer<R>, out: &Buffer<R>) {
        if self.gaps == Gaps::Some {
            launch_fits(self.y, self.marks, fit, x, out);
        }
    }

    /// Smooths the series whose mark is at most `most`.
    fn smooth(&self, table: &Table, x: &Buffer<R>, rows: Strided, most: u32, out: &Buffer<R>) {
        let (gpu, series) = (self.y.gpu(), self.y.series());
        let jobs = table.blocks * rows.slots;
        if jobs == 0 {
            return;
        }
        let (cubes, dim) = gpu.one_unit_per(jobs * series);
        // SAFETY: a block's inputs lie among the smoother's, which `x` holds at the stride of `rows`; `out`
        // holds its outputs at the same stride; the table has what `Table::upload` made. Units past the last
        // block and slot stop.
        unsafe {
            weigh::launch_unchecked::<R>(
                gpu.client(),
                cubes,
                dim,
                x.arg(),
                array(&table.places, 3 * table.blocks),
                array(&table.weights, table.weight_count),
                array(self.marks, series),
                out.arg(),
                jobs as u32,
                rows.slots as u32,
                rows.slot as u32,
                rows.stride as u32,
                table.outputs as u32,
                most,
            );
        }
    }
}

fn launch_less<R: Runtime>(a: &Buffer<R>, b: &Buffer<R>, out: &Buffer<R>) {
    let count = out.steps() * out.series();
    let (cubes, dim) = out.gpu().one_unit_per(count);
    // SAFETY: all three hold at least `count` elements; units past the last stop.
    unsafe { less::launch_unchecked::<R>(out.gpu().client(), cubes, dim, a.arg(), b.arg(), out.arg(), count as u32) }
}

fn launch_take<R: Runtime>(from: &Buffer<R>, part: &Buffer<R>) {
    let count = from.steps() * from.series();
    let (cubes, dim) = from.gpu().one_unit_per(count);
    // SAFETY: both hold `count` elements; units past the last stop.
    unsafe { take::launch_unchecked::<R>(from.gpu().client(), cubes, dim, from.arg(), part.arg(), count as u32) }
}

fn launch_means<R: Runtime>(x: &Buffer<R>, width: usize, outputs: usize, out: &Buffer<R>) {
    let (gpu, series) = (x.gpu(), x.series());
    let (cubes, dim) = gpu.one_unit_per(outputs.div_ceil(segment(width)) * series);
    // SAFETY: `x` has at least `outputs + width - 1` rows and `out` as many as outputs; units past the last
    // segment stop, and none goes past the last output.
    unsafe {
        means::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            x.arg(),
            out.arg(),
            series as u32,
            width as u32,
            outputs as u32,
            segment(width) as u32,
        );
    }
}

fn launch_split<R: Runtime>(
    input: &Buffer<R>,
    cycles: &Buffer<R>,
    low: &Buffer<R>,
    length: usize,
    season: &Buffer<R>,
    rest: &Buffer<R>,
) {
    let (gpu, count) = (season.gpu(), season.steps() * season.series());
    let (cubes, dim) = gpu.one_unit_per(count);
    let ahead = (length * season.series()) as u32;
    // SAFETY: all hold at least `count` elements and `cycles` a season's rows more; units past the last stop.
    unsafe {
        split::launch_unchecked::<R>(
            gpu.client(),
            cubes,
            dim,
            input.arg(),
            cycles.arg(),
            low.arg(),
            season.arg(),
            rest.arg(),
            ahead,
            count as u32,
        );
    }
}

fn launch_blank<R: Runtime>(y: &Buffer<R>, marks: &Handle, part: &Buffer<R>, at_gaps: bool) {
    let (gpu, series) = (y.gpu(), y.series());
    let (cubes, dim) = gpu.one_unit_per(y.steps() * series);
    // SAFETY: `y` and `part` hold `steps * series` elements, `marks` one a series; units past the last stop.
    unsafe {
        let (y, marks) = (y.arg(), array(marks, series));
        blank::launch_unchecked::<R>(gpu.client(), cubes, dim, y, marks, part.arg(), f32::NAN, at_gaps);
    }
}

/// One unit a block of outputs, slot and series.
#[cube(launch_unchecked)]
fn weigh(
    x: &Array<f32>,
    places: &Array<u32>,
    weights: &Array<f32>,
    marks: &Array<u32>,
    out: &mut Array<f32>,
    jobs: u32,
    slots: u32,
    first_slot: u32,
    stride: u32,
    outputs: u32,
    most: u32,
) {
    let series = marks.len() as u32;
    let s = ABSOLUTE_POS as u32 % series;
    let job = ABSOLUTE_POS as u32 / series;
    if job < jobs && marks[s as usize] <= most {
        let block = job / slots;
        let slot = first_slot + job % slots;
        let first = places[(3 * block) as usize];
        let from = places[(3 * block + 1) as usize];
        let len = places[(3 * block + 2) as usize];
        let mut sum0 = 0.0f32;
        let mut sum1 = 0.0f32;
        let mut sum2 = 0.0f32;
        let mut sum3 = 0.0f32;
        let mut sum4 = 0.0f32;
        let mut sum5 = 0.0f32;
        for i in 0..len {
            let value = x[(((first + i) * stride + slot) * series + s) as usize];
            let row = (6 * (from + i)) as usize;
            sum0 += weights[row] * value;
            sum1 += weights[row + 1] * value;
            sum2 += weights[row + 2] * value;
            sum3 += weights[row + 3] * value;
            sum4 += weights[row + 4] * value;
            sum5 += weights[row + 5] * value;
        }
        let output = 6 * block;
        let to = ((output * stride + slot) * series + s) as usize;
        let next = (stride * series) as usize;
        out[to] = sum0;
        if output + 1 < outputs {
            out[to + next] = sum1;
        }
        if output + 2 < outputs {
            out[to + 2 * next] = sum2;
        }
        if output + 3 < outputs {
            out[to + 3 * next] = sum3;
        }
        if output + 4 < outputs {
            out[to + 4 * next] = sum4;
        }
        if output + 5 < outputs {
            out[to + 5 * next] = sum5;
        }
    }
}

#[cube(launch_unchecked)]
fn less(a: &Array<f32>, b: &Array<f32>, out: &mut Array<f32>, count: u32) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        out[at] = a[at] - b[at];
    }
}

#[cube(launch_unchecked)]
fn add(a: &Array<f32>, b: &Array<f32>, out: &mut Array<f32>, count: u32) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        out[at] = a[at] + b[at];
    }
}

#[cube(launch_unchecked)]
fn take(from: &mut Array<f32>, part: &Array<f32>, count: u32) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        from[at] -= part[at];
    }
}

/// One unit a segment of outputs and series.
#[cube(launch_unchecked)]
fn means(x: &Array<f32>, out: &mut Array<f32>, series: u32, width: u32, outputs: u32, segment: u32) {
    let s = ABSOLUTE_POS as u32 % series;
    let first = ABSOLUTE_POS as u32 / series * segment;
    if first < outputs {
        let share = 1.0f32 / f32::cast_from(width);
        let mut sum = 0.0f32;
        for i in 0..width {
            sum += x[((first + i) * series + s) as usize];
        }
        out[(first * series + s) as usize] = sum * share;
        let last = u32::min(first + segment, outputs);
        for t in first + 1..last {
            sum += x[((t + width - 1) * series + s) as usize] - x[((t - 1) * series + s) as usize];
            out[(t * series + s) as usize] = sum * share;
        }
    }
}

/// The season without what the low-pass filter left of it, and the series without that season.
#[cube(launch_unchecked)]
fn split(
    input: &Array<f32>,
    cycles: &Array<f32>,
    low: &Array<f32>,
    season: &mut Array<f32>,
    rest: &mut Array<f32>,
    ahead: u32,
    count: u32,
) {
    let at = ABSOLUTE_POS;
    if at < count as usize {
        let value = cycles[at + ahead as usize] - low[at];
        season[at] = value;
        rest[at] = input[at] - value;
    }
}

/// Marks what is not known, for WGSL promises nothing of a NaN that goes through arithmetic.
#[cube(launch_unchecked)]
fn blank(y: &Array<f32>, marks: &Array<u32>, part: &mut Array<f32>, missing: f32, #[comptime] at_gaps: bool) {
    let at = ABSOLUTE_POS;
    if at < y.len() {
        if marks[at % marks.len()] == HOPELESS {
            part[at] = missing;
        }
        if at_gaps && y[at].is_nan() {
            part[at] = missing;
        }
    }
}
