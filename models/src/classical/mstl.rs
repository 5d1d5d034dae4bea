//! MSTL: several seasons and a trend taken apart, the trend forecast, the seasons repeated.
//!
//! The forecast is that of exponential smoothing for the series without its seasons, plus each season's last
//! cycle over again; its spread is the smoothing's. Source: Bandara, Hyndman and Bergmeir, *MSTL: a
//! seasonal-trend decomposition algorithm for time series with multiple seasonal patterns*, arXiv 2107.13462,
//! with the trend forecaster that statsforecast gives its MSTL, in the additive forms.

use std::borrow::Cow;
use std::collections::BTreeMap;

use foreshadow_kernels::{Decomposition, Device, KernelError, Lanes, Matrix, decompose};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::trend::TrendForecaster;
use crate::append::expect_points;
use crate::artifact::{Artifact, Kept, Whole};
use crate::device::{self, Placed};
use crate::{
    AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, Panel, PredictError, Quantiles, Window,
};

mod trend;

/// Series decomposed at once: what a season's weights cost is then little, and the parts stay small.
const BATCH: usize = 1_024;

/// MSTL with these seasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mstl {
    /// Rising, in steps.
    seasons: Vec<usize>,
}

impl Mstl {
    /// The longest season, a week of five-minute steps: the weights of its trend take 100 MB, and grow with the
    /// square of it.
    pub const LONGEST_SEASON: usize = 2_016;

    /// An MSTL model with seasons of so many steps, in any order. A series that is too short for one goes without.
    ///
    /// # Panics
    /// Without a season, or for one of fewer than two steps or more than [`Self::LONGEST_SEASON`].
    pub fn new(seasons: &[usize]) -> Self {
        let mut seasons = seasons.to_vec();
        seasons.sort_unstable();
        seasons.dedup();
        let ends = seasons.first().zip(seasons.last());
        assert!(
            ends.is_some_and(|(&shortest, &longest)| 2 <= shortest && longest <= Self::LONGEST_SEASON),
            "{seasons:?}"
        );
        Self { seasons }
    }

    /// Fits every series of the window in one batch; [`Model::fit`] with what it learned in sight.
    ///
    /// # Errors
    /// [`FitError::Kernel`] when the decomposition was refused.
    pub fn learn(&self, window: &Window<'_>) -> Result<FittedMstl, FitError> {
        self.learn_on(window, &Device::Cpu).map_err(|source| self.refused(window, source))
    }

    /// The same where a device says.
    ///
    /// # Errors
    /// [`KernelError`] when the decomposition was refused.
    pub fn learn_on(&self, window: &Window<'_>, device: &Device) -> Result<FittedMstl, KernelError> {
        let count = window.series_count();
        let prepared: Vec<_> = (0..count).into_par_iter().map(|s| self.prepare(window.values(s))).collect();
        // Series share weights that have the same steps and seasons, and none with gaps slows the others down.
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (s, ready) in prepared.iter().enumerate() {
            if let Ok(Ready { seasons, gaps, .. }) = ready {
                alike.entry((window.values(s).len(), gaps, seasons)).or_default().push(s);
            }
        }
        let batches: Vec<_> = alike
            .iter()
            .flat_map(|((steps, _, seasons), all)| {
                all.chunks(device::together(device, *steps, BATCH)).map(move |some| (*seasons, some))
            })
            .collect();
        let scale_of = |s: usize| prepared[s].as_ref().map_or((0.0, 1.0), |ready| (ready.centre, ready.scale));
        let learn =
            |(seasons, members): (&Vec<usize>, &[usize])| Batch::learn(window, members, seasons, scale_of, device);
        let batches = device::each(device, batches, learn)?;
        let mut status: Vec<_> =
            prepared.iter().map(|p| p.as_ref().err().cloned().unwrap_or(FitStatus::Fitted)).collect();
        let mut place = vec![Place::Nowhere; count];
        for (b, batch) in batches.iter().enumerate() {
            for (i, &s) in batch.members.iter().enumerate() {
                status[s] = batch.status(i);
                place[s] = Place::In(b, i);
            }
        }
        for s in (0..count).filter(|&s| status[s] == FitStatus::Constant) {
            place[s] = Place::Constant(window.values(s)[0]); // a window starts at an observed step
        }
        Ok(FittedMstl { status, place, batches })
    }

    /// What a series is fitted with, or why it cannot be.
    fn prepare(&self, values: &[f64]) -> Result<Ready, FitStatus> {
        let seen = || values.iter().filter(|v| !v.is_nan());
        let observed = seen().count();
        if observed == 0 {
            return Err(FitStatus::NoData);
        }
        if seen().all(|v| *v == values[0]) {
            return Err(FitStatus::Constant);
        }
        let seasons: Vec<usize> = self.seasons.iter().copied().filter(|&m| tells(values, observed, m)).collect();
        if seasons.is_empty() {
            return Err(FitStatus::TooShort { observed, needed: 2 * self.seasons[0] + 1 });
        }
        let centre = seen().sum::<f64>() / observed as f64;
        let scale = (seen().map(|v| (v - centre) * (v - centre)).sum::<f64>() / observed as f64).sqrt();
        if scale.is_normal() && centre.is_finite() {
            Ok(Ready { centre, scale, seasons, gaps: observed < values.len() })
        } else {
            Err(FitStatus::NotConverged)
        }
    }
}

/// Whether a season can be told: the series is longer than two of it, as the method's authors ask, it was
/// observed as often as two have steps, and each slot at least once.
fn tells(values: &[f64], observed: usize, season: usize) -> bool {
    let slot_is_seen = |slot: usize| values.iter().skip(slot).step_by(season).any(|v| !v.is_nan());
    values.len() > 2 * season && observed >= 2 * season && (0..season).all(slot_is_seen)
}

/// A series that can be fitted.
struct Ready {
    centre: f64,
    scale: f64,
    /// The model's seasons that the series is long enough to tell.
    seasons: Vec<usize>,
    gaps: bool,
}

impl Model for Mstl {
    fn name(&self) -> String {
        let seasons: Vec<String> = self.seasons.iter().map(ToString::to_string).collect();
        format!("mstl{}", seasons.join("_"))
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)?))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

impl Placed for Mstl {
    fn fit_on(&self, window: &Window<'_>, _seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, device)?))
    }
}

/// Series of the same steps and seasons.
#[derive(Clone, Serialize, Deserialize)]
struct Batch {
    /// Their places in the window.
    members: Vec<usize>,
    /// Of each, every season's last cycle in the series' unit, the next step's slot first.
    cycles: Vec<Vec<Vec<f64>>>,
    /// Of the series without their seasons, in the same order.
    trend: TrendForecaster,
}

impl Batch {
    fn learn(
        window: &Window<'_>,
        members: &[usize],
        seasons: &[usize],
        scale_of: impl Fn(usize) -> (f64, f64) + Sync,
        device: &Device,
    ) -> Result<Self, KernelError> {
        let steps = window.values(members[0]).len();
        let scales: Vec<_> = members.iter().map(|&s| scale_of(s)).collect();
        let y = Lanes::from_fn(steps, members.len(), |t, i| {
            let (centre, scale) = scales[i];
            ((window.values(members[i])[t] - centre) / scale) as f32
        });
        let parts = on_host(decompose(&device::put(y, device)?, seasons)?)?;
        let mut adjusted: Vec<Vec<f64>> = members.iter().map(|&s| window.values(s).to_vec()).collect();
        let mut cycles = vec![Vec::with_capacity(seasons.len()); members.len()];
        for (part, &season) in parts.iter().zip(seasons) {
            adjusted.par_iter_mut().zip(&mut cycles).enumerate().for_each(|(i, (adjusted, cycles))| {
                let scale = scales[i].1;
                let part: Vec<f64> = part.column(i).into_iter().map(|v| scale * f64::from(v)).collect();
                adjusted.iter_mut().zip(&part).for_each(|(value, part)| *value -= part);
                cycles.push(part[steps - season..].to_vec());
            });
        }
        let mut panel = Panel::new(window.step_ms());
        adjusted.iter().for_each(|values| panel.push(String::new(), 0, values));
        let bare = members.iter().map(|&s| bare_end(window.values(s))).collect();
        Ok(Self { members: members.to_vec(), cycles, trend: TrendForecaster::learn(panel, bare, device)? })
    }

    fn status(&self, index: usize) -> FitStatus {
        match self.trend.status(index) {
            usable if !usable.is_usable() => usable,
            _ if self.cycles[index].iter().flatten().all(|v| v.is_finite()) => FitStatus::Fitted,
            _ => FitStatus::NotConverged,
        }
    }
}

/// The seasons of a decomposition that was made on the host.
fn on_host(parts: Decomposition) -> Result<Vec<Lanes>, KernelError> {
    let season = |part| match part {
        Matrix::Cpu(lanes) => Ok(lanes),
        elsewhere => elsewhere.to_host(),
    };
    parts.seasons.into_iter().map(season).collect()
}

/// Unobserved steps at a window's end.
fn bare_end(values: &[f64]) -> usize {
    values.iter().rev().take_while(|v| v.is_nan()).count()
}

/// Where what was learned of a series lies.
#[derive(Clone, Copy, Serialize, Deserialize)]
enum Place {
    Nowhere,
    /// A batch and the series' place in it.
    In(usize, usize),
    /// A series that never moved from this value.
    Constant(f64),
}

/// MSTL after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedMstl {
    status: Vec<FitStatus>,
    place: Vec<Place>,
    batches: Vec<Batch>,
}

impl FittedMstl {
    /// The last cycle of each season that a series was fitted with, in its unit, the next step's slot first;
    /// `None` where its status is not fitted.
    pub fn cycles(&self, series: usize) -> Option<&[Vec<f64>]> {
        match self.place[series] {
            Place::In(batch, i) if self.status[series].is_usable() => Some(&self.batches[batch].cycles[i]),
            _ => None,
        }
    }
}

impl Fitted for FittedMstl {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "mstl"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::Mstl(Cow::Borrowed(self))))
    }

    /// The seasons stay what they were taken to be; the trend takes in what they leave of a point.
    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        expect_points(points, self.status.len())?;
        for batch in &mut self.batches {
            batch.append(points, &mut self.status)?;
        }
        for (s, place) in self.place.iter_mut().enumerate() {
            if let Place::Constant(value) = place
                && !points[s].is_nan()
                && points[s] != *value
            {
                (*place, self.status[s]) = (Place::Nowhere, FitStatus::Outdated);
            }
        }
        Ok(())
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.status.len(), horizon, quantiles.clone());
        for batch in &self.batches {
            let trend = batch.trend.predict(horizon, quantiles)?;
            for (i, &s) in batch.members.iter().enumerate().filter(|&(_, &s)| self.status[s].is_usable()) {
                forecast.copy(s, &trend, i);
                add_cycles(&batch.cycles[i], forecast.mean_mut(s));
                for index in 0..quantiles.levels().len() {
                    add_cycles(&batch.cycles[i], forecast.quantile_mut(s, index));
                }
            }
        }
        for (s, place) in self.place.iter().enumerate() {
            if let Place::Constant(value) = place {
                forecast.set_normal(s, &vec![*value; horizon.steps()], |_| 0.0);
            }
        }
        Ok(forecast)
    }
}

impl Batch {
    /// Takes in a point of each of its members, and tells those that are outdated by it.
    fn append(&mut self, points: &[f64], status: &mut [FitStatus]) -> Result<(), AppendError> {
        let adjusted: Vec<f64> = (self.members.iter().zip(&mut self.cycles))
            .map(|(s, cycles)| {
                let seasons: f64 = cycles.iter().map(|cycle| cycle[0]).sum();
                cycles.iter_mut().for_each(|cycle| cycle.rotate_left(1));
                points[*s] - seasons
            })
            .collect();
        self.trend.append(&adjusted)?;
        for (i, s) in self.members.iter().enumerate() {
            if status[*s].is_usable() && !self.trend.forecasts(i) {
                status[*s] = FitStatus::Outdated;
            }
        }
        Ok(())
    }

    /// Whether it holds as many of everything as it has members, all of them series of a window of so many.
    fn is_whole(&self, series_count: usize) -> bool {
        let cyclic = |cycles: &Vec<Vec<f64>>| cycles.iter().all(|cycle| !cycle.is_empty());
        let members = self.members.iter().all(|s| *s < series_count);
        let cycles = self.cycles.len() == self.members.len() && self.cycles.iter().all(cyclic);
        members && cycles && self.trend.is_whole(self.members.len())
    }
}

impl Whole for FittedMstl {
    fn is_whole(&self) -> bool {
        let count = self.status.len();
        let placed = |(status, place): (&FitStatus, &Place)| match place {
            Place::Nowhere => !status.is_usable(),
            Place::Constant(value) => *status == FitStatus::Constant && value.is_finite(),
            Place::In(b, i) => self.batches.get(*b).is_some_and(|batch| {
                let finite = |cycles: &Vec<Vec<f64>>| cycles.iter().flatten().all(|v| v.is_finite());
                let sound = batch.cycles.get(*i).is_some_and(finite) && batch.trend.forecasts(*i);
                !status.is_usable() || sound
            }),
        };
        self.batches.iter().all(|batch| batch.is_whole(count))
            && self.place.len() == count
            && self.status.iter().zip(&self.place).all(placed)
    }
}

fn add_cycles(cycles: &[Vec<f64>], curve: &mut [f64]) {
    for cycle in cycles {
        curve.iter_mut().zip(cycle.iter().cycle()).for_each(|(value, part)| *value += part);
    }
}

#[cfg(test)]
mod tests;
