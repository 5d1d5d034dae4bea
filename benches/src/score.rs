//! The time of a tick: a fleet's decoded batch to results and updated state.

use std::time::Instant;

use foreshadow_models::detect::{Sample, Scorer, ShadowPoint};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{BenchError, Context, Figures, Scale, clock};

/// Milliseconds of a tick among many.
#[derive(Clone, Copy, Debug)]
pub struct TickTimes {
    /// On the wall, 99 ticks of 100 being no slower.
    pub p99_ms: f64,
    /// On the wall, the middle one.
    pub median_ms: f64,
    /// Processor time of all threads, the mean of all ticks: what a busy neighbour does not spoil.
    pub mean_cpu_ms: f64,
}

/// `score.tick_100k_ms` and what stands beside it: 200 ticks of 100,000 samples.
///
/// # Errors
/// None: it needs no file and no program.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let ticks = if context.scale == Scale::Smoke { 5 } else { 200 };
    let times = tick_times(100_000, ticks, 20_260_101);
    figures.add("score.tick_100k_ms", times.p99_ms, "ms");
    figures.add("score.tick_100k_median_ms", times.median_ms, "ms");
    figures.add("score.tick_100k_cpu_ms", times.mean_cpu_ms, "ms");
    Ok(())
}

/// Times `ticks` ticks of one sample a series, their ids shuffled anew for each, one value in a hundred far
/// off and one in a thousand NaN. Making a batch and taking a step's shadows are not counted.
///
/// # Panics
/// When the scorer misses a sample: a wrong tick has no time.
pub fn tick_times(series_count: usize, ticks: usize, seed: u64) -> TickTimes {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut scorer = Scorer::new(series_count);
    let points: Vec<ShadowPoint> = (0..series_count).map(|_| point(&mut rng)).collect();
    let mut order: Vec<usize> = (0..series_count).collect();
    let (mut wall_ms, mut cpu_ms) = (Vec::with_capacity(ticks), 0.0);
    for tick in 0..ticks as i64 {
        order.shuffle(&mut rng);
        let batch: Vec<Sample> = order.iter().map(|&id| sample(&mut rng, id, tick, &points[id])).collect();
        scorer.set_shadows(1_000 * tick..1_000 * (tick + 1), &points);
        let start = Instant::now();
        let (result, spent) = clock::timed(|| scorer.tick(&batch));
        wall_ms.push(start.elapsed().as_secs_f64() * 1e3);
        cpu_ms += spent.cpu_seconds * 1e3;
        let counts = result.counts;
        assert_eq!(counts.normal + counts.anomalies + counts.no_data, series_count, "{counts:?}");
    }
    wall_ms.sort_by(f64::total_cmp);
    let at = |share: f64| wall_ms[((share * ticks as f64).ceil() as usize).clamp(1, ticks) - 1];
    TickTimes { p99_ms: at(0.99), median_ms: at(0.5), mean_cpu_ms: cpu_ms / ticks as f64 }
}

fn point(rng: &mut ChaCha8Rng) -> ShadowPoint {
    let mean = rng.random_range(1.0..1_000.0);
    let half_width = 0.1 * mean;
    ShadowPoint { mean, lower: mean - half_width, upper: mean + half_width, threshold: 1.5 }
}

fn sample(rng: &mut ChaCha8Rng, id: usize, tick: i64, point: &ShadowPoint) -> Sample {
    let usual = point.mean * rng.random_range(0.9..1.1);
    let value = match rng.random_range(0..1_000) {
        0 => f64::NAN,
        1..=10 => 3.0 * usual,
        _ => usual,
    };
    Sample { id: id as u64, time_ms: 1_000 * tick + 500, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tick_is_timed() {
        let times = tick_times(1_000, 5, 1);
        assert!(times.p99_ms >= times.median_ms && times.median_ms > 0.0 && times.mean_cpu_ms > 0.0, "{times:?}");
    }
}
