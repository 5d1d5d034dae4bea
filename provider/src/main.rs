//! The binary Terraform starts. Nothing asynchronous and no connection comes before the handshake line.

use std::error::Error;
use std::iter::successors;
use std::process::ExitCode;
use std::sync::Arc;

use terraform_provider_foreshadow::provider::{ADDRESS, Foreshadow};
use terraform_provider_foreshadow::sdk::handshake::Host;
use terraform_provider_foreshadow::sdk::log::{self, Level};
use terraform_provider_foreshadow::sdk::serve::{self, Mode};

fn main() -> ExitCode {
    let debug = std::env::args().nth(1).is_some_and(|flag| flag == "--debug" || flag == "-debug");
    let (host, mode) = if debug {
        (Host::default(), Mode::Debug { address: ADDRESS })
    } else {
        match Host::from_variables(|name| std::env::var(name).ok()) {
            Ok(host) => (host, Mode::Plugin),
            Err(refused) => {
                eprintln!("{refused}");
                return ExitCode::FAILURE;
            }
        }
    };
    log::catch_panics();
    // One thread serves: calls wait for the engine, they do not compute.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = runtime.map_err(|fault| Box::new(fault) as Box<dyn Error>).and_then(|runtime| {
        runtime.block_on(serve::serve(Arc::new(Foreshadow::default()), host, mode)).map_err(Into::into)
    });
    match served {
        Ok(()) => {
            log::line(Level::Debug, "ended", &[("peak_kib", &peak_kib().unwrap_or_default())]);
            ExitCode::SUCCESS
        }
        Err(fault) => {
            let mut chain = vec![fault.to_string()];
            chain.extend(successors(fault.source(), |&fault| fault.source()).map(ToString::to_string));
            log::line(Level::Error, &chain.join(": "), &[]);
            ExitCode::FAILURE
        }
    }
}

/// The most memory this process has held, where the system tells.
fn peak_kib() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").to_owned())
}
