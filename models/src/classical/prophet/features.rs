//! The columns beside the trend: waves of seasons, days of holidays, regressors.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use holidays_rs::{Calendar, Date};
use serde::{Deserialize, Serialize};

use super::config::{RegressorSetting, Settings, Standardise};
use crate::{FitStatus, season};

pub(super) const DAY_MS: f64 = season::DAY_MS as f64;
/// A regressor's value, once standardised, and a capacity, scaled, lie nearer to zero than this: their products with
/// coefficients stay far inside f64's range.
pub(super) const FURTHEST: f64 = 1e100;
/// Years after the data for which a country's holidays are reckoned.
const YEARS_AHEAD: i32 = 10;

/// A season as it was asked for.
#[derive(Clone, Debug)]
pub(super) struct SeasonSetting {
    pub(super) name: String,
    pub(super) period_days: f64,
    pub(super) order: usize,
    pub(super) precision: f64,
    pub(super) multiplies: bool,
    pub(super) when: When,
}

/// Which series have a season.
#[derive(Clone, Copy, Debug)]
pub(super) enum When {
    Always,
    /// Those observed over such a span, with two observations nearer than that.
    Observed {
        span_ms: f64,
        apart_ms: f64,
    },
}

/// Which of the settings' seasons a series has, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Seasons(u64);

impl Seasons {
    /// By the span of the observations and the least distance between two of them.
    pub(super) fn of(settings: &Settings, span_ms: f64, closest_ms: f64) -> Self {
        let has = |when| match when {
            When::Always => true,
            When::Observed { span_ms: span, apart_ms: apart } => span_ms >= span && closest_ms < apart,
        };
        let bits = settings.seasons.iter().enumerate().map(|(i, season)| u64::from(has(season.when)) << i);
        Self(bits.sum())
    }

    /// Steps that the longest season that was asked for needs: one period of it, which is as much as tells its phases
    /// apart from a trend.
    pub(super) fn needed_steps(settings: &Settings, step_ms: f64) -> usize {
        let asked = settings.seasons.iter().filter(|season| matches!(season.when, When::Always));
        asked.map(|season| (season.period_days * DAY_MS / step_ms).ceil() as usize).max().unwrap_or(0)
    }

    fn settings(self, settings: &Settings) -> impl Iterator<Item = &SeasonSetting> {
        settings.seasons.iter().enumerate().filter(move |(i, _)| self.0 >> i & 1 == 1).map(|(_, season)| season)
    }

    /// Periods of its waves in days, the slowest of each season first.
    pub(super) fn periods(self, settings: &Settings) -> Vec<f64> {
        let waves = |season: &SeasonSetting| {
            let period = season.period_days;
            (1..=season.order).map(move |wave| period / wave as f64)
        };
        self.settings(settings).flat_map(waves).collect()
    }
}

/// Every wave at a time, in milliseconds since the series' first observation: a sine and a cosine each.
pub(super) fn waves(periods: &[f64], since_ms: f64) -> Vec<f64> {
    let days = since_ms / DAY_MS;
    periods.iter().flat_map(|period| <[f64; 2]>::from((TAU * (days / period).fract()).sin_cos())).collect()
}

/// What all columns of a group of series have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Features {
    pub(super) periods: Vec<f64>,
    days: Vec<DayColumn>,
    regressors: Vec<Standardised>,
    /// Of every column: waves, holidays, regressors.
    pub(super) precisions: Vec<f64>,
    pub(super) multiplies: Vec<bool>,
    names: Vec<String>,
}

/// An effect of a holiday, on one of the days about it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DayColumn {
    name: String,
    /// Days since 1970, rising.
    days: Vec<i64>,
    precision: f64,
}

/// A regressor, and what brings it to mean zero and deviation one.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Standardised {
    index: usize,
    mean: f64,
    deviation: f64,
}

/// The steps that a group of series shares.
pub(super) struct Grid<'a> {
    /// The series' name: regressors may go by it.
    pub(super) series: &'a str,
    pub(super) start_ms: i64,
    pub(super) step_ms: i64,
    pub(super) steps: usize,
    /// Unobserved steps, rising.
    pub(super) missing: &'a [u32],
}

impl Grid<'_> {
    pub(super) fn time(&self, step: usize) -> i64 {
        self.start_ms + step as i64 * self.step_ms
    }

    pub(super) fn observed(&self) -> impl Iterator<Item = usize> {
        (0..self.steps).filter(|step| self.missing.binary_search(&(*step as u32)).is_err())
    }
}

impl Features {
    /// None at all.
    pub(super) fn none() -> Self {
        let (precisions, multiplies) = (Vec::new(), Vec::new());
        Self {
            periods: Vec::new(),
            days: Vec::new(),
            regressors: Vec::new(),
            precisions,
            multiplies,
            names: Vec::new(),
        }
    }

    /// Those of series that have nothing but seasons.
    pub(super) fn of_waves(settings: &Settings, seasons: Seasons) -> Self {
        let mut features = Self::none();
        features.periods = seasons.periods(settings);
        for season in seasons.settings(settings) {
            let label = |i: usize| format!("{} {} {}", season.name, ["sine", "cosine"][i % 2], i / 2 + 1);
            features.names.extend((0..2 * season.order).map(label));
            features.precisions.resize(features.names.len(), season.precision);
            features.multiplies.resize(features.names.len(), season.multiplies);
        }
        features
    }

    /// Those of a group. A holiday without a step in the grid has no effect that data speak of: no column.
    pub(super) fn new(settings: &Settings, seasons: Seasons, grid: &Grid<'_>) -> Result<Self, FitStatus> {
        let mut features = Self::of_waves(settings, seasons);
        features.days = day_columns(settings, grid);
        for column in &features.days {
            features.names.push(column.name.clone());
            features.precisions.push(column.precision);
            features.multiplies.push(settings.holidays_multiply);
        }
        for (index, regressor) in settings.regressors.iter().enumerate() {
            let (mean, deviation) = standardise(regressor, grid)?;
            features.regressors.push(Standardised { index, mean, deviation });
            features.names.push(regressor.name.clone());
            features.precisions.push(regressor.precision);
            features.multiplies.push(regressor.multiplies);
        }
        Ok(features)
    }

    pub(super) fn columns(&self) -> usize {
        self.names.len()
    }

    /// Whether they may be those of a group, read without regressors.
    pub(super) fn is_whole(&self) -> bool {
        let shaped = self.names.len() == 2 * self.periods.len() + self.days.len()
            && self.names.len() == self.multiplies.len()
            && self.names.len() == self.precisions.len();
        shaped && self.regressors.is_empty() && self.periods.iter().all(|period| period.is_finite() && *period > 0.0)
    }

    /// What each column stands for.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The columns after the waves at a time; the index of a regressor where it is unknown, or so far from what was
    /// observed that it is out of range.
    pub(super) fn calendar(&self, settings: &Settings, series: &str, time_ms: i64) -> Result<Vec<f64>, usize> {
        let day = time_ms.div_euclid(DAY_MS as i64);
        let on = |column: &DayColumn| f64::from(column.days.binary_search(&day).is_ok());
        let mut row: Vec<f64> = self.days.iter().map(on).collect();
        for regressor in &self.regressors {
            let value = settings.regressors[regressor.index].known.at(series, time_ms).ok_or(regressor.index)?;
            let value = (value - regressor.mean) / regressor.deviation;
            row.push(if value.abs() < FURTHEST { value } else { return Err(regressor.index) });
        }
        Ok(row)
    }

    /// Turns coefficients of waves that begin at `start_ms` into those of waves that begin in 1970.
    pub(super) fn since_epoch(&self, beta: &[f64], start_ms: i64) -> Vec<f64> {
        let days = start_ms as f64 / DAY_MS;
        let (waves, others) = beta.split_at(2 * self.periods.len());
        let turn = |(pair, period): (&[f64], &f64)| {
            let (sine, cosine) = (TAU * (days / period).fract()).sin_cos();
            [pair[0] * cosine + pair[1] * sine, pair[1] * cosine - pair[0] * sine]
        };
        let turned = waves.chunks_exact(2).zip(&self.periods).flat_map(turn);
        turned.chain(others.iter().copied()).collect()
    }
}

/// The effects of holidays that have a step in the grid, by name and then by day about it.
fn day_columns(settings: &Settings, grid: &Grid<'_>) -> Vec<DayColumn> {
    if grid.steps == 0 || settings.holidays.is_empty() && settings.countries.is_empty() {
        return Vec::new();
    }
    let day_of = |time_ms: i64| time_ms.div_euclid(DAY_MS as i64);
    let (first, last) = (day_of(grid.start_ms), day_of(grid.time(grid.steps - 1)));
    let mut columns: BTreeMap<(String, i64), (Vec<i64>, f64)> = BTreeMap::new();
    let mut add = |name: &str, offset: i64, day: i64, precision: f64| {
        columns.entry((name.into(), offset)).or_insert_with(|| (Vec::new(), precision)).0.push(day);
    };
    for holiday in &settings.holidays {
        for offset in -holiday.before..=holiday.after {
            for day in &holiday.days {
                add(&holiday.name, offset, day.saturating_add(offset), holiday.precision);
            }
        }
    }
    for country in settings.countries.iter().copied() {
        let year = |day| Date::from_days_from_epoch(day).year;
        for year in year(first)..=year(last).saturating_add(YEARS_AHEAD) {
            for (date, name) in Calendar::new(country).holidays_in(year) {
                let own = settings.holidays.iter().find(|holiday| holiday.name == name);
                let precision = own.map_or(settings.holiday_precision, |own| own.precision);
                add(name, 0, date.days_from_epoch(), precision);
            }
        }
    }
    let column = |((name, offset), (mut days, precision)): ((String, i64), (Vec<i64>, f64))| {
        days.sort_unstable();
        days.dedup();
        let name = if offset == 0 { name } else { format!("{name} {offset:+}") };
        days.iter().any(|day| (first..=last).contains(day)).then_some(DayColumn { name, days, precision })
    };
    columns.into_iter().filter_map(column).collect()
}

/// Mean and deviation over the observed steps (`initialize_scales`).
fn standardise(regressor: &RegressorSetting, grid: &Grid<'_>) -> Result<(f64, f64), FitStatus> {
    let lacking = |at_ms| FitStatus::Input { name: regressor.name.clone(), at_ms };
    let read = |step| regressor.known.at(grid.series, grid.time(step)).ok_or_else(|| lacking(grid.time(step)));
    let values = grid.observed().map(read).collect::<Result<Vec<f64>, _>>()?;
    let one_value = values.windows(2).all(|pair| pair[0] == pair[1]);
    let binary = values.iter().all(|value| *value == 0.0 || *value == 1.0);
    if let Some(far) = grid.observed().zip(&values).find(|(_, value)| value.abs() >= FURTHEST) {
        return Err(lacking(grid.time(far.0)));
    }
    if one_value
        || regressor.standardise == Standardise::No
        || binary && regressor.standardise == Standardise::Automatic
    {
        return Ok((0.0, 1.0));
    }
    let count = values.len() as f64;
    let mean = values.iter().map(|value| value / count).sum::<f64>();
    let square = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>();
    let deviation = (square / (count - 1.0)).sqrt();
    if deviation.is_finite() && deviation > 0.0 { Ok((mean, deviation)) } else { Err(lacking(grid.start_ms)) }
}
