//! Forecasting families by the names that settings and flags use.

use foreshadow_models::classical::{Drift, LowRankRidge, Naive, Prophet, SeasonalNaive};
use foreshadow_models::{Auto, Horizon, Model};

/// Names that may stand in `forecast.models`, for messages.
pub const KNOWN: &str = "auto (the best of all for each series), naive, drift, snaive, ridge, prophet; \
snaive and ridge have a season of one day, snaiveN and ridgeN one of N steps";

/// Steps of the longest season that may be named.
const LONGEST_SEASON: usize = 100_000;

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
        _ => None,
    }
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
        ] {
            assert_eq!(named(name).as_deref(), Some(family_name));
        }
        assert!(["", "snaive0", "snaive-1", "Naive", "naive3", "24", "gpt"].iter().all(|name| named(name).is_none()));
    }
}
