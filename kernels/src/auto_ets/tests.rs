use super::*;
use crate::{Lanes, check};

/// Series that different forms are likeliest for: a level that moves, a season that adds, one that grows with the
/// level, a slope, noise.
fn panel(steps: usize, series: usize) -> Lanes {
    let walk = check::random_walk(steps, series);
    let noise = |t: usize, s: usize| f64::from(walk.get(t, s)) - f64::from(walk.get(t.saturating_sub(1), s));
    Lanes::from_fn(steps, series, |t, s| {
        let wave = (t as f64 * std::f64::consts::TAU / 12.0).sin() + 0.4 * (t as f64 * std::f64::consts::TAU / 6.0).cos();
        let value = match s % 5 {
            0 => 40.0 + f64::from(walk.get(t, s)),
            1 => 90.0 + 8.0 * wave + noise(t, s),
            2 => (60.0 + 0.4 * t as f64) * (1.0 + 0.3 * wave) * (1.0 + 0.02 * noise(t, s)),
            3 => 20.0 + 0.3 * t as f64 + noise(t, s),
            _ => -3.0 + 2.0 * noise(t, s) + 2.0 * wave,
        };
        value as f32
    })
}

#[test]
fn auto_ets_matches_reference() {
    let y = panel(180, 40);
    let expected = cpu::auto_ets::auto_ets(&y, 12);
    for device in check::in_both_precisions() {
        let found = auto_ets(&y.to_device(&device).unwrap(), 12).unwrap().to_host().unwrap();
        // Searches from other places may end in another valley: few do, and not far away.
        let tolerance = if device.has_f64() { 1e-3 } else { 0.05 };
        let mut worse = 0;
        for (s, (found, expected)) in found.chosen.iter().zip(&expected.chosen).enumerate() {
            let (found, expected) = (found.as_ref().expect("a form"), expected.as_ref().expect("a form"));
            let nats = 0.5 * (found.aicc - expected.aicc);
            if nats > tolerance {
                eprintln!("{device} {s}: {nats:+.5} {:?} {:?}", found.form, expected.form);
                worse += 1;
            }
        }
        eprintln!("{worse} {device}");
        assert!(worse <= 22, "{worse} of 40 are worse on {device}");
    }
}
