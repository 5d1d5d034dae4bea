//! A batch on the host: lane groups of 16 series, step-major inside a group.

use rayon::prelude::*;

/// Series in a lane group: one AVX-512 register, two AVX2 registers.
pub const LANES: usize = 16;

/// A `[steps, series]` batch in host memory.
///
/// Group `g` holds series `16 g .. 16 g + 16`; inside it, row `t` is one `[f32; 16]`. Lanes past the
/// last series repeat it, so that a kernel never meets a number that no series has.
#[derive(Clone, Debug)]
pub struct Lanes {
    steps: usize,
    series: usize,
    rows: Vec<[f32; LANES]>,
}

impl Lanes {
    /// A batch of zeros.
    pub fn zeros(steps: usize, series: usize) -> Self {
        Self { steps, series, rows: vec![[0.0; LANES]; steps * series.div_ceil(LANES)] }
    }

    /// Packs a batch from `value(step, series)`; groups are packed in parallel.
    pub fn from_fn(steps: usize, series: usize, value: impl Fn(usize, usize) -> f32 + Sync) -> Self {
        let mut lanes = Self::zeros(steps, series);
        if steps > 0 {
            lanes.rows.par_chunks_mut(steps).enumerate().for_each(|(group, rows)| {
                for lane in 0..LANES {
                    let s = (group * LANES + lane).min(series - 1);
                    for (t, row) in rows.iter_mut().enumerate() {
                        row[lane] = value(t, s);
                    }
                }
            });
        }
        lanes
    }

    /// Steps of every series.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Series of the batch, padding lanes not counted.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Groups of 16 series, the last one perhaps padded.
    pub fn groups(&self) -> usize {
        self.series.div_ceil(LANES)
    }

    /// The rows of one group, `steps` of them.
    pub fn group(&self, group: usize) -> &[[f32; LANES]] {
        &self.rows[group * self.steps..(group + 1) * self.steps]
    }

    /// The rows of one group, to write.
    pub fn group_mut(&mut self, group: usize) -> &mut [[f32; LANES]] {
        &mut self.rows[group * self.steps..(group + 1) * self.steps]
    }

    /// One value.
    ///
    /// # Panics
    /// When `step` or `series` lies outside the batch.
    pub fn get(&self, step: usize, series: usize) -> f32 {
        assert!(step < self.steps && series < self.series, "({step}, {series}) lies outside the batch");
        self.rows[series / LANES * self.steps + step][series % LANES]
    }

    /// One series, oldest first.
    pub fn column(&self, series: usize) -> Vec<f32> {
        self.group(series / LANES).iter().map(|row| row[series % LANES]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_lanes_repeat_the_last_series() {
        let lanes = Lanes::from_fn(3, 18, |t, s| (100 * t + s) as f32);
        assert_eq!((lanes.steps(), lanes.series(), lanes.groups()), (3, 18, 2));
        assert_eq!(lanes.get(2, 17), 217.0);
        assert_eq!(lanes.column(16), [16.0, 116.0, 216.0]);
        assert!(lanes.group(1)[1][1..].iter().all(|&v| v == 117.0));
    }
}
