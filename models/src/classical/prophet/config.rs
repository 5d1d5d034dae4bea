//! What may be chosen of Prophet beyond its defaults, and the checked form of it.

use holidays_rs::Country;

use super::CustomProphet;
use super::countries::COUNTRIES;
use super::features::{DAY_MS, SeasonSetting, When};
use super::inputs::Known;
use crate::Window;

/// How an effect joins the trend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is added, in the unit of the series.
    #[default]
    Additive,
    /// It multiplies the trend: 0.1 is 10 % of it.
    Multiplicative,
}

/// How the trend grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Growth {
    /// A line that bends at the changepoints.
    #[default]
    Linear,
    /// A level that never changes.
    Flat,
    /// An S-curve between a floor and a capacity, whose rate changes at the changepoints.
    Logistic {
        /// What the trend saturates at, in the series' unit; above the floor at every step. Where it and the floor leave
        /// no curve that is nearer to a series than its own range, the series has [`crate::FitStatus::Input`].
        capacity: Known,
        /// Where it starts from, in the series' unit; zero where there is none.
        floor: Option<Known>,
    },
}

/// Whether one of the built-in seasons is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Builtin {
    /// Where a series is long enough and dense enough for it.
    #[default]
    Automatic,
    /// Never.
    Off,
    /// Always, with so many waves; a series shorter than its period is refused as for a [`Season`].
    Order(usize),
}

/// A season of the caller's. A series that does not hold one whole period of it is [`crate::FitStatus::TooShort`]:
/// what it never saw of a period would be guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct Season {
    /// Its name; `yearly`, `weekly` and `daily` take the place of the built-in ones.
    pub name: String,
    /// Period in days.
    pub period_days: f64,
    /// Waves: a sine and a cosine each.
    pub order: usize,
    /// Standard deviation of the coefficients' normal prior; that of the configuration where `None`.
    pub prior_scale: Option<f64>,
    /// How it joins the trend; the configuration's mode where `None`.
    pub mode: Option<Mode>,
}

/// A holiday of the caller's, with an effect of its own for each day about it. Days are those of the window's times, as are
/// the phases of seasons: of UTC, or, by [`crate::AsRead`] and [`crate::Auto`], of the clocks that a panel follows. They have
/// 24 hours each, leap seconds notwithstanding.
#[derive(Clone, Debug, PartialEq)]
pub struct Holiday {
    /// Its name; several entries of one name share their effects.
    pub name: String,
    /// Each of its days, by a time within it in milliseconds since 1970, the day being taken for one of UTC.
    pub dates_ms: Vec<i64>,
    /// Days before it that have an effect.
    pub days_before: u32,
    /// Days after it that have an effect.
    pub days_after: u32,
    /// Standard deviation of the effects' normal prior; that of the configuration where `None`.
    pub prior_scale: Option<f64>,
}

/// Whether a regressor is brought to mean zero and deviation one over the observed steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standardise {
    /// Unless it has one value, or is 0 and 1 alone.
    #[default]
    Automatic,
    /// Unless it has one value.
    Yes,
    /// Never.
    No,
}

/// Something known that moves the series.
#[derive(Clone, Debug, PartialEq)]
pub struct Regressor {
    /// Its name, by which errors call it.
    pub name: String,
    /// Its values, at every observed step and at every step to forecast.
    pub known: Known,
    /// Standard deviation of the coefficient's normal prior; that of holidays where `None`.
    pub prior_scale: Option<f64>,
    /// Whether it is standardised.
    pub standardise: Standardise,
    /// How it joins the trend; the configuration's mode where `None`.
    pub mode: Option<Mode>,
}

/// Prophet's settings; what is not said stays at Prophet's own default.
///
/// [`ProphetConfig::build`] checks them. Names, defaults and meanings are those of `prophet` 1.5.0.
#[derive(Clone, Debug, PartialEq)]
pub struct ProphetConfig {
    /// The family's name in tables.
    pub name: String,
    /// How the trend grows.
    pub growth: Growth,
    /// Places where the trend may bend, at most.
    pub changepoint_count: usize,
    /// Share of the observed steps, from the first one, that may hold them; in `(0, 1]`.
    pub changepoint_range: f64,
    /// Scale of the bends' Laplace prior.
    pub changepoint_prior_scale: f64,
    /// How seasons, holidays and regressors join the trend where they do not say so themselves.
    pub mode: Mode,
    /// The year, 10 waves of 365.25 days: from 730 observed days on.
    pub yearly: Builtin,
    /// The week, 3 waves: from 14 days on, where steps are under 7 days.
    pub weekly: Builtin,
    /// The day, 4 waves: from 2 days on, where steps are under a day.
    pub daily: Builtin,
    /// Seasons of the caller's, 60 at most.
    pub seasons: Vec<Season>,
    /// Standard deviation of the prior of seasons that have none of their own.
    pub season_prior_scale: f64,
    /// Holidays of the caller's.
    pub holidays: Vec<Holiday>,
    /// Countries whose national holidays join them, by two letters (ISO 3166) or English names, such as `DE` or
    /// `Germany`: [`ProphetConfig::known_countries`] lists them. A holiday that moves off a weekend is on the day it is
    /// kept; forecasts know those of ten years after the data. Countries that name a holiday alike share its effect.
    pub countries: Vec<String>,
    /// How holidays join the trend; the configuration's mode where `None`.
    pub holiday_mode: Option<Mode>,
    /// Standard deviation of the prior of holidays and regressors that have none of their own.
    pub holiday_prior_scale: f64,
    /// What else moves the series.
    pub regressors: Vec<Regressor>,
    /// Steps ahead for which regressors, capacity and floor must be known: a series that lacks one of them is refused
    /// by its status, [`crate::FitStatus::Input`], and spoils no other's forecast. Further ahead a lack of any series
    /// is [`crate::PredictError::Input`].
    pub ahead_steps: usize,
}

impl Default for ProphetConfig {
    fn default() -> Self {
        Self {
            name: "prophet".into(),
            growth: Growth::Linear,
            changepoint_count: 25,
            changepoint_range: 0.8,
            changepoint_prior_scale: 0.05,
            mode: Mode::Additive,
            yearly: Builtin::Automatic,
            weekly: Builtin::Automatic,
            daily: Builtin::Automatic,
            seasons: Vec::new(),
            season_prior_scale: 10.0,
            holidays: Vec::new(),
            countries: Vec::new(),
            holiday_mode: None,
            holiday_prior_scale: 10.0,
            regressors: Vec::new(),
            ahead_steps: 0,
        }
    }
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProphetConfigError {
    /// A number is out of the range it must lie in.
    #[error("{setting} is {value}; it must be {needed}")]
    OutOfRange {
        /// The setting, with the name of what it belongs to.
        setting: String,
        /// What it was.
        value: f64,
        /// What it must be.
        needed: &'static str,
    },
    /// Two seasons, a season and a holiday, or the like would be told apart by nothing.
    #[error("{name:?} is named twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// Entries of one holiday ask for different priors.
    #[error("the entries of holiday {name:?} differ in their prior scale")]
    Inconsistent {
        /// The holiday.
        name: String,
    },
    /// [`ProphetConfig::known_countries`] lists those that are.
    #[error("no holidays are known for country {name:?}")]
    UnknownCountry {
        /// What was asked for.
        name: String,
    },
}

/// Settings in hand that were checked.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) growth: Growth,
    pub(super) changepoint_count: usize,
    pub(super) changepoint_range: f64,
    pub(super) changepoint_scale: f64,
    pub(super) seasons: Vec<SeasonSetting>,
    pub(super) holidays: Vec<HolidaySetting>,
    pub(super) countries: Vec<Country>,
    /// Of the countries' holidays.
    pub(super) holiday_precision: f64,
    pub(super) holidays_multiply: bool,
    pub(super) regressors: Vec<RegressorSetting>,
    pub(super) ahead_steps: usize,
}

#[derive(Clone, Debug)]
pub(super) struct HolidaySetting {
    pub(super) name: String,
    /// Days since 1970.
    pub(super) days: Vec<i64>,
    pub(super) before: i64,
    pub(super) after: i64,
    pub(super) precision: f64,
}

#[derive(Clone, Debug)]
pub(super) struct RegressorSetting {
    pub(super) name: String,
    pub(super) known: Known,
    pub(super) precision: f64,
    pub(super) standardise: Standardise,
    pub(super) multiplies: bool,
}

/// Prophet's built-in seasons: name, period in days, waves, days observed at least, days between observations
/// at most (`set_auto_seasonalities`), in its order.
const BUILTIN: [(&str, f64, usize, f64, f64); 3] =
    [("yearly", 365.25, 10, 730.0, f64::INFINITY), ("weekly", 7.0, 3, 14.0, 7.0), ("daily", 1.0, 4, 2.0, 1.0)];
/// Seasons and bends reach no further than this: more than there are steps tell nothing apart.
const MOST_SEASONS: usize = 60;
const MOST_WAVES: usize = 500;
const MOST_CHANGEPOINTS: usize = 500;

impl Settings {
    /// Prophet's defaults.
    pub(super) fn plain() -> Self {
        ProphetConfig::default().check().expect("the defaults are in range")
    }

    pub(super) fn has_calendar(&self) -> bool {
        !self.holidays.is_empty() || !self.countries.is_empty() || !self.regressors.is_empty()
    }

    /// The same with everything known beside the series as it was to be seen at each one's end; `None` where nothing
    /// is hidden.
    pub(super) fn seen_by(&self, window: &Window<'_>) -> Option<Self> {
        let seen = |known: &Known| known.seen_by(window);
        let regressors: Vec<Option<Known>> = self.regressors.iter().map(|regressor| seen(&regressor.known)).collect();
        let (capacity, floor) = match &self.growth {
            Growth::Logistic { capacity, floor } => (seen(capacity), floor.as_ref().and_then(seen)),
            Growth::Linear | Growth::Flat => (None, None),
        };
        if capacity.is_none() && floor.is_none() && regressors.iter().all(Option::is_none) {
            return None;
        }
        let mut settings = self.clone();
        for (regressor, seen) in settings.regressors.iter_mut().zip(regressors) {
            regressor.known = seen.unwrap_or_else(|| regressor.known.clone());
        }
        if let Growth::Logistic { capacity: top, floor: bottom } = &mut settings.growth {
            *top = capacity.unwrap_or_else(|| top.clone());
            *bottom = floor.or_else(|| bottom.clone());
        }
        Some(settings)
    }
}

impl ProphetConfig {
    /// The countries whose holidays are known: their two letters and their English names.
    pub fn known_countries() -> impl Iterator<Item = (&'static str, &'static str)> {
        COUNTRIES.iter().map(|(letters, country)| (*letters, country.name()))
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ProphetConfigError`] with the first setting that cannot be used.
    pub fn build(self) -> Result<CustomProphet, ProphetConfigError> {
        let settings = self.check()?;
        Ok(CustomProphet::new(self, settings))
    }

    fn check(&self) -> Result<Settings, ProphetConfigError> {
        let range = self.changepoint_range;
        let setting = "changepoint_range".to_string();
        if !(range > 0.0 && range <= 1.0) {
            return Err(ProphetConfigError::OutOfRange { setting, value: range, needed: "in (0, 1]" });
        }
        within("changepoint_count", self.changepoint_count, 0..=MOST_CHANGEPOINTS, "at most 500")?;
        self.check_names()?;
        self.check_bounds()?;
        Ok(Settings {
            growth: self.growth.clone(),
            changepoint_count: self.changepoint_count,
            changepoint_range: range,
            changepoint_scale: positive("changepoint_prior_scale", self.changepoint_prior_scale)?,
            seasons: self.check_seasons()?,
            holidays: self.check_holidays()?,
            countries: self.countries.iter().map(|name| country(name)).collect::<Result<_, _>>()?,
            holiday_precision: precision("holiday_prior_scale", self.holiday_prior_scale)?,
            holidays_multiply: self.holiday_mode.unwrap_or(self.mode) == Mode::Multiplicative,
            regressors: self.check_regressors()?,
            ahead_steps: self.ahead_steps,
        })
    }

    /// What is always the same can be checked before there are data.
    fn check_bounds(&self) -> Result<(), ProphetConfigError> {
        let Growth::Logistic { capacity, floor } = &self.growth else { return Ok(()) };
        finite("capacity", capacity)?;
        let floor = match floor {
            Some(floor) => finite("floor", floor)?,
            None => Some(0.0),
        };
        match (capacity, floor) {
            (Known::Constant(capacity), Some(floor)) if *capacity <= floor => {
                let (setting, value) = ("capacity".into(), *capacity);
                Err(ProphetConfigError::OutOfRange { setting, value, needed: "above the floor" })
            }
            _ => Ok(()),
        }
    }

    /// Seasons and regressors are each alone in their name; holidays may repeat theirs.
    fn check_names(&self) -> Result<(), ProphetConfigError> {
        let holidays = self.holidays.iter().enumerate();
        let first = holidays.filter(|(i, day)| self.holidays[..*i].iter().all(|other| other.name != day.name));
        let mut names: Vec<&str> = first.map(|(_, day)| day.name.as_str()).collect();
        names.extend(self.seasons.iter().map(|season| season.name.as_str()));
        names.extend(self.regressors.iter().map(|regressor| regressor.name.as_str()));
        names.sort_unstable();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(ProphetConfigError::Twice { name: pair[0].into() }),
            None => Ok(()),
        }
    }

    fn check_seasons(&self) -> Result<Vec<SeasonSetting>, ProphetConfigError> {
        within("seasons", self.seasons.len(), 0..=MOST_SEASONS, "at most 60")?;
        let mut seasons = Vec::new();
        for season in &self.seasons {
            let of = |setting: &str| format!("{setting} of season {}", season.name);
            within(&of("order"), season.order, 1..=MOST_WAVES, "from 1 to 500")?;
            seasons.push(SeasonSetting {
                name: season.name.clone(),
                period_days: positive(&of("period_days"), season.period_days)?,
                order: season.order,
                precision: precision(&of("prior_scale"), season.prior_scale.unwrap_or(self.season_prior_scale))?,
                multiplies: season.mode.unwrap_or(self.mode) == Mode::Multiplicative,
                when: When::Always,
            });
        }
        let precision = precision("season_prior_scale", self.season_prior_scale)?;
        for ((name, period_days, usual, span, apart), asked) in
            BUILTIN.into_iter().zip([self.yearly, self.weekly, self.daily])
        {
            let (order, when) = match asked {
                _ if self.seasons.iter().any(|season| season.name == name) => continue,
                Builtin::Off => continue,
                Builtin::Automatic => (usual, When::Observed { span_ms: span * DAY_MS, apart_ms: apart * DAY_MS }),
                Builtin::Order(order) => (order, When::Always),
            };
            within(&format!("order of {name}"), order, 1..=MOST_WAVES, "from 1 to 500")?;
            let multiplies = self.mode == Mode::Multiplicative;
            seasons.push(SeasonSetting { name: name.into(), period_days, order, precision, multiplies, when });
        }
        let waves = seasons.iter().map(|season| season.order).sum();
        within("the order of all seasons together", waves, 0..=MOST_WAVES, "at most 500")?;
        Ok(seasons)
    }

    fn check_holidays(&self) -> Result<Vec<HolidaySetting>, ProphetConfigError> {
        let mut holidays: Vec<HolidaySetting> = Vec::new();
        for day in &self.holidays {
            let of = |setting: &str| format!("{setting} of holiday {}", day.name);
            within(&of("days_before"), day.days_before as usize, 0..=366, "at most 366")?;
            within(&of("days_after"), day.days_after as usize, 0..=366, "at most 366")?;
            let own = precision(&of("prior_scale"), day.prior_scale.unwrap_or(self.holiday_prior_scale))?;
            if holidays.iter().any(|other| other.name == day.name && other.precision != own) {
                return Err(ProphetConfigError::Inconsistent { name: day.name.clone() });
            }
            holidays.push(HolidaySetting {
                name: day.name.clone(),
                days: day.dates_ms.iter().map(|date| date.div_euclid(DAY_MS as i64)).collect(),
                before: day.days_before.into(),
                after: day.days_after.into(),
                precision: own,
            });
        }
        Ok(holidays)
    }

    fn check_regressors(&self) -> Result<Vec<RegressorSetting>, ProphetConfigError> {
        let check = |regressor: &Regressor| {
            let scale = regressor.prior_scale.unwrap_or(self.holiday_prior_scale);
            finite(&format!("regressor {}", regressor.name), &regressor.known)?;
            Ok(RegressorSetting {
                name: regressor.name.clone(),
                known: regressor.known.clone(),
                precision: precision(&format!("prior_scale of regressor {}", regressor.name), scale)?,
                standardise: regressor.standardise,
                multiplies: regressor.mode.unwrap_or(self.mode) == Mode::Multiplicative,
            })
        };
        self.regressors.iter().map(check).collect()
    }
}

fn positive(setting: &str, value: f64) -> Result<f64, ProphetConfigError> {
    if value > 1e-6 && value < 1e6 {
        return Ok(value);
    }
    Err(ProphetConfigError::OutOfRange { setting: setting.into(), value, needed: "between 1e-6 and 1e6" })
}

/// The value of what is always the same, which must be a number; `None` of what is not.
fn finite(setting: &str, known: &Known) -> Result<Option<f64>, ProphetConfigError> {
    match known {
        Known::Constant(value) if !value.is_finite() => {
            Err(ProphetConfigError::OutOfRange { setting: setting.into(), value: *value, needed: "a finite number" })
        }
        Known::Constant(value) => Ok(Some(*value)),
        Known::Shared(_) | Known::PerSeries(_) => Ok(None),
    }
}

fn country(name: &str) -> Result<Country, ProphetConfigError> {
    let is_meant = |(letters, country): &&(&str, Country)| {
        letters.eq_ignore_ascii_case(name) || country.name().eq_ignore_ascii_case(name)
    };
    let unknown = || ProphetConfigError::UnknownCountry { name: name.into() };
    COUNTRIES.iter().find(is_meant).map(|(_, country)| *country).ok_or_else(unknown)
}

fn precision(setting: &str, scale: f64) -> Result<f64, ProphetConfigError> {
    positive(setting, scale).map(|scale| 1.0 / (scale * scale))
}

fn within(
    setting: &str,
    value: usize,
    range: std::ops::RangeInclusive<usize>,
    needed: &'static str,
) -> Result<(), ProphetConfigError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(ProphetConfigError::OutOfRange { setting: setting.into(), value: value as f64, needed })
}
