//! One redb file: opened by one process, its format checked, reopened after a fault.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};

use super::StoreError;

/// The version of what the tables hold; both files carry it.
pub(super) const FORMAT: u32 = 1;

const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");

/// The key of [`META`] under which the version stands.
const FORMAT_KEY: &str = "format";

/// An open file. After a failed write redb refuses further ones, so it is closed and opened anew for the
/// next: whatever was committed is still there.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    cache_bytes: usize,
    database: RwLock<Option<Database>>,
    fault: Mutex<Option<StoreError>>,
}

impl File {
    /// Opens the file, making it when missing.
    pub(super) fn open(path: PathBuf, cache_bytes: usize) -> Result<Self, StoreError> {
        let database = open(&path, cache_bytes)?;
        Ok(Self { path, cache_bytes, database: RwLock::new(Some(database)), fault: Mutex::new(None) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The fault of the last write, if it failed.
    pub(super) fn fault(&self) -> Option<StoreError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads from a consistent snapshot.
    pub(super) fn read<T>(&self, work: impl Fn(&ReadTransaction) -> Result<T, redb::Error>) -> Result<T, StoreError> {
        let read = |database: &Database| work(&database.begin_read()?);
        self.with(read).map_err(|error| error.unwrap_or_else(|error| disk(&self.path, "read", error)))
    }

    /// Writes in one transaction, durable once this returns.
    pub(super) fn write<T>(
        &self,
        work: impl Fn(&mut WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let write = |database: &Database| {
            let mut transaction = database.begin_write()?;
            let value = work(&mut transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        let written = self.with(write).map_err(|error| {
            error.unwrap_or_else(|error| {
                *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
                disk(&self.path, "written", error)
            })
        });
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = written.as_ref().err().cloned();
        written
    }

    /// A write that changes nothing, to learn whether the fault persists.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            Ok(())
        })
    }

    /// Runs with the open database, opening it when a fault closed it: `Err(Ok(_))` when it cannot be.
    fn with<T>(
        &self,
        work: impl Fn(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, Result<StoreError, redb::Error>> {
        loop {
            if let Some(database) = &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
                return work(database).map_err(Err);
            }
            let mut closed = self.database.write().unwrap_or_else(PoisonError::into_inner);
            if closed.is_none() {
                *closed = Some(open(&self.path, self.cache_bytes).map_err(Ok)?);
            }
        }
    }
}

fn open(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    // Looked at read-only first: a file of another version stays as it was to the byte. One that was not
    // closed cannot be read that way; redb mends it when it is opened, and then it is looked at.
    if let Ok(database) = redb::ReadOnlyDatabase::open(path) {
        let transaction = database.begin_read().map_err(|error| disk(path, "read", error.into()))?;
        check(path, version(&transaction).map_err(|error| disk(path, "read", error))?)?;
    }
    let database = redb::Builder::new().set_cache_size(cache_bytes).create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.into() },
        error => disk(path, "opened", error.into()),
    })?;
    let transaction = database.begin_read().map_err(|error| disk(path, "read", error.into()))?;
    let found = version(&transaction).map_err(|error| disk(path, "read", error))?;
    check(path, found)?;
    if found.is_none() {
        let sign = || {
            let transaction = database.begin_write()?;
            transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
            Ok(transaction.commit()?)
        };
        sign().map_err(|error| disk(path, "written", error))?;
    }
    Ok(database)
}

/// The version that stands in the file; `None` in one just made.
fn version(transaction: &ReadTransaction) -> Result<Option<u32>, redb::Error> {
    match transaction.open_table(META) {
        Ok(meta) => Ok(redb::ReadableTable::get(&meta, FORMAT_KEY)?.map(|version| version.value())),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn check(path: &Path, found: Option<u32>) -> Result<(), StoreError> {
    match found {
        None | Some(FORMAT) => Ok(()),
        Some(found) => Err(StoreError::Version { path: path.into(), found, known: FORMAT }),
    }
}

fn disk(path: &Path, done: &'static str, error: redb::Error) -> StoreError {
    StoreError::Disk { path: path.into(), done, source: Arc::new(error) }
}
