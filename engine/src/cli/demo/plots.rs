//! The report's plots: observed values, the shadow's band, what lay outside it, what comes next.

use plotly::color::Rgba;
use plotly::common::{DashType, Fill, Font, HoverInfo, Line, Marker, Mode, Orientation};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, BarMode, HoverMode, Legend, Margin, RangeMode};
use plotly::{Bar, Configuration, Layout, Plot, Scatter};

use super::analysis::{Curve, Finding};
use super::capacity::{RegionSum, Sizing};
use crate::issue::Shadow;

const OBSERVED: &str = "#334155";
const SHADOW: &str = "#2563eb";
const ALARM: &str = "#dc2626";
const CAPACITY: &str = "#0d9488";
const MUTED: &str = "#cbd5e1";
const HEIGHT: usize = 300;

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

fn framed() -> Plot {
    let mut plot = Plot::new();
    plot.set_layout(layout(Axis::new().type_(AxisType::Date)));
    plot.set_configuration(configuration());
    plot
}

fn layout(x: Axis) -> Layout {
    Layout::new()
        .height(HEIGHT)
        .margin(Margin::new().left(56).right(16).top(8).bottom(36))
        .font(Font::new().family("system-ui, sans-serif").size(12).color(OBSERVED))
        .hover_mode(HoverMode::XUnified)
        .paper_background_color("rgba(0,0,0,0)")
        .plot_background_color("rgba(0,0,0,0)")
        .legend(Legend::new().orientation(Orientation::Horizontal).y(1.14).x(0.0))
        .x_axis(x.grid_color("#eef2f7"))
        .y_axis(Axis::new().grid_color("#eef2f7").zero_line(false).range_mode(RangeMode::Normal))
}

fn configuration() -> Configuration {
    Configuration::new().responsive(true).display_logo(false).display_mode_bar(DisplayModeBar::False)
}

fn line(x: Vec<i64>, y: Vec<f64>, name: &str, colour: &'static str, dash: DashType) -> Box<Scatter<i64, f64>> {
    Scatter::new(x, y).name(name).mode(Mode::Lines).line(Line::new().color(colour).width(1.6).dash(dash))
}

/// Two lines without ink and what lies between them.
fn band(plot: &mut Plot, x: &[i64], low: &[f64], high: &[f64], name: &str) {
    let edge = |y: &[f64]| Scatter::new(x.to_vec(), y.to_vec()).mode(Mode::Lines).line(Line::new().width(0.0));
    plot.add_trace(edge(low).show_legend(false).hover_info(HoverInfo::Skip));
    let fill = Rgba::new(37, 99, 235, 0.16);
    plot.add_trace(edge(high).name(name).fill(Fill::ToNextY).fill_color(fill).hover_info(HoverInfo::Skip));
}
