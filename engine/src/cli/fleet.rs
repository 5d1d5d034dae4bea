//! A fleet on its way through a command, in batches that fit in memory.

use std::collections::HashMap;
use std::sync::Arc;

use foreshadow_models::{BuildOptions, Horizon, PanelSet, RawSeries, Rejected};

use super::Failure;
use super::memory;
use super::output::{self, Warnings};
use super::progress::{FleetStep, Step};
use super::settings::Settings;
use crate::aggregate::{self, Plan, Wanted, Whole};
use crate::batch::{Batch, batches};
use crate::clock::{Clock, SystemClock};
use crate::config::{AggregateConfig, Config};
use crate::reading::{Known, Reading};
use crate::telemetry::{Spool, SpoolError};

/// Memory of a series while other batches are worked on: its name, where it is looked up, its place, what is told of it.
const IDLE_BYTES: u64 = 512;

/// What may be held of the telemetry while it is read, as a divisor of the budget.
const HELD_SHARE: u64 = 3;

/// A fleet that was read, and how it is parted.
pub(super) struct Fleet {
    spool: Spool,
    reading: Reading,
    known: Known,
    /// Their indices in a batch follow those of the series read.
    wanted: Vec<Wanted>,
    batches: Vec<Batch>,
    progress: Arc<FleetStep>,
    /// What is told of the fleet as a whole.
    warnings: Vec<String>,
    told: Warnings,
    /// What cannot be made of the fleet as a whole.
    rejected: Vec<Rejected>,
}

/// Series of one batch, to be gridded.
pub(super) struct Part {
    /// Their samples.
    pub(super) raw: Vec<RawSeries>,
    wanted: Vec<Wanted>,
}

/// A batch on its grids.
pub(super) struct Panels {
    /// Panels, aggregates among them.
    pub(super) set: PanelSet,
    /// The aggregates.
    pub(super) wholes: Vec<Whole>,
}

/// What became of the batches that failed.
#[derive(Default)]
pub(super) struct Lost {
    /// Their series.
    pub(super) series: Vec<Rejected>,
    /// Why the first of them did.
    pub(super) failure: Option<Failure>,
}

impl Fleet {
    /// Reads all telemetry of the source, which must be there, and parts it. `working_bytes` tells what a series of so
    /// many samples takes while it is worked on, `message` what is done with how many series.
    pub(super) fn read(
        settings: &Settings,
        config: &Config,
        aggregates: &[AggregateConfig],
        working_bytes: impl Fn(usize) -> u64,
        message: impl FnOnce(usize) -> String,
    ) -> Result<Self, Failure> {
        let source = settings.source(config)?;
        let budget = memory::budget_bytes(config);
        let mut spool = Spool::new(budget / HELD_SHARE);
        {
            let _step = Step::new(format!("reading {source}"));
            source.read_into(SystemClock.now_ms(), &mut spool)?;
        }
        Ok(Self::part(spool, Reading::from(config), aggregates, budget, working_bytes, message)?)
    }

    fn part(
        spool: Spool,
        reading: Reading,
        aggregates: &[AggregateConfig],
        budget: u64,
        working_bytes: impl Fn(usize) -> u64,
        message: impl FnOnce(usize) -> String,
    ) -> Result<Self, SpoolError> {
        let read = spool.series_count();
        let Plan { wanted, rejected } = Plan::of(aggregates, (0..read).map(|series| spool.name(series)));
        let own = (0..read).map(|series| spool.name(series));
        let names: Vec<&str> = own.chain(wanted.iter().map(|wanted| wanted.series.as_str())).collect();
        let keys = reading.keys(names.iter().copied());
        let bonds = reading.bonds(&keys, |series| series < read);
        let parts = places(&wanted, &names[..read]);
        let longest = |parts: &Vec<usize>| parts.iter().map(|part| spool.samples(*part)).max().unwrap_or(0);
        let samples = (0..read).map(|series| spool.samples(series)).chain(parts.iter().map(longest));
        let taken: Vec<u64> = samples.map(|count| Spool::bytes_of(count) + working_bytes(count)).collect();
        let whole = |(at, mut parts): (usize, Vec<usize>)| {
            parts.push(read + at);
            parts
        };
        let ties: Vec<Vec<usize>> =
            parts.into_iter().enumerate().map(whole).chain(bonds.ties.iter().cloned()).collect();
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_unstable_by_key(|series| names[*series]);
        let idle = names.len() as u64 * IDLE_BYTES;
        let others = if taken.iter().sum::<u64>() + idle > budget { idle + spool.held_bytes() } else { idle };
        let batches = batches(&order, &taken, &ties, budget.saturating_sub(others).max(budget / 4));
        let mut warnings = reading.of_none(&keys);
        if idle > budget / 2 {
            let (count, taken, budget) = (names.len(), memory::shown(idle), memory::shown(budget));
            warnings.push(format!("the names of {count} series alone take about {taken} of forecast.memory, {budget}"));
        }
        let large = batches.iter().filter(|batch| batch.bytes > budget);
        warnings.extend(large.map(|batch| too_large(batch, names[batch.series[0]], budget)));
        let bounding = bonds.known_to_all().map(|series| spool.read(series)).collect::<Result<Vec<_>, _>>()?;
        let known = reading.known(&bonds, &bounding);
        let progress = Arc::new(FleetStep::new(message(names.len()), names.len()));
        let told = Warnings::default();
        Ok(Self { spool, reading, known, wanted, batches, progress, warnings, told, rejected })
    }

    /// The bar over all series, those that are made of others among them.
    pub(super) fn progress(&self) -> Arc<FleetStep> {
        self.progress.clone()
    }

    /// Works on every batch in its turn, which is that of the series' names but for what hangs together, as aggregates and
    /// their parts do. One that fails as a whole loses its series, and the others go on; where the first one fails, the
    /// others would as well.
    ///
    /// # Errors
    /// That of the first batch, or of an output that takes no more.
    pub(super) fn each(
        &mut self,
        mut work: impl FnMut(&mut Self, Part) -> Result<(), Failure>,
    ) -> Result<Lost, Failure> {
        let mut lost = Lost::default();
        for (at, batch) in std::mem::take(&mut self.batches).into_iter().enumerate() {
            let names: Vec<String> = batch.series.iter().map(|series| self.name(*series).into()).collect();
            let part = self.take(batch.series).map_err(Failure::from);
            match part.and_then(|part| work(self, part)) {
                Ok(()) => {}
                Err(failure) if at == 0 || failure.is_output() => return Err(failure),
                Err(failure) => {
                    let reason = failure.reason();
                    lost.series.extend(names.into_iter().map(|name| Rejected { name, reason: reason.clone() }));
                    lost.failure.get_or_insert(failure);
                }
            }
        }
        Ok(lost)
    }

    fn name(&self, series: usize) -> &str {
        match series.checked_sub(self.spool.series_count()) {
            None => self.spool.name(series),
            Some(wanted) => &self.wanted[wanted].series,
        }
    }

    fn take(&mut self, series: Vec<usize>) -> Result<Part, SpoolError> {
        let read = self.spool.series_count();
        let (own, wanted): (Vec<usize>, Vec<usize>) = series.into_iter().partition(|series| *series < read);
        let mut wanted: Vec<usize> = wanted.into_iter().map(|series| series - read).collect();
        wanted.sort_unstable();
        let wanted = wanted.into_iter().map(|at| self.wanted[at].clone()).collect();
        let raw: Result<_, SpoolError> = own.into_iter().map(|series| self.spool.take(series)).collect();
        Ok(Part { raw: raw?, wanted })
    }

    /// The panels of a batch, after a person was told what is to be known of it. What is told of the fleet as a whole is
    /// told with the first.
    pub(super) fn panels(&mut self, part: Part, options: BuildOptions, horizon: Horizon) -> Panels {
        let lookback_steps = options.lookback_steps;
        let mut read = self.reading.build_part(part.raw, options, &self.known);
        let wholes = aggregate::extend(&mut read.set, &part.wanted, lookback_steps);
        let (mut set, own) = read.finish(&self.reading, horizon);
        set.rejected.splice(0..0, std::mem::take(&mut self.rejected));
        let mut warnings = output::of_input(&set, SystemClock.now_ms());
        warnings.extend(wholes.iter().filter_map(Whole::incomplete));
        warnings.extend(std::mem::take(&mut self.warnings).into_iter().chain(own));
        self.progress.aside(|| self.told.tell(warnings));
        Panels { set, wholes }
    }
}

/// The places of each wanted series' parts among those read.
fn places(wanted: &[Wanted], names: &[&str]) -> Vec<Vec<usize>> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let places: HashMap<&str, usize> = names.iter().enumerate().map(|(at, name)| (*name, at)).collect();
    let parts = |wanted: &Wanted| wanted.parts.iter().map(|part| places[part.as_str()]).collect();
    wanted.iter().map(parts).collect()
}

fn too_large(batch: &Batch, first: &str, budget: u64) -> String {
    let (bytes, budget) = (memory::shown(batch.bytes), memory::shown(budget));
    match batch.series.len() - 1 {
        0 => format!(
            "{first} takes about {bytes}, more than forecast.memory, {budget}; forecast.lookback_steps bounds it"
        ),
        others => format!(
            "{first} and {others} series that [[aggregate]] or [[series]] tie to it take about {bytes} together, more than \
             forecast.memory, {budget}"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    const SERIES: usize = 40;
    const SAMPLES: usize = 300;
    const BUDGET: u64 = 100_000;

    /// What a series takes beside its samples.
    fn working_bytes(samples: usize) -> u64 {
        8 * samples as u64
    }

    /// Series whose samples come mixed up, the last name first.
    fn fleet(budget: u64) -> Fleet {
        let mut spool = Spool::new(budget / HELD_SHARE);
        (0..SERIES).for_each(|series| assert_eq!(spool.add(format!("s{:02}", SERIES - 1 - series)), series));
        for sample in 0..SERIES * SAMPLES {
            spool.push(sample % SERIES, (sample / SERIES) as i64 * 1_000, sample as f64).unwrap();
        }
        Fleet::part(spool, Reading::default(), &[], budget, working_bytes, |count| count.to_string()).unwrap()
    }

    #[test]
    fn no_batch_is_larger_than_what_memory_leaves_it() {
        let mut batches = 0;
        let mut fleet = fleet(BUDGET);
        assert!(fleet.spool.has_overflown());
        let mut names: Vec<String> = Vec::new();
        let lost = fleet.each(|fleet, part| {
            let own: u64 =
                part.raw.iter().map(|s| Spool::bytes_of(s.values.len()) + working_bytes(s.values.len())).sum();
            assert!(own + fleet.spool.held_bytes() + SERIES as u64 * IDLE_BYTES <= BUDGET, "{own}");
            assert!(part.raw.iter().all(|series| series.values.len() == SAMPLES));
            names.extend(part.raw.iter().map(|series| series.name.clone()));
            batches += 1;
            Ok(())
        });
        assert!(batches > 4 && lost.unwrap().series.is_empty(), "{batches}");
        assert_eq!(names, (0..SERIES).map(|series| format!("s{series:02}")).collect::<Vec<_>>());
        // A fleet that fits is one batch, and no file is written for it.
        let mut whole = self::fleet(100 * BUDGET);
        assert!(!whole.spool.has_overflown());
        let mut held = Vec::new();
        let hold = |_: &mut Fleet, part: Part| {
            held.push(part.raw.len());
            Ok(())
        };
        whole.each(hold).unwrap();
        assert_eq!(held, [SERIES]);
    }

    #[test]
    fn a_batch_that_fails_loses_its_own_series_alone_unless_it_is_the_first() {
        let fault = || Failure::from(SpoolError { folder: "/tmp".into(), source: io::Error::other("gone") });
        let failing = |wanted: usize| {
            let (mut at, mut done) = (0, 0);
            let lost = fleet(BUDGET).each(|_, part| {
                at += 1;
                if at == wanted {
                    return Err(fault());
                }
                done += part.raw.len();
                Ok(())
            });
            (lost, done)
        };
        let (lost, done) = failing(2);
        let lost = lost.unwrap();
        assert!(done > SERIES / 2 && done + lost.series.len() == SERIES, "{done}");
        assert!(lost.series[0].reason.ends_with("in a file in /tmp: gone"), "{}", lost.series[0].reason);
        assert_eq!(lost.failure.unwrap().exit(), crate::cli::Exit::Disk);
        let (lost, done) = failing(1);
        assert!(lost.is_err() && done == 0);
    }
}
