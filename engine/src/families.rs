//! Forecasting families by the names that settings and flags use, and what moves the series that they forecast.

mod networks;
mod regressors;
mod why;
mod working;

use foreshadow_kernels::{Device, Trend};
use foreshadow_models::classical::{
    Arima, AutoEts, Card, Ces, CustomProphet, Delta, Dhr, Drift, Ets, LowRankRidge, Mstl, Naive, Rho, SeasonalAr,
    SeasonalMedian, SeasonalNaive, Theta,
};
use foreshadow_models::neural::{GlobalEffort, LstmBank, LstmGlobal};
use foreshadow_models::{AsRead, Auto, Horizon, Model};

pub use networks::{Networks, Read, Wanted as WantedNetwork};
pub use regressors::{Bound, Future, Lack, RegressorError, Regressors, Wanted};
pub use why::why;
pub use working::Working;

/// Names that may stand in `forecast.models`, for messages.
pub const KNOWN: &str = "auto (the best for each series, blended by their backtests; auto+NAME tries a family beside its own, however dear), naive, drift, snaive, snaive_ar, smedian, ridge, theta, ces, \
card, rho, delta, lstm-bank (a network for each series), lstm-global (one for all, trained on the series at hand) or lstm-global=FILE (one that \
`foreshadow train` made), pretrained=FOLDER (config.json and model.safetensors of a Chronos-Bolt), mstl, dhr, prophet, autoarima, sarima, autoets, ets or ets_ana, ets_aaa, ets_aada (damped) and, without a season, ets_ann, ets_aan, \
ets_aadn; a season is one day, or N steps as in snaive24; mstl, dhr, card, rho and delta have a day and a week, or others as \
in mstl24_168; seasons go up to 400 steps in sarima, 1440 in ets, 2016 in mstl, 288 in autoets and ces";

/// Families that can be fitted on a GPU, for messages.
pub const ON_DEVICES: &str = if cfg!(feature = "burn-gpu") {
    "theta, ces, ets and its forms, autoets, mstl, prophet, autoarima, sarima, lstm-bank and lstm-global"
} else {
    "theta, ces, ets and its forms, autoets, mstl, prophet, autoarima, sarima and lstm-bank; lstm-global too in a program built \
     with --features burn-gpu"
};

/// Steps of the longest season that may be named.
const LONGEST_SEASON: usize = 100_000;
/// Steps of the longest season that ETS carries a state of.
const LONGEST_ETS_SEASON: usize = 1_440;
/// Steps of the longest season that every form of it, or CES, is tried with.
const LONGEST_TRIED_SEASON: usize = 288;

/// Whether a name is that of `auto`, with families beside its own or without.
pub fn is_auto(name: &str) -> bool {
    name.split('+').next() == Some("auto")
}

/// Whether regressors move what a family forecasts: they do Prophet's, which is one of those that `auto` chooses from.
pub fn takes_regressors(name: &str) -> bool {
    is_auto(name) || name == "prophet"
}

/// What families are made of beside their names.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// What `auto` picks for, and networks are trained for.
    pub horizon: Horizon,
    /// The Prophet of the settings.
    pub prophet: &'a CustomProphet,
    /// Networks that were trained before.
    pub networks: &'a Networks,
    /// Where a family is fitted if it can be, else on the CPU.
    pub device: &'a Device,
}

/// The family of a name. `season`, in steps, is what a seasonal family without a number takes. It follows the clocks of a
/// panel's series and keeps to their bounds.
pub fn family(name: &str, season: usize, given: &Given<'_>) -> Option<Box<dyn Model>> {
    let family: Box<dyn Model> = match auto(name, season, given) {
        Some(auto) => Box::new(auto),
        None => Box::new(AsRead(single(name, season, given)?)),
    };
    let on_host = matches!(given.device, Device::Cpu);
    Some(if on_host { family } else { family.on(given.device).unwrap_or(family) })
}

/// `auto` by its name, with the families beside its own that the name tells: `auto+lstm-bank`. See [`family`].
pub fn auto(name: &str, season: usize, given: &Given<'_>) -> Option<Auto> {
    let own = Auto::new(given.horizon).with_prophet(given.prophet.clone());
    let mut words = name.split('+');
    words.next().filter(|word| *word == "auto")?;
    words.try_fold(own, |auto, name| Some(auto.beside(single(name, season, given)?)))
}

fn single(name: &str, season: usize, given: &Given<'_>) -> Option<Box<dyn Model>> {
    let Given { horizon, prophet, networks, .. } = *given;
    match name {
        "lstm-bank" => Some(Box::new(LstmBank::new(horizon))),
        "lstm-global" => Some(Box::new(LstmGlobal::new(horizon, GlobalEffort::USUAL))),
        name if Networks::wanted(name).is_some() => networks.family(name),
        name => named(name, season, prophet),
    }
}

fn named(name: &str, season: usize, prophet: &CustomProphet) -> Option<Box<dyn Model>> {
    let (word, listed) = name.split_at(name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len()));
    let given = |steps: &str| steps.parse().ok().filter(|steps| (1..=LONGEST_SEASON).contains(steps));
    let given: Vec<usize> =
        if listed.is_empty() { Vec::new() } else { listed.split('_').map(given).collect::<Option<_>>()? };
    // A day that is too long for a family leaves it without a season.
    let up_to = |most: usize, given: &[usize]| match given {
        [] if season > most => Some(1),
        [] => Some(season),
        [steps] => Some(*steps).filter(|steps| *steps <= most),
        _ => None,
    };
    let pair = |given: &[usize]| match given {
        [] => Some((season, 7 * season)),
        [steps] => Some((*steps, 1)),
        [steps, longer] if steps < longer => Some((*steps, *longer)),
        _ => None,
    };
    let any = LONGEST_SEASON;
    Some(match (word, given.as_slice()) {
        ("naive", []) => Box::new(Naive),
        ("drift", []) => Box::new(Drift),
        ("prophet", []) => Box::new(prophet.clone()),
        ("snaive", given) => Box::new(SeasonalNaive { season: up_to(any, given)? }),
        ("snaive_ar", given) => Box::new(SeasonalAr { season: up_to(any, given)? }),
        ("smedian", given) => Box::new(SeasonalMedian { season: up_to(any, given)? }),
        ("ridge", given) => Box::new(LowRankRidge { season: up_to(any, given)? }),
        ("theta", given) => Box::new(Theta::dot(up_to(any, given)?)),
        ("ces", given) => Box::new(Ces::auto(up_to(LONGEST_TRIED_SEASON, given)?)),
        ("autoarima", []) => Box::new(Arima::auto(1)),
        ("sarima", given) => Box::new(Arima::auto(up_to(Arima::LONGEST_SEASON, given)?)),
        ("autoets", given) => Box::new(AutoEts { season: up_to(LONGEST_TRIED_SEASON, given)? }),
        ("card", given) => pair(given).map(|(season, longer)| Box::new(Card::new(season, longer)))?,
        ("rho", given) => pair(given).map(|(season, longer)| Box::new(Rho::new(season, longer)))?,
        ("delta", given) => pair(given).map(|(season, longer)| Box::new(Delta::new(season, longer)))?,
        ("mstl", given) => mstl(given, season)?,
        ("dhr", given) => dhr(given, season)?,
        ("ets", given) => ets("na", given, season)?,
        (word, given) => ets(word.strip_prefix("ets_a")?, given, season)?,
    })
}

/// MSTL with the seasons that its name lists, else with a day and a week of those that it can carry; its trend alone where
/// it can carry neither.
fn mstl(listed: &[usize], day: usize) -> Option<Box<dyn Model>> {
    let carried = |steps: &usize| (2..=Mstl::LONGEST_SEASON).contains(steps);
    let seasons: Vec<usize> = match listed {
        [] => [day, 7 * day].into_iter().filter(carried).collect(),
        listed => listed.to_vec(),
    };
    match seasons.as_slice() {
        [] => Some(Box::new(AutoEts { season: 1 })),
        seasons if seasons.iter().all(carried) => Some(Box::new(Mstl::new(seasons))),
        _ => None,
    }
}

/// Dynamic harmonic regression with the seasons that its name lists, else with a day and a week of more than one step.
fn dhr(listed: &[usize], day: usize) -> Option<Box<dyn Model>> {
    let seasons: Vec<usize> = match listed {
        [] => [day, 7 * day].into_iter().filter(|steps| *steps > 1).collect(),
        listed => listed.to_vec(),
    };
    seasons.iter().all(|steps| *steps > 1).then(|| Box::new(Dhr::new(&seasons)) as Box<dyn Model>)
}

/// An ETS form by the letters of its trend and season; where a day is too long a season, it has none.
fn ets(form: &str, given: &[usize], day: usize) -> Option<Box<dyn Model>> {
    let (trend, seasonal) = match form {
        "nn" => (Trend::None, false),
        "an" => (Trend::Additive, false),
        "adn" => (Trend::Damped, false),
        "na" => (Trend::None, true),
        "aa" => (Trend::Additive, true),
        "ada" => (Trend::Damped, true),
        _ => return None,
    };
    let season = match (seasonal, given) {
        (false, []) => 1,
        (true, []) if day > LONGEST_ETS_SEASON => 1,
        (true, []) => day,
        (true, [steps]) if (2..=LONGEST_ETS_SEASON).contains(steps) => *steps,
        _ => return None,
    };
    Some(Box::new(Ets::new(trend, season)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(name: &str, season: usize) -> Option<Box<dyn Model>> {
        let (prophet, networks) = (CustomProphet::default(), Networks::default());
        let horizon = Horizon::new(1).unwrap();
        family(name, season, &Given { horizon, prophet: &prophet, networks: &networks, device: &Device::Cpu })
    }

    #[test]
    fn a_name_is_a_family_or_nothing() {
        let of = |name, season| plain(name, season);
        let named = |name| of(name, 24).map(|model| model.name());
        for (name, family_name) in [
            ("auto", "auto"),
            ("naive", "naive"),
            ("drift", "drift"),
            ("prophet", "prophet"),
            ("snaive", "snaive24"),
            ("snaive7", "snaive7"),
            ("ridge168", "ridge168"),
            ("snaive_ar", "snaive_ar24"),
            ("smedian", "smedian24"),
            ("theta", "theta_dotm24"),
            ("theta1", "theta_dotm"),
            ("card", "card24_168"),
            ("rho7", "rho7"),
            ("delta24_48", "delta24_48"),
            ("ces", "ces24"),
            ("ces1", "ces"),
            ("autoets", "autoets24"),
            ("autoets1", "autoets"),
            ("autoarima", "autoarima"),
            ("sarima", "sarima24"),
            ("sarima7", "sarima7"),
            ("mstl", "mstl24_168"),
            ("mstl168_24", "mstl24_168"),
            ("mstl12", "mstl12"),
            ("dhr", "dhr24_168"),
            ("dhr168_24", "dhr24_168"),
            ("dhr1440", "dhr1440"),
            ("ets", "ets_ana24"),
            ("ets_ana", "ets_ana24"),
            ("ets_aada12", "ets_aada12"),
            ("ets_aan", "ets_aan"),
            ("lstm-bank", "lstm-bank"),
            ("lstm-global", "lstm-global"),
            ("auto+lstm-bank", "auto+lstm-bank"),
            ("auto+ces+autoets7", "auto+ces24+autoets7"),
        ] {
            assert_eq!(named(name).as_deref(), Some(family_name));
        }
        let at_half_minutes = |name| of(name, 2_880).unwrap().name();
        assert_eq!(at_half_minutes("ets_ana"), "ets_ann", "a day of half minutes is too long a season");
        assert_eq!(at_half_minutes("autoets"), "autoets");
        assert_eq!(at_half_minutes("mstl"), "autoets", "it carries neither the day nor the week");
        assert_eq!(at_half_minutes("sarima"), "autoarima");
        assert_eq!(at_half_minutes("dhr"), "dhr2880_20160", "waves are as many for a season of any length");
        assert_eq!(of("dhr", 1).unwrap().name(), "dhr7", "a day of one step is no season");
    }

    #[test]
    fn the_longest_seasons_that_are_told_are_those_that_are_taken() {
        let (sarima, mstl) = (Arima::LONGEST_SEASON, Mstl::LONGEST_SEASON);
        let told = format!(
            "{sarima} steps in sarima, {LONGEST_ETS_SEASON} in ets, {mstl} in mstl, {LONGEST_TRIED_SEASON} in autoets and ces"
        );
        assert!(KNOWN.ends_with(&told), "{told}");
    }

    #[test]
    fn what_is_no_name_is_no_family() {
        let named = |name| plain(name, 24);
        let none = "snaive0 mstl1 dhr1 dhr24_x mstl24_ mstl2017 mstlx snaive-1 Naive naive3 24 ets_ana1441 card168_24 autoets289 sarima401 autoarima24 naive_ ets_ann3 ets_x gpt auto+ auto+auto auto+gpt autox auto+ces+ +auto lstm-global=gone auto+lstm-global=gone pretrained=gone";
        assert!(std::iter::once("").chain(none.split(' ')).all(|name| named(name).is_none()));
    }
}
