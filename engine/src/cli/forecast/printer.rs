//! Forecasts on standard output, batch by batch as they are made.

use std::collections::HashSet;
use std::io::{BufWriter, Write};

use foreshadow_models::Rejected;
use serde_json::{Value, json};

use super::row::Row;
use crate::aggregate::Apart;
use crate::cli::Failure;
use crate::cli::output::{self, Format, Warnings, number};
use crate::families::Lack;
use crate::pipeline::PipelineError;

/// Prints a fleet's forecasts. What was printed of earlier batches stays whole whatever becomes of later ones, once
/// [`Printer::finish`] has closed it.
pub(super) struct Printer<W: Write> {
    out: BufWriter<W>,
    format: Format,
    /// Quantile levels of every row.
    levels: Vec<f64>,
    /// Most paths of a row.
    paths: usize,
    /// Rows that were written, and those of them that say something.
    rows: usize,
    usable: usize,
    /// The first series that has no forecast, and why.
    refused: Option<Rejected>,
    has_begun: bool,
    /// Names and cells of a table, whose columns are as wide as the widest of them.
    table: Vec<(String, [String; 6])>,
    rejected: Vec<Rejected>,
    lacking: Vec<Lack>,
    apart: Vec<Apart>,
    told: [Warnings; 3],
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, format: Format, levels: &[f64], paths: usize) -> Self {
        let table = Vec::new();
        let (rejected, lacking, apart) = (Vec::new(), Vec::new(), Vec::new());
        let (levels, out, told) = (levels.to_vec(), BufWriter::new(out), Default::default());
        let (rows, usable, refused, has_begun) = (0, 0, None, false);
        Self { out, format, levels, paths, rows, usable, refused, has_begun, table, rejected, lacking, apart, told }
    }

    /// Prints the rows of a batch.
    pub(super) fn rows(&mut self, rows: &[Row<'_>]) -> Result<(), Failure> {
        self.begin()?;
        // Of these it was told already.
        let lacking: HashSet<String> = self.lacking.iter().map(|lack| lack.series.clone()).collect();
        for row in rows {
            match self.format {
                Format::Json => {
                    let comma = if self.rows == 0 { "" } else { "," };
                    self.out.write_all(comma.as_bytes())?;
                    self.json(&row.json())?;
                }
                Format::Csv => self.csv(row)?,
                Format::Table => self.table.push((row.name.to_string(), cells(row))),
            }
            self.rows += 1;
            let Some(reason) = row.refused else {
                self.usable += 1;
                continue;
            };
            if !lacking.contains(row.name) {
                self.told[2].tell([format!("{} has no forecast: {reason}", row.name)]);
            }
            self.refused.get_or_insert_with(|| Rejected { name: row.name.into(), reason: reason.into() });
        }
        Ok(self.out.flush()?)
    }

    /// Takes note of series that have no forecast.
    pub(super) fn reject(&mut self, rejected: impl IntoIterator<Item = Rejected>) {
        self.rejected.extend(rejected);
    }

    /// Takes note of regressors that are lacking.
    pub(super) fn lack(&mut self, lacking: Vec<Lack>) {
        self.told[0].tell(crate::cli::regressors::warnings(&lacking));
        self.lacking.extend(lacking);
    }

    /// Takes note of aggregates that could not be made to agree with their parts.
    pub(super) fn leave(&mut self, apart: Vec<Apart>) {
        self.told[1].tell(apart.iter().map(Apart::to_string));
        self.apart.extend(apart);
    }

    /// What a fleet comes to of which not one series has a forecast.
    pub(super) fn nothing_usable(&self) -> Option<Failure> {
        let Rejected { name, reason } = self.refused.as_ref().or(self.rejected.first()).filter(|_| self.usable == 0)?;
        let series_count = self.rows + self.rejected.len();
        let (first, reason) = (name.clone(), reason.clone());
        Some(PipelineError::NothingUsable { series_count, first, reason }.into())
    }

    /// Prints what comes after the rows.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        self.begin()?;
        match self.format {
            Format::Csv => {}
            Format::Table => {
                let head = ["series", "model", "status", "last", "next", "at the end", "80 % band there"];
                let mut table = output::table(&head);
                let names = output::short_names(self.table.iter().map(|(name, _)| name.as_str()));
                for ((_, cells), name) in self.table.iter().zip(names) {
                    table.add_row([name].iter().chain(cells));
                }
                writeln!(self.out, "{table}")?;
            }
            Format::Json => {
                let part = |r: &Rejected| json!({"series": r.name, "reason": r.reason});
                let mut told = vec![("rejected", self.rejected.iter().map(part).collect::<Value>())];
                let lack = |l: &Lack| json!({"series": l.series, "regressor": l.regressor, "reason": l.to_string()});
                told.push(("lacking", self.lacking.iter().map(lack).collect()));
                let left = |apart: &Apart| json!({"series": apart.series, "reason": apart.reason});
                told.push(("not_coherent", self.apart.iter().map(left).collect()));
                self.out.write_all(b"]")?;
                for (key, list) in told.iter().filter(|(key, list)| *key == "rejected" || *list != json!([])) {
                    write!(self.out, ",\"{key}\":")?;
                    self.json(list)?;
                }
                self.out.write_all(b"}\n")?;
            }
        }
        Ok(self.out.flush()?)
    }

    fn begin(&mut self) -> Result<(), Failure> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Ok(());
        }
        match self.format {
            Format::Table => Ok(()),
            Format::Json => Ok(self.out.write_all(b"{\"series\":[")?),
            Format::Csv => {
                let header = ["series", "model", "status", "time", "mean"].map(String::from);
                let quantiles = self.levels.iter().map(|level| format!("q{level}"));
                let paths = (1..=self.paths).map(|path| format!("path{path}"));
                let header: Vec<String> = header.into_iter().chain(quantiles).chain(paths).collect();
                let mut out = csv::Writer::from_writer(&mut self.out);
                out.write_record(header).map_err(written)?;
                Ok(out.flush()?)
            }
        }
    }

    fn json(&mut self, value: &Value) -> Result<(), Failure> {
        Ok(serde_json::to_writer(&mut self.out, value).map_err(std::io::Error::from)?)
    }

    fn csv(&mut self, row: &Row<'_>) -> Result<(), Failure> {
        let mut out = csv::Writer::from_writer(&mut self.out);
        let cell = |value: f64| if value.is_finite() { value.to_string() } else { String::new() };
        let drawn = row.paths();
        for step in 0..row.steps() {
            let told = [row.name.to_string(), row.model.clone(), row.status.word().into(), row.time(step)];
            let mean = cell(row.forecast.mean(row.series)[step]);
            let quantiles = (0..self.levels.len()).map(|index| cell(row.forecast.quantile(row.series, index)[step]));
            let paths = (0..self.paths).map(|path| drawn.get(path).map_or(String::new(), |path| cell(path[step])));
            out.write_record(told.into_iter().chain([mean]).chain(quantiles).chain(paths)).map_err(written)?;
        }
        Ok(out.flush()?)
    }
}

fn written(error: csv::Error) -> Failure {
    std::io::Error::from(error).into()
}

/// A row of the table but for its name.
fn cells(row: &Row<'_>) -> [String; 6] {
    let mean = row.forecast.mean(row.series);
    let end = row.steps() - 1;
    let level = |q| {
        let index = row.forecast.quantiles().index_of(q);
        index.map(|index| row.forecast.quantile(row.series, index)[end])
    };
    let shown = |value: f64| number(value.is_finite().then_some(value));
    let [low, high] = [level(0.1), level(0.9)].map(|value| number(value.filter(|v| v.is_finite())));
    let status = row.status.word().to_string();
    [row.model.clone(), status, shown(row.last), shown(mean[0]), shown(mean[end]), format!("{low} – {high}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_whole_without_a_single_row() {
        let printed = |format: Format| {
            let mut bytes = Vec::new();
            let mut out = Printer::new(&mut bytes, format, &[0.1, 0.9], 1);
            assert!(out.rows(&[]).is_ok());
            out.reject([Rejected { name: "a".into(), reason: "its batch failed".into() }]);
            assert!(out.finish().is_ok());
            String::from_utf8(bytes).unwrap()
        };
        let told = r#"{"series":[],"rejected":[{"series":"a","reason":"its batch failed"}]}"#;
        assert_eq!(printed(Format::Json), format!("{told}\n"));
        assert_eq!(printed(Format::Csv), "series,model,status,time,mean,q0.1,q0.9,path1\n");
        assert!(printed(Format::Table).contains("at the end"));
    }
}
