//! ETS by maximum likelihood: a search over the weights, the start profiled out inside it.

mod profile;
mod search;

use rayon::prelude::*;

use self::profile::{Profile, value_of};
use self::search::Search;
use super::ets::{Row, Sums, Weights};
use crate::{EtsFit, EtsForm, LANES, Lanes};

/// Precision of the profiled start, as a bound on its share of the sum of squares: on the grid, in the
/// search and in the end.
const ON_GRID: f64 = 1e-4;
const IN_SEARCH: f64 = 1e-9;
const IN_THE_END: f64 = 1e-13;

/// See [`crate::ets_fit`].
pub(crate) fn ets_fit(y: &Lanes, offset: &[f64], form: EtsForm) -> EtsFit {
    let groups: Vec<_> = (0..y.groups())
        .into_par_iter()
        .map(|group| {
            let of = |lane: usize| offset[(group * LANES + lane).min(y.series() - 1)];
            fit_group(y.group(group), std::array::from_fn(of), form)
        })
        .collect();
    let mut fit = EtsFit {
        smoothing: Vec::with_capacity(y.series()),
        start: Vec::with_capacity(y.series() * form.start_len()),
        sse: Vec::with_capacity(y.series()),
        deviance: Vec::with_capacity(y.series()),
        converged: Vec::with_capacity(y.series()),
        evaluations: Vec::with_capacity(y.series()),
    };
    for s in 0..y.series() {
        let (group, lane) = (&groups[s / LANES], s % LANES);
        fit.smoothing.push(group.searches[lane].smoothing());
        fit.start.extend(group.start.iter().map(|row| row[lane]));
        fit.sse.push(group.sums.sse[lane]);
        fit.deviance.push(group.deviance[lane]);
        fit.converged.push(group.searches[lane].converged() && group.profiled[lane]);
        fit.evaluations.push(group.searches[lane].evaluations());
    }
    fit
}

struct Group {
    searches: [Search; LANES],
    start: Vec<Row>,
    sums: Sums,
    deviance: Row,
    profiled: [bool; LANES],
}

fn fit_group(y: &[[f32; LANES]], offset: Row, form: EtsForm) -> Group {
    let mut profile = Profile::new(y, offset, form);
    let observed = *profile.observed();
    let mut searches: [Search; LANES] = std::array::from_fn(|lane| Search::new(form, observed[lane]));
    for point in search::grid(form) {
        let weights = Weights::pack(form, |_| search::smoothing_at(form, &point));
        let least = profile.evaluate(&weights, &[true; LANES], ON_GRID);
        for lane in 0..LANES {
            searches[lane].offer(&point, &least, lane);
        }
    }
    searches.iter_mut().for_each(Search::begin);
    loop {
        let active = std::array::from_fn(|lane| searches[lane].is_active());
        if !active.contains(&true) {
            break;
        }
        let weights = Weights::pack(form, |lane| searches[lane].trial());
        let least = profile.evaluate(&weights, &active, IN_SEARCH);
        for lane in 0..LANES {
            if active[lane] {
                searches[lane].receive(&least, lane);
            }
        }
    }
    let weights = Weights::pack(form, |lane| searches[lane].smoothing());
    let least = profile.evaluate(&weights, &[true; LANES], IN_THE_END);
    let logs = if form.is_relative() { profile.log_values(&offset) } else { [0.0; LANES] };
    Group {
        searches,
        sums: least.sums,
        deviance: std::array::from_fn(|lane| 2.0 * (value_of(&least.sums, observed[lane], lane) + logs[lane])),
        profiled: profile.settled(),
        start: profile.into_start(),
    }
}
