//! The provider's figures: how soon it answers its host, and what it holds in memory for a plan.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::{BenchError, Context, Figures, Scale};

const PROVIDER: &str = "terraform-provider-foreshadow";
const COOKIE: (&str, &str) =
    ("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2");
/// A host's certificate as Terraform makes one, so that the whole of the TLS set-up is timed.
const HOST_PEM: &str = include_str!("../../provider/tests/provider/fixtures/host.pem");

/// Takes `provider.handshake_ms` and `provider.rss_mib`.
///
/// # Errors
/// [`BenchError`] when a program is missing or does not do its part.
pub fn figures(context: &Context, figures: &mut Figures) -> Result<(), BenchError> {
    let runs = if context.scale == Scale::Smoke { 3 } else { 51 };
    figures.add("provider.handshake_ms", handshake_ms(context, runs)?, "ms");
    match plan_peak_mib(context)? {
        Some(peak) => figures.add("provider.rss_mib", peak, "MiB"),
        None => figures.skip("provider.rss_mib", &"terraform is not on PATH"),
    }
    Ok(())
}

/// Median time from starting the provider to its handshake line, certificate and all.
///
/// # Errors
/// [`BenchError`] when it is not built or says anything else.
pub fn handshake_ms(context: &Context, runs: usize) -> Result<f64, BenchError> {
    let program = context.program(PROVIDER)?;
    let certificate = HOST_PEM.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap_or(HOST_PEM);
    let mut spent = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        let mut child = Running(
            Command::new(&program)
                .env(COOKIE.0, COOKIE.1)
                .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
                .env("PLUGIN_CLIENT_CERT", certificate)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(|fault| failed(PROVIDER, &fault))?,
        );
        let line = first_line(&mut child.0)?;
        spent.push(began.elapsed().as_secs_f64() * 1e3);
        if !line.starts_with("1|6|unix|") || line.len() < 300 {
            return Err(failed(PROVIDER, &format!("its handshake line reads {line:?}")));
        }
        let _ = Command::new("kill").arg(child.0.id().to_string()).status(); // so that it removes its socket
        let _ = child.0.wait();
    }
    spent.sort_by(f64::total_cmp);
    Ok(spent[runs / 2])
}

/// Most memory any provider process held during one real plan with one data source that a running
/// engine answers. The provider tells it at its end, in a line that Terraform logs.
///
/// # Errors
/// [`BenchError`] when the engine, the plan or the line is missing; none without terraform.
pub fn plan_peak_mib(context: &Context) -> Result<Option<f64>, BenchError> {
    if Command::new("terraform").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return Ok(None);
    }
    let folder = tempfile::tempdir().map_err(|fault| failed("a temporary folder", &fault))?;
    plan_in(context, folder.path()).map(Some)
}

fn plan_in(context: &Context, folder: &Path) -> Result<f64, BenchError> {
    let platform = format!("{}_{}", std::env::consts::OS, if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
    let package = folder.join("mirror/registry.terraform.io/foreshadow/foreshadow/0.1.0").join(platform);
    std::fs::create_dir_all(&package).map_err(|fault| failed("the mirror", &fault))?;
    std::fs::copy(context.program(PROVIDER)?, package.join("terraform-provider-foreshadow_v0.1.0"))
        .map_err(|fault| failed("the mirror", &fault))?;
    for (name, text) in files(folder) {
        std::fs::write(folder.join(name), text).map_err(|fault| failed(name, &fault))?;
    }
    let mut engine = Running(
        Command::new(context.program("foreshadow")?)
            .args(["serve", "--config", "engine.toml"])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|fault| failed("foreshadow", &fault))?,
    );
    first_line(&mut engine.0)?;
    terraform(folder, &["init"])?;
    terraform(folder, &["plan"])?;
    let log = std::fs::read_to_string(folder.join("terraform.log")).map_err(|fault| failed("terraform", &fault))?;
    let peaks = log.split("peak_kib=").skip(1).filter_map(|rest| {
        rest.split(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse::<f64>().ok()
    });
    let peak = peaks.fold(f64::NAN, f64::max);
    if peak.is_nan() { Err(failed(PROVIDER, &"it told no peak")) } else { Ok(peak / 1024.0) }
}

/// Everything a plan and an engine need: two days of one series that has a daily shape.
fn files(folder: &Path) -> [(&'static str, String); 4] {
    let mut samples = String::from("metric,timestamp,value\n");
    for step in 0..576_i64 {
        let phase = step as f64 / 288.0 * std::f64::consts::TAU;
        let value = 500.0 + 300.0 * phase.sin() + (step * 7_919 % 31) as f64;
        samples += &format!("load,{},{value:.3}\n", 1_767_225_600 + step * 300);
    }
    let socket = folder.join("engine.sock").display().to_string();
    let engine = format!(
        "[source.file]\npath = \"load.csv\"\n[forecast]\nmodels = [\"snaive\"]\n[serve]\ngrpc = \"unix:{socket}\"\nhttp = \"127.0.0.1:0\"\n[[workload]]\nname = \"web\"\ndemand = '{{metric=\"load\"}}'\nunit_capacity = 20.0\nlead_time = \"1h\"\nmax = 1000\n"
    );
    let configuration = format!(
        "terraform {{\n  required_providers {{\n    foreshadow = {{\n      source = \"foreshadow/foreshadow\"\n    }}\n  }}\n}}\nprovider \"foreshadow\" {{\n  endpoint = \"unix:{socket}\"\n}}\ndata \"foreshadow_recommendation\" \"web\" {{\n  workload = \"web\"\n}}\n"
    );
    let settings = format!(
        "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = {:?}\n  }}\n}}\n",
        folder.join("mirror")
    );
    [("load.csv", samples), ("engine.toml", engine), ("main.tf", configuration), ("terraform.rc", settings)]
}

fn terraform(folder: &Path, arguments: &[&str]) -> Result<(), BenchError> {
    let output = Command::new("terraform")
        .args(arguments)
        .arg("-no-color")
        .current_dir(folder)
        .env("TF_CLI_CONFIG_FILE", folder.join("terraform.rc"))
        .env("TF_DATA_DIR", folder.join("data"))
        .env("TF_LOG_PROVIDER", "DEBUG")
        .env("TF_LOG_PATH", folder.join("terraform.log"))
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .map_err(|fault| failed("terraform", &fault))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed("terraform", &String::from_utf8_lossy(&output.stderr)))
}

fn first_line(child: &mut Child) -> Result<String, BenchError> {
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("the caller has piped it");
    BufReader::new(stdout).read_line(&mut line).map_err(|fault| failed("its first line", &fault))?;
    Ok(line)
}

fn failed(program: &str, reason: &dyn std::fmt::Display) -> BenchError {
    BenchError::Program { program: program.into(), reason: reason.to_string() }
}

/// A child that does not outlive its measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
