//! Intervals from what a series' own champion got wrong on folds that had no part in picking it.
//!
//! Residuals are divided by their horizon block's mean absolute residual in the *other* folds, which puts
//! every block on one scale and prices in how badly few folds know that scale. The scores of all blocks
//! form one distribution, asymmetric as the residuals are; where folds are few it is drawn towards the
//! shape such scores have in general. Nothing crosses from one series to another, so that no series, broken or
//! sound, changes a neighbour's band.
//!
//! Source: Lei et al., Distribution-free predictive inference for regression, JASA 113(523), 2018, 5.2 (scores
//! of locally weighted residuals), on rolling folds instead of exchangeable points.

use serde::{Deserialize, Serialize};

use crate::artifact::MOST_STEPS;
use crate::normal_quantile;
use crate::paths::persistence;

/// Most horizon blocks, and the fewest steps of one.
const MAX_BLOCKS: usize = 12;
const MIN_BLOCK_STEPS: usize = 6;
/// Folds' worth of the whole horizon's mean that a block's own scale is drawn towards.
const SCALE_PRIOR_FOLDS: f64 = 2.0;
/// What a fold weighs in the scales beside the next newer one: errors grow and shrink with the load.
const FOLD_DECAY: f64 = 0.9;
/// Independent scores that a fold is worth: the steps of one horizon err together.
const INDEPENDENT_A_FOLD: f64 = 2.0;
/// Independent scores' worth of the general shape that a series' own distribution is drawn towards.
const SHAPE_PRIOR_SCORES: f64 = 20.0;

/// Intervals of one series, to put around any point forecast of its champion.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Intervals {
    block_steps: usize,
    /// Mean absolute residual of each horizon block.
    scales: Vec<f64>,
    /// Residuals over their scale, rising.
    scores: Vec<f64>,
    /// How many independent scores they are worth.
    independent: f64,
    /// Degrees of freedom of the general shape.
    freedom: usize,
    /// Correlation of neighbouring steps' scores.
    persistence: f64,
}

impl Intervals {
    /// Learns from residuals (actual less forecast) of calibrating folds, the newest first, one slice of the
    /// horizon each, NaN where nothing was observed. `None` where no fold has an observed step.
    pub fn learn(folds: &[Vec<f64>]) -> Option<Self> {
        let steps = folds.iter().map(Vec::len).max()?;
        let count = (steps / MIN_BLOCK_STEPS).clamp(1, MAX_BLOCKS);
        let block_steps = steps.div_ceil(count);
        let blocks: Vec<Vec<Sum>> = folds.iter().map(|fold| fold.chunks(block_steps).map(Sum::of).collect()).collect();
        let block_count = steps.div_ceil(block_steps);
        let observed = blocks.iter().filter(|fold| fold.iter().any(|b| b.count > 0)).count();
        let scales = block_scales(&blocks, block_count, None)?;
        let mut in_order: Vec<Vec<f64>> = Vec::with_capacity(folds.len());
        for (k, fold) in folds.iter().enumerate() {
            // A single fold has no other to be scaled by.
            let others = if observed > 1 { block_scales(&blocks, block_count, Some(k)) } else { None };
            // Others that never erred are no measure of one that did.
            let others = others.as_ref().filter(|others| others.iter().all(|scale| *scale > 0.0)).unwrap_or(&scales);
            in_order.push(fold.iter().enumerate().map(|(step, e)| e / others[step / block_steps]).collect());
        }
        let persistence = persistence(in_order.iter().map(Vec::as_slice));
        let mut scores: Vec<f64> = in_order.into_iter().flatten().filter(|score| score.is_finite()).collect();
        scores.sort_unstable_by(f64::total_cmp);
        let independent = observed as f64 * INDEPENDENT_A_FOLD.min(block_count as f64);
        Some(Self { block_steps, scales, scores, independent, freedom: 2 + observed / 2, persistence })
    }

    /// Whether they may have been learned.
    pub(crate) fn is_whole(&self) -> bool {
        let numbers = || self.scales.iter().chain(&self.scores).chain([&self.independent, &self.persistence]);
        let rising = self.scores.windows(2).all(|pair| pair[0] <= pair[1]);
        let counts = (1..MOST_STEPS).contains(&self.block_steps) && (2..MOST_STEPS).contains(&self.freedom);
        counts
            && !self.scales.is_empty()
            && self.scales.len() <= MAX_BLOCKS
            && rising
            && numbers().all(|v| v.is_finite())
    }

    /// Correlation of the errors of neighbouring steps ahead, from 0 to 1.
    pub fn persistence(&self) -> f64 {
        self.persistence
    }

    /// How far the quantile of a level lies from the point forecast of a step ahead. A step past the
    /// horizon learned from has the last block's scale, growing with the root of the distance.
    pub fn offset(&self, step: usize, level: f64) -> f64 {
        self.score_quantile(level) * self.scale(step)
    }

    fn scale(&self, step: usize) -> f64 {
        let learned = self.scales.len() * self.block_steps;
        let growth = if step < learned { 1.0 } else { ((step + 1) as f64 / learned as f64).sqrt() };
        self.scales[(step / self.block_steps).min(self.scales.len() - 1)] * growth
    }

    fn score_quantile(&self, level: f64) -> f64 {
        if self.scores.is_empty() {
            return 0.0; // a series that never erred
        }
        let own_weight = self.independent / (self.independent + SHAPE_PRIOR_SCORES);
        let general = student_quantile(level, self.freedom) / student_mean_absolute(self.freedom);
        own_weight * interpolated(&self.scores, level) + (1.0 - own_weight) * general
    }
}

/// What the bands held of values that they had not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Shares {
    /// Share at or under the quantile of each level.
    pub below: Vec<f64>,
    /// Share from the lowest quantile to the highest, ends counted.
    pub inside: f64,
}

/// Counts each fold's residuals against the quantiles that the other folds alone would have given. `None` where
/// fewer than two folds have an observed step.
pub fn held_out_shares(folds: &[Vec<f64>], levels: &[f64]) -> Option<Shares> {
    let (mut below, mut inside, mut count) = (vec![0_usize; levels.len()], 0_usize, 0_usize);
    for (k, fold) in folds.iter().enumerate() {
        let others: Vec<Vec<f64>> =
            folds.iter().enumerate().filter(|(other, _)| *other != k).map(|(_, fold)| fold.clone()).collect();
        let intervals = Intervals::learn(&others)?;
        let scores: Vec<f64> = levels.iter().map(|level| intervals.score_quantile(*level)).collect();
        for (step, error) in fold.iter().enumerate().filter(|(_, error)| error.is_finite()) {
            let scale = intervals.scale(step);
            let under = |score: &f64| *error <= score * scale;
            below.iter_mut().zip(&scores).for_each(|(sum, score)| *sum += usize::from(under(score)));
            inside += usize::from(
                scores.first().is_some_and(|low| *error >= low * scale) && scores.last().is_some_and(under),
            );
            count += 1;
        }
    }
    let share = |sum: usize| sum as f64 / count as f64;
    (count > 0).then(|| Shares { below: below.into_iter().map(share).collect(), inside: share(inside) })
}

/// Sum and count of the observed absolute residuals of a block of one fold.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    total: f64,
    count: usize,
}

impl Sum {
    fn of(residuals: &[f64]) -> Self {
        let observed = residuals.iter().filter(|e| e.is_finite());
        observed.fold(Self::default(), |sum, e| Self { total: sum.total + e.abs(), count: sum.count + 1 })
    }

    fn add(self, other: Self) -> Self {
        Self { total: self.total + other.total, count: self.count + other.count }
    }

    fn mean(self) -> Option<f64> {
        (self.count > 0).then(|| self.total / self.count as f64)
    }
}

/// Mean absolute residual of each block over all folds but one, the newest weighing most, drawn towards that
/// of the whole horizon.
fn block_scales(folds: &[Vec<Sum>], blocks: usize, without: Option<usize>) -> Option<Vec<f64>> {
    let kept = || folds.iter().enumerate().filter(|(k, _)| Some(*k) != without);
    let weighted = |values: &mut dyn Iterator<Item = (usize, f64)>| {
        values.fold((0.0, 0.0), |(sum, total), (age, value)| {
            let weight = FOLD_DECAY.powi(age as i32);
            (sum + weight * value, total + weight)
        })
    };
    let means =
        kept().filter_map(|(age, fold)| Some((age, fold.iter().copied().fold(Sum::default(), Sum::add).mean()?)));
    let (sum, total) = weighted(&mut { means });
    let whole = (total > 0.0).then(|| sum / total)?;
    let scale = |block: usize| {
        let (sum, total) = weighted(&mut kept().filter_map(|(age, fold)| Some((age, fold.get(block)?.mean()?))));
        (sum + SCALE_PRIOR_FOLDS * whole) / (total + SCALE_PRIOR_FOLDS)
    };
    Some((0..blocks).map(scale).collect())
}

/// Quantile of a rising sample between its order statistics (the usual type 7).
fn interpolated(rising: &[f64], level: f64) -> f64 {
    let at = level * (rising.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = (low + 1).min(rising.len() - 1);
    rising[low] + part * (rising[high] - rising[low])
}

/// Quantile of Student's t by the expansion around the normal one; at 3 degrees of freedom and 97.5 % it is 3 %
/// short, at 5 below 1 %.
///
/// Source: Abramowitz and Stegun, *Handbook of Mathematical Functions*, 26.7.5.
fn student_quantile(level: f64, freedom: usize) -> f64 {
    let z = normal_quantile(level);
    let (z2, n) = (z * z, freedom as f64);
    let g1 = (z2 + 1.0) / 4.0;
    let g2 = ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0;
    let g3 = (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0;
    z * (1.0 + g1 / n + g2 / (n * n) + g3 / (n * n * n))
}

/// Mean of |t| with two degrees of freedom or more: √(n/π) Γ((n − 1)/2) ÷ Γ(n/2), the ratio by its recurrence.
fn student_mean_absolute(freedom: usize) -> f64 {
    let pi = std::f64::consts::PI;
    let (first, start) = if freedom.is_multiple_of(2) { (2, pi.sqrt()) } else { (3, 2.0 / pi.sqrt()) };
    let ratio = (first..freedom).step_by(2).fold(start, |ratio, n| ratio * (n - 1) as f64 / n as f64);
    (freedom as f64 / pi).sqrt() * ratio
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quantiles;
    use rand::{RngExt, SeedableRng};

    fn noise(folds: usize, steps: usize, seed: u64, of: impl Fn(usize, f64) -> f64) -> Vec<Vec<f64>> {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut normal = || normal_quantile(random.random_range(1e-9..1.0));
        (0..folds).map(|_| (0..steps).map(|step| of(step, normal())).collect()).collect()
    }

    fn covered(intervals: &Intervals, fresh: &[Vec<f64>]) -> f64 {
        let steps = || fresh.iter().flat_map(|fold| fold.iter().enumerate());
        let inside =
            |(step, e): &(usize, &f64)| intervals.offset(*step, 0.025) <= **e && **e <= intervals.offset(*step, 0.975);
        100.0 * steps().filter(inside).count() as f64 / steps().count() as f64
    }

    #[test]
    fn a_95_band_covers_fresh_errors_with_many_folds_and_with_few() {
        for (folds, least, most) in [(40, 93.0, 97.5), (5, 92.0, 98.5), (2, 88.0, 99.9)] {
            let shares = (0..40).map(|seed| {
                let of = |step: usize, z: f64| z * (1.0 + step as f64 / 24.0);
                let intervals = Intervals::learn(&noise(folds, 48, seed, of)).unwrap();
                covered(&intervals, &noise(20, 48, 1_000 + seed, of))
            });
            let mean = shares.sum::<f64>() / 40.0;
            assert!((least..most).contains(&mean), "{folds} folds cover {mean} %");
        }
    }

    #[test]
    fn a_skewed_error_has_a_skewed_band_and_blocks_their_own_width() {
        let of = |step: usize, z: f64| if step < 24 { z.exp() - 1.0 } else { 10.0 * (z.exp() - 1.0) };
        let intervals = Intervals::learn(&noise(30, 48, 3, of)).unwrap();
        assert!(intervals.offset(0, 0.975) > 2.0 * -intervals.offset(0, 0.025));
        let ratio = intervals.offset(47, 0.9) / intervals.offset(0, 0.9);
        assert!((5.0..12.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn quantiles_never_cross_and_no_error_has_no_width() {
        for folds in 1..6 {
            let intervals = Intervals::learn(&noise(folds, 7, 5, |_, z| z * z * z)).unwrap();
            let offsets: Vec<f64> = Quantiles::standard().levels().iter().map(|q| intervals.offset(9, *q)).collect();
            assert!(offsets.windows(2).all(|pair| pair[0] <= pair[1]), "{offsets:?}");
        }
        let exact = Intervals::learn(&[vec![0.0; 5], vec![0.0; 5]]).unwrap();
        assert_eq!(exact.offset(3, 0.975), 0.0);
        assert!(Intervals::learn(&[vec![f64::NAN; 5]]).is_none() && Intervals::learn(&[]).is_none());
    }

    #[test]
    fn one_fold_that_erred_among_exact_ones_still_widens_the_band() {
        let intervals = Intervals::learn(&[vec![0.0; 5], vec![0.0; 5], vec![9.0; 5]]).unwrap();
        assert!(intervals.offset(0, 0.975) > 1.0, "{}", intervals.offset(0, 0.975));
    }

    #[test]
    fn shares_are_counted_on_values_that_the_bands_had_not_seen() {
        let levels = Quantiles::standard();
        // The last fold alone is ten times as wide: bands learned without it hold few of its values.
        let mut folds = noise(5, 48, 11, |_, z| z);
        folds[4].iter_mut().for_each(|e| *e *= 10.0);
        let without = held_out_shares(&folds, levels.levels()).unwrap();
        assert!(without.inside < 0.95 && without.below.is_sorted(), "{without:?}");
        let exact = held_out_shares(&vec![vec![0.0; 4]; 3], levels.levels()).unwrap();
        assert_eq!((exact.inside, exact.below[0]), (1.0, 1.0));
        assert_eq!(held_out_shares(&noise(1, 9, 1, |_, z| z), levels.levels()), None);
    }

    #[test]
    fn student_quantiles_match_the_tables() {
        for (level, freedom, table) in [(0.975, 3, 3.182), (0.975, 5, 2.571), (0.9, 10, 1.372), (0.1, 5, -1.476)] {
            let ours = student_quantile(level, freedom);
            assert!((ours / table - 1.0).abs() < 0.032, "t({level}, {freedom}) = {ours}, table {table}");
        }
        // E|t| is 1 at 4 degrees of freedom, 2√3/π at 3, and the normal's √(2/π) in the limit.
        assert!((student_mean_absolute(4) - 1.0).abs() < 1e-12);
        assert!((student_mean_absolute(3) - 2.0 * 3_f64.sqrt() / std::f64::consts::PI).abs() < 1e-12);
        assert!((student_mean_absolute(10_000) - 0.797_884_56).abs() < 1e-4);
    }
}
