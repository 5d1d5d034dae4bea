//! What we tell the person who runs Terraform, and at which attribute.

use tfplugin6_proto::tfplugin6 as pb;

/// Where in a configuration something stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Attribute(String),
    Key(String),
    Index(i64),
}

impl Path {
    /// A top-level attribute.
    pub fn attribute(name: &str) -> Self {
        Self::default().then(name)
    }

    /// An attribute of the object here.
    pub fn then(&self, name: &str) -> Self {
        self.with(Step::Attribute(name.to_owned()))
    }

    /// An element of the map here.
    pub fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// An element of the list here.
    pub fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index as i64))
    }

    fn with(&self, step: Step) -> Self {
        let mut path = self.clone();
        path.0.push(step);
        path
    }

    /// The path on the wire.
    pub fn to_wire(&self) -> pb::AttributePath {
        use pb::attribute_path::step::Selector;
        let steps = self.0.iter().map(|step| {
            let selector = match step {
                Step::Attribute(name) => Selector::AttributeName(name.clone()),
                Step::Key(key) => Selector::ElementKeyString(key.clone()),
                Step::Index(index) => Selector::ElementKeyInt(*index),
            };
            pb::attribute_path::Step { selector: Some(selector) }
        });
        pb::AttributePath { steps: steps.collect() }
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    is_error: bool,
    summary: String,
    detail: String,
    path: Path,
}

impl Diagnostic {
    /// Stops what Terraform is doing.
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { is_error: true, summary: summary.into(), detail: detail.into(), path: Path::default() }
    }

    /// Is shown, and goes on.
    pub fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { is_error: false, ..Self::error(summary, detail) }
    }

    /// Points at an attribute.
    pub fn at(self, path: Path) -> Self {
        Self { path, ..self }
    }

    /// The one-line statement.
    pub fn summary(&self) -> &str {
        &self.summary
    }

    fn to_wire(&self) -> pb::Diagnostic {
        use pb::diagnostic::Severity;
        let severity = if self.is_error { Severity::Error } else { Severity::Warning };
        pb::Diagnostic {
            severity: severity.into(),
            summary: self.summary.clone(),
            detail: self.detail.clone(),
            attribute: (!self.path.0.is_empty()).then(|| self.path.to_wire()),
        }
    }
}

/// Everything there is to tell about one call, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of another's.
    pub fn append(&mut self, mut other: Diagnostics) {
        self.0.append(&mut other.0);
    }

    /// Whether one of them is an error.
    pub fn has_error(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.is_error)
    }

    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.0.iter()
    }

    /// The list on the wire.
    pub fn to_wire(&self) -> Vec<pb::Diagnostic> {
        self.0.iter().map(Diagnostic::to_wire).collect()
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}
