//! Figures as people and programs read them.

use std::io::Write;

use serde_json::{Value, json};

/// `area.measure: value unit`, one a line, in the order taken.
#[derive(Debug, Default)]
pub struct Figures {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figures {
    /// Prints a figure at once and keeps it for the JSON.
    pub fn add(&mut self, name: &str, value: f64, unit: &'static str) {
        let digits = if value.abs() >= 1000.0 { 0 } else { 3 };
        let mut out = std::io::stdout().lock();
        // A closed pipe ends nothing here: the JSON is still to be written.
        let _ = writeln!(out, "{name}: {value:.digits$} {unit}");
        self.rows.push(Row { name: name.into(), value, unit });
    }

    /// Prints what was not taken, and why.
    pub fn skip(&self, name: &str, reason: &dyn std::fmt::Display) {
        println!("skipped: {name}: {reason}");
    }

    /// A figure that was taken.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.rows.iter().find(|row| row.name == name).map(|row| row.value)
    }

    /// All figures by name.
    pub fn to_json(&self) -> Value {
        let entry = |row: &Row| (row.name.clone(), json!({ "value": row.value, "unit": row.unit }));
        Value::Object(self.rows.iter().map(entry).collect())
    }
}
