//! Answers on standard output: a table for people, JSON or CSV for machines.

use std::io::{self, BufWriter, Write};

use comfy_table::{ContentArrangement, Table, presets};
use foreshadow_models::PanelSet;

use super::Failure;

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people
    Table,
    /// One JSON object
    Json,
    /// One line a row under a header
    Csv,
}

/// Warnings printed before the rest is only counted.
const WARNINGS: usize = 5;

/// Prints a text as it is.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    Ok(out.write_all(text.as_bytes()).and_then(|()| out.flush())?)
}

/// Prints one JSON value on a line of its own.
pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, value).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// A table for people under a header, as wide as their terminal.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// A number with as many digits as a person reads; a dash where there is none.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(0.0) => "0".into(),
        Some(value) if (0.01..1e6).contains(&value.abs()) => {
            let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 5) as usize;
            format!("{value:.digits$}")
        }
        Some(value) => format!("{value:.3e}"),
    }
}

/// Tells on standard error what was refused and what was contradictory in the input.
pub(super) fn warn(panels: &PanelSet) {
    let mut warnings: Vec<String> =
        panels.rejected.iter().map(|refused| format!("{} is left out: {}", refused.name, refused.reason)).collect();
    for (panel, notes) in panels.panels.iter().zip(&panels.notes) {
        let contradicted = notes.iter().enumerate().filter(|(_, notes)| notes.conflicting > 0);
        warnings.extend(contradicted.map(|(series, notes)| {
            let times = notes.conflicting;
            format!("{}: {times} times had two values; the last one read was taken", panel.name(series))
        }));
    }
    for warning in warnings.iter().take(WARNINGS) {
        eprintln!("warning: {warning}");
    }
    if warnings.len() > WARNINGS {
        eprintln!("warning: and {} more", warnings.len() - WARNINGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, shown) in [
            (0.0, "0"),
            (1.0, "1.000"),
            (-12.345, "-12.35"),
            (123_456.7, "123457"),
            (0.0123, "0.01230"),
            (2e9, "2.000e9"),
        ] {
            assert_eq!(number(Some(value)), shown);
        }
        assert_eq!(number(None), "–");
    }
}
