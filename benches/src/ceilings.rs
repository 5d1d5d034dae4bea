//! What this machine can do at most, measured in the same run as the figures.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::clock;

/// The machine's own limits on all its cores.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Fused multiply-adds in `f32`, two FLOP each, in GFLOP per CPU-second times cores.
    pub fma_gflops: f64,
    /// `a[i] = b[i] + s * c[i]` over arrays far larger than the caches, in GB/s of wall time.
    pub triad_gbps: f64,
}

/// Measures both limits; about a second.
pub fn measure() -> Ceilings {
    Ceilings { fma_gflops: fma_gflops(), triad_gbps: triad_gbps() }
}

const CHAINS: usize = 12;
const ROUNDS: usize = 10_000_000;

fn fma_gflops() -> f64 {
    let threads = rayon::current_num_threads();
    let (flop, spent) = clock::median_of(3, || {
        (0..threads).into_par_iter().map(|seed| Arch::new().dispatch(Chains { seed: seed as f32 })).sum::<usize>()
    });
    flop as f64 / (spent.cpu_seconds / threads as f64) / 1e9
}

/// Independent chains of FMAs: twelve hide the latency on every core of the last decade.
struct Chains {
    seed: f32,
}

// A closure this long would be compiled apart from `dispatch` and lose the instruction set it chose.
impl WithSimd for Chains {
    type Output = usize;

    /// Returns the FLOP done.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let mut chains = [simd.splat_f32s(self.seed); CHAINS];
        let (scale, shift) = (simd.splat_f32s(0.999_9), simd.splat_f32s(0.000_1));
        for _ in 0..ROUNDS {
            for chain in &mut chains {
                *chain = simd.mul_add_f32s(*chain, scale, shift);
            }
        }
        let sums = chains.map(|chain| simd.reduce_sum_f32s(chain));
        std::hint::black_box(sums);
        ROUNDS * CHAINS * S::F32_LANES * 2
    }
}

fn triad_gbps() -> f64 {
    const LEN: usize = 1 << 25;
    let (b, c) = (vec![1.0_f32; LEN], vec![2.0_f32; LEN]);
    let mut a = vec![0.0_f32; LEN];
    let (_, spent) = clock::median_of(3, || {
        let rows = a.par_chunks_mut(1 << 16).zip(b.par_chunks(1 << 16)).zip(c.par_chunks(1 << 16));
        rows.for_each(|((a, b), c)| {
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                *a = 3.0 * c + b;
            }
        });
    });
    std::hint::black_box(&a);
    (3 * LEN * size_of::<f32>()) as f64 / spent.wall_seconds / 1e9
}
