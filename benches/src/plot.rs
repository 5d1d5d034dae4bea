//! The figures beside their goals, as a page that opens with no internet.

use plotly::common::{Marker, Orientation, Title};
use plotly::layout::{Axis, AxisType, Margin, Shape, ShapeLine, ShapeType};
use plotly::{Bar, Layout, Plot};

use crate::Figures;

/// A figure's goal: at least (`true`) or at most (`false`) this; one with both ends stands twice.
const GOALS: [(&str, bool, f64); 14] = [
    ("prophet.series_per_second", true, 20_000.0),
    ("prophet.objective_not_worse_percent", true, 100.0),
    ("ets.series_per_second", true, 10_000.0),
    ("ets.likelihood_parity_percent", true, 99.0),
    ("score.tick_100k_ms", false, 20.0),
    ("demo.seconds", false, 30.0),
    ("demo.peak_mib", false, 1_024.0),
    ("m4.auto_mase", false, 0.90),
    ("m4.snaive_mase", true, 1.0725),
    ("m4.snaive_mase", false, 1.0735),
    ("m4.coverage95_percent", true, 90.0),
    ("m4.coverage95_percent", false, 98.0),
    ("provider.handshake_ms", false, 10.0),
    ("provider.rss_mib", false, 15.0),
];

/// How many times better than its goal each figure is, on a logarithmic axis; one is the goal itself.
pub fn page(figures: &Figures) -> String {
    let met = |(name, at_least, goal): &(&str, bool, f64)| {
        let value = figures.get(name)?;
        let times = if *at_least { value / goal } else { goal / value };
        Some((format!("{name}: {value:.4} (goal {} {goal})", if *at_least { "≥" } else { "≤" }), times))
    };
    let (names, times): (Vec<String>, Vec<f64>) = GOALS.iter().rev().filter_map(met).unzip();
    let colours: Vec<&str> = times.iter().map(|times| if *times >= 1.0 { "#2563eb" } else { "#dc2626" }).collect();
    let bars = Bar::new(times, names).orientation(Orientation::Horizontal).marker(Marker::new().color_array(colours));
    let goal = Shape::new().shape_type(ShapeType::Line).x0(1).x1(1).y0(0).y1(1).y_ref("paper");
    let mut plot = Plot::new();
    plot.add_trace(bars);
    plot.set_layout(
        Layout::new()
            .title(Title::with_text("Figures against their goals, times better (1 is the goal)"))
            .x_axis(Axis::new().type_(AxisType::Log))
            .margin(Margin::new().left(420))
            .shapes(vec![goal.line(ShapeLine::new().color("#111827"))]),
    );
    plot.to_html()
}
