//! Where a bench finds its data and how much work it does.

use std::path::{Path, PathBuf};

use crate::ceilings::Ceilings;
use crate::peers::{Choice, Effort};

/// How much work a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Everything runs once on a small panel: does it work at all?
    Smoke,
    /// The sizes of the figures.
    Quick,
}

/// A run's settings.
#[derive(Clone, Debug)]
pub struct Context {
    /// Folder of the real telemetry.
    pub data: PathBuf,
    /// Table that replaces the bench panel, if any.
    pub input: Option<PathBuf>,
    /// How much work.
    pub scale: Scale,
    /// This machine's limits, measured in this run.
    pub ceilings: Ceilings,
    /// Whether peers may be run side by side.
    pub peers: bool,
    /// What the area `peers` may cost.
    pub effort: Effort,
    /// What of the area `peers` is taken.
    pub choice: Choice,
}

/// Why a figure could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The telemetry is not on this machine.
    #[error("{} is not here: set FORESHADOW_DATA to the folder of the telemetry", .0.display())]
    NoData(PathBuf),
    /// A file is there but could not be read.
    #[error("{} could not be read: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What its reader said.
        reason: String,
    },
    /// A batch could not be fitted.
    #[error("a fit failed: {0}")]
    Fit(String),
    /// A peer, or a program of ours, did not end well.
    #[error("{program} failed: {reason}")]
    Program {
        /// What was run.
        program: String,
        /// How it ended.
        reason: String,
    },
}

impl Context {
    /// The telemetry folder: `FORESHADOW_DATA`, else `../shared/data` beside the repository.
    pub fn data_folder() -> PathBuf {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
        std::env::var_os("FORESHADOW_DATA").map_or_else(beside, PathBuf::from)
    }

    /// A file of the telemetry folder.
    ///
    /// # Errors
    /// [`BenchError::NoData`] when it is not there.
    pub fn telemetry(&self, name: &str) -> Result<PathBuf, BenchError> {
        let path = self.data.join(name);
        if path.exists() { Ok(path) } else { Err(BenchError::NoData(path)) }
    }

    /// A program built beside this one.
    ///
    /// # Errors
    /// [`BenchError::Program`] with the command that builds it.
    pub fn program(&self, name: &str) -> Result<PathBuf, BenchError> {
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(name)));
        beside.filter(|path| path.exists()).ok_or_else(|| BenchError::Program {
            program: name.into(),
            reason: format!("it is not beside foreshadow-bench: cargo build --release --bin {name}"),
        })
    }
}
