//! The fit of what is linear in its parameters: a line that bends, and effects that are added to it.

use foreshadow_kernels::products::{Design, Layout, masked_cross, masked_gram, take_fitted};
use foreshadow_kernels::regression::shrunk_regression;
use foreshadow_kernels::shrink::{Moments, Prior, Shrunk, shrink};
use foreshadow_kernels::{Device, KernelError, Lanes};
use rayon::prelude::*;

use super::fit::{Candidate, Fit, Found, Group, NOISE_FLOOR, NOISE_SCALE, TREND_PRECISION};
use crate::device::{largest, moves, put, together};

/// Series of a chunk: their values stay in the second-level cache, and one Gram serves many.
const CHUNK: usize = 64;
/// Series with gaps, each with a Gram of its own, that a device is given at once.
const GAPPED: usize = 8_192;

pub(super) fn fit(group: &Group<'_>, candidates: &[Candidate], device: &Device) -> Result<Vec<Fit>, KernelError> {
    let design = Design::new(group.time(), group.features.columns(), |t, column| group.value(t, column));
    let precisions = [TREND_PRECISION; 2].into_iter().chain(group.features.precisions.iter().copied());
    let prior = Prior {
        precisions: precisions.collect(),
        laplace_scale: group.settings.changepoint_scale,
        noise_scale: NOISE_SCALE,
        noise_floor: NOISE_FLOOR,
    };
    let on_host = |some: &[&Candidate]| -> Result<Vec<Fit>, KernelError> {
        let chunks = some.par_chunks(CHUNK).map(|chunk| fit_chunk(group, &design, &prior, chunk));
        Ok(chunks.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    };
    let all = candidates.iter();
    if matches!(device, Device::Cpu) {
        return on_host(&Vec::from_iter(all));
    }
    let (moving, still): (Vec<_>, Vec<_>) = all.partition(|one| moves(group.window.values(one.series)));
    let (gapped, full): (Vec<_>, Vec<_>) = moving.into_iter().partition(|one| !one.layout.missing.is_empty());
    let most = together(device, group.shape.steps, CHUNK);
    let mut fits = on_host(&still)?;
    for chunk in full.chunks(most).chain(gapped.chunks(most.min(GAPPED))) {
        fits.extend(fit_on_device(group, &design, &prior, chunk, device)?);
    }
    Ok(fits)
}

/// Both rounds in one chain on a device, of values over the largest.
fn fit_on_device(
    group: &Group<'_>,
    design: &Design,
    prior: &Prior,
    chunk: &[&Candidate],
    device: &Device,
) -> Result<Vec<Fit>, KernelError> {
    let values = |i: usize| group.window.values(chunk[i].series);
    let scales: Vec<f64> = (0..chunk.len()).into_par_iter().map(|i| largest(values(i))).collect();
    let y = Lanes::from_fn(group.shape.steps, chunk.len(), |t, i| (values(i)[t] / scales[i]) as f32);
    let (layouts, layout_of) = layouts(chunk);
    let grams = masked_gram(design, &layouts)?;
    let x = design.to_device(device, &layouts, &layout_of)?;
    let problem = prior.to_device(device, x.order(), &grams, &layout_of)?;
    let fit = shrunk_regression(&x, &problem, &put(y, device)?)?.fit.to_host()?;
    let ends = chunk.iter().zip(&scales).enumerate();
    let finish = |(at, (one, &scale)): (usize, (&&Candidate, &f64))| {
        group.finish(one, found(&fit, design.columns(), x.order(), scale, at))
    };
    Ok(ends.map(finish).collect())
}

/// Two rounds: the second, about the first one's result, gives back the digits that a large level and
/// sum of squares took.
fn fit_chunk(group: &Group<'_>, design: &Design, prior: &Prior, chunk: &[&Candidate]) -> Result<Vec<Fit>, KernelError> {
    let steps = group.shape.steps;
    let order = design.columns() + group.shape.knots;
    let (layouts, layout_of) = layouts(chunk);
    let mut start = vec![0.0; chunk.len() * order];
    let mut y = vec![0.0; chunk.len() * steps];
    let mut scales = Vec::with_capacity(chunk.len());
    for ((one, y), start) in chunk.iter().zip(y.chunks_exact_mut(steps)).zip(start.chunks_exact_mut(order)) {
        let (scale, mean) = scale_and_centre(&group.window.values(one.series)[..steps], one.observed, y);
        scales.push(scale);
        start[0] = mean;
    }
    let grams = masked_gram(design, &layouts)?;
    let round = |y: &[f64], start: &[f64]| {
        let square = |y: &[f64]| y.iter().filter(|v| !v.is_nan()).map(|v| v * v).sum();
        let each = chunk.iter().zip(y.chunks_exact(steps));
        let moments: Vec<_> = each.map(|(one, y)| Moments { count: one.observed, square: square(y) }).collect();
        let cross = masked_cross(design, &layouts, &layout_of, y)?;
        shrink(prior, &grams, &layout_of, &moments, &cross, start)
    };
    let first = round(&y, &start)?;
    let moved: Vec<f64> = first.x.iter().zip(&start).map(|(x, start)| x - start).collect();
    take_fitted(design, &layouts, &layout_of, &moved, &mut y)?;
    let second = round(&y, &first.x)?;
    let ends = chunk.iter().zip(&scales).enumerate();
    Ok(ends.map(|(at, (one, &scale))| group.finish(one, found(&second, design.columns(), order, scale, at))).collect())
}

fn found(fit: &Shrunk, columns: usize, order: usize, y_scale: f64, at: usize) -> Found {
    let (smooth, delta) = fit.x[at * order..][..order].split_at(columns);
    Found {
        smooth: smooth.to_vec(),
        delta: delta.to_vec(),
        sigma: fit.noise[at],
        y_scale,
        converged: fit.converged[at],
    }
}

/// The chunk's distinct layouts, and which one each series has; only the full one is looked for, since
/// two series hardly ever miss the same steps.
fn layouts(chunk: &[&Candidate]) -> (Vec<Layout>, Vec<usize>) {
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
    let scale = largest(values);
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
