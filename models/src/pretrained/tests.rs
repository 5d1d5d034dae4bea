use std::collections::HashMap;

use safetensors::tensor::{Dtype, TensorView};

use super::*;
use crate::{Panel, WeightsError, check};

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

/// Of weights, their shape and the value that they all have; none are there where `None`.
type Instead<'a> = (&'a str, Option<(Vec<usize>, f32)>);

/// A file of weights, each as it is told to be instead of what its place in their order says.
fn file(instead: &[Instead<'_>]) -> Vec<u8> {
    let mut bytes: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let mut shapes = shapes();
    shapes.sort();
    for (at, (name, shape)) in shapes.into_iter().enumerate() {
        let count: usize = shape.iter().product();
        let own: Vec<f32> = (0..count).map(|i| (0.6 * (1.3 * at as f64 + 0.7 * i as f64).sin()) as f32).collect();
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
    Pretrained::new("pretrained", ChronosBolt::read(CONFIG, &file(&[])).unwrap().into())
}

fn wave(steps: usize) -> Vec<f64> {
    (0..steps).map(|t| 50.0 + 7.0 * (t as f64 / 5.0).sin() + ((t * t) % 7) as f64).collect()
}

#[test]
fn a_series_is_forecast_alone_as_beside_longer_ones_to_the_bit() {
    let mut gap = wave(50);
    gap.extend([f64::NAN; 40]);
    let all = [wave(29), wave(200), wave(3), vec![5.0; 9], vec![f64::NAN; 4], wave(1), wave(30), vec![1e200, -1e200]];
    let (status, forecast) = check::forecast(&network(), &all, 9);
    let words: Vec<&str> = status.iter().map(FitStatus::word).collect();
    let usual = ["fitted", "fitted", "fitted", "constant", "no_data", "constant", "fitted", "not_converged"];
    assert_eq!(words, usual);
    assert_eq!(forecast.mean(3), [5.0; 9]);
    for s in [0, 1, 2, 6] {
        let (_, alone) = check::forecast(&network(), &all[s..=s], 9);
        assert_eq!(alone.mean(0), forecast.mean(s), "series {s}");
    }
    let mut panel = Panel::new(1_000);
    panel.push_to_the_end("gap".into(), 0, &gap);
    let fitted = network().fit(&panel.window(), 0).unwrap();
    assert_eq!(fitted.status(), [FitStatus::TooShort { observed: 0, needed: 1 }], "a gap as long as a context");
}

/// What `chronos-forecasting` 2.3.2 says of these weights: two series, three levels, nine steps, three of them past what it
/// says at once.
const PACKAGE: [[[f64; 9]; 3]; 2] = [
    [
        [43.6003, 58.0076, 50.1086, 45.5252, 61.1155, 52.37, 42.9895, 58.2295, 49.0893],
        [47.3155, 60.6779, 49.4414, 44.6939, 58.5993, 48.4939, 46.3469, 61.0896, 49.8262],
        [46.7086, 61.5585, 50.7159, 48.5156, 60.9802, 47.8397, 46.927, 62.062, 50.4998],
    ],
    [
        [47.197, 58.5239, 52.1684, 48.7892, 60.9371, 53.8437, 46.1789, 58.9733, 52.6515],
        [50.0608, 60.4686, 51.5077, 48.0641, 58.9529, 50.9063, 48.4462, 62.1016, 52.8155],
        [49.7423, 61.2683, 52.5656, 51.0266, 60.6775, 50.2535, 49.7773, 62.3837, 53.5841],
    ],
];

#[test]
fn a_network_says_what_its_package_says() {
    let mut holed = wave(45);
    holed[20..27].fill(f64::NAN);
    let panel = check::panel_of(&[wave(29), holed]);
    let fitted = network().fit(&panel.window(), 0).unwrap();
    let levels = Quantiles::new(vec![0.1, 0.5, 0.9]).unwrap();
    let forecast = fitted.predict(Horizon::new(9).unwrap(), &levels).unwrap();
    for (s, theirs) in PACKAGE.iter().enumerate() {
        for step in 0..9 {
            // The package leaves levels crossed.
            let mut rising = [0, 1, 2].map(|level| theirs[level][step]);
            rising.sort_by(f64::total_cmp);
            for (level, wanted) in rising.into_iter().enumerate() {
                let own = forecast.quantile(s, level)[step];
                assert!((own - wanted).abs() < 1e-3, "series {s}, level {level}, step {step}: {own} and {wanted}");
            }
        }
    }
}

#[test]
fn a_fit_takes_new_steps_in_as_if_it_had_been_longer() {
    let all = [wave(45), vec![5.0; 45]];
    let shown: Vec<Vec<f64>> = all.iter().map(|values| values[..40].to_vec()).collect();
    let mut fitted = network().fit(&check::panel_of(&shown).window(), 0).unwrap();
    for t in 40..45 {
        fitted.append(&[all[0][t], all[1][t]]).unwrap();
    }
    let (_, whole) = check::forecast(&network(), &all, 6);
    let own = fitted.predict(Horizon::new(6).unwrap(), &Quantiles::standard()).unwrap();
    assert!((0..2).all(|s| own.mean(s) == whole.mean(s)));
    fitted.append(&[1.0, 6.0]).unwrap();
    assert_eq!(fitted.status(), [FitStatus::Fitted, FitStatus::Fitted], "what moves now has an answer");
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
    assert!(other("1e-6", "-1.0").starts_with("config.json: layer_norm_epsilon is -1"));
    assert!(other("\"relu\"", "\"abs\"").starts_with("config.json: feed_forward_proj is abs"));
    assert!(other("\"input_patch_stride\": 4", "\"input_patch_stride\": 5").contains("input_patch_stride is 5"));
    assert!(other("\"decoder_start_token_id\": 0", "\"decoder_start_token_id\": 2").contains("token_id is 2"));
    assert_eq!(
        other("\"d_ff\": 12", "\"d_ff\": 16"),
        "the weights `input_patch_embedding.hidden_layer.weight` are of shape [12, 8], where [16, 8] is needed"
    );
    let name = "encoder.block.1.layer.0.SelfAttention.k.weight";
    assert_eq!(read(CONFIG, &file(&[(name, None)])), format!("the weights `{name}` are missing"));
    let whole_numbers = TensorView::new(Dtype::I32, vec![2, 8], &[0; 64]).unwrap();
    let numbers = safetensors::serialize([("shared.weight", whole_numbers)], None::<HashMap<String, String>>).unwrap();
    assert_eq!(read(CONFIG, &numbers), "the weights `shared.weight` are no floats: I32");
    let nan = file(&[(name, Some((vec![8, 8], f32::NAN)))]);
    let error = ChronosBolt::read(CONFIG, &nan).unwrap_err();
    assert_eq!(error, ChronosError::Weights(WeightsError::NotFinite(name.into())));
    assert!(read(CONFIG, &whole[..whole.len() - 1]).starts_with("not a whole safetensors file"));
}
