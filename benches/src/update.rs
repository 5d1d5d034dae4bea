//! New points taken in without a refit: points a second of every family that can, and what it costs a fleet in accuracy
//! that its fits are gone on with for a day instead of made anew at each issue.

use foreshadow::live::Live;
use foreshadow::pipeline::{PipelineSettings, make_issue};
use foreshadow_kernels::Trend;
use foreshadow_models::artifact::{decode, encode};
use foreshadow_models::classical::{AutoEts, Ces, Drift, Ets, Naive, SeasonalNaive, Theta};
use foreshadow_models::{Fitted, Horizon, Model, Panel, RawSeries, Window};
use rayon::prelude::*;

use crate::fit::Cost;
use crate::switch::{self, DAY, DAYS, FIRST, HOUR_MS};
use crate::{BenchError, Context, Figures, Scale, bench_panel_of, clock};

const SEASON: usize = 24;
const SEED: u64 = 31;
/// Copies of each of the 100 series that are fitted, and of each fit, which differ no more from then on.
const COPIES: usize = 10;
const REPLICAS: usize = 100;
const STEPS: usize = 300;
/// One point in so many was not observed.
const GAP: usize = 100;
/// What ETS with a trendless season moves for one point: the point and its place, four weights read, six columns read and
/// written; and its operations, the tests of soundness aside.
const ETS_COST: Cost = Cost { flop: 16.0, bytes: 8.0 + 4.0 + 4.0 * 8.0 + 6.0 * 16.0 };

/// `update.points_per_second`, that of ETS(A,N,A) with a season of 24, and what stands beside it: 300 steps of 100,000
/// series.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or a fit fails.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let bench = bench_panel_of(context, SEED, COPIES)?;
    let window = bench.panel.window();
    let (replicas, steps) = if context.scale == Scale::Smoke { (2, 5) } else { (REPLICAS, STEPS) };
    let ets = Ets::new(Trend::None, SEASON);
    let points_per_second = update(&ets, &window, replicas, steps)?;
    figures.add("update.points_per_second", points_per_second, "points/s");
    // A figure is of two cores; the ceilings are of all.
    let share = |per_point: f64, ceiling: f64| {
        100.0 * per_point * points_per_second * (rayon::current_num_threads() as f64 / 2.0) / 1e9 / ceiling
    };
    figures.add("update.fma_share_percent", share(ETS_COST.flop, context.ceilings.fma_gflops), "%");
    figures.add("update.triad_share_percent", share(ETS_COST.bytes, context.ceilings.triad_gbps), "%");
    let others: [&dyn Model; 7] = [
        &Naive,
        &Drift,
        &SeasonalNaive { season: SEASON },
        &Ets::new(Trend::Damped, SEASON),
        &AutoEts { season: SEASON },
        &Theta::dot(SEASON),
        &Ces::auto(SEASON),
    ];
    for model in others {
        let name = format!("update.{}_points_per_second", model.name());
        figures.add(&name, update(model, &window, replicas, steps)?, "points/s");
    }
    let panel = switch::fleet(context, None);
    let days = if context.scale == Scale::Smoke { 1 } else { DAYS - 1 - FIRST };
    let kept = follow(&panel, days, PipelineSettings::default().refit_after_ms)?;
    let anew = follow(&panel, days, 0)?;
    figures.add("update.kept_loss_percent", 100.0 * (kept.error / anew.error - 1.0), "%");
    figures.add("update.kept_cpu_ratio", anew.cpu_seconds / kept.cpu_seconds, "x");
    Ok(())
}

/// A fleet followed issue by issue.
struct Followed {
    /// Absolute errors of the mean over the day ahead of each issue, summed over each series' own mean.
    error: f64,
    cpu_seconds: f64,
}

/// Issues of so many days, six hours apart, with fits that serve so long.
fn follow(panel: &Panel, days: usize, refit_after_ms: i64) -> Result<Followed, BenchError> {
    let horizon = Horizon::new(DAY).expect("a day has hours");
    let settings = PipelineSettings { slot_ms: HOUR_MS, horizon, refit_after_ms, ..PipelineSettings::default() };
    let (mut live, mut followed) = (Live::default(), Followed { error: 0.0, cpu_seconds: 0.0 });
    for end in (FIRST * DAY..(FIRST + days) * DAY).step_by(DAY / 4) {
        let now_ms = panel.start_ms(0) + end as i64 * HOUR_MS;
        let raw = (0..panel.series_count()).map(|s| until(panel, s, now_ms)).collect();
        let (issue, spent) = clock::timed(|| make_issue(raw, &[], &settings, &mut live, now_ms));
        let issue = issue.map_err(|error| BenchError::Fit(error.to_string()))?;
        followed.cpu_seconds += spent.cpu_seconds;
        for s in 0..panel.series_count() {
            let Some(shadow) = issue.shadow(panel.name(s)) else { continue };
            let values = panel.values(s);
            let level = values.iter().filter(|v| !v.is_nan()).sum::<f64>() / values.len() as f64;
            let at = |step: usize| values.get(((shadow.time_ms(step) - panel.start_ms(s)) / HOUR_MS) as usize);
            let errors =
                (0..DAY).filter_map(|step| Some((at(step)? - shadow.mean(step)).abs())).filter(|e| !e.is_nan());
            followed.error += errors.sum::<f64>() / level;
        }
    }
    Ok(followed)
}

/// A series as it was to be read at a time.
fn until(panel: &Panel, series: usize, now_ms: i64) -> RawSeries {
    let time = |step: usize| panel.start_ms(series) + step as i64 * HOUR_MS;
    let seen = panel.values(series).iter().enumerate().map(|(step, value)| (time(step), *value));
    let (times_ms, values) = seen.filter(|(time, value)| *time < now_ms && !value.is_nan()).unzip();
    RawSeries { name: panel.name(series).into(), times_ms, values }
}

/// Points a second on two cores, of a fit replicated so many times by its artifact. The series go on as they were a week
/// ago; making the points is not counted.
fn update(model: &dyn Model, window: &Window<'_>, replicas: usize, steps: usize) -> Result<f64, BenchError> {
    let refused = |error: &dyn std::fmt::Display| BenchError::Fit(format!("{}: {error}", model.name()));
    let bytes = encode(&*model.fit(window, SEED).map_err(|e| refused(&e))?).map_err(|e| refused(&e))?;
    let copy = |_| decode(&bytes).map_err(|e| refused(&e));
    let mut fleet: Vec<Box<dyn Fitted>> = (0..replicas).map(copy).collect::<Result<_, _>>()?;
    let count = window.series_count();
    let mut cpu_seconds = 0.0;
    let mut points = vec![0.0; replicas * count];
    for step in 0..steps {
        points
            .par_iter_mut()
            .enumerate()
            .for_each(|(at, point)| *point = point_of(window.values(at % count), step, at));
        let (appended, spent) = clock::timed(|| {
            let batches = fleet.par_iter_mut().zip(points.par_chunks(count));
            batches.map(|(fitted, points)| fitted.append(points)).collect::<Result<(), _>>()
        });
        appended.map_err(|e| refused(&e))?;
        cpu_seconds += spent.cpu_seconds;
    }
    Ok((points.len() * steps) as f64 / (cpu_seconds / 2.0))
}

/// What comes `step` steps after the end of a series.
fn point_of(values: &[f64], step: usize, at: usize) -> f64 {
    let week = values.len().min(7 * SEASON);
    let gap = (step * 7 + at).is_multiple_of(GAP);
    if gap { f64::NAN } else { values[values.len() - week + step % week] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_is_timed() {
        let mut panel = Panel::new(3_600_000);
        let values: Vec<f64> = (0..96).map(|t| f64::from(t % 24) + ((t * t) as f64 * 0.7).sin()).collect();
        (0..20).for_each(|s| panel.push(s.to_string(), 0, &values));
        let rate = update(&Ets::new(Trend::None, SEASON), &panel.window(), 3, 20).unwrap();
        assert!(rate.is_finite() && rate > 0.0, "{rate}");
    }
}
