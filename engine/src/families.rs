//! Forecasting families by the names that settings and flags use.

use foreshadow_kernels::Trend;
use foreshadow_models::classical::{Drift, Ets, LowRankRidge, Naive, Prophet, SeasonalNaive, Theta};
use foreshadow_models::{Auto, Horizon, Model};

/// Names that may stand in `forecast.models`, for messages.
pub const KNOWN: &str = "auto (the best of all for each series), naive, drift, snaive, ridge, theta, prophet, \
ets or ets_ana, ets_aaa, ets_aada (damped) and, without a season, ets_ann, ets_aan, ets_aadn; \
a season is one day, or N steps as in snaive24";

/// Steps of the longest season that may be named.
const LONGEST_SEASON: usize = 100_000;
/// Steps of the longest season that ETS carries a state of.
const LONGEST_ETS_SEASON: usize = 288;

/// The family of a name. `season`, in steps, is what a seasonal family without a number takes; `horizon` is
/// what `auto` picks for.
pub fn family(name: &str, season: usize, horizon: Horizon) -> Option<Box<dyn Model>> {
    let (word, number) = name.split_at(name.find(|c: char| c.is_ascii_digit()).unwrap_or(name.len()));
    let given = match number {
        "" => None,
        number => Some(number.parse().ok().filter(|steps| (1..=LONGEST_SEASON).contains(steps))?),
    };
    match (word, given) {
        ("auto", None) => Some(Box::new(Auto::new(horizon))),
        ("naive", None) => Some(Box::new(Naive)),
        ("drift", None) => Some(Box::new(Drift)),
        ("prophet", None) => Some(Box::new(Prophet)),
        ("snaive", given) => Some(Box::new(SeasonalNaive { season: given.unwrap_or(season) })),
        ("ridge", given) => Some(Box::new(LowRankRidge { season: given.unwrap_or(season) })),
        ("theta", given) => Some(Box::new(Theta::dot(given.unwrap_or(season)))),
        ("ets", given) => ets("na", given, season),
        _ => ets(word.strip_prefix("ets_a")?, given, season),
    }
}

/// An ETS form by the letters of its trend and season; where a day is too long a season, it has none.
fn ets(form: &str, given: Option<usize>, day: usize) -> Option<Box<dyn Model>> {
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
        (false, None) => 1,
        (true, None) if day > LONGEST_ETS_SEASON => 1,
        (true, None) => day,
        (true, Some(steps)) if (2..=LONGEST_ETS_SEASON).contains(&steps) => steps,
        _ => return None,
    };
    Some(Box::new(Ets::new(trend, season)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_family_or_nothing() {
        let named = |name| family(name, 24, Horizon::new(1).unwrap()).map(|model| model.name());
        for (name, family_name) in [
            ("auto", "auto"),
            ("naive", "naive"),
            ("drift", "drift"),
            ("prophet", "prophet"),
            ("snaive", "snaive24"),
            ("snaive7", "snaive7"),
            ("ridge168", "ridge168"),
            ("theta", "theta_dotm24"),
            ("theta1", "theta_dotm"),
            ("ets", "ets_ana24"),
            ("ets_ana", "ets_ana24"),
            ("ets_aada12", "ets_aada12"),
            ("ets_aan", "ets_aan"),
        ] {
            assert_eq!(named(name).as_deref(), Some(family_name));
        }
        let at_minutes = family("ets_ana", 1_440, Horizon::new(1).unwrap()).unwrap();
        assert_eq!(at_minutes.name(), "ets_ann", "a day of minutes is too long a season");
        assert!(
            ["", "snaive0", "snaive-1", "Naive", "naive3", "24", "ets_ana289", "ets_ann3", "ets_x", "gpt"]
                .iter()
                .all(|name| named(name).is_none())
        );
    }
}
