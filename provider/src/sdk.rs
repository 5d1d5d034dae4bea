//! A Terraform plugin, protocol 6, without a line of our product in it: handshake, transport,
//! values, schemas, diagnostics and the dispatch of calls to what a [`Plugin`] declares.

pub mod diagnostic;
pub mod dispatch;
pub mod handshake;
pub mod host;
pub mod log;
pub mod plugin;
pub mod record;
pub mod schema;
pub mod serve;
pub mod tls;
pub mod validate;
pub mod value;

pub use diagnostic::{Diagnostic, Diagnostics, Path};
pub use plugin::{Answer, DataSource, Outcome, Plugin, Resource};
pub use record::Record;
pub use schema::{Attribute, Kind, Schema};
pub use value::{Number, Type, Value};
