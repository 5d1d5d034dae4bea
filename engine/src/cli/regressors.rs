//! Regressors from their files.

use foreshadow_models::RawSeries;

use super::progress::Step;
use crate::config::Config;
use crate::families::{self, Lack, RegressorError, Regressors, Wanted};
use crate::telemetry::{SourceError, TableSpec};

/// Why regressors could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(super) enum ReadError {
    /// A file could not be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Source(#[from] SourceError),
    /// What was read is of no use.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Regressor(#[from] RegressorError),
}

/// Reads every file of the configured regressors once.
pub(super) fn read(config: &Config) -> Result<Regressors, ReadError> {
    let mut regressors = Regressors::default();
    if let Some(table) = config.regressor_table() {
        let unnamed = table.path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        // The stem of `traffic.csv.gz` is `traffic.csv`.
        let unnamed = unnamed.strip_suffix(".csv").unwrap_or(&unnamed);
        regressors.add_all(unnamed, &series(table)?);
    }
    let mut known: Vec<(&TableSpec, Vec<RawSeries>)> = Vec::new();
    for regressor in config.regressors() {
        let table = regressor.table();
        if !known.iter().any(|(read, _)| *read == table) {
            known.push((table, series(table)?));
        }
        let raw = known.iter().find(|(read, _)| *read == table).map_or(&[][..], |(_, raw)| raw);
        let wanted = Wanted {
            name: regressor.name(),
            series: regressor.series(),
            known_future: regressor.known_future(),
            mode: regressor.mode(),
            prior_scale: regressor.prior_scale(),
        };
        regressors.add(&wanted, &table.path.display().to_string(), raw)?;
    }
    // Whoever passes them over lacks none.
    if unused(config).is_some() { Ok(Regressors::default()) } else { Ok(regressors) }
}

/// What a person is told of regressors that none of the families asked for looks at.
pub(super) fn unused(config: &Config) -> Option<String> {
    let models = config.forecast().models();
    let given = config.regressor_table().is_some() || !config.regressors().is_empty();
    let looked_at = models.iter().any(|name| families::takes_regressors(name));
    let told = || format!("{} does not look at regressors: prophet and auto do", models.join(", "));
    (given && !looked_at).then(told)
}

fn series(table: &TableSpec) -> Result<Vec<RawSeries>, SourceError> {
    let _step = Step::new(format!("reading {}", table.path.display()));
    table.read()
}

/// What a person is told of series that Prophet cannot forecast for want of a regressor.
pub(super) fn warnings(lacking: &[Lack]) -> Vec<String> {
    lacking.iter().map(|lack| format!("{} is left out by Prophet: {lack}", lack.series)).collect()
}
