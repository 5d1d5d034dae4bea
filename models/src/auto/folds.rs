//! At which past cutoffs a series' champion is picked, and at which its intervals are calibrated.

use crate::Horizon;

/// Cutoffs of one series, each as the steps seen there, the newest first; no cutoff serves both ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Folds {
    pub picking: Vec<usize>,
    pub calibrating: Vec<usize>,
}

/// How many cutoffs of each kind a series is given at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoldLimits {
    pub picking: usize,
    pub calibrating: usize,
}

/// Steps that any cutoff shows.
pub(super) const LEAST_SHOWN: usize = 8;
/// Cutoffs that a layout of whole horizons must have.
const LEAST_WHOLE: usize = 4;

impl Folds {
    /// Lays out the cutoffs of a series of `length` steps whose main season is `season`.
    ///
    /// They lie whole seasons apart, so that each step ahead keeps its place in the season, and never
    /// closer than the horizon, so that no actual value serves two of them; each shows two seasons. The two kinds
    /// alternate from the newest back.
    ///
    /// A history too short for four such cutoffs is cut four times in each horizon instead, wherever it lies in the
    /// season: the newest cutoffs are then judged on the part of the horizon that has come, and share
    /// values with older ones.
    pub(super) fn new(length: usize, horizon: Horizon, season: usize, limits: FoldLimits) -> Self {
        let stride = horizon.steps().div_ceil(season) * season;
        let whole = Self::every(stride, length.saturating_sub(horizon.steps()), (2 * season).max(LEAST_SHOWN), limits);
        if whole.picking.len() + whole.calibrating.len() >= LEAST_WHOLE {
            return whole;
        }
        let stride = horizon.steps().div_ceil(4);
        Self::every(stride, length.saturating_sub(stride), LEAST_SHOWN, limits)
    }

    /// Whether a value serves two of the picking folds.
    pub(super) fn share_values(&self, horizon: Horizon) -> bool {
        self.picking.windows(2).any(|pair| pair[0] - pair[1] < horizon.steps())
    }

    fn every(stride: usize, newest: usize, least: usize, limits: FoldLimits) -> Self {
        let mut folds = Self::default();
        let mut end = newest;
        while end >= least {
            let (picking, calibrating) = (folds.picking.len(), folds.calibrating.len());
            if picking < limits.picking && (picking <= calibrating || calibrating == limits.calibrating) {
                folds.picking.push(end);
            } else if calibrating < limits.calibrating {
                folds.calibrating.push(end);
            } else {
                break;
            }
            end = end.saturating_sub(stride);
        }
        folds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutoffs_keep_their_place_in_the_season_and_alternate() {
        let horizon = Horizon::new(30).unwrap();
        let limits = FoldLimits { picking: 2, calibrating: 3 };
        let folds = Folds::new(400, horizon, 24, limits);
        assert_eq!(folds, Folds { picking: vec![370, 274], calibrating: vec![322, 226, 178] });
        assert_eq!(Folds::new(5, horizon, 1, limits), Folds::default());
    }

    #[test]
    fn a_short_history_is_cut_more_often() {
        let limits = FoldLimits { picking: 6, calibrating: 8 };
        // Not two days, a day ahead: no whole horizon after two seasons.
        let folds = Folds::new(45, Horizon::new(24).unwrap(), 24, limits);
        assert_eq!(folds, Folds { picking: vec![39, 27, 15], calibrating: vec![33, 21, 9] });
        assert!(folds.share_values(Horizon::new(24).unwrap()) && !folds.share_values(Horizon::new(12).unwrap()));
    }
}
