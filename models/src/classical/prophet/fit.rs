//! The fit of a window: series that share a design go together, a chunk of them at a time.

use std::collections::BTreeMap;

use foreshadow_kernels::KernelError;
use foreshadow_kernels::products::{Design, Layout, masked_cross, masked_gram, take_fitted};
use foreshadow_kernels::shrink::{Moments, Prior, Shrunk, shrink};
use rayon::prelude::*;

use super::seasons::Seasons;
use super::{FittedProphet, Learned};
use crate::{FitStatus, Window};

/// Series of a chunk: their values stay in the second-level cache, and one Gram serves many.
const CHUNK: usize = 64;
const CHANGEPOINTS: usize = 25;
const CHANGEPOINT_RANGE: f64 = 0.8;
/// Precision of `k` and `m`, whose prior is normal with a deviation of 5.
const TREND_PRECISION: f64 = 1.0 / 25.0;
/// Precision of `beta`, whose prior is normal with a deviation of 10.
const WAVE_PRECISION: f64 = 1.0 / 100.0;
const CHANGEPOINT_SCALE: f64 = 0.05;
const NOISE_SCALE: f64 = 0.5;
/// Noise of a count of 1e12 that is told to its last digit: less is rounding.
const NOISE_FLOOR: f64 = 1e-12;

/// What series must share to share a design: grid steps, seasons, and the number of changepoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    steps: usize,
    seasons: Seasons,
    knots: usize,
}

/// A series that can be fitted.
struct Candidate {
    series: usize,
    layout: Layout,
    observed: usize,
}

pub(super) fn fit(window: &Window<'_>) -> Result<FittedProphet, KernelError> {
    let sorted: Vec<Result<(Shape, Candidate), FitStatus>> =
        (0..window.series_count()).into_par_iter().map(|s| examine(window, s)).collect();
    let mut status = Vec::with_capacity(sorted.len());
    let mut learned: Vec<Option<Learned>> = Vec::with_capacity(sorted.len());
    let mut shapes: BTreeMap<Shape, Vec<Candidate>> = BTreeMap::new();
    for (s, one) in sorted.into_iter().enumerate() {
        match one {
            Ok((shape, candidate)) => {
                shapes.entry(shape).or_default().push(candidate);
                status.push(FitStatus::NotConverged); // until its chunk says otherwise
                learned.push(None);
            }
            Err(why) => {
                learned.push((why == FitStatus::Constant).then(|| constant(window, s)));
                status.push(why);
            }
        }
    }
    let waves = Waves::new(window, shapes.keys());
    let fits = shapes.par_iter().map(|(shape, candidates)| {
        let design = waves.design(shape);
        let chunks = candidates.par_chunks(CHUNK).map(|chunk| fit_chunk(window, shape, &design, chunk));
        chunks.collect::<Result<Vec<_>, _>>()
    });
    for (s, why, fit) in fits.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().flatten() {
        status[s] = why;
        learned[s] = fit;
    }
    Ok(FittedProphet { step_ms: window.step_ms(), status, learned })
}

/// Tells the series that can be fitted, with its rows and changepoints, from those that cannot.
fn examine(window: &Window<'_>, s: usize) -> Result<(Shape, Candidate), FitStatus> {
    let values = window.values(s);
    let steps = values.iter().rposition(|v| !v.is_nan()).map_or(0, |last| last + 1);
    let values = &values[..steps];
    let missing: Vec<u32> = values.iter().enumerate().filter(|(_, v)| v.is_nan()).map(|(t, _)| t as u32).collect();
    let observed = steps - missing.len();
    match observed {
        0 => return Err(FitStatus::NoData),
        1 => return Err(FitStatus::TooShort { observed, needed: 2 }),
        _ if values.iter().all(|v| v.is_nan() || *v == values[0]) => return Err(FitStatus::Constant),
        _ => {}
    }
    let knots = changepoints(&missing, observed);
    let step_ms = window.step_ms() as f64;
    let seasons = Seasons::of((steps - 1) as f64 * step_ms, closest(values, &missing) as f64 * step_ms);
    let shape = Shape { steps, seasons, knots: knots.len() };
    Ok((shape, Candidate { series: s, layout: Layout { missing, knots }, observed }))
}

/// The steps of Prophet's changepoints: even places, halves to even, among the first 80 % of the observed
/// rows, the first row left out (`set_changepoints`).
fn changepoints(missing: &[u32], observed: usize) -> Vec<u32> {
    let history = (observed as f64 * CHANGEPOINT_RANGE).floor() as usize;
    let count = CHANGEPOINTS.min(history.saturating_sub(1));
    let apart = history.saturating_sub(1) as f64 / count.max(1) as f64;
    let mut passed = 0; // missing steps before the row
    let mut step_of = |row: u32| {
        while missing.get(passed).is_some_and(|&step| step <= row + passed as u32) {
            passed += 1;
        }
        row + passed as u32
    };
    (1..=count).map(|i| step_of((i as f64 * apart).round_ties_even() as u32)).collect()
}

/// Least distance, in steps, between two observations.
fn closest(values: &[f64], missing: &[u32]) -> usize {
    if 2 * missing.len() + 1 < values.len() {
        return 1; // more than every other step is there
    }
    let seen: Vec<usize> = (0..values.len()).filter(|&t| !values[t].is_nan()).collect();
    seen.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(1)
}

/// The waves of every step of the longest series, reckoned once.
struct Waves {
    seasons: Vec<(Seasons, Vec<Vec<f64>>)>,
}

impl Waves {
    fn new<'a>(window: &Window<'_>, shapes: impl Iterator<Item = &'a Shape>) -> Self {
        let mut longest: BTreeMap<Seasons, usize> = BTreeMap::new();
        for shape in shapes {
            let steps = longest.entry(shape.seasons).or_default();
            *steps = shape.steps.max(*steps);
        }
        let step_ms = window.step_ms() as f64;
        let rows = |(seasons, steps): (Seasons, usize)| {
            (seasons, (0..steps).into_par_iter().map(|t| seasons.waves(t as f64 * step_ms)).collect())
        };
        Self { seasons: longest.into_iter().map(rows).collect() }
    }

    fn design(&self, shape: &Shape) -> Design {
        let (_, rows) =
            self.seasons.iter().find(|(seasons, _)| *seasons == shape.seasons).expect("new saw every shape");
        let span = (shape.steps - 1) as f64;
        let time = (0..shape.steps).map(|t| t as f64 / span).collect();
        Design::new(time, shape.seasons.columns(), |t, column| rows[t][column])
    }
}

type Fit = (usize, FitStatus, Option<Learned>);

/// Two rounds: the second, about the first one's result, gives back the digits that a large level and
/// sum of squares took.
fn fit_chunk(
    window: &Window<'_>,
    shape: &Shape,
    design: &Design,
    chunk: &[Candidate],
) -> Result<Vec<Fit>, KernelError> {
    let prior = Prior {
        precisions: (0..design.columns()).map(|i| if i < 2 { TREND_PRECISION } else { WAVE_PRECISION }).collect(),
        laplace_scale: CHANGEPOINT_SCALE,
        noise_scale: NOISE_SCALE,
        noise_floor: NOISE_FLOOR,
    };
    let order = design.columns() + shape.knots;
    let (layouts, layout_of) = layouts(chunk);
    let mut start = vec![0.0; chunk.len() * order];
    let mut y = vec![0.0; chunk.len() * shape.steps];
    let mut scales = Vec::with_capacity(chunk.len());
    for ((one, y), start) in chunk.iter().zip(y.chunks_exact_mut(shape.steps)).zip(start.chunks_exact_mut(order)) {
        let (scale, mean) = scale_and_centre(&window.values(one.series)[..shape.steps], one.observed, y);
        scales.push(scale);
        start[0] = mean;
    }
    let grams = masked_gram(design, &layouts)?;
    let round = |y: &[f64], start: &[f64]| {
        let square = |y: &[f64]| y.iter().filter(|v| !v.is_nan()).map(|v| v * v).sum();
        let each = chunk.iter().zip(y.chunks_exact(shape.steps));
        let moments: Vec<_> = each.map(|(one, y)| Moments { count: one.observed, square: square(y) }).collect();
        let cross = masked_cross(design, &layouts, &layout_of, y)?;
        shrink(&prior, &grams, &layout_of, &moments, &cross, start)
    };
    let first = round(&y, &start)?;
    let moved: Vec<f64> = first.x.iter().zip(&start).map(|(x, start)| x - start).collect();
    take_fitted(design, &layouts, &layout_of, &moved, &mut y)?;
    let second = round(&y, &first.x)?;
    Ok((0..chunk.len()).map(|at| finish(window, shape, &chunk[at], scales[at], &second, at)).collect())
}

/// The chunk's distinct layouts, and which one each series has; only the full one is looked for, since
/// two series hardly ever miss the same steps.
fn layouts(chunk: &[Candidate]) -> (Vec<Layout>, Vec<usize>) {
    let mut layouts: Vec<Layout> = Vec::new();
    let mut full = None;
    let mut layout_of = Vec::with_capacity(chunk.len());
    for one in chunk {
        let known = if one.layout.missing.is_empty() { full } else { None };
        let index = known.unwrap_or(layouts.len());
        if index == layouts.len() {
            layouts.push(one.layout.clone());
        }
        if one.layout.missing.is_empty() {
            full = Some(index);
        }
        layout_of.push(index);
    }
    (layouts, layout_of)
}

/// Writes `values / scale - mean` and returns both: Prophet's `absmax` scale, and the mean after it.
fn scale_and_centre(values: &[f64], observed: usize, scaled: &mut [f64]) -> (f64, f64) {
    let scale = values.iter().fold(0.0, |most: f64, v| most.max(v.abs())); // `max` passes over a NaN
    let mut sum = 0.0;
    for (scaled, value) in scaled.iter_mut().zip(values) {
        *scaled = value / scale;
        sum += if scaled.is_nan() { 0.0 } else { *scaled };
    }
    let mean = sum / observed as f64;
    for scaled in scaled {
        *scaled -= mean;
    }
    (scale, mean)
}

fn finish(window: &Window<'_>, shape: &Shape, one: &Candidate, y_scale: f64, fit: &Shrunk, at: usize) -> Fit {
    let smooth = 2 + shape.seasons.columns();
    let x = &fit.x[at * (smooth + shape.knots)..][..smooth + shape.knots];
    let finite = y_scale.is_finite() && fit.noise[at].is_finite() && x.iter().all(|x| x.is_finite());
    if !finite || !fit.converged[at] {
        return (one.series, FitStatus::NotConverged, None);
    }
    let learned = Learned {
        span_steps: shape.steps - 1,
        window_steps: window.values(one.series).len(),
        start_ms: window.start_ms(one.series),
        seasons: shape.seasons,
        y_scale,
        smooth: x[..smooth].to_vec(),
        delta: x[smooth..].to_vec(),
        knots: one.layout.knots.clone(),
        sigma: fit.noise[at],
    };
    (one.series, FitStatus::Fitted, Some(learned))
}

/// A series that never changes: its value, and no width.
fn constant(window: &Window<'_>, s: usize) -> Learned {
    let values = window.values(s);
    Learned {
        span_steps: values.len(),
        window_steps: values.len(),
        start_ms: window.start_ms(s),
        seasons: Seasons::of(0.0, 0.0),
        y_scale: 1.0,
        smooth: vec![values[0], 0.0],
        delta: Vec::new(),
        knots: Vec::new(),
        sigma: 0.0,
    }
}
