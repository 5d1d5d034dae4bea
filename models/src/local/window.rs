//! A window on the clocks of its place, and the way back to real time.

use std::sync::Arc;

use super::WallClock;
use crate::{FitStatus, Forecast, Horizon, Panel, PredictError, Window};

/// Clocks are put back by no more than this: a day where a place changes sides of the date line.
const LONGEST_SHIFT_MS: i64 = 26 * 3_600_000;

/// A window's series as their place's clocks show them, local time being taken for UTC. An hour that is skipped is not
/// observed, one that comes twice is the mean of both. Steps that the clocks' shifts are no multiple of go to the
/// nearest local step, from exactly between two to the earlier.
#[derive(Debug)]
pub struct Local {
    panel: Panel,
    way: Way,
}

/// From local steps ahead back to real ones.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    clock: Arc<WallClock>,
    step_ms: i64,
    places: Vec<Place>,
}

/// Where one series ends.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The first real step ahead, UTC.
    end_ms: i64,
    /// Local time of the local grid's step 0.
    anchor_ms: i64,
    /// The local grid's first step ahead.
    end: i64,
}

impl Place {
    fn step_of(&self, local_ms: i64, step_ms: i64) -> i64 {
        (local_ms - self.anchor_ms + (step_ms - 1) / 2).div_euclid(step_ms)
    }
}

impl Local {
    /// The window on its clocks; `None` where it is to be read as UTC.
    ///
    /// Inside an hour that comes twice, local steps that are still to be forecast were observed once: those are left
    /// out, so that what is forecast is ahead of what is seen.
    pub fn of(window: &Window<'_>) -> Option<Self> {
        let clock = window.clock()?.clone();
        let step_ms = window.step_ms();
        let mut panel = Panel::new(step_ms);
        let mut places = Vec::with_capacity(window.series_count());
        for s in 0..window.series_count() {
            let (start_ms, end_ms) = (window.start_ms(s), window.end_ms(s));
            // Of the whole panel, so that earlier windows of it lie on the same grid.
            let anchor_ms = clock.local_ms(window.panel_start_ms(s));
            let mut place = Place { end_ms, anchor_ms, end: 0 };
            place.end = first_ahead(&clock, &place, step_ms);
            let step = |at: usize| place.step_of(clock.local_ms(start_ms + at as i64 * step_ms), step_ms);
            let seen = window.values(s).iter().enumerate().filter(|(_, value)| !value.is_nan());
            let seen: Vec<(i64, f64)> =
                seen.map(|(at, value)| (step(at), *value)).filter(|(step, _)| *step < place.end).collect();
            let first = seen.iter().map(|(step, _)| *step).min().unwrap_or(place.end);
            let mut sums = vec![(0.0, 0_u32); (place.end - first) as usize];
            for (step, value) in seen {
                let (sum, count) = &mut sums[(step - first) as usize];
                (*sum, *count) = (*sum + value, *count + 1);
            }
            let mean = |(sum, count): &(f64, u32)| if *count == 1 { *sum } else { sum / f64::from(*count) };
            let values: Vec<f64> = sums.iter().map(mean).collect();
            panel.push_to_the_end(window.name(s).into(), anchor_ms + first * step_ms, &values);
            panel.limit(s, window.limits(s).moved(|at_ms| clock.local_ms(at_ms)));
            places.push(place);
        }
        Some(Self { panel, way: Way { clock, step_ms, places } })
    }

    /// Its series, with times as the clocks show them.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// The clocks.
    pub fn clock(&self) -> &WallClock {
        &self.way.clock
    }

    /// Local steps that must be forecast for `horizon` real ones of every series.
    pub fn horizon(&self, horizon: Horizon) -> Horizon {
        self.way.horizon(horizon)
    }

    /// The same of one series.
    pub fn horizon_of(&self, series: usize, horizon: Horizon) -> usize {
        self.way.steps(series, horizon)
    }

    pub(crate) fn into_way(self) -> Way {
        self.way
    }
}

/// The local step of the first real step ahead, or of a later one where clocks are put back to before it.
fn first_ahead(clock: &WallClock, place: &Place, step_ms: i64) -> i64 {
    let end_ms = place.end_ms;
    // The first real step at or after a change.
    let after = |at_ms: i64| end_ms + (at_ms - end_ms + step_ms - 1).div_euclid(step_ms) * step_ms;
    let changes = clock.changes_between(end_ms, end_ms + LONGEST_SHIFT_MS).map(after);
    let steps = changes.chain([end_ms]).map(|utc_ms| place.step_of(clock.local_ms(utc_ms), step_ms));
    steps.min().expect("the end itself is one")
}

impl Way {
    /// The local step ahead that a real step ahead of a series lies at, both from 0.
    pub(crate) fn local_step(&self, series: usize, step: usize) -> usize {
        let place = &self.places[series];
        let local_ms = self.clock.local_ms(place.end_ms + step as i64 * self.step_ms);
        usize::try_from(place.step_of(local_ms, self.step_ms) - place.end).unwrap_or(0)
    }

    fn steps(&self, series: usize, horizon: Horizon) -> usize {
        let last = (0..horizon.steps()).map(|step| self.local_step(series, step)).max();
        last.map_or(1, |last| last + 1)
    }

    pub(crate) fn horizon(&self, horizon: Horizon) -> Horizon {
        let steps = (0..self.places.len()).map(|series| self.steps(series, horizon)).max().unwrap_or(horizon.steps());
        Horizon::new(steps).expect("every horizon has a last step")
    }

    /// A forecast of local steps at real ones: a skipped hour is left out, one that comes twice is told twice.
    pub(crate) fn back(&self, local: &Forecast, horizon: Horizon) -> Forecast {
        let mut forecast = Forecast::empty(self.places.len(), horizon, local.quantiles().clone());
        for series in 0..self.places.len() {
            let steps: Vec<usize> = (0..horizon.steps()).map(|step| self.local_step(series, step)).collect();
            let take = |to: &mut [f64], from: &[f64]| to.iter_mut().zip(&steps).for_each(|(to, at)| *to = from[*at]);
            take(forecast.mean_mut(series), local.mean(series));
            for index in 0..local.quantiles().levels().len() {
                take(forecast.quantile_mut(series, index), local.quantile(series, index));
            }
        }
        forecast
    }

    /// Statuses with real times.
    pub(crate) fn statuses(&self, local: &[FitStatus]) -> Vec<FitStatus> {
        let real = |status: &FitStatus| match status {
            FitStatus::Input { name, at_ms } => {
                FitStatus::Input { name: name.clone(), at_ms: self.clock.utc_ms(*at_ms) }
            }
            other => other.clone(),
        };
        local.iter().map(real).collect()
    }

    /// An error with a real time.
    pub(crate) fn error(&self, local: PredictError) -> PredictError {
        match local {
            PredictError::Input { family, name, series, at_ms } => {
                PredictError::Input { family, name, series, at_ms: self.clock.utc_ms(at_ms) }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{HOUR, summer};
    use super::*;
    use crate::Quantiles;

    /// A panel on the clocks of [`summer`] whose value is the hour of UTC.
    fn panel(hours: std::ops::Range<i64>, step_ms: i64) -> Panel {
        let steps = (hours.end - hours.start) * HOUR / step_ms;
        let values: Vec<f64> =
            (0..steps).map(|step| (hours.start * HOUR + step * step_ms) as f64 / HOUR as f64).collect();
        let mut panel = Panel::new(step_ms);
        panel.push("a".into(), hours.start * HOUR, &values);
        panel.with_clock(Some(Arc::new(summer())))
    }

    fn horizon(steps: usize) -> Horizon {
        Horizon::new(steps).unwrap()
    }

    /// What comes back of a forecast that says of every local step which local hour it is.
    fn shown(local: &Local, steps: usize) -> Vec<i64> {
        let ahead = local.horizon(horizon(steps));
        let mut forecast = Forecast::empty(1, ahead, Quantiles::new(vec![0.5]).unwrap());
        let window = local.panel().window();
        let hour = |step: usize| (window.end_ms(0) + step as i64 * window.step_ms()) as f64 / HOUR as f64;
        let hours: Vec<f64> = (0..ahead.steps()).map(hour).collect();
        forecast.mean_mut(0).copy_from_slice(&hours);
        forecast.quantile_mut(0, 0).copy_from_slice(&hours);
        let back = local.way.back(&forecast, horizon(steps));
        assert_eq!(back.mean(0), back.quantile(0, 0));
        back.mean(0).iter().map(|hour| *hour as i64).collect()
    }

    #[test]
    fn the_skipped_hour_is_not_observed_and_the_repeated_one_is_a_mean() {
        let local = Local::of(&panel(98..202, HOUR).window()).unwrap();
        let (panel, values) = (local.panel(), local.panel().values(0));
        assert_eq!(panel.start_ms(0), 99 * HOUR);
        assert_eq!(values[..2], [98.0, 99.0]);
        assert!(values[2].is_nan(), "the clocks never showed 101");
        assert_eq!((values[3], values[101], values[102]), (100.0, 198.0, 199.5));
        assert_eq!((values.len(), values[103]), (104, 201.0));
    }

    #[test]
    fn a_forecast_leaves_the_skipped_hour_out_and_tells_the_repeated_one_twice() {
        let spring = Local::of(&panel(0..98, HOUR).window()).unwrap();
        assert_eq!((shown(&spring, 4), spring.horizon_of(0, horizon(4))), (vec![99, 100, 102, 103], 5));
        let autumn = Local::of(&panel(102..198, HOUR).window()).unwrap();
        assert_eq!((shown(&autumn, 4), autumn.horizon_of(0, horizon(4))), (vec![200, 201, 201, 202], 3));
    }

    #[test]
    fn a_cutoff_at_the_edge_of_the_skipped_hour_forecasts_what_comes_after_it() {
        let local = Local::of(&panel(0..100, HOUR).window()).unwrap();
        assert_eq!(shown(&local, 2), [102, 103]);
    }

    #[test]
    fn a_cutoff_inside_the_repeated_hour_forecasts_no_step_that_it_has_seen() {
        let quarter = HOUR / 4;
        let whole = panel(190..203, quarter);
        for past in 0..8 {
            let end = 9 * 4 + 1 + past; // from 199:00 on: the clocks show 201:00 to 201:45, and again
            let window = whole.window_until(|_| end);
            let local = Local::of(&window).unwrap();
            let times: Vec<i64> = (0..10)
                .map(|step| {
                    let place = local.panel().window().end_ms(0) + local.way.local_step(0, step) as i64 * quarter;
                    assert_eq!(place, summer().local_ms(window.end_ms(0) + step as i64 * quarter), "{past} {step}");
                    place
                })
                .collect();
            assert!(times.iter().all(|time| *time >= local.panel().window().end_ms(0)));
            let seen = local.panel().values(0).len() as i64;
            let lost = end as i64 - seen;
            assert!(lost <= 4, "an hour at most is left out: {lost}");
        }
    }

    #[test]
    fn steps_that_do_not_divide_the_shift_go_to_the_nearest() {
        let minutes = 60_000;
        for step_ms in [7 * minutes, 25 * minutes, 2 * HOUR, 24 * HOUR] {
            let whole = panel(0..480, step_ms);
            let window = whole.window_until(|_| (150 * HOUR / step_ms) as usize);
            let local = Local::of(&window).unwrap();
            let ahead = (100 * HOUR / step_ms) as usize;
            for step in 0..ahead {
                let place = local.panel().window().end_ms(0) + local.way.local_step(0, step) as i64 * step_ms;
                let wanted = summer().local_ms(window.end_ms(0) + step as i64 * step_ms);
                assert!((place - wanted).abs() <= step_ms / 2, "{step_ms}: {place} for {wanted}");
            }
        }
    }

    #[test]
    fn half_an_hour_of_shift_moves_half_hours_and_leaves_hours_where_they_are() {
        let clock = Arc::new(WallClock::new("Lord Howe", 21 * HOUR / 2, vec![(100 * HOUR, 11 * HOUR)]));
        let half = HOUR / 2;
        let on_clock = |panel: Panel| Local::of(&panel.with_clock(Some(clock.clone())).window()).unwrap();
        let fine = on_clock(panel(99..102, half));
        let values = fine.panel().values(0);
        assert_eq!((values.len(), values[1]), (7, 99.5));
        assert!(values[2].is_nan() && values[3] == 100.0, "one half hour was skipped");
        let coarse = on_clock(panel(99..102, HOUR));
        assert_eq!(coarse.panel().values(0), [99.0, 100.0, 101.0]);
    }

    #[test]
    fn clocks_that_never_change_move_the_times_alone() {
        let mut panel = panel(0..50, HOUR);
        let tokyo = Arc::new(WallClock::new("Tokyo", 9 * HOUR, Vec::new()));
        panel = panel.with_clock(Some(tokyo));
        let local = Local::of(&panel.window()).unwrap();
        assert_eq!((local.panel().values(0), local.panel().start_ms(0)), (panel.values(0), 9 * HOUR));
        assert_eq!(local.horizon(horizon(7)), horizon(7));
        assert!(Local::of(&panel.with_clock(None).window()).is_none());
    }
}
