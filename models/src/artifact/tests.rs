use foreshadow_kernels::{CesForm, EtsForm, ThetaForm};

use super::*;
use crate::check::panel_of;
use crate::classical::{
    Arima, AutoEts, Card, Ces, Dhr, Drift, Ets, Growth, Known, LowRankRidge, Mstl, Naive, Prophet, ProphetConfig,
    Regressor, SeasonalAr, SeasonalMedian, SeasonalNaive, Theta, Track,
};
use crate::{Auto, Horizon, Model, Quantiles};

fn models() -> Vec<Box<dyn Model>> {
    let mut models: Vec<Box<dyn Model>> = vec![
        Box::new(Naive),
        Box::new(Drift),
        Box::new(SeasonalNaive { season: 4 }),
        Box::new(SeasonalMedian { season: 4 }),
        Box::new(SeasonalAr { season: 4 }),
        Box::new(AutoEts { season: 4 }),
        Box::new(Ces::new(CesForm::None, 1)),
        Box::new(Ces::auto(4)),
        Box::new(Arima::fixed(1, 1, 1)),
        Box::new(Arima::seasonal([1, 0, 0], [0, 1, 1], 4)),
        Box::new(Mstl::new(&[4, 7])),
        Box::new(Dhr::new(&[4, 7])),
        Box::new(LowRankRidge { season: 4 }),
        Box::new(Card::new(4, 7)),
        Box::new(Prophet),
        Box::new(saturating()),
        Box::new(Auto::new(Horizon::new(4).unwrap())),
    ];
    models.extend(EtsForm::admissible(4).into_iter().map(|form| Box::new(Ets::of(form)) as Box<dyn Model>));
    let forms = [ThetaForm::Stm, ThetaForm::Otm, ThetaForm::Dstm, ThetaForm::Dotm];
    models.extend(forms.map(|form| Box::new(Theta::new(form, 4)) as Box<dyn Model>));
    models
}

/// Series of every fate: sound, with gaps, constant, too short, never observed, not above zero.
fn fitted(model: &dyn Model) -> Box<dyn Fitted> {
    let wave = |base: f64, gap: usize| -> Vec<f64> {
        let value = |t: usize| base + [3.0, -1.0, 0.5, -2.5][t % 4] + ((t * t) as f64 * 0.7).sin();
        (0..60).map(|t| if t % 16 == gap { f64::NAN } else { value(t) }).collect()
    };
    let fates = [wave(30.0, 99), wave(1e9, 11), vec![7.0; 60], vec![1.0, 2.0], vec![f64::NAN; 3], wave(-9.0, 3)];
    model.fit(&panel_of(&fates).window(), 0).unwrap()
}

/// All that it forecasts, bit by bit.
fn said(fitted: &dyn Fitted) -> Vec<u64> {
    let quantiles = Quantiles::standard();
    let forecast = fitted.predict(Horizon::new(9).unwrap(), &quantiles).unwrap();
    let of = |s: usize| {
        let bands = (0..quantiles.levels().len()).flat_map(|q| forecast.quantile(s, q));
        forecast.mean(s).iter().chain(bands).map(|v| v.to_bits()).collect::<Vec<_>>()
    };
    (0..fitted.status().len()).flat_map(of).collect()
}

#[test]
fn every_fit_is_read_back_to_the_bit() {
    for model in models() {
        let mut own = fitted(&*model);
        let bytes = encode(&*own).unwrap();
        let mut back = decode(&bytes).unwrap();
        let name = model.name();
        assert_eq!((back.status(), back.family()), (own.status(), own.family()), "{name}");
        assert_eq!(said(&*back), said(&*own), "{name}");
        assert_eq!(encode(&*back).unwrap(), bytes, "{name}");
        // Both move on alike, some series out of what their parameters can answer.
        for points in [[31.0, 1e9, 7.0, 2.0, 1.0, -8.0], [f64::NAN, f64::INFINITY, 8.0, 2.0, 1.0, -8.0]] {
            assert_eq!(back.append(&points), own.append(&points), "{name}");
        }
        assert_eq!(said(&*back), said(&*own), "{name}");
        assert_eq!(encode(&*back).unwrap(), encode(&*own).unwrap(), "{name}");
        assert!(decode(&encode(&*own).unwrap()).is_ok(), "{name}");
    }
}

#[test]
fn what_is_no_artifact_is_told_apart() {
    for model in models() {
        let bytes = encode(&*fitted(&*model)).unwrap();
        for cut in 0..bytes.len() {
            let error = decode(&bytes[..cut]).err();
            assert!(matches!(error, Some(ArtifactError::CutOff { given, .. }) if given == cut), "{cut}: {error:?}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(decode(&longer).err(), Some(ArtifactError::Damaged));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            let error = decode(&damaged).err().expect("a checksum sees one byte");
            match at {
                0 => assert_eq!(error, ArtifactError::Format(FORMAT ^ 0x10)),
                1..9 => assert!(matches!(error, ArtifactError::CutOff { .. } | ArtifactError::Damaged)),
                _ => assert_eq!(error, ArtifactError::Damaged),
            }
        }
    }
}

/// Under a checksum that holds: whatever is read forecasts and moves on without a panic.
#[test]
fn nothing_that_is_read_is_trusted() {
    for model in models() {
        let bytes = encode(&*fitted(&*model)).unwrap();
        for at in HEADER..bytes.len() {
            for flip in [0x01, 0x80] {
                let mut body = bytes[HEADER..].to_vec();
                body[at - HEADER] ^= flip;
                if let Some(mut read) = read(&body) {
                    let count = read.status().len();
                    let _ = read.append(&vec![3.0; count]);
                    let said = read.predict(Horizon::new(3).unwrap(), &Quantiles::standard()).unwrap();
                    assert_eq!(said.series_count(), count);
                }
            }
        }
    }
}

/// Prophet with an S-curve between numbers.
fn saturating() -> crate::classical::CustomProphet {
    let growth = Growth::Logistic { capacity: Known::Constant(2e9), floor: Some(Known::Constant(-1e3)) };
    ProphetConfig { growth, holidays: Vec::new(), ..ProphetConfig::default() }.build().unwrap()
}

#[test]
fn what_hangs_on_values_from_outside_is_not_kept() {
    let track = Track::new(0, 1_000, (0..80).map(f64::from).collect());
    let regressor = Regressor {
        name: "load".into(),
        known: Known::Shared(track),
        prior_scale: None,
        standardise: Default::default(),
        mode: None,
    };
    let moved = ProphetConfig { regressors: vec![regressor], ..ProphetConfig::default() }.build().unwrap();
    assert_eq!(encode(&*fitted(&moved)), Err(ArtifactError::Unsupported { family: "prophet" }));
    let kept = encode(&*fitted(&Card::new(4, 1))).unwrap();
    assert_eq!(decode_auto(&kept).err(), Some(ArtifactError::Damaged), "a single family is no choice");
}
