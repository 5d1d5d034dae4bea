//! Many series of one length regressed on the same waves: how many waves each season has, and their coefficients.

use foreshadow_kernels::{KernelError, aicc};

use super::autoregression::{before, whiten, yule_walker};
use super::factor::Factor;
use super::grid::Grid;
use super::prepare::Ready;
use super::rows::Rows;
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
    members: &[Ready],
) -> Result<Vec<Regressed>, KernelError> {
    let steps = grid.design.steps();
    let y: Vec<f64> = members.iter().flat_map(|own| own.standardised(values(own.series))).collect();
    let seen = Rows::new(grid, members, |i| members[i].missing.clone())?;
    let (differenced, differences) = differenced(&seen, members, &y)?;
    let rows = Rows::new(grid, members, |i| no_rows(&members[i], grid, differences[i]))?;
    let left = rows.left(&differenced)?;
    let autoregression = |(i, left): (usize, &[f64])| {
        let known = deviation(&rows.of(i, left)) <= members[i].floor;
        if known { Vec::new() } else { yule_walker(&left[differences[i]..], grid.lags) }
    };
    let weights: Vec<Vec<f64>> = left.chunks_exact(steps).enumerate().map(autoregression).collect();
    let white: Vec<f64> =
        differenced.chunks_exact(steps).zip(&weights).flat_map(|(own, w)| whiten(own, w, grid.skip)).collect();
    let (cross, rest) = (rows.cross(&white)?, rows.left(&white)?);
    let choose = |i: usize| {
        let own = &members[i];
        let rest = rows.of(i, &rest[i * steps..][..steps]);
        let choice = Choice {
            grid,
            gram: rows.gram(i),
            cross: &cross[i * grid.waves.width()..][..grid.waves.width()],
            squares: rest.iter().map(|v| v * v).sum(),
            observed: rest.len() as f64,
            least: own.floor * own.floor,
            others: 2 + weights[i].len(),
        };
        choice.regressed(&own.told, &weights[i], differences[i])
    };
    let mut found: Vec<Regressed> = (0..members.len()).map(choose).collect();
    let all: Vec<Vec<f64>> = found.iter().map(|own| own.all(grid)).collect();
    let mut errors = y;
    seen.take(&all, &mut errors)?;
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

/// Each series differenced as often as what its waves leave asks for, its gaps filled by waves and a straight line
/// between what is left beside them; and how often that is.
fn differenced(seen: &Rows<'_>, members: &[Ready], y: &[f64]) -> Result<(Vec<f64>, Vec<usize>), KernelError> {
    let steps = y.len() / members.len();
    let every = seen.every(y)?;
    let mut left = y.to_vec();
    seen.take(&every, &mut left)?;
    let mut differences = Vec::with_capacity(members.len());
    for (left, own) in left.chunks_exact_mut(steps).zip(members) {
        left.copy_from_slice(&fill_gaps(left));
        differences.push(if deviation(left) <= own.floor { 0 } else { needed(left, 1).0 });
    }
    let back: Vec<Vec<f64>> = every.iter().map(|own| own.iter().map(|v| -v).collect()).collect();
    seen.take(&back, &mut left)?;
    for (values, &times) in left.chunks_exact_mut(steps).zip(&differences) {
        for from in 1..=times {
            (from..steps).rev().for_each(|t| values[t] -= values[t - 1]);
            values[from - 1] = 0.0;
        }
    }
    Ok((left, differences))
}

/// Steps that are no row of a whitened regression, rising: those with too few before them, those unobserved, and those
/// that a difference makes of an unobserved one, unless too few rows are left then.
fn no_rows(own: &Ready, grid: &Grid<'_>, differences: usize) -> Vec<u32> {
    let steps = grid.design.steps();
    let without = |reach: usize| {
        let mut out = vec![false; steps];
        out[..grid.skip].fill(true);
        for &t in &own.missing {
            let t = t as usize;
            out[t..(t + reach + 1).min(steps)].fill(true);
        }
        out
    };
    let mut out = without(differences);
    if out.iter().filter(|out| !**out).count() < 2 * (grid.waves.picked(&own.told).len() + 1) {
        out = without(0);
    }
    (0..).zip(out).filter_map(|(t, out)| out.then_some(t)).collect()
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
    /// The waves chosen among those of `told`, their coefficients as they were before whitening; the errors are left out.
    fn regressed(&self, told: &[usize], weights: &[f64], differences: usize) -> Regressed {
        let waves = &self.grid.waves;
        let (counts, left) = self.counts(told);
        let picked: Vec<usize> = std::iter::once(0).chain(waves.picked(&counts)).collect();
        let right: Vec<f64> = picked.iter().map(|&column| self.cross[column]).collect();
        let white = Factor::new(self.gram, waves.width(), &picked).solve(&right);
        let mut coefficients = Vec::with_capacity(white.len() - 1);
        let mut at = 1;
        for wave in waves.waves(&counts) {
            let pair = if wave.has_sine() { [white[at], white[at + 1]] } else { [0.0, white[at]] };
            let [sine, cosine] = before(wave, pair, weights, differences);
            coefficients.extend(wave.has_sine().then_some(sine));
            coefficients.push(cosine);
            at += if wave.has_sine() { 2 } else { 1 };
        }
        let exact = (left / self.observed).sqrt() <= self.least.sqrt();
        Regressed { counts, coefficients, errors: Vec::new(), differences, exact }
    }

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
