//! `telemetry.SET.CONTENDER.*`: the peers on the very windows that automatic selection is judged on.

use super::cells::{Cell, Cells};
use super::contender::{Contender, PEERS};
use super::table::{Rated, processes};
use super::workload::Workload;
use crate::telemetry::{SERIES, SETS, drawn};
use crate::{BenchError, Context, Figures, Scale, Table};

/// CPU-seconds that one window may take a peer: who needs more is named and left out.
const LIMIT: f64 = 60.0;
/// The measures, as columns and as figures.
const COLUMNS: [(&str, &str); 5] = [
    ("windows", "windows"),
    ("MASE over seasonal naive", "mase_ratio"),
    ("ours on the same", "ours_mase_ratio"),
    ("cover 95 %", "coverage95_percent"),
    ("failed", "failures"),
];

/// Takes the figures of every set; a smoke run takes ours on one set of two series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there.
pub(super) fn figures(context: &Context, cells: &Cells, figures: &mut Figures) -> Result<(), BenchError> {
    let (sets, series, peers) = match context.scale {
        Scale::Smoke => (&SETS[4..5], 2, &PEERS[..0]),
        Scale::Quick => (&SETS[..], SERIES, &PEERS[..]),
    };
    // The two that every peer is set beside are taken whoever is chosen.
    let peers = peers.iter().filter(|peer| context.choice.needs(peer));
    let contenders: Vec<&'static Contender> =
        ["snaive", "auto"].map(Contender::named).into_iter().chain(peers).collect();
    let mut sets_of = Vec::new();
    for set in sets.iter().filter(|set| context.choice.takes_set(set)) {
        let panels = drawn(context, set, series, |_| true)?;
        let of_panel = |panel: &_| Workload::daily((*set).into(), panel);
        let workloads: Vec<Workload> = panels.iter().map(of_panel).filter(|own| !own.windows.is_empty()).collect();
        cells.plan(contenders.len() * workloads.len());
        sets_of.push((*set, workloads));
    }
    for (set, workloads) in &sets_of {
        let rated = rate(&contenders, workloads, cells);
        let columns = ["contender"].into_iter().chain(COLUMNS.map(|(column, _)| column));
        let mut table = Table::new(format!("Ours and the peers on {set}"), columns);
        for (contender, rows) in contenders.iter().zip(&rated) {
            let measures = measures(rows, &rated[0], &rated[1]);
            for ((_, measure), value) in COLUMNS.iter().zip(&measures) {
                if let Some(value) = value {
                    let unit = if measure.ends_with("percent") { "%" } else { "" };
                    figures.add(&format!("telemetry.{set}.{}.{measure}", contender.figure), *value, unit);
                }
            }
            table.numbers(contender.shown, &measures);
            table.notes.extend(rows.iter().zip(workloads).flat_map(|(rated, own)| rated.notes(own)));
        }
        figures.table(table);
    }
    Ok(())
}

/// Every contender on every panel of a set. Ours use all threads and are alone; the peers share the processors, since
/// here it is accuracy that counts.
fn rate(contenders: &[&'static Contender], workloads: &[Workload], cells: &Cells) -> Vec<Vec<Rated>> {
    let windows: usize = workloads.iter().map(|own| own.windows.len()).sum();
    let mut all = Vec::new();
    for &contender in contenders {
        for workload in workloads {
            let share = workload.windows.len() as f64 / windows as f64;
            let budget = share * cells.cell_seconds();
            let on = format!("{} windows of {}", workload.windows.len(), workload.name);
            let work = Box::new(move || workload.work(contender.asked, 1, LIMIT, budget));
            all.push(Cell { contender, on, work });
        }
    }
    let ours = all.iter().take_while(|cell| cell.contender.rival.is_none()).count();
    let mut answers = cells.answers(&all[..ours], 1);
    answers.extend(cells.answers(&all[ours..], processes()));
    let mut answers = answers.into_iter();
    let of = |&contender: &&'static Contender| {
        let answered = |workload| Rated::new(contender, workload, answers.next().expect("an answer for every cell"));
        workloads.iter().map(answered).collect()
    };
    contenders.iter().map(of).collect()
}

/// In the order of [`COLUMNS`], over the windows where the contender, `naive` and `ours` all have a scaled error.
fn measures(own: &[Rated], naive: &[Rated], ours: &[Rated]) -> Vec<Option<f64>> {
    let mut sums = [0.0; 4];
    let (mut windows, mut failures) = (0, 0);
    for ((own, naive), ours) in own.iter().zip(naive).zip(ours) {
        failures += own.failures();
        for window in 0..own.scores.len() {
            let known = |rated: &Rated| rated.score(window)?.mase();
            let (Some(error), Some(floor), Some(rival)) = (known(own), known(naive), known(ours)) else { continue };
            let covered = own.score(window).and_then(|score| score.coverage95()).unwrap_or(0.0);
            sums.iter_mut().zip([error, floor, rival, covered]).for_each(|(sum, value)| *sum += value);
            windows += 1;
        }
    }
    if windows == 0 {
        return vec![None; COLUMNS.len()];
    }
    let [error, floor, rival, covered] = sums;
    let ratios = [error / floor, rival / floor].map(|ratio| Some(ratio).filter(|ratio| ratio.is_finite()));
    vec![Some(f64::from(windows)), ratios[0], ratios[1], Some(covered / f64::from(windows)), Some(failures as f64)]
}

#[cfg(test)]
mod tests {
    use foreshadow_models::Panel;
    use serde_json::Value;

    use super::*;
    use crate::peers::work::{Ran, Said};

    fn rated(workload: &Workload, contender: &str, misses: &[Option<f64>]) -> Vec<Rated> {
        let said = |(window, miss): (usize, &Option<f64>)| {
            let Some(miss) = miss else { return Said::Failed { error: "NotConverged".into() } };
            let moved = |by: f64| workload.windows[window].actual.iter().map(|y| Some(y + miss + by)).collect();
            Said::Forecast { mean: moved(0.0), low: moved(-1.0), high: moved(1.0), fit: Value::Null }
        };
        let rows: Vec<Said> = misses.iter().enumerate().map(said).collect();
        let [fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib] = [1.0; 4];
        let (tried, repetitions) = (rows.len(), 1);
        let ran = Ran { tried, repetitions, fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib, rows };
        vec![Rated::new(Contender::named(contender), workload, Ok(ran))]
    }

    #[test]
    fn a_ratio_is_over_the_windows_that_all_three_have() {
        let mut panel = Panel::new(6 * 3_600_000);
        panel.push("s".into(), 0, &Vec::from_iter((0..40).map(|t| f64::from(t % 4) + 0.1 * f64::from(t))));
        let workload = Workload::daily("test".into(), &panel);
        let naive = rated(&workload, "snaive", &[Some(0.4), Some(0.8), Some(0.4)]);
        let ours = rated(&workload, "auto", &[Some(0.2), Some(0.4), Some(9.0)]);
        let peer = rated(&workload, "sf_mstl", &[Some(0.8), Some(0.4), None]);
        let measures = measures(&peer, &naive, &ours);
        let close = |at: usize, value: f64| assert!((measures[at].unwrap() - value).abs() < 1e-9, "{measures:?}");
        [(0, 2.0), (1, 1.0), (2, 0.5), (3, 100.0), (4, 1.0)].into_iter().for_each(|(at, value)| close(at, value));
        let none = vec![Rated::new(Contender::named("sf_sarima"), &workload, Err("too slow".into()))];
        assert!(super::measures(&none, &naive, &ours).iter().all(Option::is_none));
    }
}
