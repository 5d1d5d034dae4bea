//! Ways to expect what comes, and which of them came nearest: by a series' own past, and by its fleet's where that is short.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::artifact::MOST_STEPS;
use crate::season::DAY_MS;
use crate::transform::median;

/// Cycles whose median may be expected of the next one: of the latest alone where levels move, of some where they do not.
pub(super) const CYCLES: [usize; 2] = [1, 4];
pub(super) const MOST_CYCLES: usize = 4;
/// Places of a series that what is to be expected is chosen at.
const PLACES: usize = 256;
/// Steps back that the last value is looked for.
pub(super) const LAST_SEEN: usize = 1_440;
/// Least places that tell of a way, and as many as those of all knots together count for beside a knot's own.
const LEAST_PLACES: f64 = 8.0;
const LEANING: f64 = 32.0;
/// As many cycles of its own as a fleet counts for beside those that a series tells of a way by. (Places would not do: the
/// hours of one day go together.)
const CYCLES_OF_FLEET: f64 = 2.0;
/// Cycles up to which a series has just begun.
const CYCLES_BEGUN: usize = 4;
/// Cycles that a fleet may know.
const MOST_SEASONS: usize = 8;

/// A way to expect what comes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Way {
    /// Steps of the cycle that is expected to repeat; 1 where the last value is.
    pub(super) season: usize,
    /// Latest cycles whose median is expected.
    pub(super) cycles: usize,
}

impl Way {
    pub(super) const LAST: Self = Self { season: 1, cycles: 1 };

    pub(super) fn of(season: usize) -> impl Iterator<Item = Self> {
        CYCLES.into_iter().filter(move |_| season > 1).map(move |cycles| Self { season, cycles })
    }

    /// What is expected `ahead` steps after step `at` by what was seen up to there; NaN where nothing was.
    pub(super) fn expected(self, values: &[f64], at: usize, ahead: usize) -> f64 {
        let Self { season, cycles } = self;
        if season == 1 {
            return values[..=at].iter().rev().take(LAST_SEEN).find(|y| !y.is_nan()).copied().unwrap_or(f64::NAN);
        }
        let back = ahead.div_ceil(season) * season;
        let places = (0..cycles).map_while(|cycle| (at + ahead).checked_sub(back + cycle * season));
        let mut seen = [f64::NAN; MOST_CYCLES];
        let mut count = 0;
        for y in places.map(|place| values[place]).filter(|y| !y.is_nan()) {
            seen[count] = y;
            count += 1;
        }
        let seen = &mut seen[..count];
        seen.sort_unstable_by(f64::total_cmp);
        if count == 0 { f64::NAN } else { seen[(count - 1) / 2] / 2.0 + seen[count / 2] / 2.0 }
    }

    /// Steps that it looks back on.
    pub(super) fn reach(self) -> usize {
        if self.season == 1 { LAST_SEEN } else { self.cycles * self.season }
    }
}

/// A step ahead that a network is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Knot {
    pub(super) ahead: usize,
    /// The way that came nearest so far ahead: the last value serves the next minutes, and a cycle the next day.
    pub(super) way: Way,
    /// Mean distance from what it expected; 0 where that always came.
    pub(super) scale: f64,
}

/// How far off a way was at some places, and the last value there.
#[derive(Clone, Copy, Default)]
struct Judged {
    count: f64,
    off: f64,
    last: f64,
}

impl Judged {
    /// A way at all knots.
    fn of_all(judged: &[Vec<Self>], way: usize) -> Self {
        judged.iter().map(|own| own[way]).fold(Self::default(), Self::add)
    }

    fn add(self, other: Self) -> Self {
        Self { count: self.count + other.count, off: self.off + other.off, last: self.last + other.last }
    }

    /// Its distance as a share of that of the last value, and in units of the series.
    fn measures(self) -> [f64; 2] {
        [if self.last > 0.0 { self.off / self.last } else { 1.0 }, self.off / self.count.max(1.0)]
    }

    /// The same, leaning on those of all knots where few places tell.
    fn leaning(self, on: Self) -> [f64; 2] {
        let [own, whole] = [self, on].map(Self::measures);
        [0, 1].map(|at| (self.count * own[at] + LEANING * whole[at]) / (self.count + LEANING))
    }
}

/// What a network knows of its fleet for measuring a series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Fleet {
    /// Steps of the cycles that a part of it has, rising.
    seasons: Vec<usize>,
    /// Steps up to which a series has just begun: some cycles of the longest of those within a day, for a week apart a series
    /// has many days to tell by.
    begun: usize,
    /// Of the ways that a series may take which has just begun.
    ways: Vec<Told>,
}

/// How near a way comes in a fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Told {
    way: Way,
    /// Its relative mean absolute error, to that of the last value, a knot each: the median of the series there.
    shares: Vec<f32>,
}

impl Fleet {
    /// Of cycles that were found, the most common first, and of those series that move and are long enough to tell of a way.
    pub(super) fn of(mut seasons: Vec<usize>, series: &[&[f64]], step_ms: i64, horizon: usize) -> Self {
        seasons.truncate(MOST_SEASONS);
        seasons.sort_unstable();
        let within_a_day = seasons.iter().copied().filter(|steps| *steps as i64 * step_ms <= DAY_MS);
        let begun = CYCLES_BEGUN * within_a_day.clone().max().unwrap_or(1);
        let ways: Vec<Way> = within_a_day.flat_map(Way::of).collect();
        let knots = knots(horizon);
        let shares = |values: &&[f64]| -> Vec<Option<Vec<f64>>> {
            let judged = judged(values, &ways, &knots);
            let of_way = |way: usize| {
                let whole = Judged::of_all(&judged, way);
                let shares: Vec<f64> = judged.iter().map(|own| own[way].leaning(whole)[0]).collect();
                let tells = whole.count >= LEAST_PLACES && whole.last > 0.0;
                (tells && shares.iter().all(|share| (*share as f32).is_finite())).then_some(shares)
            };
            (0..ways.len()).map(of_way).collect()
        };
        let told: Vec<Vec<Option<Vec<f64>>>> = series.par_iter().map(shares).collect();
        let of_way = |(at, way): (usize, &Way)| {
            let tell: Vec<&Vec<f64>> = told.iter().filter_map(|own| own[at].as_ref()).collect();
            let share = |knot: usize| median(&mut tell.iter().map(|shares| shares[knot]).collect::<Vec<f64>>());
            let shares = || (0..knots.len()).map(|knot| share(knot) as f32).collect();
            (!tell.is_empty()).then(|| Told { way: *way, shares: shares() })
        };
        let ways = ways.iter().enumerate().filter_map(of_way).collect();
        Self { seasons, begun, ways }
    }

    /// Steps up to which a series has just begun.
    pub(super) fn begun(&self) -> usize {
        self.begun
    }

    /// The longest of its cycles that so many steps hold twice; where there is none, once.
    pub(super) fn longest(&self, steps: usize) -> Option<usize> {
        let within = |times: usize| self.seasons.iter().copied().filter(move |season| times * season <= steps).max();
        within(2).or_else(|| within(1)).filter(|season| *season < steps)
    }

    /// The relative error of a way at a knot by a series of which so many steps were observed, shrunk to the fleet's where it
    /// has just begun: by the cycles that it tells by, and by less and less of the fleet (Efron and Morris, *Data analysis using
    /// Stein's estimator*, JASA 1975, with weights of ours).
    fn lean(&self, way: Way, knot: usize, share: f64, observed: usize) -> f64 {
        let told = self.ways.iter().find(|told| told.way == way).filter(|_| observed < self.begun);
        let Some(Told { shares, .. }) = told else { return share };
        let cycles = observed.saturating_sub(way.season) as f64 / way.season as f64;
        let of_fleet = CYCLES_OF_FLEET * (1.0 - observed as f64 / self.begun as f64);
        (cycles * share + of_fleet * f64::from(shares[knot])) / (cycles + of_fleet)
    }

    /// Whether a series can be measured by it at so many knots; else the key that forbids it, and what stands there.
    pub(super) fn check(&self, knots: usize) -> Result<(), (&'static str, String)> {
        let carried = |steps: &usize| (2..=MOST_STEPS).contains(steps);
        let Self { seasons, begun, ways } = self;
        if let Some(odd) = seasons.iter().find(|steps| !carried(steps)) {
            return Err(("fleet.seasons", format!("{odd}")));
        }
        if seasons.len() > MOST_SEASONS || !seasons.is_sorted_by(|a, b| a < b) {
            return Err((
                "fleet.seasons",
                format!("{} cycles that do not rise, or more than {MOST_SEASONS}", seasons.len()),
            ));
        }
        if !(1..=CYCLES_BEGUN * MOST_STEPS).contains(begun) {
            return Err(("fleet.begun", format!("{begun}")));
        }
        let known = |told: &Told| {
            let carried =
                told.shares.len() == knots && told.shares.iter().all(|share| share.is_finite() && *share >= 0.0);
            carried && seasons.contains(&told.way.season) && CYCLES.contains(&told.way.cycles)
        };
        let twice = |at: usize| ways[..at].iter().any(|before| before.way == ways[at].way);
        if let Some((at, odd)) = ways.iter().enumerate().find(|(at, told)| !known(told) || twice(*at)) {
            let (Way { season, cycles }, shares) = (odd.way, odd.shares.len());
            let again = if twice(at) { ", twice" } else { "" };
            return Err(("fleet.ways", format!("{cycles} cycles of {season} steps with {shares} shares{again}")));
        }
        Ok(())
    }
}

/// `[knots, ways]`: how far off each way was over the steps from each knot to the one before it. Each is held against the last
/// value, at the places where both say something. (At the very knot a cycle and the last value may be the same: a day ahead
/// they are.)
fn judged(values: &[f64], ways: &[Way], knots: &[usize]) -> Vec<Vec<Judged>> {
    let judge = |(at, &ahead): (usize, &usize)| -> Vec<Judged> {
        let before = at.checked_sub(1).map_or(0, |before| knots[before]);
        let places = spread(0..values.len().saturating_sub(ahead), PLACES).into_iter().enumerate();
        let places: Vec<(usize, usize)> = places.map(|(i, t)| (t, ahead - i % (ahead - before))).collect();
        let off = |way: Way, (t, ahead): (usize, usize)| (values[t + ahead] - way.expected(values, t, ahead)).abs();
        let last: Vec<f64> = places.iter().map(|place| off(Way::LAST, *place)).collect();
        let of_way = |way: &Way| {
            let both = places.iter().zip(&last).map(|(place, last)| Judged {
                count: 1.0,
                off: off(*way, *place),
                last: *last,
            });
            both.filter(|own| !own.off.is_nan() && !own.last.is_nan()).fold(Judged::default(), Judged::add)
        };
        ways.iter().map(of_way).collect()
    };
    knots.iter().enumerate().map(judge).collect()
}

/// The way that came nearest so far ahead as each knot, and how near: by the series, and by its fleet where that is short.
pub(super) fn nearest(values: &[f64], ways: &[Way], knots: &[usize], fleet: &Fleet) -> Vec<Knot> {
    let ways: Vec<Way> = std::iter::once(Way::LAST).chain(ways.iter().copied()).collect();
    let judged = judged(values, &ways, knots);
    let observed = values.iter().filter(|y| !y.is_nan()).count();
    let whole: Vec<Judged> = (0..ways.len()).map(|way| Judged::of_all(&judged, way)).collect();
    let near = |(knot, (ahead, own)): (usize, (&usize, &Vec<Judged>))| {
        let told = (0..ways.len()).filter(|way| *way == 0 || whole[*way].count >= LEAST_PLACES);
        let told = told.map(|way| {
            let [share, scale] = own[way].leaning(whole[way]);
            (ways[way], fleet.lean(ways[way], knot, share, observed), scale)
        });
        let (way, _, scale) = told.min_by(|a, b| a.1.total_cmp(&b.1)).expect("the last value is one");
        Knot { ahead: *ahead, way, scale }
    };
    knots.iter().zip(&judged).enumerate().map(near).collect()
}

/// At most so many of some places: all, or one drawn in each of equal parts. A fixed stride could fall in with a cycle and
/// see one of its hours alone.
pub(super) fn spread(places: Range<usize>, most: usize) -> Vec<usize> {
    let count = places.len();
    if count <= most {
        return places.collect();
    }
    let mut random = ChaCha8Rng::seed_from_u64(count as u64);
    let part = |i: usize| places.start + i * count / most;
    (0..most).map(|i| random.random_range(part(i)..part(i + 1))).collect()
}

/// 1, 2, 4 and so on, and the horizon: what is off fades with the logarithm of time rather than with time.
pub(super) fn knots(horizon: usize) -> Vec<usize> {
    let mut knots: Vec<usize> =
        std::iter::successors(Some(1), |knot| Some(2 * knot)).take_while(|k| *k < horizon).collect();
    knots.push(horizon);
    knots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(t: usize, s: usize) -> f64 {
        ((t * 7_919 + s * 104_729) % 1_009) as f64 / 1_009.0 - 0.5
    }

    fn day(t: usize) -> f64 {
        (t as f64 / 24.0 * std::f64::consts::TAU).sin()
    }

    #[test]
    fn what_is_expected_is_what_came_nearest() {
        let at = |values: &[f64], knot: usize| {
            let Knot { way, .. } =
                nearest(values, &Way::of(24).collect::<Vec<_>>(), &knots(12), &Fleet::default())[knot];
            (way.season, way.cycles)
        };
        let furthest = |values: &[f64]| at(values, 4);
        let noisy: Vec<f64> = (0..400).map(|t| day(t) + noise(t, 1)).collect();
        assert_eq!(furthest(&noisy), (24, 4), "noise is best met by the median of some cycles");
        let rising: Vec<f64> = (0..400).map(|t| 40.0 * day(t) + 0.5 * t as f64).collect();
        assert_eq!(furthest(&rising), (24, 1), "a level that moves leaves older cycles behind");
        assert_eq!(at(&rising, 0), (1, 1), "and of the next hour the last one tells most");
        let mut level = 0.0;
        let mut step = |t: usize| {
            level += noise(t, 2);
            level
        };
        let walk: Vec<f64> = (0..400).map(&mut step).collect();
        assert_eq!(furthest(&walk), (1, 1), "a walk goes on from where it is");
        let holed: Vec<f64> = (0..400).map(|t| if t % 5 == 0 { f64::NAN } else { noisy[t] }).collect();
        assert_eq!(furthest(&holed), (24, 4));
        assert_eq!(furthest(&noisy[..10]), (1, 1), "of a cycle that never came back nothing is known");
        let days: Vec<f64> = (0..100).map(|t| 10.0 * day(t) + noise(t, 5)).collect();
        let knots = nearest(&days, &Way::of(24).collect::<Vec<_>>(), &knots(24), &Fleet::default());
        assert_eq!(knots.last().unwrap().way.season, 24, "a day ahead both say the same, an hour before they do not");
    }

    fn noisy(s: usize) -> Vec<f64> {
        (0..400).map(|t| day(t) + noise(t, s)).collect()
    }

    fn walk(s: u64) -> Vec<f64> {
        let (mut random, mut level) = (ChaCha8Rng::seed_from_u64(s), 0.0);
        let mut step = || {
            level += random.random_range(-1.0..1.0);
            level
        };
        (0..400).map(|_| step()).collect()
    }

    /// Of hours, for twelve ahead.
    fn fleet(seasons: &[usize], series: &[Vec<f64>]) -> Fleet {
        Fleet::of(seasons.into(), &series.iter().map(Vec::as_slice).collect::<Vec<_>>(), 3_600_000, 12)
    }

    #[test]
    fn a_series_that_has_just_begun_leans_on_its_fleet() {
        let days = fleet(&[24], &(0..9).map(noisy).collect::<Vec<_>>());
        let [one, some] = [0, 1].map(|at| &days.ways[at].shares);
        assert!(one.iter().zip(some).all(|(one, some)| some < one) && some[4] < 0.5, "{one:?} {some:?}");
        let furthest = |values: &[f64], fleet: &Fleet| {
            nearest(values, &Way::of(24).collect::<Vec<_>>(), &knots(12), fleet)[4].way.season
        };
        // Its last hours went astray, so that by them alone no day comes back.
        let mut astray = noisy(77)[..28].to_vec();
        astray[24..].fill(3.0);
        assert_eq!((furthest(&astray, &Fleet::default()), furthest(&astray, &days)), (1, 24));
        // Of walks the fleet tells that their days do not come back, whatever two days say.
        let walks = fleet(&[24], &(0..9).map(walk).collect::<Vec<_>>());
        let taken = |of: &Fleet| (100..140).filter(|s| furthest(&walk(*s)[..48], of) == 24).count();
        assert!(2 * taken(&walks) < taken(&Fleet::default()), "{} and {}", taken(&walks), taken(&Fleet::default()));
    }

    #[test]
    fn a_fleet_counts_for_less_and_less() {
        let way = Way { season: 24, cycles: 1 };
        let days = Fleet { ways: vec![Told { way, shares: vec![0.5] }], ..fleet(&[24], &[]) };
        let leaning = [24, 48, 72, 95, 96, 400].map(|observed| days.lean(way, 0, 2.0, observed));
        // After one cycle of its own the fleet counts as 2 * (1 - 48 / 96), which is as much.
        assert!(
            leaning[0] == 0.5 && leaning[1] == 1.25 && leaning.is_sorted() && leaning[4..] == [2.0, 2.0],
            "{leaning:?}"
        );
        assert!(leaning[3] > 1.98, "and no step of the series brings a leap: {leaning:?}");
        assert_eq!(days.lean(Way { cycles: 4, ..way }, 0, 2.0, 24), 2.0, "of that it knows nothing");
    }

    #[test]
    fn the_cycles_of_a_fleet_are_tried_where_they_fit() {
        let known = fleet(&[168, 24, 5], &[]);
        assert_eq!(
            [5, 6, 24, 47, 48, 335, 336].map(|steps| known.longest(steps)),
            [None, Some(5), Some(5), Some(5), Some(24), Some(24), Some(168)]
        );
        assert_eq!((known.begun(), fleet(&[168], &[]).begun(), fleet(&[], &[]).begun()), (96, 4, 4));
        assert!(fleet(&[24], &[vec![f64::NAN; 90], vec![1.0; 90], noisy(0)[..20].to_vec()]).ways.is_empty());
    }

    #[test]
    fn places_are_spread_over_every_hour() {
        assert_eq!(spread(3..7, 4), [3, 4, 5, 6]);
        for days in [11, 64, 256, 610, 1_680] {
            let places = spread(100..100 + 24 * days, 256);
            assert!(places.iter().all(|place| (100..100 + 24 * days).contains(place)));
            let of_hour = |hour: usize| places.iter().filter(|place| *place % 24 == hour).count();
            assert!((0..24).all(|hour| (2..=30).contains(&of_hour(hour))), "{days} days");
        }
    }
}
