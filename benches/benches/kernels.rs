//! The kernels' throughput on every device present: bytes read and written, to compare with the device's
//! copy bandwidth. Batches are resident before the clock, and a result is waited for by reading it back
//! where it is small, so a GPU's figures for `score` include its copy to the host.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use foreshadow_kernels::{Lanes, device, quantiles, score, seasonal_means};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SHAPES: [(usize, usize); 2] = [(672, 1_000), (672, 10_000)];

fn panel(steps: usize, series: usize) -> Lanes {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let values: Vec<f32> = (0..steps * series).map(|_| rng.random_range(-1.0..1.0)).collect();
    Lanes::from_fn(steps, series, |t, s| values[t * series + s])
}

fn kernels(c: &mut Criterion) {
    for device in device::present() {
        for (steps, series) in SHAPES {
            let shape = format!("{}/{steps}x{series}", device.kind());
            let bytes = (4 * steps * series) as u64;
            let y = panel(steps, series).to_device(&device).expect("a panel of 27 MB fits a device");
            let mut group = c.benchmark_group("seasonal_means");
            group.throughput(Throughput::Bytes(bytes)); // `y` is read once
            group.bench_function(BenchmarkId::from_parameter(&shape), |b| {
                b.iter(|| black_box(seasonal_means(&y, 24).and_then(|means| means.to_host())));
            });
            group.finish();
            let mut group = c.benchmark_group("quantiles");
            group.throughput(Throughput::Bytes(bytes)); // once into each series' sort; 33 times on a GPU
            group.bench_function(BenchmarkId::from_parameter(&shape), |b| {
                b.iter(|| black_box(quantiles(&y, &[0.5]).and_then(|median| median.to_host())));
            });
            group.finish();
            let width = Lanes::from_fn(steps, series, |_, _| 0.5).to_device(&device).expect("as the panel");
            let threshold = vec![1.5; series];
            let mut group = c.benchmark_group("score");
            group.throughput(Throughput::Bytes(4 * bytes)); // two batches read, two written
            group.bench_function(BenchmarkId::from_parameter(&shape), |b| {
                b.iter(|| black_box(score(&y, &width, &threshold).and_then(|scores| scores.anomaly.to_host())));
            });
            group.finish();
        }
    }
}

criterion_group!(benches, kernels);
criterion_main!(benches);
