//! Figures as people and programs read them.

use std::io::Write;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use serde_json::{Value, json};

/// `area.measure: value unit`, one a line, in the order taken; tables and charts of some of them.
#[derive(Debug, Default)]
pub struct Figures {
    rows: Vec<Row>,
    tables: Vec<Table>,
    charts: Vec<Chart>,
}

#[derive(Debug)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
}

/// Figures side by side.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it shows.
    pub title: String,
    /// Heads of its columns.
    pub columns: Vec<String>,
    /// Its cells, one a column; empty where there is no number.
    pub rows: Vec<Vec<String>>,
    /// What must be known to read it.
    pub notes: Vec<String>,
}

/// Curves over one axis, both logarithmic.
#[derive(Clone, Debug)]
pub struct Chart {
    /// What it shows.
    pub title: &'static str,
    /// The horizontal axis.
    pub x: String,
    /// The vertical axis' unit.
    pub y: &'static str,
    /// Names and points.
    pub curves: Vec<(String, Vec<(f64, f64)>)>,
}

impl Figures {
    /// Prints a figure at once and keeps it for the JSON.
    pub fn add(&mut self, name: &str, value: f64, unit: &'static str) {
        let mut out = std::io::stdout().lock();
        // A closed pipe ends nothing here: the JSON is still to be written.
        let _ = writeln!(out, "{name}: {} {unit}", number(value));
        self.rows.push(Row { name: name.into(), value, unit });
    }

    /// Prints what was not taken, and why.
    pub fn skip(&self, name: &str, reason: &dyn std::fmt::Display) {
        println!("skipped: {name}: {reason}");
    }

    /// Prints a table at once and keeps it for the page.
    pub fn table(&mut self, table: Table) {
        let _ = writeln!(std::io::stdout().lock(), "{table}");
        self.tables.push(table);
    }

    /// Keeps a chart for the page; one without curves is left out.
    pub fn chart(&mut self, chart: Chart) {
        if !chart.curves.is_empty() {
            self.charts.push(chart);
        }
    }

    /// The tables, in the order taken.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The charts, in the order taken.
    pub fn charts(&self) -> &[Chart] {
        &self.charts
    }

    /// A figure that was taken.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| row.value)
    }

    /// All figures by name, and under `notes` those of the tables, where there are any.
    pub fn to_json(&self) -> Value {
        let entry = |row: &Row| (row.name.clone(), json!({ "value": row.value, "unit": row.unit }));
        let mut all: serde_json::Map<String, Value> = self.rows.iter().map(entry).collect();
        let notes: Vec<&String> = self.tables.iter().flat_map(|table| &table.notes).collect();
        if !notes.is_empty() {
            all.insert("notes".into(), json!(notes));
        }
        Value::Object(all)
    }
}

impl Table {
    /// An empty one.
    pub fn new<'a>(title: String, columns: impl IntoIterator<Item = &'a str>) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { title, columns, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row of numbers under its name.
    pub fn numbers(&mut self, name: &str, values: &[Option<f64>]) {
        let cell = |value: f64| rounded(value, if value.fract() == 0.0 { 0 } else { 3 });
        let cells = values.iter().map(|value| value.map(cell).unwrap_or_default());
        self.rows.push(std::iter::once(name.to_string()).chain(cells).collect());
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut drawn = comfy_table::Table::new();
        drawn.load_style(UTF8_BORDERS_ONLY);
        drawn.set_header(&self.columns).add_rows(&self.rows);
        writeln!(f, "\n{}\n{drawn}", self.title)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))
    }
}

impl Chart {
    /// One without curves.
    pub fn new(title: &'static str, x: String, y: &'static str) -> Self {
        Self { title, x, y, curves: Vec::new() }
    }

    /// Adds a curve; one without points is left out.
    pub fn curve(&mut self, name: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<(f64, f64)> = points.collect();
        if !points.is_empty() {
            self.curves.push((name.into(), points));
        }
    }
}

/// Three digits after the point, none of a thousand or more.
fn number(value: f64) -> String {
    rounded(value, 3)
}

fn rounded(value: f64, digits: usize) -> String {
    let digits = if value.abs() >= 1000.0 { 0 } else { digits };
    format!("{value:.digits$}")
}
