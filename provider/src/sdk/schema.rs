//! What a provider, data source or resource looks like to a configuration.

use std::collections::BTreeMap;

use tfplugin6_proto::tfplugin6 as pb;

use super::validate::Check;
use super::value::Type;

/// A versioned set of attributes. Nested attributes take the place of blocks throughout.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Raised when stored state must be converted.
    pub version: i64,
    /// Markdown.
    pub description: &'static str,
    /// In the order documents show them.
    pub attributes: Vec<Attribute>,
}

/// One attribute.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its name in a configuration.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Who sets it.
    pub mode: Mode,
    /// Markdown.
    pub description: &'static str,
    /// What a known value must satisfy.
    pub checks: Vec<Check>,
}

/// Who sets an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The configuration must.
    Required,
    /// The configuration may.
    Optional,
    /// The provider does.
    Computed,
}

/// What an attribute holds.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value of a type.
    Plain(Type),
    /// One object.
    Single(Vec<Attribute>),
    /// Objects in order.
    List(Vec<Attribute>),
}

impl Attribute {
    /// An attribute the configuration must set.
    pub fn required(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { name, kind, mode: Mode::Required, description, checks: Vec::new() }
    }

    /// An attribute the configuration may set.
    pub fn optional(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { mode: Mode::Optional, ..Self::required(name, kind, description) }
    }

    /// An attribute the provider sets.
    pub fn computed(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self { mode: Mode::Computed, ..Self::required(name, kind, description) }
    }

    /// Adds a check.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    fn to_wire(&self) -> pb::schema::Attribute {
        use pb::schema::object::NestingMode;
        let (signature, nested) = match &self.kind {
            Kind::Plain(kind) => (kind.to_json().to_string().into_bytes(), None),
            Kind::Single(attributes) => (Vec::new(), Some((attributes, NestingMode::Single))),
            Kind::List(attributes) => (Vec::new(), Some((attributes, NestingMode::List))),
        };
        pb::schema::Attribute {
            name: self.name.to_owned(),
            r#type: signature,
            nested_type: nested.map(|(attributes, nesting)| pb::schema::Object {
                attributes: sorted(attributes),
                nesting: nesting.into(),
            }),
            description: self.description.to_owned(),
            description_kind: pb::StringKind::Markdown.into(),
            required: self.mode == Mode::Required,
            optional: self.mode == Mode::Optional,
            computed: self.mode == Mode::Computed,
            ..Default::default()
        }
    }
}

impl Kind {
    /// Text.
    pub fn string() -> Self {
        Self::Plain(Type::String)
    }

    /// A number.
    pub fn number() -> Self {
        Self::Plain(Type::Number)
    }

    /// The type of a value of this kind.
    pub fn value_type(&self) -> Type {
        match self {
            Self::Plain(kind) => kind.clone(),
            Self::Single(attributes) => Type::Object(types(attributes)),
            Self::List(attributes) => Type::List(Box::new(Type::Object(types(attributes)))),
        }
    }
}

impl Schema {
    /// The type of each attribute.
    pub fn types(&self) -> BTreeMap<String, Type> {
        types(&self.attributes)
    }

    /// The schema on the wire.
    pub fn to_wire(&self) -> pb::Schema {
        let block = pb::schema::Block {
            version: self.version,
            attributes: sorted(&self.attributes),
            description: self.description.to_owned(),
            description_kind: pb::StringKind::Markdown.into(),
            ..Default::default()
        };
        pb::Schema { version: self.version, block: Some(block) }
    }
}

fn types(attributes: &[Attribute]) -> BTreeMap<String, Type> {
    attributes.iter().map(|attribute| (attribute.name.to_owned(), attribute.kind.value_type())).collect()
}

fn sorted(attributes: &[Attribute]) -> Vec<pb::schema::Attribute> {
    let mut attributes: Vec<_> = attributes.iter().map(Attribute::to_wire).collect();
    attributes.sort_by(|a, b| a.name.cmp(&b.name));
    attributes
}
