//! Why a series is forecast as it is: the facts, whoever has them, and how people are told of them.
//!
//! `foreshadow explain` has the samples and learns everything anew; a service has what it issued and what it noted live.

mod shown;

use foreshadow_models::live::{Standing, Switch, Track};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use crate::issue::{Issue, Shadow};

/// Names listed of the series that a word could mean.
const LISTED: usize = 8;

/// Everything that is told of a series. As JSON it is one object, whose keys are the same wherever the facts are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Identity of the series.
    pub series: String,
    /// Sampling interval.
    pub step_ms: i64,
    /// Last observed step behind the forecast.
    pub cutoff_ms: i64,
    /// The family that serves it.
    pub champion: String,
    /// How the champion did on the folds that did not pick it.
    pub held_out: Option<Folds>,
    /// Every family with its errors.
    pub families: Vec<Family>,
    /// How many times the usual error the champion errs; absent before enough has come to tell.
    pub trouble: Option<f64>,
    /// Changes of champion, the oldest first.
    pub switches: Vec<Switch>,
    /// Expected values, one a step ahead.
    pub mean: Vec<f64>,
    /// Lower end of the 95 % band, where the forecast has one.
    pub low95: Option<Vec<f64>>,
    /// Upper end of it.
    pub high95: Option<Vec<f64>>,
    /// What only those know who have the samples.
    #[serde(flatten)]
    pub learned: Option<Learned>,
    /// What only a service knows.
    #[serde(flatten)]
    pub issued: Option<Issued>,
}

/// Accuracy on held-out folds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Folds {
    /// Their number.
    pub folds: usize,
    /// Mean absolute scaled error; absent where the series gives no scale.
    pub mase: Option<f64>,
    /// The same of seasonal naive.
    pub mase_seasonal_naive: Option<f64>,
    /// Percent of held-out values inside the 95 % band.
    pub coverage95_percent: f64,
}

/// One family and how it did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Mean absolute error on the folds that picked.
    pub error_on_folds: Option<f64>,
    /// Mean absolute error since it was asked; absent before the first value came.
    pub error_live: Option<f64>,
}

/// A part of what serves a series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The family.
    pub name: String,
    /// Its weight.
    pub weight: f64,
}

/// What is learned from the samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// Steps of history.
    pub steps: usize,
    /// Of them, unobserved.
    pub missing_steps: usize,
    /// How the fit went, in one word.
    pub status: String,
    /// How the samples are read: `per_second`, `time_zone`, `minimum`, `maximum`.
    pub read_as: serde_json::Value,
    /// The same for people, a line each; not part of the JSON.
    #[serde(skip)]
    pub read_as_text: String,
    /// Seasons in steps.
    pub seasons: Vec<usize>,
    /// Why a naive family serves, where nothing else could be picked.
    pub fallback: Option<String>,
    /// What the champion is made of.
    pub parts: Vec<Part>,
    /// Folds that picked.
    pub picking_folds: usize,
    /// Past issues that the series was followed through, and the steps between them.
    pub issues: usize,
    /// Steps between two of them.
    pub issue_spacing_steps: usize,
    /// The newest history, up to the cutoff; not part of the JSON.
    #[serde(skip)]
    pub newest: Vec<f64>,
}

/// What a service knows of its shadow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issued {
    /// The issue.
    pub issue: String,
    /// First millisecond of the slot that it answers for.
    pub slot_start_ms: i64,
    /// Whether families are followed live: they are where `auto` picks among them.
    pub followed: bool,
}

/// Why a word names no one series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Diagnostic)]
pub enum Unfound {
    /// No series has it in its name.
    #[error("no series is called {wanted}, or has that in its name")]
    #[diagnostic(help("there are {count} series: {listed}"))]
    Unknown {
        /// The word.
        wanted: String,
        /// Series there are.
        count: usize,
        /// The first of them.
        listed: String,
    },
    /// Several have.
    #[error("{wanted} may be any of {count} series")]
    #[diagnostic(help("name one: {listed}"))]
    Ambiguous {
        /// The word.
        wanted: String,
        /// Series that it may be.
        count: usize,
        /// The first of them.
        listed: String,
    },
}

/// The place of the one series that a word means: its whole name, or a part of it that no other has.
///
/// # Errors
/// [`Unfound`], with the first of the series that could be meant.
pub fn find(names: &[&str], wanted: &str) -> Result<usize, Unfound> {
    let exact = names.iter().position(|name| *name == wanted);
    let holding: Vec<&str> = names.iter().copied().filter(|name| name.contains(wanted)).collect();
    let listed = |names: &[&str]| {
        let more = if names.len() > LISTED { ", …" } else { "" };
        format!("{}{more}", names[..names.len().min(LISTED)].join(", "))
    };
    let wanted = wanted.to_string();
    match (exact, holding.as_slice()) {
        (Some(at), _) => Ok(at),
        (None, [only]) => Ok(names.iter().position(|name| name == only).expect("it is one of them")),
        (None, []) => Err(Unfound::Unknown { wanted, count: names.len(), listed: listed(names) }),
        (None, several) => Err(Unfound::Ambiguous { wanted, count: several.len(), listed: listed(several) }),
    }
}

impl Explanation {
    /// What an issue and the track that was kept with it tell of one of its shadows.
    pub fn of_issue(issue: &Issue, shadow: &Shadow, track: Option<&Track>) -> Self {
        let curve = |level: f64| (0..shadow.steps()).map(|step| shadow.quantile_at(level, step)).collect();
        let family = |standing: Standing<'_>| Family {
            name: standing.name.into(),
            error_on_folds: None,
            error_live: standing.error,
        };
        let folds = |accuracy: &crate::issue::Accuracy| Folds {
            folds: accuracy.folds as usize,
            mase: accuracy.mase,
            mase_seasonal_naive: accuracy.mase_seasonal_naive,
            coverage95_percent: accuracy.coverage95_percent,
        };
        Self {
            series: shadow.series().into(),
            step_ms: shadow.step_ms(),
            cutoff_ms: shadow.cutoff_ms(),
            champion: shadow.model().into(),
            held_out: shadow.accuracy().map(folds),
            families: track.map(|track| track.standings().into_iter().map(family).collect()).unwrap_or_default(),
            trouble: track.and_then(Track::trouble),
            switches: track.map(|track| track.switches().cloned().collect()).unwrap_or_default(),
            mean: (0..shadow.steps()).map(|step| shadow.mean(step)).collect(),
            low95: curve(0.025),
            high95: curve(0.975),
            learned: None,
            issued: Some(Issued {
                issue: issue.id().into(),
                slot_start_ms: issue.slot().start_ms,
                followed: track.is_some(),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
