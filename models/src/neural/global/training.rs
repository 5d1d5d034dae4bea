//! Trains a network for a fleet by burn: windows of its series, drawn by seed, and the newest part of each to choose by.

use std::fmt;

use foreshadow_kernels::{Device, KernelError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::LEAST_SEEN;
use super::learner::{Learn, Windows, learner};
use crate::artifact::{body_of, sealed};
use crate::neural::frame::{Frame, INPUTS};
use crate::neural::network::{Meaning, Network};
use crate::neural::trust::trust;
use crate::neural::watched::choosing;
use crate::neural::ways::{Fleet, knots, spread};
use crate::season::{DAY_MS, calendar, detect};
use crate::{Horizon, Window};

/// Series that a network learns of: drawn by seed where there are more, for these say what the others would.
const MOST_TAUGHT: usize = 512;
/// Windows that choose, and steps between two looks at them.
const CHOOSERS: usize = 1_024;
const LOOK_EVERY: usize = 20;
/// One window of so many is that of a series which has just begun.
const BEGUN_EVERY: usize = 4;
/// One of so many of those lives where the clock shows another time at the same hour of its day, as in another region: by
/// one clock alone a network would take it for the day.
const ELSEWHERE_EVERY: usize = 2;
/// The way in which windows are drawn: a checkpoint of another goes on nowhere.
const DRAWN_BY: u32 = 3;
/// Looks without a better one after which training ends.
const PATIENCE: usize = 8;

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GlobalEffort {
    /// Steps that it looks back on.
    pub length: usize,
    /// Units of a layer.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Windows of a step.
    pub windows: usize,
    /// Steps of Adam at most.
    pub steps: usize,
    /// The largest learning rate: it rises over the first twentieth of the steps and falls along a cosine.
    pub rate: f64,
}

impl GlobalEffort {
    /// What is enough for a fleet of some hundred series.
    pub const USUAL: Self = Self { length: 48, hidden: 64, layers: 1, windows: 128, steps: 600, rate: 4e-3 };
}

/// Why training could not begin or go on, or ended with nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainingError {
    /// There is nothing to learn.
    #[error("not one series is long enough and moves")]
    Nothing,
    /// The device failed.
    #[error(transparent)]
    Device(#[from] KernelError),
    /// Not what was written, or cut off.
    #[error("the checkpoint is damaged")]
    Damaged,
    /// It was written for other series, settings or another seed.
    #[error(
        "the checkpoint is that of another training: of other series, another seed, other settings or another version"
    )]
    Other,
    /// Not one look was finite.
    #[error("the training diverged at step {step}: a smaller learning rate may hold")]
    Diverged {
        /// The step.
        step: usize,
    },
}

/// How far training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Steps taken.
    pub step: usize,
    /// Steps at most.
    pub steps: usize,
    /// Mean quantile loss on what chooses, in each series' own scale.
    pub loss: f64,
    /// The least so far.
    pub best: f64,
    /// The same of what is expected without a network.
    pub without: f64,
}

/// A series that a network learns of.
pub(super) struct Lesson<'a> {
    frame: Frame,
    values: &'a [f64],
    start_ms: i64,
    /// The first step that anything is expected of, and the first that chooses.
    from: usize,
    split: usize,
}

impl<'a> Lesson<'a> {
    fn of(window: &Window<'a>, s: usize, length: usize, horizon: usize, fleet: &Fleet) -> Option<Self> {
        let values = window.values(s);
        let frame = Frame::of(values, window.step_ms(), horizon, fleet).ok().filter(Frame::moves)?;
        let from = frame.warm_up();
        let observed = values.iter().filter(|y| !y.is_nan()).count();
        if observed < from + 2 * length + horizon {
            return None;
        }
        let choosing = choosing(values.len() - from, horizon);
        Some(Self { frame, values, start_ms: window.start_ms(s), from, split: values.len() - choosing })
    }

    /// [`Lesson::show`] of a series that began a drawn number of steps before, at times by a clock that is a drawn part of a
    /// day ahead, measured by what it has by then alone; `false` where that does not move.
    fn show_begun(&self, t: usize, end: usize, meaning: &Meaning, random: &mut ChaCha8Rng, to: &mut Windows) -> bool {
        let seen = self.begun(t, meaning, random);
        let from = t + 1 - seen;
        let elsewhere = random.random_range(0..ELSEWHERE_EVERY) == 0;
        let off_ms = if elsewhere { random.random_range(0..DAY_MS) } else { 0 };
        let (values, start_ms) = (&self.values[from..=t], self.start_ms + off_ms + from as i64 * meaning.step_ms);
        let frame = Frame::of(values, meaning.step_ms, meaning.horizon, &meaning.fleet);
        let Some(frame) = frame.ok().filter(Frame::moves) else { return false };
        to.shown.extend(shown(&frame, values, start_ms, meaning.length));
        to.others.extend(frame.others(values));
        to.targets.extend(frame.target(&self.values[from..end], seen - 1));
        true
    }

    /// Steps that a series has shortly after it began: as often some as some more.
    fn begun(&self, t: usize, meaning: &Meaning, random: &mut ChaCha8Rng) -> usize {
        let most = usize::max(meaning.length, meaning.fleet.begun()).min(t + 1);
        let share: f64 = random.random_range(0.0..1.0);
        let least = LEAST_SEEN.min(most) as f64;
        ((least * (most as f64 / least).powf(share)) as usize).clamp(1, most)
    }

    /// Adds what is shown of step `t`, and what comes after it up to `end`.
    fn show(&self, t: usize, end: usize, length: usize, to: &mut Windows) {
        to.shown.extend(shown(&self.frame, &self.values[..=t], self.start_ms, length));
        to.others.extend(self.frame.others(&self.values[..=t]));
        to.targets.extend(self.frame.target(&self.values[..end], t));
    }
}

/// `[length, INPUTS]`: what a network is shown of the last value and those before it; zeros where there are none.
pub(super) fn shown(frame: &Frame, values: &[f64], start_ms: i64, length: usize) -> Vec<f32> {
    let from = values.len().saturating_sub(length);
    let mut shown = vec![0.0; (length - (values.len() - from)) * INPUTS];
    shown.extend(frame.inputs(values, start_ms, from));
    shown
}

/// A network on its way.
pub struct Training<'a> {
    effort: GlobalEffort,
    seed: u64,
    lessons: Vec<Lesson<'a>>,
    choosers: Windows,
    /// What those are of series that have just begun.
    begun: Windows,
    device: Device,
    learner: Box<dyn Learn>,
    meaning: Meaning,
    without: f64,
    state: State,
}

/// What a checkpoint keeps beside the learner.
#[derive(Clone, Serialize, Deserialize)]
struct State {
    step: usize,
    loss: f64,
    best: f64,
    best_weights: Vec<Vec<f32>>,
    stalled: usize,
}

#[derive(Serialize, Deserialize)]
struct Checkpoint {
    task: u32,
    state: State,
    learner: Vec<u8>,
}

impl<'a> Training<'a> {
    /// Begins on all series of some windows, which share their step, and on a device. On another device it ends nearby, not at
    /// the same bits.
    ///
    /// # Errors
    /// [`TrainingError::Nothing`], [`TrainingError::Device`].
    ///
    /// # Panics
    /// When one of the sizes in `effort` is 0, or two windows have different steps.
    pub fn begin(
        windows: &[Window<'a>],
        horizon: Horizon,
        seed: u64,
        effort: GlobalEffort,
        device: &Device,
    ) -> Result<Self, TrainingError> {
        let GlobalEffort { length, hidden, layers, windows: together, .. } = effort;
        assert!(length * hidden * layers * together > 0, "{effort:?}");
        let step_ms = windows.first().ok_or(TrainingError::Nothing)?.step_ms();
        assert!(windows.iter().all(|window| window.step_ms() == step_ms), "windows of one step are needed");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let of = |(at, window): (usize, &Window<'_>)| (0..window.series_count()).map(move |s| (at, s));
        let mut order: Vec<(usize, usize)> = windows.iter().enumerate().flat_map(of).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, random.random_range(0..=at));
        }
        let steps = horizon.steps();
        // Of nothing that chooses, and of what moves: most of a fleet may not.
        let past = |(at, s): &(usize, usize)| {
            let values = windows[*at].values(*s);
            &values[..values.len() - choosing(values.len(), steps)]
        };
        let taught: Vec<&[f64]> = order.iter().map(past).filter(|values| moves(values)).take(MOST_TAUGHT).collect();
        let fleet = Fleet::of(usual(&taught, step_ms), &taught, step_ms, steps);
        let lesson = |(at, s): (usize, usize)| Lesson::of(&windows[at], s, length, steps, &fleet);
        let lessons: Vec<Lesson<'a>> = order.into_iter().filter_map(lesson).take(MOST_TAUGHT).collect();
        if lessons.is_empty() {
            return Err(TrainingError::Nothing);
        }
        let meaning = Meaning::of(&effort, steps, step_ms, fleet);
        let (mut choosers, mut begun) = (Windows::default(), Windows::default());
        for lesson in &lessons {
            let end = lesson.values.len();
            for t in spread(lesson.split - 1..end - 1, (CHOOSERS / lessons.len()).max(4)) {
                lesson.show(t, end, effort.length, &mut choosers);
                lesson.show_begun(t, end, &meaning, &mut random, &mut begun);
            }
        }
        let learner = learner(&meaning, seed, device);
        let mut own = Self {
            effort,
            seed,
            lessons,
            choosers,
            begun,
            device: device.clone(),
            learner,
            meaning,
            without: 0.0,
            state: State { step: 0, loss: 0.0, best: 0.0, best_weights: Vec::new(), stalled: 0 },
        };
        // A network begins by saying what is expected without one.
        own.without = own.learner.loss(&own.choosers)?;
        own.state = State { loss: own.without, best: own.without, best_weights: own.learner.weights()?, ..own.state };
        own.device.wait()?;
        Ok(own)
    }

    /// The same, going on where a checkpoint was made, on whatever device.
    ///
    /// # Errors
    /// [`TrainingError`] where that is not one of this training.
    pub fn resume(mut self, checkpoint: &[u8]) -> Result<Self, TrainingError> {
        let body = body_of(checkpoint).map_err(|_| TrainingError::Damaged)?;
        let kept: Checkpoint = postcard::from_bytes(body).map_err(|_| TrainingError::Damaged)?;
        if kept.task != self.task() {
            return Err(TrainingError::Other);
        }
        if !self.learner.resume(&kept.learner) {
            return Err(TrainingError::Damaged);
        }
        self.state = kept.state;
        Ok(self)
    }

    /// What [`Training::resume`] goes on from, to the same bits on one device.
    pub fn checkpoint(&self) -> Vec<u8> {
        let kept = Checkpoint { task: self.task(), state: self.state.clone(), learner: self.learner.bytes() };
        sealed(&postcard::to_stdvec(&kept).expect("memory grows, and every length is known"))
    }

    /// A number that no other training has: of the series, the settings and the seed.
    fn task(&self) -> u32 {
        let frames: Vec<&Frame> = self.lessons.iter().map(|lesson| &lesson.frame).collect();
        let all = (DRAWN_BY, &self.meaning, self.effort, self.seed, frames);
        crc32fast::hash(&postcard::to_stdvec(&all).expect("memory grows, and every length is known"))
    }

    /// Series that are learned of.
    pub fn series_count(&self) -> usize {
        self.lessons.len()
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        let State { step, loss, best, .. } = self.state;
        Progress { step, steps: self.effort.steps, loss, best, without: self.without }
    }

    /// Whether nothing more is to be won.
    pub fn is_done(&self) -> bool {
        self.state.step >= self.effort.steps || self.state.stalled >= PATIENCE
    }

    /// Some steps more, and a look at what they brought.
    ///
    /// # Errors
    /// [`TrainingError::Device`]; what was a checkpoint before can be gone on with.
    pub fn advance(&mut self) -> Result<(), TrainingError> {
        for _ in 0..LOOK_EVERY.min(self.effort.steps - self.state.step) {
            let windows = self.draw(self.state.step as u64);
            self.learner.step(&windows, self.rate());
            self.state.step += 1;
        }
        let loss = self.learner.loss(&self.choosers)?;
        let better = if loss < self.state.best { Some(self.learner.weights()?) } else { None };
        // What a device refused is told of here alone; what was read would be of steps before.
        self.device.wait()?;
        self.state.loss = loss;
        self.state.stalled += 1;
        if let Some(best_weights) = better {
            self.state = State { best: loss, best_weights, stalled: 0, ..self.state };
        } else if !loss.is_finite() {
            self.state.stalled = PATIENCE;
        }
        Ok(())
    }

    /// All that is left of it, and the best network that was come by.
    ///
    /// # Errors
    /// As [`Training::advance`] and [`Training::finish`].
    pub fn run(mut self) -> Result<Network, TrainingError> {
        while !self.is_done() {
            self.advance()?;
        }
        self.finish()
    }

    /// The best network that was come by.
    ///
    /// # Errors
    /// [`TrainingError::Diverged`] where none was better than none, and its loss is no number.
    pub fn finish(self) -> Result<Network, TrainingError> {
        let step = self.state.step;
        let diverged = || TrainingError::Diverged { step };
        if !self.state.loss.is_finite() && self.state.best >= self.without {
            return Err(diverged());
        }
        let network = Network::made(&self.meaning, &self.state.best_weights).map_err(|_| diverged())?;
        let said = network.say(&self.begun.shown, &self.begun.others);
        // Of many series, so that no turn of one is all that came.
        let trust = trust(&said, &self.begun.targets, &knots(self.meaning.horizon), usize::MAX);
        let meaning = Meaning { trust, ..self.meaning };
        Network::made(&meaning, &self.state.best_weights).map_err(|_| diverged())
    }

    fn rate(&self) -> f64 {
        let (step, steps) = (self.state.step as f64, self.effort.steps as f64);
        let rising = ((step + 1.0) / (steps / 20.0)).min(1.0);
        self.effort.rate * rising * 0.5 * (1.0 + (std::f64::consts::PI * step / steps).cos())
    }

    /// Windows of a step: of any series, at any step that does not choose.
    fn draw(&self, step: u64) -> Windows {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(step + 1);
        let mut windows = Windows::default();
        for _ in 0..self.effort.windows {
            let lesson = &self.lessons[random.random_range(0..self.lessons.len())];
            let t = random.random_range(lesson.from..lesson.split - 1);
            let begun = random.random_range(0..BEGUN_EVERY) == 0;
            if !begun || !lesson.show_begun(t, lesson.split, &self.meaning, &mut random, &mut windows) {
                lesson.show(t, lesson.split, self.effort.length, &mut windows);
            }
        }
        windows
    }
}

impl fmt::Debug for Training<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Training").field("meaning", &self.meaning).field("progress", &self.progress()).finish()
    }
}

impl Meaning {
    fn of(effort: &GlobalEffort, horizon: usize, step_ms: i64, fleet: Fleet) -> Self {
        let GlobalEffort { length, hidden, layers, .. } = *effort;
        let trust = vec![None; knots(horizon).len()];
        Self { format: Self::FORMAT, length, hidden, layers, horizon, step_ms, fleet, trust }
    }
}

/// Whether two values differ.
fn moves(values: &[f64]) -> bool {
    let mut seen = values.iter().filter(|y| !y.is_nan());
    seen.next().is_some_and(|first| seen.any(|y| y != first))
}

/// The cycles that a tenth of the series have or more, the most common first.
fn usual(series: &[&[f64]], step_ms: i64) -> Vec<usize> {
    let calendar = calendar(step_ms);
    let found = |values: &&[f64]| detect(values, &calendar);
    let mut all: Vec<usize> = series.iter().flat_map(found).map(|season| season.steps).collect();
    all.sort_unstable();
    let mut runs: Vec<&[usize]> = all.chunk_by(|a, b| a == b).filter(|run| run.len() * 10 >= series.len()).collect();
    runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
    runs.into_iter().map(|run| run[0]).filter(|steps| *steps > 1).collect()
}

#[cfg(test)]
impl Training<'_> {
    pub(super) fn weights(&self) -> Vec<Vec<f32>> {
        self.learner.weights().unwrap()
    }

    /// How far what candle says lies off what burn does on the windows that choose, and the most that is said.
    pub(super) fn served_and_trained(&self) -> (f32, f32) {
        let served = Network::made(&self.meaning, &self.weights()).unwrap();
        let served = served.say(&self.choosers.shown, &self.choosers.others);
        let trained = self.learner.says(&self.choosers);
        assert_eq!(served.len(), trained.len());
        let off = served.iter().zip(&trained).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        (off, served.iter().fold(0.0, |most: f32, value| most.max(value.abs())))
    }
}
