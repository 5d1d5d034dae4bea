//! Why a source could not be read: the file, the row, the column, and the way out.

/// Why telemetry could not be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum SourceError {
    /// The file is not there or not ours to read, or it ends in the middle.
    #[error("cannot read {path}")]
    #[diagnostic(help("check that the file exists, is complete and may be read"))]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The ending says nothing we know.
    #[error("{path} is no table by its name")]
    #[diagnostic(help("a name that ends in .csv, .csv.gz or .parquet is needed"))]
    Ending {
        /// The file.
        path: String,
    },
    /// There is no row to read.
    #[error("{path} holds no row")]
    #[diagnostic(help("a header and at least one row are needed"))]
    Empty {
        /// The file.
        path: String,
    },
    /// A column that was asked for is not there.
    #[error("{path} has no column \"{column}\"")]
    #[diagnostic(help("its columns are {present}; --time-column, --value-column and --label-columns choose others"))]
    Column {
        /// The file.
        path: String,
        /// The column that was asked for.
        column: String,
        /// The columns there are.
        present: String,
    },
    /// A cell does not hold what its column must.
    #[error("{path} row {row}, column \"{column}\": {found} is not {expected}")]
    #[diagnostic(help(
        "mend the row, or name other columns with --time-column, --value-column, --label-columns, --time-unit"
    ))]
    Cell {
        /// The file.
        path: String,
        /// The row, the first under the header being 1.
        row: u64,
        /// The column.
        column: String,
        /// What stood there.
        found: String,
        /// What must stand there.
        expected: &'static str,
    },
    /// A row is no row of this table.
    #[error("{path} row {row} cannot be read")]
    #[diagnostic(help("every row needs as many cells as the header; the file may be cut short"))]
    Row {
        /// The file.
        path: String,
        /// The row, the first under the header being 1.
        row: u64,
        /// What the reader said.
        #[source]
        source: csv::Error,
    },
    /// The Parquet file is damaged, or of a kind we do not read.
    #[error("{path} cannot be read as Parquet after row {rows}")]
    #[diagnostic(help("the file may be cut short or damaged: copy it again, or write it anew"))]
    Parquet {
        /// The file.
        path: String,
        /// Rows read before.
        rows: u64,
        /// What the reader said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A Prometheus server gave no telemetry.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Prometheus(#[from] super::PrometheusError),
    /// What was read found no place.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Spool(#[from] super::SpoolError),
}
