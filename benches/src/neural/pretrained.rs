//! `pretrained.package_error`: how far what we say of a checkpoint lies off what the package that it comes from does.

use foreshadow_models::pretrained::{ChronosBolt, Pretrained};
use foreshadow_models::{Horizon, Model, Panel, Quantiles};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::BenchError;
use crate::peers::torch;

/// Steps ahead: more than a network of [`configs`] says at once, and again more.
const HORIZON: usize = 20;
const LEVELS: [f64; 5] = [0.1, 0.3, 0.5, 0.7, 0.9];

/// What `peers/bolt.py` is asked.
#[derive(Serialize)]
struct Work<'a> {
    folder: &'a str,
    seed: u32,
    config: Value,
    contexts: Vec<Vec<Option<f64>>>,
    horizon: usize,
}

#[derive(Deserialize)]
struct Answer {
    /// `[series][levels][steps]`.
    said: Vec<Vec<Vec<f64>>>,
}

/// As they are published, and as T5 1.1 would have it.
fn configs() -> [Value; 2] {
    let config = |feed_forward: &str, reg: bool, stride: usize| {
        json!({
            "d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2,
            "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20, "dropout_rate": 0.1,
            "layer_norm_epsilon": 1e-6, "feed_forward_proj": feed_forward, "is_encoder_decoder": true,
            "decoder_start_token_id": 0, "pad_token_id": 0, "eos_token_id": 1,
            "chronos_config": {
                "context_length": 96, "prediction_length": 8, "input_patch_size": 4, "input_patch_stride": stride,
                "quantiles": LEVELS, "use_reg_token": reg,
            },
        })
    };
    [config("relu", true, 4), config("gated-gelu", false, 2)]
}

/// Series shorter than a patch, longer than a context, and with holes.
fn contexts() -> Vec<Vec<Option<f64>>> {
    let wave = |steps: usize, level: f64| -> Vec<Option<f64>> {
        (0..steps).map(|t| Some(level + 3.0 * (t as f64 / 4.0).sin() + ((t * t) % 5) as f64)).collect()
    };
    let mut holed = wave(70, 20.0);
    holed[30..41].fill(None);
    vec![wave(60, 10.0), wave(3, -5.0), wave(150, 100.0), holed]
}

/// The largest difference to the package, over the largest value that it says.
///
/// # Errors
/// [`BenchError`] when Python, the package or the checkpoint fails.
pub(super) fn error() -> Result<f64, BenchError> {
    let failed = |reason: String| BenchError::Program { program: "chronos".into(), reason };
    let (mut off, mut largest) = (0.0, 0.0);
    for (seed, config) in (7..).zip(configs()) {
        let folder = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
        let path = folder.path().to_str().ok_or_else(|| failed("the temporary folder is no text".into()))?;
        let contexts = contexts();
        let work = Work { folder: path, seed, config, contexts: contexts.clone(), horizon: HORIZON };
        let Answer { said } = torch("bolt.py", &work)?;
        let read = |name: &str| std::fs::read(folder.path().join(name)).map_err(|error| failed(error.to_string()));
        let text = String::from_utf8(read("config.json")?).map_err(|error| failed(error.to_string()))?;
        let network = ChronosBolt::read(&text, &read("model.safetensors")?);
        let family = Pretrained::new("pretrained", network.map_err(|error| failed(error.to_string()))?.into());
        let mut panel = Panel::new(60_000);
        for (s, own) in contexts.iter().enumerate() {
            let values: Vec<f64> = own.iter().map(|y| y.unwrap_or(f64::NAN)).collect();
            panel.push(s.to_string(), 0, &values);
        }
        let fitted = family.fit(&panel.window(), 0).map_err(|error| failed(error.to_string()))?;
        let (horizon, levels) = (Horizon::new(HORIZON), Quantiles::new(LEVELS.to_vec()));
        let forecast = fitted
            .predict(horizon.expect("there are steps ahead"), &levels.expect("levels rise"))
            .map_err(|error| failed(error.to_string()))?;
        for (s, theirs) in said.iter().enumerate() {
            for step in 0..HORIZON {
                // The package leaves levels crossed.
                let mut rising: Vec<f64> = theirs.iter().map(|own| own[step]).collect();
                rising.sort_by(f64::total_cmp);
                for (level, theirs) in rising.into_iter().enumerate() {
                    off = f64::max(off, (forecast.quantile(s, level)[step] - theirs).abs());
                    largest = f64::max(largest, theirs.abs());
                }
            }
        }
    }
    Ok(off / largest)
}

#[cfg(test)]
mod tests {
    use crate::peers::lacks_torch;

    #[test]
    fn what_is_said_of_a_checkpoint_is_what_its_package_says() {
        if lacks_torch("Chronos-Bolt beside its package") {
            return;
        }
        let error = super::error().unwrap();
        assert!(error < 1e-5, "{error}");
    }
}
