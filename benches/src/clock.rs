//! CPU seconds: what a busy neighbour on a shared machine does not spoil.

use std::time::Instant;

use cpu_time::ProcessTime;

/// What a piece of work took.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// User and system seconds of all threads of this process.
    pub cpu_seconds: f64,
    /// Seconds on the wall.
    pub wall_seconds: f64,
}

impl Spent {
    /// Series a second as the figures count them: on two cores that do nothing else.
    pub fn series_per_second(&self, series: usize) -> f64 {
        series as f64 / (self.cpu_seconds / 2.0)
    }
}

/// Runs `work` once, with the clock around it.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    let result = work();
    (result, Spent { cpu_seconds: cpu.elapsed().as_secs_f64(), wall_seconds: wall.elapsed().as_secs_f64() })
}

/// One warm-up, then the run of median CPU time among `runs`, with its own result.
pub fn median_of<T>(runs: usize, mut work: impl FnMut() -> T) -> (T, Spent) {
    work();
    let mut all: Vec<_> = (0..runs.max(1)).map(|_| timed(&mut work)).collect();
    all.sort_by(|a, b| a.1.cpu_seconds.total_cmp(&b.1.cpu_seconds));
    all.swap_remove(all.len() / 2)
}
