//! What a bank learns from, how hard it tries and how it ends.

/// One network's series.
#[derive(Clone, Copy, Debug)]
pub struct LstmSeries<'a> {
    /// `[steps, inputs]`: what each step shows, finite.
    pub inputs: &'a [f32],
    /// `[steps, targets]`: what is right of each step; NaN where it is not known.
    pub targets: &'a [f32],
    /// Steps that training sees. Those after it choose among its weights; no window of training reaches into them.
    pub learned_steps: usize,
    /// What its windows are drawn by.
    pub seed: u32,
}

/// How a bank is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LstmEffort {
    /// Steps of a window.
    pub length: usize,
    /// Windows of a step of training.
    pub windows: usize,
    /// Steps of training at most.
    pub steps: usize,
    /// Adam's rate to begin with.
    pub rate: f32,
    /// Longest gradient that is taken as it is.
    pub clip: f32,
    /// Steps of training between two looks at the rest.
    pub look_every: usize,
    /// Looks without a gain that end it.
    pub patience: usize,
}

impl Default for LstmEffort {
    fn default() -> Self {
        Self { length: 48, windows: 64, steps: 200, rate: 0.01, clip: 1.0, look_every: 10, patience: 5 }
    }
}

/// How a network's training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LstmEnd {
    /// All steps were taken.
    Done,
    /// The rest of the series gained nothing for as long as was waited.
    Stopped,
    /// The loss or its gradient was no number any more.
    Diverged,
    /// No window of it fits into what is to be learned, or no target of one is known: the weights are as they were.
    Nothing,
}

/// What a bank learned.
#[derive(Clone, Debug, PartialEq)]
pub struct LstmFit {
    /// `[series, weights]`: those that were best on what training did not see, or the last where nothing of that is known.
    pub weights: Vec<f32>,
    /// The mean loss of these there; NaN where nothing is known there.
    pub loss: Vec<f64>,
    /// Steps of training that each took.
    pub steps: Vec<u32>,
    /// How each ended.
    pub end: Vec<LstmEnd>,
}
