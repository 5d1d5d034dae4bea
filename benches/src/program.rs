//! Our own programs, run as a user runs them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::BenchError;

/// What a run of a program cost and printed.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its standard output, read as JSON.
    pub(crate) output: Value,
    /// From start to end, on the wall.
    pub(crate) seconds: f64,
    /// Its largest resident set in MiB, the program's own process alone.
    pub(crate) peak_mib: f64,
}

/// Runs `program` in `folder` and reads the JSON that it prints.
///
/// # Errors
/// [`BenchError::Program`] when it does not start, fails, or prints no JSON.
pub(crate) fn run_json(program: &Path, arguments: &[&str], folder: &Path) -> Result<Ran, BenchError> {
    let failed = |reason: String| BenchError::Program { program: program.display().to_string(), reason };
    let out = tempfile::tempfile().map_err(|e| failed(e.to_string()))?;
    let stdout = out.try_clone().map_err(|e| failed(e.to_string()))?;
    let began = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    let mut peak_mib = 0.0;
    let status = loop {
        peak_mib = self::peak_mib(&child.id().to_string()).unwrap_or(peak_mib);
        if let Some(status) = child.try_wait().map_err(|e| failed(e.to_string()))? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        return Err(failed(format!("it ended with {status}")));
    }
    let mut text = String::new();
    let read = std::io::Seek::rewind(&mut &out).and_then(|()| std::io::Read::read_to_string(&mut &out, &mut text));
    read.map_err(|e| failed(e.to_string()))?;
    let output = serde_json::from_str(&text).map_err(|e| failed(format!("it printed no JSON: {e}")))?;
    Ok(Ran { output, seconds, peak_mib })
}

/// The kernel's own high-water mark, which only ever grows: the last reading before the end is the peak.
/// `process` is its number, or `self`.
pub(crate) fn peak_mib(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1_024.0)
}
