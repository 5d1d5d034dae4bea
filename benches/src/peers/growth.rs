//! What one series costs as series grow in number and in length.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::cells::{Cell, Cells};
use super::choice::Choice;
use super::contender::Contender;
use super::table::processes;
use super::work::{Grown, Ran, Said, Shown, Work};
use super::workload::Workload;
use crate::panel::disturb;
use crate::{Chart, Figures};

const CONTENDERS: [&str; 9] =
    ["theta", "prophet", "mstl", "autoets", "auto", "sf_theta", "prophet_stan", "sf_mstl", "sf_autoets"];
/// Series of [`STEPS`] steps each.
const COUNTS: [usize; 6] = [1, 10, 100, 1_000, 10_000, 100_000];
const STEPS: usize = 672;
/// Steps of so many series of ours each, and of a peer's.
const LENGTHS: [usize; 5] = [168, 672, 2_016, 8_064, 40_320];
const OURS_LONG: usize = 16;
const PEERS_LONG: usize = 2;
/// CPU-seconds that a point may take: one that must be expected to take more is not taken, and nothing stands for it.
const OURS_BUDGET: f64 = 300.0;
const PEERS_BUDGET: f64 = 60.0;
const SEED: u64 = 40_320;

/// Takes the points `peers.growth.CONTENDER.series_N_ms` and `steps_N_ms`, CPU-milliseconds a series, and peak memory.
pub(super) fn figures(workload: &Workload, cells: &Cells, choice: &Choice, smoke: bool, figures: &mut Figures) {
    let base = workload.clone().first(100);
    let taken = |one: &&Contender| choice.needs(one) && (!smoke || one.figure == "theta");
    let contenders: Vec<&'static Contender> = CONTENDERS.map(Contender::named).into_iter().filter(taken).collect();
    let (counts, lengths) = if smoke { (&COUNTS[..2], &LENGTHS[..2]) } else { (&COUNTS[..], &LENGTHS[..]) };
    cells.plan(contenders.len() * (counts.len() + lengths.len()));
    let shown = format!("series of {STEPS} steps");
    let mut by_count = Chart::new("CPU-milliseconds a series, by how many there are", shown.clone(), "ms");
    let mut memory = Chart::new("Largest resident set, by how many series there are", shown, "MiB");
    let mut by_length = Chart::new("CPU-milliseconds a series, by its length", "steps".into(), "ms");
    for contender in contenders {
        let grown = counts.iter().map(|&series| Grown { series, steps: STEPS }).collect();
        let points = curve(contender, &base, grown, cells, figures);
        for (grown, ran) in &points {
            let name = format!("peers.growth.{}.series_{}", contender.figure, grown.series);
            figures.add(&format!("{name}_ms"), ms(ran), "ms");
            figures.add(&format!("{name}_peak_mib"), ran.peak_mib, "MiB");
        }
        by_count.curve(contender.shown, points.iter().map(|(at, ran)| (at.series as f64, ms(ran))));
        memory.curve(contender.shown, points.iter().map(|(at, ran)| (at.series as f64, ran.peak_mib)));
        let series = if contender.rival.is_some() { PEERS_LONG } else { OURS_LONG };
        let grown = lengths.iter().map(|&steps| Grown { series, steps }).collect();
        let points = curve(contender, &base, grown, cells, figures);
        for (grown, ran) in &points {
            figures.add(&format!("peers.growth.{}.steps_{}_ms", contender.figure, grown.steps), ms(ran), "ms");
        }
        by_length.curve(contender.shown, points.iter().map(|(at, ran)| (at.steps as f64, ms(ran))));
    }
    [by_count, by_length, memory].into_iter().for_each(|chart| figures.chart(chart));
}

fn ms(ran: &Ran) -> f64 {
    1e3 * ran.fit_seconds_a_series()
}

/// The points up to the first that fails, or that the budget must be expected not to hold; why the others are missing is
/// printed.
fn curve(
    contender: &'static Contender,
    base: &Workload,
    points: Vec<Grown>,
    cells: &Cells,
    figures: &Figures,
) -> Vec<(Grown, Ran)> {
    let budget = if contender.rival.is_some() { PEERS_BUDGET } else { OURS_BUDGET };
    let mut taken: Vec<(Grown, Ran)> = Vec::new();
    for (index, &grown) in points.iter().enumerate() {
        let on = format!("{} series of {} steps", grown.series, grown.steps);
        let expected = taken.last().map_or(0.0, |(before, ran)| {
            let times = (grown.series * grown.steps) as f64 / (before.series * before.steps) as f64;
            ran.fit_cpu_seconds * times
        });
        let answer = if expected > budget {
            cells.drop_planned(1);
            Err(format!("it must be expected to take {expected:.0} CPU-seconds, more than {budget}"))
        } else {
            let work = Box::new(move || asked(contender, base, grown, budget));
            cells.answer(&Cell { contender, on: on.clone(), work }).and_then(|ran| whole(ran, grown))
        };
        match answer {
            Ok(ran) => taken.push((grown, ran)),
            Err(reason) => {
                figures.skip(&format!("peers.growth.{} from {on} on", contender.figure), &reason);
                cells.drop_planned(points.len() - index - 1);
                break;
            }
        }
    }
    taken
}

/// An answer that tells of every series asked for.
fn whole(ran: Ran, grown: Grown) -> Result<Ran, String> {
    if ran.tried < grown.series {
        return Err(format!("its budget holds {} of them", ran.tried));
    }
    let failed = ran.rows.iter().find_map(|said| match said {
        Said::Failed { error } => Some(error),
        Said::Forecast { .. } => None,
    });
    failed.map_or_else(|| Ok(ran.clone()), |error| Err(format!("some failed, the first with: {error}")))
}

/// Ours make their series themselves; a peer is given them.
fn asked(contender: &Contender, base: &Workload, grown: Grown, budget: f64) -> Work {
    let work = Work { horizon: 0, ..base.work(contender.asked, processes(), budget, budget) };
    if contender.rival.is_none() {
        return Work { grown: Some(grown), budget: PEERS_BUDGET, ..work };
    }
    let series = (0..grown.series).map(|index| Shown::new(0, &grow(&work, index, grown.steps))).collect();
    Work { series, ..work }
}

/// One series of so many steps, made of the windows in turn: the newest whole seasons of one, over and over, at a level
/// and a scale of its own, with noise of 1 % of its mean.
pub(super) fn grow(work: &Work, index: usize, steps: usize) -> Vec<f64> {
    let values = work.series[index % work.series.len()].numbers();
    let longest = work.seasons.iter().copied().filter(|season| *season <= values.len()).max().unwrap_or(1);
    let whole = &values[values.len() % longest..];
    let known: Vec<f64> = whole.iter().copied().filter(|value| !value.is_nan()).collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let filled = |value: f64| if value.is_nan() { mean } else { value };
    let mut grown: Vec<f64> = (0..steps).map(|step| filled(whole[step % whole.len()])).collect();
    disturb(&mut grown, &mut ChaCha8Rng::seed_from_u64(SEED + index as u64));
    grown
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use foreshadow_models::Panel;

    use super::*;
    use crate::peers::Effort;
    use crate::peers::cells::Answering;
    use crate::peers::work::Answer;

    fn base() -> Workload {
        let mut panel = Panel::new(6 * 3_600_000);
        panel.push("wave".into(), 0, &Vec::from_iter((0..60).map(|t| f64::from(t % 4) + 5.0)));
        Workload::daily("test".into(), &panel)
    }

    /// Costs a second a series.
    struct Dear(&'static AtomicUsize);

    impl Answering for Dear {
        fn identity(&self, _: &Contender) -> u64 {
            0
        }

        fn answer(&self, _: &Contender, work: &Work) -> Result<Answer, String> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let tried = work.grown.map_or(work.series.len(), |grown| grown.series);
            let [fit_wall_seconds, forecast_cpu_seconds, peak_mib] = [1.0, 0.0, 1.0];
            let (repetitions, fit_cpu_seconds, rows) = (1, tried as f64, Vec::new());
            let ran =
                Ran { tried, repetitions, fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib, rows };
            Ok(Answer::Ran(ran))
        }
    }

    #[test]
    fn a_point_that_the_budget_does_not_hold_is_not_taken_and_nothing_stands_for_it() {
        let (folder, asked) = (tempfile::tempdir().unwrap(), &*Box::leak(Box::new(AtomicUsize::new(0))));
        let cells = Cells::new(folder.path().into(), Effort::default(), Dear(asked));
        let points = || COUNTS.map(|series| Grown { series, steps: 8 }).to_vec();
        let counts = |name| -> Vec<usize> {
            let figures = Figures::default();
            let points = curve(Contender::named(name), &base(), points(), &cells, &figures);
            points.iter().map(|(grown, _)| grown.series).collect()
        };
        assert_eq!(counts("sf_theta"), [1, 10], "a hundred would take longer than a minute");
        assert_eq!(counts("theta"), [1, 10, 100]);
        assert_eq!(asked.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_grown_series_keeps_its_phase_and_more_series_change_no_earlier_one() {
        let work = base().work("theta", 1, 1.0, 1.0);
        let (short, long) = (grow(&work, 0, 40), grow(&work, 0, 4_000));
        assert_eq!((short.len(), long.len()), (40, 4_000));
        let season = |values: &[f64], slot: usize| {
            let own: Vec<f64> = values.iter().skip(slot).step_by(4).copied().collect();
            own.iter().sum::<f64>() / own.len() as f64
        };
        assert!(
            season(&long, 0) < season(&long, 1) && season(&long, 2) < season(&long, 3),
            "the wave rises by the slot"
        );
        assert_eq!(grow(&work, 7, 40), grow(&work, 7, 40));
        assert_ne!(grow(&work, 7, 40), short);
    }
}
