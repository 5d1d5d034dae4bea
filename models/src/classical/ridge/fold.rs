//! A series folded into periods: gaps filled, outliers clipped, and its low-rank factors.

use super::loo::symmetric_eigen;

/// Factors kept: one for the level, one for the shape's strength, in whatever mixture explains most.
pub(super) const RANK: usize = 2;
/// Vectors iterated; the guards speed up the convergence of the kept ones.
const BLOCK: usize = RANK + 2;

/// Whole periods of a series, oldest first, the last one ending at the series' end.
pub(super) struct Fold {
    pub(super) season: usize,
    /// Values in time order, so that a period is one slice.
    pub(super) cells: Vec<f64>,
    observed: Vec<bool>,
}

/// `cells[k][p] ≈ mean + Σ shape[r][p] · score[r][k]`.
pub(super) struct Factors {
    pub(super) mean: f64,
    pub(super) shapes: [Vec<f64>; RANK],
    pub(super) scores: [Vec<f64>; RANK],
}

impl Fold {
    /// Folds the newest whole periods; an unobserved cell takes the latest earlier value of its phase,
    /// else the next later one, else the median of the series.
    pub(super) fn new(values: &[f64], season: usize) -> Self {
        let cells = values[values.len() % season..].to_vec();
        let observed: Vec<bool> = cells.iter().map(|v| v.is_finite()).collect();
        let mut fold = Self { season, cells, observed };
        if fold.observed.contains(&false) {
            fold.fill();
        }
        fold
    }

    pub(super) fn periods(&self) -> usize {
        self.cells.len() / self.season
    }

    pub(super) fn observed_count(&self) -> usize {
        self.observed.iter().filter(|o| **o).count()
    }

    pub(super) fn period(&self, k: usize) -> &[f64] {
        &self.cells[k * self.season..][..self.season]
    }

    fn fill(&mut self) {
        let mut known: Vec<f64> = self.cells.iter().copied().filter(|v| v.is_finite()).collect();
        let middle = known.len() / 2;
        let median = if known.is_empty() { 0.0 } else { *known.select_nth_unstable_by(middle, f64::total_cmp).1 };
        for phase in 0..self.season {
            let of_phase = || (phase..self.cells.len()).step_by(self.season);
            let first = of_phase().find(|at| self.observed[*at]).map_or(median, |at| self.cells[at]);
            let mut latest = first;
            for at in (phase..self.cells.len()).step_by(self.season) {
                if self.observed[at] {
                    latest = self.cells[at];
                } else {
                    self.cells[at] = latest;
                }
            }
        }
    }

    /// Pulls in values that lie far from their phase's median: further than half the central nine tenths
    /// of all such distances reach past them. A spike that comes every period is no outlier.
    pub(super) fn clip_outliers(&mut self) {
        let periods = self.periods();
        let mut column = vec![0.0; periods];
        let mut medians = Vec::with_capacity(self.season);
        for phase in 0..self.season {
            for (k, cell) in column.iter_mut().enumerate() {
                *cell = self.cells[k * self.season + phase];
            }
            medians.push(*column.select_nth_unstable_by(periods / 2, f64::total_cmp).1);
        }
        let distance = |at: usize, value: f64| value - medians[at % self.season];
        let mut sorted: Vec<f64> = self.cells.iter().enumerate().map(|(at, v)| distance(at, *v)).collect();
        let (low_at, high_at) = (sorted.len() / 20, sorted.len() - 1 - sorted.len() / 20);
        let low = *sorted.select_nth_unstable_by(low_at, f64::total_cmp).1;
        let high = *sorted.select_nth_unstable_by(high_at, f64::total_cmp).1;
        let reach = 0.5 * (high - low);
        if reach > 0.0 {
            for (at, value) in self.cells.iter_mut().enumerate() {
                let centre = medians[at % self.season];
                *value = value.clamp(centre + low - reach, centre + high + reach);
            }
        }
    }

    /// The leading factors. Cells that were not observed are refilled from a first pass, so that they
    /// follow their own period's level.
    pub(super) fn factors(&mut self) -> Factors {
        let mut factors = self.decompose();
        if self.observed.contains(&false) {
            for at in 0..self.cells.len() {
                if !self.observed[at] {
                    self.cells[at] = factors.cell(at / self.season, at % self.season);
                }
            }
            factors = self.decompose();
        }
        factors
    }

    fn decompose(&self) -> Factors {
        let (season, periods) = (self.season, self.periods());
        let mean = self.cells.iter().sum::<f64>() / self.cells.len() as f64;
        let centred: Vec<f64> = self.cells.iter().map(|v| v - mean).collect();
        let period = |k: usize| &centred[k * season..][..season];
        // The Gram matrix of the shorter side has the same leading directions and is at most 90 wide for
        // the default lookback.
        let by_period = periods <= season;
        let gram = if by_period { gram(periods, period) } else { gram_of_phases(&centred, season) };
        let leading = leading_vectors(&gram, if by_period { periods } else { season });
        let mut shapes = [vec![0.0; season], vec![0.0; season]];
        for (shape, vector) in shapes.iter_mut().zip(leading) {
            if by_period {
                for (k, weight) in vector.iter().enumerate() {
                    shape.iter_mut().zip(period(k)).for_each(|(s, v)| *s += weight * v);
                }
                let norm = shape.iter().map(|v| v * v).sum::<f64>().sqrt();
                if norm > 0.0 {
                    shape.iter_mut().for_each(|v| *v /= norm);
                }
            } else {
                *shape = vector;
            }
        }
        let scores = std::array::from_fn(|r| (0..periods).map(|k| dot(&shapes[r], period(k))).collect());
        Factors { mean, shapes, scores }
    }
}

impl Factors {
    /// The value that the factors give one cell.
    pub(super) fn cell(&self, k: usize, phase: usize) -> f64 {
        self.mean + (0..RANK).map(|r| self.shapes[r][phase] * self.scores[r][k]).sum::<f64>()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn gram<'a>(width: usize, vector: impl Fn(usize) -> &'a [f64]) -> Vec<f64> {
    let mut gram = vec![0.0; width * width];
    for i in 0..width {
        for j in 0..=i {
            let product = dot(vector(i), vector(j));
            gram[i * width + j] = product;
            gram[j * width + i] = product;
        }
    }
    gram
}

fn gram_of_phases(centred: &[f64], season: usize) -> Vec<f64> {
    let mut gram = vec![0.0; season * season];
    for period in centred.chunks_exact(season) {
        for (row, value) in gram.chunks_exact_mut(season).zip(period) {
            row.iter_mut().zip(period).for_each(|(g, other)| *g += value * other);
        }
    }
    gram
}

/// The leading eigenvectors of a positive semi-definite matrix by block power iteration with a
/// Rayleigh-Ritz step; a direction without energy is a vector of zeros.
fn leading_vectors(gram: &[f64], width: usize) -> [Vec<f64>; RANK] {
    let block = BLOCK.min(width);
    // Any start will do that is not orthogonal to what is sought: the newest rows carry the newest shape.
    let mut vectors: Vec<Vec<f64>> =
        (0..block).map(|b| gram[(width - 1 - b * width / block) * width..][..width].to_vec()).collect();
    let energy: f64 = (0..width).map(|i| gram[i * width + i]).sum();
    let mut values = [0.0; BLOCK];
    for _ in 0..60 {
        orthonormalise(&mut vectors);
        let images: Vec<Vec<f64>> =
            vectors.iter().map(|v| gram.chunks_exact(width).map(|row| dot(row, v)).collect()).collect();
        let mut small = [[0.0; BLOCK]; BLOCK];
        for i in 0..block {
            for j in 0..block {
                small[i][j] = 0.5 * (dot(&vectors[i], &images[j]) + dot(&vectors[j], &images[i]));
            }
        }
        let (eigenvalues, basis) = symmetric_eigen(small);
        let mut order: [usize; BLOCK] = std::array::from_fn(|i| i);
        order.sort_by(|a, b| eigenvalues[*b].total_cmp(&eigenvalues[*a]));
        vectors = (0..block)
            .map(|b| (0..width).map(|i| (0..block).map(|c| basis[c][order[b]] * images[c][i]).sum()).collect())
            .collect();
        let moved = (0..RANK).any(|r| (eigenvalues[order[r]] - values[r]).abs() > 1e-9 * energy);
        values = order.map(|at| eigenvalues[at]);
        if !moved {
            break;
        }
    }
    orthonormalise(&mut vectors);
    std::array::from_fn(|r| if values[r] > 1e-14 * energy { vectors[r].clone() } else { vec![0.0; width] })
}

/// Gram-Schmidt, twice for accuracy; a vector that depends on those before it becomes zero.
fn orthonormalise(vectors: &mut [Vec<f64>]) {
    for i in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(i);
        let vector = &mut rest[0];
        let start = dot(vector, vector);
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(vector, other);
                vector.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let left = dot(vector, vector);
        let scale = if left > 1e-24 * start && left > 0.0 { 1.0 / left.sqrt() } else { 0.0 };
        vector.iter_mut().for_each(|v| *v *= scale);
    }
}
