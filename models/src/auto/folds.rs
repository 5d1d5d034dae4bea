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

impl Folds {
    /// Lays out the cutoffs of a series of `length` steps whose shortest season is `season`.
    ///
    /// They lie whole seasons apart, so that each step ahead keeps its place in the season, and never
    /// closer than the horizon, so that no actual value serves two of them. The two kinds alternate from
    /// the newest back, and each cutoff shows at least `least` steps.
    pub(super) fn new(length: usize, horizon: Horizon, season: usize, least: usize, limits: FoldLimits) -> Self {
        let stride = horizon.steps().div_ceil(season) * season;
        let mut folds = Self::default();
        let mut end = length.saturating_sub(horizon.steps());
        while end >= least.max(1) {
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
        let folds = Folds::new(400, horizon, 24, 100, limits);
        assert_eq!(folds, Folds { picking: vec![370, 274], calibrating: vec![322, 226, 178] });
        let short = Folds::new(400, horizon, 24, 300, limits);
        assert_eq!(short, Folds { picking: vec![370], calibrating: vec![322] });
        assert_eq!(Folds::new(20, horizon, 1, 8, limits), Folds::default());
    }
}
