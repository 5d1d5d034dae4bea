//! `demo.*`: the main job, as a new user runs it.

use crate::program::run_json;
use crate::{BenchError, Context, Figures};

/// Runs `foreshadow demo` and adds `demo.seconds` and `demo.peak_mib`.
///
/// # Errors
/// [`BenchError`] when the program is missing or fails.
pub fn run(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let folder = tempfile::tempdir()
        .map_err(|e| BenchError::Program { program: "foreshadow demo".into(), reason: e.to_string() })?;
    let ran = run_json(&context.program("foreshadow")?, &["demo", "--output", "json"], folder.path())?;
    figures.add("demo.seconds", ran.seconds, "s");
    figures.add("demo.peak_mib", ran.peak_mib, "MiB");
    Ok(())
}
