//! The likeliest ETS form of each series, by AICc.

use std::borrow::Cow;

use foreshadow_kernels::{
    Device, EtsChoice, EtsEnd, EtsFit, EtsForm, EtsHint, EtsPlace, KernelError, LANES, Lanes, Smoothing, Trend,
    auto_ets,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::recursion::{Learned, run};
use super::states::Standing;
use super::{EtsParameters, Prepared, end_of, fit_form};
use crate::artifact::{Artifact, Kept, Whole};
use crate::device::{self, Placed};
use crate::{AppendError, FitError, FitStatus, Fitted, Forecast, Horizon, Model, PredictError, Quantiles, Window};

/// Every admissible ETS form, chosen by AICc for each series.
///
/// The forms of no trend and additive error are searched all over. Every other form begins from the ends of the
/// forms that it is one component away from, whichever promises most. Its search ends early where it is seen that
/// it will not beat the best form so far: where thirty times the gain that its next step promises leave it behind.
/// Forms with a relative error are for series above zero, and forms with a season for series of two seasons.
/// Source: Hyndman and Khandakar, *Automatic time series forecasting: the forecast package for R*, J. Stat.
/// Soft. 27(3), 2008.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoEts {
    /// Steps in a season; 1 for none.
    pub season: usize,
}

/// What one series keeps of the forms it was fitted with.
struct Best {
    aicc: f64,
    form: EtsForm,
    learned: Learned,
}

/// The forms of one batch, and where each begins from.
struct Search<'a> {
    window: &'a Window<'a>,
    best: Vec<Option<Best>>,
    /// Observed steps of each series.
    observed: Vec<f64>,
    /// What each series learned in each form so far: in those of no trend always, in others where it was the best.
    known: Vec<(EtsForm, Vec<Option<EtsParameters>>)>,
}

impl AutoEts {
    /// Fits every series of the window; [`Model::fit`] with what it learned in sight.
    ///
    /// # Panics
    /// For a season of no steps.
    pub fn learn(&self, window: &Window<'_>) -> FittedAutoEts {
        self.finish(window, self.best_on_host(window))
    }

    /// The same where a device says, but for series that hardly move, which are fitted on the CPU anywhere: a device holds
    /// their values in `f32`.
    ///
    /// # Errors
    /// [`KernelError::Device`] when it refuses the work.
    ///
    /// # Panics
    /// For a season of no steps.
    pub fn learn_on(&self, window: &Window<'_>, device: &Device) -> Result<FittedAutoEts, KernelError> {
        if matches!(device, Device::Cpu) {
            return Ok(self.learn(window));
        }
        let (there, here): (Vec<usize>, Vec<usize>) =
            (0..window.series_count()).partition(|&s| device::moves(window.values(s)));
        let mut best: Vec<Option<Best>> = (0..window.series_count()).map(|_| None).collect();
        for some in there.chunks(device::together(device, window.longest(), 1)) {
            some.iter().zip(self.best_on_device(window, some, device)?).for_each(|(&s, found)| best[s] = found);
        }
        here.iter().zip(self.best_on_host(&window.only(&here))).for_each(|(&s, found)| best[s] = found);
        Ok(self.finish(window, best))
    }

    /// The likeliest form of each of some series, of values over the largest.
    fn best_on_device(
        &self,
        window: &Window<'_>,
        some: &[usize],
        device: &Device,
    ) -> Result<Vec<Option<Best>>, KernelError> {
        let values = |i: usize| window.values(some[i]);
        let largest: Vec<f64> = (0..some.len()).into_par_iter().map(|i| device::largest(values(i))).collect();
        let steps = some.iter().map(|&s| window.values(s).len()).max().unwrap_or(0);
        let y = Lanes::from_fn(steps, some.len(), |t, i| {
            values(i).get(t).map_or(f32::NAN, |value| (value / largest[i]) as f32)
        });
        let EtsChoice { chosen, units } =
            auto_ets(&device::put(y, device)?, &EtsForm::admissible(self.season))?.to_host()?;
        let best = |(i, end): (usize, Option<EtsEnd>)| {
            let EtsEnd { form, aicc, smoothing, start, .. } = end.filter(|end| end.settled)?;
            let unit = (units[i].0 * largest[i], units[i].1 * largest[i]);
            let learned = run(values(i), form, unit, &smoothing, &start);
            learned.end.is_sound(form).then_some(Best { aicc, form, learned })
        };
        Ok(chosen.into_par_iter().enumerate().with_min_len(LANES).map(best).collect())
    }

    /// The likeliest form of each series of a window.
    fn best_on_host(&self, window: &Window<'_>) -> Vec<Option<Best>> {
        assert!(self.season > 0, "a season has steps");
        let mut search = Search::new(window);
        let forms = EtsForm::admissible(self.season);
        // What others begin from comes first: no trend, and of those the additive error; then that error's trends.
        let is_root = |form: &&EtsForm| form.trend == Trend::None && !form.is_relative();
        let is_branch = |form: &&EtsForm| form.trend == Trend::None && form.is_relative();
        forms.iter().filter(is_root).for_each(|form| search.everywhere(*form));
        forms.iter().filter(is_branch).for_each(|form| search.near(*form));
        forms.iter().filter(|form| form.trend != Trend::None).for_each(|form| search.near(*form));
        search.best
    }

    fn finish(&self, window: &Window<'_>, best: Vec<Option<Best>>) -> FittedAutoEts {
        let plain = EtsForm::additive(Trend::None, 1);
        let status_of = |s: usize| match (&best[s], Prepared::of(window.values(s), plain)) {
            (Some(_), _) => FitStatus::Fitted,
            (None, Ok(_)) => FitStatus::NotConverged,
            (None, Err(status)) => status,
        };
        let status: Vec<FitStatus> = (0..window.series_count()).map(status_of).collect();
        let constants: Vec<usize> = (0..status.len()).filter(|&s| status[s] == FitStatus::Constant).collect();
        let mut fitted = FittedAutoEts::of(status, best, &EtsForm::admissible(self.season));
        for s in constants {
            let parameters = EtsParameters::constant(window.values(s)[0], plain);
            fitted.picked[s] = Some(Picked { aicc: f64::NEG_INFINITY, form: plain, parameters });
            fitted.standing.add_constant(s, window.values(s)[0]);
        }
        fitted
    }
}

impl<'a> Search<'a> {
    fn new(window: &'a Window<'a>) -> Self {
        let count = window.series_count();
        let observed = |s: usize| window.values(s).iter().filter(|v| !v.is_nan()).count() as f64;
        Self {
            window,
            best: (0..count).map(|_| None).collect(),
            observed: (0..count).map(observed).collect(),
            known: Vec::new(),
        }
    }

    /// Searches a form all over.
    fn everywhere(&mut self, form: EtsForm) {
        let (series, prepared) = self.fit_for(form, |_| true);
        let fit = self.fit_here(form, &series, &prepared, &[]);
        self.keep(form, &series, &prepared, &fit);
    }

    /// Searches a form from the ends of its kin, for as long as it may be the best.
    fn near(&mut self, form: EtsForm) {
        let (series, prepared) = self.fit_for(form, |s| self.kin(form).any(|(_, known)| known[s].is_some()));
        let hint = |(&s, own): (&usize, &Prepared)| {
            let kin = self.kin(form).filter_map(|(form, known)| Some((*form, known[s].as_ref()?)));
            let mut places: Vec<EtsPlace> = kin.map(|(form, kin)| place_of(form, kin, *own)).collect();
            places.extend(other_valley(form, &places[0]));
            let limit = self.best[s].as_ref().map_or(f64::INFINITY, |best| best.aicc - cost(form, self.observed[s]));
            EtsHint { places, limit }
        };
        let hints: Vec<EtsHint> = series.par_iter().zip(&prepared).map(hint).collect();
        let fit = self.fit_here(form, &series, &prepared, &hints);
        self.keep(form, &series, &prepared, &fit);
    }

    fn fit_here(&self, form: EtsForm, series: &[usize], prepared: &[Prepared], hints: &[EtsHint]) -> EtsFit {
        let fit = fit_form(form, self.window, series, prepared, hints, &Device::Cpu);
        fit.expect("each series has its offset, and host memory refuses nothing")
    }

    /// Forms that a form may begin from, as far as they are known: with one component less, or a simpler one.
    fn kin(&self, form: EtsForm) -> impl Iterator<Item = &(EtsForm, Vec<Option<EtsParameters>>)> {
        let without_trend = EtsForm { trend: Trend::None, ..form };
        let additive = EtsForm::additive(form.trend, form.season);
        let undamped = EtsForm { trend: Trend::Additive, ..form };
        let kin = [without_trend, additive, undamped];
        self.known.iter().filter(move |(other, _)| *other != form && kin.contains(other))
    }

    /// The series that a form can be fitted to.
    fn fit_for(&self, form: EtsForm, known: impl Fn(usize) -> bool + Sync) -> (Vec<usize>, Vec<Prepared>) {
        let prepare =
            |s: usize| Prepared::of(self.window.values(s), form).ok().filter(|_| known(s)).map(|own| (s, own));
        (0..self.best.len()).into_par_iter().filter_map(prepare).unzip()
    }

    /// Keeps the form where it is the best so far, and what others begin from.
    fn keep(&mut self, form: EtsForm, series: &[usize], prepared: &[Prepared], fit: &EtsFit) {
        let is_root = form.trend == Trend::None;
        let aicc = |i: usize| fit.deviance[i] + cost(form, self.observed[series[i]]);
        let better = |i: usize| {
            let before = self.best[series[i]].as_ref().map_or(f64::INFINITY, |best| best.aicc);
            fit.converged[i] && aicc(i) < before
        };
        let end = |i: usize| {
            let (values, better) = (self.window.values(series[i]), better(i));
            let (learned, sound) = (better || is_root).then(|| end_of(form, fit, i, values, prepared[i]))?;
            let parameters = learned.parameters.clone();
            Some((series[i], parameters, (better && sound).then(|| Best { aicc: aicc(i), form, learned })))
        };
        let ends: Vec<_> = (0..series.len()).into_par_iter().with_min_len(LANES).filter_map(end).collect();
        let mut known = vec![None; self.best.len()];
        for (s, parameters, best) in ends {
            known[s] = Some(parameters);
            if best.is_some() {
                self.best[s] = best;
            }
        }
        self.known.push((form, known));
    }
}

/// A second place for a trend under an additive error, which the others of that trend go on from. With a season the
/// likelihood often has a valley where the season takes up what the level would; else and where the trend is damped,
/// one where the slope gives way to errors soon.
fn other_valley(form: EtsForm, near: &EtsPlace) -> Option<EtsPlace> {
    let Smoothing { alpha, gamma, .. } = near.smoothing;
    let smoothing = match (form.is_relative(), form.trend) {
        (true, _) | (_, Trend::None) => return None,
        (_, Trend::Additive) if form.season > 1 => Smoothing { alpha: 0.08, beta: 0.003, gamma: 0.7, phi: 1.0 },
        (_, Trend::Additive) => Smoothing { alpha, beta: 0.2 * alpha, gamma, phi: 1.0 },
        (_, Trend::Damped) => Smoothing { alpha: 0.5 * alpha, beta: 0.3 * alpha, gamma, phi: 0.9 },
    };
    Some(EtsPlace { smoothing, ..near.clone() })
}

/// What a form learned, in the unit of the standardised series.
fn place_of(form: EtsForm, own: &EtsParameters, Prepared { centre, scale }: Prepared) -> EtsPlace {
    let unit = |v: f64| (v - centre) / scale;
    let season = match (form.scales(), own.season.is_empty()) {
        (_, true) => vec![unit(own.level)],
        (true, false) => own.season.iter().map(|s| unit(own.level * s)).collect(),
        (false, false) => own.season.iter().map(|s| unit(own.level + s)).collect(),
    };
    EtsPlace { smoothing: own.smoothing, slope: own.slope / scale, season }
}

/// What AICc adds to the deviance for the unknowns and the variance.
fn cost(form: EtsForm, observed: f64) -> f64 {
    foreshadow_kernels::aicc(0.0, observed, form.unknowns() + 1)
}

impl Model for AutoEts {
    fn name(&self) -> String {
        match self.season {
            1 => "autoets".into(),
            season => format!("autoets{season}"),
        }
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        Ok(Box::new(self.learn(window)))
    }

    fn on(&self, device: &Device) -> Option<Box<dyn Model>> {
        Some(self.placed(device))
    }
}

impl Placed for AutoEts {
    fn fit_on(&self, window: &Window<'_>, _seed: u64, device: &Device) -> Result<Box<dyn Fitted>, KernelError> {
        Ok(Box::new(self.learn_on(window, device)?))
    }
}

/// The chosen ETS form of each series, after it has learned a window.
#[derive(Clone, Serialize, Deserialize)]
pub struct FittedAutoEts {
    status: Vec<FitStatus>,
    picked: Vec<Option<Picked>>,
    standing: Standing,
}

/// What was picked for one series.
#[derive(Clone, Serialize, Deserialize)]
struct Picked {
    aicc: f64,
    form: EtsForm,
    parameters: EtsParameters,
}

impl FittedAutoEts {
    fn of(status: Vec<FitStatus>, best: Vec<Option<Best>>, forms: &[EtsForm]) -> Self {
        let mut ends: Vec<Vec<_>> = forms.iter().map(|_| Vec::new()).collect();
        let mut pick = |(s, best): (usize, Option<Best>)| {
            let Best { aicc, form, learned } = best?;
            let own = forms.iter().position(|other| *other == form).expect("the best form is one of those tried");
            ends[own].push((s, learned.end));
            Some(Picked { aicc, form, parameters: learned.parameters })
        };
        let picked = best.into_iter().enumerate().map(&mut pick).collect();
        let mut standing = Standing::default();
        forms.iter().zip(&ends).for_each(|(form, ends)| standing.add(*form, ends));
        Self { status, picked, standing }
    }

    fn picked(&self, series: usize) -> Option<&Picked> {
        self.picked[series].as_ref().filter(|_| self.status[series].is_usable())
    }

    /// The form chosen for a series and what was learned of it; `None` where its status is not usable.
    pub fn parameters(&self, series: usize) -> Option<(EtsForm, &EtsParameters)> {
        self.picked(series).map(|picked| (picked.form, &picked.parameters))
    }

    /// The criterion of the form chosen for a series, up to a constant of the series' own.
    pub fn aicc(&self, series: usize) -> Option<f64> {
        self.picked(series).map(|picked| picked.aicc)
    }
}

impl Fitted for FittedAutoEts {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "autoets"
    }

    fn artifact(&self) -> Option<Artifact<'_>> {
        Some(Artifact(Kept::AutoEts(Cow::Borrowed(self))))
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        Ok(self.standing.predict(self.status.len(), horizon, quantiles))
    }

    fn append(&mut self, points: &[f64]) -> Result<(), AppendError> {
        self.standing.append(&mut self.status, points)
    }
}

impl Whole for FittedAutoEts {
    fn is_whole(&self) -> bool {
        self.picked.len() == self.status.len() && self.standing.is_whole(&self.status)
    }
}
