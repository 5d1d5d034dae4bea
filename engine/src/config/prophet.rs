//! `[prophet]`: how the family `prophet` is fitted, by its name or as one of auto's.

use foreshadow_models::classical::{Builtin, CustomProphet, Growth, Holiday, Known, Mode, ProphetConfig, Season};
use serde::Deserialize;

use super::error::{Refusal, in_range, span_ms};

const DAY_MS: f64 = 86_400_000.0;
/// Days about a holiday that can have an effect.
const MOST_WINDOW: i64 = 366;
pub(super) const LEAST_SCALE: f64 = 1e-4;
pub(super) const MOST_SCALE: f64 = 1e4;
const MOST_ORDER: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawProphet {
    growth: String,
    capacity: Option<f64>,
    floor: Option<f64>,
    changepoints: usize,
    changepoint_range: f64,
    changepoint_prior_scale: f64,
    seasonality_mode: String,
    seasonality_prior_scale: f64,
    yearly: RawBuiltin,
    weekly: RawBuiltin,
    daily: RawBuiltin,
    season: Vec<RawSeason>,
    holidays: Vec<String>,
    holidays_mode: Option<String>,
    holidays_prior_scale: f64,
    holiday: Vec<RawHoliday>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawBuiltin {
    Order(usize),
    Word(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSeason {
    name: String,
    period: String,
    order: usize,
    mode: Option<String>,
    prior_scale: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHoliday {
    name: String,
    dates: Vec<String>,
    lower_window: Option<i64>,
    upper_window: Option<i64>,
    prior_scale: Option<f64>,
}

impl Default for RawProphet {
    fn default() -> Self {
        let usual = ProphetConfig::default();
        let auto = || RawBuiltin::Word("auto".into());
        Self {
            growth: "linear".into(),
            capacity: None,
            floor: None,
            changepoints: usual.changepoint_count,
            changepoint_range: usual.changepoint_range,
            changepoint_prior_scale: usual.changepoint_prior_scale,
            seasonality_mode: "additive".into(),
            seasonality_prior_scale: usual.season_prior_scale,
            yearly: auto(),
            weekly: auto(),
            daily: auto(),
            season: Vec::new(),
            holidays: Vec::new(),
            holidays_mode: None,
            holidays_prior_scale: usual.holiday_prior_scale,
            holiday: Vec::new(),
        }
    }
}

impl TryFrom<RawProphet> for CustomProphet {
    type Error = Refusal;

    fn try_from(raw: RawProphet) -> Result<Self, Refusal> {
        let config = ProphetConfig {
            growth: growth(&raw.growth, raw.capacity, raw.floor)?,
            changepoint_count: in_range("changepoints", raw.changepoints, 0..=500)?,
            changepoint_range: in_range("changepoint_range", raw.changepoint_range, 0.01..=1.0)?,
            changepoint_prior_scale: scale("changepoint_prior_scale", raw.changepoint_prior_scale)?,
            mode: mode("seasonality_mode", &raw.seasonality_mode)?,
            season_prior_scale: scale("seasonality_prior_scale", raw.seasonality_prior_scale)?,
            yearly: builtin("yearly", raw.yearly)?,
            weekly: builtin("weekly", raw.weekly)?,
            daily: builtin("daily", raw.daily)?,
            seasons: seasons(raw.season)?,
            countries: countries(raw.holidays)?,
            holiday_mode: raw.holidays_mode.as_deref().map(|text| mode("holidays_mode", text)).transpose()?,
            holiday_prior_scale: scale("holidays_prior_scale", raw.holidays_prior_scale)?,
            holidays: holidays(raw.holiday)?,
            ..ProphetConfig::default()
        };
        // What no key tells alone, such as two things of one name.
        let refused = |error| Refusal {
            key: String::new(),
            found: format!("refused: {error}"),
            way_out: "change what is named".into(),
        };
        config.build().map_err(refused)
    }
}

fn growth(word: &str, capacity: Option<f64>, floor: Option<f64>) -> Result<Growth, Refusal> {
    let growth = match word {
        "linear" => Growth::Linear,
        "flat" => Growth::Flat,
        "logistic" => {
            let floor = in_range("floor", floor.unwrap_or(0.0), -1e18..=1e18)?;
            let way_out = "logistic growth needs what it saturates at, in the unit of the series";
            let capacity = capacity.ok_or_else(|| Refusal::missing("capacity", way_out))?;
            if !(capacity > floor && capacity <= 1e18) {
                let way_out = format!("a number above the floor, {floor}, is needed");
                return Err(Refusal::new("capacity", capacity, way_out));
            }
            let floor = (floor != 0.0).then_some(Known::Constant(floor));
            return Ok(Growth::Logistic { capacity: Known::Constant(capacity), floor });
        }
        other => return Err(Refusal::new("growth", other, "linear, flat or logistic is needed")),
    };
    let of_none = "only growth = \"logistic\" has one";
    match (capacity, floor) {
        (Some(capacity), _) => Err(Refusal::new("capacity", capacity, of_none)),
        (None, Some(floor)) => Err(Refusal::new("floor", floor, of_none)),
        (None, None) => Ok(growth),
    }
}

pub(super) fn mode(key: &str, word: &str) -> Result<Mode, Refusal> {
    match word {
        "additive" => Ok(Mode::Additive),
        "multiplicative" => Ok(Mode::Multiplicative),
        other => Err(Refusal::new(key, other, "additive or multiplicative is needed")),
    }
}

fn builtin(key: &str, raw: RawBuiltin) -> Result<Builtin, Refusal> {
    match raw {
        RawBuiltin::Order(order) => in_range(key, order, 1..=MOST_ORDER).map(Builtin::Order),
        RawBuiltin::Word(word) if word == "auto" => Ok(Builtin::Automatic),
        RawBuiltin::Word(word) if word == "off" => Ok(Builtin::Off),
        RawBuiltin::Word(word) => Err(Refusal::new(key, word, "auto, off or a number of waves is needed")),
    }
}

fn scale(key: &str, scale: f64) -> Result<f64, Refusal> {
    in_range(key, scale, LEAST_SCALE..=MOST_SCALE)
}

fn seasons(raw: Vec<RawSeason>) -> Result<Vec<Season>, Refusal> {
    let mut seasons: Vec<Season> = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let within = |refusal: Refusal| refusal.within(&format!("season[{index}]"));
        if raw.name.is_empty() || seasons.iter().any(|earlier| earlier.name == raw.name) {
            return Err(within(Refusal::new("name", raw.name, "give every season a name of its own")));
        }
        let period_ms = span_ms("period", &raw.period, "1m", "36500d").map_err(within)?;
        seasons.push(Season {
            name: raw.name,
            period_days: period_ms as f64 / DAY_MS,
            order: in_range("order", raw.order, 1..=MOST_ORDER).map_err(within)?,
            prior_scale: raw.prior_scale.map(|own| scale("prior_scale", own)).transpose().map_err(within)?,
            mode: raw.mode.as_deref().map(|word| mode("mode", word)).transpose().map_err(within)?,
        });
    }
    Ok(seasons)
}

fn countries(names: Vec<String>) -> Result<Vec<String>, Refusal> {
    for name in &names {
        let is_meant = |known: &str| known.eq_ignore_ascii_case(name);
        if !ProphetConfig::known_countries().any(|(letters, long)| is_meant(letters) || is_meant(long)) {
            let letters: Vec<&str> = ProphetConfig::known_countries().map(|(letters, _)| letters).collect();
            return Err(Refusal::new("holidays", name, format!("countries are known as {}", letters.join(", "))));
        }
    }
    Ok(names)
}

fn holidays(raw: Vec<RawHoliday>) -> Result<Vec<Holiday>, Refusal> {
    let checked = |(index, raw): (usize, RawHoliday)| {
        holiday(raw).map_err(|refusal| refusal.within(&format!("holiday[{index}]")))
    };
    raw.into_iter().enumerate().map(checked).collect()
}

fn holiday(raw: RawHoliday) -> Result<Holiday, Refusal> {
    if raw.name.is_empty() {
        return Err(Refusal::new("name", raw.name, "give the holiday a name"));
    }
    let date = |text: &String| -> Result<i64, Refusal> {
        let way_out = "a day such as \"2026-11-27\" is needed";
        let day: jiff::civil::Date = text.parse().map_err(|_| Refusal::new("dates", text, way_out))?;
        let midnight = jiff::tz::Offset::UTC.to_timestamp(day.at(0, 0, 0, 0));
        Ok(midnight.map_err(|_| Refusal::new("dates", text, way_out))?.as_millisecond())
    };
    let before = in_range("lower_window", raw.lower_window.unwrap_or(0), -MOST_WINDOW..=0)?;
    let after = in_range("upper_window", raw.upper_window.unwrap_or(0), 0..=MOST_WINDOW)?;
    Ok(Holiday {
        dates_ms: raw.dates.iter().map(date).collect::<Result<_, _>>()?,
        name: raw.name,
        days_before: before.unsigned_abs() as u32,
        days_after: after.unsigned_abs() as u32,
        prior_scale: raw.prior_scale.map(|own| scale("prior_scale", own)).transpose()?,
    })
}
