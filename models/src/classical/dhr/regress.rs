//! Many series of one length regressed on the same waves: how many waves each season has, and their coefficients.

use foreshadow_kernels::products::{Layout, masked_cross, masked_gram, take_fitted};
use foreshadow_kernels::{KernelError, aicc};

use super::autoregression::{before, whiten, yule_walker};
use super::factor::Factor;
use super::grid::{Grid, in_design};
use super::prepare::Ready;
use crate::classical::arima::needed;
use crate::transform::fill_gaps;

/// Rounds in which each season's number of waves is chosen anew.
const ROUNDS: usize = 3;

/// What a regression says of one series, standardised.
pub(super) struct Regressed {
    /// Waves of each season.
    pub(super) counts: Vec<usize>,
    /// Coefficients of the columns of [`super::waves::Waves::picked`].
    pub(super) coefficients: Vec<f64>,
    /// The series without its waves; NaN where unobserved.
    pub(super) errors: Vec<f64>,
    /// Differences that make the errors stationary.
    pub(super) differences: usize,
    /// Whether nothing but rounding is left once the errors are differenced and their mean is taken off.
    pub(super) exact: bool,
}

/// Regresses a few series of the grid's length.
///
/// 1. Ordinary least squares on every wave: what is left says how often to difference.
/// 2. The same on the differenced series: what is left is whitened by an autoregression.
/// 3. Differences and whitening turn and stretch each wave but leave the space that it spans (Grenander and Rosenblatt,
///    *Statistical Analysis of Stationary Time Series*, 1957, 7.3), so the whitened series is regressed on the very same
///    columns, with the same Gram matrix for all series that miss the same steps; each season's number of waves has the
///    least corrected Akaike criterion there, and the coefficients are turned back.
pub(super) fn regress<'a>(
    grid: &Grid<'_>,
    values: impl Fn(usize) -> &'a [f64],
    chunk: &[Ready],
) -> Result<Vec<Regressed>, KernelError> {
    let chunk = Chunk::new(grid, chunk)?;
    let y: Vec<f64> = chunk.members.iter().flat_map(|own| own.standardised(values(own.series))).collect();
    let (differenced, differences) = chunk.differenced(&y)?;
    let mut left = differenced.clone();
    let every = chunk.every(Steps::Late, &differenced)?;
    chunk.take(&every, &mut left)?;
    let steps = grid.design.steps();
    let mut white = Vec::with_capacity(left.len());
    let mut weights = Vec::with_capacity(chunk.members.len());
    for (i, (left, whole)) in left.chunks_exact(steps).zip(differenced.chunks_exact(steps)).enumerate() {
        let left = &left[differences[i]..];
        let known = deviation(left) <= chunk.members[i].floor;
        let own = if known { Vec::new() } else { yule_walker(left, grid.lags) };
        white.extend(whiten(whole, &own, grid.skip));
        weights.push(own);
    }
    let cross = chunk.cross(Steps::Late, &white)?;
    let mut rest = white.clone();
    chunk.take(&chunk.every(Steps::Late, &white)?, &mut rest)?;
    let mut found: Vec<Regressed> = (0..chunk.members.len())
        .map(|i| {
            let cross = &cross[i * grid.waves.width()..][..grid.waves.width()];
            chunk.choose(i, cross, &rest[i * steps..][..steps], &weights[i], differences[i])
        })
        .collect();
    let mut errors = y;
    let all: Vec<Vec<f64>> = found.iter().map(|own| own.all(grid)).collect();
    chunk.take(&all, &mut errors)?;
    found.iter_mut().zip(errors.chunks_exact(steps)).for_each(|(own, errors)| own.errors = errors.to_vec());
    Ok(found)
}

impl Regressed {
    /// The coefficients of every column, zero for those that were not picked.
    fn all(&self, grid: &Grid<'_>) -> Vec<f64> {
        let mut all = vec![0.0; grid.waves.width()];
        grid.waves.picked(&self.counts).into_iter().zip(&self.coefficients).for_each(|(at, value)| all[at] = *value);
        all
    }
}

/// Which observed steps a regression looks at.
#[derive(Clone, Copy)]
enum Steps {
    All,
    /// Those that have enough before them to be differenced and whitened.
    Late,
}

/// A few series of one length, and what those that miss the same steps share.
struct Chunk<'a> {
    grid: &'a Grid<'a>,
    members: &'a [Ready],
    /// Two for each set of missing steps: [`Steps::All`] and [`Steps::Late`].
    layouts: Vec<Layout>,
    /// The set of each series.
    missing_of: Vec<usize>,
    /// Without the time.
    grams: Vec<Vec<f64>>,
    /// Of the columns that the series can tell.
    factors: Vec<(Vec<usize>, Factor)>,
}

impl<'a> Chunk<'a> {
    fn new(grid: &'a Grid<'a>, members: &'a [Ready]) -> Result<Self, KernelError> {
        let mut sets: Vec<&Ready> = Vec::new();
        let mut missing_of = Vec::with_capacity(members.len());
        for own in members {
            // Two series hardly ever miss the same steps but for those that miss none.
            let known = sets.iter().position(|known| known.missing.is_empty() && own.missing.is_empty());
            missing_of.push(known.unwrap_or(sets.len()));
            if known.is_none() {
                sets.push(own);
            }
        }
        let layout = |missing: Vec<u32>| Layout { missing, knots: Vec::new() };
        let late = |set: &Ready| {
            let skip = grid.skip as u32;
            (0..skip).chain(set.missing.iter().copied().filter(|&t| t >= skip)).collect()
        };
        let layouts: Vec<_> = sets.iter().flat_map(|set| [layout(set.missing.clone()), layout(late(set))]).collect();
        let width = grid.waves.width();
        let without_time = |gram: &[f64]| -> Vec<f64> {
            let row = |i: usize| (0..width).map(move |j| gram[in_design(i) * (width + 1) + in_design(j)]);
            (0..width).flat_map(row).collect()
        };
        let grams: Vec<Vec<f64>> =
            masked_gram(&grid.design, &layouts)?.chunks_exact((width + 1) * (width + 1)).map(without_time).collect();
        let factor = |(at, gram): (usize, &Vec<f64>)| {
            let picked: Vec<usize> = std::iter::once(0).chain(grid.waves.picked(&sets[at / 2].told)).collect();
            let factor = Factor::new(gram, width, &picked);
            (picked, factor)
        };
        let factors = grams.iter().enumerate().map(factor).collect();
        Ok(Self { grid, members, layouts, missing_of, grams, factors })
    }

    fn layout_of(&self, steps: Steps) -> Vec<usize> {
        let late = usize::from(matches!(steps, Steps::Late));
        self.missing_of.iter().map(|missing| 2 * missing + late).collect()
    }

    /// Products of each series with every column: `[series, columns]`.
    fn cross(&self, steps: Steps, y: &[f64]) -> Result<Vec<f64>, KernelError> {
        let design = &self.grid.design;
        let cross = masked_cross(design, &self.layouts, &self.layout_of(steps), y)?;
        let width = self.grid.waves.width();
        let own = |row: &[f64]| (0..width).map(|column| row[in_design(column)]).collect::<Vec<_>>();
        Ok(cross.chunks_exact(width + 1).flat_map(own).collect())
    }

    /// Coefficients of every column that each series can tell, zero for the others.
    fn every(&self, steps: Steps, y: &[f64]) -> Result<Vec<Vec<f64>>, KernelError> {
        let width = self.grid.waves.width();
        let cross = self.cross(steps, y)?;
        let solve = |(right, layout): (&[f64], usize)| {
            let (picked, factor) = &self.factors[layout];
            let right: Vec<f64> = picked.iter().map(|&column| right[column]).collect();
            let mut all = vec![0.0; width];
            picked.iter().zip(factor.solve(&right)).for_each(|(&column, value)| all[column] = value);
            all
        };
        Ok(cross.chunks_exact(width).zip(self.layout_of(steps)).map(solve).collect())
    }

    /// Takes what coefficients explain out of `y`, unobserved steps included.
    fn take(&self, coefficients: &[Vec<f64>], y: &mut [f64]) -> Result<(), KernelError> {
        let with_time = |own: &Vec<f64>| [&own[..1], &[0.0], &own[1..]].concat();
        let all: Vec<f64> = coefficients.iter().flat_map(with_time).collect();
        take_fitted(&self.grid.design, &self.layouts, &self.layout_of(Steps::All), &all, y)
    }

    /// Each series differenced as often as what its waves leave asks for, its gaps filled by waves and a straight line
    /// between what is left beside them; and how often that is.
    fn differenced(&self, y: &[f64]) -> Result<(Vec<f64>, Vec<usize>), KernelError> {
        let steps = self.grid.design.steps();
        let every = self.every(Steps::All, y)?;
        let mut left = y.to_vec();
        self.take(&every, &mut left)?;
        let mut differences = Vec::with_capacity(self.members.len());
        for (left, own) in left.chunks_exact_mut(steps).zip(self.members) {
            left.copy_from_slice(&fill_gaps(left));
            differences.push(if deviation(left) <= own.floor { 0 } else { needed(left, 1).0 });
        }
        let back: Vec<Vec<f64>> = every.iter().map(|own| own.iter().map(|v| -v).collect()).collect();
        self.take(&back, &mut left)?;
        for (values, &times) in left.chunks_exact_mut(steps).zip(&differences) {
            for from in 1..=times {
                (from..steps).rev().for_each(|t| values[t] -= values[t - 1]);
                values[from - 1] = 0.0;
            }
        }
        Ok((left, differences))
    }

    /// Chooses the number of each season's waves for a whitened series, of which `cross` are the products and `rest` is
    /// what all waves leave.
    fn choose(&self, i: usize, cross: &[f64], rest: &[f64], weights: &[f64], differences: usize) -> Regressed {
        let (grid, own) = (self.grid, &self.members[i]);
        let late = &self.layouts[2 * self.missing_of[i] + 1];
        let observed = grid.design.steps() - late.missing.len();
        let mut is_seen = vec![true; rest.len()];
        late.missing.iter().for_each(|&t| is_seen[t as usize] = false);
        let squares: f64 = rest.iter().zip(is_seen).filter(|(_, seen)| *seen).map(|(v, _)| v * v).sum();
        let gram = &self.grams[2 * self.missing_of[i] + 1];
        let choice = Choice {
            grid,
            gram,
            cross,
            squares,
            observed: observed as f64,
            least: own.floor * own.floor,
            others: 2 + weights.len(),
        };
        let (counts, left) = choice.counts(&own.told);
        let picked: Vec<usize> = std::iter::once(0).chain(grid.waves.picked(&counts)).collect();
        let right: Vec<f64> = picked.iter().map(|&column| cross[column]).collect();
        let white = Factor::new(gram, grid.waves.width(), &picked).solve(&right);
        let mut coefficients = Vec::with_capacity(white.len() - 1);
        let mut at = 1;
        for wave in grid.waves.waves(&counts) {
            let pair = if wave.has_sine() { [white[at], white[at + 1]] } else { [0.0, white[at]] };
            let [sine, cosine] = before(wave, pair, weights, differences);
            coefficients.extend(wave.has_sine().then_some(sine));
            coefficients.push(cosine);
            at += if wave.has_sine() { 2 } else { 1 };
        }
        let exact = (left / observed as f64).sqrt() <= own.floor;
        Regressed { counts, coefficients, errors: Vec::new(), differences, exact }
    }
}

/// A whitened series whose waves are to be chosen.
struct Choice<'a> {
    grid: &'a Grid<'a>,
    gram: &'a [f64],
    cross: &'a [f64],
    /// What all waves leave.
    squares: f64,
    observed: f64,
    /// Squares a step that are rounding.
    least: f64,
    /// Numbers estimated beside the waves' coefficients.
    others: usize,
}

impl Choice<'_> {
    /// Waves of each season of `told`, and the squares that they leave: one season after the other, from the longest on,
    /// until none changes.
    fn counts(&self, told: &[usize]) -> (Vec<usize>, f64) {
        let (mut counts, mut left) = (told.to_vec(), self.squares);
        for _ in 0..ROUNDS {
            let before = counts.clone();
            for season in (0..told.len()).rev() {
                (counts[season], left) = self.best(season, &counts, told);
            }
            if counts == before {
                break;
            }
        }
        (counts, left)
    }

    /// The best number of one season's waves beside given ones of the others.
    fn best(&self, season: usize, counts: &[usize], told: &[usize]) -> (usize, f64) {
        let waves = &self.grid.waves;
        let others = || (0..told.len()).filter(|&other| other != season);
        let mut order = vec![0];
        order.extend(others().flat_map(|other| waves.of(other, 0..counts[other])));
        let first = order.len();
        order.extend(waves.of(season, 0..told[season]));
        order.extend(others().flat_map(|other| waves.of(other, counts[other]..told[other])));
        let right: Vec<f64> = order.iter().map(|&column| self.cross[column]).collect();
        let explained = Factor::new(self.gram, waves.width(), &order).explained(&right);
        let left_by = |count: usize| {
            let columns = first + waves.of(season, 0..count).len();
            (columns, self.squares + explained[columns..].iter().map(|v| v * v).sum::<f64>())
        };
        let (mut best, mut least) = ((0, left_by(0).1), f64::INFINITY);
        for count in 0..=told[season] {
            let (columns, left) = left_by(count);
            let size = (left / self.observed).max(self.least);
            let own = aicc(-0.5 * self.observed * size.ln(), self.observed, columns + self.others);
            if own < least {
                (best, least) = ((count, left), own);
            }
        }
        best
    }
}

fn deviation(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64).sqrt()
}
