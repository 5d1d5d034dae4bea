//! The states of many series of one form, side by side: what a new point of each moves.
//!
//! Source: the recursions of Hyndman, Koehler, Ord and Snyder, *Forecasting with Exponential Smoothing*, 2008, table 2.1,
//! their weights held.

use foreshadow_kernels::{EtsForm, Smoothing};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::recursion::End;
use crate::append::expect_points;
use crate::artifact::MOST_STEPS;
use crate::{AppendError, FitStatus, Forecast, Horizon, Quantiles};

/// Series of a block: a step goes over columns that the second cache holds.
const BLOCK: usize = 1_024;
/// Blocks that one task takes a step of at least.
const TOGETHER: usize = 4;
/// In place of the index of a series that has left.
const GONE: u32 = u32::MAX;

/// How an error acts: the form's error and its season, as [`Block::step`] tells them apart.
const ADDS: u8 = 0;
const SHARE: u8 = 1;
const SCALES: u8 = 2;

/// Where every series of a fit stands.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Standing {
    groups: Vec<States>,
    /// Series that never moved, and from which value.
    constants: Vec<(u32, f64)>,
}

/// Series of one form.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct States {
    form: EtsForm,
    blocks: Vec<Block>,
}

/// Some series of one form, a column each of what [`End`] has of one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Block {
    /// Their indices in the window, or [`GONE`].
    members: Vec<u32>,
    alpha: Vec<f64>,
    beta: Vec<f64>,
    gamma: Vec<f64>,
    phi: Vec<f64>,
    level: Vec<f64>,
    slope: Vec<f64>,
    /// `[slots, series]`, a ring of which [`Block::next`] comes next.
    season: Vec<f64>,
    squares: Vec<f64>,
    observed: Vec<f64>,
    reach: Vec<f64>,
    next: usize,
}

impl Standing {
    /// Adds series of a form, each by its index in the window.
    pub(super) fn add(&mut self, form: EtsForm, ends: &[(usize, End)]) {
        let blocks = ends.chunks(BLOCK).map(|ends| Block::of(form, ends)).collect();
        self.groups.push(States { form, blocks });
    }

    /// Adds a series that never moved.
    pub(super) fn add_constant(&mut self, series: usize, value: f64) {
        self.constants.push((index(series), value));
    }

    /// Takes in a point of every series; one that the states have no answer to makes its series outdated.
    pub(super) fn append(&mut self, status: &mut [FitStatus], points: &[f64]) -> Result<(), AppendError> {
        expect_points(points, status.len())?;
        for States { form, blocks } in &mut self.groups {
            let left = blocks.par_iter_mut().with_min_len(TOGETHER).flat_map_iter(|block| block.append(*form, points));
            left.collect::<Vec<_>>().into_iter().for_each(|s| status[s as usize] = FitStatus::Outdated);
        }
        self.constants.retain(|(s, value)| {
            let point = points[*s as usize];
            let stays = point.is_nan() || point == *value;
            if !stays {
                status[*s as usize] = FitStatus::Outdated;
            }
            stays
        });
        Ok(())
    }

    /// Normal forecasts of so many series, NaN for those that are not here.
    pub(super) fn predict(&self, series_count: usize, horizon: Horizon, quantiles: &Quantiles) -> Forecast {
        let mut forecast = Forecast::empty(series_count, horizon, quantiles.clone());
        for States { form, blocks } in &self.groups {
            for block in blocks {
                for (i, member) in block.members.iter().enumerate().filter(|(_, member)| **member != GONE) {
                    let (mean, spread) = block.end(i, *form).ahead(*form, horizon.steps());
                    forecast.set_normal(*member as usize, &mean, |step| spread[step]);
                }
            }
        }
        for (s, value) in &self.constants {
            forecast.set_normal(*s as usize, &vec![*value; horizon.steps()], |_| 0.0);
        }
        forecast
    }

    /// Whether it holds the series with a usable status and no other, in columns of one length.
    pub(super) fn is_whole(&self, status: &[FitStatus]) -> bool {
        let sound = |group: &States| group.blocks.iter().all(|block| block.is_whole(group.form));
        let columns = self.groups.iter().flat_map(|group| &group.blocks).flat_map(|block| &block.members);
        let members = columns.filter(|member| **member != GONE).chain(self.constants.iter().map(|(s, _)| s));
        let mut here = vec![false; status.len()];
        for member in members {
            match here.get_mut(*member as usize) {
                Some(here) if !*here => *here = true,
                _ => return false,
            }
        }
        let told = status.iter().zip(here).all(|(status, here)| status.is_usable() == here);
        told && self.groups.iter().all(sound) && self.constants.iter().all(|(_, value)| value.is_finite())
    }
}

fn index(series: usize) -> u32 {
    u32::try_from(series).ok().filter(|s| *s != GONE).expect("a batch of fewer than 2^32 - 1 series")
}

impl Block {
    fn of(form: EtsForm, ends: &[(usize, End)]) -> Self {
        let column = |of: &dyn Fn(&End) -> f64| ends.iter().map(|(_, end)| of(end)).collect();
        Self {
            members: ends.iter().map(|(series, _)| index(*series)).collect(),
            alpha: column(&|end| end.smoothing.alpha),
            beta: column(&|end| end.smoothing.beta),
            gamma: column(&|end| end.smoothing.gamma),
            phi: column(&|end| end.smoothing.phi),
            level: column(&|end| end.level),
            slope: column(&|end| end.slope),
            season: (0..form.season).flat_map(|slot| ends.iter().map(move |(_, end)| end.season[slot])).collect(),
            squares: column(&|end| end.squares),
            observed: column(&|end| end.observed),
            reach: column(&|end| end.reach),
            next: 0,
        }
    }

    /// Takes in its series' points; returns those that have no sound state after it.
    fn append(&mut self, form: EtsForm, points: &[f64]) -> Vec<u32> {
        let mut y = [f64::NAN; BLOCK];
        for (y, member) in y.iter_mut().zip(&self.members) {
            *y = points.get(*member as usize).copied().unwrap_or(f64::NAN);
        }
        let unknowns = form.unknowns() as f64;
        let sound = match (form.is_relative(), form.scales()) {
            (false, _) => self.step::<ADDS>(&y, unknowns),
            (true, false) => self.step::<SHARE>(&y, unknowns),
            (true, true) => self.step::<SCALES>(&y, unknowns),
        };
        let row = self.next;
        self.next = (row + 1) % form.season;
        if sound { Vec::new() } else { self.leave(form, row) }
    }

    /// One step of the recursion; returns whether every state after it is sound.
    #[inline(always)]
    fn step<const KIND: u8>(&mut self, y: &[f64; BLOCK], unknowns: f64) -> bool {
        let n = self.members.len();
        let (alpha, beta, gamma, phi) = (&self.alpha[..n], &self.beta[..n], &self.gamma[..n], &self.phi[..n]);
        let (level, slope) = (&mut self.level[..n], &mut self.slope[..n]);
        let season = &mut self.season[self.next * n..][..n];
        let (squares, observed, reach) = (&mut self.squares[..n], &mut self.observed[..n], &mut self.reach[..n]);
        let y = &y[..n];
        let mut sound = true;
        for i in 0..n {
            let seen = !y[i].is_nan();
            let drift = phi[i] * slope[i];
            let (ahead, before) = (level[i] + drift, season[i]);
            let expected = if KIND == SCALES { ahead * before } else { ahead + before };
            let error = if seen { y[i] - expected } else { 0.0 };
            let counted = match KIND {
                ADDS => error,
                _ if seen => error / expected,
                _ => 0.0,
            };
            let moved = if KIND == SCALES { ahead * counted } else { error };
            // What a relative error has no answer to leaves no number.
            let possible = KIND == ADDS || !seen || (y[i] > 0.0 && expected > 0.0);
            level[i] = if possible { ahead + alpha[i] * moved } else { f64::NAN };
            slope[i] = drift + beta[i] * moved;
            season[i] = if KIND == SCALES { before * (1.0 + gamma[i] * counted) } else { before + gamma[i] * error };
            squares[i] += counted * counted;
            observed[i] += if seen { 1.0 } else { 0.0 };
            reach[i] = if seen { reach[i].max(y[i].abs()) } else { reach[i] };
            let freedom = (observed[i] - unknowns).max(1.0);
            sound &= is_sound::<KIND>(level[i], slope[i], season[i], squares[i], freedom);
        }
        sound
    }

    /// Lets the series go whose state is not sound; returns their indices.
    fn leave(&mut self, form: EtsForm, row: usize) -> Vec<u32> {
        let n = self.members.len();
        let mut left = Vec::new();
        for i in 0..n {
            let freedom = (self.observed[i] - form.unknowns() as f64).max(1.0);
            let (level, slope, season, squares) =
                (self.level[i], self.slope[i], self.season[row * n + i], self.squares[i]);
            let sound = match (form.is_relative(), form.scales()) {
                (false, _) => is_sound::<ADDS>(level, slope, season, squares, freedom),
                (true, false) => is_sound::<SHARE>(level, slope, season, squares, freedom),
                (true, true) => is_sound::<SCALES>(level, slope, season, squares, freedom),
            };
            if !sound {
                left.push(self.members[i]);
                self.empty(form, i);
            }
        }
        left
    }

    /// Leaves a place that no step disturbs.
    fn empty(&mut self, form: EtsForm, i: usize) {
        let n = self.members.len();
        self.members[i] = GONE;
        for weight in [&mut self.alpha, &mut self.beta, &mut self.gamma] {
            weight[i] = 0.0;
        }
        (self.phi[i], self.level[i], self.slope[i]) = (1.0, 1.0, 0.0);
        (self.squares[i], self.observed[i], self.reach[i]) = (0.0, 0.0, 0.0);
        let neutral = if form.scales() { 1.0 } else { 0.0 };
        (0..form.season).for_each(|slot| self.season[slot * n + i] = neutral);
    }

    /// Where one series stands.
    fn end(&self, i: usize, form: EtsForm) -> End {
        let n = self.members.len();
        let slots = (self.next..form.season).chain(0..self.next);
        End {
            smoothing: Smoothing { alpha: self.alpha[i], beta: self.beta[i], gamma: self.gamma[i], phi: self.phi[i] },
            level: self.level[i],
            slope: self.slope[i],
            season: slots.map(|slot| self.season[slot * n + i]).collect(),
            squares: self.squares[i],
            observed: self.observed[i],
            reach: self.reach[i],
        }
    }

    fn is_whole(&self, form: EtsForm) -> bool {
        let n = self.members.len();
        let columns = [
            &self.alpha,
            &self.beta,
            &self.gamma,
            &self.phi,
            &self.level,
            &self.slope,
            &self.squares,
            &self.observed,
            &self.reach,
        ];
        let shaped = form.season.checked_mul(n) == Some(self.season.len()) && columns.iter().all(|c| c.len() == n);
        let kept = |i: usize| self.members[i] == GONE || self.end(i, form).is_sound(form);
        let known = form.season < MOST_STEPS && (!form.scales() || form.is_relative());
        n <= BLOCK && self.next < form.season && known && shaped && (0..n).all(kept)
    }
}

/// Whether a forecast from a state is a number, as [`End::is_sound`] says of a whole one.
#[inline(always)]
fn is_sound<const KIND: u8>(level: f64, slope: f64, season: f64, squares: f64, freedom: f64) -> bool {
    let most = f64::MAX;
    let finite = (level.abs() <= most) & (slope.abs() <= most) & (season.abs() <= most) & (squares <= most);
    let bounded = KIND == ADDS || squares < freedom;
    let positive = KIND != SCALES || ((level > 0.0) & (season >= 0.0));
    finite & bounded & positive
}
