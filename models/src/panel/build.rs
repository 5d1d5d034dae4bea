//! From raw samples to panels: sort, collapse duplicates, find step and phase, snap, look back.

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;
use serde::Serialize;

use super::Panel;
use super::rate::{looks_like_counter, rates};

/// One series as it was read: times in milliseconds since the epoch, in any order.
#[derive(Clone, Debug, Default)]
pub struct RawSeries {
    /// Identity: all labels, in the caller's canonical spelling.
    pub name: String,
    /// Sample times.
    pub times_ms: Vec<i64>,
    /// Sample values, one a time.
    pub values: Vec<f64>,
}

/// How raw samples become panels.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// Steps kept up to each series' last sample, or before its held-out part.
    pub lookback_steps: usize,
    /// Parts of some series, by name, that are held out; a series without one is kept up to its end.
    pub held_out: HashMap<String, HeldOutPart>,
    /// Series, by name, that count up: each becomes its rate per second. See [`SeriesNotes::resets`].
    pub counters: HashSet<String>,
}

/// The part of a series that a forecast is compared with; nothing after it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldOutPart {
    /// Time of its first step, milliseconds since the epoch.
    pub start_ms: i64,
    /// Its length.
    pub steps: usize,
}

impl BuildOptions {
    /// A lookback, and nothing held out.
    pub fn lookback(steps: usize) -> Self {
        Self { lookback_steps: steps, held_out: HashMap::new(), counters: HashSet::new() }
    }
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self::lookback(8_192)
    }
}

/// How many times the next largest size a lone value is dropped at: beside it no other has a digit left in an `f32`, in
/// which kernels hold values, and all that would be learned of the series is the one value. Among fewer samples than
/// these it may be what the series is about.
const ABSURD: f64 = 16_777_216.0;
const FEWEST_TO_JUDGE: usize = 8;
/// The end of the year 9999; a time further from 1970 than that is a broken cell, not a sample.
const LATEST_MS: i64 = 253_402_300_799_999;

/// What was mended in one series on its way into a panel; all zero for a clean one. The names of its fields are those that
/// machines are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SeriesNotes {
    /// NaN and infinite samples dropped.
    pub not_finite: usize,
    /// Samples whose time no calendar can name, dropped.
    pub absurd_times: usize,
    /// Samples beside which all others of the series are nothing, dropped: one of 1e30 among hundreds, say.
    pub absurd_values: usize,
    /// Samples that stood before an earlier one.
    pub out_of_order: usize,
    /// Samples equal to another of the same time, dropped.
    pub equal_duplicates: usize,
    /// Samples that another of the same time or step contradicted; the last one read was kept.
    pub conflicting: usize,
    /// Samples moved to the nearest step of the grid.
    pub snapped: usize,
    /// Steps between first and last sample without an observation.
    pub missing_steps: usize,
    /// Samples older than the lookback, left out.
    pub beyond_lookback: usize,
    /// Whether it is a counter's rate per second.
    #[serde(skip)] // how a series was read is told in full beside its notes
    pub is_rate: bool,
    /// Times that the counter behind a rate started anew.
    pub resets: usize,
    /// Whether it was not said to be a counter and yet looks like one beyond doubt. It is left as it is.
    pub looks_like_counter: bool,
    /// Values outside the bounds that were declared of it. They are left as they are.
    pub out_of_bounds: usize,
}

/// A series that no panel could take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its identity.
    pub name: String,
    /// Why, as one clause.
    pub reason: String,
}

/// Panels by step and phase, with what was mended and what was refused.
#[derive(Clone, Debug, Default)]
pub struct PanelSet {
    /// Panels, the finest step first; series inside one keep the order they came in.
    pub panels: Vec<Panel>,
    /// Notes for each series of each panel.
    pub notes: Vec<Vec<SeriesNotes>>,
    /// Series without a usable sample or step.
    pub rejected: Vec<Rejected>,
}

impl PanelSet {
    /// Builds panels from raw series. Each series depends on itself alone, so a broken one changes no
    /// other; series are grouped by their own step and phase.
    pub fn build(raw: Vec<RawSeries>, options: &BuildOptions) -> Self {
        let gridded: Vec<_> = raw.into_par_iter().map(|series| grid(series, options)).collect();
        let mut set = Self::default();
        let mut groups: BTreeMap<(i64, i64), (Panel, Vec<SeriesNotes>)> = BTreeMap::new();
        for series in gridded {
            match series {
                Ok(series) => {
                    let key = (series.step_ms, series.start_ms.rem_euclid(series.step_ms));
                    let (panel, notes) = groups.entry(key).or_insert_with(|| (Panel::new(series.step_ms), Vec::new()));
                    panel.push(series.name, series.start_ms, &series.values);
                    notes.push(series.notes);
                }
                Err(rejected) => set.rejected.push(rejected),
            }
        }
        (set.panels, set.notes) = groups.into_values().unzip();
        set
    }

    /// Series in all panels.
    pub fn series_count(&self) -> usize {
        self.panels.iter().map(Panel::series_count).sum()
    }
}

struct Gridded {
    name: String,
    step_ms: i64,
    start_ms: i64,
    values: Vec<f64>,
    notes: SeriesNotes,
}

fn grid(raw: RawSeries, options: &BuildOptions) -> Result<Gridded, Rejected> {
    let mut notes = SeriesNotes::default();
    let reject = |reason: String| Rejected { name: raw.name.clone(), reason };
    let part = options.held_out.get(&raw.name);
    let (samples, step_ms) = stepped(&raw, part, options.counters.contains(&raw.name), &mut notes).map_err(reject)?;
    let phase_ms = known(&samples, part).iter().map(|(time, _)| time.rem_euclid(step_ms));
    let phase_ms = commonest(phase_ms).expect("samples is not empty");
    let last_ms = samples[samples.len() - 1].0;
    // A sample exactly between two steps goes to the earlier one.
    let slot_of = |time: i64| (time - phase_ms + (step_ms - 1) / 2).div_euclid(step_ms);
    let steps = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let end = part.map_or(slot_of(last_ms) + 1, |part| slot_of(part.start_ms));
    let held_out = part.map_or(0, |part| steps(part.steps));
    let oldest = end.saturating_sub(steps(options.lookback_steps));
    let from = samples.partition_point(|(time, _)| slot_of(*time) < oldest);
    let to = samples.partition_point(|(time, _)| slot_of(*time) < end.saturating_add(held_out));
    notes.beyond_lookback = from;
    let kept = &samples[from..to.max(from)];
    let (Some(&(first, _)), Some(&(last, _))) = (kept.first(), kept.last()) else {
        return Err(reject("no sample in the lookback before its held-out part, and none in that".into()));
    };
    let (first_slot, last_slot) = (slot_of(first), slot_of(last));
    let mut values = vec![f64::NAN; (last_slot - first_slot + 1) as usize];
    for &(time, value) in kept {
        let slot = slot_of(time);
        notes.snapped += usize::from(slot * step_ms + phase_ms != time);
        let held = &mut values[(slot - first_slot) as usize];
        if *held == value {
            notes.equal_duplicates += 1;
        } else if !held.is_nan() {
            notes.conflicting += 1;
        }
        *held = value;
    }
    notes.missing_steps = values.iter().filter(|v| v.is_nan()).count();
    Ok(Gridded { name: raw.name, step_ms, start_ms: first_slot * step_ms + phase_ms, values, notes })
}

/// A series' clean samples, a counter's as rates, with their step; else why there are none.
fn stepped(
    raw: &RawSeries,
    part: Option<&HeldOutPart>,
    is_counter: bool,
    notes: &mut SeriesNotes,
) -> Result<(Vec<(i64, f64)>, i64), String> {
    let mut samples = clean(raw, notes);
    if let Some(at) = lone(known(&samples, part)) {
        samples.remove(at);
        notes.absurd_values = 1;
    }
    if samples.is_empty() {
        let count = raw.values.len();
        return Err(match notes.absurd_times {
            0 => format!("no finite value among {count} samples"),
            absurd => format!("{absurd} of {count} samples lie beyond the year 9999, the others are not finite"),
        });
    }
    let Some(step_ms) = commonest(known(&samples, part).windows(2).map(|pair| pair[1].0 - pair[0].0)) else {
        return Err("one sample only: two are needed to know the step".into());
    };
    if !is_counter {
        notes.looks_like_counter = looks_like_counter(&samples);
        return Ok((samples, step_ms));
    }
    let (samples, resets) = rates(&samples, step_ms);
    (notes.is_rate, notes.resets) = (true, resets);
    if samples.is_empty() {
        Err("no two samples of the counter are near enough for a rate".into())
    } else {
        Ok((samples, step_ms))
    }
}

/// The samples that say what the grid is: those before a held-out part, which must move nothing.
fn known<'a>(samples: &'a [(i64, f64)], part: Option<&HeldOutPart>) -> &'a [(i64, f64)] {
    let known = part.map_or(samples.len(), |part| samples.partition_point(|(time, _)| *time < part.start_ms));
    if known < 2 { samples } else { &samples[..known] }
}

/// The place of a value beside which all others are nothing.
fn lone(samples: &[(i64, f64)]) -> Option<usize> {
    let (mut at, mut largest, mut next) = (0, 0.0, 0.0);
    for (place, (_, value)) in samples.iter().enumerate() {
        if value.abs() > largest {
            (at, largest, next) = (place, value.abs(), largest);
        } else if value.abs() > next {
            next = value.abs();
        }
    }
    (samples.len() >= FEWEST_TO_JUDGE && next > 0.0 && largest / next > ABSURD).then_some(at)
}

/// Finite samples in time order, one a time: of equal times the last read stays.
fn clean(raw: &RawSeries, notes: &mut SeriesNotes) -> Vec<(i64, f64)> {
    let mut samples: Vec<(i64, f64)> =
        raw.times_ms.iter().copied().zip(raw.values.iter().copied()).filter(|(_, v)| v.is_finite()).collect();
    notes.not_finite = raw.values.len() - samples.len();
    samples.retain(|(time, _)| (-LATEST_MS..=LATEST_MS).contains(time));
    notes.absurd_times = raw.values.len() - notes.not_finite - samples.len();
    notes.out_of_order = samples.windows(2).filter(|pair| pair[1].0 < pair[0].0).count();
    if notes.out_of_order > 0 {
        samples.sort_by_key(|(time, _)| *time); // stable: equal times keep the order they were read in
    }
    samples.dedup_by(|next, kept| {
        let same_time = next.0 == kept.0;
        if same_time {
            if next.1 == kept.1 {
                notes.equal_duplicates += 1
            } else {
                notes.conflicting += 1
            }
            kept.1 = next.1;
        }
        same_time
    });
    samples
}

/// The most frequent value, the smallest of equals.
fn commonest(values: impl Iterator<Item = i64>) -> Option<i64> {
    let mut sorted: Vec<i64> = values.collect();
    sorted.sort_unstable();
    let runs = sorted.chunk_by(|a, b| a == b);
    runs.map(|run| (run.len(), -run[0])).max().map(|(_, negated)| -negated)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(name: &str, samples: &[(i64, f64)]) -> RawSeries {
        let (times_ms, values) = samples.iter().copied().unzip();
        RawSeries { name: name.into(), times_ms, values }
    }

    fn only(set: &PanelSet) -> (&Panel, &SeriesNotes) {
        assert_eq!((set.panels.len(), set.series_count()), (1, 1));
        (&set.panels[0], &set.notes[0][0])
    }

    #[test]
    fn a_lone_value_beside_which_all_others_are_nothing_is_dropped() {
        let build = |values: &[f64]| {
            let samples: Vec<(i64, f64)> = values.iter().enumerate().map(|(t, v)| (60_000 * t as i64, *v)).collect();
            let set = PanelSet::build(vec![raw("a", &samples)], &BuildOptions::default());
            (set.panels[0].values(0).to_vec(), set.notes[0][0].clone())
        };
        let mut values: Vec<f64> = (0..20).map(|t| 80.0 + f64::from(t % 5)).collect();
        for (at, spike) in [(0, -1e30), (7, 1e30), (7, 2e9)] {
            let mut spiked = values.clone();
            spiked[at] = spike;
            let (kept, notes) = build(&spiked);
            let rest: Vec<f64> = kept.into_iter().filter(|value| !value.is_nan()).collect();
            let expected: Vec<f64> = (0..20).filter(|t| *t != at).map(|t| values[t]).collect();
            assert_eq!((notes.absurd_values, rest), (1, expected), "{spike} at {at}");
        }
        // What comes twice is how the load is, and so is a burst after nothing or among few samples.
        values[7] = 1e30;
        values[12] = 2e29;
        assert_eq!(build(&values).1.absurd_values, 0);
        let mut idle = vec![0.0; 20];
        idle[3] = 1e9;
        assert_eq!(build(&idle), (idle.clone(), SeriesNotes::default()));
        assert_eq!(build(&[1e-6, 1.0, 1e9, 2.0]).1.absurd_values, 0);
    }

    #[test]
    fn duplicates_collapse_and_the_last_of_a_conflict_wins() {
        let samples = [(0, 1.0), (60, 2.0), (60, 2.0), (120, 3.0), (120, 4.0), (180, 5.0), (90, f64::NAN)];
        let set = PanelSet::build(vec![raw("a", &samples)], &BuildOptions::default());
        let (panel, notes) = only(&set);
        assert_eq!(panel.values(0), [1.0, 2.0, 4.0, 5.0]);
        assert_eq!((notes.equal_duplicates, notes.conflicting, notes.not_finite), (1, 1, 1));
    }

    #[test]
    fn unsorted_times_are_sorted_and_gaps_stay_gaps() {
        let samples = [(120, 3.0), (0, 1.0), (60, 2.0), (300, 6.0), (240, 5.0)];
        let set = PanelSet::build(vec![raw("a", &samples)], &BuildOptions::default());
        let (panel, notes) = only(&set);
        assert_eq!(panel.values(0)[..3], [1.0, 2.0, 3.0]);
        assert!(panel.values(0)[3].is_nan());
        assert_eq!((notes.out_of_order, notes.missing_steps), (2, 1));
    }

    #[test]
    fn off_grid_samples_snap_within_half_a_step() {
        let samples = [(10, 1.0), (70, 2.0), (133, 3.0), (190, 4.0), (250, 5.0), (310, 6.0)];
        let set = PanelSet::build(vec![raw("a", &samples)], &BuildOptions::default());
        let (panel, notes) = only(&set);
        assert_eq!(panel.start_ms(0), 10);
        assert_eq!(panel.values(0), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(notes.snapped, 1);
    }

    #[test]
    fn a_time_beyond_any_calendar_is_dropped_and_counted() {
        let mut samples: Vec<_> = (0..5).map(|i| (i * 60, i as f64)).collect();
        samples.extend([(i64::MAX, 9.0), (i64::MIN, 9.0)]);
        let set = PanelSet::build(vec![raw("a", &samples)], &BuildOptions::default());
        let (panel, notes) = only(&set);
        assert_eq!((panel.values(0).len(), notes.absurd_times, notes.not_finite), (5, 2, 0));
        let none = PanelSet::build(vec![raw("a", &[(i64::MAX, 9.0)])], &BuildOptions::default());
        assert!(none.rejected[0].reason.starts_with("1 of 1 samples lie beyond"), "{:?}", none.rejected);
    }

    #[test]
    fn steps_and_phases_part_panels() {
        let at = |start: i64, step: i64| (0..5).map(|i| (start + i * step, i as f64)).collect::<Vec<_>>();
        let input = vec![raw("hour", &at(0, 3_600)), raw("minute", &at(0, 60)), raw("late", &at(30, 60))];
        let set = PanelSet::build(input, &BuildOptions::default());
        let steps: Vec<_> = set.panels.iter().map(|p| (p.step_ms(), p.name(0).to_string())).collect();
        assert_eq!(steps, [(60, "minute".into()), (60, "late".into()), (3_600, "hour".into())]);
    }

    #[test]
    fn what_cannot_be_gridded_is_named() {
        let set = PanelSet::build(
            vec![raw("empty", &[]), raw("nan", &[(0, f64::NAN)]), raw("one", &[(0, 1.0)])],
            &BuildOptions::default(),
        );
        assert_eq!(set.series_count(), 0);
        assert_eq!(set.rejected[1].reason, "no finite value among 1 samples");
        assert!(set.rejected[2].reason.starts_with("one sample only"));
    }

    #[test]
    fn the_lookback_keeps_the_newest_steps() {
        let samples: Vec<_> = (0..10).map(|i| (i * 60, i as f64)).collect();
        let set = PanelSet::build(vec![raw("a", &samples)], &BuildOptions::lookback(3));
        let (panel, notes) = only(&set);
        assert_eq!(panel.values(0), [7.0, 8.0, 9.0]);
        assert_eq!(notes.beyond_lookback, 7);
    }

    #[test]
    fn a_counter_becomes_a_rate_and_a_scrape_gap_stays_a_gap() {
        // Out of order, told twice, started anew at 300, and not scraped at 480 and 540.
        let samples = [(0, 10.0), (120, 130.0), (60, 70.0), (120, 130.0), (180, 190.0), (240, 250.0), (300, 30.0)];
        let later = [(360, 90.0), (420, 150.0), (600, 400.0), (660, 460.0)].map(|(t, v)| (t * 1_000, v));
        let samples: Vec<_> = samples.map(|(t, v)| (t * 1_000, v)).into_iter().chain(later).collect();
        let mut options = BuildOptions::default();
        options.counters.insert("a".into());
        let set = PanelSet::build(vec![raw("a", &samples), raw("b", &samples)], &options);
        let (panel, notes) = (&set.panels[0], &set.notes[0][0]);
        assert_eq!((panel.name(0), panel.start_ms(0), panel.step_ms()), ("a", 60_000, 60_000));
        assert_eq!(panel.values(0)[..7], [1.0, 1.0, 1.0, 1.0, 0.5, 1.0, 1.0]);
        assert!(panel.values(0)[7..10].iter().all(|v| v.is_nan()) && panel.values(0)[10..] == [1.0]);
        assert_eq!((notes.is_rate, notes.resets, notes.equal_duplicates, notes.out_of_order), (true, 1, 1, 1));
        assert!(!set.notes[0][1].is_rate && panel.values(1)[0] == 10.0, "what was not named is not changed");
        let lonely = PanelSet::build(vec![raw("a", &[(0, 1.0)])], &options);
        assert!(lonely.rejected[0].reason.starts_with("one sample only"));
    }

    #[test]
    fn the_lookback_of_a_counter_starts_with_a_rate() {
        let samples: Vec<_> = (0..10).map(|i| (i * 1_000, (i * i) as f64)).collect();
        let mut options = BuildOptions::lookback(3);
        options.counters.insert("a".into());
        let set = PanelSet::build(vec![raw("a", &samples)], &options);
        assert_eq!(only(&set).0.values(0), [13.0, 15.0, 17.0]);
    }

    #[test]
    fn a_held_out_part_bounds_what_is_kept_on_both_sides() {
        // A sample of the far past and one of the far future would be a span of 10^12 steps.
        let mut samples: Vec<_> =
            [0, 1_000, 1_060, 1_120, 1_180, 1_240].map(|time| (100_000_000_000 + time, 1.0)).into();
        samples.insert(0, (-100_000_000_000_000, 1.0));
        samples.push((100_000_000_000_000, 9.0));
        let mut options = BuildOptions::lookback(2);
        options.held_out.insert("a".into(), HeldOutPart { start_ms: 100_000_001_120, steps: 2 });
        let set = PanelSet::build(vec![raw("a", &samples)], &options);
        let (panel, notes) = only(&set);
        assert_eq!((panel.start_ms(0), panel.values(0).len()), (100_000_001_000, 4));
        assert_eq!(notes.beyond_lookback, 2);
        // What comes in the held-out part has no say in the grid.
        samples.extend((1..20).map(|at| (100_000_001_120 + at, 5.0)));
        let crowded = PanelSet::build(vec![raw("a", &samples)], &options);
        assert_eq!((only(&crowded).0.step_ms(), only(&crowded).0.start_ms(0)), (60, 100_000_001_000));
        options.held_out.insert("a".into(), HeldOutPart { start_ms: 50_000_000_000_000, steps: 2 });
        let none = PanelSet::build(vec![raw("a", &samples)], &options);
        assert!(none.rejected[0].reason.starts_with("no sample in the lookback"), "{:?}", none.rejected);
    }
}
