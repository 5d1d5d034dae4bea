//! The report: one HTML file with everything in it, so that it opens without a network.

use maud::{Markup, html};

use super::analysis::Finding;
use super::capacity::{Sizing, most_pressing};
use super::terraform::Plan;
use super::{ATTRIBUTION, Outcome, plots, table};
use crate::cli::output::number;
use crate::ui::{self, drawn};

/// Anomalous series and pressing workloads that get a plot, and rows of the workloads' table.
const ANOMALIES: usize = 4;
const NEXT_DAYS: usize = 3;
const ROWS: usize = 12;

pub(super) fn page(outcome: &Outcome) -> Markup {
    let telling = table::telling(&outcome.findings);
    let (real, simulated): (Vec<&Finding>, Vec<&Finding>) = telling.into_iter().partition(|f| !f.is_simulated());
    let content = html! {
        (head(outcome, real.len(), simulated.len()))
        h2 { "The last day, held out" }
        p class="soft" {
            "Every series was forecast for its last day from what lay before it, then compared with what came. "
            "The band should hold 95 % of the values. In all: " (table::summary(&outcome.findings)) "."
        }
        @for (at, finding) in real.iter().enumerate() { (shadow(finding, &format!("real-{at}"))) }
        h2 { "Where the fleet left its shadows" }
        p class="soft" { "The series whose last day was least expected. A flash crowd was simulated in us-east." }
        @for (at, finding) in simulated.iter().filter(|f| !f.episodes.is_empty()).take(ANOMALIES).enumerate() {
            (shadow(finding, &format!("odd-{at}")))
        }
        (capacity(outcome))
        (plan(&outcome.plan))
        footer { p { (ATTRIBUTION) } p { "Fleet: simulated from seed " (outcome.seed) "; no such machines exist." } }
    };
    ui::page("demo report", &content)
}

fn head(outcome: &Outcome, real: usize, simulated: usize) -> Markup {
    let anomalous = outcome.findings.iter().filter(|f| !f.episodes.is_empty()).count();
    let (now, wanted) =
        outcome.regions.iter().fold((0, 0), |(now, wanted), sum| (now + sum.now, wanted + sum.recommended));
    let coverage: Vec<f64> = outcome.findings.iter().filter_map(|f| f.coverage95_percent).collect();
    let coverage = coverage.iter().sum::<f64>() / coverage.len().max(1) as f64;
    let gains = |f: &&Finding| f.gain_percent().is_some_and(|gain| gain > 0.0);
    let better = outcome.findings.iter().filter(gains).count();
    html! {
        h1 { "Foreshadow" }
        p class="soft" {
            "Forecasts of every metric of a fleet, what they missed, and the capacity they call for. "
            (real) " real series, " (simulated) " simulated ones, worked through in " (format!("{:.1}", outcome.seconds)) " s."
        }
        div class="cards" {
            div class="card" { b { (real + simulated) } span { "series with a shadow" } }
            div class="card" { b { (format!("{:.0} %", 100.0 * better as f64 / outcome.findings.len().max(1) as f64)) } span { "of them beat seasonal naive on the last day" } }
            div class="card" { b { (format!("{coverage:.1} %")) } span { "of the last day inside the 95 % band" } }
            div class="card" { b { (anomalous) } span { "series with an anomaly in the last day" } }
            div class="card" { b { (now) " → " (wanted) } span { "replicas now, and for the next day" } }
        }
    }
}

fn badge(finding: &Finding) -> Markup {
    if finding.is_simulated() {
        html! { span class="badge simulated" { "simulated" } }
    } else {
        html! { span class="badge real" { "real" } }
    }
}

fn shadow(finding: &Finding, id: &str) -> Markup {
    html! {
        div class="panel" {
            h3 { (table::plain_name(finding)) (badge(finding)) }
            span class="soft" {
                "champion " (finding.champion) " · MASE " (number(finding.mase))
                " against " (number(finding.mase_seasonal_naive)) " of seasonal naive · "
                (finding.coverage95_percent.map_or("–".into(), |c| format!("{c:.0} %"))) " in the 95 % band · "
                "anomalies: " (table::anomalies(finding))
            }
            (drawn(&plots::last_day(finding), id))
        }
    }
}

fn capacity(outcome: &Outcome) -> Markup {
    let pressing = most_pressing(&outcome.sizings);
    let next = pressing.iter().filter_map(|sizing| {
        let series = sizing.workload.demand.to_string();
        let finding = outcome.findings.iter().find(|f| f.key == sizing.workload.demand)?;
        Some((*sizing, finding, outcome.issue.shadow(&series)?))
    });
    html! {
        h2 { "Capacity for the next day" }
        p class="soft" {
            "Replicas = the highest 90 % quantile of demand over the next day, over what one replica carries at 75 % use. "
            "In ap-south the machines ran out while demand went on growing."
        }
        div class="panel" { h3 { "Replicas by region" span class="badge simulated" { "simulated" } } (drawn(&plots::regions(&outcome.regions), "regions")) }
        @for (at, (sizing, finding, shadow)) in next.take(NEXT_DAYS).enumerate() {
            div class="panel" {
                h3 { (sizing.workload.name) ": requests a second" (badge(finding)) }
                (drawn(&plots::next_day(&finding.shown, shadow, sizing), &format!("next-{at}")))
            }
        }
        div class="panel" {
            h3 { "The workloads nearest to their limit" span class="badge simulated" { "simulated" } }
            div class="scroll" { (workloads(&pressing)) }
        }
    }
}

fn workloads(pressing: &[&Sizing]) -> Markup {
    html! {
        table {
            thead { tr {
                th { "workload" } th { "region" } th { "model" } th class="n" { "peak demand" } th class="n" { "at (UTC)" }
                th class="n" { "use of what runs" } th class="n" { "replicas now" } th class="n" { "recommended" }
            } }
            tbody {
                @for sizing in pressing.iter().take(ROWS) {
                    @let evidence = &sizing.recommendation.evidence;
                    tr {
                        td { (sizing.workload.name) } td { (sizing.workload.region) } td { (evidence.model) }
                        td class="n" { (number(Some(evidence.peak_demand))) " /s" }
                        td class="n" { (table::clock_time(evidence.peak_ms)) }
                        td class="n" { (format!("{:.0} %", 100.0 * sizing.peak_use())) }
                        td class="n" { (sizing.workload.replicas) }
                        td class="n" {
                            (sizing.recommendation.replicas) " "
                            span class=(if sizing.change() > 0 { "up" } else { "down" }) { (format!("({:+})", sizing.change())) }
                        }
                    }
                }
            }
        }
    }
}

fn plan(plan: &Plan) -> Markup {
    html! {
        h2 { "The same answer, as a plan" }
        @match plan {
            Plan::Made { hcl, text } => {
                p class="soft" { "Terraform asked a running engine, through the provider, and planned this." }
                pre { (text.trim_end()) }
                details { summary { "The configuration behind it" } pre { (hcl) } }
            }
            Plan::Absent { hcl, reason } => {
                p class="soft" { "No plan was made: " (reason) ". This is what it would be made from." }
                pre { (hcl) }
            }
        }
    }
}
