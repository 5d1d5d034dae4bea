//! What is kept of a choice between two processes.

use serde::{Deserialize, Serialize};

use super::fitted::{FittedAuto, Part, Pick};
use crate::FitStatus;
use crate::artifact;

/// Every series' choice, and the artifacts of what was fitted for it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct KeptAuto {
    status: Vec<FitStatus>,
    picks: Vec<Pick>,
    parts: Vec<KeptPart>,
}

#[derive(Clone, Serialize, Deserialize)]
struct KeptPart {
    candidate: usize,
    members: Vec<usize>,
    artifact: Vec<u8>,
}

impl KeptAuto {
    /// `None` where a part cannot be kept, or local clocks stand between it and real time.
    pub(super) fn of(fitted: &FittedAuto) -> Option<Self> {
        if fitted.way.is_some() {
            return None;
        }
        let keep = |part: &Part| {
            let artifact = artifact::encode(&*part.fitted).ok()?;
            Some(KeptPart { candidate: part.candidate, members: part.members.clone(), artifact })
        };
        let parts = fitted.parts.iter().map(keep).collect::<Option<_>>()?;
        Some(Self { status: fitted.status.clone(), picks: fitted.picks.clone(), parts })
    }

    /// What it was kept of; `None` where that does not fit together.
    pub(crate) fn restore(self) -> Option<FittedAuto> {
        let count = self.status.len();
        let restore = |kept: KeptPart| {
            let fitted = artifact::decode_part(&kept.artifact).ok()?;
            let shaped = fitted.status().len() == kept.members.len() && kept.members.iter().all(|s| *s < count);
            shaped.then_some(Part { candidate: kept.candidate, fitted, members: kept.members })
        };
        let parts = self.parts.into_iter().map(restore).collect::<Option<Vec<_>>>()?;
        let whole = self.picks.len() == count && self.picks.iter().all(Pick::is_whole);
        whole.then_some(FittedAuto { status: self.status, picks: self.picks, way: None, parts })
    }
}

impl Pick {
    fn is_whole(&self) -> bool {
        let blends = self.challengers.iter().map(|(_, blend)| blend).chain([&self.served]);
        let sound = |(_, weight): &(usize, f64)| weight.is_finite() && *weight >= 0.0;
        blends.clone().all(|blend| !blend.parts.is_empty() && blend.parts.iter().all(sound))
            && self.declared.is_whole()
            && self.intervals.iter().all(crate::conformal::Intervals::is_whole)
    }
}
