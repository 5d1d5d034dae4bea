//! How a command fails: an exit code for machines, the whole chain with a hint for people.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use foreshadow_models::{BacktestError, FitError, PredictError};
use miette::{Diagnostic, IntoDiagnostic, MietteHandlerOpts, Report};

use super::regressors::ReadError;
use super::serve::ServeError;
use super::settings::NoDevice;
use crate::config::ConfigError;
use crate::families::RegressorError;
use crate::pipeline::PipelineError;
use crate::service::{ListenError, ServiceError};
use crate::store::StoreError;
use crate::telemetry::{PrometheusError, SourceError, SpoolError};

/// The exit codes, as --help tells them.
pub(super) const EXITS: &str = "Exit codes: 0 done · 1 a fault while working · 2 the command line was not understood · \
3 the input cannot be used · 4 a setting cannot be used · 5 a server cannot be reached or makes no sense · \
6 the address or the store is in use · 7 the disk is full, read-only or damaged";

/// How the process ends when it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A fault while working.
    Fault = 1,
    /// The input cannot be used.
    Input = 3,
    /// A setting cannot be used.
    Setting = 4,
    /// A server cannot be reached or makes no sense.
    Server = 5,
    /// The address or the store is in use.
    Busy = 6,
    /// The disk is full, read-only or damaged.
    Disk = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        (exit as u8).into()
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    report: Report,
}

impl Failure {
    /// A failure that ends the process with a code of its own.
    pub fn new(exit: Exit, error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { exit, report: Report::new(error) }
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Why, in one line.
    pub(super) fn reason(&self) -> String {
        self.report.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Whether the output could not be written.
    pub(super) fn is_output(&self) -> bool {
        self.report.downcast_ref::<OutputError>().is_some()
    }

    /// Whether the reader of our output went away, as `head` does: no failure of ours.
    pub(super) fn is_closed_pipe(&self) -> bool {
        let output = self.report.downcast_ref::<OutputError>();
        output.is_some_and(|OutputError(error)| error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn fault(error: impl Error + Send + Sync + 'static) -> Self {
        let report = Err::<(), _>(error).into_diagnostic().expect_err("it is made from an error");
        Self { exit: Exit::Fault, report }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.report)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Setting, error)
    }
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let exit = source(&error);
        Self::new(exit, error)
    }
}

fn source(error: &SourceError) -> Exit {
    match error {
        SourceError::Spool(_) | SourceError::Prometheus(PrometheusError::Spool(_)) => Exit::Disk,
        SourceError::Prometheus(_) => Exit::Server,
        _ => Exit::Input,
    }
}

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        SourceError::from(error).into()
    }
}

impl From<NoDevice> for Failure {
    fn from(error: NoDevice) -> Self {
        Self::new(Exit::Setting, error)
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let store = |error: &StoreError| match error {
            StoreError::InUse { .. } | StoreError::Busy { .. } => Exit::Busy,
            StoreError::Disk { .. } | StoreError::Damaged { .. } => Exit::Disk,
            _ => Exit::Fault,
        };
        let exit = match &error {
            ServeError::Source(error) => source(error),
            ServeError::NoSource | ServeError::Device(_) => Exit::Setting,
            ServeError::Regressors(ReadError::Source(_)) => Exit::Input,
            ServeError::Regressors(ReadError::Regressor(error))
            | ServeError::Issue(PipelineError::Regressors(error)) => regressors(error),
            ServeError::Issue(PipelineError::NothingUsable { .. } | PipelineError::NoSeries) => Exit::Input,
            ServeError::Store(error) | ServeError::Service(ServiceError::Store(error)) => store(error),
            ServeError::Service(ServiceError::Listen(ListenError::InUse { .. })) => Exit::Busy,
            ServeError::Service(ServiceError::Listen(_)) => Exit::Setting,
            _ => Exit::Fault,
        };
        Self::new(exit, error)
    }
}

impl From<PipelineError> for Failure {
    fn from(error: PipelineError) -> Self {
        match error {
            PipelineError::NothingUsable { .. } | PipelineError::NoSeries => {
                Self { exit: Exit::Input, ..Self::fault(error) }
            }
            _ => Self::fault(error),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Source(error) => error.into(),
            ReadError::Regressor(error) => error.into(),
        }
    }
}

impl From<RegressorError> for Failure {
    fn from(error: RegressorError) -> Self {
        Self::new(regressors(&error), error)
    }
}

fn regressors(error: &RegressorError) -> Exit {
    match error {
        RegressorError::Nothing { .. } | RegressorError::Ambiguous { .. } => Exit::Input,
        RegressorError::Refused(_) => Exit::Setting,
        _ => Exit::Fault,
    }
}

impl From<FitError> for Failure {
    fn from(error: FitError) -> Self {
        Self::fault(error)
    }
}

impl From<PredictError> for Failure {
    fn from(error: PredictError) -> Self {
        Self::fault(error)
    }
}

impl From<BacktestError> for Failure {
    fn from(error: BacktestError) -> Self {
        Self::fault(error)
    }
}

/// The output could not be written.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("cannot write the output")]
#[diagnostic(help("the disk that it goes to may be full"))]
struct OutputError(#[source] io::Error);

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::ReadOnlyFilesystem);
        Self::new(if full { Exit::Disk } else { Exit::Fault }, OutputError(error))
    }
}

/// On a terminal a failure is coloured and wrapped to its width; elsewhere every cause is one plain line.
pub(super) fn print_plainly_where_nobody_looks() {
    if !io::stderr().is_terminal() {
        let plain = || MietteHandlerOpts::new().color(false).unicode(false).wrap_lines(false);
        // Refused only when a hook was set before: then that one is as good.
        let _ = miette::set_hook(Box::new(move |_| Box::new(plain().build())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::PrometheusError;

    #[test]
    fn only_our_own_output_may_end_early_in_silence() {
        let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert!(Failure::from(broken()).is_closed_pipe());
        let source = PrometheusError::Start { source: Box::new(broken()) };
        assert!(!Failure::from(SourceError::Prometheus(source)).is_closed_pipe());
    }
}
