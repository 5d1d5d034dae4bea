//! Live accuracy: what every family said of a series against what came, and when another takes over from the champion.
//!
//! A family is judged at leads spread evenly over the horizon, so that one that is good at the next step alone is not
//! taken for one that is good at all of them. Of many challengers one is always lucky: as long as what the folds
//! recommend errs as usual, nothing replaces it. Once it does not, the load has changed, and the family that remembers a
//! single season stands in: it is the first to be right again. What the folds recommend comes back when it errs no more
//! than that, of late and for longer.
//!
//! Source: Angelopoulos, Candès and Tibshirani, *Conformal PID control for time series prediction*, NeurIPS 2023, 2.1,
//! for the tracking of the bands.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::auto::Kind;
use crate::{Horizon, Lived};

/// Leads at which a forecast is judged.
const LEADS: usize = 8;
/// Forecasts that wait to be judged: as many in one horizon, so that each hour of the day takes part.
const PENDING: usize = 4;
/// How many times the usual error a champion in trouble errs, and horizons' worth of values that must say so.
const TROUBLE: f64 = 3.25;
const TOLD: f64 = 0.2;
/// Horizons in which half of what is usual is forgotten, and how many times the usual an error counts for in it at most.
const USUAL_HORIZONS: f64 = 8.0;
const UNUSUAL: f64 = 3.0;
/// Usual errors that one lead counts for at most: one wild value must not decide.
const WILD: f64 = 8.0;
/// Horizons in which half of a family's error is forgotten, of late and for longer: when a load has changed, all were
/// wrong on the first day.
const LATE_HORIZONS: f64 = 0.25;
const LONG_HORIZONS: f64 = 1.0;
/// How fast the bands follow what falls outside them, a lead.
const WIDTH_RATE: f64 = 0.1;
/// Bounds of the factors that the bands are widened by.
const WIDTHS: std::ops::RangeInclusive<f64> = 0.5..=4.0;
/// Changes of champion that are remembered.
const REMEMBERED: usize = 16;
/// Families that are followed at most.
const FOLLOWED: usize = 24;

/// What is known live of one series.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Track {
    champion: Option<String>,
    /// What the folds would have served last.
    recommended: Option<String>,
    /// What stands in for a champion in trouble.
    stand_in: Option<String>,
    /// Errors of what was served.
    served: Served,
    entrants: Vec<Entrant>,
    pending: VecDeque<Probe>,
    width: Width,
    switches: VecDeque<Switch>,
}

/// A family that serves the series or would like to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entrant {
    name: String,
    /// Its errors of late, and for longer.
    late: Errors,
    long: Errors,
    /// When it was last heard of.
    heard_ms: i64,
}

/// Errors of what was served, whichever family served it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Served {
    /// The usual one: it follows slowly from what the folds promised at first. 0 before the first lead.
    usual: f64,
    /// Horizons since the last change of champion.
    horizons: f64,
}

/// Decayed sums of absolute errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Errors {
    sum: f64,
    leads: f64,
    /// Horizons that they cover.
    horizons: f64,
}

impl Errors {
    fn add(&mut self, error: f64, horizons: f64, half: f64) {
        let kept = 0.5_f64.powf(horizons / half);
        self.sum = kept * self.sum + error;
        self.leads = kept * self.leads + 1.0;
        self.horizons = kept * self.horizons + horizons;
    }

    /// Mean absolute error; `None` before the first lead.
    fn mean(&self) -> Option<f64> {
        (self.leads > 0.0).then(|| self.sum / self.leads)
    }
}

/// What every entrant said at one cutoff of the steps at its leads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Probe {
    cutoff_ms: i64,
    /// Times of its leads, rising; the judged ones are gone.
    times_ms: VecDeque<i64>,
    /// The champion, and the error that its folds promised.
    champion: String,
    promised: f64,
    /// Horizons since the probe before it: what one error of it weighs.
    weight: f64,
    /// Ends of the outermost band as served, at each lead that is left, and the shares that it leaves below and above.
    band: VecDeque<(f64, f64)>,
    outside: (f64, f64),
    /// Entrant, and its values at the leads that are left.
    said: Vec<(usize, VecDeque<f64>)>,
}

/// What the bands of a series are widened by around its median, below and above.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Width {
    /// Factor of what lies below the median.
    pub below: f64,
    /// Factor of what lies above it.
    pub above: f64,
}

impl Default for Width {
    fn default() -> Self {
        Self { below: 1.0, above: 1.0 }
    }
}

/// One change of champion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Cutoff of the first forecast by the new one.
    pub cutoff_ms: i64,
    /// The champion before.
    pub from: String,
    /// The champion since.
    pub to: String,
    /// Why, as one clause.
    pub reason: String,
}

/// Live accuracy of one family.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing<'a> {
    /// Its name.
    pub name: &'a str,
    /// Mean absolute error at the leads judged so far, one of a horizon ago weighing half; `None` before the first.
    pub error: Option<f64>,
}

/// What is to be judged of one forecast.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Last step behind it.
    pub cutoff_ms: i64,
    /// Times of its [`leads`], rising.
    pub times_ms: Vec<i64>,
    /// The family that serves it.
    pub champion: String,
    /// The one that its folds recommend.
    pub recommended: String,
    /// The one that remembers a single season.
    pub stand_in: String,
    /// The champion's mean absolute error on past folds; `None` where none could be had.
    pub promised: Option<f64>,
    /// Every family's values at [`leads`]; the champion's among them.
    pub values: Vec<(String, Vec<f64>)>,
    /// Ends of the outermost band at the leads.
    pub band: Vec<(f64, f64)>,
    /// Shares of the values that it leaves below and above it, as its levels say.
    pub outside: (f64, f64),
}

/// The leads, in steps ahead from 0, at which forecasts of a horizon are judged: ends of equal parts of it.
pub fn leads(horizon: Horizon) -> Vec<usize> {
    let (steps, parts) = (horizon.steps(), horizon.steps().min(LEADS));
    (1..=parts).map(|part| (part * steps).div_ceil(parts) - 1).collect()
}

impl Track {
    /// The family that has served since the last change; `None` before the first forecast.
    pub fn champion(&self) -> Option<&str> {
        self.champion.as_deref()
    }

    /// The family that should serve next. `None` before the first forecast.
    pub fn wish(&self) -> Option<&str> {
        let champion = self.champion()?;
        // Which blend the folds recommend is a matter of chance from issue to issue.
        let is_blend = |name: &str| Kind::ALL.iter().any(|kind| kind.name() == name);
        let is_other = |name: &&str| *name != champion && !(is_blend(name) && is_blend(champion));
        let Some(recommended) = self.recommended.as_deref().filter(is_other) else {
            let in_trouble = self.trouble().is_some_and(|times| times > TROUBLE);
            let stand_in = self.stand_in.as_deref().filter(|name| in_trouble && self.errs_no_more(name, |e| &e.late));
            return Some(stand_in.unwrap_or(champion));
        };
        let is_back = self.served.horizons >= TOLD
            && self.errs_no_more(recommended, |e| &e.late)
            && self.errs_no_more(recommended, |e| &e.long);
        Some(if is_back { recommended } else { champion })
    }

    /// Whether a family errs no more than the champion.
    fn errs_no_more(&self, name: &str, of: fn(&Entrant) -> &Errors) -> bool {
        let mean = |name: &str| self.entrant_called(name).and_then(|entrant| of(entrant).mean());
        let own = self.champion().and_then(mean);
        mean(name).is_some_and(|error| own.is_none_or(|own| error <= own))
    }

    fn entrant_called(&self, name: &str) -> Option<&Entrant> {
        self.entrants.iter().find(|entrant| entrant.name == name)
    }

    /// How many times the usual error the champion errs; `None` before enough has come to tell.
    pub fn trouble(&self) -> Option<f64> {
        let own = self.entrant_called(self.champion()?)?.late;
        let error = own.mean().filter(|_| own.horizons >= TOLD)?;
        Some(if error > 0.0 { error / self.served.usual } else { 0.0 })
    }

    /// How every family did since it was asked.
    pub fn lived(&self) -> Vec<Lived> {
        let lived =
            |e: &Entrant| Some(Lived { name: e.name.clone(), error: e.late.mean()?, horizons: e.late.horizons });
        self.entrants.iter().filter_map(lived).collect()
    }

    /// Cutoff of the last forecast that was noted; `None` before the first.
    pub fn last_ms(&self) -> Option<i64> {
        self.entrants.iter().map(|entrant| entrant.heard_ms).max()
    }

    /// What its bands should be widened by.
    pub fn width(&self) -> Width {
        self.width
    }

    /// The changes of champion, the oldest first, at most 16.
    pub fn switches(&self) -> impl ExactSizeIterator<Item = &Switch> {
        self.switches.iter()
    }

    /// Every family followed, the smallest live error first.
    pub fn standings(&self) -> Vec<Standing<'_>> {
        let mut all: Vec<Standing<'_>> =
            self.entrants.iter().map(|e| Standing { name: &e.name, error: e.long.mean() }).collect();
        let key = |s: &Standing<'_>| s.error.unwrap_or(f64::INFINITY);
        all.sort_by(|a, b| key(a).total_cmp(&key(b)));
        all
    }

    /// Judges every forecast by what came since. `values` are the series from `start_ms` on, a step apart; NaN, or a
    /// time before them, is a step that was not observed. Times after them have not come.
    pub fn observe(&mut self, start_ms: i64, step_ms: i64, values: &[f64]) {
        for at in 0..self.pending.len() {
            while let Some(&time_ms) = self.pending[at].times_ms.front() {
                let step = (time_ms - start_ms).div_euclid(step_ms);
                if step >= values.len() as i64 {
                    break;
                }
                let actual = usize::try_from(step).map_or(f64::NAN, |step| values[step]);
                self.judge(at, actual);
            }
        }
        self.pending.retain(|probe| !probe.times_ms.is_empty());
    }

    /// Judges the next lead of one probe.
    fn judge(&mut self, at: usize, actual: f64) {
        let probe = &mut self.pending[at];
        probe.times_ms.pop_front();
        let band = probe.band.pop_front();
        let said: Vec<(usize, f64)> =
            probe.said.iter_mut().filter_map(|(entrant, values)| Some((*entrant, values.pop_front()?))).collect();
        if !actual.is_finite() {
            return;
        }
        let (promised, outside) = (probe.promised, probe.outside);
        for (entrant, value) in &said {
            let (entrant, error) = (&mut self.entrants[*entrant], (actual - value).abs().min(WILD * promised));
            entrant.late.add(error, probe.weight, LATE_HORIZONS);
            entrant.long.add(error, probe.weight, LONG_HORIZONS);
            if probe.champion == entrant.name {
                let Served { usual, horizons } = &mut self.served;
                *usual = match *usual {
                    0.0 if promised.is_finite() => promised,
                    0.0 => error,
                    usual => usual,
                };
                let forgotten = 1.0 - 0.5_f64.powf(probe.weight / USUAL_HORIZONS);
                *usual += forgotten * (error.min(UNUSUAL * *usual) - *usual);
                *horizons += probe.weight;
            }
        }
        if let Some((low, high)) = band {
            let follow = |width: &mut f64, is_outside: bool, share: f64| {
                let missed = f64::from(u8::from(is_outside));
                *width = (*width * (WIDTH_RATE * (missed - share)).exp()).clamp(*WIDTHS.start(), *WIDTHS.end());
            };
            follow(&mut self.width.below, actual < low, outside.0);
            follow(&mut self.width.above, actual > high, outside.1);
        }
    }

    /// Takes note of a forecast that is served, to judge it later. A champion other than the last is a switch.
    pub fn serve(&mut self, said: Said) {
        if let Some(from) = self.champion.clone().filter(|from| *from != said.champion) {
            let reason = self.reason(&from, &said); // of the champion that was
            self.switches.push_back(Switch { cutoff_ms: said.cutoff_ms, from, to: said.champion.clone(), reason });
            if self.switches.len() > REMEMBERED {
                self.switches.pop_front();
            }
            self.served.horizons = 0.0;
            self.width = Width::default(); // it was learned of other bands
        }
        self.champion = Some(said.champion.clone());
        self.recommended = Some(said.recommended.clone());
        self.stand_in = Some(said.stand_in.clone());
        self.ask(said);
    }

    fn reason(&self, from: &str, said: &Said) -> String {
        let mean = |name: &str| self.entrant_called(name).and_then(|entrant| entrant.late.mean());
        match (mean(from), mean(&said.champion), self.trouble()) {
            _ if said.values.iter().all(|(name, _)| name != from) => format!("{from} could not be fitted"),
            (Some(old), Some(new), _) if said.champion == said.recommended && new <= old => {
                format!("the folds recommend it, and it errs by {new:.4} lately against {old:.4}")
            }
            (Some(old), Some(new), Some(times)) => {
                format!("{from} errs {times:.1} times as much as usual, {old:.4} lately against {new:.4}")
            }
            _ => format!("the folds recommend it in place of {from}"),
        }
    }

    /// Lets a forecast wait to be judged, unless the one before it is too near.
    fn ask(&mut self, said: Said) {
        let Some(horizon_ms) = said.times_ms.last().map(|last| last - said.cutoff_ms) else { return };
        // A clock set back makes what waits meaningless.
        self.pending.retain(|probe| probe.cutoff_ms < said.cutoff_ms);
        let nearest = horizon_ms / PENDING as i64;
        let since = self.pending.back().map_or(nearest, |last| said.cutoff_ms - last.cutoff_ms);
        if since < nearest {
            return;
        }
        let part = (since as f64 / horizon_ms as f64).min(1.0) / said.times_ms.len() as f64;
        let sound = |values: &[f64]| values.len() == said.times_ms.len() && values.iter().all(|v| v.is_finite());
        let mut heard = Vec::with_capacity(said.values.len());
        for (name, values) in said.values.iter().filter(|(_, values)| sound(values)) {
            heard.push((self.entrant(name, said.cutoff_ms), VecDeque::from(values.clone())));
        }
        self.pending.push_back(Probe {
            cutoff_ms: said.cutoff_ms,
            times_ms: said.times_ms.into(),
            champion: said.champion,
            promised: said.promised.unwrap_or(f64::INFINITY).max(f64::MIN_POSITIVE),
            weight: part,
            band: said.band.into(),
            outside: said.outside,
            said: heard,
        });
    }

    /// Place of a family, made where it is new in place of the one not heard of for longest.
    fn entrant(&mut self, name: &str, cutoff_ms: i64) -> usize {
        if let Some(at) = self.entrants.iter().position(|entrant| entrant.name == name) {
            self.entrants[at].heard_ms = cutoff_ms;
            return at;
        }
        let new = Entrant { name: name.into(), late: Errors::default(), long: Errors::default(), heard_ms: cutoff_ms };
        let waits = |at: usize| self.pending.iter().any(|probe| probe.said.iter().any(|(entrant, _)| *entrant == at));
        let idle = (0..self.entrants.len()).filter(|at| !waits(*at)).min_by_key(|at| self.entrants[*at].heard_ms);
        match idle.filter(|_| self.entrants.len() >= FOLLOWED) {
            Some(at) => {
                self.entrants[at] = new;
                at
            }
            None => {
                self.entrants.push(new);
                self.entrants.len() - 1
            }
        }
    }
}

#[cfg(test)]
mod tests;
