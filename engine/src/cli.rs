//! The command line: what may be asked, and how an answer or a failure is shown.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

mod backtest;
mod demo;
mod doctor;
mod explain;
mod failure;
mod fleet;
mod forecast;
mod memory;
mod output;
mod progress;
mod regressors;
mod serve;
mod settings;
mod simulate;
mod splits;
mod train;

pub use failure::{Exit, Failure};

use crate::config::Override;
use crate::observe;

/// Forecasts of every metric of a fleet, and the capacity they call for.
///
/// Point it at a table of samples or a Prometheus server; each command explains itself with --help.
#[derive(Debug, Parser)]
#[command(name = "foreshadow", version, propagate_version = true, after_help = failure::EXITS, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the main job on data that comes with the program
    Demo(demo::Args),
    /// Forecast every series from its last sample on
    Forecast(forecast::Args),
    /// Tell how good forecasts would have been at past cutoffs
    Backtest(backtest::Args),
    /// Train one network for a whole fleet, which forecasts series that it never saw
    Train(train::Args),
    /// Tell why a series is forecast as it is, and which families would like to
    Explain(explain::Args),
    /// Write a simulated fleet as a table
    Simulate(simulate::Args),
    /// Serve shadows and capacity over gRPC, until told to stop
    Serve(ServeArgs),
    /// Tell what this machine has and what could be installed
    Doctor(doctor::Args),
    /// Print the commented default configuration
    #[command(after_help = "Example: foreshadow config > foreshadow.toml")]
    Config,
    /// Print completions for a shell
    #[command(
        after_help = "Example: foreshadow completions bash > ~/.local/share/bash-completion/completions/foreshadow"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Flags of `foreshadow serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = SERVE_EXAMPLES)]
struct ServeArgs {
    /// Where gRPC is served, a loopback address or unix:/path [default: 127.0.0.1:7460]
    #[arg(long, value_name = "ADDRESS")]
    grpc: Option<String>,
    /// Where /metrics, /healthz, /readyz and /explain are served [default: 127.0.0.1:7461]
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Folder of issues and decisions, made when missing [default: foreshadow-store]
    #[arg(long, value_name = "FOLDER")]
    store: Option<String>,
    /// How log lines on standard error look
    #[arg(long, value_enum, default_value_t)]
    log_format: observe::LogFormat,
    #[command(flatten)]
    settings: settings::Settings,
}

const SERVE_EXAMPLES: &str = "Examples:
  foreshadow serve --config foreshadow.toml
  foreshadow serve --input metrics.parquet --grpc unix:/run/foreshadow.sock --store /var/lib/foreshadow

It listens on this machine only. Once it accepts it prints one line: serving grpc=ADDRESS http=ADDRESS. \
SIGTERM and SIGINT let answers in flight finish.";

impl ServeArgs {
    fn flags(&self) -> Vec<Override> {
        let flags = [
            ("--grpc", "serve.grpc", &self.grpc),
            ("--http", "serve.http", &self.http),
            ("--store", "store.path", &self.store),
        ];
        flags.into_iter().filter_map(|(flag, key, value)| Some(Override::flag(flag, key, value.clone()?))).collect()
    }
}

/// Runs the command line of this process and tells how it ended. The whole chain of a failure is printed
/// once, here.
pub fn main() -> ExitCode {
    failure::print_plainly_where_nobody_looks();
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit().into()
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Forecast(args) => forecast::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Serve(args) => {
            observe::start_logging(args.log_format);
            Ok(serve::run(&args.settings.load_with(&args.flags())?)?)
        }
        Command::Doctor(args) => doctor::run(&args),
        Command::Config => output::print(crate::config::DEFAULT),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "foreshadow", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
