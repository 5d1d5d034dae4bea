//! The theta method's fit: a search over one weight, the other unknowns solved for inside each pass.

mod search;

use rayon::prelude::*;

use self::search::Search;
use super::theta::Passes;
use crate::theta::Best;
use crate::theta_fit::{GRID, grid};
use crate::{LANES, Lanes, ThetaFit, ThetaForm};

/// See [`crate::theta_fit`].
pub(crate) fn theta_fit(y: &Lanes, form: ThetaForm) -> ThetaFit {
    let groups: Vec<_> = (0..y.groups()).into_par_iter().map(|group| fit_group(y.group(group), form)).collect();
    let of = |s: usize| (&groups[s / LANES].searches[s % LANES], &groups[s / LANES].best[s % LANES]);
    let all = || (0..y.series()).map(of);
    ThetaFit {
        alpha: all().map(|(search, _)| search.alpha()).collect(),
        level: all().map(|(_, best)| best.level).collect(),
        share: all().map(|(_, best)| best.share).collect(),
        sse: all().map(|(_, best)| best.sse).collect(),
        converged: all().map(|(search, _)| search.converged()).collect(),
        evaluations: all().map(|(search, _)| search.evaluations()).collect(),
    }
}

struct Group {
    searches: [Search; LANES],
    best: [Best; LANES],
}

fn fit_group(y: &[[f32; LANES]], form: ThetaForm) -> Group {
    let passes = Passes::new(y, form);
    let mut searches: [Search; LANES] = std::array::from_fn(|lane| Search::new(passes.observed[lane]));
    for index in 0..GRID {
        let sums = passes.sums(&[grid(index); LANES]);
        for lane in 0..LANES {
            searches[lane].offer(index, sums.lane(lane).best(form).sse);
        }
    }
    searches.iter_mut().for_each(Search::begin);
    while searches.iter().any(Search::is_active) {
        let sums = passes.sums(&std::array::from_fn(|lane| searches[lane].trial()));
        for lane in 0..LANES {
            if searches[lane].is_active() {
                searches[lane].receive(sums.lane(lane).best(form).sse);
            }
        }
    }
    let sums = passes.sums(&std::array::from_fn(|lane| searches[lane].alpha()));
    Group { searches, best: std::array::from_fn(|lane| sums.lane(lane).best(form)) }
}
