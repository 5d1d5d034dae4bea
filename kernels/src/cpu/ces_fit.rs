//! Complex exponential smoothing's fit: a few places, then damped Gauss-Newton steps from the best of them.

mod search;

use std::ops::Range;

use rayon::prelude::*;

use self::search::Search;
use super::ces::{Passes, Weights};
use crate::ces_fit::places;
use crate::{CesFit, CesForm, LANES, Rows};

/// Series of one task: a lane whose search has ended takes the next of them, so that few lanes wait for the longest.
const TOGETHER: usize = 8 * LANES;

/// See [`crate::ces_fit`].
pub(crate) fn ces_fit(y: &Rows, form: CesForm, season: usize, start: &[f64]) -> CesFit {
    let batch = Task { y, form, season, start };
    let firsts: Vec<usize> = (0..y.count()).step_by(TOGETHER).collect();
    let tasks = firsts.into_par_iter().map(|first| batch.fit(first..(first + TOGETHER).min(y.count())));
    let searches: Vec<Search> = tasks.collect::<Vec<_>>().into_iter().flatten().collect();
    CesFit {
        weights: searches.iter().map(Search::weights).collect(),
        sse: searches.iter().map(Search::sse).collect(),
        converged: searches.iter().map(Search::converged).collect(),
        evaluations: searches.iter().map(Search::evaluations).collect(),
    }
}

struct Task<'a> {
    y: &'a Rows,
    form: CesForm,
    season: usize,
    start: &'a [f64],
}

impl Task<'_> {
    fn fit(&self, series: Range<usize>) -> Vec<Search> {
        let mut passes = Passes::zeros(self.form, self.season, self.y.width());
        let mut searches: Vec<Search> = Vec::with_capacity(series.len());
        for first in series.clone().step_by(LANES) {
            let lanes = first..(first + LANES).min(series.end);
            lanes.clone().enumerate().for_each(|(lane, s)| self.set(&mut passes, lane, s));
            searches.extend(lanes.map(|s| Search::new(self.form, self.observed(s))));
            for place in places(self.form) {
                let sse = passes.sse(&place.map(|weight| [weight; LANES]));
                searches[first - series.start..].iter_mut().zip(sse).for_each(|(own, sse)| own.offer(place, sse));
            }
        }
        searches.iter_mut().for_each(Search::begin);
        self.go_on(&mut passes, series.start, &mut searches);
        searches
    }

    /// Takes every search to its end, each lane one after the other.
    fn go_on(&self, passes: &mut Passes, first: usize, searches: &mut [Search]) {
        let mut waiting = 0..searches.len();
        let mut lanes: [Option<usize>; LANES] = [None; LANES];
        let mut weights: Weights = [[1.0; LANES]; crate::CES_WEIGHTS];
        loop {
            for (lane, own) in lanes.iter_mut().enumerate() {
                if own.is_none_or(|own| !searches[own].is_active()) {
                    *own = waiting.by_ref().find(|next| searches[*next].is_active());
                    if let Some(own) = *own {
                        self.set(passes, lane, first + own);
                    }
                }
                if let Some(own) = *own {
                    let trial = searches[own].trial();
                    weights.iter_mut().zip(trial).for_each(|(row, weight)| row[lane] = weight);
                }
            }
            if lanes.iter().all(Option::is_none) {
                return;
            }
            let squares = passes.squares(&weights);
            for (lane, own) in lanes.iter().enumerate() {
                if let Some(own) = *own {
                    let slope = squares.slope.map(|row| row[lane]);
                    let curvature = squares.curvature.map(|row| row[lane]);
                    searches[own].receive(squares.sse[lane], slope, curvature);
                }
            }
        }
    }

    fn set(&self, passes: &mut Passes, lane: usize, s: usize) {
        let len = self.form.start_len(self.season);
        passes.set(lane, self.y.row(s), &self.start[s * len..(s + 1) * len]);
    }

    fn observed(&self, s: usize) -> f64 {
        self.y.row(s).iter().filter(|value| !value.is_nan()).count() as f64
    }
}
