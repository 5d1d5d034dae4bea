//! What a backtest prints: of one family its measures and the families that it trusted, of several their measures side by side.

use std::collections::BTreeMap;

use foreshadow_models::metrics::{Accuracy, SeriesScore};
use serde::Serialize;

use crate::cli::Failure;
use crate::cli::output::{self, Format, number};

/// One series' result by one family.
pub(super) struct SeriesResult {
    pub(super) name: String,
    /// That was trusted at the newest origin.
    pub(super) model: String,
    pub(super) status: String,
    /// Why no step of it was judged.
    pub(super) unjudged: Option<String>,
    /// Why it fell back on a naive family, at the newest origin of those where it did.
    pub(super) fallback: Option<String>,
    pub(super) score: SeriesScore,
    /// The same by the family that was trusted at each origin.
    pub(super) by_model: BTreeMap<String, SeriesScore>,
}

impl SeriesResult {
    /// Of a series that was not judged, for a reason that `status` has a word for.
    pub(super) fn unscored(name: &str, status: &str, reason: &str) -> Self {
        let (score, by_model) = (SeriesScore::default(), BTreeMap::new());
        let (model, unjudged, fallback) = (String::new(), Some(reason.into()), None);
        Self { name: name.into(), model, status: status.into(), unjudged, fallback, score, by_model }
    }
}

/// What one of the families that were asked for came to.
pub(super) struct Judged<'a> {
    /// As it was asked for.
    pub(super) family: &'a str,
    /// Every series, by name; in the same order for all families.
    pub(super) results: Vec<SeriesResult>,
    pub(super) seconds: f64,
}

/// A family's result, as `--output json` prints it.
#[derive(Debug, Serialize)]
struct Summary {
    series: usize,
    failed: usize,
    fallback: usize,
    unscaled: usize,
    mase: Option<f64>,
    smape: Option<f64>,
    wql: Option<f64>,
    msis95: Option<f64>,
    coverage: BTreeMap<&'static str, Option<f64>>,
    seconds: f64,
    models: BTreeMap<String, ModelSummary>,
}

#[derive(Debug, Serialize)]
struct ModelSummary {
    /// Series that it was trusted with at one origin or more.
    count: usize,
    mase: Option<f64>,
}

/// One of several families, as `--output json` prints it.
#[derive(Debug, Serialize)]
struct Named<'a> {
    family: &'a str,
    /// Series on which no other family's MASE is less.
    best: usize,
    #[serde(flatten)]
    summary: Summary,
}

impl<'a> Judged<'a> {
    /// Nothing yet.
    pub(super) fn by(family: &'a str) -> Self {
        Self { family, results: Vec::new(), seconds: 0.0 }
    }

    fn summary(&self) -> Summary {
        let scores: Vec<SeriesScore> = self.results.iter().map(|result| result.score.clone()).collect();
        let accuracy = Accuracy::of(&scores);
        let mut by_model: BTreeMap<String, Vec<SeriesScore>> = BTreeMap::new();
        for (model, score) in self.results.iter().flat_map(|result| &result.by_model) {
            by_model.entry(model.clone()).or_default().push(score.clone());
        }
        let of_model =
            |scores: Vec<SeriesScore>| ModelSummary { count: scores.len(), mase: Accuracy::of(&scores).mase };
        Summary {
            series: self.results.len(),
            failed: self.results.len() - accuracy.scored,
            fallback: self.results.iter().filter(|result| result.fallback.is_some()).count(),
            unscaled: accuracy.unscaled,
            mase: accuracy.mase,
            smape: accuracy.smape,
            wql: accuracy.wql,
            msis95: accuracy.msis95,
            coverage: BTreeMap::from([("80", accuracy.coverage80), ("95", accuracy.coverage95)]),
            seconds: self.seconds,
            models: by_model.into_iter().map(|(name, scores)| (name, of_model(scores))).collect(),
        }
    }
}

/// The families with their summaries and the number of series that each is best on.
fn side_by_side<'a>(judged: &[Judged<'a>]) -> Vec<Named<'a>> {
    let mut best = vec![0; judged.len()];
    for s in 0..judged[0].results.len() {
        let mase: Vec<Option<f64>> = judged.iter().map(|own| own.results[s].score.mase()).collect();
        let Some(least) = mase.iter().flatten().copied().min_by(f64::total_cmp) else { continue };
        for (best, _) in best.iter_mut().zip(&mase).filter(|(_, mase)| **mase == Some(least)) {
            *best += 1;
        }
    }
    let named = |(own, best): (&Judged<'a>, usize)| Named { family: own.family, best, summary: own.summary() };
    judged.iter().zip(best).map(named).collect()
}

/// Prints what the families came to.
pub(super) fn print(judged: &[Judged<'_>], format: Format) -> Result<(), Failure> {
    match (format, judged) {
        (Format::Csv, judged) => output::print(&rows(judged)),
        (Format::Json, [only]) => output::print_json(&only.summary()),
        (Format::Json, several) => output::print_json(&BTreeMap::from([("families", side_by_side(several))])),
        (Format::Table, [only]) => output::print(&table_of_one(&only.summary())),
        (Format::Table, several) => output::print(&table_of_several(&side_by_side(several))),
    }
}

/// One row a series and family.
fn rows(judged: &[Judged<'_>]) -> String {
    let mut rows = csv::Writer::from_writer(Vec::new());
    let cell = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let mut write = |row: &[String]| rows.write_record(row).expect("a vector takes every row");
    let header =
        ["series", "family", "model", "status", "steps", "mase", "smape", "msis95", "coverage95_percent", "reason"];
    write(&header.map(String::from));
    for s in 0..judged[0].results.len() {
        for own in judged {
            let SeriesResult { name, model, status, unjudged, fallback, score, .. } = &own.results[s];
            let told = [name, own.family, model, status].map(String::from);
            let measures = [score.mase(), score.smape(), score.msis95(), score.coverage95()].map(cell);
            let reason = unjudged.as_ref().or(fallback.as_ref()).cloned().unwrap_or_default();
            write(&[&told[..], &[score.steps.to_string()], &measures, &[reason]].concat());
        }
    }
    String::from_utf8_lossy(&rows.into_inner().expect("a vector takes every row")).into_owned()
}

/// The measures that a table shows.
const MEASURES: [&str; 6] = ["MASE", "sMAPE %", "wql", "MSIS 95", "in 80 % band", "in 95 % band"];

fn measures(summary: &Summary) -> [String; 6] {
    let Summary { mase, smape, wql, msis95, coverage, .. } = summary;
    [*mase, *smape, *wql, *msis95, coverage["80"], coverage["95"]].map(number)
}

fn table_of_one(summary: &Summary) -> String {
    let mut models = output::table(&["model", "series", "MASE"]);
    for (name, model) in &summary.models {
        models.add_row([name.clone(), model.count.to_string(), number(model.mase)]);
    }
    let mut judged = output::table(&MEASURES);
    judged.add_row(measures(summary));
    let Summary { series, failed, fallback, unscaled, seconds, .. } = summary;
    let told =
        format!("{series} series in {seconds:.1} s: {failed} failed, {fallback} fell back, {unscaled} without a scale");
    format!("{models}\n{judged}\n{told}\n")
}

fn table_of_several(families: &[Named<'_>]) -> String {
    let mut judged =
        output::table(&[&["family"], &MEASURES[..], &["best on", "failed", "fell back", "seconds"]].concat());
    for Named { family, best, summary } in families {
        let counts = [*best, summary.failed, summary.fallback].map(|count| count.to_string());
        let seconds = format!("{:.1}", summary.seconds);
        judged.add_row([&[(*family).to_owned()], &measures(summary)[..], &counts, &[seconds]].concat());
    }
    let series = families[0].summary.series;
    // Means over different series compare nothing.
    let apart = families.iter().any(|own| own.summary.failed != families[0].summary.failed);
    let apart = if apart { "; means are over the series that a family did not fail on" } else { "" };
    format!("{judged}\n{series} series{apart}\n")
}
