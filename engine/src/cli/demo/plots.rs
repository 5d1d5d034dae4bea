//! The report's plots: observed values, the shadow's band, what lay outside it, what comes next.

use plotly::common::{DashType, Marker, Mode};
use plotly::layout::{Axis, BarMode};
use plotly::{Bar, Plot, Scatter};

use super::analysis::{Curve, Finding};
use super::capacity::{RegionSum, Sizing};
use crate::issue::Shadow;
use crate::ui::{OBSERVED, SHADOW, band, configuration, framed, layout, line};

const ALARM: &str = "#dc2626";
const CAPACITY: &str = "#0d9488";
const MUTED: &str = "#cbd5e1";

/// A series' newest days, the shadow of its last one, and the anomalies in it.
pub(super) fn last_day(finding: &Finding) -> Plot {
    let shown = &finding.shown;
    let ahead: Vec<i64> = (0..shown.mean.len()).map(|step| time(shown, shown.cutoff + step)).collect();
    let mut plot = framed();
    band(&mut plot, &ahead, &shown.low, &shown.high, "95 % band");
    plot.add_trace(line(ahead, shown.mean.clone(), "shadow", SHADOW, DashType::Solid));
    let times: Vec<i64> = (0..shown.values.len()).map(|step| time(shown, step)).collect();
    let inside = |time: &i64| finding.episodes.iter().any(|e| (e.start_ms..=e.end_ms).contains(time));
    let (odd_times, odd): (Vec<i64>, Vec<f64>) =
        times.iter().zip(&shown.values).filter(|(time, _)| inside(time)).map(|(time, value)| (*time, *value)).unzip();
    plot.add_trace(line(times, shown.values.clone(), "observed", OBSERVED, DashType::Solid));
    if !odd.is_empty() {
        let marks = Scatter::new(odd_times, odd).name("anomaly").mode(Mode::Markers);
        plot.add_trace(marks.marker(Marker::new().color(ALARM).size(6)));
    }
    plot
}

/// A workload's demand, its next day, and the load that what runs and what is recommended would carry.
pub(super) fn next_day(history: &Curve, shadow: &Shadow, sizing: &Sizing) -> Plot {
    let evidence = &sizing.recommendation.evidence;
    let ahead: Vec<i64> = (0..shadow.steps()).map(|step| shadow.time_ms(step)).collect();
    let quantile = |level: f64| -> Vec<f64> {
        (0..shadow.steps()).map(|step| shadow.quantile_at(level, step).unwrap_or(f64::NAN)).collect()
    };
    let mut plot = framed();
    band(&mut plot, &ahead, &quantile(0.1), &quantile(0.9), "80 % band");
    let mean = (0..shadow.steps()).map(|step| shadow.mean(step)).collect();
    let times: Vec<i64> = (0..history.values.len()).map(|step| time(history, step)).collect();
    let ends = vec![times.first().copied().unwrap_or_default(), ahead.last().copied().unwrap_or_default()];
    plot.add_trace(line(ahead, mean, "next day", SHADOW, DashType::Solid));
    plot.add_trace(line(times, history.values.clone(), "observed", OBSERVED, DashType::Solid));
    let carries = |replicas: i64| replicas as f64 * evidence.unit_capacity * evidence.target;
    for (name, replicas, colour) in [
        ("planned load of what runs", sizing.workload.replicas, ALARM),
        ("of what is recommended", sizing.recommendation.replicas, CAPACITY),
    ] {
        let label = format!("{name} ({replicas})");
        plot.add_trace(line(ends.clone(), vec![carries(replicas); 2], &label, colour, DashType::Dash));
    }
    plot
}

/// Replicas now and recommended, region by region.
pub(super) fn regions(sums: &[RegionSum]) -> Plot {
    let names: Vec<String> = sums.iter().map(|sum| sum.region.clone()).collect();
    let bar = |values: Vec<i64>, name: &str, colour: &'static str| {
        Bar::new(names.clone(), values).name(name).marker(Marker::new().color(colour))
    };
    let mut plot = Plot::new();
    plot.add_trace(bar(sums.iter().map(|sum| sum.now).collect(), "replicas now", MUTED));
    plot.add_trace(bar(sums.iter().map(|sum| sum.recommended).collect(), "recommended", SHADOW));
    plot.set_layout(layout(Axis::new()).bar_mode(BarMode::Group));
    plot.set_configuration(configuration());
    plot
}

fn time(curve: &Curve, step: usize) -> i64 {
    curve.start_ms + step as i64 * curve.step_ms
}
