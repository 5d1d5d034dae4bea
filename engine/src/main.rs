//! The binary `foreshadow`; everything lies in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    foreshadow::cli::main()
}
