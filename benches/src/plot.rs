//! The figures beside their goals, as a page that opens with no internet.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotly::common::{Marker, Mode, Orientation, Title};
use plotly::layout::{Axis, AxisType, Margin, Shape, ShapeLine, ShapeType};
use plotly::{Bar, Layout, Plot, Scatter};

use crate::{Chart, Figures, Table};

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

/// The figures with a goal beside it, and the tables and charts of the run.
pub fn page(figures: &Figures) -> String {
    let html = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Foreshadow: figures" }
                style { (PreEscaped(STYLE)) }
                (PreEscaped(Plot::offline_js_sources()))
            }
            body {
                @if let Some(goals) = goals(figures) { (PreEscaped(goals.to_inline_html(Some("goals")))) }
                @for (index, chart) in figures.charts().iter().enumerate() {
                    (PreEscaped(drawn(chart).to_inline_html(Some(&format!("chart{index}")))))
                }
                @for own in figures.tables() {
                    h2 { (own.title) }
                    (table(own))
                }
            }
        }
    };
    html.into_string()
}

const STYLE: &str = "body { font: 14px sans-serif } td, th { padding: 2px 10px; text-align: right } \
    td:first-child, th:first-child { text-align: left } tr:nth-child(even) { background: #f3f4f6 }";

fn table(table: &Table) -> Markup {
    html! {
        table {
            thead { tr { @for column in &table.columns { th { (column) } } } }
            tbody { @for row in &table.rows { tr { @for cell in row { td { (cell) } } } } }
        }
        @if !table.notes.is_empty() {
            details {
                summary { (table.notes.len()) " notes: what was left out, and why" }
                ul { @for note in &table.notes { li { (note) } } }
            }
        }
    }
}

/// Curves with their points, both axes logarithmic.
fn drawn(chart: &Chart) -> Plot {
    let mut plot = Plot::new();
    for (name, points) in &chart.curves {
        let (x, y): (Vec<f64>, Vec<f64>) = points.iter().copied().unzip();
        plot.add_trace(Scatter::new(x, y).name(name).mode(Mode::LinesMarkers));
    }
    let axis = |name: &str| Axis::new().type_(AxisType::Log).title(Title::with_text(name));
    plot.set_layout(Layout::new().title(Title::with_text(chart.title)).x_axis(axis(&chart.x)).y_axis(axis(chart.y)));
    plot
}

/// How many times better than its goal each figure is, on a logarithmic axis; one is the goal itself. `None` where no figure
/// with a goal was taken.
fn goals(figures: &Figures) -> Option<Plot> {
    let met = |(name, at_least, goal): &(&str, bool, f64)| {
        let value = figures.get(name)?;
        let times = if *at_least { value / goal } else { goal / value };
        Some((format!("{name}: {value:.4} (goal {} {goal})", if *at_least { "≥" } else { "≤" }), times))
    };
    let (names, times): (Vec<String>, Vec<f64>) = GOALS.iter().rev().filter_map(met).unzip();
    if names.is_empty() {
        return None;
    }
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
    Some(plot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_its_tables_and_charts_and_asks_nothing_of_the_network() {
        let mut figures = Figures::default();
        let mut table = Table::new("Ours & theirs".into(), ["contender", "MASE"]);
        table.numbers("theta", &[Some(1.25)]);
        table.numbers("peer", &[None]);
        table.notes.push("peer: too slow".into());
        figures.table(table);
        let mut chart = Chart::new("Cost by length", "steps".into(), "ms");
        chart.curve("theta", [(168.0, 0.5), (672.0, 2.0)].into_iter());
        chart.curve("no-such-curve", std::iter::empty());
        figures.chart(chart);
        figures.chart(Chart::new("Cost of nothing", "steps".into(), "ms"));
        let page = page(&figures);
        for held in
            ["Ours &amp; theirs", "<td>1.250</td>", "<td></td>", "peer: too slow", "Cost by length", "id=\"chart0\""]
        {
            assert!(page.contains(held), "{held}");
        }
        assert!(
            page.contains("<summary>1 notes") && !page.contains("Cost of nothing") && !page.contains("id=\"goals\"")
        );
        assert!(!page.contains("no-such-curve") && !page.contains("<script src="));
    }
}
