use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView};

use super::*;
use crate::{WeightsError, check};

const CONFIG: &str = r#"{"architectures": ["ChronosBoltModelForForecasting"], "d_model": 8, "d_kv": 4, "d_ff": 12,
    "num_layers": 2, "num_decoder_layers": 1, "num_heads": 2, "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 32, "layer_norm_epsilon": 1e-6, "feed_forward_proj": "relu",
    "decoder_start_token_id": 0, "chronos_config": {"context_length": 32, "prediction_length": 6, "input_patch_size": 4,
    "input_patch_stride": 4, "quantiles": [0.1, 0.5, 0.9], "use_reg_token": true}}"#;

/// Names and shapes of the weights of that configuration.
fn shapes() -> Vec<(String, Vec<usize>)> {
    let mut all = vec![("shared.weight".to_owned(), vec![2, 8])];
    for (name, from, to) in [("input_patch_embedding", 8, 8), ("output_patch_embedding", 8, 18)] {
        for (part, from, to) in [("hidden_layer", from, 12), ("output_layer", 12, to), ("residual_layer", from, to)] {
            all.push((format!("{name}.{part}.weight"), vec![to, from]));
            all.push((format!("{name}.{part}.bias"), vec![to]));
        }
    }
    for (stack, layers) in [("encoder", 2), ("decoder", 1)] {
        all.push((format!("{stack}.final_layer_norm.weight"), vec![8]));
        let bias = format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        all.push((bias, vec![8, 2]));
        for block in 0..layers {
            let attentions: &[&str] =
                if stack == "decoder" { &["SelfAttention", "EncDecAttention"] } else { &["SelfAttention"] };
            for (layer, kind) in attentions.iter().enumerate() {
                let at = format!("{stack}.block.{block}.layer.{layer}");
                all.extend(["q", "k", "v", "o"].map(|part| (format!("{at}.{kind}.{part}.weight"), vec![8, 8])));
                all.push((format!("{at}.layer_norm.weight"), vec![8]));
            }
            let at = format!("{stack}.block.{block}.layer.{}", attentions.len());
            all.push((format!("{at}.DenseReluDense.wi.weight"), vec![12, 8]));
            all.push((format!("{at}.DenseReluDense.wo.weight"), vec![8, 12]));
            all.push((format!("{at}.layer_norm.weight"), vec![8]));
        }
    }
    all
}

/// A file of weights, each as it is told to be instead of random.
fn file(instead: &[(&str, Option<(Vec<usize>, f32)>)]) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let mut bytes: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (name, shape) in shapes() {
        let count: usize = shape.iter().product();
        let own: Vec<f32> = (0..count).map(|_| random.random_range(-0.5..0.5)).collect();
        let (shape, own) = match instead.iter().find(|(other, _)| *other == name) {
            None => (shape, own),
            Some((_, None)) => continue,
            Some((_, Some((shape, value)))) => (shape.clone(), vec![*value; shape.iter().product()]),
        };
        bytes.push((name, shape, own.iter().flat_map(|value| value.to_le_bytes()).collect()));
    }
    let views = bytes
        .iter()
        .map(|(name, shape, own)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), own).unwrap()));
    safetensors::serialize(views, None::<HashMap<String, String>>).unwrap()
}

fn network() -> Pretrained {
    Pretrained::new(ChronosBolt::read(CONFIG, &file(&[])).unwrap().into())
}

fn wave(steps: usize) -> Vec<f64> {
    (0..steps).map(|t| 50.0 + 7.0 * (t as f64 / 5.0).sin() + ((t * t) % 7) as f64).collect()
}

#[test]
fn a_series_is_forecast_alone_as_beside_longer_ones() {
    let all = [wave(29), wave(200), wave(3), vec![5.0; 9], vec![f64::NAN; 4], wave(1)];
    let (status, forecast) = check::forecast(&network(), &all, 6);
    let words: Vec<&str> = status.iter().map(FitStatus::word).collect();
    assert_eq!(words, ["fitted", "fitted", "fitted", "constant", "no_data", "constant"]);
    assert_eq!(forecast.mean(3), [5.0; 6]);
    for s in 0..3 {
        let (_, alone) = check::forecast(&network(), &all[s..=s], 6);
        for (one, other) in alone.mean(0).iter().zip(forecast.mean(s)) {
            assert!((one - other).abs() < 1e-4 * one.abs(), "series {s}: {one} and {other}");
        }
    }
}

#[test]
fn what_has_another_level_and_unit_is_forecast_in_them() {
    let plain = wave(40);
    let moved: Vec<f64> = plain.iter().map(|y| 1e9 + 250.0 * y).collect();
    let (_, forecast) = check::forecast(&network(), &[plain, moved], 15);
    for (one, other) in forecast.mean(0).iter().zip(forecast.mean(1)) {
        assert!((1e9 + 250.0 * one - other).abs() < 0.2, "{one} and {other}");
    }
}

#[test]
fn bands_do_not_cross_and_go_on_past_what_is_said_at_once() {
    let mut holed = wave(60);
    holed[40..47].fill(f64::NAN);
    let (status, forecast) = check::forecast(&network(), &[wave(50), holed], 20);
    assert!(status.iter().all(FitStatus::is_usable));
    for s in 0..2 {
        for step in 0..20 {
            let at = |level: usize| forecast.quantile(s, level)[step];
            let levels = forecast.quantiles().levels().len();
            assert!((1..levels).all(|level| at(level - 1) <= at(level) && at(level).is_finite()), "step {step}");
        }
    }
}

#[test]
fn levels_that_a_network_does_not_say_are_drawn_from_those_that_it_does() {
    let (levels, values) = ([0.1, 0.5, 0.9], [-2.0, 1.0, 3.0]);
    let at = |level: f64| at(&levels, &values, level);
    assert_eq!([at(0.1), at(0.5), at(0.9)], values);
    assert!((at(0.3) + 0.5).abs() < 1e-12 && (at(0.7) - 2.0).abs() < 1e-12);
    let z = normal_quantile(0.975) / normal_quantile(0.9);
    assert!((at(0.975) - (1.0 + 2.0 * z)).abs() < 1e-9 && (at(0.025) - (1.0 - 3.0 * z)).abs() < 1e-9);
}

#[test]
fn files_that_are_no_checkpoint_say_what_is_wrong_with_them() {
    let read = |config: &str, weights: &[u8]| ChronosBolt::read(config, weights).unwrap_err().to_string();
    let whole = file(&[]);
    assert!(read("{", &whole).starts_with("config.json: "));
    assert!(read("{}", &whole).contains("missing field `d_model`"));
    let other = |from: &str, to: &str| {
        assert!(CONFIG.contains(from));
        read(&CONFIG.replace(from, to), &whole)
    };
    assert_eq!(other("\"d_kv\": 4", "\"d_kv\": 0"), "config.json: d_kv is 0, which no network has");
    assert!(other("[0.1, 0.5, 0.9]", "[0.5, 0.1]").starts_with("config.json: chronos_config.quantiles is [0.5, 0.1]"));
    assert!(other("\"relu\"", "\"abs\"").starts_with("config.json: feed_forward_proj is abs"));
    assert!(other("\"input_patch_stride\": 4", "\"input_patch_stride\": 5").contains("input_patch_stride is 5"));
    assert!(other("\"decoder_start_token_id\": 0", "\"decoder_start_token_id\": 2").contains("token_id is 2"));
    assert_eq!(
        other("\"d_ff\": 12", "\"d_ff\": 16"),
        "the weights `input_patch_embedding.hidden_layer.weight` are of shape [12, 8], where [16, 8] is needed"
    );
    let name = "encoder.block.1.layer.0.SelfAttention.k.weight";
    assert_eq!(read(CONFIG, &file(&[(name, None)])), format!("the weights `{name}` are missing"));
    let nan = file(&[(name, Some((vec![8, 8], f32::NAN)))]);
    let error = ChronosBolt::read(CONFIG, &nan).unwrap_err();
    assert_eq!(error, ChronosError::Weights(WeightsError::NotFinite(name.into())));
    assert!(read(CONFIG, &whole[..whole.len() - 1]).starts_with("not a whole safetensors file"));
}
