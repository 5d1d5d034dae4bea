use std::collections::HashMap;

use foreshadow_kernels::device::present;
use safetensors::SafeTensors;

use super::*;
use crate::classical::SeasonalNaive;
use crate::neural::NetworkError;
use crate::{Panel, WeightsError, artifact};

const DAY: usize = 24;
const STEP_MS: i64 = 3_600_000;

fn noise(t: usize, s: usize) -> f64 {
    ((t * 7_919 + s * 104_729) % 1_009) as f64 / 1_009.0 - 0.5
}

/// A day that comes every day at a height of its own, and pushes that fade within hours of coming.
fn pushed(steps: usize, s: usize) -> Vec<f64> {
    let (mut push, height) = (0.0, (1 + s % 7) as f64);
    let value = |t: usize| {
        push = 0.8 * push + if (t * 31 + s * 17).is_multiple_of(29) { 6.0 } else { 0.0 };
        height * (10.0 + 3.0 * (t as f64 / DAY as f64 * std::f64::consts::TAU).sin() + push + 0.5 * noise(t, s))
    };
    (0..steps).map(value).collect()
}

fn panel(series: &[Vec<f64>]) -> Panel {
    panel_from(0, series)
}

/// Series that begin so many steps later.
fn panel_from(step: usize, series: &[Vec<f64>]) -> Panel {
    let mut panel = Panel::new(STEP_MS);
    let start_ms = 1_700_000_400_000 + step as i64 * STEP_MS;
    series.iter().enumerate().for_each(|(s, values)| panel.push(format!("s{s}"), start_ms, values));
    panel
}

fn horizon(steps: usize) -> Horizon {
    Horizon::new(steps).unwrap()
}

/// Enough to learn what fades.
fn effort(steps: usize) -> GlobalEffort {
    GlobalEffort { length: 24, hidden: 16, windows: 64, steps, rate: 1e-2, ..GlobalEffort::USUAL }
}

fn trained(series: &[Vec<f64>], effort: GlobalEffort, seed: u64) -> Network {
    let panel = panel(series);
    Training::begin(&[panel.window()], horizon(12), seed, effort, &Device::Cpu).unwrap().run().unwrap()
}

/// Series to judge by: more than are learned of, for each tells of one moment.
const UNSEEN: usize = 60;

#[test]
fn series_that_were_never_seen_are_forecast_better_than_by_their_cycle() {
    let network = trained(&(0..12).map(|s| pushed(600, s)).collect::<Vec<_>>(), effort(200), 3);
    let family = LstmGlobal::trained("lstm-global", network);
    let unseen: Vec<Vec<f64>> = (50..50 + UNSEEN).map(|s| pushed(600, s)).collect();
    // What the error may be of seasonal naive's (it is 0.44, 0.6 to 0.8, and 0.95 where a few hours alone tell), the first
    // step, and the step that the clock shows there: 540 hours are 22 days and a half.
    let cases = [
        ("all of it", 0.8, 0, 0),
        ("two days", 0.8, 540, 540),
        ("two days where it is noon at midnight", 0.9, 540, 0),
        ("a day and four hours", 1.0, 560, 560),
    ];
    for (told, share, from, begins) in cases {
        let all: Vec<Vec<f64>> = unseen.iter().map(|values| values[from..].to_vec()).collect();
        let shown: Vec<Vec<f64>> = all.iter().map(|values| values[..values.len() - 12].to_vec()).collect();
        let panel = panel_from(begins, &shown);
        let error = |model: &dyn Model| {
            let fitted = model.fit(&panel.window(), 0).unwrap();
            let forecast = fitted.predict(horizon(12), &Quantiles::standard()).unwrap();
            let of = |s: usize| (0..12).map(move |t| (s, t));
            let off = |(s, t): (usize, usize)| {
                (forecast.mean(s)[t] - all[s][shown[s].len() + t]).abs() / (1 + (s + 50) % 7) as f64
            };
            assert!(fitted.status().iter().all(FitStatus::is_usable), "{:?}", fitted.status());
            (0..UNSEEN).flat_map(of).map(off).sum::<f64>() / (12 * UNSEEN) as f64
        };
        let (own, naive) = (error(&family), error(&SeasonalNaive { season: DAY }));
        assert!(own < share * naive, "{told}: {own} and {naive}");
    }
}

#[test]
fn what_is_said_of_a_series_hangs_on_no_neighbour_to_the_bit() {
    let series: Vec<Vec<f64>> = (0..70).map(|s| pushed(300, s)).collect();
    let network = trained(&series[..4], GlobalEffort { hidden: 64, ..effort(20) }, 0);
    let family = LstmGlobal::trained("lstm-global", network);
    let means = |some: &[Vec<f64>]| -> Vec<Vec<f64>> {
        let panel = panel(some);
        let fitted = family.fit(&panel.window(), 0).unwrap();
        let forecast = fitted.predict(horizon(12), &Quantiles::standard()).unwrap();
        let words: Vec<&str> = fitted.status().iter().map(FitStatus::word).collect();
        assert!(words.iter().filter(|word| **word == "fitted").count() * 2 > words.len(), "{words:?}");
        (0..some.len()).map(|s| forecast.mean(s).to_vec()).collect()
    };
    let bits = |all: &[Vec<f64>]| -> Vec<u64> { all.iter().flatten().map(|y| y.to_bits()).collect() };
    let whole = means(&series);
    for count in [1, 2, 5, 49] {
        assert_eq!(bits(&means(&series[..count])), bits(&whole[..count]), "{count} series");
    }
}

#[test]
fn candle_says_what_burn_does() {
    let series: Vec<Vec<f64>> = (0..4).map(|s| pushed(400, s)).collect();
    let panel = panel(&series);
    let two = GlobalEffort { layers: 2, ..effort(20) };
    let mut training = Training::begin(&[panel.window()], horizon(12), 5, two, &Device::Cpu).unwrap();
    let before = training.progress();
    assert!(before.loss == before.without && before.step == 0);
    training.advance().unwrap();
    let loss = training.progress().loss;
    assert!(loss < before.without, "{loss} and {before:?}");
    // `finish` would take the best, which these weights are.
    let (off, largest) = training.served_and_trained();
    assert!(off < 1e-5 * largest && largest > 0.1, "{off} of {largest}");
}

/// On software Vulkan with the feature `burn-gpu`, and on the cores of a program without it.
#[test]
fn a_network_learns_the_same_on_every_device() {
    let series: Vec<Vec<f64>> = (0..4).map(|s| pushed(400, s)).collect();
    let panel = panel(&series);
    let begun = |device: &Device| Training::begin(&[panel.window()], horizon(12), 5, effort(40), device).unwrap();
    let mut here = begun(&Device::Cpu);
    here.advance().unwrap();
    let kept = here.checkpoint();
    here.advance().unwrap();
    for device in present() {
        let mut there = begun(&device);
        there.advance().unwrap();
        let mut again = begun(&device).resume(&there.checkpoint()).unwrap();
        let mut moved = begun(&device).resume(&kept).unwrap();
        [&mut there, &mut again, &mut moved].into_iter().for_each(|own| own.advance().unwrap());
        assert!(there.weights() == again.weights(), "{device}: the same bits on one device");
        for own in [&there, &moved] {
            let (own, expected) = (own.progress(), here.progress());
            assert_eq!((own.step, own.steps), (expected.step, expected.steps));
            let gained = expected.without - expected.loss;
            // Sums in another order turn a step of Adam a little, and the better by as much the more was gained.
            let off = (own.loss - expected.loss).abs();
            assert!(gained > 0.0 && off < 0.1 * gained, "{device}: {own:?} for {expected:?}");
        }
        let (off, largest) = there.served_and_trained();
        // CUDA multiplies in TensorFloat-32, with 11 bits: 5e-4 each, and layers upon each other.
        let tolerance = if matches!(device, Device::Cuda(_)) { 1e-2 } else { 1e-4 };
        assert!(off < tolerance * largest, "{device}: {off} of {largest}");
    }
}

#[test]
fn only_a_network_that_has_yet_to_be_trained_goes_to_a_device() {
    let anew = LstmGlobal::new(horizon(12), effort(20));
    let network = trained(&(0..2).map(|s| pushed(400, s)).collect::<Vec<_>>(), effort(20), 0);
    let before = LstmGlobal::trained("lstm-global", network);
    assert_eq!((anew.is_trained(), before.is_trained()), (false, true));
    assert_eq!(
        (anew.on(&Device::Cpu).is_some(), before.on(&Device::Cpu).is_some()),
        (cfg!(feature = "burn-gpu"), false)
    );
}

#[test]
fn series_that_are_sampled_at_other_moments_are_learned_of_together() {
    let series: Vec<Vec<f64>> = (0..4).map(|s| pushed(400, s)).collect();
    let mut late = Panel::new(STEP_MS);
    series[2..].iter().for_each(|values| late.push("late".into(), 1_700_000_400_000 + 60_000, values));
    let early = panel(&series[..2]);
    let begin = |windows: &[Window<'_>]| {
        Training::begin(windows, horizon(12), 0, effort(20), &Device::Cpu).map(|own| own.series_count()).ok()
    };
    assert_eq!(begin(&[early.window(), late.window()]), Some(4));
    assert_eq!(begin(&[]), None);
}

#[test]
fn training_that_is_cut_off_goes_on_to_the_same_bits() {
    let series: Vec<Vec<f64>> = (0..4).map(|s| pushed(400, s)).collect();
    let panel = panel(&series);
    let begin = |seed: u64, windows: usize| {
        Training::begin(&[panel.window()], horizon(12), seed, GlobalEffort { windows, ..effort(60) }, &Device::Cpu)
            .unwrap()
    };
    let end = |training: Training<'_>| training.run().unwrap();
    let whole = end(begin(1, 16));
    let mut cut = begin(1, 16);
    cut.advance().unwrap();
    let checkpoint = cut.checkpoint();
    drop(cut);
    let resumed = begin(1, 16).resume(&checkpoint).unwrap();
    assert_eq!(resumed.progress().step, 20);
    assert!(end(resumed) == whole, "the same seed, the same bits");
    assert!(end(begin(2, 16)) != whole, "another seed, another network");
    for other in [begin(2, 16), begin(1, 32)] {
        assert!(matches!(other.resume(&checkpoint), Err(TrainingError::Other)));
    }
    for broken in [&checkpoint[..checkpoint.len() / 2], b"nothing", &[]] {
        assert!(matches!(begin(1, 16).resume(broken), Err(TrainingError::Damaged)));
    }
    for at in (0..checkpoint.len()).step_by(checkpoint.len() / 40) {
        let mut flipped = checkpoint.clone();
        flipped[at] ^= 0x10;
        assert!(matches!(begin(1, 16).resume(&flipped), Err(TrainingError::Damaged)), "byte {at}");
    }
}

#[test]
fn a_rate_far_too_large_is_an_error_and_never_a_network_of_nan() {
    let series: Vec<Vec<f64>> = (0..3).map(|s| pushed(400, s)).collect();
    let panel = panel(&series);
    let mut training =
        Training::begin(&[panel.window()], horizon(12), 1, GlobalEffort { rate: 1e30, ..effort(60) }, &Device::Cpu)
            .unwrap();
    while !training.is_done() {
        training.advance().unwrap();
    }
    assert!(training.progress().best == training.progress().without, "{:?}", training.progress());
    match training.finish() {
        Err(error) => assert!(matches!(error, TrainingError::Diverged { .. }), "{error}"),
        // Its best is what it began with, which says nothing.
        Ok(network) => {
            let fitted = LstmGlobal::trained("lstm-global", network).fit(&panel.window(), 0).unwrap();
            assert_eq!(fitted.status(), vec![FitStatus::NotConverged; 3]);
        }
    }
}

#[test]
fn a_fit_takes_new_steps_in_as_if_it_had_been_longer() {
    let network = trained(&(0..6).map(|s| pushed(500, s)).collect::<Vec<_>>(), effort(100), 0);
    let family = LstmGlobal::trained("lstm-global", network);
    let (whole, shown): (Vec<f64>, Vec<f64>) = (pushed(40, 3), pushed(10, 3));
    let mut fitted = family.fit(&panel(&[shown]).window(), 0).unwrap();
    whole[10..].iter().for_each(|y| fitted.append(&[*y]).unwrap());
    let forecast = |fitted: &dyn Fitted| fitted.predict(horizon(12), &Quantiles::standard()).unwrap().mean(0).to_vec();
    // Its measures are those of ten values, but it is shown all forty.
    let Some(Artifact(Kept::LstmGlobal(own))) = fitted.artifact() else { panic!("it is kept") };
    assert_eq!(own.watched[0].as_ref().unwrap().recent, whole);
    assert!(forecast(&*fitted).iter().all(|y| y.is_finite()));
}

#[test]
fn what_cannot_be_learned_says_why_and_the_others_go_on() {
    let network = trained(&(0..6).map(|s| pushed(500, s)).collect::<Vec<_>>(), effort(100), 0);
    let family = LstmGlobal::trained("lstm-global", network);
    let mut holed = pushed(500, 31);
    holed[50..80].fill(f64::NAN);
    let huge: Vec<f64> = pushed(500, 32).iter().map(|y| 1e9 + y).collect();
    let cycle: Vec<f64> = (0..400).map(|t| (t % DAY) as f64).collect();
    let all = [pushed(500, 30), holed, huge, vec![7.0; 400], vec![f64::NAN; 400], vec![1.0, 2.0], cycle];
    let fit = |series: &[Vec<f64>]| {
        let panel = panel(series);
        let fitted = family.fit(&panel.window(), 0).unwrap();
        let forecast = fitted.predict(horizon(20), &Quantiles::standard()).unwrap();
        (fitted.status().to_vec(), forecast)
    };
    let (status, forecast) = fit(&all);
    let words: Vec<&str> = status.iter().map(FitStatus::word).collect();
    assert_eq!(words, ["fitted", "fitted", "fitted", "constant", "no_data", "too_short", "fitted"]);
    for (s, status) in status.iter().enumerate() {
        assert_eq!(forecast.mean(s).iter().all(|y| y.is_finite()), status.is_usable(), "series {s}");
    }
    assert_eq!(forecast.mean(3), [7.0; 20]);
    let next: Vec<f64> = (400..420).map(|t| (t % DAY) as f64).collect();
    assert_eq!(forecast.mean(6), next, "a cycle that always comes is what comes");

    let mut minutes = Panel::new(60_000);
    minutes.push("s".into(), 0, &pushed(500, 1));
    let fitted = family.fit(&minutes.window(), 0).unwrap();
    assert_eq!(fitted.status(), [FitStatus::OtherStep { trained_ms: STEP_MS }]);
    // Nothing to learn of at all.
    let nothing = panel(&[vec![1.0, 2.0, 3.0], vec![f64::NAN; 3]]);
    let fitted = LstmGlobal::new(horizon(12), effort(20)).fit(&nothing.window(), 0).unwrap();
    let words: Vec<&str> = fitted.status().iter().map(FitStatus::word).collect();
    assert_eq!(words, ["not_converged", "no_data"]);
    let forecast = fitted.predict(horizon(3), &Quantiles::standard()).unwrap();
    assert!(forecast.mean(0).iter().all(|y| y.is_nan()));
}

#[test]
fn bands_do_not_cross_and_a_fit_goes_on_and_comes_back_to_the_bit() {
    let series: Vec<Vec<f64>> = (0..4).map(|s| pushed(400, s)).collect();
    let family = LstmGlobal::new(horizon(12), effort(60));
    let mut fitted = family.fit(&panel(&series).window(), 3).unwrap();
    fitted.append(&[60.0, f64::NAN, 30.0, 40.0]).unwrap();
    let (steps, quantiles) = (horizon(30), Quantiles::standard());
    let forecast = fitted.predict(steps, &quantiles).unwrap();
    assert!(fitted.status().iter().any(FitStatus::is_usable), "{:?}", fitted.status());
    for s in (0..4).filter(|s| fitted.status()[*s].is_usable()) {
        for step in 0..30 {
            let at = |level: usize| forecast.quantile(s, level)[step];
            assert!((1..quantiles.levels().len()).all(|level| at(level - 1) <= at(level)), "series {s}, step {step}");
        }
    }
    let bytes = artifact::encode(&*fitted).unwrap();
    let back = artifact::decode(&bytes).unwrap();
    let again = back.predict(steps, &quantiles).unwrap();
    assert!((0..4).all(|s| again.mean(s) == forecast.mean(s) || !fitted.status()[s].is_usable()));
    assert_eq!(artifact::encode(&*back).unwrap(), bytes);
}

#[test]
fn a_file_that_is_no_network_says_what_is_wrong_with_it() {
    let network = trained(&(0..3).map(|s| pushed(400, s)).collect::<Vec<_>>(), effort(20), 0);
    assert_eq!((network.horizon(), network.step_ms()), (12, STEP_MS));
    let read = |bytes: &[u8]| Network::read(bytes).unwrap_err();
    let bytes = network.bytes();
    assert!(matches!(read(&bytes[..bytes.len() - 4]), NetworkError::Weights(WeightsError::NotSafetensors(_))));
    assert!(matches!(read(b"PK"), NetworkError::Weights(WeightsError::NotSafetensors(_))));
    let file = SafeTensors::deserialize(bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(bytes).unwrap();
    let meaning = header.metadata().clone().unwrap().remove("foreshadow").unwrap();
    let write = |meaning: Option<&str>, left_out: &str| {
        let kept = file.tensors().into_iter().filter(|(name, _)| name != left_out);
        let metadata = meaning.map(|text| HashMap::from([("foreshadow".to_owned(), text.to_owned())]));
        safetensors::serialize(kept, metadata).unwrap()
    };
    assert_eq!(Network::read(&write(Some(&meaning), "")).unwrap(), network);
    let told = |meaning: Option<&str>, left_out: &str| read(&write(meaning, left_out)).to_string();
    assert!(told(None, "").contains("no key `foreshadow`"));
    assert!(told(Some("{}"), "").contains("missing field `format`"));
    let other = |from: &str, to: &str| {
        assert!(meaning.contains(from), "{meaning}");
        told(Some(&meaning.replace(from, to)), "")
    };
    assert_eq!(other("\"format\":1", "\"format\":2"), "a network of format 2; this version reads 1");
    assert_eq!(
        other("\"hidden\":16", "\"hidden\":17"),
        "the weights `lstm.weight_ih_l0` are of shape [64, 8], where [68, 8] is needed"
    );
    assert_eq!(other("\"layers\":1", "\"layers\":2"), "the weights `lstm.weight_ih_l1` are missing");
    assert_eq!(other("\"length\":24", "\"length\":0"), "length is 0, which no network here has");
    assert!(other("\"trust\":[", "\"trust\":[3.0,").starts_with("trust is [3.0"));
    let odd =
        |from: &str, to: &str, given: &str| assert_eq!(other(from, to), format!("{given}, which no network here has"));
    odd("\"seasons\":[", "\"seasons\":[1,", "fleet.seasons is 1");
    assert!(
        other("\"seasons\":[", "\"seasons\":[2000,")
            .ends_with("cycles that do not rise, or more than 8, which no network here has")
    );
    odd("\"begun\":96", "\"begun\":0", "fleet.begun is 0");
    odd("\"cycles\":4}", "\"cycles\":3}", "fleet.ways is 3 cycles of 24 steps with 5 shares");
    odd(
        "\"cycles\":4},\"shares\":[",
        "\"cycles\":4},\"shares\":[0.5,",
        "fleet.ways is 4 cycles of 24 steps with 6 shares",
    );
    let (one, first) = ("{\"way\":{\"season\":24,\"cycles\":1},\"shares\":[1,1,1,1,1]}", "\"ways\":[");
    odd(first, &format!("{first}{one},"), "fleet.ways is 1 cycles of 24 steps with 5 shares, twice");
    assert_eq!(told(Some(&meaning), "head.bias"), "the weights `head.bias` are missing");
    let at = bytes.len() - 4;
    let nan = [&bytes[..at], &f32::NAN.to_le_bytes()].concat();
    assert!(matches!(read(&nan), NetworkError::Weights(WeightsError::NotFinite(_))));
}
