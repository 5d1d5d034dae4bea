//! How people are shown things: numbers and tables in text, and pages that hold everything they need, so that they open
//! without a network.

use comfy_table::{ContentArrangement, Table, presets};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use plotly::color::Rgba;
use plotly::common::{DashType, Fill, Font, HoverInfo, Line, Mode, Orientation};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, HoverMode, Legend, Margin, RangeMode};
use plotly::{Configuration, Layout, Plot, Scatter};

/// Colours of what was observed, and of shadows.
pub(crate) const OBSERVED: &str = "#334155";
pub(crate) const SHADOW: &str = "#2563eb";
const HEIGHT: usize = 300;

/// A page of its own with the style of reports and what draws their plots.
pub(crate) fn page(title: &str, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Foreshadow: " (title) }
                style { (PreEscaped(include_str!("ui/report.css"))) }
                (PreEscaped(Plot::offline_js_sources()))
            }
            body { main { (content) } }
        }
    }
}

/// A plot in a page; `id` is its own there.
pub(crate) fn drawn(plot: &Plot, id: &str) -> Markup {
    html! { div class="plot" { (PreEscaped(plot.to_inline_html(Some(id)))) } }
}

/// A plot over time without anything in it.
pub(crate) fn framed() -> Plot {
    let mut plot = Plot::new();
    plot.set_layout(layout(Axis::new().type_(AxisType::Date)));
    plot.set_configuration(configuration());
    plot
}

/// How every plot looks.
pub(crate) fn layout(x: Axis) -> Layout {
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
pub(crate) fn configuration() -> Configuration {
    Configuration::new().responsive(true).display_logo(false).display_mode_bar(DisplayModeBar::False)
}

/// A line over times in milliseconds since the epoch.
pub(crate) fn line(
    x: Vec<i64>,
    y: Vec<f64>,
    name: &str,
    colour: &'static str,
    dash: DashType,
) -> Box<Scatter<i64, f64>> {
    Scatter::new(x, y).name(name).mode(Mode::Lines).line(Line::new().color(colour).width(1.6).dash(dash))
}

/// Two lines without ink and what lies between them.
pub(crate) fn band(plot: &mut Plot, x: &[i64], low: &[f64], high: &[f64], name: &str) {
    let edge = |y: &[f64]| Scatter::new(x.to_vec(), y.to_vec()).mode(Mode::Lines).line(Line::new().width(0.0));
    plot.add_trace(edge(low).show_legend(false).hover_info(HoverInfo::Skip));
    let fill = Rgba::new(37, 99, 235, 0.16);
    plot.add_trace(edge(high).name(name).fill(Fill::ToNextY).fill_color(fill).hover_info(HoverInfo::Skip));
}

/// A table for people under a header, as wide as their terminal.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// A number with as many digits as a person reads; a dash where there is none.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".into(),
        Some(0.0) => "0".into(),
        Some(value) if (0.01..1e6).contains(&value.abs()) => {
            let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 5) as usize;
            format!("{value:.digits$}")
        }
        Some(value) => format!("{value:.3e}"),
    }
}

/// A length of time in its largest whole unit.
pub(crate) fn span(ms: i64) -> String {
    for (unit, name) in
        [(604_800_000, "week"), (86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")]
    {
        if ms >= unit && ms % unit == 0 {
            let count = ms / unit;
            return if count == 1 { format!("1 {name}") } else { format!("{count} {name}s") };
        }
    }
    format!("{ms} ms")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_digits() {
        for (value, shown) in [
            (0.0, "0"),
            (1.0, "1.000"),
            (-12.345, "-12.35"),
            (123_456.7, "123457"),
            (0.0123, "0.01230"),
            (2e9, "2.000e9"),
        ] {
            assert_eq!(number(Some(value)), shown);
        }
        assert_eq!(number(None), "–");
    }
}
