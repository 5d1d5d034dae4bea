//! An autoregression of any order that whitens what a regression leaves, cheaply.

use foreshadow_kernels::aicc;

use super::waves::Wave;

/// Weights of the steps before, the latest first: Yule and Walker's, of the order with the least corrected Akaike
/// criterion among those up to `most`. The filter that takes them off has its roots outside the unit circle.
///
/// Source: Durbin and Levinson's recursion as in Brockwell and Davis, *Time Series: Theory and Methods*, 2nd ed., 8.2.
pub(super) fn yule_walker(values: &[f64], most: usize) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let rest: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let product = |lag: usize| rest[lag..].iter().zip(&rest).map(|(a, b)| a * b).sum::<f64>();
    let products: Vec<f64> = (0..=most.min(values.len() - 1)).map(product).collect();
    let criterion = |left: f64, order: usize| aicc(-0.5 * n * left.ln(), n, order + 2);
    let (mut weights, mut left) = (Vec::new(), products[0]);
    let (mut best, mut least) = (Vec::new(), criterion(left, 0));
    for order in 1..products.len() {
        let known: f64 = weights.iter().zip(products[1..order].iter().rev()).map(|(w, r)| w * r).sum();
        let last = (products[order] - known) / left;
        left *= 1.0 - last * last;
        if !left.is_normal() || left <= 0.0 {
            break;
        }
        let turned: Vec<f64> = weights.iter().rev().copied().collect();
        weights.iter_mut().zip(turned).for_each(|(weight, other)| *weight -= last * other);
        weights.push(last);
        let own = criterion(left, order);
        if own < least {
            (best, least) = (weights.clone(), own);
        }
    }
    best
}

/// Takes off each value from step `from` on what the steps before foretell; steps before that become zero.
pub(super) fn whiten(values: &[f64], weights: &[f64], from: usize) -> Vec<f64> {
    let mut white = vec![0.0; values.len()];
    for t in from..values.len() {
        let foretold: f64 = weights.iter().zip(values[..t].iter().rev()).map(|(w, v)| w * v).sum();
        white[t] = values[t] - foretold;
    }
    white
}

/// Sine and cosine of a wave that is `sine` and `cosine` once it has been differenced and whitened.
///
/// A filter turns and stretches a wave and leaves its frequency, so what a filtered series says of it is turned back.
/// Where the filter takes the frequency out altogether nothing is known of it: zero.
pub(super) fn before(wave: Wave, [sine, cosine]: [f64; 2], weights: &[f64], differences: usize) -> [f64; 2] {
    let frequency = wave.frequency();
    let turned = |lag: usize| (frequency * lag as f64).sin_cos();
    // Its value at step t is the real part of (re + i im) exp(i frequency t).
    let (mut re, mut im) = (1.0, 0.0);
    for (lag, weight) in weights.iter().enumerate() {
        let (sine, cosine) = turned(lag + 1);
        (re, im) = (re - weight * cosine, im + weight * sine);
    }
    let (once_sine, once_cosine) = turned(1);
    let (once_re, once_im) = (1.0 - once_cosine, once_sine);
    for _ in 0..differences {
        (re, im) = (re * once_re - im * once_im, re * once_im + im * once_re);
    }
    let size = re * re + im * im;
    if !size.is_normal() {
        return [0.0; 2];
    }
    let (own_re, own_im) = ((cosine * re - sine * im) / size, (-sine * re - cosine * im) / size);
    [-own_im, own_re]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_autoregression_is_found() {
        let noise = |t: usize| (((t * 7_919 + 13) % 10_007) as f64 / 10_007.0 - 0.5) * 2.0;
        let mut values = vec![0.0; 2_000];
        for t in 2..values.len() {
            values[t] = 1.2 * values[t - 1] - 0.5 * values[t - 2] + noise(t * t);
        }
        let weights = yule_walker(&values, 10);
        // Two standard errors of an estimate from 2,000 steps are 0.04.
        assert!((weights[0] - 1.2).abs() < 0.06 && (weights[1] + 0.5).abs() < 0.06, "{weights:?}");
        assert!(yule_walker(&[3.0; 50], 5).is_empty());
    }

    #[test]
    fn a_filtered_wave_is_turned_back() {
        let wave = Wave { season: 24, turns: 5 };
        let values: Vec<f64> = (0..60).map(|t| 0.7 * wave.at(t).0 - 1.3 * wave.at(t).1).collect();
        let differenced: Vec<f64> = (0..60).map(|t| if t == 0 { 0.0 } else { values[t] - values[t - 1] }).collect();
        let weights = [0.6, -0.3, 0.2];
        let white = whiten(&differenced, &weights, 4);
        // Sine and cosine of the white one, from its values a quarter turn apart, by Cramer's rule.
        let ((s0, c0), (s1, c1)) = (wave.at(10), wave.at(11));
        let size = s0 * c1 - s1 * c0;
        let seen = [(white[10] * c1 - white[11] * c0) / size, (s0 * white[11] - s1 * white[10]) / size];
        let [sine, cosine] = before(wave, seen, &weights, 1);
        assert!((sine - 0.7).abs() < 1e-12 && (cosine + 1.3).abs() < 1e-12, "{sine} {cosine}");
    }
}
