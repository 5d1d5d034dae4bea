//! The best model of every series of a batch: screened, ranked by what the likelihood promises, fitted in full.

use std::collections::BTreeMap;

use foreshadow_kernels::{
    ArimaCandidate, ArimaEffort, ArimaFit, ArimaSeries, Batch, Device, Differencing, KernelError, Rows, arima_fit,
    arima_screen,
};

use rayon::prelude::*;

use super::{Arima, Fixed};
use crate::device::put_rows;

/// Models of a screen whose exact likelihood is looked at, those that go to its top, and how many stand by in case none
/// of them may be used.
const SHORT_LIST: usize = 6;
const FINALISTS: usize = 2;
const STAND_BY: usize = 36;
/// Those that stand by on a GPU, which has to carry them down.
const STAND_BY_ON_GPU: usize = 8;
/// How far a criterion may be from the best for the model to compete: before the exact likelihood has been looked at,
/// and by what that look promises.
const REACH: f64 = 40.0;
const NEAR: f64 = 2.0;
/// How near the unit circle a root of a chosen model may come, in modulus. Where the likelihood rises up to the circle,
/// as it does for a season that hardly changes, the best at the margin is taken: what is left without such models soon
/// forgets the season.
const ROOT_MARGIN: f64 = 0.0001;
/// Nats that a fit may still promise and be used: what is ranked promises no less.
const SETTLED: f64 = 1e-2;

/// A batch that models are fitted to, where it lies.
struct Fits<'a> {
    y: &'a Batch,
    differencing: Differencing,
}

/// Models that compete for one series.
struct Contest {
    /// Those of the screen, the best first: some whose likelihood is looked at, and others that stand by.
    candidates: Vec<ArimaCandidate>,
    looked_at: usize,
    /// Those looked at, the most promising first.
    near: Vec<ArimaCandidate>,
    best: Option<ArimaFit>,
    open: bool,
}

impl Arima {
    /// The best model of each series, of a batch each that are differenced alike; `None` where no fit may be used.
    ///
    /// # Errors
    /// [`KernelError`] when the device refuses the work.
    pub(in crate::classical) fn best(
        &self,
        series: &[ArimaSeries<'_>],
        device: &Device,
    ) -> Result<Vec<Option<ArimaFit>>, KernelError> {
        let mut alike: BTreeMap<[usize; 3], Vec<usize>> = BTreeMap::new();
        for (s, own) in series.iter().enumerate() {
            alike.entry([own.differences, own.seasonal_differences, own.season]).or_default().push(s);
        }
        let mut best = vec![None; series.len()];
        for ([differences, seasonal_differences, season], some) in alike {
            let differencing = Differencing { differences, seasonal_differences, season };
            let own: Vec<&[f64]> = some.iter().map(|&s| series[s].values).collect();
            let found = self.choose(&put_rows(batch(&own), device)?, differencing)?;
            some.into_iter().zip(found).for_each(|(s, fit)| best[s] = fit);
        }
        Ok(best)
    }

    /// A chosen model fitted anew to a series much like the one that it was chosen for; `None` where that fit may not be
    /// used.
    pub(in crate::classical) fn again(series: &ArimaSeries<'_>, chosen: &ArimaFit) -> Option<ArimaFit> {
        let ArimaSeries { differences, seasonal_differences, season, .. } = *series;
        let (y, differencing) =
            (Batch::Cpu(batch(&[series.values])), Differencing { differences, seasonal_differences, season });
        let start = chosen.candidate();
        let mut fits = arima_fit(&y, differencing, &[(0, &start)], ArimaEffort::Full).ok()?;
        fits.pop().filter(is_usable)
    }

    /// Fits the best of a screen exactly and takes, for each series, the likeliest for its size that may be used; `None`
    /// where none may. The work is done where the batch lies.
    ///
    /// Sums of squares end some way from the likelihood's top where a root lies near the unit circle, so the best of
    /// the screen are ranked anew by what a look at the likelihood there promises.
    ///
    /// - `y`: `[series, steps]`, standardised; NaN where unobserved. A series begins with its first observed step.
    ///
    /// # Errors
    /// [`KernelError`] when the device refuses the work.
    pub fn choose(&self, y: &Batch, differencing: Differencing) -> Result<Vec<Option<ArimaFit>>, KernelError> {
        let fits = Fits { y, differencing };
        if let Some(fixed) = self.fixed {
            return fits.fixed(fixed);
        }
        let stand_by = if fits.is_on_host() { STAND_BY } else { STAND_BY_ON_GPU };
        let screened = arima_screen(y, differencing, &self.orders(), ROOT_MARGIN, stand_by)?;
        let mut contests: Vec<Contest> = screened.into_par_iter().map(Contest::new).collect();
        fits.look(&mut contests)?;
        for rank in 0..stand_by {
            if !fits.rank(&mut contests, rank)? {
                break;
            }
        }
        fits.polish(contests)
    }
}

impl Contest {
    fn new(candidates: Vec<ArimaCandidate>) -> Self {
        let enough = candidates.first().map_or(0.0, |best| best.aicc + REACH);
        let looked_at = candidates.iter().take(SHORT_LIST).take_while(|candidate| candidate.aicc < enough).count();
        Self { candidates, looked_at, near: Vec::new(), best: None, open: true }
    }

    /// The candidate that is fitted next; none once no more can win.
    fn next(&mut self, rank: usize) -> Option<&ArimaCandidate> {
        let candidate = self.near.iter().chain(&self.candidates[self.looked_at..]).nth(rank);
        let outdone =
            |best: &ArimaFit, candidate: &ArimaCandidate| rank >= FINALISTS || candidate.aicc > best.aicc + NEAR;
        self.open &= candidate.is_some_and(|own| self.best.as_ref().is_none_or(|best| !outdone(best, own)));
        candidate.filter(|_| self.open)
    }
}

impl Fits<'_> {
    fn is_on_host(&self) -> bool {
        matches!(self.y, Batch::Cpu(_))
    }

    fn fit(&self, starts: &[(usize, &ArimaCandidate)], effort: ArimaEffort) -> Result<Vec<ArimaFit>, KernelError> {
        arima_fit(self.y, self.differencing, starts, effort)
    }

    /// A given order, wherever its search ends settled.
    fn fixed(&self, fixed: Fixed) -> Result<Vec<Option<ArimaFit>>, KernelError> {
        let screened = arima_screen(self.y, self.differencing, &[fixed.order], 0.0, usize::MAX)?;
        let constant = fixed.constant && self.differencing.of(&[]).may_have_constant();
        // With a constant or without, a sum of squares ends at the same place.
        let of_order = |all: &Vec<ArimaCandidate>| {
            let own = all.iter().find(|candidate| candidate.order == fixed.order)?;
            Some(ArimaCandidate { constant, ..own.clone() })
        };
        let own: Vec<(usize, ArimaCandidate)> =
            screened.iter().enumerate().filter_map(|(s, all)| Some((s, of_order(all)?))).collect();
        let starts: Vec<(usize, &ArimaCandidate)> = own.iter().map(|(s, candidate)| (*s, candidate)).collect();
        let mut fits = vec![None; screened.len()];
        let found = self.fit(&starts, ArimaEffort::Full)?;
        starts.iter().zip(found).for_each(|((s, _), fit)| fits[*s] = Some(fit).filter(|fit| fit.converged));
        Ok(fits)
    }

    /// Looks at the likelihood of each short list.
    fn look(&self, contests: &mut [Contest]) -> Result<(), KernelError> {
        let starts: Vec<(usize, &ArimaCandidate)> = contests
            .iter()
            .enumerate()
            .flat_map(|(s, contest)| contest.candidates[..contest.looked_at].iter().map(move |own| (s, own)))
            .collect();
        let looks = self.fit(&starts, ArimaEffort::Glance)?;
        let mut looks: Vec<Option<ArimaCandidate>> = looks.into_par_iter().map(|look| Some(look.candidate())).collect();
        let mut left = looks.as_mut_slice();
        let parts: Vec<&mut [Option<ArimaCandidate>]> =
            contests.iter().filter_map(|contest| left.split_off_mut(..contest.looked_at)).collect();
        contests.par_iter_mut().zip(parts).for_each(|(contest, looks)| {
            let found = looks.iter_mut().filter_map(Option::take).filter(|candidate| candidate.aicc.is_finite());
            contest.near = found.collect();
            contest.near.sort_by(|a, b| a.aicc.total_cmp(&b.aicc));
        });
        Ok(())
    }

    /// Fits the candidate of a rank where it may still win; whether any was.
    fn rank(&self, contests: &mut [Contest], rank: usize) -> Result<bool, KernelError> {
        let starts: Vec<(usize, &ArimaCandidate)> =
            contests.par_iter_mut().enumerate().filter_map(|(s, contest)| Some((s, contest.next(rank)?))).collect();
        let of: Vec<usize> = starts.iter().map(|(s, _)| *s).collect();
        let fits = self.fit(&starts, ArimaEffort::Rank)?;
        for (&s, fit) in of.iter().zip(fits) {
            let best = &mut contests[s].best;
            if fit.converged && best.as_ref().is_none_or(|best| fit.aicc < best.aicc) {
                *best = Some(fit);
            }
        }
        Ok(!of.is_empty())
    }

    /// Takes the best of each contest to the likelihood's top.
    fn polish(&self, contests: Vec<Contest>) -> Result<Vec<Option<ArimaFit>>, KernelError> {
        let best: Vec<(usize, ArimaCandidate)> = contests
            .par_iter()
            .enumerate()
            .filter_map(|(s, contest)| Some((s, contest.best.as_ref()?.candidate())))
            .collect();
        let starts: Vec<(usize, &ArimaCandidate)> = best.iter().map(|(s, candidate)| (*s, candidate)).collect();
        let polished = self.fit(&starts, ArimaEffort::Full)?;
        let mut left: Vec<bool> = contests.iter().map(|contest| contest.best.is_none()).collect();
        let mut chosen = vec![None; contests.len()];
        for (&(s, _), polished) in starts.iter().zip(polished) {
            let ranked = contests[s].best.as_ref();
            // What was ranked saw gaps filled, so it may not stand in for a fit that did not and counted fewer steps.
            let is_whole = ranked.is_some_and(|best| best.likelihood.observed == polished.likelihood.observed);
            chosen[s] = if is_usable(&polished) { Some(polished) } else { ranked.filter(|_| is_whole).cloned() };
            left[s] = chosen[s].is_none();
        }
        for rank in 0..SHORT_LIST {
            let starts: Vec<(usize, &ArimaCandidate)> = (0..contests.len())
                .filter(|&s| left[s])
                .filter_map(|s| Some((s, contests[s].near.get(rank)?)))
                .collect();
            let fits = self.fit(&starts, ArimaEffort::Full)?;
            for ((s, _), fit) in starts.iter().zip(fits).filter(|(_, fit)| is_usable(fit)) {
                (chosen[*s], left[*s]) = (Some(fit), false);
            }
        }
        Ok(chosen)
    }
}

/// Series that end together, unobserved before they begin.
fn batch(series: &[&[f64]]) -> Rows {
    let steps = series.iter().map(|own| own.len()).max().unwrap_or(0);
    let mut values = vec![f64::NAN; series.len() * steps];
    for (row, own) in values.chunks_mut(steps.max(1)).zip(series) {
        row[steps - own.len()..].copy_from_slice(own);
    }
    Rows::new(series.len(), steps, values).expect("a row has as many values as the longest series")
}

/// Whether a fit is settled.
fn is_usable(fit: &ArimaFit) -> bool {
    fit.converged || fit.promised < SETTLED && fit.likelihood.log_likelihood().is_finite()
}
