//! What each shadow says of the present moment, as gauges that alert rules can read.
//!
//! Never a future timestamp: the ones ahead stay in the shadow, and a scrape stamps these with now.

use std::collections::HashSet;
use std::fmt::Write;

use crate::issue::{Issue, Shadow};
use crate::telemetry::SeriesKey;

/// Series told at most, in the issue's order: three gauges each, a scrape of this many is 5 MB.
const SERIES: usize = 10_000;

/// Writes `shadow_yhat`, `shadow_yhat_lower` and `shadow_yhat_upper` with the series' own labels, its name
/// under `shadow_of`, and the band's level.
pub(super) fn write(text: &mut String, issue: &Issue, now_ms: i64) {
    let told: Vec<_> = issue
        .shadows()
        .iter()
        .take(SERIES)
        .filter_map(|shadow| {
            Some((
                labels(shadow.series(), shadow.model())?,
                shadow,
                shadow.step_at(now_ms.max(shadow.cutoff_ms() + 1))?,
            ))
        })
        .collect();
    let last = |shadow: &Shadow| shadow.levels().len().checked_sub(1);
    for (name, help) in [
        ("shadow_yhat", "Expected value at this moment."),
        ("shadow_yhat_lower", "Lowest quantile of the shadow at this moment."),
        ("shadow_yhat_upper", "Highest quantile of the shadow at this moment."),
    ] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, shadow, step) in &told {
            let value = match name {
                "shadow_yhat" => Some(shadow.mean(*step)),
                "shadow_yhat_lower" => last(shadow).map(|_| shadow.quantile(0, *step)),
                _ => last(shadow).map(|last| shadow.quantile(last, *step)),
            };
            if let Some(value) = value {
                let _ = writeln!(text, "{name}{{{labels}}} {value}");
            }
        }
    }
    let left_out = issue.shadows().len().saturating_sub(SERIES);
    let _ = writeln!(text, "# TYPE foreshadow_gauges_left_out gauge\nforeshadow_gauges_left_out {left_out}");
}

/// The series' labels in the text format; a character that it does not allow in a label becomes `_`.
fn labels(series: &str, model: &str) -> Option<String> {
    let key: SeriesKey = series.parse().ok()?;
    let mut text = format!("horizon=\"0s\",shadow_model=\"{}\"", escaped(model));
    let mut taken = HashSet::from(["horizon".to_string(), "shadow_model".to_string(), "shadow_of".to_string()]);
    for (label, value) in key.labels() {
        let mut written = plain(label);
        // A label written twice would spoil the whole scrape; Prometheus itself prefixes its own clashes so.
        while !taken.insert(written.clone()) {
            written = format!("exported_{written}");
        }
        let label = if label == "__name__" { "shadow_of" } else { &written };
        let _ = write!(text, ",{label}=\"{}\"", escaped(value));
    }
    Some(text)
}

fn plain(label: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let label: String = label.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) { format!("_{label}") } else { label }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_is_written_twice() {
        let text = labels(r#"load{exported_horizon="2",horizon="3"}"#, "naive").unwrap();
        let own = r#"exported_horizon="2",exported_exported_horizon="3""#;
        assert_eq!(text, format!(r#"horizon="0s",shadow_model="naive",shadow_of="load",{own}"#));
    }
}
