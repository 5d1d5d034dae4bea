//! Counters: values that only rise until what counts them starts anew.

/// Steps between two samples up to which their difference is a rate; longer ones are a gap.
const LONGEST_STEPS: f64 = 1.5;
/// Pairs of neighbours that it takes to tell a counter beyond doubt.
const LEAST_PAIRS: usize = 255;
/// Share of the value before that is left after a counter has started anew, at most.
const LEFT: f64 = 0.1;
/// One pair in this many may be such a start.
const PAIRS_A_RESET: usize = 100;

/// The counter's increase per second between neighbouring samples, told at the later one, and how often it started anew.
///
/// A value below the one before is a counter that started anew at zero, as PromQL's `rate` takes it. The first sample has no
/// rate, and one that comes more than a step and a half after the one before neither: what happened in between is not known.
///
/// `samples` are finite, in the order of time, one a time; `step_ms` is their usual distance.
pub(super) fn rates(samples: &[(i64, f64)], step_ms: i64) -> (Vec<(i64, f64)>, usize) {
    let longest_ms = LONGEST_STEPS * step_ms as f64;
    let mut resets = 0;
    let mut rates = Vec::with_capacity(samples.len());
    for pair in samples.windows(2) {
        let ((before_ms, before), (at_ms, value)) = (pair[0], pair[1]);
        let is_reset = value < before;
        resets += usize::from(is_reset);
        let span_ms = (at_ms - before_ms) as f64;
        if span_ms <= longest_ms {
            let increase = if is_reset { value } else { value - before };
            rates.push((at_ms, 1e3 * increase / span_ms));
        }
    }
    (rates, resets)
}

/// Whether samples are a counter's beyond doubt: never negative, over a long history rising at most samples, and falling
/// now and then to near zero alone.
pub(super) fn looks_like_counter(samples: &[(i64, f64)]) -> bool {
    let pairs = samples.len().saturating_sub(1);
    if pairs < LEAST_PAIRS || samples.iter().any(|(_, value)| *value < 0.0) {
        return false;
    }
    let (mut rises, mut resets) = (0, 0);
    for pair in samples.windows(2) {
        let (before, value) = (pair[0].1, pair[1].1);
        rises += usize::from(value > before);
        if value < before {
            resets += 1;
            if value > LEFT * before {
                return false;
            }
        }
    }
    2 * rises > pairs && PAIRS_A_RESET * resets <= pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_counts_from_zero_and_a_gap_has_no_rate() {
        let samples = [(0, 100.0), (10_000, 150.0), (20_000, 30.0), (50_000, 90.0), (60_000, 90.0), (74_000, 118.0)];
        let (rates, resets) = rates(&samples, 10_000);
        assert_eq!(rates, [(10_000, 5.0), (20_000, 3.0), (60_000, 0.0), (74_000, 2.0)]);
        assert_eq!(resets, 1);
    }

    #[test]
    fn large_counters_keep_their_digits() {
        let (rates, _) = rates(&[(0, 1e15), (1_000, 1e15 + 3.0), (2_000, 1e15 + 3.5)], 1_000);
        assert_eq!(rates, [(1_000, 3.0), (2_000, 0.5)]);
        assert!(super::rates(&[(0, 1.0)], 1_000).0.is_empty());
    }

    #[test]
    fn a_counter_is_told_from_what_rises_and_falls() {
        let samples = |value: &dyn Fn(i64) -> f64| (0..300).map(|t| (t, value(t))).collect::<Vec<_>>();
        assert!(looks_like_counter(&samples(&|t| 7.0 * t as f64)));
        assert!(looks_like_counter(&samples(&|t| 1e9 + (t % 150) as f64 * 3.0 - if t < 150 { 0.0 } else { 1e9 })));
        assert!(!looks_like_counter(&samples(&|t| (t % 24) as f64)), "a day's sum starts anew too often");
        assert!(
            !looks_like_counter(&samples(&|t| t as f64 + 40.0 * (t as f64 / 4.0).sin())),
            "it falls part of the way"
        );
        assert!(!looks_like_counter(&samples(&|t| (t / 10) as f64)), "it mostly stands still");
        assert!(!looks_like_counter(&samples(&|t| 7.0 * t as f64)[..200]), "too short to tell");
        assert!(!looks_like_counter(&samples(&|t| t as f64 - 5.0)), "counters are not negative");
    }
}
