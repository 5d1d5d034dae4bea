//! Terraform's calls, answered by what a [`Plugin`] declares: decode, act, encode. Whatever goes
//! wrong with a configuration is a diagnostic; a gRPC status is for a broken host.

mod service;

use std::collections::BTreeMap;
use std::sync::Arc;

use tfplugin6_proto::tfplugin6 as pb;
use tokio::sync::watch;

use super::diagnostic::Diagnostic;
use super::plugin::{Answer, DataSource, Outcome, Plugin, Resource};
use super::record::Record;
use super::schema::Schema;

/// The provider service.
pub struct Dispatch {
    plugin: Arc<dyn Plugin>,
    provider: Schema,
    data_sources: BTreeMap<&'static str, Entry<dyn DataSource>>,
    resources: BTreeMap<&'static str, Entry<dyn Resource>>,
    /// The whole schema, put together once.
    schemas: pb::get_provider_schema::Response,
    /// Counts the stops asked for: a call aborts when it changes, and later calls do not care.
    stops: watch::Sender<u64>,
}

struct Entry<T: ?Sized> {
    schema: Schema,
    item: Arc<T>,
}

impl Dispatch {
    /// Serves a plugin.
    pub fn new(plugin: Arc<dyn Plugin>) -> Self {
        let provider = plugin.schema();
        let data_sources: BTreeMap<_, _> = plugin
            .data_sources()
            .into_iter()
            .map(|(name, item)| (name, Entry { schema: item.schema(), item }))
            .collect();
        let resources: BTreeMap<_, _> =
            plugin.resources().into_iter().map(|(name, item)| (name, Entry { schema: item.schema(), item })).collect();
        let schemas = pb::get_provider_schema::Response {
            provider: Some(provider.to_wire()),
            data_source_schemas: wire(&data_sources),
            resource_schemas: wire(&resources),
            server_capabilities: Some(capabilities()),
            ..Default::default()
        };
        Self { plugin, provider, data_sources, resources, schemas, stops: watch::Sender::new(0) }
    }

    fn data_source(&self, name: &str) -> Result<&Entry<dyn DataSource>, Diagnostic> {
        self.data_sources.get(name).ok_or_else(|| no_such("data source", name))
    }

    fn resource(&self, name: &str) -> Result<&Entry<dyn Resource>, Diagnostic> {
        self.resources.get(name).ok_or_else(|| no_such("resource", name))
    }

    /// Waits for an answer, or for the user to interrupt: then the object stays as it was.
    async fn unless_stopped(&self, before: Option<&Record>, answer: Answer<'_>) -> Outcome {
        let mut stops = self.stops.subscribe();
        tokio::select! {
            outcome = answer => outcome,
            _ = stops.changed() => {
                let told = Diagnostic::error("Interrupted", "Terraform asked the provider to stop before this call was answered.");
                Outcome { record: before.cloned(), ..told.into() }
            }
        }
    }

    async fn read_data_source(&self, request: pb::read_data_source::Request) -> Result<Outcome, Diagnostic> {
        let entry = self.data_source(&request.type_name)?;
        let config = decode(request.config, &entry.schema)?.unwrap_or_else(|| Record::empty(&entry.schema));
        Ok(self.unless_stopped(None, entry.item.read(config)).await)
    }

    async fn read_resource(&self, request: pb::read_resource::Request) -> Result<Outcome, Diagnostic> {
        let entry = self.resource(&request.type_name)?;
        let Some(state) = decode(request.current_state, &entry.schema)? else { return Ok(Outcome::default()) };
        Ok(self.unless_stopped(Some(&state), entry.item.read(state.clone())).await)
    }

    fn plan_resource(&self, request: pb::plan_resource_change::Request) -> Result<Outcome, Diagnostic> {
        let entry = self.resource(&request.type_name)?;
        let prior = decode(request.prior_state, &entry.schema)?;
        if decode(request.proposed_new_state, &entry.schema)?.is_none() {
            return Ok(Outcome::default()); // a destroy: nothing is what is planned
        }
        let config = decode(request.config, &entry.schema)?.unwrap_or_else(|| Record::empty(&entry.schema));
        Ok(entry.item.plan(prior.as_ref(), &config))
    }

    async fn apply_resource(&self, request: pb::apply_resource_change::Request) -> Result<Outcome, Diagnostic> {
        let entry = self.resource(&request.type_name)?;
        let prior = decode(request.prior_state, &entry.schema)?;
        let planned = decode(request.planned_state, &entry.schema)?;
        Ok(match (prior, planned) {
            (None, None) => Outcome::default(),
            (None, Some(planned)) => self.unless_stopped(None, entry.item.create(planned)).await,
            (Some(prior), Some(planned)) => {
                self.unless_stopped(Some(&prior), entry.item.update(prior.clone(), planned)).await
            }
            (Some(prior), None) => self.unless_stopped(Some(&prior), entry.item.delete(prior.clone())).await,
        })
    }

    async fn import_resource(&self, request: pb::import_resource_state::Request) -> Result<Outcome, Diagnostic> {
        let entry = self.resource(&request.type_name)?;
        Ok(self.unless_stopped(None, entry.item.import(request.id)).await)
    }

    fn upgrade_state(&self, request: pb::upgrade_resource_state::Request) -> Result<Outcome, Diagnostic> {
        let entry = self.resource(&request.type_name)?;
        if request.version > entry.schema.version {
            let detail = format!(
                "State of schema version {} was written by a newer provider; this one knows version {}.",
                request.version, entry.schema.version
            );
            return Err(Diagnostic::error("State is newer than the provider", detail));
        }
        let raw = request.raw_state.unwrap_or_default();
        let record = Record::from_json(&raw.json, &entry.schema)
            .map_err(|fault| Diagnostic::error("Unreadable state", format!("{}: {fault}.", request.type_name)))?;
        Ok(Outcome { record, ..Outcome::default() })
    }
}

fn capabilities() -> pb::ServerCapabilities {
    pb::ServerCapabilities { plan_destroy: false, get_provider_schema_optional: true, move_resource_state: false }
}

fn wire<T: ?Sized>(entries: &BTreeMap<&'static str, Entry<T>>) -> std::collections::HashMap<String, pb::Schema> {
    entries.iter().map(|(name, entry)| ((*name).to_owned(), entry.schema.to_wire())).collect()
}

fn no_such(what: &str, name: &str) -> Diagnostic {
    Diagnostic::error(format!("No such {what}"), format!("This provider has no {what} named {name:?}."))
}

fn decode(value: Option<pb::DynamicValue>, schema: &Schema) -> Result<Option<Record>, Diagnostic> {
    let Some(value) = value else { return Ok(None) };
    let read = if value.msgpack.is_empty() {
        if value.json.is_empty() { Ok(None) } else { Record::from_json(&value.json, schema) }
    } else {
        Record::decode(&value.msgpack, schema)
    };
    read.map_err(|fault| Diagnostic::error("Unreadable value", format!("Terraform sent a value that {fault}.")))
}

/// The record as a reply carries it, null when there is none.
fn encode(record: Option<&Record>) -> Option<pb::DynamicValue> {
    let msgpack = record.map_or_else(|| vec![rmp::Marker::Null.to_u8()], Record::encode);
    Some(pb::DynamicValue { msgpack, json: Vec::new() })
}
