//! Families on a device: the same fits, where their kernels have more hands.

use foreshadow_kernels::{Batch, Device, KernelError, Lanes, Matrix, Rows};
use rayon::prelude::*;

use crate::{FitError, Fitted, Model, Window};

/// Share of the largest piece of a device's memory that the values of one batch may take: what a fit needs beside them
/// is a few times as much.
const ROOM: usize = 16;

/// Share of its largest value that the range of a series must have for `f32`: of what moves, four digits are left then.
const MOVES: f64 = 1e-3;

/// A family that can be fitted anywhere.
pub(crate) trait Placed: Model + Clone + 'static {
    /// Fits every series of the window where the device says, as [`Model::fit`] does on the CPU.
    fn fit_on(&self, window: &Window<'_>, seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError>;

    /// The same, as [`Model::refit`].
    fn refit_on(
        &self,
        window: &Window<'_>,
        seed: u64,
        device: &Device,
        _learned: &[Option<Vec<f32>>],
    ) -> Result<Box<dyn Fitted>, KernelError> {
        self.fit_on(window, seed, device)
    }

    /// The family as a model that is fitted there.
    fn placed(&self, device: &Device) -> Box<dyn Model> {
        Box::new(OnDevice { family: self.clone(), device: device.clone() })
    }

    /// A refusal as the error of a whole fit.
    fn refused(&self, window: &Window<'_>, source: KernelError) -> FitError {
        FitError::Kernel { family: self.name(), series_count: window.series_count(), source }
    }
}

struct OnDevice<M> {
    family: M,
    device: Device,
}

impl<M: Placed> Model for OnDevice<M> {
    fn name(&self) -> String {
        self.family.name()
    }

    fn fit(&self, window: &Window<'_>, seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        self.refit(window, seed, &[])
    }

    fn refit(&self, window: &Window<'_>, seed: u64, learned: &[Option<Vec<f32>>]) -> Result<Box<dyn Fitted>, FitError> {
        let fitted = self.family.refit_on(window, seed, &self.device, learned);
        fitted.map_err(|source| self.family.refused(window, source))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.family.placed(device))
    }
}

/// Series of so many steps that are worked on together: as many as a device has room for, and on the CPU as many as are
/// said to be good there.
pub(crate) fn together(device: &Device, steps: usize, on_cpu: usize) -> usize {
    let room = |bytes: usize| (bytes / ROOM / size_of::<f32>() / steps.max(1)).max(1);
    device.largest_piece().map_or(on_cpu, room)
}

/// Works on every batch: side by side on the CPU, one after the other on a device, which has room for one.
pub(crate) fn each<T: Send, R: Send>(
    device: &Device,
    batches: Vec<T>,
    work: impl Fn(T) -> Result<R, KernelError> + Sync + Send,
) -> Result<Vec<R>, KernelError> {
    match device {
        Device::Cpu => batches.into_par_iter().map(work).collect(),
        Device::Wgpu(_) | Device::Cuda(_) => batches.into_iter().map(work).collect(),
    }
}

/// The largest magnitude of a series' observed values; 0 of none.
pub(crate) fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |most: f64, value| most.max(value.abs())) // `max` passes over a NaN
}

/// Whether a series moves enough for a fit of its values, not of their distances from a mean, in `f32`.
pub(crate) fn moves(values: &[f64]) -> bool {
    let seen = || values.iter().filter(|value| !value.is_nan());
    let (low, high) = seen().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (v.min(low), v.max(high)));
    let largest = largest(values);
    largest.is_finite() && high / 2.0 - low / 2.0 >= 0.5 * MOVES * largest
}

/// Puts a batch where a device works on it.
pub(crate) fn put(y: Lanes, device: &Device) -> Result<Matrix, KernelError> {
    match device {
        Device::Cpu => Ok(Matrix::Cpu(y)),
        Device::Wgpu(_) | Device::Cuda(_) => y.to_device(device),
    }
}

/// The same of rows.
pub(crate) fn put_rows(y: Rows, device: &Device) -> Result<Batch, KernelError> {
    match device {
        Device::Cpu => Ok(Batch::Cpu(y)),
        Device::Wgpu(_) | Device::Cuda(_) => y.to_device(device),
    }
}

#[cfg(test)]
mod tests {
    use foreshadow_kernels::device::present;
    use foreshadow_kernels::{CesForm, ThetaForm, Trend};

    use super::*;
    use crate::classical::{Arima, AutoEts, Ces, CustomProphet, Ets, Mstl, Naive, Theta};
    use crate::{AsRead, FitStatus, check};

    const STEPS: usize = 240;
    const AHEAD: usize = 24;

    /// A day and noise, in many units and with all that a series may lack; then what no family forecasts.
    fn series() -> Vec<Vec<f64>> {
        let noise = |t: usize, s: usize| (((t * 7_919 + s * 104_729) % 1_009) as f64 / 1_009.0 - 0.5) * 1.5;
        let day = |t: usize| (t as f64 / 24.0 * std::f64::consts::TAU).sin();
        let plain = |s: usize| move |t: usize| 10.0 + 2.0 * day(t) + 0.01 * t as f64 + noise(t, s);
        let made = |value: &dyn Fn(usize) -> f64| (0..STEPS).map(value).collect::<Vec<f64>>();
        let mut all = vec![
            made(&plain(1)),
            made(&|t| 1e9 + plain(2)(t)),
            made(&|t| 1e-6 * plain(3)(t)),
            made(&|t| if (50..59).contains(&t) { f64::NAN } else { plain(4)(t) }),
            made(&|_| 3.0),
            made(&|_| f64::NAN),
        ];
        all.push(all[0][..40].to_vec());
        all.push(all[0][..5].to_vec());
        all
    }

    fn families() -> Vec<Box<dyn Model>> {
        vec![
            Box::new(Theta::new(ThetaForm::Dotm, 24)),
            Box::new(Ces::new(CesForm::Partial, 24)),
            Box::new(Ets::new(Trend::None, 24)),
            Box::new(AutoEts { season: 1 }),
            Box::new(Ets::new(Trend::Damped, 1)),
            Box::new(Mstl::new(&[24])),
            Box::new(Arima::fixed(1, 0, 1)),
            Box::new(CustomProphet::default()),
        ]
    }

    #[test]
    fn a_device_says_what_the_cpu_says() {
        let all = series();
        for device in present() {
            for family in families() {
                let name = format!("{} on {device}", family.name());
                let there = AsRead(family).on(&device).unwrap_or_else(|| panic!("{name} can be fitted there"));
                let here = there.on(&Device::Cpu).unwrap();
                assert_eq!(there.name(), here.name());
                let [(status, found), (expected_status, expected)] =
                    [&there, &here].map(|family| check::forecast(&**family, &all, AHEAD));
                assert_eq!(status, expected_status, "{name}");
                assert!(status[..4].iter().all(|status| *status == FitStatus::Fitted), "{name}: {status:?}");
                for s in (0..all.len()).filter(|s| status[*s].is_usable()) {
                    // Without `f64` a weight may end a hundredth elsewhere, which moves a mean by that part of what the
                    // noise, of 0.4 units, does to it.
                    let unit = if s == 2 { 1e-6 } else { 1.0 };
                    let room = if device.has_f64() { 0.02 } else { 0.1 } * unit;
                    for (a, b) in found.mean(s).iter().zip(expected.mean(s)) {
                        assert!((a - b).abs() <= room, "{name}: {a} for {b} of series {s}");
                    }
                    for level in [0, found.quantiles().levels().len() - 1] {
                        let pairs = found.quantile(s, level).iter().zip(expected.quantile(s, level));
                        assert!(pairs.clone().all(|(a, b)| (a - b).abs() <= 2.0 * room), "{name}: bands of series {s}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_family_of_the_cpu_alone_says_so() {
        assert!(AsRead(Box::new(Naive)).on(&Device::Cpu).is_none());
    }

    #[test]
    fn a_device_is_given_what_it_has_room_for() {
        assert_eq!(together(&Device::Cpu, 672, 64), 64);
        for device in present().into_iter().filter(|device| device.largest_piece().is_some()) {
            let (few, many) = (together(&device, 40_320, 64), together(&device, 168, 64));
            assert!(0 < few && few < many, "{few} and {many} series on {device}");
            assert_eq!(together(&device, usize::MAX / 64, 64), 1, "one at least");
        }
    }
}
