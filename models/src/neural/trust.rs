//! How far what a network says is to be trusted.

use super::frame::LEVELS;

/// Shares of a network's median that may be trusted, what the best of them has to take off the error of none, the least
/// places to tell by, and the most turns that they are parted into.
const SHARES: [f32; 4] = [0.25, 0.5, 0.75, 1.0];
const WORTH_IT: f64 = 0.02;
const LEAST_SEEN: usize = 8;
const TURNS: usize = 32;

/// How far what a network says at each knot is to be trusted, by what came: the share of its median that was nearest by one
/// standard error (Breiman, Friedman, Olshen and Stone, *Classification and regression trees*, 1984, section 3.4.3), 0 where
/// that gains next to nothing; `None` where too little came. Errors so far ahead go together over as many steps, so that each
/// such turn counts once.
///
/// - `said`: `[places, knots, levels]`, places rising; `targets`: `[places, knots]`, NaN where nothing came.
/// - `ahead`: steps, one a knot; `span`: those that the places and what came after them lie in.
pub(super) fn trust(said: &[f32], targets: &[f32], ahead: &[usize], span: usize) -> Vec<Option<f32>> {
    let knots = ahead.len();
    let of_knot = |knot: usize| {
        let of_place = |(said, target): (&[f32], &[f32])| {
            let mut levels = [0, 1, 2].map(|level| said[knot * LEVELS.len() + level]);
            levels.sort_unstable_by(f32::total_cmp);
            (levels[1], target[knot])
        };
        let places = said.chunks_exact(knots * LEVELS.len()).zip(targets.chunks_exact(knots)).map(of_place);
        let seen: Vec<(f32, f32)> = places.filter(|(_, target)| !target.is_nan()).collect();
        let turns = (span / ahead[knot]).min(TURNS);
        if seen.len() < LEAST_SEEN || turns < 2 {
            return None;
        }
        let error = |seen: &[(f32, f32)], share: f32| {
            seen.iter().map(|(said, came)| f64::from((came - share * said).abs())).sum::<f64>()
        };
        // What it adds to the error of all, and one standard error.
        let added = |share: f32| {
            let of_turn = |turn: &[(f32, f32)]| error(turn, share) - error(turn, 0.0);
            let all: Vec<f64> = seen.chunks(seen.len().div_ceil(turns)).map(of_turn).collect();
            let (count, sum) = (all.len() as f64, all.iter().sum::<f64>());
            let squares = all.iter().map(|own| (own - sum / count).powi(2)).sum::<f64>();
            (sum + of_few(count - 1.0) * (squares * count / (count - 1.0)).sqrt()) / error(&seen, 0.0)
        };
        let nearest = SHARES.into_iter().min_by(|a, b| added(*a).total_cmp(&added(*b))).unwrap_or(0.0);
        Some(if added(nearest) < -WORTH_IT { nearest } else { 0.0 })
    };
    (0..knots).map(of_knot).collect()
}

/// One standard error of few: Student's t where the normal distribution has 1, by Abramowitz and Stegun, *Handbook of
/// mathematical functions*, 26.7.5.
fn of_few(freedom: f64) -> f64 {
    1.0 + 1.0 / (2.0 * freedom) + 1.0 / (4.0 * freedom.powi(2)) + 1.0 / (16.0 * freedom.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::neural::ways::knots;

    fn noise(t: usize, s: usize) -> f64 {
        ((t * 7_919 + s * 104_729) % 1_009) as f64 / 1_009.0 - 0.5
    }

    #[test]
    fn a_network_is_trusted_as_far_as_it_was_right() {
        assert_eq!(knots(8).len(), 4);
        let came = |t: usize| noise(t, 3) as f32;
        // Right, right in its direction but twice too far, knowing nothing, and with hardly anything to be judged by.
        let median = |t: usize| [came(t), 2.0 * came(t), noise(t * t + 7, 4) as f32, came(t)];
        let levels = |middle: f32| [middle + 1.0, middle, middle - 1.0];
        let said: Vec<f32> = (0..60).flat_map(|t| median(t).into_iter().flat_map(levels)).collect();
        let rare = |t: usize| if t < LEAST_SEEN - 1 { came(t) } else { f32::NAN };
        let targets: Vec<f32> = (0..60).flat_map(|t| [came(t), came(t), came(t), rare(t)]).collect();
        assert_eq!(trust(&said, &targets, &knots(8), 60), [Some(1.0), Some(0.5), Some(0.0), None]);
        let few = trust(&said, &targets, &knots(8), 3);
        assert_eq!(few, [Some(1.0), None, None, None], "of two steps ahead three tell nothing");
    }

    #[test]
    fn to_have_been_right_once_is_luck() {
        let came = |t: usize| noise(t, 3) as f32;
        let believed = |said: &dyn Fn(usize) -> f32| {
            let said: Vec<f32> = (0..64).flat_map(|t| [said(t); 3]).collect();
            trust(&said, &(0..64).map(came).collect::<Vec<_>>(), &[1], 64)
        };
        assert_eq!(believed(&|t| if t < 2 { came(t) } else { 0.0 }), [Some(0.0)]);
        assert_eq!(believed(&|t| if t % 2 == 0 { came(t) } else { 0.0 }), [Some(1.0)]);
    }
}
