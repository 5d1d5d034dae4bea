//! The provider service's methods, each a translation and nothing more.

use pb::provider_server::Provider;
use tfplugin6_proto::tfplugin6 as pb;
use tonic::{Request, Response, Status};

use super::super::diagnostic::{Diagnostic, Diagnostics, Path};
use super::super::plugin::Outcome;
use super::super::record::Record;
use super::super::validate;
use super::{Dispatch, capabilities, decode, encode, no_such};

type Reply<T> = Result<Response<T>, Status>;

/// A call that could not even be understood answers with that alone.
fn settle(outcome: Result<Outcome, Diagnostic>) -> Outcome {
    outcome.unwrap_or_else(Outcome::from)
}

fn told(diagnostic: Diagnostic) -> Vec<pb::Diagnostic> {
    Diagnostics::from(diagnostic).to_wire()
}

#[tonic::async_trait]
impl Provider for Dispatch {
    async fn get_metadata(&self, _: Request<pb::get_metadata::Request>) -> Reply<pb::get_metadata::Response> {
        use pb::get_metadata::{DataSourceMetadata, ResourceMetadata};
        let data_sources = self.data_sources.keys().map(|name| DataSourceMetadata { type_name: (*name).to_owned() });
        let resources = self.resources.keys().map(|name| ResourceMetadata { type_name: (*name).to_owned() });
        Ok(Response::new(pb::get_metadata::Response {
            server_capabilities: Some(capabilities()),
            data_sources: data_sources.collect(),
            resources: resources.collect(),
            ..Default::default()
        }))
    }

    async fn get_provider_schema(
        &self,
        _: Request<pb::get_provider_schema::Request>,
    ) -> Reply<pb::get_provider_schema::Response> {
        Ok(Response::new(self.schemas.clone()))
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<pb::get_resource_identity_schemas::Request>,
    ) -> Reply<pb::get_resource_identity_schemas::Response> {
        Ok(Response::new(pb::get_resource_identity_schemas::Response::default()))
    }

    async fn validate_provider_config(
        &self,
        request: Request<pb::validate_provider_config::Request>,
    ) -> Reply<pb::validate_provider_config::Response> {
        let found = decode(request.into_inner().config, &self.provider).map(|config| {
            let config = config.unwrap_or_else(|| Record::empty(&self.provider));
            let mut found = validate::validate(&self.provider, &config);
            found.append(self.plugin.validate(&config));
            found
        });
        let diagnostics = found.unwrap_or_else(Diagnostics::from).to_wire();
        Ok(Response::new(pb::validate_provider_config::Response { diagnostics }))
    }

    async fn validate_resource_config(
        &self,
        request: Request<pb::validate_resource_config::Request>,
    ) -> Reply<pb::validate_resource_config::Response> {
        let request = request.into_inner();
        let found = self.resource(&request.type_name).and_then(|entry| {
            let config = decode(request.config, &entry.schema)?.unwrap_or_else(|| Record::empty(&entry.schema));
            let mut found = validate::validate(&entry.schema, &config);
            found.append(entry.item.validate(&config));
            Ok(found)
        });
        let diagnostics = found.unwrap_or_else(Diagnostics::from).to_wire();
        Ok(Response::new(pb::validate_resource_config::Response { diagnostics }))
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<pb::validate_data_resource_config::Request>,
    ) -> Reply<pb::validate_data_resource_config::Response> {
        let request = request.into_inner();
        let found = self.data_source(&request.type_name).and_then(|entry| {
            let config = decode(request.config, &entry.schema)?.unwrap_or_else(|| Record::empty(&entry.schema));
            let mut found = validate::validate(&entry.schema, &config);
            found.append(entry.item.validate(&config));
            Ok(found)
        });
        let diagnostics = found.unwrap_or_else(Diagnostics::from).to_wire();
        Ok(Response::new(pb::validate_data_resource_config::Response { diagnostics }))
    }

    async fn validate_ephemeral_resource_config(
        &self,
        request: Request<pb::validate_ephemeral_resource_config::Request>,
    ) -> Reply<pb::validate_ephemeral_resource_config::Response> {
        let diagnostics = told(no_such("ephemeral resource", &request.get_ref().type_name));
        Ok(Response::new(pb::validate_ephemeral_resource_config::Response { diagnostics }))
    }

    async fn configure_provider(
        &self,
        request: Request<pb::configure_provider::Request>,
    ) -> Reply<pb::configure_provider::Response> {
        let found = decode(request.into_inner().config, &self.provider)
            .map(|config| self.plugin.configure(&config.unwrap_or_else(|| Record::empty(&self.provider))));
        let diagnostics = found.unwrap_or_else(Diagnostics::from).to_wire();
        Ok(Response::new(pb::configure_provider::Response { diagnostics }))
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<pb::upgrade_resource_state::Request>,
    ) -> Reply<pb::upgrade_resource_state::Response> {
        let outcome = settle(self.upgrade_state(request.into_inner()));
        Ok(Response::new(pb::upgrade_resource_state::Response {
            upgraded_state: encode(outcome.record.as_ref()),
            diagnostics: outcome.diagnostics.to_wire(),
        }))
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<pb::upgrade_resource_identity::Request>,
    ) -> Reply<pb::upgrade_resource_identity::Response> {
        let diagnostics = told(no_such("resource identity", &request.get_ref().type_name));
        Ok(Response::new(pb::upgrade_resource_identity::Response { diagnostics, ..Default::default() }))
    }

    async fn read_resource(&self, request: Request<pb::read_resource::Request>) -> Reply<pb::read_resource::Response> {
        let mut request = request.into_inner();
        let private = std::mem::take(&mut request.private);
        let outcome = settle(self.read_resource(request).await);
        Ok(Response::new(pb::read_resource::Response {
            new_state: encode(outcome.record.as_ref()),
            diagnostics: outcome.diagnostics.to_wire(),
            private,
            ..Default::default()
        }))
    }

    async fn plan_resource_change(
        &self,
        request: Request<pb::plan_resource_change::Request>,
    ) -> Reply<pb::plan_resource_change::Response> {
        let mut request = request.into_inner();
        let planned_private = std::mem::take(&mut request.prior_private);
        let outcome = settle(self.plan_resource(request));
        Ok(Response::new(pb::plan_resource_change::Response {
            planned_state: encode(outcome.record.as_ref()),
            requires_replace: outcome.replace.iter().map(Path::to_wire).collect(),
            planned_private,
            diagnostics: outcome.diagnostics.to_wire(),
            ..Default::default()
        }))
    }

    async fn apply_resource_change(
        &self,
        request: Request<pb::apply_resource_change::Request>,
    ) -> Reply<pb::apply_resource_change::Response> {
        let mut request = request.into_inner();
        let private = std::mem::take(&mut request.planned_private);
        let outcome = settle(self.apply_resource(request).await);
        Ok(Response::new(pb::apply_resource_change::Response {
            new_state: encode(outcome.record.as_ref()),
            private,
            diagnostics: outcome.diagnostics.to_wire(),
            ..Default::default()
        }))
    }

    async fn import_resource_state(
        &self,
        request: Request<pb::import_resource_state::Request>,
    ) -> Reply<pb::import_resource_state::Response> {
        use pb::import_resource_state::ImportedResource;
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        let outcome = settle(self.import_resource(request).await);
        let imported = outcome.record.as_ref().map(|record| ImportedResource {
            type_name,
            state: encode(Some(record)),
            ..Default::default()
        });
        Ok(Response::new(pb::import_resource_state::Response {
            imported_resources: imported.into_iter().collect(),
            diagnostics: outcome.diagnostics.to_wire(),
            ..Default::default()
        }))
    }

    async fn move_resource_state(
        &self,
        request: Request<pb::move_resource_state::Request>,
    ) -> Reply<pb::move_resource_state::Response> {
        let request = request.get_ref();
        let detail = format!("{} cannot be made of {}.", request.target_type_name, request.source_type_name);
        let diagnostics = told(Diagnostic::error("State cannot be moved", detail));
        Ok(Response::new(pb::move_resource_state::Response { diagnostics, ..Default::default() }))
    }

    async fn read_data_source(
        &self,
        request: Request<pb::read_data_source::Request>,
    ) -> Reply<pb::read_data_source::Response> {
        let outcome = settle(self.read_data_source(request.into_inner()).await);
        Ok(Response::new(pb::read_data_source::Response {
            state: encode(outcome.record.as_ref()),
            diagnostics: outcome.diagnostics.to_wire(),
            ..Default::default()
        }))
    }

    async fn open_ephemeral_resource(
        &self,
        request: Request<pb::open_ephemeral_resource::Request>,
    ) -> Reply<pb::open_ephemeral_resource::Response> {
        let diagnostics = told(no_such("ephemeral resource", &request.get_ref().type_name));
        Ok(Response::new(pb::open_ephemeral_resource::Response { diagnostics, ..Default::default() }))
    }

    async fn renew_ephemeral_resource(
        &self,
        request: Request<pb::renew_ephemeral_resource::Request>,
    ) -> Reply<pb::renew_ephemeral_resource::Response> {
        let diagnostics = told(no_such("ephemeral resource", &request.get_ref().type_name));
        Ok(Response::new(pb::renew_ephemeral_resource::Response { diagnostics, ..Default::default() }))
    }

    async fn close_ephemeral_resource(
        &self,
        request: Request<pb::close_ephemeral_resource::Request>,
    ) -> Reply<pb::close_ephemeral_resource::Response> {
        let diagnostics = told(no_such("ephemeral resource", &request.get_ref().type_name));
        Ok(Response::new(pb::close_ephemeral_resource::Response { diagnostics }))
    }

    async fn get_functions(&self, _: Request<pb::get_functions::Request>) -> Reply<pb::get_functions::Response> {
        Ok(Response::new(pb::get_functions::Response::default()))
    }

    async fn call_function(&self, request: Request<pb::call_function::Request>) -> Reply<pb::call_function::Response> {
        let text = format!("this provider has no function named {:?}", request.get_ref().name);
        let error = Some(pb::FunctionError { text, function_argument: None });
        Ok(Response::new(pb::call_function::Response { result: None, error }))
    }

    async fn stop_provider(&self, _: Request<pb::stop_provider::Request>) -> Reply<pb::stop_provider::Response> {
        self.stops.send_modify(|count| *count += 1);
        Ok(Response::new(pb::stop_provider::Response::default()))
    }
}
