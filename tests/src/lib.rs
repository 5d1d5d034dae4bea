//! The whole system from outside: what its tests share.

use std::path::{Path, PathBuf};

mod command;
pub mod metric_server;
mod required;
pub mod serving;

pub use command::{Run, foreshadow, run};
pub use required::{Tmpfs, required};

/// The repository's root.
pub fn repository() -> PathBuf {
    // As it is told when run: a build cache that several clones share holds the path of the one that built last.
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from).join("..")
}

/// A program built beside this test.
///
/// # Panics
/// When it was not built, with the command that builds it.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own path");
    let folder = test.parent().and_then(Path::parent).expect("tests lie in a folder of the build folder");
    let path = folder.join(name);
    assert!(path.exists(), "{} is missing: cargo build --release --bin {name}", path.display());
    path
}

/// A file of the real telemetry, or `None` after naming what is skipped.
pub fn telemetry(file: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("FORESHADOW_DATA").map_or_else(|| repository().join("../shared/data"), PathBuf::from);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not here; FORESHADOW_DATA names the folder of the telemetry", path.display());
    None
}
