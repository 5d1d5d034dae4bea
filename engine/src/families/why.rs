//! Why a family has no forecast of a series, for people.

use foreshadow_models::FitStatus;

use super::Lack;

/// The status' own word, and what of it a person needs to find the way out.
pub fn why(status: &FitStatus, series: &str, lacking: &[Lack]) -> String {
    let lack = lacking.iter().find(|lack| lack.series == series);
    let further = match (status, lack) {
        (FitStatus::Input { .. }, Some(lack)) => lack.to_string(),
        (FitStatus::Input { name, at_ms }, None) => match jiff::Timestamp::from_millisecond(*at_ms) {
            Ok(time) => format!("{name} cannot be used at {time}"),
            Err(_) => format!("{name} cannot be used at {at_ms} ms"),
        },
        (FitStatus::TooShort { observed, needed }, _) => format!("{observed} values are observed, {needed} needed"),
        (FitStatus::OtherStep { trained_ms }, _) => {
            format!("the network was trained on steps of {} s", *trained_ms as f64 / 1e3)
        }
        _ => return status.word().into(),
    };
    format!("{}: {further}", status.word())
}
