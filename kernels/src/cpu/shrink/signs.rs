//! A quadratic with an absolute value on each of its coefficients, by their signs.

use super::{BLOCK, dot};
use crate::cpu::fused;
use crate::shrink::STEP_CAP;
use crate::solve::PIVOT_FLOOR;

/// Minimises `d' S d / 2 - q' d + weight * |start + d|_1`.
///
/// The coefficients that are not zero, in `active`, have known signs, so that among them the optimum is one
/// linear system, whose Cholesky factor is kept: a coefficient that enters appends a row, one that leaves
/// makes the later rows anew. A changed weight costs a substitution.
pub(super) struct Signs {
    count: usize,
    blocks: usize,
    /// `S`, whole rows of whole blocks.
    matrix: Vec<[f64; BLOCK]>,
    right: Vec<f64>,
    /// Each coefficient's diagonal before anything was eliminated.
    diagonal: Vec<f64>,
    start: Vec<f64>,
    x: Vec<f64>,
    change: Vec<f64>,
    gradient: Vec<[f64; BLOCK]>,
    sign: Vec<f64>,
    /// Barred from entering until the weight changes: they would not move the way their gradient points.
    barred: Vec<bool>,
    active: Vec<usize>,
    factor: Vec<f64>,
    target: Vec<f64>,
    offset: f64,
    largest: f64,
}

impl Signs {
    pub(super) fn new(count: usize) -> Self {
        let blocks = count.div_ceil(BLOCK);
        Self {
            count,
            blocks,
            matrix: vec![[0.0; BLOCK]; count * blocks],
            right: vec![0.0; count],
            diagonal: vec![0.0; count],
            start: vec![0.0; count],
            x: vec![0.0; count],
            change: vec![0.0; count],
            gradient: vec![[0.0; BLOCK]; blocks],
            sign: vec![0.0; count],
            barred: vec![false; count],
            active: Vec::with_capacity(count),
            factor: vec![0.0; count * count],
            target: vec![0.0; count],
            offset: 0.0,
            largest: 0.0,
        }
    }

    /// Takes a series' starting coefficients; those that are not zero begin as active.
    pub(super) fn begin(&mut self, start: &[f64]) {
        self.start.copy_from_slice(start);
        self.x.copy_from_slice(start);
        self.change.fill(0.0);
        self.active.clear();
        for (j, &x) in start.iter().enumerate() {
            if x != 0.0 {
                self.sign[j] = x.signum();
                self.active.push(j);
            }
        }
    }

    /// Takes the problem left by an elimination: each row from its diagonal on, the right side last.
    #[inline(always)]
    pub(super) fn load<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a [f64]>,
        diagonal: impl Fn(usize) -> f64,
        skipped: usize,
        offset: f64,
        largest: f64,
    ) {
        let (count, stride) = (self.count, self.blocks * BLOCK);
        let matrix = self.matrix.as_flattened_mut();
        for (i, row) in rows.take(count).enumerate() {
            for j in i..count {
                matrix[i * stride + j] = row[j];
                matrix[j * stride + i] = row[j];
            }
            self.right[i] = row[count];
            self.diagonal[i] = diagonal(skipped + i);
        }
        (self.offset, self.largest) = (offset, largest);
        self.refactor(0);
        self.update_gradient();
    }

    pub(super) fn values(&self) -> &[f64] {
        &self.x
    }

    pub(super) fn changes(&self) -> &[f64] {
        &self.change
    }

    /// The penalised sum of squares where it stands, without the absolute values.
    #[inline(always)]
    pub(super) fn value(&self) -> f64 {
        let gradient = self.gradient.as_flattened();
        let both = |j: usize| self.change[j] * (self.right[j] + gradient[j]);
        self.offset - (0..self.count).map(both).sum::<f64>()
    }

    /// Solves for a weight from where it stands. Returns the systems solved, and whether it ended.
    #[inline(always)]
    pub(super) fn solve<const FMA: bool>(&mut self, weight: f64) -> (u32, bool) {
        self.barred.fill(false);
        let mut newest = usize::MAX;
        for step in 1..=STEP_CAP {
            self.aim::<FMA>(weight);
            if let Some((position, length)) = self.first_crossing() {
                for (&j, &target) in self.active.iter().zip(&self.target) {
                    self.x[j] = fused::<FMA>(length, target - self.x[j], self.x[j]);
                }
                let left = self.active.remove(position);
                self.x[left] = 0.0;
                self.barred[left] = left == newest && length == 0.0;
                self.refactor(position);
                newest = usize::MAX;
                continue;
            }
            for (&j, &target) in self.active.iter().zip(&self.target) {
                self.x[j] = target;
            }
            self.update_gradient();
            match self.steepest(weight) {
                Some(j) => {
                    self.sign[j] = self.gradient[j / BLOCK][j % BLOCK].signum();
                    self.active.push(j);
                    newest = j;
                    self.refactor(self.active.len() - 1);
                }
                None => return (step, true),
            }
        }
        self.update_gradient();
        (STEP_CAP, false)
    }

    /// The optimum among the active coefficients with their signs, into `target`.
    #[inline(always)]
    fn aim<const FMA: bool>(&mut self, weight: f64) {
        let (stride, count) = (self.blocks * BLOCK, self.active.len());
        let matrix = self.matrix.as_flattened();
        for (position, &j) in self.active.iter().enumerate() {
            self.target[position] = self.right[j] - weight * self.sign[j];
        }
        for i in 0..self.count {
            // A coefficient that was in the start and is zero now has moved by minus its start.
            if self.start[i] != 0.0 && self.x[i] == 0.0 && !self.active.contains(&i) {
                for (position, &j) in self.active.iter().enumerate() {
                    self.target[position] += matrix[j * stride + i] * self.start[i];
                }
            }
        }
        for i in 0..count {
            let row = &self.factor[i * self.count..i * self.count + i];
            let known = dot::<FMA>(row, &self.target[..i]);
            self.target[i] = (self.target[i] - known) * self.factor[i * self.count + i];
        }
        for i in (0..count).rev() {
            let row = &self.factor[i * self.count..=i * self.count + i];
            let solved = self.target[i] * row[i];
            self.target[i] = solved;
            for (target, &left) in self.target[..i].iter_mut().zip(row) {
                *target = fused::<FMA>(-left, solved, *target);
            }
        }
        for (position, &j) in self.active.iter().enumerate() {
            self.target[position] += self.start[j];
        }
    }

    /// The active coefficient that first meets zero on the way to `target`, and how far along that is.
    #[inline(always)]
    fn first_crossing(&self) -> Option<(usize, f64)> {
        let mut first: Option<(usize, f64)> = None;
        for (position, (&j, &target)) in self.active.iter().zip(&self.target).enumerate() {
            if target * self.sign[j] <= 0.0 {
                let way = self.x[j] - target;
                let length = if way == 0.0 { 0.0 } else { (self.x[j] / way).clamp(0.0, 1.0) };
                if first.is_none_or(|(_, shortest)| length < shortest) {
                    first = Some((position, length));
                }
            }
        }
        first
    }

    /// The coefficient at zero whose gradient outweighs the penalty most.
    #[inline(always)]
    fn steepest(&self, weight: f64) -> Option<usize> {
        let mut best = None;
        // Above the weight by more than the gradient's own rounding.
        let mut most = weight * (1.0 + 1e-9) + 1e-14 * self.largest;
        for (j, gradient) in self.gradient.as_flattened()[..self.count].iter().enumerate() {
            if gradient.abs() > most && !self.barred[j] && self.x[j] == 0.0 && !self.active.contains(&j) {
                (best, most) = (Some(j), gradient.abs());
            }
        }
        best
    }

    /// `change = x - start` and `gradient = q - S change`.
    #[inline(always)]
    fn update_gradient(&mut self) {
        for (gradient, right) in self.gradient.iter_mut().zip(self.right.chunks(BLOCK)) {
            gradient[..right.len()].copy_from_slice(right);
        }
        for j in 0..self.count {
            self.change[j] = self.x[j] - self.start[j];
            if self.change[j] != 0.0 {
                for (gradient, row) in self.gradient.iter_mut().zip(&self.matrix[j * self.blocks..]) {
                    for lane in 0..BLOCK {
                        gradient[lane] -= self.change[j] * row[lane];
                    }
                }
            }
        }
    }

    /// Makes the factor's rows from `from` on; a coefficient that the ones before it span leaves.
    #[inline(always)]
    fn refactor(&mut self, from: usize) {
        let (stride, size) = (self.blocks * BLOCK, self.count);
        let matrix = self.matrix.as_flattened();
        let mut i = from;
        while i < self.active.len() {
            let own = self.active[i];
            let (above, row) = self.factor.split_at_mut(i * size);
            for j in 0..i {
                let known = dot::<false>(&row[..j], &above[j * size..j * size + j]);
                row[j] = (matrix[own * stride + self.active[j]] - known) * above[j * size + j];
            }
            let pivot = matrix[own * stride + own] - dot::<false>(&row[..i], &row[..i]);
            if pivot > PIVOT_FLOOR * self.diagonal[own] {
                row[i] = 1.0 / pivot.sqrt();
                i += 1;
            } else {
                self.active.remove(i);
                self.x[own] = 0.0;
                self.barred[own] = true;
            }
        }
    }
}
