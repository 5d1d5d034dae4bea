//! One step of the answers: what each unknown's change does to level, slope, season and expected value.

use super::{ADDITIVE, RELATIVE, SCALED};
use crate::cpu::ets::LEAST_BEND;
use crate::cpu::ets_fit::search::{FLOOR, Point};
use crate::{EtsForm, Smoothing, Trend};

/// Columns of a register, and those whose unknowns are weights.
pub(super) const TILE: usize = 8;
/// One plus a relative error past which its weight in the Hessian grows no more: `f32` holds the square.
const STEEPEST: f64 = 1e6;

/// What the weights' columns take up of an error by level, by slope and by season, and of the slope by the damping.
pub(super) type Forcing = [[f32; TILE]; 4];

/// What a step of the recursion met.
#[derive(Clone, Copy)]
pub(super) struct Met {
    pub(super) ahead: f64,
    pub(super) held: f64,
    /// The expected value, in the unit of the errors' answers.
    pub(super) expected: f64,
    /// The error that is squared, and those of the level and of the season.
    pub(super) squared: f64,
    pub(super) error: f64,
    pub(super) season_error: f64,
}

/// Factors of one step, as the head of the module above has them.
#[derive(Clone, Copy)]
pub(super) struct Link {
    /// The damping and the slope.
    way: [f32; 2],
    level: [f32; 2],
    slope: [f32; 2],
    season: [f32; 2],
    /// Of the expected value, weighted.
    row: [f32; 2],
    error: f32,
    season_error: f32,
}

impl Link {
    /// The factors of a step, and what its error makes of the gradient, for the squares and for the logarithms.
    /// `way` has the damping and the slope, `unit` is what the answers of a relative error are measured in.
    #[inline(always)]
    pub(super) fn of<const KIND: u8>(smoothing: &Smoothing, way: [f32; 2], met: &Met, unit: f64) -> (Self, [f32; 2]) {
        let Smoothing { alpha, beta, gamma, .. } = *smoothing;
        let Met { ahead, held, squared, .. } = *met;
        let ratio = 1.0 + squared;
        let (tied, back) = if KIND == SCALED { (ahead * ratio / held, held * ratio / ahead) } else { (1.0, 1.0) };
        let link = Self {
            way,
            level: [(1.0 - alpha) as f32, (alpha * tied) as f32],
            slope: [beta as f32, (beta * tied) as f32],
            season: [(1.0 - gamma) as f32, (gamma * back) as f32],
            row: [1.0; 2],
            error: met.error as f32,
            season_error: met.season_error as f32,
        };
        if KIND == ADDITIVE {
            return (link, [-squared as f32, 0.0]);
        }
        let steep = ratio.min(STEEPEST);
        let bend = if KIND == SCALED { 2.0 } else { 3.0 };
        let root = (steep * (1.0 + bend * (steep - 1.0))).max(LEAST_BEND * steep * steep).sqrt();
        let pull = [-(squared * ratio / root) as f32, (1.0 / root) as f32];
        let row = if KIND == SCALED { [root / ahead, root / held] } else { [root * unit / met.expected; 2] };
        (Self { row: row.map(|v| v as f32), ..link }, pull)
    }

    /// Takes the answers through one step; that of the expected value goes into `row`, weighted.
    #[inline(always)]
    pub(super) fn step<const W: usize, const TREND: bool, const KIND: u8>(
        &self,
        forcing: &Forcing,
        level: &mut [f32; W],
        slope: &mut [f32; W],
        season: &mut [f32; W],
        row: &mut [f32; W],
    ) {
        let level = level.as_chunks_mut::<TILE>().0.iter_mut();
        let slope = slope.as_chunks_mut::<TILE>().0.iter_mut();
        let season = season.as_chunks_mut::<TILE>().0.iter_mut();
        let row = row.as_chunks_mut::<TILE>().0.iter_mut();
        for (index, (((level, slope), season), row)) in level.zip(slope).zip(season).zip(row).enumerate() {
            if index == 0 {
                self.columns::<true, TREND, KIND>(forcing, level, slope, season, row);
            } else {
                self.columns::<false, TREND, KIND>(forcing, level, slope, season, row);
            }
        }
    }

    /// The step of some columns, which are in registers from its one end to the other.
    #[inline(always)]
    fn columns<const WEIGHTS: bool, const TREND: bool, const KIND: u8>(
        &self,
        forcing: &Forcing,
        level: &mut [f32; TILE],
        slope: &mut [f32; TILE],
        season: &mut [f32; TILE],
        row: &mut [f32; TILE],
    ) {
        for c in 0..TILE {
            let forced = |from: f32, by: f32, i: usize| if WEIGHTS { from + by * forcing[i][c] } else { from };
            let drift = if TREND { forced(self.way[0] * slope[c], self.way[1], 3) } else { 0.0 };
            let (ahead, held) = (if TREND { level[c] + drift } else { level[c] }, season[c]);
            let after = self.level[0] * ahead - self.level[1] * held;
            level[c] = forced(after, self.error, 0);
            if TREND {
                let after = drift - (self.slope[0] * ahead + self.slope[1] * held);
                slope[c] = forced(after, self.error, 1);
            }
            let after = flush(self.season[0] * held - self.season[1] * ahead);
            season[c] = forced(after, self.season_error, 2);
            row[c] = match KIND {
                ADDITIVE => ahead + held,
                RELATIVE => self.row[0] * (ahead + held),
                _ => self.row[0] * ahead + self.row[1] * held,
            };
        }
    }
}

/// What the slope does before the error comes in.
#[inline(always)]
pub(super) fn drift_on<const W: usize>(
    level: &mut [f32; W],
    slope: &mut [f32; W],
    [phi, by_phi]: [f32; 2],
    forcing: &[f32; TILE],
) {
    for c in 0..W {
        slope[c] *= phi;
    }
    for c in 0..TILE {
        slope[c] += by_phi * forcing[c];
    }
    for c in 0..W {
        level[c] += slope[c];
    }
}

/// Nothing for next to nothing, for a product of what died out would fall below the normal numbers, which is slow.
#[inline(always)]
pub(super) fn flush(value: f32) -> f32 {
    if value.abs() < 1e-15 { 0.0 } else { value }
}

/// What an error of one does to level, slope and season by each weight's coordinate in the box, and what a slope
/// of one does by the damping's.
pub(super) fn forcing(&[alpha, slope, season, _]: &Point, form: EtsForm) -> Forcing {
    let mut forcing = [[0.0; TILE]; 4];
    forcing[0][0] = 1.0;
    if form.trend != Trend::None {
        forcing[1][0] = slope as f32;
        forcing[1][1] = (alpha - FLOOR) as f32;
    }
    if form.season > 1 {
        forcing[2][0] = -season as f32;
        forcing[2][2] = (1.0 - alpha - FLOOR) as f32;
    }
    if form.trend == Trend::Damped {
        forcing[3][3] = 1.0;
    }
    forcing
}
