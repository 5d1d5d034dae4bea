//! What serves a series: one family, or several with weights.
//!
//! Source: Bates and Granger, *The Combination of Forecasts*, Oper. Res. Quarterly 20(4), 1969, for weights by
//! inverse loss; Petropoulos and Svetunkov, Int. J. Forecasting 36(1), 2020, for medians and small pools.

use serde::{Deserialize, Serialize};

use super::run::{FoldMean, NAIVE};
use crate::select::{champion, horizon_loss, joint_loss, least_folds};

/// Families of an equal-weight blend, and at most of a weighted one.
const EQUAL: usize = 3;
const WEIGHTED: usize = 9;
/// A part's weight falls with this power of its loss.
const POWER: i32 = 3;

/// The kinds of blend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// The mean of the best three.
    Equal,
    /// The median of the best nine, weighted by inverse loss: one that errs wildly moves it little.
    Weighted,
    /// Their mean, weighted alike.
    Mean,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Equal, Self::Weighted, Self::Mean];

    /// Its name in tables and reasons.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Equal => "ensemble_top3",
            Self::Weighted => "ensemble_weighted",
            Self::Mean => "ensemble_mean",
        }
    }
}

/// Candidates with their weights, which sum to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Blend {
    /// `None` where it is one candidate alone.
    pub(super) kind: Option<Kind>,
    /// The smallest loss first.
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
            Kind::Weighted | Kind::Mean => WEIGHTED,
        });
        let least = known.first().filter(|_| known.len() > 1)?.1;
        let weight = |loss: f64| match kind {
            Kind::Equal => 1.0,
            // One that never erred would take everything: so it does.
            _ if least == 0.0 => f64::from(u8::from(loss == 0.0)),
            Kind::Weighted | Kind::Mean => (least / loss).powi(POWER),
        };
        let total: f64 = known.iter().map(|(_, loss)| weight(*loss)).sum();
        Some(Self { kind: Some(kind), parts: known.iter().map(|(c, loss)| (*c, weight(*loss) / total)).collect() })
    }

    /// Whether a candidate has a part in it.
    pub(super) fn holds(&self, candidate: usize) -> bool {
        self.parts.iter().any(|(part, _)| *part == candidate)
    }

    /// Its first part, the one of the smallest loss.
    pub(super) fn leader(&self) -> usize {
        self.parts[0].0
    }

    /// What it makes of the parts' forecasts; one that says nothing, or nothing finite, has no say. `None` where none
    /// has.
    pub(super) fn mean<'a>(&self, forecast: impl Fn(usize) -> Option<&'a [f64]>) -> Option<Vec<f64>> {
        let sound = |(candidate, weight): &(usize, f64)| {
            let own = forecast(*candidate).filter(|own| own.iter().all(|f| f.is_finite()))?;
            Some((own, *weight))
        };
        let said: Vec<(&[f64], f64)> = self.parts.iter().filter_map(sound).collect();
        let total: f64 = said.iter().map(|(_, weight)| weight).sum();
        let steps = said.first()?.0.len();
        let mut at_step: Vec<(f64, f64)> = Vec::with_capacity(said.len());
        let blended = (0..steps).map(|step| {
            at_step.clear();
            at_step.extend(said.iter().map(|(own, weight)| (own[step], *weight)));
            match self.kind {
                Some(Kind::Weighted) => weighted_median(&mut at_step),
                Some(Kind::Equal | Kind::Mean) | None => at_step.iter().map(|(f, weight)| weight / total * f).sum(),
            }
        });
        Some(blended.collect())
    }
}

/// The least value that at least half of the weight does not exceed.
fn weighted_median(weighted: &mut [(f64, f64)]) -> f64 {
    weighted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = 0.5 * weighted.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut under = 0.0;
    let reached = weighted.iter().find(|(_, weight)| {
        under += weight;
        under >= half
    });
    reached.or(weighted.last()).map_or(f64::NAN, |(value, _)| *value)
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

    /// The joint loss of each candidate, and what each kind of blend came to.
    pub(super) fn judge(&self, candidates: usize) -> Losses {
        let folds: Vec<_> = (0..self.means.len()).map(|fold| self.losses(fold)).collect();
        let least = least_folds(folds.len());
        let joint = |without: Option<usize>, candidate: usize| {
            let of = |candidate: usize| -> Vec<_> {
                let kept = folds.iter().enumerate().filter(|(fold, _)| Some(*fold) != without);
                kept.map(|(_, losses)| losses[candidate]).collect()
            };
            // Leaving a fold out must not leave out a candidate that only the newest folds could judge.
            joint_loss(&of(candidate), &of(NAIVE), least - usize::from(without.is_some()))
        };
        let singles: Vec<Option<f64>> = (0..candidates).map(|candidate| joint(None, candidate)).collect();
        let others: Vec<Vec<Option<f64>>> =
            (0..folds.len()).map(|fold| (0..candidates).map(|c| joint(Some(fold), c)).collect()).collect();
        let said = |fold: usize, blend: Option<Blend>| {
            let own = |candidate: usize| self.means[fold][candidate].and_then(|mean| mean.as_deref());
            let mean = blend.and_then(|blend| blend.mean(own)).ok_or(())?;
            if mean.iter().all(|f| f.is_finite()) { Ok(horizon_loss(&mean, self.actuals[fold])) } else { Err(()) }
        };
        let naive: Vec<_> = folds.iter().map(|losses| losses[NAIVE]).collect();
        let judge = |of: &dyn Fn(usize) -> Option<Blend>| {
            let losses: Vec<_> = (0..folds.len()).map(|fold| said(fold, of(fold))).collect();
            joint_loss(&losses, &naive, least)
        };
        let blends = Kind::ALL.map(|kind| judge(&|fold| Blend::of(kind, &others[fold])));
        Losses { singles, blends }
    }
}

/// What the picking folds say of one series.
///
/// `blends` are each fold's loss of what the other folds alone would have blended: a blend would else be judged by what
/// it was made from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Losses {
    /// Of each candidate.
    pub(super) singles: Vec<Option<f64>>,
    /// Of each of [`Kind::ALL`].
    pub(super) blends: [Option<f64>; 3],
}

impl Losses {
    /// The weighted median, and the weighted mean where the folds have `shared` values: they are hardly more than one observation
    /// then, which tells no wild part from the only one that is right. One candidate alone where nothing can be blended or
    /// the best never erred, `untold` where no fold tells of any.
    pub(super) fn choose(&self, untold: usize, shared: bool) -> Blend {
        let kind = if shared { Kind::Mean } else { Kind::Weighted };
        let best = champion(&self.singles);
        let exact = best.filter(|best| self.singles[*best] == Some(0.0)).map(Blend::single);
        let blend = exact.or_else(|| Blend::of(kind, &self.singles));
        blend.unwrap_or_else(|| Blend::single(best.unwrap_or(untold)))
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
        assert!((weighted.parts[0].1 / weighted.parts[1].1 - 8.0).abs() < 1e-12);
        assert!((weighted.parts.iter().map(|(_, w)| w).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(Blend::of(Kind::Weighted, &[Some(0.0), Some(3.0)]).unwrap().parts, [(0, 1.0), (1, 0.0)]);
        assert_eq!(Blend::of(Kind::Equal, &[Some(1.0), None]), None, "one is no blend");
    }

    #[test]
    fn a_median_is_of_the_weight_and_not_of_the_count() {
        let of = |mut weighted: Vec<(f64, f64)>| weighted_median(&mut weighted);
        assert_eq!(of(vec![(9.0, 0.2), (1.0, 0.2), (4.0, 0.6)]), 4.0);
        assert_eq!(of(vec![(1e9, 0.4), (1.0, 0.3), (2.0, 0.3)]), 2.0, "one wild part moves it little");
        assert_eq!(of(vec![(7.0, 1.0)]), 7.0);
        assert!(of(Vec::new()).is_nan());
    }

    #[test]
    fn a_part_that_says_nothing_has_no_say() {
        let blend = Blend::of(Kind::Equal, &[Some(1.0), Some(1.0), Some(1.0)]).unwrap();
        let said = [Some(vec![1.0, 2.0]), None, Some(vec![f64::NAN, 1.0])];
        let of = |blend: &Blend, said: &[Option<Vec<f64>>]| blend.mean(|candidate| said[candidate].as_deref());
        assert_eq!(of(&blend, &said), Some(vec![1.0, 2.0]));
        assert_eq!(of(&blend, &[Some(vec![1.0]), Some(vec![2.0]), Some(vec![6.0])]), Some(vec![3.0]));
        assert_eq!(of(&blend, &[None, None, None]), None);
    }

    #[test]
    fn a_blend_is_judged_by_folds_that_had_no_part_in_it() {
        // Two that err to either side are exact together; with one fold there are no others to choose by.
        let (low, high): (FoldMean, FoldMean) = (Some(vec![1.0, 1.0]), Some(vec![3.0, 3.0]));
        let actual = [2.0, 2.0];
        let rounds =
            |folds: usize| Rounds { means: vec![vec![Some(&low), Some(&high)]; folds], actuals: vec![&actual; folds] };
        let judged = rounds(2).judge(2);
        let expected = [Some(0.0), Some(1.0), Some(0.0)];
        assert_eq!((judged.singles.as_slice(), judged.blends), (&[Some(1.0), Some(1.0)][..], expected));
        assert_eq!(rounds(1).judge(2).blends, [None; 3]);
    }

    #[test]
    fn folds_that_share_values_ask_for_a_mean() {
        let losses = Losses { singles: vec![Some(1.0), Some(2.0)], blends: [None; 3] };
        let mean = losses.choose(0, true);
        assert_eq!((mean.kind, mean.leader()), (Some(Kind::Mean), 0));
        let said = [[3.0], [12.0]];
        assert_eq!(mean.mean(|c| Some(&said[c])), Some(vec![(8.0 * 3.0 + 12.0) / 9.0]), "2³ to one");
        let median = losses.choose(0, false);
        assert_eq!((median.kind, median.mean(|c| Some(&said[c]))), (Some(Kind::Weighted), Some(vec![3.0])));
    }

    #[test]
    fn one_that_never_erred_serves_alone() {
        let losses = Losses { singles: vec![Some(2.0), Some(0.0), None], blends: [None, Some(0.0), None] };
        assert_eq!(losses.choose(0, false), Blend::single(1));
        assert_eq!(Losses { singles: vec![None, None], blends: [None; 3] }.choose(0, false), Blend::single(0));
    }
}
