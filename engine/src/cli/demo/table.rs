//! The demo's answer on standard output.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::analysis::Finding;
use super::capacity::{Sizing, most_pressing};
use super::terraform::Plan;
use super::{ATTRIBUTION, Outcome};
use crate::cli::output::{self, number};

/// Rows of a table that is not asked to show all.
const ROWS: usize = 10;

/// The series worth a look: the real ones first, then the most anomalous of each metric in turn.
pub(super) fn telling(findings: &[Finding]) -> Vec<&Finding> {
    let mut sorted: Vec<&Finding> = findings.iter().collect();
    sorted.sort_by(|a, b| b.worst().total_cmp(&a.worst()));
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let mut ranked: Vec<(bool, usize, &Finding)> = Vec::with_capacity(sorted.len());
    for finding in sorted {
        let rank = seen.entry(finding.key.label("__name__")).or_default();
        *rank += 1;
        ranked.push((finding.is_simulated(), *rank, finding));
    }
    ranked.sort_by_key(|(simulated, rank, _)| (*simulated, *rank)); // stable: the worst first among equals
    ranked.into_iter().map(|(_, _, finding)| finding).collect()
}

pub(super) fn text(outcome: &Outcome, report: &Path, all: bool) -> String {
    let mut out = String::new();
    let rows = if all { usize::MAX } else { ROWS };
    let simulated = outcome.findings.iter().filter(|finding| finding.is_simulated()).count();
    let real = outcome.findings.len() - simulated;
    let _ = writeln!(
        out,
        "{real} real and {simulated} simulated series (seed {}), shadows issued, scored and sized in {:.1} s\n",
        outcome.seed, outcome.seconds
    );
    let _ =
        writeln!(out, "The last day, held out: it was forecast from what lay before it.\n{}", series(outcome, rows));
    let _ = writeln!(out, "In all: {}\n", summary(&outcome.findings));
    let _ = writeln!(out, "The next day's capacity, by region\n{}", regions(outcome));
    let _ = writeln!(out, "The workloads nearest to their limit\n{}", workloads(outcome, rows));
    for reason in outcome.unsized_workloads.iter().take(3) {
        let _ = writeln!(out, "not sized: {reason}");
    }
    match &outcome.plan {
        Plan::Made { text, .. } => {
            let _ = writeln!(out, "terraform plan, from the engine's answers\n\n{}\n", text.trim_end());
        }
        Plan::Absent { hcl, reason } => {
            let _ = writeln!(out, "{hcl}\nNo plan was made of this: {reason}.\n");
        }
    }
    let _ = writeln!(out, "{ATTRIBUTION}\nReport with plots: {}", report.display());
    out
}

fn series(outcome: &Outcome, rows: usize) -> comfy_table::Table {
    let header = ["series", "champion", "MASE", "seasonal naive", "gain", "in 95 % band", "anomalies"];
    let mut table = output::table(&header);
    for finding in telling(&outcome.findings).into_iter().take(rows) {
        table.add_row([
            name(finding),
            finding.champion.clone(),
            number(finding.mase),
            number(finding.mase_seasonal_naive),
            finding.gain_percent().map_or("–".into(), |gain| format!("{gain:+.0} %")),
            finding.coverage95_percent.map_or("–".into(), |share| format!("{share:.0} %")),
            anomalies(finding),
        ]);
    }
    table
}

/// A series as a person calls it.
pub(super) fn plain_name(finding: &Finding) -> String {
    let label = |name: &str| finding.key.label(name).to_string();
    if finding.is_simulated() {
        format!("{} {}", label("workload"), label("__name__"))
    } else {
        format!("{} {}", label("dataset"), label("metric"))
    }
}

fn name(finding: &Finding) -> String {
    let kind = if finding.is_simulated() { " (simulated)" } else { "" };
    plain_name(finding) + kind
}

pub(super) fn anomalies(finding: &Finding) -> String {
    match finding.episodes.iter().max_by(|a, b| a.worst.abs().total_cmp(&b.worst.abs())) {
        None => "none".into(),
        Some(worst) => {
            format!("{}, worst {:+.1} × band at {}", finding.episodes.len(), worst.worst, clock_time(worst.start_ms))
        }
    }
}

/// Hour and minute, UTC.
pub(super) fn clock_time(ms: i64) -> String {
    let minutes = ms.div_euclid(60_000).rem_euclid(24 * 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

/// Error saved, coverage and anomalies over many series, as one sentence.
pub(super) fn summary(findings: &[Finding]) -> String {
    let mean = |of: fn(&Finding) -> Option<f64>| {
        let known: Vec<f64> = findings.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    };
    let anomalous = findings.iter().filter(|finding| !finding.episodes.is_empty()).count();
    format!(
        "a mean MASE of {} against seasonal naive's {}; {} % of the values inside the 95 % band; {anomalous} of {} series with an anomaly",
        number(mean(|f| f.mase)),
        number(mean(|f| f.mase_seasonal_naive)),
        number(mean(|f| f.coverage95_percent)),
        findings.len(),
    )
}

fn regions(outcome: &Outcome) -> comfy_table::Table {
    let mut table = output::table(&["region", "workloads", "replicas now", "recommended", "change"]);
    for sum in &outcome.regions {
        let change = 100.0 * (sum.recommended - sum.now) as f64 / sum.now.max(1) as f64;
        table.add_row([
            sum.region.clone(),
            sum.workloads.to_string(),
            sum.now.to_string(),
            sum.recommended.to_string(),
            format!("{change:+.0} %"),
        ]);
    }
    table
}

fn workloads(outcome: &Outcome, rows: usize) -> comfy_table::Table {
    let header = ["workload", "model", "peak demand", "at", "use of what runs", "replicas now", "recommended"];
    let mut table = output::table(&header);
    for sizing in most_pressing(&outcome.sizings).into_iter().take(rows) {
        let evidence = &sizing.recommendation.evidence;
        table.add_row([
            sizing.workload.name.clone(),
            evidence.model.clone(),
            format!("{} /s", number(Some(evidence.peak_demand))),
            clock_time(evidence.peak_ms),
            format!("{:.0} %", 100.0 * sizing.peak_use()),
            sizing.workload.replicas.to_string(),
            format!("{} ({:+})", sizing.recommendation.replicas, sizing.change()),
        ]);
    }
    table
}

pub(super) fn json(outcome: &Outcome, report: &Path) -> Value {
    let series = |finding: &Finding| {
        let episodes: Vec<Value> = finding
            .episodes
            .iter()
            .map(|e| json!({"start_ms": e.start_ms, "end_ms": e.end_ms, "half_widths": e.worst}))
            .collect();
        json!({
            "series": finding.key.to_string(),
            "simulated": finding.is_simulated(),
            "champion": finding.champion,
            "mase": finding.mase,
            "mase_seasonal_naive": finding.mase_seasonal_naive,
            "coverage95_percent": finding.coverage95_percent,
            "anomalies": episodes,
        })
    };
    let workload = |sizing: &Sizing| {
        json!({
            "workload": sizing.workload.name,
            "region": sizing.workload.region,
            "replicas_now": sizing.workload.replicas,
            "replicas_recommended": sizing.recommendation.replicas,
            "peak_demand": sizing.recommendation.evidence.peak_demand,
            "peak_ms": sizing.recommendation.evidence.peak_ms,
            "model": sizing.recommendation.evidence.model,
        })
    };
    let plan = match &outcome.plan {
        Plan::Made { hcl, text } => json!({"hcl": hcl, "plan": text}),
        Plan::Absent { hcl, reason } => json!({"hcl": hcl, "absent": reason}),
    };
    json!({
        "seed": outcome.seed,
        "device": outcome.device,
        "seconds": outcome.seconds,
        "series": outcome.findings.iter().map(series).collect::<Vec<_>>(),
        "workloads": outcome.sizings.iter().map(workload).collect::<Vec<_>>(),
        "not_sized": outcome.unsized_workloads,
        "terraform": plan,
        "report": report.display().to_string(),
    })
}
