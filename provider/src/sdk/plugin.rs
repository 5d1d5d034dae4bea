//! What a provider declares: its own settings, data sources and resources.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Path};
use super::record::Record;
use super::schema::Schema;

/// What a call came to: perhaps a record, and what there is to tell. An error among the
/// diagnostics makes Terraform ignore a plan, but keep what an apply returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// The record; none is null on the wire.
    pub record: Option<Record>,
    /// What to tell.
    pub diagnostics: Diagnostics,
    /// Attributes whose change needs a new object.
    pub replace: Vec<Path>,
}

impl From<Record> for Outcome {
    fn from(record: Record) -> Self {
        Self { record: Some(record), ..Self::default() }
    }
}

impl From<Diagnostic> for Outcome {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: diagnostic.into(), ..Self::default() }
    }
}

impl From<Diagnostics> for Outcome {
    fn from(diagnostics: Diagnostics) -> Self {
        Self { diagnostics, ..Self::default() }
    }
}

/// The answer of a call that may wait for something.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A provider.
pub trait Plugin: Send + Sync + 'static {
    /// Its own settings.
    fn schema(&self) -> Schema;
    /// Checks that no single attribute can make.
    fn validate(&self, config: &Record) -> Diagnostics;
    /// Takes the settings; what is unknown is no error yet.
    fn configure(&self, config: &Record) -> Diagnostics;
    /// Its data sources by full name.
    fn data_sources(&self) -> BTreeMap<&'static str, Arc<dyn DataSource>>;
    /// Its resources by full name.
    fn resources(&self) -> BTreeMap<&'static str, Arc<dyn Resource>>;
}

/// Something to read.
pub trait DataSource: Send + Sync {
    /// Arguments and results.
    fn schema(&self) -> Schema;
    /// Checks that no single attribute can make.
    fn validate(&self, config: &Record) -> Diagnostics;
    /// Reads it.
    fn read(&self, config: Record) -> Answer<'_>;
}

/// Something to keep.
pub trait Resource: Send + Sync {
    /// Arguments and results.
    fn schema(&self) -> Schema;
    /// Checks that no single attribute can make.
    fn validate(&self, config: &Record) -> Diagnostics;
    /// What the object is to become: a function of its arguments alone, since Terraform asks twice
    /// and holds us to the first answer.
    fn plan(&self, prior: Option<&Record>, config: &Record) -> Outcome;
    /// Makes the planned object.
    fn create(&self, planned: Record) -> Answer<'_>;
    /// Turns the prior object into the planned one.
    fn update(&self, prior: Record, planned: Record) -> Answer<'_>;
    /// Removes the object; no record says that it is gone.
    fn delete(&self, prior: Record) -> Answer<'_>;
    /// The object as it is now; no record and no error says that it is gone.
    fn read(&self, state: Record) -> Answer<'_>;
    /// The object an import names.
    fn import(&self, id: String) -> Answer<'_>;
}
