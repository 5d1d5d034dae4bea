//! New points taken in without a refit: points a second of every family that can.

use foreshadow_kernels::Trend;
use foreshadow_models::artifact::{decode, encode};
use foreshadow_models::classical::{AutoEts, Ces, Drift, Ets, Naive, SeasonalNaive, Theta};
use foreshadow_models::{Fitted, Model, Window};
use rayon::prelude::*;

use crate::fit::Cost;
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
    Ok(())
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
    use foreshadow_models::Panel;

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
