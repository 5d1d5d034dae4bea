//! `[[regressor]]`: what moves the series, where its values are, and whether its future is known.

use foreshadow_models::classical::{CustomProphet, Known, Mode, ProphetConfigError, Regressor, Standardise};
use serde::Deserialize;

use super::error::{Refusal, in_range};
use super::prophet::{LEAST_SCALE, MOST_SCALE, mode};
use crate::telemetry::{Selector, TableSpec};

/// One regressor.
#[derive(Clone, Debug)]
pub struct RegressorConfig {
    name: String,
    series: Option<Selector>,
    table: TableSpec,
    known_future: bool,
    mode: Option<Mode>,
    prior_scale: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegressor {
    name: String,
    series: Option<String>,
    file: Option<String>,
    known_future: Option<bool>,
    mode: Option<String>,
    prior_scale: Option<f64>,
}

impl RegressorConfig {
    /// Checks every table; one that names no file reads `usual`. A table's columns are those of `source`, but for the
    /// labels.
    pub(super) fn all(
        raw: Vec<RawRegressor>,
        usual: Option<&str>,
        source: Option<&TableSpec>,
        prophet: &CustomProphet,
    ) -> Result<Vec<Self>, Refusal> {
        let mut checked: Vec<Self> = Vec::with_capacity(raw.len());
        for (index, raw) in raw.into_iter().enumerate() {
            let within = |refusal: Refusal| refusal.within(&format!("regressor[{index}]"));
            if raw.name.is_empty() || checked.iter().any(|earlier| earlier.name == raw.name) {
                return Err(within(Refusal::new("name", raw.name, "give every regressor a name of its own")));
            }
            let own = Self::new(raw, usual, source).map_err(within)?;
            let taken = |_| within(Refusal::new("name", &own.name, "a season or a holiday of Prophet is called that"));
            own.check_beside(prophet).map_err(taken)?;
            checked.push(own);
        }
        Ok(checked)
    }

    /// Whether Prophet can tell it from its seasons and holidays.
    fn check_beside(&self, prophet: &CustomProphet) -> Result<(), ProphetConfigError> {
        let mut config = prophet.config().clone();
        config.regressors.push(Regressor {
            name: self.name.clone(),
            known: Known::Constant(0.0),
            prior_scale: self.prior_scale,
            standardise: Standardise::Automatic,
            mode: self.mode,
        });
        config.build().map(|_| ())
    }

    fn new(raw: RawRegressor, usual: Option<&str>, source: Option<&TableSpec>) -> Result<Self, Refusal> {
        let way_out = "name a .csv, .csv.gz or .parquet file, here or by --regressors for all";
        let file = raw.file.as_deref().or(usual).filter(|file| !file.is_empty());
        let scale = |scale| in_range("prior_scale", scale, LEAST_SCALE..=MOST_SCALE);
        let selector = |text: &String| text.parse::<Selector>().map_err(|error| Refusal::new("series", text, error));
        Ok(Self {
            table: table(file.ok_or_else(|| Refusal::missing("file", way_out))?, source),
            series: raw.series.as_ref().map(selector).transpose()?,
            name: raw.name,
            known_future: raw.known_future.unwrap_or(true),
            mode: raw.mode.as_deref().map(|word| mode("mode", word)).transpose()?,
            prior_scale: raw.prior_scale.map(scale).transpose()?,
        })
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The series of the table that are this regressor; those of its name where `None`.
    pub fn series(&self) -> Option<&Selector> {
        self.series.as_ref()
    }

    /// Where its values are.
    pub fn table(&self) -> &TableSpec {
        &self.table
    }

    /// Whether values past a cutoff are known there.
    pub fn known_future(&self) -> bool {
        self.known_future
    }

    /// How it joins the trend; as seasons do where `None`.
    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// Standard deviation of its coefficient's prior; that of holidays where `None`.
    pub fn prior_scale(&self) -> Option<f64> {
        self.prior_scale
    }
}

/// A table with the columns of the telemetry's own, but for the labels.
pub(super) fn table(file: &str, source: Option<&TableSpec>) -> TableSpec {
    let mut table = TableSpec::new(file);
    if let Some(source) = source {
        table.time_column.clone_from(&source.time_column);
        table.value_column.clone_from(&source.value_column);
        table.time_unit = source.time_unit;
    }
    table
}
