//! What keeps the tree in its shape: arrows between packages and stages, a reference for each kernel
//! operation, files that tell one story.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use foreshadow_tests::repository;

const FOLDERS: [&str; 6] = ["kernels", "models", "engine", "provider", "benches", "tests"];

/// Rust sources under a folder of the repository, with their path from its root.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a source folder can be listed") {
            let path = entry.expect("a source folder can be listed").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = repository();
    let mut paths = Vec::new();
    walk(&root.join(folder), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.strip_prefix(&root).expect("walked from the root").display().to_string();
        (name, std::fs::read_to_string(path).expect("a source file is UTF-8"))
    };
    paths.iter().map(read).collect()
}

/// The part of a file before its tests.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

/// Everything a package compiles in, from `cargo tree`.
fn compiled_by(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--prefix", "none", "--edges", "normal,build", "--package", package])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| Some(line.split(' ').next()?.to_string())).collect()
}

#[test]
fn packages_point_one_way() {
    let ours = [
        ("tfplugin6-proto", &[][..]),
        ("foreshadow-api", &[]),
        ("foreshadow-kernels", &[]),
        ("foreshadow-models", &["foreshadow-kernels"]),
        ("foreshadow", &["foreshadow-api", "foreshadow-kernels", "foreshadow-models"]),
        ("terraform-provider-foreshadow", &["foreshadow-api", "tfplugin6-proto"]),
    ];
    for (package, allowed) in ours {
        let compiled = compiled_by(package);
        assert!(compiled.contains(package), "cargo tree names {package} itself");
        let others = ours.iter().map(|(other, _)| *other).filter(|other| *other != package);
        let wrong: Vec<_> = others.filter(|other| compiled.contains(*other) && !allowed.contains(other)).collect();
        assert!(wrong.is_empty(), "{package} compiles {wrong:?}");
    }
}

#[test]
fn clients_link_no_gpu_and_no_neural_network() {
    for package in ["foreshadow-api", "terraform-provider-foreshadow", "tfplugin6-proto"] {
        let heavy = ["cubecl", "burn", "candle", "wgpu", "cudarc"];
        let met: Vec<_> =
            compiled_by(package).into_iter().filter(|name| heavy.iter().any(|h| name.starts_with(h))).collect();
        assert!(met.is_empty(), "{package} compiles {met:?}");
    }
}

#[test]
fn network_disk_and_clock_are_met_only_where_they_belong() {
    let outside = [
        "std::fs",
        "File::open",
        "std::net",
        "tokio::net",
        "tokio::fs",
        "UnixListener",
        "SystemTime",
        "Instant::now",
        "reqwest::",
        "Timestamp::now()",
    ];
    let allowed = [
        "engine/src/main.rs",
        "engine/src/cli",
        "engine/src/config",
        "engine/src/clock.rs",
        "engine/src/telemetry",
        "engine/src/store",
        "engine/src/act/executors",
        "engine/src/notify",
        "engine/src/region/transport",
        "engine/src/service",
    ];
    for (name, text) in sources("models/src").into_iter().chain(sources("engine/src")) {
        if allowed.iter().any(|allowed| name.starts_with(allowed)) || name.contains("tests") {
            continue;
        }
        let met: Vec<_> = outside.iter().filter(|word| product(&text).contains(**word)).collect();
        assert!(met.is_empty(), "{name} meets the outside: {met:?}");
    }
}

/// Names of the public functions of a file.
fn functions(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let rest = line.strip_prefix("pub fn ").or(line.strip_prefix("pub(crate) fn "))?;
        Some(rest.split(['<', '(']).next()?.to_string())
    };
    product(text).lines().filter_map(name).collect()
}

/// Whole searches, which the CPU alone does so far: they have a reference but no GPU twin, as the README's limits
/// say.
const CPU_ALONE: [&str; 2] = ["ets_fit.rs", "shrink.rs"];

#[test]
fn every_kernel_operation_has_its_twins() {
    let references = sources("kernels/src/reference");
    let mut operations = 0;
    for (name, text) in sources("kernels/src/cpu") {
        let file = name.rsplit('/').next().expect("a path ends in a name");
        if name.matches('/').count() > 3 {
            continue; // a part of the operation whose folder it lies in
        }
        operations += 1;
        let twin = references.iter().find(|(reference, _)| reference.ends_with(&format!("/{file}")));
        let (_, reference) = twin.unwrap_or_else(|| panic!("{name} has no reference of its name"));
        let (ours, theirs) = (functions(&text), functions(reference));
        assert!(!ours.is_disjoint(&theirs), "{name} and its reference share no function: {ours:?} against {theirs:?}");
        let on_gpu = repository().join("kernels/src/gpu").join(file).exists();
        assert_ne!(on_gpu, CPU_ALONE.contains(&file), "{name}: a GPU twin exactly where CPU_ALONE does not name it");
    }
    assert!(operations >= 6, "only {operations} operations were found");
}

#[test]
fn gpu_code_never_falls_back_to_the_cpu() {
    for (name, text) in sources("kernels/src/gpu") {
        for other in ["cpu::", "reference::"] {
            assert!(!product(&text).contains(other), "{name} calls {other}");
        }
    }
}

#[test]
fn files_tell_one_story() {
    // Functions are held to 70 lines by clippy's too_many_lines, which clippy.toml sets.
    for (name, text) in FOLDERS.into_iter().flat_map(sources) {
        let lines = text.lines().count();
        assert!(lines <= 500, "{name} has {lines} lines; split it by subject");
    }
}

#[test]
fn nothing_unfinished_is_left_in_the_tree() {
    let marks = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("TO", "DO")];
    for (name, text) in FOLDERS.into_iter().flat_map(sources) {
        let found: Vec<_> = marks.iter().filter(|mark| text.contains(**mark)).collect();
        assert!(found.is_empty(), "{name} holds {found:?}");
    }
}
