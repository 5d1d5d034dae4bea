//! An explanation in words, as a plot of dots, and as a page.

use maud::{Markup, html};
use plotly::common::DashType;

use super::{Explanation, Family};
use crate::issue::rfc3339;
use crate::ui::{OBSERVED, SHADOW, band, drawn, framed, line, number, page, span, table};

/// Dots across and down a plot in a terminal; four by two make a character.
const DOTS: (u32, u32) = (180, 60);

impl Explanation {
    /// What is told in a terminal.
    pub fn text(&self) -> String {
        self.told() + &self.dots()
    }

    /// A page with the plot and everything that is told in a terminal.
    pub fn page(&self) -> Markup {
        let (past, values, ahead) = self.times();
        let mut plot = framed();
        if let (Some(low), Some(high)) = (&self.low95, &self.high95) {
            band(&mut plot, &ahead, low, high, "95 % band");
        }
        plot.add_trace(line(ahead, self.mean.clone(), "shadow", SHADOW, DashType::Solid));
        if !values.is_empty() {
            plot.add_trace(line(past, values.to_vec(), "observed", OBSERVED, DashType::Solid));
        }
        let content = html! {
            h2 { (self.series) }
            (drawn(&plot, "shadow"))
            pre { (self.told()) }
        };
        page(&self.series, &content)
    }

    /// What is told in words and tables.
    fn told(&self) -> String {
        let mut out = self.beginning();
        out += &format!("served by {}", self.champion);
        if let Some(learned) = &self.learned {
            let parts = learned.parts.iter().map(|part| format!("{} {:.0} %", part.name, 100.0 * part.weight));
            if learned.parts.len() > 1 {
                out += &format!(": {}", list(parts));
            }
            if let Some(fallback) = &learned.fallback {
                out += &format!(" ({fallback})");
            }
        }
        out.push('\n');
        if let Some(held_out) = &self.held_out {
            out += &format!(
                "on {} folds held out: MASE {}, seasonal naive {}; the 95 % band held {:.1} %\n",
                held_out.folds,
                number(held_out.mase),
                number(held_out.mase_seasonal_naive),
                held_out.coverage95_percent
            );
        }
        out + &self.compared() + &self.changes()
    }

    fn beginning(&self) -> String {
        let (end, step) = (rfc3339(self.cutoff_ms), span(self.step_ms));
        let mut out = format!("{}\n", self.series);
        if let Some(learned) = &self.learned {
            let start = rfc3339(self.cutoff_ms - (learned.steps as i64 - 1) * self.step_ms);
            let (steps, missing) = (learned.steps, learned.missing_steps);
            out += &format!("{steps} steps of {step}, {missing} missing, {start} to {end}\n");
            out += &learned.read_as_text;
            let seasons = learned.seasons.iter().map(|steps| span(*steps as i64 * self.step_ms));
            out += &format!("seasons: {}\n", list(seasons));
        }
        if let Some(issued) = &self.issued {
            let steps = self.mean.len();
            out += &format!("issue {}: {steps} steps of {step} after {end}\n", issued.issue);
        }
        out
    }

    /// Every family beside the champion.
    fn compared(&self) -> String {
        if self.families.is_empty() {
            return "\nNo family is followed live: auto follows those that it picks from.\n".into();
        }
        // A service that has picked nothing by folds of its own has a column less.
        let folds = self.families.iter().any(|family| family.error_on_folds.is_some());
        let told = |cells: [String; 4]| {
            cells.into_iter().enumerate().filter(|(at, _)| folds || *at != 1).map(|(_, cell)| cell).collect::<Vec<_>>()
        };
        let header = told(["family", "error on folds", "error live", "beside the champion's"].map(String::from));
        let mut rows = table(&header.iter().map(String::as_str).collect::<Vec<_>>());
        let own = self.families.iter().find(|family| family.name == self.champion).and_then(|own| own.error_live);
        for family in &self.families {
            let beside = match (family.error_live, own) {
                _ if family.name == self.champion => "serves".into(),
                (Some(error), Some(own)) if own > 0.0 => format!("{:+.0} %", 100.0 * (error / own - 1.0)),
                _ => "–".into(),
            };
            let [on_folds, live] = [family.error_on_folds, family.error_live].map(number);
            rows.add_row(told([family.name.clone(), on_folds, live, beside]));
        }
        let behind = match &self.learned {
            Some(learned) => {
                let spacing = span(learned.issue_spacing_steps as i64 * self.step_ms);
                let (folds, issues) = (learned.picking_folds, learned.issues);
                format!("Picked on {folds} folds. Live: {issues} issues, {spacing} apart, each judged by what came.")
            }
            None => "Live: what every issue expected, judged by what came.".into(),
        };
        let unjudged = |own: &Family| own.error_live.is_none() || folds && own.error_on_folds.is_none();
        let dashes = match own.is_none() || self.families.iter().any(unjudged) {
            true => "–: nothing to compare; a family failed on a fold, had too few of them or is not followed live.\n",
            false => "",
        };
        format!("\n{rows}\n{behind}\n{dashes}")
    }

    fn changes(&self) -> String {
        let mut out = String::from("\n");
        if let Some(times) = self.trouble {
            out += &format!("The champion errs {times:.2} times as much as usual.\n");
        }
        if self.switches.is_empty() {
            out += match &self.learned {
                Some(_) => "No change of family over these issues.\n",
                None => "No change of family so far.\n",
            };
        }
        for switch in &self.switches {
            out += &format!("{} {} → {}: {}\n", rfc3339(switch.cutoff_ms), switch.from, switch.to, switch.reason);
        }
        out
    }

    /// Times and values of the newest history, then times of the forecast.
    fn times(&self) -> (Vec<i64>, &[f64], Vec<i64>) {
        let values = self.learned.as_ref().map_or(&[][..], |learned| &learned.newest);
        let time = |step: i64| self.cutoff_ms + step * self.step_ms;
        let past = (1 - values.len() as i64..=0).map(time).collect();
        (past, values, (1..=self.mean.len() as i64).map(time).collect())
    }

    /// The newest history, the mean and the 95 % band as a plot of dots.
    fn dots(&self) -> String {
        use textplots::{Chart, Plot, Shape};
        let (past, values, ahead) = self.times();
        let hours = |ms: i64| ((ms - self.cutoff_ms) as f64 / 3_600_000.0) as f32;
        let points = |times: &[i64], values: &[f64]| -> Vec<(f32, f32)> {
            let both = times.iter().zip(values).filter(|(_, value)| value.is_finite());
            both.map(|(time, value)| (hours(*time), *value as f32)).collect()
        };
        let (observed, mean) = (points(&past, values), points(&ahead, &self.mean));
        let edge = |band: &Option<Vec<f64>>| band.as_ref().map(|band| points(&ahead, band)).unwrap_or_default();
        let (low, high) = (edge(&self.low95), edge(&self.high95));
        let (Some(first), Some(last)) = (past.first().or(ahead.first()), ahead.last()) else { return String::new() };
        if mean.is_empty() || first == last {
            return String::new();
        }
        let mut chart = Chart::new(DOTS.0, DOTS.1, hours(*first), hours(*last));
        let lines = [Shape::Lines(&observed), Shape::Lines(&mean), Shape::Points(&low), Shape::Points(&high)];
        let drawn = lines.iter().fold(&mut chart, |chart, shape| chart.lineplot(shape));
        drawn.axis();
        drawn.figures();
        format!("\nhours from the last sample; beyond it the mean and the 95 % band\n{drawn}")
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    if items.is_empty() { "none".into() } else { items.join(", ") }
}
