//! The figures that every family's fit has.

use crate::clock::{median_of, timed};
use crate::{Context, Figures, Scale};

/// What a series must cost at least, whatever the method's bookkeeping.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Floating-point operations.
    pub flop: f64,
    /// Bytes read from and written to memory.
    pub bytes: f64,
}

/// Times a fit and adds, under `prefix`, its series a second, its wall time on all threads and on one, and the
/// shares it reached of this run's own ceilings. Returns the timed fit and its CPU-seconds.
pub fn fit<T: Send>(
    prefix: &str,
    series: usize,
    cost: Cost,
    context: &Context,
    figures: &mut Figures,
    work: impl Fn() -> T + Sync,
) -> (T, f64) {
    let runs = if context.scale == Scale::Smoke { 1 } else { 5 };
    let (fitted, spent) = median_of(runs, &work);
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("the system starts a thread");
    let (_, alone) = timed(|| one.install(&work));
    let threads = rayon::current_num_threads() as f64;
    let gflops = cost.flop * series as f64 / (spent.cpu_seconds / threads) / 1e9;
    let gbps = cost.bytes * series as f64 / (spent.cpu_seconds / threads) / 1e9;
    figures.add(&format!("{prefix}series_per_second"), spent.series_per_second(series), "series/s");
    figures.add(&format!("{prefix}wall_seconds"), spent.wall_seconds, "s");
    figures.add(&format!("{prefix}one_thread_seconds"), alone.wall_seconds, "s");
    figures.add(&format!("{prefix}fma_share_percent"), 100.0 * gflops / context.ceilings.fma_gflops, "%");
    figures.add(&format!("{prefix}triad_share_percent"), 100.0 * gbps / context.ceilings.triad_gbps, "%");
    (fitted, spent.cpu_seconds)
}
