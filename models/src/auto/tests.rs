use super::*;
use crate::{FitStatus, Forecast, Panel, Quantiles};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};

const HOUR_MS: i64 = 3_600_000;

/// Days and weeks with noise, by the hour; every series of its own.
fn load(steps: usize, seed: u64) -> Vec<f64> {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let (level, swing, weekend) =
        (random.random_range(5.0..50.0), random.random_range(0.1..0.9), random.random_range(0.5..1.0));
    (0..steps)
        .map(|t| {
            let day = (t as f64 / 24.0 * std::f64::consts::TAU).sin();
            let kind = if t / 24 % 7 < 5 { 1.0 } else { weekend };
            level * kind * (1.0 + swing * day) * random.random_range(0.9..1.1)
        })
        .collect()
}

fn panel(series: &[Vec<f64>]) -> Panel {
    let mut panel = Panel::new(HOUR_MS);
    for (s, values) in series.iter().enumerate() {
        panel.push(format!("series {s}"), 0, values);
    }
    panel
}

/// Everything that a caller sees of each series, to the bit.
fn seen(window: &Window<'_>, horizon: usize) -> Vec<(String, FitStatus, Vec<u64>)> {
    let horizon = Horizon::new(horizon).unwrap();
    let fitted = Auto::new(horizon).run(window, 0, &|_, _| ()).unwrap();
    let forecast = fitted.predict(horizon, &Quantiles::standard()).unwrap();
    (0..window.series_count())
        .map(|s| {
            let bands = (0..Quantiles::standard().levels().len()).flat_map(|index| forecast.quantile(s, index));
            let bits = forecast.mean(s).iter().chain(bands).map(|v| v.to_bits()).collect();
            let choice = fitted.choice(s);
            let told = format!("{:?} {:?} {:?}", choice.chosen, choice.losses, choice.held_out);
            (told, fitted.status()[s].clone(), bits)
        })
        .collect()
}

#[test]
fn a_weekly_load_is_forecast_by_its_week_inside_honest_bands() {
    let series: Vec<Vec<f64>> = (0..6).map(|seed| load(24 * 49 + 48, seed)).collect();
    let panel = panel(&series);
    let horizon = Horizon::new(48).unwrap();
    let fitted = Auto::new(horizon).run(&panel.window_until(|_| 24 * 49), 0, &|_, _| ()).unwrap();
    let forecast = fitted.predict(horizon, &Quantiles::standard()).unwrap();
    let mut covered = 0;
    for s in 0..6 {
        let choice = fitted.choice(s);
        let held_out = choice.held_out.as_ref().unwrap();
        assert!(choice.chosen.fallback.is_none() && choice.picking_folds == 6 && held_out.folds == 8);
        assert!(held_out.mase.unwrap() <= held_out.mase_seasonal_naive.unwrap() * 1.05, "{choice:?}");
        assert!(choice.seasons.contains(&24));
        let actual = &series[s][24 * 49..];
        let (low, high) = (forecast.quantile(s, 0), forecast.quantile(s, 10));
        covered += (0..48).filter(|&h| low[h] <= actual[h] && actual[h] <= high[h]).count();
    }
    // 288 values, about half of them free of each other: two standard errors of 95 % are 3.6.
    let percent = 100.0 * covered as f64 / (6.0 * 48.0);
    assert!((88.0..=100.0).contains(&percent), "{percent}");
}

#[test]
fn bad_series_are_told_by_status_and_reason() {
    let mut gaps = load(400, 1);
    gaps[100..180].fill(f64::NAN);
    let panel = panel(&[vec![], vec![3.0; 300], vec![1.0, 2.0, 4.0], gaps, vec![7e15; 40]]);
    let horizon = Horizon::new(24).unwrap();
    let fitted = Auto::new(horizon).run(&panel.window(), 0, &|_, _| ()).unwrap();
    let forecast = fitted.predict(horizon, &Quantiles::standard()).unwrap();
    let words: Vec<_> = fitted.status().iter().map(FitStatus::word).collect();
    assert_eq!(words, ["no_data", "constant", "fitted", "fitted", "constant"]);
    assert!(forecast.mean(0).iter().all(|v| v.is_nan()));
    assert_eq!(forecast.quantile(1, 0), [3.0; 24]);
    let reason = fitted.chosen(2).unwrap().fallback.unwrap();
    assert!(reason.starts_with("no fold could be scored: 3 steps"), "{reason}");
    assert!(fitted.chosen(3).unwrap().fallback.is_none());
    for s in 1..5 {
        let all = (0..11).flat_map(|index| forecast.quantile(s, index)).chain(forecast.mean(s));
        assert!(all.clone().all(|v| v.is_finite() && *v >= 0.0), "series {s}");
    }
}

#[test]
fn a_broken_neighbour_changes_no_bit() {
    let sound: Vec<Vec<f64>> = (0..35).map(|seed| load(400 + 7 * seed as usize, seed)).collect();
    let alone = seen(&panel(&sound).window(), 24);
    let mut spiked = load(500, 99);
    spiked[499] = 1e300;
    for broken in [vec![], vec![f64::NAN, 1.0], vec![0.0; 400], spiked, vec![-1.0, f64::MAX, f64::MIN]] {
        let mut series = sound.clone();
        series.insert(17, broken.clone());
        let mut with = seen(&panel(&series).window(), 24);
        with.remove(17);
        assert!(with == alone, "{:?}", &broken[..broken.len().min(3)]);
    }
}

/// Says one thing of series of three values and more, with bands of its own.
struct Seer {
    said: Vec<f64>,
    /// The step that the first of them is of; one past all series where each is told the same.
    from: usize,
    is_trained: bool,
}

struct Seen {
    said: Vec<Vec<f64>>,
    status: Vec<FitStatus>,
}

impl Model for Seer {
    fn name(&self) -> String {
        "seer".into()
    }

    fn fit(&self, window: &Window<'_>, _seed: u64) -> Result<Box<dyn Fitted>, FitError> {
        let ends = (0..window.series_count()).map(|s| (window.end_ms(s) / HOUR_MS) as usize);
        let said = ends.map(|end| self.said[end.max(self.from) - self.from..].to_vec()).collect();
        let status = (0..window.series_count()).map(|s| match window.values(s).len() {
            0..3 => FitStatus::NotConverged,
            _ => FitStatus::Fitted,
        });
        Ok(Box::new(Seen { said, status: status.collect() }))
    }

    fn is_trained(&self) -> bool {
        self.is_trained
    }
}

impl Fitted for Seen {
    fn status(&self) -> &[FitStatus] {
        &self.status
    }

    fn family(&self) -> &'static str {
        "seer"
    }

    fn predict(&self, horizon: Horizon, quantiles: &Quantiles) -> Result<Forecast, PredictError> {
        let mut forecast = Forecast::empty(self.said.len(), horizon, quantiles.clone());
        for (s, said) in self.said.iter().enumerate() {
            forecast.mean_mut(s).copy_from_slice(&said[..horizon.steps()]);
            for (index, level) in quantiles.levels().iter().enumerate() {
                forecast.quantile_mut(s, index).iter_mut().zip(said).for_each(|(own, mean)| *own = mean + level - 0.5);
            }
        }
        Ok(forecast)
    }
}

#[test]
fn a_family_that_is_asked_for_is_one_of_the_candidates_and_serves_where_it_is_best() {
    let (values, horizon) = (load(24 * 40, 5), Horizon::new(24).unwrap());
    let panel = panel(&[values[..24 * 30].to_vec()]);
    let seer = Seer { said: values, from: 0, is_trained: false };
    let auto = Auto::new(horizon).beside(Box::new(crate::classical::Naive)).beside(Box::new(seer));
    assert_eq!(auto.name(), "auto+naive+seer");
    let fitted = auto.run(&panel.window(), 0, &|_, _| ()).unwrap();
    let choice = fitted.choice(0);
    let count = |name: &str| choice.losses.iter().filter(|(own, _)| own == name).count();
    assert_eq!((count("seer"), count("naive")), (1, 1), "{choice:?}");
    assert_eq!(choice.chosen.champion, "seer");
}

#[test]
fn what_was_trained_before_serves_a_series_that_no_fold_tells_of() {
    let horizon = Horizon::new(24).unwrap();
    let series = [vec![5.0, 9.0, 4.0, 8.0], vec![5.0, 9.0], load(400, 1)];
    let panel = panel(&series);
    let served = |is_trained: bool| {
        // Far off every fold of the long one.
        let seer = Seer { said: vec![500.0; 24], from: 1_000_000, is_trained };
        let fitted = Auto::new(horizon).beside(Box::new(seer)).run(&panel.window(), 0, &|_, _| ()).unwrap();
        let forecast = fitted.predict(horizon, &Quantiles::standard()).unwrap();
        let of = |s: usize| {
            let chosen = fitted.chosen(s).unwrap();
            (chosen.champion, chosen.fallback, forecast.mean(s)[0], forecast.quantile(s, 10)[23])
        };
        [of(0), of(1), of(2)]
    };
    let [short, shorter, long] = served(true);
    assert_eq!((short.0.as_str(), &short.1, short.2), ("seer", &None, 500.0));
    assert!((500.0..501.0).contains(&short.3), "its own band: {short:?}");
    assert_eq!((shorter.0.as_str(), shorter.2), ("naive", 9.0));
    assert_eq!(shorter.1.unwrap(), "seer failed on the whole window");
    assert_ne!(long.0, "seer");
    let [untrained, ..] = served(false);
    assert_eq!((untrained.0.as_str(), untrained.2), ("naive", 8.0));
    assert!(untrained.1.unwrap().starts_with("no fold could be scored: 4 steps"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever stands after the cutoff, nothing or garbage, the answer is the same to the bit.
    #[test]
    fn nothing_after_the_cutoff_is_seen(seed in 0_u64..1_000, cutoff in 120_usize..420, garbage in -1e12..1e12_f64) {
        let series: Vec<Vec<f64>> = (0..3).map(|s| load(450, 3 * seed + s)).collect();
        let cut = |with: Option<f64>| {
            let ends = |values: &Vec<f64>| {
                let tail = (cutoff..450).map(|t| with.map_or(values[t], |w| w * (t as f64).sin()));
                values[..cutoff].iter().copied().chain(tail).collect::<Vec<f64>>()
            };
            panel(&series.iter().map(ends).collect::<Vec<_>>())
        };
        let truth = seen(&cut(None).window_until(|_| cutoff), 24);
        prop_assert!(truth == seen(&cut(Some(garbage)).window_until(|_| cutoff), 24));
        prop_assert!(truth == seen(&cut(Some(f64::NAN)).window_until(|_| cutoff), 24));
    }

    /// Quantiles rise, and what never was negative stays so.
    #[test]
    fn bands_never_cross(seed in 0_u64..1_000, steps in 30_usize..500, gap in 1_usize..200) {
        let mut values = load(steps, seed);
        let to = (5 + gap).min(steps - 1);
        values[5..to].fill(f64::NAN);
        let panel = panel(&[values]);
        let horizon = Horizon::new(30).unwrap();
        let fitted = Auto::new(horizon).fit(&panel.window(), 0).unwrap();
        let forecast = fitted.predict(horizon, &Quantiles::standard()).unwrap();
        for step in 0..30 {
            let at: Vec<f64> = (0..11).map(|index| forecast.quantile(0, index)[step]).collect();
            prop_assert!(at[0] >= 0.0 && at.windows(2).all(|pair| pair[0] <= pair[1]), "{at:?}");
        }
    }
}
