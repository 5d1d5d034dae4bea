//! Fits that go on from issue to issue, taking each new step in.
//!
//! Series that were fitted together are moved on together, as a cohort. A series leaves its cohort to be fitted anew when
//! its fit has aged, when another family is to serve it, when it errs more than it used to, or when its steps do not go
//! on where they ended.

use std::collections::{HashMap, HashSet};

use foreshadow_models::artifact::{self, ArtifactError};
use foreshadow_models::{AppendError, Fitted, FittedAuto, Window, Wish};
use serde::{Deserialize, Serialize};

/// First byte of every stored cohort; what comes after depends on it.
const FORMAT: u8 = 1;

/// The fits of all series, cohort by cohort.
#[derive(Default)]
pub struct Fits {
    cohorts: Vec<Cohort>,
    /// The next cohort's id.
    next: u64,
}

/// Where a series' fit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The id of its cohort.
    pub cohort: u64,
    /// Its place in the cohort.
    pub member: usize,
}

/// Series that were fitted together.
pub struct Cohort {
    id: u64,
    roll: Roll,
    fitted: FittedAuto,
}

/// Who is in a cohort, since when, and how far each has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Roll {
    /// When it was fitted.
    since_ms: i64,
    step_ms: i64,
    /// Of the settings that it was fitted with.
    mark: u64,
    members: Vec<Member>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    series: String,
    /// Time of its first step to forecast.
    end_ms: i64,
    /// Whether this is its fit; it may have another since.
    is_here: bool,
}

/// Why stored bytes are no cohort.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CohortError {
    /// A newer version wrote it.
    #[error("fits of format {0}, which is not known here")]
    Format(u8),
    /// Bytes are not as they were written.
    #[error("fits that are damaged")]
    Damaged,
    /// The models in it cannot be read.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// A fit that may be gone on with.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Its series' index in the window.
    pub series: usize,
    /// When it was fitted.
    pub since_ms: i64,
    /// The family that serves it.
    pub champion: &'a str,
}

impl Fits {
    /// Takes the new steps of a window in, and tells for each of its series where its fit is; `None` for one that is to be
    /// fitted anew, as `stays` or its steps ask for. `mark` is of the settings now; `wishes` are one a series.
    pub fn go_on(
        &mut self,
        window: &Window<'_>,
        mark: u64,
        wishes: &[Wish],
        stays: impl Fn(Candidate<'_>) -> bool,
    ) -> Vec<Option<Place>> {
        let index: HashMap<&str, usize> = (0..window.series_count()).map(|s| (window.name(s), s)).collect();
        let mut places = vec![None; window.series_count()];
        for cohort in &mut self.cohorts {
            if !cohort.roll.members.iter().any(|member| member.is_here && index.contains_key(member.series.as_str())) {
                continue; // another panel's
            }
            if cohort.roll.mark != mark || cohort.roll.step_ms != window.step_ms() {
                cohort.dismiss(|_| true);
                continue;
            }
            // What cannot move on is fitted anew.
            let moved = cohort.go_on(window, &index, &stays).is_ok();
            cohort.dismiss(|_| !moved);
            for (member, own) in cohort.roll.members.iter().enumerate().filter(|(_, own)| own.is_here) {
                let series = index[own.series.as_str()];
                cohort.fitted.set(member, wishes[series].width, window.bounds(series));
                places[series] = Some(Place { cohort: cohort.id, member });
            }
        }
        self.cohorts.retain(Cohort::is_needed);
        places
    }

    /// Adds what was fitted of some series of a window, in its order, and tells where each of them is.
    pub fn add(&mut self, window: &Window<'_>, fitted: FittedAuto, mark: u64, now_ms: i64) -> Vec<Place> {
        let member = |s: usize| Member {
            series: window.name(s).into(),
            end_ms: window.end_ms(s),
            is_here: fitted.status()[s].is_usable(),
        };
        let members = (0..window.series_count()).map(member).collect();
        let roll = Roll { since_ms: now_ms, step_ms: window.step_ms(), mark, members };
        let id = self.next;
        self.next += 1;
        self.cohorts.push(Cohort { id, roll, fitted });
        (0..window.series_count()).map(|member| Place { cohort: id, member }).collect()
    }

    /// The cohort of an id.
    pub fn get(&self, id: u64) -> Option<&Cohort> {
        self.cohorts.iter().find(|cohort| cohort.id == id)
    }

    /// Every cohort, the oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Cohort> {
        self.cohorts.iter()
    }

    /// Lets the cohorts go that nobody needs, or that were fitted before a time.
    pub fn forget(&mut self, before_ms: i64) {
        self.cohorts.retain(|cohort| cohort.is_needed() && cohort.roll.since_ms >= before_ms);
    }

    /// Lets all of them go.
    pub fn clear(&mut self) {
        self.cohorts.clear();
    }

    /// What was stored, the oldest first. A series' fit is that of its newest cohort.
    pub fn restore(cohorts: Vec<Cohort>) -> Self {
        let mut fits = Self { next: cohorts.iter().map(|cohort| cohort.id + 1).max().unwrap_or(0), cohorts };
        let mut seen: HashSet<String> = HashSet::new();
        for cohort in fits.cohorts.iter_mut().rev() {
            cohort.dismiss(|member| seen.contains(&member.series));
            seen.extend(cohort.roll.members.iter().filter(|own| own.is_here).map(|own| own.series.clone()));
        }
        fits.cohorts.retain(Cohort::is_needed);
        fits
    }
}

impl Cohort {
    /// What tells it apart.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its fits, one a member.
    pub fn fitted(&self) -> &FittedAuto {
        &self.fitted
    }

    /// Time of each member's first step to forecast.
    pub fn ends_ms(&self) -> Vec<i64> {
        self.roll.members.iter().map(|member| member.end_ms).collect()
    }

    fn is_needed(&self) -> bool {
        self.roll.members.iter().any(|member| member.is_here)
    }

    fn dismiss(&mut self, leaves: impl Fn(&Member) -> bool) {
        self.roll.members.iter_mut().for_each(|member| member.is_here &= !leaves(member));
    }

    /// Moves all members on by as many steps as most of them have got; the others leave.
    fn go_on(
        &mut self,
        window: &Window<'_>,
        index: &HashMap<&str, usize>,
        stays: impl Fn(Candidate<'_>) -> bool,
    ) -> Result<(), AppendError> {
        let Roll { since_ms, step_ms, .. } = self.roll;
        let steps = |member: &Member| -> Option<i64> {
            let series = *index.get(member.series.as_str()).filter(|_| member.is_here)?;
            let ahead_ms = window.end_ms(series) - member.end_ms;
            let known = window.start_ms(series) <= member.end_ms;
            (known && ahead_ms >= 0 && ahead_ms % step_ms == 0).then_some(ahead_ms / step_ms)
        };
        let steps: Vec<Option<i64>> = self.roll.members.iter().map(steps).collect();
        let Some(count) = commonest(steps.iter().flatten().copied()) else {
            self.dismiss(|_| true);
            return Ok(());
        };
        for (at, member) in self.roll.members.iter_mut().enumerate().filter(|(at, _)| steps[*at] == Some(count)) {
            let series = index[member.series.as_str()];
            let champion = &self.fitted.choice(at).chosen.champion;
            member.is_here = stays(Candidate { series, since_ms, champion });
        }
        for (member, steps) in self.roll.members.iter_mut().zip(&steps) {
            member.is_here &= *steps == Some(count);
        }
        for step in 0..count {
            let point = |member: &Member| {
                let series = *index.get(member.series.as_str()).filter(|_| member.is_here)?;
                let at = (member.end_ms + step * step_ms - window.start_ms(series)) / step_ms;
                window.values(series).get(at as usize).copied()
            };
            let points: Vec<f64> = self.roll.members.iter().map(|member| point(member).unwrap_or(f64::NAN)).collect();
            self.fitted.append(&points)?;
        }
        for (member, status) in self.roll.members.iter_mut().zip(self.fitted.status()) {
            member.end_ms += count * step_ms;
            member.is_here &= status.is_usable();
        }
        Ok(())
    }

    /// It as bytes, read back equal by [`Cohort::decode`]; `None` where its fits hang on what lies outside them.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let fitted = artifact::encode(&self.fitted).ok()?;
        let roll = postcard::to_stdvec(&self.roll).expect("a vector takes every roll");
        let mut bytes = vec![FORMAT];
        bytes.extend((roll.len() as u64).to_le_bytes());
        bytes.extend(roll);
        bytes.extend(fitted);
        Some(bytes)
    }

    /// A cohort from what [`Cohort::encode`] wrote.
    pub(crate) fn decode(id: u64, bytes: &[u8]) -> Result<Self, CohortError> {
        let (&format, rest) = bytes.split_first().ok_or(CohortError::Damaged)?;
        if format != FORMAT {
            return Err(CohortError::Format(format));
        }
        let (length, rest) = rest.split_first_chunk::<8>().ok_or(CohortError::Damaged)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| CohortError::Damaged)?;
        let (roll, fitted) = rest.split_at_checked(length).ok_or(CohortError::Damaged)?;
        let roll: Roll = postcard::from_bytes(roll).map_err(|_| CohortError::Damaged)?;
        let fitted = artifact::decode_auto(fitted)?;
        let whole = roll.members.len() == fitted.status().len() && roll.step_ms > 0;
        if whole { Ok(Self { id, roll, fitted }) } else { Err(CohortError::Damaged) }
    }
}

/// The most frequent number, the largest of equals.
fn commonest(numbers: impl Iterator<Item = i64>) -> Option<i64> {
    let mut counts: HashMap<i64, usize> = HashMap::new();
    numbers.for_each(|number| *counts.entry(number).or_default() += 1);
    counts.into_iter().max_by_key(|(number, count)| (*count, *number)).map(|(number, _)| number)
}
