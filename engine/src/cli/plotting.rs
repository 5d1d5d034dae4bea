//! What reports and their plots have in common: one HTML file with everything in it, so that it opens without a network.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotly::color::Rgba;
use plotly::common::{DashType, Fill, Font, HoverInfo, Line, Mode, Orientation};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, HoverMode, Legend, Margin, RangeMode};
use plotly::{Configuration, Layout, Plot, Scatter};

/// Colours of what was observed, and of shadows.
pub(super) const OBSERVED: &str = "#334155";
pub(super) const SHADOW: &str = "#2563eb";
const HEIGHT: usize = 300;

/// A page of its own with the style of reports and what draws their plots.
pub(super) fn page(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Foreshadow: " (title) }
                style { (PreEscaped(include_str!("report.css"))) }
                (PreEscaped(Plot::offline_js_sources()))
            }
            body { main { (content) } }
        }
    }
}

/// A plot in a page; `id` is its own there.
pub(super) fn drawn(plot: &Plot, id: &str) -> Markup {
    html! { div class="plot" { (PreEscaped(plot.to_inline_html(Some(id)))) } }
}

/// A plot over time without anything in it.
pub(super) fn framed() -> Plot {
    let mut plot = Plot::new();
    plot.set_layout(layout(Axis::new().type_(AxisType::Date)));
    plot.set_configuration(configuration());
    plot
}

/// How every plot looks.
pub(super) fn layout(x: Axis) -> Layout {
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

/// What a reader can do with a plot.
pub(super) fn configuration() -> Configuration {
    Configuration::new().responsive(true).display_logo(false).display_mode_bar(DisplayModeBar::False)
}

/// A line over times in milliseconds since the epoch.
pub(super) fn line(
    x: Vec<i64>,
    y: Vec<f64>,
    name: &str,
    colour: &'static str,
    dash: DashType,
) -> Box<Scatter<i64, f64>> {
    Scatter::new(x, y).name(name).mode(Mode::Lines).line(Line::new().color(colour).width(1.6).dash(dash))
}

/// Two lines without ink and what lies between them.
pub(super) fn band(plot: &mut Plot, x: &[i64], low: &[f64], high: &[f64], name: &str) {
    let edge = |y: &[f64]| Scatter::new(x.to_vec(), y.to_vec()).mode(Mode::Lines).line(Line::new().width(0.0));
    plot.add_trace(edge(low).show_legend(false).hover_info(HoverInfo::Skip));
    let fill = Rgba::new(37, 99, 235, 0.16);
    plot.add_trace(edge(high).name(name).fill(Fill::ToNextY).fill_color(fill).hover_info(HoverInfo::Skip));
}
