//! The sines and cosines that stand for seasons.

use std::f64::consts::TAU;
use std::ops::Range;

/// The most waves of one season: what is sharper than a tenth of it is left to the errors.
pub(super) const MOST: usize = 10;

/// One frequency of a season.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wave {
    /// Steps in the season.
    pub(super) season: usize,
    /// Turns in a season.
    pub(super) turns: usize,
}

impl Wave {
    /// Sine and cosine at a step, which is counted from the first one.
    pub(super) fn at(self, step: usize) -> (f64, f64) {
        let place = self.turns % self.season * (step % self.season) % self.season;
        (TAU * place as f64 / self.season as f64).sin_cos()
    }

    /// Its sine, where it has one, and its cosine at each of so many steps.
    pub(super) fn columns(self, steps: usize) -> Vec<Vec<f64>> {
        let cycle: Vec<(f64, f64)> = (0..self.season.min(steps)).map(|t| self.at(t)).collect();
        let sine = || cycle.iter().map(|at| at.0).cycle().take(steps).collect();
        let cosine = cycle.iter().map(|at| at.1).cycle().take(steps).collect();
        if self.has_sine() { vec![sine(), cosine] } else { vec![cosine] }
    }

    /// Radians a step.
    pub(super) fn frequency(self) -> f64 {
        TAU * self.turns as f64 / self.season as f64
    }

    /// A wave of two steps has no sine: it is zero at every step.
    pub(super) fn has_sine(self) -> bool {
        2 * self.turns != self.season
    }

    fn is(self, other: Self) -> bool {
        self.turns * other.season == other.turns * self.season
    }
}

/// The waves of each season as columns of a regression; column 0 is the constant.
#[derive(Clone, Debug)]
pub(super) struct Waves {
    /// Rising, in steps.
    seasons: Vec<usize>,
    list: Vec<Wave>,
    /// First column of each wave, and one past the last.
    column: Vec<usize>,
    /// First wave of each season, and one past the last.
    first: Vec<usize>,
}

impl Waves {
    /// The first waves of seasons that rise; one that a shorter season has is no longer one's own, as R's `fourier` has it.
    pub(super) fn new(seasons: &[usize]) -> Self {
        let (mut list, mut column, mut first) = (Vec::<Wave>::new(), vec![1], vec![0]);
        for &season in seasons {
            for turns in 1..=MOST.min(season / 2) {
                let wave = Wave { season, turns };
                if !list.iter().any(|known| known.is(wave)) {
                    list.push(wave);
                    column.push(column[column.len() - 1] + if wave.has_sine() { 2 } else { 1 });
                }
            }
            first.push(list.len());
        }
        Self { seasons: seasons.to_vec(), list, column, first }
    }

    pub(super) fn seasons(&self) -> &[usize] {
        &self.seasons
    }

    pub(super) fn list(&self) -> &[Wave] {
        &self.list
    }

    /// Columns of all waves, and the constant's.
    pub(super) fn width(&self) -> usize {
        self.column[self.list.len()]
    }

    /// Columns of one season's waves, those before the `from`th of its own and from the `to`th on left out.
    pub(super) fn of(&self, season: usize, own: Range<usize>) -> Range<usize> {
        let first = self.first[season];
        self.column[first + own.start]..self.column[first + own.end]
    }

    /// Columns of the first waves of each season, without the constant's.
    pub(super) fn picked(&self, counts: &[usize]) -> Vec<usize> {
        counts.iter().enumerate().flat_map(|(season, &count)| self.of(season, 0..count)).collect()
    }

    /// The first waves of each season.
    pub(super) fn waves(&self, counts: &[usize]) -> Vec<Wave> {
        counts.iter().zip(&self.first).flat_map(|(&count, &first)| &self.list[first..first + count]).copied().collect()
    }

    /// How many waves of each season a series can tell: none of a season that it does not hold twice, and none that
    /// turns further than half in the longest run of the season's places at which nothing was ever observed; of all,
    /// as many as leave two observed rows to a column.
    pub(super) fn told(&self, values: &[f64], rows: usize) -> Vec<usize> {
        let room = |season: usize| {
            let hole = longest_hole(values, season);
            if values.len() < 2 * season { 0 } else { season.checked_div(2 * hole).unwrap_or(season) }
        };
        let room: Vec<usize> = self.seasons.iter().map(|&season| room(season)).collect();
        let told = |most: usize| -> Vec<usize> {
            let own = |season: usize| self.list[self.first[season]..self.first[season + 1]].iter();
            let count = |season: usize| own(season).filter(|wave| wave.turns <= room[season].min(most)).count();
            (0..self.seasons.len()).map(count).collect()
        };
        let fits = |counts: &Vec<usize>| 2 * (self.picked(counts).len() + 1) <= rows;
        (0..=MOST).rev().map(told).find(fits).unwrap_or_else(|| vec![0; self.seasons.len()])
    }
}

/// The longest run of places of a season at which nothing was observed; the season goes round.
fn longest_hole(values: &[f64], season: usize) -> usize {
    if values.iter().all(|value| !value.is_nan()) {
        return 0;
    }
    let mut seen = vec![false; season];
    values.chunks(season).for_each(|cycle| {
        seen.iter_mut().zip(cycle).for_each(|(seen, value)| *seen |= !value.is_nan());
    });
    let (mut run, mut longest) = (0, 0);
    for place in 0..2 * season {
        run = if seen[place % season] { 0 } else { run + 1 };
        longest = longest.max(run.min(season));
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_of_both_seasons_is_the_shorter_ones() {
        let waves = Waves::new(&[24, 168]);
        assert_eq!(waves.first, [0, 10, 19], "seven turns of a week are one of a day");
        assert_eq!(waves.width(), 1 + 2 * 19);
        let own: Vec<usize> = waves.waves(&[0, 9]).iter().map(|wave| wave.turns).collect();
        assert_eq!(own, [1, 2, 3, 4, 5, 6, 8, 9, 10]);
        assert_eq!(Waves::new(&[4]).width(), 4, "a wave of two steps has no sine");
    }

    #[test]
    fn a_wave_goes_round_without_drift() {
        let wave = Wave { season: 1_440, turns: 7 };
        let (near, far) = (wave.at(11), wave.at(11 + 1_440 * 100_000));
        assert_eq!(near, far);
        let (sine, cosine) = (TAU * 77.0 / 1_440.0).sin_cos();
        assert!((near.0 - sine).abs() < 1e-15 && (near.1 - cosine).abs() < 1e-15);
    }

    #[test]
    fn what_was_never_seen_is_not_told() {
        let waves = Waves::new(&[24, 168]);
        let told = |values: &[f64]| waves.told(values, values.len());
        assert_eq!(told(&[1.0; 400]), [10, 9]);
        assert_eq!(told(&[1.0; 335]), [10, 0], "not two weeks");
        let nights: Vec<f64> = (0..400).map(|t| if t % 24 < 6 { f64::NAN } else { 1.0 }).collect();
        assert_eq!(told(&nights), [2, 9], "two turns a day at most where six hours of it are dark");
        let once: Vec<f64> = (0..400).map(|t| if t % 24 == 3 { 1.0 } else { f64::NAN }).collect();
        assert_eq!(told(&once), [0, 3]);
        assert_eq!(Waves::new(&[24]).told(&[1.0; 48], 20), [4], "two rows to a column");
    }
}
