//! `m4.*`: accuracy on the 100 M4 hourly series with the official split.

use crate::program::run_json;
use crate::{BenchError, Context, Figures};

/// Runs `foreshadow backtest` for seasonal naive and for automatic selection.
///
/// # Errors
/// [`BenchError`] when the telemetry or the program is missing, or the program fails.
pub fn run(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let naive = backtest(context, "snaive")?;
    figures.add("m4.snaive_mase", number(&naive, "/mase")?, "");
    let auto = backtest(context, "auto")?;
    figures.add("m4.auto_mase", number(&auto, "/mase")?, "");
    figures.add("m4.coverage95_percent", number(&auto, "/coverage/95")?, "%");
    figures.add("m4.auto_fallbacks", number(&auto, "/fallback")?, "series");
    figures.add("m4.auto_seconds", number(&auto, "/seconds")?, "s");
    Ok(())
}

fn backtest(context: &Context, models: &str) -> Result<serde_json::Value, BenchError> {
    let (input, splits) = (context.telemetry("m4_hourly.parquet")?, context.telemetry("splits.csv")?);
    let (input, splits) = (input.display().to_string(), splits.display().to_string());
    let arguments = ["backtest", "--input", &input, "--splits", &splits, "--horizon", "48", "--mase-season", "24"];
    let arguments = [&arguments[..], &["--models", models, "--output", "json"]].concat();
    Ok(run_json(&context.program("foreshadow")?, &arguments, &std::env::temp_dir())?.output)
}

fn number(value: &serde_json::Value, pointer: &str) -> Result<f64, BenchError> {
    let found = value.pointer(pointer).and_then(serde_json::Value::as_f64);
    found.ok_or_else(|| BenchError::Program {
        program: "foreshadow backtest".into(),
        reason: format!("its JSON has no number at {pointer}"),
    })
}
