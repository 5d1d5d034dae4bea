//! `lstm_global.pytorch_error`: how far what we say by a network that PyTorch saved lies off what PyTorch says by it.

use foreshadow_models::neural::Network;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::BenchError;
use crate::peers::torch;

/// Windows: more than are worked on together, so that the last ones are few.
const WINDOWS: usize = 53;

/// What `peers/network.py` is asked.
#[derive(Serialize)]
struct Work<'a> {
    file: &'a str,
    seed: u32,
    meaning: Value,
    inputs: usize,
    others: usize,
    outputs: usize,
    windows: usize,
}

#[derive(Deserialize)]
struct Answer {
    shown: Vec<f32>,
    others: Vec<f32>,
    said: Vec<f32>,
}

/// The largest difference to PyTorch, over the largest value that it says.
///
/// # Errors
/// [`BenchError`] when Python or the file fails.
pub(super) fn error() -> Result<f64, BenchError> {
    let failed = |reason: String| BenchError::Program { program: "torch".into(), reason };
    let file = tempfile::NamedTempFile::new().map_err(|error| failed(error.to_string()))?;
    let path = file.path().to_str().ok_or_else(|| failed("the temporary folder is no text".into()))?;
    // Eight steps ahead have four knots of three levels, and three numbers a knot with seven more tell of a series.
    let meaning = json!({
        "format": 1, "length": 20, "hidden": 12, "layers": 2, "horizon": 8, "step_ms": 60_000,
        "fleet": { "seasons": [24], "begun": 96, "ways": [] }, "trust": [1.0, 1.0, 1.0, 1.0],
    });
    let work = Work { file: path, seed: 5, meaning, inputs: 8, others: 19, outputs: 12, windows: WINDOWS };
    let Answer { shown, others, said } = torch("network.py", &work)?;
    let bytes = std::fs::read(file.path()).map_err(|error| failed(error.to_string()))?;
    let network = Network::read(&bytes).map_err(|error| failed(error.to_string()))?;
    let own = network.say(&shown, &others);
    if own.len() != said.len() {
        return Err(failed(format!("{} numbers were said, and {} here", said.len(), own.len())));
    }
    let off = own.iter().zip(&said).map(|(own, theirs)| (own - theirs).abs()).fold(0.0, f32::max);
    Ok(f64::from(off / said.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()))))
}

#[cfg(test)]
mod tests {
    use crate::peers::lacks_torch;

    #[test]
    fn a_network_that_pytorch_saved_says_the_same() {
        if lacks_torch("a network from PyTorch") {
            return;
        }
        let error = super::error().unwrap();
        assert!(error < 1e-5, "{error}");
    }
}
