//! Where searches begin, and what is kept of their ends.
#![allow(clippy::too_many_lines)] // as in the pass

use cubecl::prelude::*;

use super::descend::{AT_VALUE, ENDED, EVALUATIONS, PAIRS};
use super::newton::{LAST, STAYS};
use super::prepare::{CENTRE, INVERSE_SCALE, LEAST, LOGS, OBSERVED, OFFSET, SETTLED_AT};
use super::{BEGINS, Best, DONE, Ends, GAVE_UP, NO_FORM, NOWHERE, Panel, Rounds, SLOPE, START};
use crate::Trend;
use crate::gpu::is_number;

/// The weights that a search begins with where what it begins from lacks them, or for all of them.
#[derive(Clone, Copy)]
pub(super) struct Beginning {
    pub(super) alpha: f32,
    /// Shares of the ranges of beta and gamma.
    pub(super) shares: [f32; 2],
    pub(super) phi: f32,
    /// Whether these replace what it begins from, but for those below zero.
    pub(super) replaces: bool,
}

/// Which series are put at a beginning: all, those for which an end to begin from is known, or those for which none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Whose {
    All,
    Known,
    Unknown,
}

/// Puts series that the form suits at a beginning.
pub(super) fn launch_begin<R: Runtime, F: Float + CubeElement>(
    rounds: &Rounds<'_, R>,
    beginning: Beginning,
    near: Option<&Ends<R>>,
    whose: Whose,
) {
    let &Rounds { panel, search, form, .. } = rounds;
    let (gpu, series) = (panel.y.gpu(), panel.y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    let relative_before = near.is_some_and(|near| near.form.is_relative());
    // SAFETY: the arrays have the rows that their makers name; units past the last series stop.
    unsafe {
        begin::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            panel.y.arg(),
            panel.units(),
            panel.firsts(form.season),
            // Without an end to begin from the kernel reads none.
            near.map_or_else(|| search.trial(), Ends::point),
            near.map_or_else(|| search.value(), Ends::worth),
            search.list(rounds.round()),
            search.tally(),
            search.phase(),
            search.counts(),
            search.state(),
            search.trial(),
            search.at(),
            search.gradient(),
            rounds.round(),
            series as u32,
            form.season as u32,
            (2 * form.season).max(form.unknowns() + 3) as u32,
            panel.y.steps() as u32,
            beginning.alpha,
            beginning.shares[0],
            beginning.shares[1],
            beginning.phi,
            near.is_some(),
            whose == Whose::Known,
            whose == Whose::Unknown,
            beginning.replaces,
            form.trend != Trend::None,
            form.trend == Trend::Damped,
            form.is_relative(),
            form.is_relative() && !relative_before,
            form.scales() && !near.is_some_and(|near| near.form.scales()),
        );
    }
}

#[cube(launch_unchecked)]
fn begin<F: Float>(
    y: &Array<f32>,
    units: &Array<F>,
    firsts: &Array<u32>,
    near: &Array<F>,
    near_worth: &Array<F>,
    list: &mut Array<u32>,
    tally: &mut Array<u32>,
    phase: &mut Array<u32>,
    counts: &mut Array<u32>,
    state: &mut Array<F>,
    trial: &mut Array<F>,
    at: &mut Array<F>,
    gradient: &mut Array<F>,
    round: u32,
    series: u32,
    season: u32,
    needed: u32,
    steps: u32,
    alpha: f32,
    share_b: f32,
    share_g: f32,
    phi: f32,
    #[comptime] from_near: bool,
    #[comptime] known_only: bool,
    #[comptime] unknown_only: bool,
    #[comptime] replaces: bool,
    #[comptime] sloped: bool,
    #[comptime] damped: bool,
    #[comptime] relative: bool,
    #[comptime] divides: bool,
    #[comptime] scales: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        list[s as usize] = s;
        if s == 0u32 {
            tally[round as usize] = series;
        }
        let zero = F::new(0.0f32);
        let lacks = F::new(-1.0f32);
        let observed = units[(OBSERVED * series + s) as usize];
        let inverse = units[(INVERSE_SCALE * series + s) as usize];
        let mut fits = observed >= F::cast_from(needed) && is_number::<F>(inverse) && inverse > zero;
        if season > 1u32 {
            fits = fits && units[(SETTLED_AT * series + s) as usize] <= F::cast_from(steps);
        }
        if relative {
            fits = fits && units[(LEAST * series + s) as usize] > zero;
        }
        let mut weight_a = F::cast_from(alpha);
        let mut weight_b = F::cast_from(share_b);
        let mut weight_g = F::cast_from(share_g);
        let mut weight_p = F::cast_from(phi);
        let mut slope = zero + zero;
        let mut known = false;
        if from_near {
            known = near_worth[s as usize] < F::new(NOWHERE);
            if known {
                if !replaces || alpha < 0.0f32 {
                    weight_a = near[s as usize];
                }
                if (!replaces || share_b < 0.0f32) && near[(series + s) as usize] >= zero {
                    weight_b = near[(series + s) as usize];
                }
                if (!replaces || share_g < 0.0f32) && near[(2 * series + s) as usize] >= zero {
                    weight_g = near[(2 * series + s) as usize];
                }
                if !replaces && near[(3 * series + s) as usize] < F::new(1.0f32) {
                    weight_p = near[(3 * series + s) as usize];
                }
                slope = near[(SLOPE * series + s) as usize];
            }
        }
        if !sloped {
            weight_b = lacks + zero;
            slope = zero + zero;
        }
        if season == 1u32 {
            weight_g = lacks + zero;
        }
        if !damped {
            weight_p = F::new(1.0f32);
        }
        trial[s as usize] = weight_a;
        trial[(series + s) as usize] = weight_b;
        trial[(2 * series + s) as usize] = weight_g;
        trial[(3 * series + s) as usize] = weight_p;
        let mut level = zero + zero;
        for slot in 0..season {
            let row = ((START + slot) * series + s) as usize;
            let mut start = zero + zero;
            if known {
                start = near[row];
                if divides {
                    // The same first error, as a share of what was expected.
                    let first = firsts[(slot * series + s) as usize];
                    let mut whole = F::new(1.0f32);
                    if first > 0u32 {
                        let value = F::cast_from(y[((first - 1) * series + s) as usize]);
                        whole = (value - units[(CENTRE * series + s) as usize]) * inverse
                            + units[(OFFSET * series + s) as usize];
                    }
                    let expected = whole - start;
                    level += expected / F::cast_from(season);
                    if expected > F::new(0.05f32) * whole {
                        start /= expected;
                    } else {
                        start = zero + zero;
                    }
                }
            }
            trial[row] = start;
        }
        if scales && known {
            // A level that begins with one.
            if level > zero {
                slope /= level;
            } else {
                slope = zero + zero;
            }
        }
        trial[(SLOPE * series + s) as usize] = slope;
        for i in 0..START + season {
            let row = (i * series + s) as usize;
            at[row] = trial[row];
            gradient[row] = zero + zero;
        }
        state[(AT_VALUE * series + s) as usize] = F::new(NOWHERE);
        counts[(PAIRS * series + s) as usize] = 0u32;
        counts[(EVALUATIONS * series + s) as usize] = 0u32;
        counts[(ENDED * series + s) as usize] = 0u32;
        phase[s as usize] = BEGINS;
        if !fits || (known_only && !known) || (unknown_only && known) {
            phase[s as usize] = DONE;
        }
    }
}

/// Keeps what a search came to, where that is better than what was kept: where it stands, or once judged what it has
/// found. A search that gave up is worth nothing but in the end, where others may begin from it.
pub(super) fn launch_keep<R: Runtime, F: Float + CubeElement>(
    rounds: &Rounds<'_, R>,
    ends: &Ends<R>,
    judged: bool,
    anew: bool,
) {
    let Rounds { panel, search, .. } = rounds;
    let (gpu, series) = (panel.y.gpu(), panel.y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: as above.
    unsafe {
        keep::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            search.phase(),
            search.mode(),
            search.counts(),
            search.state(),
            search.at(),
            search.trial(),
            ends.point(),
            ends.worth(),
            series as u32,
            ends.form.season as u32,
            anew,
            judged,
            ends.form.trend == Trend::None && !judged,
        );
    }
}

#[cube(launch_unchecked)]
fn keep<F: Float>(
    phase: &Array<u32>,
    modes: &Array<u32>,
    counts: &Array<u32>,
    state: &Array<F>,
    at: &Array<F>,
    trial: &Array<F>,
    ends: &mut Array<F>,
    worth: &mut Array<F>,
    series: u32,
    season: u32,
    #[comptime] anew: bool,
    #[comptime] judged: bool,
    #[comptime] keeps_all: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let value = state[(AT_VALUE * series + s) as usize];
        let ended = counts[(ENDED * series + s) as usize];
        let own = phase[s as usize];
        let began = value < F::new(NOWHERE) && own != BEGINS && (keeps_all || own != GAVE_UP);
        if anew {
            worth[s as usize] = F::new(NOWHERE);
            worth[(series + s) as usize] = F::new(0.0f32);
        }
        let better = value < worth[s as usize];
        if began && better {
            let mut found = false;
            if judged {
                found = own < DONE && modes[s as usize] % LAST != STAYS;
            }
            for i in 0..START + season {
                let row = (i * series + s) as usize;
                let mut place = at[row];
                if found {
                    place = trial[row];
                }
                ends[row] = place;
            }
            worth[s as usize] = value;
            worth[(series + s) as usize] = F::cast_from(ended);
        }
    }
}

/// Takes a form's ends where they are likelier, by AICc, than those of the forms before it.
pub(super) fn launch_choose<R: Runtime, F: Float + CubeElement>(
    panel: &Panel<'_, R>,
    ends: &Ends<R>,
    best: &Best<R>,
    index: usize,
) {
    let (gpu, series) = (panel.y.gpu(), panel.y.series());
    let (cubes, dim) = gpu.one_unit_per(series);
    // SAFETY: as above.
    unsafe {
        choose::launch_unchecked::<F, R>(
            gpu.client(),
            cubes,
            dim,
            panel.units(),
            ends.point(),
            ends.worth(),
            best.aicc(),
            best.form(),
            best.settled(),
            best.point(),
            series as u32,
            ends.form.season as u32,
            (ends.form.unknowns() + 1) as u32,
            index as u32,
            index == 0,
            ends.form.is_relative(),
        );
    }
}

#[cube(launch_unchecked)]
fn choose<F: Float>(
    units: &Array<F>,
    ends: &Array<F>,
    worth: &Array<F>,
    best: &mut Array<F>,
    forms: &mut Array<u32>,
    settled: &mut Array<u32>,
    point: &mut Array<F>,
    series: u32,
    season: u32,
    parameters: u32,
    index: u32,
    #[comptime] anew: bool,
    #[comptime] relative: bool,
) {
    let s = ABSOLUTE_POS as u32;
    if s < series {
        let one = F::new(1.0f32);
        if anew {
            best[s as usize] = F::new(NOWHERE);
            forms[s as usize] = NO_FORM;
        }
        let observed = units[(OBSERVED * series + s) as usize];
        let k = F::cast_from(parameters);
        let left = observed - k - one;
        let mut deviance = F::new(2.0f32) * worth[s as usize];
        if relative {
            deviance += F::new(2.0f32) * units[(LOGS * series + s) as usize];
        }
        let aicc = deviance + F::new(2.0f32) * k + F::new(2.0f32) * k * (k + one) / left;
        // Where nothing fitted, the worth is that of nowhere, and no sum with it is below the best of nothing.
        if left > F::new(0.0f32) && worth[s as usize] < F::new(NOWHERE) && aicc < best[s as usize] {
            best[s as usize] = aicc;
            forms[s as usize] = index;
            settled[s as usize] = u32::cast_from(worth[(series + s) as usize]);
            for i in 0..START + season {
                let row = (i * series + s) as usize;
                point[row] = ends[row];
            }
        }
    }
}
