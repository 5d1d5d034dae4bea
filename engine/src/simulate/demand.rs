//! How many requests arrive: who the users are, what day it is, and what comes over them.

use super::draw::Draw;
use super::{CROWDED_REGION, REGIONS, SHORT_REGION, STEP_MS, STEPS_A_DAY};

const HOUR_MS: f64 = 3_600_000.0;
/// 1970-01-01 was a Thursday; days are counted from a Monday.
const DAYS_FROM_MONDAY: f64 = 3.0;
const STEP_SECONDS: f64 = STEP_MS as f64 / 1000.0;
const STEP_HOURS: f64 = STEP_MS as f64 / HOUR_MS;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Users {
    /// People at work: little on weekends.
    Office,
    /// People at home: evenings, more on weekends.
    Home,
    /// Machines: jobs by night over a steady floor.
    Jobs,
}

/// What drives one workload's demand; drawn once.
#[derive(Clone, Debug)]
pub(super) struct Demand {
    users: Users,
    /// Requests a second on an average day.
    level: f64,
    /// Share of the level that never sleeps.
    floor: f64,
    /// Groups of users: share, clock's distance from UTC in hours, hour of waking.
    groups: [(f64, f64, f64); 3],
    weekend: f64,
    /// Relative growth in 30 days.
    growth: f64,
    /// Whether the flash crowd comes here.
    crowd: bool,
    /// The step from which other users come, and how they are.
    turn: Option<(usize, Box<Demand>)>,
}

impl Demand {
    pub(super) fn draw(draw: &mut Draw, region: usize, at: usize) -> Self {
        let users =
            [Users::Office, Users::Home, Users::Office, Users::Home, Users::Home, Users::Office, Users::Jobs][at % 7];
        let near = draw.between(0.55, 0.9);
        let mut shares = [(1.0 - near) / 2.0; REGIONS.len()];
        shares[region] = near;
        let groups = std::array::from_fn(|g| (shares[g], REGIONS[g].1, draw.between(6.5, 8.5)));
        let weekend = match users {
            Users::Office => draw.between(0.2, 0.5),
            Users::Home => draw.between(1.05, 1.4),
            Users::Jobs => 1.0,
        };
        let short = region == SHORT_REGION;
        Self {
            users,
            level: draw.log_normal(150.0, 0.8),
            floor: draw.between(0.1, 0.35),
            groups,
            weekend,
            growth: if short { draw.between(0.7, 1.3) } else { draw.between(-0.05, 0.15) },
            crowd: region == CROWDED_REGION && at % 5 == 1,
            turn: None,
        }
    }

    /// Has users of another kind come from a step on, from another region: a customer is lost, a service is called by
    /// machines where it was called by people, or the other way round.
    pub(super) fn turn(&mut self, step: usize, draw: &mut Draw, region: usize, at: usize) {
        let others = at + 1 + usize::from(self.users != Users::Jobs && draw.chance(0.5)) * (13 - (at + 1) % 7);
        let mut to = Self::draw(draw, (region + 1) % REGIONS.len(), others);
        to.level = self.level * draw.between(0.6, 1.6);
        self.turn = Some((step, Box::new(to)));
    }

    /// One value a step: requests counted over the step, a second.
    pub(super) fn requests_per_second(&self, draw: &mut Draw, start_ms: i64, steps: usize) -> Vec<f64> {
        let mut mood = 0.0; // hours-long wandering of everybody's interest, in logarithms
        let mut regime = 0.0; // what a release or a competitor did to the level, in logarithms
        let mut days: Vec<f64> = Vec::new(); // no two days are alike
        let mut bursts = Bursts::default();
        let crowd_from = steps as f64 - draw.between(6.0, 11.0) / STEP_HOURS;
        (0..steps)
            .map(|step| {
                let hours = (start_ms + step as i64 * STEP_MS) as f64 / HOUR_MS;
                mood = draw.wander(mood, (-STEP_HOURS / 3.0).exp(), 0.07);
                if draw.chance(1.0 / (14.0 * STEPS_A_DAY as f64)) {
                    regime += 0.28 * draw.normal();
                }
                let day = step / STEPS_A_DAY;
                while days.len() <= day {
                    days.push(draw.log_normal(1.0, 0.05));
                }
                let grown = (1.0 + self.growth).powf(step as f64 / (30.0 * STEPS_A_DAY as f64));
                let now = self.turn.as_ref().filter(|(turn, _)| step >= *turn).map_or(self, |(_, to)| to);
                let usual = now.level * grown * f64::exp(regime + mood) * days[day] * now.activity(hours);
                let crowd = if self.crowd { flash_crowd((step as f64 - crowd_from) * STEP_HOURS) } else { 0.0 };
                let rate = usual * (1.0 + crowd) + now.level * bursts.next(draw, now.users == Users::Jobs, hours);
                draw.poisson(rate * STEP_SECONDS) / STEP_SECONDS
            })
            .collect()
    }

    /// How busy the users are, about one on average.
    fn activity(&self, hours: f64) -> f64 {
        let of_group = |&(share, zone, wake): &(f64, f64, f64)| {
            let local = hours + zone;
            let weekday = ((local / 24.0).floor() + DAYS_FROM_MONDAY).rem_euclid(7.0);
            let hour = local.rem_euclid(24.0);
            let busy = match self.users {
                // Work swells after waking and tails off; people at home come back for a long evening.
                Users::Office => 26.0 * log_normal_bump(hour - wake, 6.0, 0.45),
                Users::Home => {
                    9.0 * log_normal_bump(hour - wake, 5.0, 0.5) + 14.0 * log_normal_bump(hour - 15.0, 5.0, 0.35)
                }
                Users::Jobs => 0.3,
            };
            share * busy * if weekday >= 5.0 { self.weekend } else { 1.0 }
        };
        self.floor + (1.0 - self.floor) * self.groups.iter().map(of_group).sum::<f64>()
    }
}

/// The density of a log-normal delay, in hours: a quick rise and a long tail.
fn log_normal_bump(hours: f64, median: f64, sigma: f64) -> f64 {
    if hours <= 0.0 {
        return 0.0;
    }
    let z = (hours / median).ln() / sigma;
    (-0.5 * z * z).exp() / (hours * sigma * std::f64::consts::TAU.sqrt())
}

/// A crowd that word of mouth brings in minutes and that loses interest like a power of time.
fn flash_crowd(hours: f64) -> f64 {
    if hours < 0.0 {
        return 0.0;
    }
    4.0 * (1.0 - (-hours / 0.15).exp()) * (1.0 + hours / 0.8).powf(-1.4)
}

/// Heavy-tailed work that comes at any time, and jobs that come by night.
#[derive(Default)]
struct Bursts {
    /// Height in levels and hours left.
    running: Vec<(f64, f64)>,
}

impl Bursts {
    fn next(&mut self, draw: &mut Draw, jobs: bool, hours: f64) -> f64 {
        if draw.chance(1.2 / STEPS_A_DAY as f64) {
            let height = draw.pareto(0.12, 1.7).min(3.0);
            self.running.push((height, draw.exponential(0.5)));
        }
        let hour = hours.rem_euclid(24.0);
        if jobs && (1.0..1.0 + STEP_HOURS).contains(&hour) {
            for _ in 0..4 {
                let hours = draw.pareto(0.6, 2.2).min(6.0);
                self.running.push((draw.between(0.4, 0.7), hours));
            }
        }
        let height = self.running.iter().map(|(height, _)| height).sum();
        self.running.retain_mut(|(_, left)| {
            *left -= STEP_HOURS;
            *left > 0.0
        });
        height
    }
}
