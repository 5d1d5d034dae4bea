//! What serves a series: one family, or several with weights.
//!
//! Source: Bates and Granger, *The Combination of Forecasts*, Oper. Res. Quarterly 20(4), 1969, for weights by
//! inverse squared error; Petropoulos and Svetunkov, Int. J. Forecasting 36(1), 2020, for small pools at equal
//! weights.

use super::run::FoldMean;
use crate::select::{champion, horizon_loss, joint_loss};

/// Families of an equal-weight blend, and at most of a weighted one.
const EQUAL: usize = 3;
const WEIGHTED: usize = 5;

/// The kinds of blend that are tried, from simple to complex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The best three at equal weights.
    Equal,
    /// The best five by inverse squared loss.
    Weighted,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Equal, Self::Weighted];

    /// Its name in tables and reasons.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "ensemble_top3",
            Self::Weighted => "ensemble_weighted",
        }
    }
}

/// Candidates with their weights, which sum to one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Blend {
    pub(super) kind: Option<Kind>,
    pub(super) parts: Vec<(usize, f64)>,
}

impl Blend {
    /// One candidate alone.
    pub(super) fn single(candidate: usize) -> Self {
        Self { kind: None, parts: vec![(candidate, 1.0)] }
    }

    /// A blend of the candidates of the smallest losses; `None` for fewer than two.
    pub(super) fn of(kind: Kind, losses: &[Option<f64>]) -> Option<Self> {
        let mut known: Vec<(usize, f64)> =
            losses.iter().enumerate().filter_map(|(c, loss)| Some((c, (*loss)?))).collect();
        known.sort_by(|a, b| a.1.total_cmp(&b.1)); // stable: of equals the simpler first
        known.truncate(match kind {
            Kind::Equal => EQUAL,
            Kind::Weighted => WEIGHTED,
        });
        let least = known.first().filter(|_| known.len() > 1)?.1;
        let weight = |loss: f64| match kind {
            Kind::Equal => 1.0,
            // One that never erred would take everything: so it does.
            Kind::Weighted if least == 0.0 => f64::from(u8::from(loss == 0.0)),
            Kind::Weighted => (least / loss).powi(2),
        };
        let total: f64 = known.iter().map(|(_, loss)| weight(*loss)).sum();
        Some(Self { kind: Some(kind), parts: known.iter().map(|(c, loss)| (*c, weight(*loss) / total)).collect() })
    }

    /// Whether a candidate has a part in it.
    pub(super) fn holds(&self, candidate: usize) -> bool {
        self.parts.iter().any(|(part, _)| *part == candidate)
    }

    /// Whether a candidate is its first part, the one of the smallest loss.
    pub(super) fn leads(&self, candidate: usize) -> bool {
        self.parts[0].0 == candidate
    }

    /// The weight of a candidate; 0 for one without a part in it.
    pub(super) fn weight(&self, candidate: usize) -> f64 {
        self.parts.iter().find(|(part, _)| *part == candidate).map_or(0.0, |(_, weight)| *weight)
    }

    /// The weighted sum of what `forecast` says for each part; `None` where one says nothing.
    pub(super) fn mean<'a>(&self, forecast: impl Fn(usize) -> Option<&'a [f64]>) -> Option<Vec<f64>> {
        let mut sum: Vec<f64> = Vec::new();
        for (candidate, weight) in &self.parts {
            let own = forecast(*candidate)?;
            sum.resize(own.len(), 0.0);
            sum.iter_mut().zip(own).for_each(|(sum, f)| *sum += weight * f);
        }
        Some(sum)
    }
}

/// One series on its picking folds: what every candidate said and what came.
pub(super) struct Rounds<'a> {
    /// `[fold][candidate]`.
    pub(super) means: Vec<Vec<Option<&'a FoldMean>>>,
    pub(super) actuals: Vec<&'a [f64]>,
}

impl Rounds<'_> {
    /// A candidate's loss on each fold; `Err` where its forecast is none or not finite there.
    fn losses(&self, fold: usize) -> Vec<Result<Option<f64>, ()>> {
        let loss = |mean: &Option<&FoldMean>| match mean {
            Some(Some(mean)) if mean.iter().all(|f| f.is_finite()) => Ok(horizon_loss(mean, self.actuals[fold])),
            _ => Err(()),
        };
        self.means[fold].iter().map(loss).collect()
    }

    /// The joint loss of each candidate, and what picking one and each kind of blend came to.
    pub(super) fn judge(&self, candidates: usize) -> Losses {
        let folds: Vec<_> = (0..self.means.len()).map(|fold| self.losses(fold)).collect();
        let joint = |without: Option<usize>, candidate: usize| {
            let kept = folds.iter().enumerate().filter(|(fold, _)| Some(*fold) != without);
            joint_loss(kept.map(|(_, losses)| losses[candidate]))
        };
        let singles: Vec<Option<f64>> = (0..candidates).map(|candidate| joint(None, candidate)).collect();
        let others: Vec<Vec<Option<f64>>> =
            (0..folds.len()).map(|fold| (0..candidates).map(|c| joint(Some(fold), c)).collect()).collect();
        let said = |fold: usize, blend: Option<Blend>| {
            let own = |candidate: usize| self.means[fold][candidate].and_then(|mean| mean.as_deref());
            let mean = blend.and_then(|blend| blend.mean(own)).ok_or(())?;
            if mean.iter().all(|f| f.is_finite()) { Ok(horizon_loss(&mean, self.actuals[fold])) } else { Err(()) }
        };
        let picked = joint_loss((0..folds.len()).map(|fold| said(fold, champion(&others[fold]).map(Blend::single))));
        let blends =
            Kind::ALL.map(|kind| joint_loss((0..folds.len()).map(|fold| said(fold, Blend::of(kind, &others[fold])))));
        Losses { singles, picked, blends }
    }
}

/// What the picking folds say of one series.
///
/// `picked` and `blends` are each fold's loss of what the other folds alone would have chosen: a blend would else be
/// judged by what it was made from, and the best of many looks better than it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Losses {
    /// Of each candidate.
    pub(super) singles: Vec<Option<f64>>,
    /// Of picking the best candidate.
    pub(super) picked: Option<f64>,
    /// Of each of [`Kind::ALL`].
    pub(super) blends: [Option<f64>; 2],
}

impl Losses {
    /// The blend that does better than picking does, else the best candidate, else `floor`.
    pub(super) fn choose(&self, floor: usize) -> Blend {
        let best = Kind::ALL.into_iter().zip(self.blends).filter_map(|(kind, loss)| Some((kind, loss?)));
        let best = best.min_by(|a, b| a.1.total_cmp(&b.1));
        let blend = best.filter(|(_, loss)| self.picked.is_some_and(|picked| *loss < picked));
        let blend = blend.and_then(|(kind, _)| Blend::of(kind, &self.singles));
        blend.unwrap_or_else(|| Blend::single(champion(&self.singles).unwrap_or(floor)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_follow_the_losses_and_sum_to_one() {
        let losses = [Some(2.0), None, Some(1.0), Some(4.0), Some(8.0)];
        let equal = Blend::of(Kind::Equal, &losses).unwrap();
        assert_eq!(equal.parts, [(2, 1.0 / 3.0), (0, 1.0 / 3.0), (3, 1.0 / 3.0)]);
        let weighted = Blend::of(Kind::Weighted, &losses).unwrap();
        assert_eq!(weighted.parts.iter().map(|(c, _)| *c).collect::<Vec<_>>(), [2, 0, 3, 4]);
        assert!((weighted.parts[0].1 / weighted.parts[1].1 - 4.0).abs() < 1e-12);
        assert!((weighted.parts.iter().map(|(_, w)| w).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(Blend::of(Kind::Weighted, &[Some(0.0), Some(3.0)]).unwrap().parts, [(0, 1.0), (1, 0.0)]);
        assert_eq!(Blend::of(Kind::Equal, &[Some(1.0), None]), None, "one is no blend");
    }

    #[test]
    fn a_blend_is_judged_on_folds_that_had_no_part_in_it() {
        // Two that err to either side are exact together; with one fold there are no others to choose by.
        let (low, high): (FoldMean, FoldMean) = (Some(vec![1.0, 1.0]), Some(vec![3.0, 3.0]));
        let actual = [2.0, 2.0];
        let rounds =
            |folds: usize| Rounds { means: vec![vec![Some(&low), Some(&high)]; folds], actuals: vec![&actual; folds] };
        let judged = rounds(2).judge(2);
        assert_eq!((judged.singles.as_slice(), judged.picked), (&[Some(1.0), Some(1.0)][..], Some(1.0)));
        assert_eq!((judged.blends, judged.choose(0).kind), ([Some(0.0); 2], Some(Kind::Equal)));
        let once = rounds(1).judge(2);
        assert_eq!((once.picked, once.blends, once.choose(0)), (None, [None, None], Blend::single(0)));
    }
}
