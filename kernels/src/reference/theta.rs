//! The theta method written from its equations, one series at a time.

use crate::{CLASSICAL_SHARE, HIGHEST_SHARE, ThetaForm, ThetaProfile, UNCOUNTED};

/// See [`crate::theta_profile`]; `y` holds the series one after the other.
pub fn theta_profile(y: &[Vec<f64>], form: ThetaForm, alpha: &[f64]) -> ThetaProfile {
    let mut profile = ThetaProfile { sse: Vec::new(), level: Vec::new(), share: Vec::new() };
    for (y, &alpha) in y.iter().zip(alpha) {
        let (sse, level, share) = least(y, form, alpha);
        profile.sse.push(sse);
        profile.level.push(level);
        profile.share.push(share);
    }
    profile
}

/// Least sum of squares of one series with the level and the share that reach it: the errors are linear in both.
fn least(y: &[f64], form: ThetaForm, alpha: f64) -> (f64, f64, f64) {
    let plain = errors(y, form, alpha, 0.0, 0.0);
    let moved = |level, share| -> Vec<f64> {
        errors(y, form, alpha, level, share).iter().zip(&plain).map(|(e, plain)| plain - e).collect()
    };
    let (by_level, by_share) = (moved(1.0, 0.0), moved(0.0, 1.0));
    let length = dot(&by_level, &by_level);
    // Each without its projection on what the level moves.
    let aside = |column: &[f64]| -> Vec<f64> {
        let share = if length > 0.0 { dot(column, &by_level) / length } else { 0.0 };
        column.iter().zip(&by_level).map(|(c, l)| c - share * l).collect()
    };
    let (own, line) = (aside(&plain), aside(&by_share));
    let left = dot(&line, &line);
    let share = if form.is_optimised() && left > 1e-12 * dot(&by_share, &by_share) {
        (dot(&own, &line) / left).clamp(0.0, HIGHEST_SHARE)
    } else {
        CLASSICAL_SHARE
    };
    let rest: Vec<f64> = plain.iter().zip(&by_share).map(|(e, g)| e - share * g).collect();
    let level = if length > 0.0 { dot(&rest, &by_level) / length } else { 0.0 };
    (sse(y, form, alpha, level, share), level, share)
}

/// Sum of squared errors of one series at a place of its own.
pub fn sse(y: &[f64], form: ThetaForm, alpha: f64, level: f64, share: f64) -> f64 {
    let errors = errors(y, form, alpha, level, share);
    dot(&errors, &errors)
}

/// One-step errors of the counted steps; the others are 0.
///
/// The forecast is the smoothed level, and `share` of what the line is ahead of its own smoothing.
fn errors(y: &[f64], form: ThetaForm, alpha: f64, level: f64, share: f64) -> Vec<f64> {
    let mut level = level;
    let mut seen = Line::default();
    let mut whole = Line::default();
    y.iter().enumerate().filter(|(_, y)| !y.is_nan()).for_each(|(t, &y)| whole.see((t + 1) as f64, y));
    // Smoothing a line from 0 gives its intercept times `ones` and its slope times `times`.
    let (mut ones, mut times) = (0.0, 0.0);
    let mut errors = Vec::with_capacity(y.len());
    for (t, &y) in y.iter().enumerate() {
        let now = (t + 1) as f64;
        let (intercept, slope) = if form.is_dynamic() { seen.fit() } else { whole.fit() };
        let behind = intercept * ones + slope * times;
        let ahead = level + share * (intercept + slope * now - behind);
        if y.is_nan() {
            errors.push(0.0);
            continue;
        }
        errors.push(if seen.count >= UNCOUNTED as f64 { y - ahead } else { 0.0 });
        level = alpha * y + (1.0 - alpha) * level;
        ones = alpha + (1.0 - alpha) * ones;
        times = alpha * now + (1.0 - alpha) * times;
        seen.see(now, y);
    }
    errors
}

/// The sums of a least-squares line.
#[derive(Default)]
struct Line {
    count: f64,
    t: f64,
    y: f64,
    tt: f64,
    ty: f64,
}

impl Line {
    fn see(&mut self, t: f64, y: f64) {
        self.count += 1.0;
        self.t += t;
        self.y += y;
        self.tt += t * t;
        self.ty += t * y;
    }

    /// Intercept and slope; flat through a single step.
    fn fit(&self) -> (f64, f64) {
        let Self { count, t, y, tt, ty } = *self;
        if count == 0.0 {
            return (0.0, 0.0);
        }
        let slope = if count > 1.0 { (count * ty - t * y) / (count * tt - t * t) } else { 0.0 };
        ((y - slope * t) / count, slope)
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
