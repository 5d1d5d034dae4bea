//! Why a Prometheus server gave no telemetry.

/// Why a Prometheus server gave no telemetry.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum PrometheusError {
    /// No client could be made on this machine.
    #[error("no HTTP client could be started")]
    #[diagnostic(help("the system may lack file handles or root certificates"))]
    Start {
        /// What the system said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody answers there.
    #[error("{server} cannot be reached, after {attempts} attempts")]
    #[diagnostic(help("is the server up, and is source.prometheus.url its address?"))]
    Unreachable {
        /// The server.
        server: String,
        /// How often it was tried.
        attempts: u32,
        /// What the network said.
        #[source]
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("{server} did not answer within {seconds} s, after {attempts} attempts")]
    #[diagnostic(help("raise source.prometheus.timeout, or shorten its range"))]
    Slow {
        /// The server.
        server: String,
        /// The longest wait.
        seconds: f64,
        /// How often it was tried.
        attempts: u32,
    },
    /// It answers with an error of its own.
    #[error("{server} refused `{query}` with status {status}: {message}")]
    #[diagnostic(help("ask the server the same query in its own page to see what it means"))]
    Refused {
        /// The server.
        server: String,
        /// The query.
        query: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The answer is larger than the server or we allow.
    #[error("{server} has too many samples for `{query}` in one answer: {message}")]
    #[diagnostic(help("select fewer series, or set source.prometheus.step to resample them"))]
    TooMuch {
        /// The server.
        server: String,
        /// The query.
        query: String,
        /// Who said so.
        message: String,
    },
    /// The answer is not one of a Prometheus server.
    #[error("{server} does not answer as Prometheus does: {what}, beginning {beginning:?}")]
    #[diagnostic(help("source.prometheus.url must be the server's own address, without /api/v1"))]
    Nonsense {
        /// The server.
        server: String,
        /// What was wrong with it.
        what: String,
        /// How the answer began.
        beginning: String,
    },
    /// Nothing was found.
    #[error("{server} has no sample of {queries} in the range")]
    #[diagnostic(help("check the selectors' spelling, and source.prometheus.range"))]
    Nothing {
        /// The server.
        server: String,
        /// The queries.
        queries: String,
    },
    /// Two expressions gave series that cannot be told apart.
    #[error("`{}` and `{}` both give the series {series}", queries[0], queries[1])]
    #[diagnostic(help("tell them apart with label_replace(…, \"what\", \"…\", \"\", \"\")"))]
    SameSeries {
        /// The series.
        series: String,
        /// The queries.
        queries: [String; 2],
    },
    /// What was read found no place.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Spool(#[from] crate::telemetry::SpoolError),
}
