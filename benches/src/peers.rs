//! Python peers, run side by side in an environment of their own.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::BenchError;

const REQUIREMENTS: &str = include_str!("../peers/requirements.txt");

/// Runs `peers/SCRIPT` on `input`, which it reads from a JSON file, and reads the JSON object that it prints.
///
/// The environment lies in the user's cache folder under the hash of `peers/requirements.txt`, and is
/// made on first use. BLAS threads are pinned to one, so that CPU-seconds mean work.
///
/// # Errors
/// [`BenchError::Program`] when Python, an installation or the peer fails.
pub fn peer(script: &str, input: &Value) -> Result<Value, BenchError> {
    let python = environment()?;
    let failed = |reason: String| BenchError::Program { program: script.into(), reason };
    let mut file = tempfile::NamedTempFile::new().map_err(|e| failed(e.to_string()))?;
    file.write_all(input.to_string().as_bytes()).map_err(|e| failed(e.to_string()))?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script);
    let mut command = Command::new(python);
    command.arg(path).arg(file.path());
    for pinned in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(pinned, "1");
    }
    let stdout = run(script, &mut command)?;
    let last = stdout.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|e| failed(format!("its last line is no JSON: {e}")))
}

/// One fit for each of `count` series by a script that prints `fits` and `cpu_seconds`, and those seconds.
///
/// # Errors
/// [`BenchError::Program`] when the script fails or answers something else.
pub fn peer_fits(script: &str, work: &Value, count: usize) -> Result<(Vec<Value>, f64), BenchError> {
    let broken = |reason: &str| BenchError::Program { program: format!("peers/{script}"), reason: reason.into() };
    let mut answer = peer(script, work)?;
    let seconds = answer["cpu_seconds"].as_f64().ok_or_else(|| broken("no CPU-seconds"))?;
    match answer["fits"].take() {
        Value::Array(fits) if fits.len() == count => Ok((fits, seconds)),
        _ => Err(broken("not one fit a series")),
    }
}

fn environment() -> Result<PathBuf, BenchError> {
    let mut hasher = DefaultHasher::new();
    REQUIREMENTS.hash(&mut hasher);
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from).join(".cache");
    let folder = cache.unwrap_or_else(home).join("foreshadow").join(format!("peers-{:016x}", hasher.finish()));
    let python = folder.join("bin/python");
    let complete = folder.join("complete");
    if !complete.exists() {
        run("python3 -m venv", Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/requirements.txt");
        let mut pip = Command::new(&python);
        run("pip install", pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements))?;
        std::fs::write(&complete, "").map_err(|e| BenchError::Read { path: complete, reason: e.to_string() })?;
    }
    Ok(python)
}

fn run(program: &str, command: &mut Command) -> Result<String, BenchError> {
    let failed = |reason: String| BenchError::Program { program: program.into(), reason };
    let output = command.output().map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let tail: Vec<_> = stderr.lines().rev().take(5).collect();
        return Err(failed(format!("{}: {}", output.status, tail.into_iter().rev().collect::<Vec<_>>().join(" / "))));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
