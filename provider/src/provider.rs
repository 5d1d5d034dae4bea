//! The provider `foreshadow`: its settings, and who asks the engine through them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::decision::ScalingDecision;
use crate::engine::Engine;
use crate::recommendation::Recommendation;
use crate::sdk::{DataSource, Diagnostic, Diagnostics, Path, Plugin, Record, Resource, Schema};
use crate::settings;

/// Where Terraform knows the provider by.
pub const ADDRESS: &str = "registry.terraform.io/foreshadow/foreshadow";

/// The provider.
#[derive(Default)]
pub struct Foreshadow {
    connection: Connection,
}

/// The engine, once the provider block is known. Shared by everything that asks it.
#[derive(Clone, Default)]
pub struct Connection(Arc<RwLock<State>>);

#[derive(Default)]
enum State {
    #[default]
    Unconfigured,
    /// A setting will only be known after an apply.
    Unknown(&'static str),
    Ready(Arc<Engine>),
}

impl Connection {
    fn set(&self, state: State) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// The engine to ask.
    ///
    /// # Errors
    /// A diagnostic at the provider's setting that is still unknown.
    pub fn engine(&self) -> Result<Arc<Engine>, Diagnostic> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            State::Ready(engine) => Ok(engine.clone()),
            State::Unknown(attribute) => Err(Diagnostic::error(
                "The engine is not known yet",
                format!(
                    "`{attribute}` of the provider block depends on something that exists only after an apply. Apply that first, with -target, or set the value directly."
                ),
            )
            .at(Path::attribute(attribute))),
            State::Unconfigured => {
                Err(Diagnostic::error("The provider is not configured", "Terraform asked it for a value before it gave it its settings."))
            }
        }
    }
}

impl Plugin for Foreshadow {
    fn schema(&self) -> Schema {
        settings::schema()
    }

    fn validate(&self, _: &Record) -> Diagnostics {
        Diagnostics::default()
    }

    fn configure(&self, config: &Record) -> Diagnostics {
        match settings::read(config, |name| std::env::var(name).ok()) {
            Ok(Ok(settings)) => self.connection.set(State::Ready(Arc::new(Engine::new(settings)))),
            Ok(Err(unknown)) => self.connection.set(State::Unknown(unknown.attribute)),
            Err(found) => return found,
        }
        Diagnostics::default()
    }

    fn data_sources(&self) -> BTreeMap<&'static str, Arc<dyn DataSource>> {
        let recommendation: Arc<dyn DataSource> = Arc::new(Recommendation::new(self.connection.clone()));
        BTreeMap::from([("foreshadow_recommendation", recommendation)])
    }

    fn resources(&self) -> BTreeMap<&'static str, Arc<dyn Resource>> {
        let decision: Arc<dyn Resource> = Arc::new(ScalingDecision::new(self.connection.clone()));
        BTreeMap::from([("foreshadow_scaling_decision", decision)])
    }
}
