//! What is being done, on standard error, when a person looks at it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foreshadow_models::Panel;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A spinner with what is being done; it is gone when dropped and invisible where no terminal is.
pub(super) struct Step(ProgressBar);

impl Step {
    pub(super) fn new(message: impl Into<String>) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::default_spinner()); // a bar of unknown length would stand empty
        bar.set_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// What is being done from here on.
    pub(super) fn tell(&self, message: String) {
        self.0.set_message(message);
    }

    /// From here on it is known how much there is to do.
    pub(super) fn set(&self, done: usize, total: usize) {
        if self.0.length() != Some(total as u64) {
            let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
            self.0.set_style(style.expect("the template is spelled in this program"));
            self.0.set_length(total as u64);
        }
        self.0.set_position(done as u64);
    }
}

/// One bar over all series of a fleet, panel by panel.
pub(super) struct FleetStep {
    step: Step,
    series_count: usize,
    /// Series of the panels that are done with.
    passed: AtomicUsize,
}

impl FleetStep {
    pub(super) fn new(message: impl Into<String>, series_count: usize) -> Self {
        Self { step: Step::new(message), series_count, passed: AtomicUsize::new(0) }
    }

    /// Prints something else where the bar is drawn.
    pub(super) fn aside<R>(&self, print: impl FnOnce() -> R) -> R {
        self.step.0.suspend(print)
    }

    /// How much is done of the panel in hand, of how much.
    pub(super) fn set(&self, panel: &Panel, done: usize, total: usize) {
        let own = panel.series_count() * done.min(total) / total.max(1);
        self.step.set(self.passed.load(Ordering::Relaxed) + own, self.series_count);
    }

    /// The panel in hand is done with.
    pub(super) fn pass(&self, panel: &Panel) {
        let passed = self.passed.fetch_add(panel.series_count(), Ordering::Relaxed) + panel.series_count();
        self.step.set(passed, self.series_count);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bar_goes_over_the_whole_fleet() {
        let step = FleetStep::new("forecasting", 10);
        let panel = |count: usize| {
            let mut panel = Panel::new(1_000);
            (0..count).for_each(|series| panel.push(series.to_string(), 0, &[1.0]));
            panel
        };
        let at = || (step.step.0.position(), step.step.0.length());
        step.set(&panel(4), 3, 6);
        assert_eq!(at(), (2, Some(10)));
        step.pass(&panel(4));
        assert_eq!(at(), (4, Some(10)));
        step.set(&panel(6), 9, 6); // fewer batches were announced than were needed
        assert_eq!(at(), (10, Some(10)));
    }
}
