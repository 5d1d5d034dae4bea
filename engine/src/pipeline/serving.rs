//! What serves each series of a panel: fits that go on, and new ones in batches that fit in memory.

use foreshadow_models::classical::{CustomProphet, SeasonalNaive};
use foreshadow_models::{
    AsRead, FitStatus, Fitted, FittedAuto, Forecast, HeldOut, Model, Origins, Panel, Quantiles, Window, Wish, backtest,
};

use super::{Made, PipelineError, PipelineSettings};
use crate::batch::{Batch, batches};
use crate::clock::DAY_MS;
use crate::families::{self, Lack, Working};
use crate::issue::Accuracy;
use crate::live::Live;
use crate::live::fits::{Candidate, Place};

/// Folds that judge a family asked for by name, one horizon apart; `auto` lays out its own.
const FOLDS: usize = 8;

/// What serves each series of a panel.
pub(super) struct Judged {
    status: Vec<FitStatus>,
    /// The family of each series.
    models: Vec<String>,
    /// What held-out folds said of it.
    held_out: Vec<Option<Accuracy>>,
    forecast: Forecast,
}

impl Judged {
    /// Nothing yet.
    fn empty(count: usize, settings: &PipelineSettings) -> Self {
        Self {
            status: vec![FitStatus::NoData; count],
            models: vec![String::new(); count],
            held_out: vec![None; count],
            forecast: Forecast::empty(count, settings.horizon, settings.quantiles.clone()),
        }
    }

    /// What the family alone makes of the panel.
    pub(super) fn alone(self, panel: &Panel, lacking: &[Lack]) -> Made {
        let Self { status, models, held_out, forecast } = self;
        let refused = |(series, status): (usize, &FitStatus)| match status.is_usable() {
            true if forecast.is_finite(series) => None,
            true => Some("its forecast is not finite".into()),
            false => Some(families::why(status, panel.name(series), lacking)),
        };
        let refused = status.iter().enumerate().map(refused).collect();
        Made { forecast, models, held_out, refused }
    }
}

/// Fits a family.
pub(super) fn fit(
    name: &str,
    panel: &Panel,
    prophet: &CustomProphet,
    settings: &PipelineSettings,
    live: &mut Live,
    now_ms: i64,
) -> Result<Judged, PipelineError> {
    if families::is_auto(name) {
        return go_on(name, panel, prophet, settings, live, now_ms);
    }
    let family = families::family(name, panel.steps_in(DAY_MS), &settings.given(prophet));
    let family = family.ok_or_else(|| PipelineError::UnknownFamily { name: name.into() })?;
    let mut judged = Judged::empty(panel.series_count(), settings);
    judged.models.fill(family.name());
    let (window, all) = (panel.window(), (0..panel.series_count()).collect::<Vec<_>>());
    for Batch { series, .. } in in_batches(&window, &all, name, settings) {
        let window = window.only(&series);
        let fitted = family.refit(&window, settings.seed, &live.learned(name, &window))?;
        live.learn(name, &window, &*fitted, now_ms);
        let forecast = fitted.predict(settings.horizon, &settings.quantiles)?;
        // Folds are so many fits more, and their errors hold until as much has come as each of them was judged by.
        let stale_ms = settings.horizon.steps() as i64 * window.step_ms();
        if (0..series.len()).any(|at| live.judged(name, &window, at, stale_ms).is_none()) {
            // All, for a network of all series is another one on some of them.
            for (at, held_out) in judge(&*family, &window, settings)?.into_iter().enumerate() {
                live.judge(name, &window, at, held_out, now_ms);
            }
        }
        for (at, s) in series.iter().enumerate() {
            judged.status[*s] = fitted.status()[at].clone();
            judged.held_out[*s] = live.judged(name, &window, at, stale_ms).flatten().cloned();
            judged.forecast.copy(*s, &forecast, at);
        }
    }
    Ok(judged)
}

/// Some of a window's series in batches that leave a family the memory it works in.
fn in_batches(window: &Window<'_>, series: &[usize], name: &str, settings: &PipelineSettings) -> Vec<Batch> {
    let PipelineSettings { lookback_steps, horizon, quantiles, memory_bytes, .. } = settings;
    let levels = quantiles.levels().len();
    let working = Working { family: name, lookback_steps: *lookback_steps, horizon: *horizon, levels };
    let bytes: Vec<u64> = (0..window.series_count()).map(|s| working.bytes(window.values(s).len())).collect();
    batches(series, &bytes, &[], *memory_bytes)
}

/// Judges what earlier issues expected of each series and goes on with the fits that are still good; the others are
/// picked and fitted anew with that in mind. What is expected now is noted.
fn go_on(
    name: &str,
    panel: &Panel,
    prophet: &CustomProphet,
    settings: &PipelineSettings,
    live: &mut Live,
    now_ms: i64,
) -> Result<Judged, PipelineError> {
    let (window, mark, count) = (panel.window(), settings.mark(name, prophet, panel), panel.series_count());
    let wishes = live.wishes(&window);
    let limits: Vec<i64> =
        (0..count).map(|s| settings.refit_after(window.name(s), live.track(window.name(s)))).collect();
    let stays = |fit: Candidate<'_>| {
        let wish = wishes[fit.series].champion.as_deref();
        now_ms.saturating_sub(fit.since_ms) < limits[fit.series] && wish.is_none_or(|wish| wish == fit.champion)
    };
    let mut places = live.fits_mut().go_on(&window, mark, &wishes, stays);
    let stale: Vec<usize> = (0..count).filter(|s| places[*s].is_none()).collect();
    for Batch { series, .. } in in_batches(&window, &stale, name, settings) {
        let own: Vec<Wish> = series.iter().map(|s| wishes[*s].clone()).collect();
        let window = window.only(&series);
        let fitted = pick(name, &window, prophet, settings, &own)?;
        let added = live.fits_mut().add(&window, fitted, mark, now_ms);
        series.iter().zip(added).for_each(|(s, place)| places[*s] = Some(place));
    }
    let mut judged = Judged::empty(count, settings);
    let mut all_said = vec![None; count];
    for cohort in live.fits().iter() {
        let here = |(s, place): (usize, &Option<Place>)| {
            Some((s, (*place)?.member)).filter(|_| place.is_some_and(|p| p.cohort == cohort.id()))
        };
        let here: Vec<(usize, usize)> = places.iter().enumerate().filter_map(here).collect();
        if here.is_empty() {
            continue;
        }
        let fitted = cohort.fitted();
        let forecast = fitted.predict(settings.horizon, &settings.quantiles)?;
        let mut said = fitted.said(&cohort.ends_ms(), panel.step_ms(), &forecast)?;
        for (s, member) in here {
            let choice = fitted.choice(member);
            judged.status[s] = fitted.status()[member].clone();
            judged.models[s] = choice.chosen.champion.clone();
            judged.held_out[s] = choice.held_out.as_ref().map(accuracy);
            judged.forecast.copy(s, &forecast, member);
            all_said[s] = said[member].take();
        }
    }
    live.note(&window, all_said);
    Ok(judged)
}

/// Picks and fits with what is known live in mind.
fn pick(
    name: &str,
    window: &Window<'_>,
    prophet: &CustomProphet,
    settings: &PipelineSettings,
    wishes: &[Wish],
) -> Result<FittedAuto, PipelineError> {
    let auto = families::auto(name, window.steps_in(DAY_MS), &settings.given(prophet));
    let auto = auto.ok_or_else(|| PipelineError::UnknownFamily { name: name.into() })?;
    Ok(auto.follow(window, settings.seed, wishes, &|_, _| ())?)
}

/// Judges what earlier issues expected of each series, picks and fits with that in mind, and notes what is expected now.
/// `prophet` is that of the settings, with the panel's regressors.
pub fn follow(
    panel: &Panel,
    prophet: &CustomProphet,
    settings: &PipelineSettings,
    live: &mut Live,
) -> Result<(FittedAuto, Forecast), PipelineError> {
    let window = panel.window();
    let name = settings.models.iter().find(|name| families::is_auto(name)).map_or("auto", String::as_str);
    let fitted = pick(name, &window, prophet, settings, &live.wishes(&window))?;
    let forecast = fitted.predict(settings.horizon, &settings.quantiles)?;
    let ends_ms: Vec<i64> = (0..panel.series_count()).map(|series| window.end_ms(series)).collect();
    live.note(&window, fitted.said(&ends_ms, panel.step_ms(), &forecast)?);
    Ok((fitted, forecast))
}

/// What the last folds say of a family that was asked for by name, beside seasonal naive.
fn judge(
    family: &dyn Model,
    window: &Window<'_>,
    settings: &PipelineSettings,
) -> Result<Vec<Option<Accuracy>>, PipelineError> {
    let (season, horizon) = (window.steps_in(DAY_MS), settings.horizon);
    let origins = Origins::rolling(window, horizon, FOLDS, horizon.steps());
    let yardstick = AsRead(Box::new(SeasonalNaive { season }));
    let (models, levels): ([&dyn Model; 2], _) = ([family, &yardstick], Quantiles::standard());
    let folds = backtest(window, &models, origins, horizon, &levels, settings.seed, &|_, _| ())?;
    Ok(folds.held_out(0, 1, season).iter().map(|held_out| held_out.as_ref().map(accuracy)).collect())
}

/// How a champion did on the folds that had no part in picking it.
fn accuracy(held_out: &HeldOut) -> Accuracy {
    Accuracy {
        mase: held_out.mase,
        mase_seasonal_naive: held_out.mase_seasonal_naive,
        coverage95_percent: held_out.coverage95_percent,
        folds: held_out.folds as u32,
        shares: Quantiles::standard().levels().iter().copied().zip(held_out.share_below.iter().copied()).collect(),
    }
}
