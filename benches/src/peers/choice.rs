//! Which contenders and which sets a run takes.

use super::contender::{Contender, OURS, PEERS};
use crate::telemetry::SETS;

/// What a choice of sets calls the first table and the growth.
pub(super) const TABLE: &str = "table";
pub(super) const GROWTH: &str = "growth";

/// A part of the area `peers`: one more look at a peer on a set costs minutes, all of them an hour.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Names of [`Choice::contenders`]; none for all.
    pub contenders: Vec<String>,
    /// Names of [`Choice::sets`]; none for all.
    pub sets: Vec<String>,
}

impl Choice {
    /// Everybody that may be chosen, by their names in figures.
    pub fn contenders() -> Vec<&'static str> {
        OURS.iter().chain(&PEERS).map(|contender| contender.figure).collect()
    }

    /// Everything that may be chosen: the table, the sets of telemetry and the growth.
    pub fn sets() -> Vec<&'static str> {
        [TABLE].into_iter().chain(SETS).chain([GROWTH]).collect()
    }

    pub(super) fn takes_set(&self, set: &str) -> bool {
        self.sets.is_empty() || self.sets.iter().any(|chosen| chosen == set)
    }

    /// Whether a contender is chosen, or is the family of ours that a chosen one is compared with.
    pub(super) fn needs(&self, contender: &Contender) -> bool {
        let compared = |chosen: &String| {
            let chosen = Contender::named(chosen);
            chosen.figure == contender.figure || chosen.rival == Some(contender.figure)
        };
        self.contenders.is_empty() || self.contenders.iter().any(compared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chosen_peer_comes_with_the_family_that_it_is_compared_with() {
        let names = |chosen: &[&str]| -> Vec<&str> {
            let contenders = chosen.iter().map(ToString::to_string).collect();
            let choice = Choice { contenders, ..Choice::default() };
            OURS.iter().chain(&PEERS).filter(|one| choice.needs(one)).map(|one| one.figure).collect()
        };
        assert_eq!(names(&["sf_sarima"]), ["sarima", "sf_sarima"]);
        assert_eq!(names(&["sarima"]), ["sarima"]);
        assert_eq!(names(&["sf_theta", "auto"]), ["theta", "auto", "sf_theta"]);
        assert_eq!(names(&[]), Choice::contenders());
    }

    #[test]
    fn a_chosen_set_is_taken_alone() {
        let taken = |chosen: &[&str]| -> Vec<&str> {
            let sets = chosen.iter().map(ToString::to_string).collect();
            let choice = Choice { sets, ..Choice::default() };
            Choice::sets().into_iter().filter(|set| choice.takes_set(set)).collect()
        };
        assert_eq!(taken(&["growth", "smd"]), ["smd", "growth"]);
        assert_eq!(taken(&[]).len(), SETS.len() + 2);
    }
}
