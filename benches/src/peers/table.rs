//! The table: every family of ours and every peer on the same windows.

use foreshadow_models::metrics::{Accuracy, SeriesScore};
use serde_json::Value;

use super::cells::{Cell, Cells};
use super::choice::Choice;
use super::contender::{Contender, OURS, PEERS};
use super::work::{Ran, Said};
use super::workload::Workload;
use crate::accuracy::owa;
use crate::{Figures, Table};

/// How many times the CPU-seconds of a cell a peer may take here: this is where its time is looked at.
const SHARE: f64 = 3.0;
/// CPU-seconds up to which a fit of ours is repeated.
const OURS_REPEATED: f64 = 60.0;
/// Columns of the table, and their measures as figures with their units.
const COLUMNS: [(&str, &str, &str); 14] = [
    ("series", "series", "series"),
    ("fit CPU s", "fit_cpu_seconds", "s"),
    ("fit wall s", "fit_wall_seconds", "s"),
    ("CPU ms a series", "ms_a_series", "ms"),
    ("ratio", "ratio", "x"),
    ("MASE", "mase", ""),
    ("ours", "ours_mase", ""),
    ("sMAPE", "smape", "%"),
    ("OWA", "owa", ""),
    ("cover 95 %", "coverage95_percent", "%"),
    ("MSIS 95", "msis95", ""),
    ("failed", "failures", "series"),
    ("parity %", "parity_percent", "%"),
    ("peak MiB", "peak_mib", "MiB"),
];

/// Takes the figures `peers.CONTENDER.MEASURE` and prints them as a table; a contender without an answer is a row with its
/// reason. One contender at a time, since its wall time is a figure.
pub(super) fn figures(workload: &Workload, cells: &Cells, choice: &Choice, smoke: bool, figures: &mut Figures) {
    let few = workload.clone().first(4);
    let (workload, ours, peers) =
        if smoke { (&few, &OURS[..3], &PEERS[..0]) } else { (workload, &OURS[..], &PEERS[..]) };
    let contenders: Vec<&'static Contender> =
        ours.iter().chain(peers).filter(|contender| choice.needs(contender)).collect();
    cells.plan(contenders.len());
    let mut rated: Vec<Rated> = Vec::new();
    for contender in contenders {
        let budget = if contender.rival.is_some() { SHARE * cells.cell_seconds() } else { OURS_REPEATED };
        let work = Box::new(move || workload.work(contender.asked, processes(), budget, budget));
        let answer = cells.answer(&Cell { contender, on: workload.name.clone(), work });
        rated.push(Rated::new(contender, workload, answer));
    }
    let mut table = Table::new(
        format!("Ours and the peers on {} windows of {}", workload.windows.len(), workload.name),
        ["contender"].into_iter().chain(COLUMNS.map(|(column, ..)| column)),
    );
    for one in &rated {
        let rival = one.contender.rival.and_then(|name| rated.iter().find(|other| other.contender.figure == name));
        let measures = one.measures(workload, rival);
        for ((_, measure, unit), value) in COLUMNS.iter().zip(&measures) {
            if let Some(value) = value {
                figures.add(&format!("peers.{}.{measure}", one.contender.figure), *value, unit);
            }
        }
        table.numbers(one.contender.shown, &measures);
        table.notes.extend(one.notes(workload));
    }
    figures.table(table);
}

/// Processes that a peer may use at once: as many as our families use threads.
pub(super) fn processes() -> usize {
    rayon::current_num_threads()
}

/// A contender's answer, scored.
pub(super) struct Rated {
    pub(super) contender: &'static Contender,
    pub(super) answer: Result<Ran, String>,
    /// One for each window tried.
    pub(super) scores: Vec<Result<SeriesScore, String>>,
}

impl Rated {
    pub(super) fn new(contender: &'static Contender, workload: &Workload, answer: Result<Ran, String>) -> Self {
        let rows: &[Said] = answer.as_ref().map_or(&[], |ran| &ran.rows);
        let windows = workload.windows.len();
        let scores = rows.iter().take(windows).enumerate().map(|(window, said)| workload.score(window, said)).collect();
        Self { contender, answer, scores }
    }

    /// What could be scored, by window.
    pub(super) fn score(&self, window: usize) -> Option<&SeriesScore> {
        self.scores.get(window)?.as_ref().ok()
    }

    /// Windows that it was given and did not forecast.
    pub(super) fn failures(&self) -> usize {
        self.scores.iter().filter(|score| score.is_err()).count()
    }

    /// In the order of [`COLUMNS`].
    fn measures(&self, workload: &Workload, rival: Option<&Rated>) -> Vec<Option<f64>> {
        let Ok(ran) = &self.answer else { return vec![None; COLUMNS.len()] };
        let scored: Vec<SeriesScore> = self.scores.iter().flatten().cloned().collect();
        let accuracy = Accuracy::of(&scored);
        let of_rival = |window| rival?.score(window).filter(|_| self.score(window).is_some()).cloned();
        let theirs: Vec<SeriesScore> = (0..self.scores.len()).filter_map(of_rival).collect();
        let ratio = rival.and_then(|rival| rival.answer.as_ref().ok());
        let ratio = ratio.map(|ours| ran.fit_seconds_a_series() / ours.fit_seconds_a_series());
        vec![
            Some(ran.tried as f64),
            Some(ran.fit_cpu_seconds),
            Some(ran.fit_wall_seconds),
            Some(1e3 * ran.fit_seconds_a_series()),
            ratio,
            accuracy.mase,
            Accuracy::of(&theirs).mase,
            accuracy.smape,
            self.owa(workload),
            accuracy.coverage95,
            accuracy.msis95,
            Some(self.failures() as f64),
            self.parity(workload, ran),
            Some(ran.peak_mib).filter(|mib| mib.is_finite()),
        ]
    }

    /// Against the workload's yardstick, on the windows that were scored.
    fn owa(&self, workload: &Workload) -> Option<f64> {
        let yardstick = workload.yardstick?;
        let judged = |window: usize| {
            let score = self.score(window)?.clone();
            let plain = |value: f64| Some(value).filter(|value| value.is_finite());
            let mean: Vec<Option<f64>> = yardstick(&workload.windows[window].train).into_iter().map(plain).collect();
            let said = Said::Forecast { low: mean.clone(), high: mean.clone(), mean, fit: Value::Null };
            Some((score, workload.score(window, &said).ok()?))
        };
        let (scores, yardsticks): (Vec<_>, Vec<_>) = (0..self.scores.len()).filter_map(judged).unzip();
        Some(owa(&scores, &yardsticks)).filter(|owa| owa.is_finite())
    }

    /// Percent of a peer's fits that ours are no worse than.
    fn parity(&self, workload: &Workload, ran: &Ran) -> Option<f64> {
        let judge = self.contender.parity?;
        let fits = ran.fits();
        let windows: Vec<usize> = workload.whole(fits.len()).into_iter().filter(|&w| !fits[w].is_null()).collect();
        let exported: Vec<&Value> = windows.iter().map(|&w| &fits[w]).collect();
        let verdicts = judge(&workload.panel(&windows), &workload.seasons, &exported);
        let known: Vec<bool> = verdicts.into_iter().flatten().collect();
        let good = known.iter().filter(|good| **good).count();
        (!known.is_empty()).then(|| 100.0 * good as f64 / known.len() as f64)
    }

    /// Why there is no answer, which windows a peer was given where not all, and why some failed.
    pub(super) fn notes(&self, workload: &Workload) -> Vec<String> {
        let shown = self.contender.shown;
        let ran = match &self.answer {
            Ok(ran) => ran,
            Err(reason) => return vec![format!("{shown}: {reason}")],
        };
        let mut notes = Vec::new();
        if ran.tried < workload.windows.len() {
            let given: Vec<&str> = workload.windows[..ran.tried].iter().map(|window| window.name.as_str()).collect();
            let (tried, all) = (ran.tried, workload.windows.len());
            notes.push(format!(
                "{shown}: the first {tried} of {all} windows alone, which take its time: {}",
                few(&given)
            ));
        }
        if let Some(reason) = self.scores.iter().find_map(|score| score.as_ref().err()) {
            notes.push(format!("{shown}: {} failed, the first with: {reason}", self.failures()));
        }
        notes
    }
}

/// Some names and how many more there are.
fn few(names: &[&str]) -> String {
    match names.len() {
        ..=3 => names.join(", "),
        more => format!("{} and {} more", names[..3].join(", "), more - 3),
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_models::Panel;

    use super::*;

    fn workload() -> Workload {
        let mut panel = Panel::new(6 * 3_600_000);
        for s in 0..2 {
            let values: Vec<f64> = (0..40).map(|t| f64::from(t % 4) + 0.1 * f64::from(t + s)).collect();
            panel.push(format!("s{s}"), 0, &values);
        }
        Workload::daily("test".into(), &panel)
    }

    /// An answer whose forecasts of the first windows miss by a constant; `None` fails.
    fn answer(workload: &Workload, misses: &[Option<f64>], cpu: f64) -> Ran {
        let said = |(window, miss): (usize, &Option<f64>)| {
            let Some(miss) = miss else { return Said::Failed { error: "ValueError: no".into() } };
            let moved = |by: f64| workload.windows[window].actual.iter().map(|y| Some(y + miss + by)).collect();
            Said::Forecast { mean: moved(0.0), low: moved(-0.1), high: moved(0.1), fit: Value::Null }
        };
        let rows: Vec<Said> = misses.iter().enumerate().map(said).collect();
        let [fit_wall_seconds, forecast_cpu_seconds, peak_mib] = [cpu, 0.0, 10.0];
        let (tried, repetitions, fit_cpu_seconds) = (rows.len(), 2, cpu);
        Ran { tried, repetitions, fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib, rows }
    }

    fn measure(measures: &[Option<f64>], name: &str) -> Option<f64> {
        measures[COLUMNS.iter().position(|(_, measure, _)| *measure == name).unwrap()]
    }

    #[test]
    fn a_peer_on_some_windows_is_compared_with_ours_on_the_same_and_by_the_series() {
        let workload = workload();
        let all = vec![Some(0.4); 6];
        let ours = Rated::new(Contender::named("theta"), &workload, Ok(answer(&workload, &all, 0.6)));
        let some = [Some(0.8), None, Some(0.8)];
        let peer = Rated::new(Contender::named("sf_theta"), &workload, Ok(answer(&workload, &some, 3.0)));
        let measures = peer.measures(&workload, Some(&ours));
        assert!((measure(&measures, "ratio").unwrap() - 10.0).abs() < 1e-9, "one second a series over a tenth");
        assert!((measure(&measures, "mase").unwrap() - 2.0).abs() < 1e-9);
        assert!((measure(&measures, "ours_mase").unwrap() - 1.0).abs() < 1e-9);
        assert_eq!((measure(&measures, "series"), measure(&measures, "failures")), (Some(3.0), Some(1.0)));
        let notes = peer.notes(&workload).join("\n");
        assert!(notes.contains("the first 3 of 6 windows alone") && notes.contains("s0, s1, s0"), "{notes}");
        assert!(notes.contains("1 failed, the first with: ValueError: no"), "{notes}");
    }

    #[test]
    fn a_peer_without_an_answer_is_a_row_with_its_reason() {
        let workload = workload();
        let rated = Rated::new(Contender::named("sf_ces"), &workload, Err("signal: 11 (SIGSEGV)".into()));
        assert!(rated.measures(&workload, None).iter().all(Option::is_none));
        assert_eq!(rated.notes(&workload), ["statsforecast AutoCES: signal: 11 (SIGSEGV)"]);
    }

    #[test]
    fn every_rival_is_one_of_ours() {
        for peer in &PEERS {
            let rival = peer.rival.expect("a peer has a rival");
            assert!(OURS.iter().any(|ours| ours.figure == rival), "{rival}");
        }
    }
}
