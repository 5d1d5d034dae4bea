//! Issues and decisions in two redb files of one folder, so that a large issue never delays a decision.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use foreshadow_models::live::Track;
use redb::{ReadableTable, TableDefinition, TableError};

use super::file::File;
use super::{Decision, KEPT_ISSUES, Recorded, Store, StoreError};
use crate::bytes::{DecodeError, Reader, put_text};
use crate::issue::Issue;
use crate::live::fits::{Cohort, CohortError, Fits};
use crate::live::{self, Live};

/// Issues by the order they were written in: id and header.
const ISSUES: TableDefinition<'_, u64, (&str, &[u8])> = TableDefinition::new("issues");

/// Their shadows, in slabs of [`SLAB`].
const SLABS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("slabs");

/// Tracks by series.
const TRACKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tracks");

/// Fits that go on from issue to issue, by their cohort.
const FITS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("fits");

/// Decisions by name and slot.
const DECISIONS: TableDefinition<'_, (&str, i64), &[u8]> = TableDefinition::new("decisions");

/// Shadows that are written as one value.
const SLAB: usize = 256;

/// First byte of every stored decision.
const DECISION_FORMAT: u8 = 1;

/// What redb may keep in memory of each file; the current issue is held decoded anyway.
const CACHE_BYTES: usize = 32 * 1024 * 1024;

/// The store on disk. One process opens it.
#[derive(Debug)]
pub struct RedbStore {
    catalogue: File,
    ledger: File,
}

impl RedbStore {
    /// Opens the store in a folder, making both when missing.
    ///
    /// # Errors
    /// [`StoreError`]: another process has it, its format is unknown, or the disk refuses.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::Disk {
            path: folder.into(),
            done: "made",
            source: Arc::new(error),
        })?;
        let open = |name: &str| File::open(folder.join(name), CACHE_BYTES);
        Ok(Self { catalogue: open("catalogue.redb")?, ledger: open("ledger.redb")? })
    }

    fn load(&self, choose: impl Fn(&str) -> bool) -> Result<Option<Issue>, StoreError> {
        let parts = self.catalogue.read(|transaction| {
            let (Some(issues), Some(slabs)) =
                (made(transaction.open_table(ISSUES))?, made(transaction.open_table(SLABS))?)
            else {
                return Ok(None);
            };
            for entry in issues.iter()?.rev() {
                let (number, issue) = entry?;
                let (id, header) = issue.value();
                if choose(id) {
                    let slabs = slabs.range((number.value(), 0)..=(number.value(), u32::MAX))?;
                    let slabs =
                        slabs.map(|slab| Ok(slab?.1.value().to_vec())).collect::<Result<Vec<_>, redb::Error>>()?;
                    return Ok(Some((header.to_vec(), slabs)));
                }
            }
            Ok(None)
        })?;
        let decoded = parts.map(|(header, slabs)| Issue::decode(&header, slabs)).transpose();
        decoded.map_err(|source| self.damaged(source))
    }

    /// The fits that are kept. Those that cannot be read are told and left out: their series are fitted anew.
    fn fits(&self) -> Result<Fits, StoreError> {
        let read = self.catalogue.read(|transaction| {
            let Some(fits) = made(transaction.open_table(FITS))? else { return Ok(Vec::new()) };
            let cohort = |entry: Result<
                (redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>),
                redb::StorageError,
            >| { entry.map(|(id, bytes)| Cohort::decode(id.value(), bytes.value())) };
            Ok(fits.iter()?.map(cohort).collect::<Result<Vec<_>, _>>()?)
        })?;
        let told = |cohort: Result<Cohort, CohortError>| {
            cohort
                .inspect_err(|error| tracing::warn!(%error, "kept fits are left out; their series are fitted anew"))
                .ok()
        };
        Ok(Fits::restore(read.into_iter().filter_map(told).collect()))
    }

    fn damaged(&self, source: DecodeError) -> StoreError {
        StoreError::Damaged { path: self.catalogue.path().into(), source }
    }
}

impl Store for RedbStore {
    fn publish(&self, issue: &Issue, live: &Live) -> Result<(), StoreError> {
        let header = issue.header_bytes();
        self.catalogue.write(|transaction| {
            // An issue is written once a slot and may be large: a slower commit buys a start after a crash
            // that need not walk the whole file.
            transaction.set_quick_repair(true);
            let mut issues = transaction.open_table(ISSUES)?;
            let mut slabs = transaction.open_table(SLABS)?;
            let held: Vec<(u64, bool)> = issues
                .iter()?
                .map(|entry| entry.map(|(number, held)| (number.value(), held.value().0 == issue.id())))
                .collect::<Result<_, _>>()?;
            let again = held.iter().filter(|(_, same)| *same).map(|(number, _)| *number);
            let others: Vec<u64> = held.iter().filter(|(_, same)| !*same).map(|(number, _)| *number).collect();
            let too_old = others.len().saturating_sub(KEPT_ISSUES - 1);
            for number in again.chain(others[..too_old].iter().copied()) {
                issues.remove(number)?;
                slabs.retain_in((number, 0)..=(number, u32::MAX), |_, _| false)?;
            }
            let number = held.last().map_or(0, |(last, _)| last + 1);
            issues.insert(number, (issue.id(), header.as_slice()))?;
            for (index, slab) in issue.slabs(SLAB).enumerate() {
                slabs.insert((number, index as u32), slab.as_slice())?;
            }
            let mut tracks = transaction.open_table(TRACKS)?;
            tracks.retain(|series, _| live.track(series).is_some())?;
            for (series, track) in live.tracks() {
                tracks.insert(series, live::encode(track).as_slice())?;
            }
            // A cohort is written as it was fitted: after a restart it takes in again what came since.
            let mut fits = transaction.open_table(FITS)?;
            fits.retain(|id, _| live.fits().get(id).is_some())?;
            for cohort in live.fits().iter() {
                if fits.get(cohort.id())?.is_none()
                    && let Some(bytes) = cohort.encode()
                {
                    fits.insert(cohort.id(), bytes.as_slice())?;
                }
            }
            Ok(())
        })
    }

    fn live(&self) -> Result<Live, StoreError> {
        let read = self.catalogue.read(|transaction| {
            let Some(tracks) = made(transaction.open_table(TRACKS))? else { return Ok(Vec::new()) };
            let track =
                |entry: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>| {
                    entry.map(|(series, track)| (series.value().to_string(), live::decode(track.value())))
                };
            Ok(tracks.iter()?.map(track).collect::<Result<Vec<_>, _>>()?)
        })?;
        let decoded = read.into_iter().map(|(series, track)| track.map(|track| (series, track)));
        let live = decoded.collect::<Result<Live, _>>().map_err(|source| self.damaged(source))?;
        Ok(live.with_fits(self.fits()?))
    }

    fn track(&self, series: &str) -> Result<Option<Track>, StoreError> {
        let read = self.catalogue.read(|transaction| {
            let Some(tracks) = made(transaction.open_table(TRACKS))? else { return Ok(None) };
            Ok(tracks.get(series)?.map(|track| live::decode(track.value())))
        })?;
        read.transpose().map_err(|source| self.damaged(source))
    }

    fn latest_issue(&self) -> Result<Option<Issue>, StoreError> {
        self.load(|_| true)
    }

    fn issue(&self, wanted: &str) -> Result<Option<Issue>, StoreError> {
        self.load(|id| id == wanted)
    }

    fn record(&self, decisions: &[Decision]) -> Result<Vec<Recorded>, StoreError> {
        let recorded = self.ledger.write(|transaction| {
            let mut table = transaction.open_table(DECISIONS)?;
            let mut record = |decision: &Decision| -> Result<_, redb::Error> {
                let key = (decision.name.as_str(), decision.slot_start_ms);
                let held = table.get(key)?.map(|held| decode(key.0, key.1, held.value()));
                Ok(match held {
                    Some(Ok(held)) if held.agrees_with(decision) => Ok(Recorded::Repeated(held)),
                    Some(Ok(held)) => Ok(Recorded::Conflict(held)),
                    Some(Err(damage)) => Err(damage),
                    None => {
                        table.insert(key, encode(decision).as_slice())?;
                        Ok(Recorded::Created(decision.clone()))
                    }
                })
            };
            decisions.iter().map(&mut record).collect::<Result<Vec<_>, _>>()
        })?;
        let damaged = |source| StoreError::Damaged { path: self.ledger.path().into(), source };
        recorded.into_iter().collect::<Result<_, _>>().map_err(damaged)
    }

    fn latest_decision(&self, name: &str) -> Result<Option<Decision>, StoreError> {
        let found = self.ledger.read(|transaction| {
            let Some(table) = made(transaction.open_table(DECISIONS))? else { return Ok(None) };
            let newest = table.range((name, i64::MIN)..=(name, i64::MAX))?.next_back().transpose()?;
            Ok(newest.map(|(key, value)| decode(name, key.value().1, value.value())))
        })?;
        let path = || PathBuf::from(self.ledger.path());
        found.transpose().map_err(|source| StoreError::Damaged { path: path(), source })
    }

    fn check(&self) -> Result<(), StoreError> {
        for file in [&self.ledger, &self.catalogue] {
            if file.fault().is_some() {
                file.probe()?;
            }
        }
        Ok(())
    }
}

/// A table that may not have been made yet.
fn made<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn encode(decision: &Decision) -> Vec<u8> {
    let mut out = vec![DECISION_FORMAT];
    for number in [decision.proposed, decision.replicas, decision.recorded_ms] {
        out.extend(number.to_le_bytes());
    }
    put_text(&mut out, &decision.reason);
    put_text(&mut out, &decision.actor);
    out
}

fn decode(name: &str, slot_start_ms: i64, bytes: &[u8]) -> Result<Decision, DecodeError> {
    let mut from = Reader::new(bytes);
    let found = from.take::<1>()?[0];
    if found != DECISION_FORMAT {
        return Err(DecodeError::Format { found, known: DECISION_FORMAT });
    }
    let (proposed, replicas, recorded_ms) = (from.i64()?, from.i64()?, from.i64()?);
    let (reason, actor) = (from.text()?, from.text()?);
    Ok(Decision { name: name.into(), slot_start_ms, proposed, replicas, reason, recorded_ms, actor })
}

#[cfg(test)]
mod tests;
