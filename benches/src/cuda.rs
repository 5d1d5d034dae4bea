//! A million series that lie in the memory of an NVIDIA GPU: seconds of each family's fit there, transfers apart, and
//! what the fits are worth beside the CPU's.

use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::time::Instant;

use foreshadow_kernels::products::{Design, Layout, masked_gram};
use foreshadow_kernels::regression::shrunk_regression;
use foreshadow_kernels::shrink::Prior;
use foreshadow_kernels::{
    ArimaFit, Batch, Device, DeviceChoice, Differencing, EtsForm, GpuCeilings, KernelError, Lanes, Matrix, Rows,
    auto_ets, decompose, without_seasons,
};
use foreshadow_models::Panel;
use foreshadow_models::classical::{Arima, AutoEts, Parameters};
use rayon::prelude::*;

use crate::panel::m4_training;
use crate::{BenchError, Context, Figures, Scale, prophet};

const STEPS: usize = 672;
const SERIES: usize = 1_000_000;
const SMOKE_SERIES: usize = 100;
const SEASON: usize = 24;
const SEASONS: [usize; 2] = [24, 168];
const RUNS: usize = 3;
/// Of what takes tens of seconds.
const FEW_RUNS: usize = 1;
/// Rise of AICc over the CPU's that still counts as none: twice a thousandth of a nat.
const ROOM_AICC: f64 = 2e-3;
/// Places that the searches of a series' fifteen forms look at, about; a place is the recursion and its adjoint, 25
/// multiplications a step each way, on the values and the errors between them.
const PLACES: f64 = 105.0;
/// Quadratics that they make of a season, about: ten squares of eight unknowns by eight, and what makes up the answers.
const QUADRATICS: f64 = 42.0;
const ETS: Cost = Cost {
    flop: (PLACES * 2.0 * 50.0 + QUADRATICS * 2.0 * (640.0 + 300.0)) * STEPS as f64,
    bytes: (PLACES * 16.0 + QUADRATICS * 4.0) * STEPS as f64,
    in_f64: false,
};
/// Trend and two seasons as sums over all steps; a part reads the values and writes itself, and takes itself from the rest.
const MSTL: Cost = Cost { flop: 3.0 * 2.0 * (STEPS * STEPS) as f64, bytes: 11.0 * 4.0 * STEPS as f64, in_f64: false };

/// Prophet's week and day: period in steps and waves. Its changepoints, and how far they reach.
const WAVES: [(f64, usize); 2] = [(168.0, 3), (24.0, 4)];
const KNOTS: usize = 25;
const KNOT_RANGE: f64 = 0.8;
/// Two rounds of sums over 16 columns and 25 hinges, which are sums of sums, and some twenty solves. The values are read
/// three times, and the coefficients some ten times.
const PROPHET: Cost =
    Cost { flop: 2.0 * 76.0 * STEPS as f64 + 80e3, bytes: 3.0 * 4.0 * STEPS as f64 + 10.0 * 41.0 * 8.0, in_f64: false };

/// Thirty-six orders are screened with some eight passes each, of thirty multiplications a step; nine searches look at
/// some thirty places in all, each with the twelve likelihoods about it, of twenty-five multiplications a step, and the
/// twenty-one products of a curvature, of two. A pass and a look read the series once.
const ARIMA_PASSES: f64 = 36.0 * 8.0;
const ARIMA_LOOKS: f64 = 30.0;
const ARIMA: Cost = Cost {
    flop: (ARIMA_PASSES * 2.0 * 30.0 + ARIMA_LOOKS * 2.0 * (13.0 * 25.0 + 21.0 * 2.0)) * STEPS as f64,
    bytes: (ARIMA_PASSES + ARIMA_LOOKS) * 8.0 * STEPS as f64,
    in_f64: true,
};

/// The least that a fit of one series costs.
struct Cost {
    flop: f64,
    bytes: f64,
    /// Whether its work is in `f64`.
    in_f64: bool,
}

/// Takes the figures of a CUDA device; of any GPU in a smoke run, where the panel is small.
///
/// # Errors
/// [`BenchError`] when the telemetry is not there or the device refuses the work.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    on_card("cuda", context, figures, on)
}

/// Takes an area's figures on a CUDA device, on any GPU in a smoke run; without one the area is named as skipped.
///
/// # Errors
/// What `take` fails with.
pub(crate) fn on_card(
    area: &str,
    context: &Context,
    figures: &mut Figures,
    take: impl Fn(&Device, &Context, &mut Figures) -> Result<(), BenchError>,
) -> Result<(), BenchError> {
    let device = match Device::open(DeviceChoice::Cuda) {
        Err(_) if context.scale == Scale::Smoke => Device::open(DeviceChoice::Wgpu),
        cuda => cuda,
    };
    match device {
        Ok(device) => {
            println!("{area}: {device}");
            take(&device, context, figures)
        }
        Err(missing) => {
            figures.skip(area, &missing);
            Ok(())
        }
    }
}

fn on(device: &Device, context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let smoke = context.scale == Scale::Smoke;
    let originals: Vec<Vec<f64>> = m4_training(context)?.into_iter().map(|(_, _, values)| last(&values)).collect();
    let series = if smoke { SMOKE_SERIES } else { SERIES };
    let began = Instant::now();
    let now = || began.elapsed().as_secs_f64();
    let ceilings = if smoke { None } else { device.ceilings(&now).map_err(refused)? };
    if let Some(GpuCeilings { triad_gbps, f32_gflops, f64_gflops }) = ceilings {
        figures.add("cuda.triad_gbps", triad_gbps, "GB/s");
        figures.add("cuda.f32_gflops", f32_gflops, "GFLOP/s");
        figures.add("cuda.f64_gflops", f64_gflops, "GFLOP/s");
    }
    let lanes = panel(&originals, series);
    let start = Instant::now();
    let y = lanes.to_device(device).map_err(refused)?;
    device.wait().map_err(refused)?;
    if ceilings.is_some() {
        let (seconds, bytes) = (start.elapsed().as_secs_f64(), STEPS * series * size_of::<f32>());
        figures.add("cuda.transfer_seconds", seconds, "s");
        figures.add("cuda.transfer_gbps", bytes as f64 / 1e9 / seconds, "GB/s");
    }
    let mut own = Panel::new(3_600_000);
    originals.iter().enumerate().for_each(|(s, values)| own.push(s.to_string(), 0, values));
    let bench = Bench { device, lanes, y, series, originals: own, ceilings };
    bench.prophet(figures)?;
    bench.mstl(figures)?;
    bench.autoets(figures)?;
    bench.autoarima(figures)
}

/// A panel on a device.
struct Bench<'a> {
    device: &'a Device,
    /// As it came, and as it lies there.
    lanes: Lanes,
    y: Matrix,
    series: usize,
    /// The series that begin it, unchanged.
    originals: Panel,
    /// `None` in a smoke run, which times nothing.
    ceilings: Option<GpuCeilings>,
}

impl Bench<'_> {
    /// Prophet's own defaults for four weeks of hours: a line that bends at 25 places, a week and a day.
    fn prophet(&self, figures: &mut Figures) -> Result<(), BenchError> {
        let waves: Vec<f64> = WAVES.iter().flat_map(|&(m, count)| (1..=count).map(move |k| m / k as f64)).collect();
        let wave = |t: usize, column: usize| {
            let (sine, cosine) = (TAU * (t as f64 / waves[column / 2]).fract()).sin_cos();
            if column.is_multiple_of(2) { sine } else { cosine }
        };
        let time: Vec<f64> = (0..STEPS).map(|t| t as f64 / (STEPS - 1) as f64).collect();
        let apart = ((STEPS as f64 * KNOT_RANGE).floor() - 1.0) / KNOTS as f64;
        let knots: Vec<u32> = (1..=KNOTS).map(|i| (i as f64 * apart).round_ties_even() as u32).collect();
        let changepoints: Vec<f64> = knots.iter().map(|&knot| time[knot as usize]).collect();
        let layouts = [Layout { missing: vec![], knots }];
        let layout_of = vec![0; self.series];
        let design = Design::new(time, 2 * waves.len(), wave);
        let precisions = [[1.0 / 25.0; 2].to_vec(), vec![0.01; 2 * waves.len()]].concat();
        let prior = Prior { precisions, laplace_scale: 0.05, noise_scale: 0.5, noise_floor: 1e-12 };
        let grams = masked_gram(&design, &layouts).map_err(refused)?;
        let x = design.to_device(self.device, &layouts, &layout_of).map_err(refused)?;
        let problem = prior.to_device(self.device, x.order(), &grams, &layout_of).map_err(refused)?;
        let fit = || shrunk_regression(&x, &problem, &self.y);
        let fit = self.timed("prophet", PROPHET, RUNS, figures, fit)?;
        let (found, scale) = (fit.fit.to_host().map_err(refused)?, fit.scale.to_host().map_err(refused)?);
        let capped = found.converged.iter().filter(|converged| !**converged).count();
        figures.add("cuda.prophet_not_converged", capped as f64, "series");
        let own = &self.originals;
        let on_cpu = prophet::learn(own);
        let (order, columns) = (x.order(), design.columns());
        let no_worse = (0..own.series_count()).filter(|&s| {
            let of = &found.x[s * order..][..order];
            let parameters = Parameters {
                m: of[0],
                k: of[1],
                beta: of[2..columns].to_vec(),
                delta: of[columns..].to_vec(),
                sigma: found.noise[s],
                y_scale: scale.row(s)[0],
                changepoints: changepoints.clone(),
            };
            let cpu = on_cpu.parameters(s).map_or(f64::INFINITY, |cpu| prophet::objective(&cpu, own, s));
            prophet::is_no_worse(prophet::objective(&parameters, own, s), cpu)
        });
        figures.add(
            "cuda.prophet_objective_not_worse",
            100.0 * no_worse.count() as f64 / own.series_count() as f64,
            "%",
        );
        Ok(())
    }

    fn autoets(&self, figures: &mut Figures) -> Result<(), BenchError> {
        let forms = EtsForm::admissible(SEASON);
        let chosen = self.timed("autoets", ETS, FEW_RUNS, figures, || auto_ets(&self.y, &forms))?;
        let start = Instant::now();
        let chosen = chosen.to_host().map_err(refused)?.chosen;
        if self.ceilings.is_some() {
            figures.add("cuda.autoets_download_seconds", start.elapsed().as_secs_f64(), "s");
        }
        let without = chosen.iter().filter(|end| end.is_none()).count();
        figures.add("cuda.autoets_unusable_series", without as f64, "series");
        let own = &self.originals;
        let on_cpu = AutoEts { season: SEASON }.learn(&own.window());
        let gain = |s: usize| Some(on_cpu.aicc(s)? - chosen[s].as_ref()?.aicc);
        let gains: Vec<f64> = (0..own.series_count()).map(|s| gain(s).unwrap_or(f64::NEG_INFINITY)).collect();
        parity("autoets", gains, figures);
        Ok(())
    }

    /// Automatic order without a season. Standardising and the choice of differences are on the host, and timed apart.
    fn autoarima(&self, figures: &mut Figures) -> Result<(), BenchError> {
        let model = Arima::auto(1);
        let start = Instant::now();
        let standardised = |s: usize| {
            let values: Vec<f64> = self.lanes.column(s).into_iter().map(f64::from).collect();
            model.standardised(&values).map(|(differencing, values)| (differencing, s, values))
        };
        let ready: Vec<_> = (0..self.series).into_par_iter().filter_map(standardised).collect();
        let prepared = start.elapsed().as_secs_f64();
        let mut alike: BTreeMap<usize, (Differencing, Vec<usize>, Vec<f64>)> = BTreeMap::new();
        for (differencing, s, values) in ready {
            let (_, of, rows) =
                alike.entry(differencing.differences).or_insert_with(|| (differencing, Vec::new(), Vec::new()));
            of.push(s);
            rows.extend(values);
        }
        let start = Instant::now();
        let mut groups = Vec::new();
        for (differencing, of, values) in alike.into_values() {
            let own = of.iter().take_while(|&&s| s < self.originals.series_count()).count();
            let originals = Rows::new(own, STEPS, values[..own * STEPS].to_vec()).map_err(refused)?;
            let rows = Rows::new(of.len(), STEPS, values).map_err(refused)?;
            groups.push((differencing, originals, rows.to_device(self.device).map_err(refused)?));
        }
        self.device.wait().map_err(refused)?;
        if self.ceilings.is_some() {
            figures.add("cuda.autoarima_prepare_seconds", prepared, "s");
            figures.add("cuda.autoarima_transfer_seconds", start.elapsed().as_secs_f64(), "s");
        }
        let fit = || groups.iter().map(|(differencing, _, y)| model.choose(y, *differencing)).collect();
        let chosen: Vec<Vec<_>> = self.timed("autoarima", ARIMA, FEW_RUNS, figures, fit)?;
        let without = chosen.iter().flatten().filter(|fit| fit.is_none()).count();
        figures.add("cuda.autoarima_unusable_series", without as f64, "series");
        let mut gains = Vec::new();
        for ((differencing, originals, _), chosen) in groups.into_iter().zip(&chosen) {
            let on_cpu = model.choose(&Batch::Cpu(originals), differencing).map_err(refused)?;
            let gain = |(fit, cpu): (&Option<ArimaFit>, &Option<ArimaFit>)| {
                let cpu = cpu.as_ref()?.aicc;
                Some(fit.as_ref().map_or(f64::NEG_INFINITY, |fit| cpu - fit.aicc))
            };
            gains.extend(chosen.iter().zip(&on_cpu).filter_map(gain));
        }
        parity("autoarima", gains, figures);
        Ok(())
    }

    /// The decomposition and, as the family's fit has it, exponential smoothing of what has no season.
    fn mstl(&self, figures: &mut Figures) -> Result<(), BenchError> {
        self.timed("decompose", MSTL, RUNS, figures, || decompose(&self.y, &SEASONS))?;
        let forms: Vec<EtsForm> = EtsForm::admissible(1).into_iter().filter(|form| !form.is_relative()).collect();
        let fit = || {
            let parts = decompose(&self.y, &SEASONS)?;
            let trend = without_seasons(&parts)?;
            let forecaster = auto_ets(&trend, &forms)?;
            Ok((parts.seasons, forecaster))
        };
        let (_, forecaster) = self.timed("mstl", MSTL, RUNS, figures, fit)?;
        let without = forecaster.to_host().map_err(refused)?.chosen.iter().filter(|end| end.is_none()).count();
        figures.add("cuda.mstl_unusable_series", without as f64, "series");
        Ok(())
    }

    /// Times some work on the panel, the first time left out: it compiles.
    fn timed<T>(
        &self,
        name: &str,
        cost: Cost,
        runs: usize,
        figures: &mut Figures,
        work: impl Fn() -> Result<T, KernelError>,
    ) -> Result<T, BenchError> {
        let once = || -> Result<(T, f64), KernelError> {
            let start = Instant::now();
            let found = work()?;
            self.device.wait()?;
            Ok((found, start.elapsed().as_secs_f64()))
        };
        let (mut found, first) = once().map_err(refused)?;
        let Some(ceilings) = self.ceilings else { return Ok(found) };
        let mut seconds = Vec::new();
        for _ in 0..runs {
            // Its memory makes room for the next one's.
            drop(found);
            let spent;
            (found, spent) = once().map_err(refused)?;
            seconds.push(spent);
        }
        seconds.sort_by(f64::total_cmp);
        let median = seconds[runs / 2];
        let gflops = cost.flop * self.series as f64 / median / 1e9;
        let gbps = cost.bytes * self.series as f64 / median / 1e9;
        let (float, most) = if cost.in_f64 { ("f64", ceilings.f64_gflops) } else { ("f32", ceilings.f32_gflops) };
        figures.add(&format!("cuda.{name}_1m_seconds"), median, "s");
        figures.add(&format!("cuda.{name}_first_seconds"), first, "s");
        figures.add(&format!("cuda.{name}_{float}_share_percent"), 100.0 * gflops / most, "%");
        figures.add(&format!("cuda.{name}_triad_share_percent"), 100.0 * gbps / ceilings.triad_gbps, "%");
        Ok(found)
    }
}

/// How a device's criteria lie below the CPU's.
fn parity(name: &str, mut gains: Vec<f64>, figures: &mut Figures) {
    let good = gains.iter().filter(|gain| **gain >= -ROOM_AICC).count();
    figures.add(&format!("cuda.{name}_parity_percent"), 100.0 * good as f64 / gains.len().max(1) as f64, "%");
    let better = gains.iter().filter(|gain| **gain > ROOM_AICC).count();
    figures.add(&format!("cuda.{name}_better_percent"), 100.0 * better as f64 / gains.len().max(1) as f64, "%");
    gains.sort_by(f64::total_cmp);
    let at = |i: usize| gains.get(i).copied().unwrap_or(f64::NAN);
    figures.add(&format!("cuda.{name}_aicc_gain_least"), at(0), "");
    figures.add(&format!("cuda.{name}_aicc_gain_median"), at(gains.len() / 2), "");
}

pub(crate) fn refused(error: KernelError) -> BenchError {
    BenchError::Fit(error.to_string())
}

/// The last steps of a series.
fn last(values: &[f64]) -> Vec<f64> {
    values[values.len() - STEPS.min(values.len())..].to_vec()
}

/// The originals, then copies of one drawn by chance with another level, another scale and noise of 1 % of the mean.
fn panel(originals: &[Vec<f64>], series: usize) -> Lanes {
    let means: Vec<f64> = originals.iter().map(|v| v.iter().sum::<f64>() / v.len() as f64).collect();
    Lanes::from_fn(STEPS, series, |t, s| {
        if s < originals.len() {
            return originals[s][t] as f32;
        }
        let draw = mixed(s as u64);
        let own = (draw % originals.len() as u64) as usize;
        let part = |bits: u32| ((draw >> bits) & 0xffff) as f64 / 65_536.0;
        let (scale, level) = (0.2 + 4.8 * part(16), (part(32) - 0.5) * means[own]);
        let bits = mixed(draw ^ (t as u64 + 1));
        // A sum of four uniforms has variance a third: near enough to normal for a bench's noise.
        let sum: f64 = (0..4).map(|i| ((bits >> (16 * i)) & 0xffff) as f64 / 65_536.0).sum();
        let noise = 3.0_f64.sqrt() * (sum - 2.0);
        (scale * (originals[own][t] + level + 0.01 * means[own] * noise)) as f32
    })
}

/// SplitMix64's mixing of a counter.
fn mixed(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
