//! The judgement itself: a pure function, so that Terraform's second plan repeats its first.

/// What stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// Capacity decided last.
    pub replicas: i64,
    /// The slot it was decided in.
    pub decided_slot_ms: i64,
}

/// What is proposed.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// Capacity.
    pub replicas: i64,
    /// The slot it belongs to.
    pub slot_start_ms: i64,
    /// How far to trust it, in `[0, 1]`.
    pub confidence: Option<f64>,
}

/// What a decision must respect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Relative rise that is still no reason to change.
    pub up: f64,
    /// Relative fall that is still no reason to change.
    pub down: f64,
    /// Time between two decisions.
    pub cooldown_ms: i64,
    /// Confidence below which a proposal is not followed.
    pub min_confidence: Option<f64>,
    /// Most that one decision may change.
    pub max_step: Option<i64>,
    /// First decision of a name whose proposal is not trusted.
    pub fallback: Option<i64>,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Leave everything as it stands.
    Hold,
    /// Decide, for this reason.
    Decide {
        /// Capacity.
        replicas: i64,
        /// Why, in one clause.
        reason: String,
    },
    /// There is nothing to hold, and the proposal is not trusted.
    Undecidable,
}

/// Judges a proposal against what stands.
///
/// A slot is decided once, and an older slot never after a newer one. Bounds of the band belong to
/// it: with +5 % and −15 % around 24, proposals 21 to 25 hold.
pub fn judge(standing: Option<&Standing>, proposal: &Proposal, limits: &Limits) -> Verdict {
    let trusted = limits.min_confidence.is_none_or(|least| proposal.confidence.is_some_and(|given| given >= least));
    let Some(standing) = standing else { return first(proposal, limits, trusted) };
    let since_ms = proposal.slot_start_ms.saturating_sub(standing.decided_slot_ms);
    if !trusted || since_ms <= 0 || since_ms < limits.cooldown_ms || in_band(standing.replicas, proposal, limits) {
        return Verdict::Hold;
    }
    let (before, wanted) = (standing.replicas, proposal.replicas);
    let (direction, share) = if wanted > before { ("above", limits.up) } else { ("below", limits.down) };
    let mut reason = format!("proposed {wanted} is {direction} the band of {before}");
    if share > 0.0 {
        let sign = if wanted > before { '+' } else { '-' };
        reason += &format!(" ({sign}{} %)", trimmed(share * 100.0));
    }
    let most = limits.max_step.unwrap_or(i64::MAX);
    let replicas = wanted.clamp(before.saturating_sub(most), before.saturating_add(most));
    if replicas != wanted {
        reason += &format!(", limited to a step of {most}");
    }
    Verdict::Decide { replicas, reason }
}

fn first(proposal: &Proposal, limits: &Limits, trusted: bool) -> Verdict {
    if trusted {
        return Verdict::Decide { replicas: proposal.replicas, reason: "first decision".to_owned() };
    }
    limits.fallback.map_or(Verdict::Undecidable, |replicas| Verdict::Decide {
        replicas,
        reason: "first decision, by fallback: the proposal's confidence is too low".to_owned(),
    })
}

fn in_band(before: i64, proposal: &Proposal, limits: &Limits) -> bool {
    let (before, wanted) = (before as f64, proposal.replicas as f64);
    // The shares are decimals that doubles miss by parts in 1e16: a bound hit exactly must hold.
    let slack = 1e-9 * before.abs();
    wanted <= before * (1.0 + limits.up) + slack && wanted >= before * (1.0 - limits.down) - slack
}

/// A percentage without noise in its last digits.
fn trimmed(percent: f64) -> String {
    let text = format!("{percent:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: i64 = 3_600_000;

    fn standing() -> Standing {
        Standing { replicas: 24, decided_slot_ms: 0 }
    }

    fn proposal(replicas: i64) -> Proposal {
        Proposal { replicas, slot_start_ms: HOUR, confidence: Some(0.9) }
    }

    fn limits() -> Limits {
        Limits { up: 0.05, down: 0.15, ..Limits::default() }
    }

    fn replicas(verdict: &Verdict) -> Option<i64> {
        if let Verdict::Decide { replicas, .. } = verdict { Some(*replicas) } else { None }
    }

    #[test]
    fn the_band_holds_with_its_bounds() {
        for (wanted, decided) in [(21, None), (25, None), (24, None), (20, Some(20)), (26, Some(26))] {
            assert_eq!(replicas(&judge(Some(&standing()), &proposal(wanted), &limits())), decided, "{wanted}");
        }
        let ten_percent = Limits { up: 0.1, down: 0.1, ..Limits::default() };
        for before in [10, 20, 30, 70, 110, 1_000_000] {
            let standing = Standing { replicas: before, ..standing() };
            for wanted in [before + before / 10, before - before / 10] {
                assert_eq!(
                    judge(Some(&standing), &proposal(wanted), &ten_percent),
                    Verdict::Hold,
                    "{wanted} at {before}"
                );
            }
        }
    }

    #[test]
    fn reasons_tell_the_band_and_the_step() {
        let limited = Limits { max_step: Some(4), ..limits() };
        let verdict = judge(Some(&standing()), &proposal(40), &limited);
        let reason = "proposed 40 is above the band of 24 (+5 %), limited to a step of 4".to_owned();
        assert_eq!(verdict, Verdict::Decide { replicas: 28, reason });
        let verdict = judge(Some(&standing()), &proposal(2), &limited);
        let reason = "proposed 2 is below the band of 24 (-15 %), limited to a step of 4".to_owned();
        assert_eq!(verdict, Verdict::Decide { replicas: 20, reason });
    }

    #[test]
    fn a_cooldown_counts_slots_and_no_clock() {
        let cooling = Limits { cooldown_ms: 2 * HOUR, ..limits() };
        for (slot, decided) in [(HOUR, None), (2 * HOUR - 1, None), (2 * HOUR, Some(40)), (-HOUR, None)] {
            let proposal = Proposal { slot_start_ms: slot, ..proposal(40) };
            assert_eq!(replicas(&judge(Some(&standing()), &proposal, &cooling)), decided, "slot {slot}");
        }
        let same_slot = Proposal { slot_start_ms: 0, ..proposal(40) };
        assert_eq!(judge(Some(&standing()), &same_slot, &Limits::default()), Verdict::Hold);
    }

    #[test]
    fn low_confidence_holds_or_falls_back_or_stops() {
        let careful = Limits { min_confidence: Some(0.95), ..limits() };
        assert_eq!(judge(Some(&standing()), &proposal(40), &careful), Verdict::Hold);
        assert_eq!(judge(None, &proposal(40), &careful), Verdict::Undecidable);
        let with_fallback = Limits { fallback: Some(12), ..careful.clone() };
        assert_eq!(replicas(&judge(None, &proposal(40), &with_fallback)), Some(12));
        let unsaid = Proposal { confidence: None, ..proposal(40) };
        assert_eq!(judge(None, &unsaid, &careful), Verdict::Undecidable);
    }

    #[test]
    fn from_nothing_everything_is_a_change() {
        let none = Standing { replicas: 0, ..standing() };
        assert_eq!(replicas(&judge(Some(&none), &proposal(1), &limits())), Some(1));
        assert_eq!(judge(Some(&none), &proposal(0), &limits()), Verdict::Hold);
    }

    proptest! {
        #[test]
        fn a_decision_repeats_itself_and_then_holds(
            before in 0_i64..10_000, wanted in 0_i64..10_000, slot in -100_i64..100, confidence in proptest::option::of(0.0..=1.0_f64),
            up in 0.0..2.0_f64, down in 0.0..=1.0_f64, cooldown in 0_i64..10, least in proptest::option::of(0.0..=1.0_f64),
            step in proptest::option::of(1_i64..100), fallback in proptest::option::of(0_i64..100), new in any::<bool>(),
        ) {
            let standing = Standing { replicas: before, decided_slot_ms: 0 };
            let standing = (!new).then_some(&standing);
            let proposal = Proposal { replicas: wanted, slot_start_ms: slot, confidence };
            let limits = Limits { up, down, cooldown_ms: cooldown, min_confidence: least, max_step: step, fallback };
            let verdict = judge(standing, &proposal, &limits);
            prop_assert_eq!(&verdict, &judge(standing, &proposal, &limits));
            if let Verdict::Decide { replicas, .. } = verdict {
                if let (Some(standing), Some(step)) = (standing, step) {
                    prop_assert!((replicas - standing.replicas).abs() <= step);
                    prop_assert!((replicas - standing.replicas).signum() == (wanted - standing.replicas).signum());
                }
                let after = Standing { replicas, decided_slot_ms: slot };
                prop_assert_eq!(judge(Some(&after), &proposal, &limits), Verdict::Hold);
            }
        }
    }
}
