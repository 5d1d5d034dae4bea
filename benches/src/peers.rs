//! `peers.*`: our families and their peers in Python on one table, in one call; how both grow; and all peers on the sets
//! of telemetry that automatic selection is judged on.
//!
//! Whoever competes runs in a process of its own, which is what its memory is measured on, and answers one cell at a time;
//! cells are kept, so that a run that was cut off goes on where it was.

mod cells;
mod choice;
mod contender;
mod growth;
mod ours;
mod python;
mod table;
mod telemetry;
mod work;
mod workload;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use crate::{BenchError, Context, Figures, Scale};
use cells::{Cells, Programs};
use workload::Workload;

pub use choice::Choice;
pub use ours::answer_file;
#[cfg(test)]
pub(crate) use python::lacks_torch;
pub(crate) use python::torch;
pub use python::{peer, peer_given};
pub(crate) use work::numbers;
pub use work::{Answer, Grown, Ran, Said, Shown, Work};

/// What the figures of this area may cost.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Whether cells that were kept are taken anew.
    pub fresh: bool,
    /// Minutes after which no cell is begun; what is left is named, and a further run goes on.
    pub minutes: f64,
    /// CPU-seconds that a peer may take for one cell: it is given as many windows as that is good for.
    pub cell_seconds: f64,
    /// Whether a peer is asked for one window after the other: each of them is held to the limit then.
    pub apart: bool,
}

impl Default for Effort {
    /// The hour, with room for the last cells to end.
    fn default() -> Self {
        Self { fresh: false, minutes: 55.0, cell_seconds: 75.0, apart: false }
    }
}

/// Takes the table, the growth and, without `--input`, the telemetry; a smoke run takes little of each, of ours alone.
///
/// # Errors
/// [`BenchError`] when the telemetry or the table given is not there. A contender that fails is a row with its reason.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let smoke = context.scale == Scale::Smoke;
    let scratch = tempfile::tempdir()
        .map_err(|e| BenchError::Read { path: "a folder for cells".into(), reason: e.to_string() })?;
    let folder = if smoke { scratch.path().into() } else { cache_folder().join("peers-cells") };
    let cells = Cells::new(folder, context.effort, Programs::new(context.peers, context.effort.apart)?);
    let workload = match &context.input {
        Some(path) => Workload::given(path, figures)?,
        None => Workload::m4(context)?,
    };
    let choice = &context.choice;
    if choice.takes_set(choice::TABLE) {
        table::figures(&workload, &cells, choice, smoke, figures);
    }
    // Growth comes last: it takes as long as it is given.
    if context.input.is_none() {
        telemetry::figures(context, &cells, figures)?;
    }
    if choice.takes_set(choice::GROWTH) {
        growth::figures(&workload, &cells, choice, smoke, figures);
    }
    if let Some(reason) = cells.unfinished() {
        figures.skip("peers", &reason);
    }
    Ok(())
}

/// The user's cache folder for everything of ours.
fn cache_folder() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".cache");
    cache.unwrap_or_else(home).join("foreshadow")
}

fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
