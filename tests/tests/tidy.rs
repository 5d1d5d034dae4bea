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
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
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

/// Each package with those of ours that it may name in its manifest, for any purpose.
const ARROWS: [(&str, &[&str]); 8] = [
    ("tfplugin6-proto", &[]),
    ("foreshadow-api", &[]),
    ("foreshadow-kernels", &[]),
    ("foreshadow-models", &["foreshadow-kernels"]),
    ("foreshadow", &["foreshadow-api", "foreshadow-kernels", "foreshadow-models"]),
    ("terraform-provider-foreshadow", &["foreshadow-api", "tfplugin6-proto"]),
    ("foreshadow-benches", &["foreshadow", "foreshadow-kernels", "foreshadow-models"]),
    ("foreshadow-tests", &["foreshadow", "foreshadow-api", "foreshadow-kernels", "foreshadow-models"]),
];

#[test]
fn packages_point_one_way() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(repository())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a workspace has packages");
    assert_eq!(packages.len(), ARROWS.len(), "each package stands in ARROWS");
    for package in packages {
        let name = package["name"].as_str().expect("a package has a name");
        let (_, allowed) = ARROWS.iter().find(|(known, _)| *known == name).expect("each package stands in ARROWS");
        for dependency in package["dependencies"].as_array().expect("a package lists its dependencies") {
            let used = dependency["name"].as_str().expect("a dependency has a name");
            let ours = ARROWS.iter().any(|(known, _)| *known == used);
            assert!(!ours || allowed.contains(&used), "{name} names {used}");
        }
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
        "SystemClock",
        "std::process",
        "std::env",
        "use std::{",
    ];
    let allowed = [
        "kernels/src/device", // FORESHADOW_REQUIRE_DEVICES, for tests
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
    for (name, text) in ["kernels/src", "models/src", "engine/src"].into_iter().flat_map(sources) {
        let is_test = name.ends_with("/tests.rs") || name.contains("/tests/");
        if allowed.iter().any(|allowed| name.starts_with(allowed)) || is_test {
            continue;
        }
        let met: Vec<_> = outside.iter().filter(|word| product(&text).contains(**word)).collect();
        assert!(met.is_empty(), "{name} meets the outside: {met:?}");
    }
}

/// The engine's modules with those that each may use; a stage knows only what is made on its left.
const STAGES: [(&str, &[&str]); 22] = [
    ("batch", &[]),
    ("bytes", &[]),
    ("clock", &[]),
    ("main", &[]),
    ("observe", &[]),
    ("telemetry", &[]),
    ("families", &["telemetry"]),
    ("ui", &[]),
    ("worker", &[]),
    ("config", &["families", "telemetry"]),
    ("reading", &["config", "telemetry"]),
    ("simulate", &["telemetry"]),
    ("issue", &["bytes"]),
    ("live", &["bytes", "issue"]),
    ("explain", &["issue", "ui"]),
    ("store", &["bytes", "issue", "live"]),
    ("aggregate", &["config", "telemetry"]),
    ("act", &["aggregate", "config", "issue", "telemetry"]),
    (
        "pipeline",
        &["act", "aggregate", "batch", "clock", "config", "families", "issue", "live", "reading", "telemetry"],
    ),
    (
        "service",
        &["act", "clock", "config", "explain", "issue", "live", "observe", "store", "telemetry", "ui", "worker"],
    ),
    (
        "cli",
        &[
            "act",
            "aggregate",
            "batch",
            "clock",
            "config",
            "explain",
            "families",
            "issue",
            "live",
            "observe",
            "pipeline",
            "reading",
            "service",
            "simulate",
            "store",
            "telemetry",
            "ui",
        ],
    ),
    ("lib", &[]),
];

#[test]
fn stages_of_the_engine_point_one_way() {
    for (name, text) in sources("engine/src") {
        if name.ends_with("/tests.rs") || name.contains("/tests/") {
            continue; // a test may set a stage up from its right
        }
        let path = name.strip_prefix("engine/src/").expect("listed from there");
        let own = path.split(['/', '.']).next().expect("a path has a beginning");
        let stage = STAGES.iter().find(|(stage, _)| *stage == own);
        let (_, allowed) = stage.unwrap_or_else(|| panic!("{name} belongs to no stage: add it to STAGES"));
        for after in product(&text).split("crate::").skip(1) {
            assert!(!after.starts_with('{'), "{name}: name a stage after crate::, one a line");
            let used =
                after.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().expect("a split has a part");
            let is_stage = STAGES.iter().any(|(stage, _)| *stage == used);
            assert!(!is_stage || used == own || allowed.contains(&used), "{name} uses {used}");
        }
    }
}

/// Names of the functions at the top of a file that its crate may call from elsewhere.
fn functions(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let rest = line.strip_prefix("pub ").or(line.strip_prefix("pub(crate) "))?;
        let (before, name) = rest.split_once("fn ")?;
        let only_words = before.chars().all(|c| c.is_ascii_lowercase() || c == ' ');
        only_words.then(|| name.split(['<', '(']).next().expect("a split has a part").to_string())
    };
    product(text).lines().filter_map(name).collect()
}

#[test]
fn every_kernel_operation_has_its_twins() {
    let kernels = sources("kernels/src");
    let in_file = |path: String| kernels.iter().find(|(name, _)| *name == path).map(|(_, text)| functions(text));
    let mut operations = 0;
    for (name, text) in &kernels {
        let Some(path) = name.strip_prefix("kernels/src/cpu/") else { continue };
        let file = path.strip_suffix(".rs").expect("a source's name ends so");
        let ours = functions(text);
        if file.contains('/') {
            assert!(ours.is_empty(), "{name} is a part of the operation whose folder it lies in, yet offers {ours:?}");
            continue;
        }
        assert!(!ours.is_empty(), "{name} holds no operation");
        let twins = |side: &str| in_file(format!("kernels/src/{side}/{file}.rs")).unwrap_or_default();
        let contract = in_file(format!("kernels/src/{file}.rs")).unwrap_or_default();
        let (references, on_gpu) = (twins("reference"), twins("gpu"));
        for operation in &ours {
            let full = format!("{file}::{operation}");
            assert!(contract.contains(operation), "{full} has no contract in kernels/src/{file}.rs");
            assert!(references.contains(operation), "{full} has no reference of its name");
            let call = format!("reference::{full}(");
            assert!(kernels.iter().any(|(_, text)| text.contains(&call)), "no test compares {full} with its reference");
            assert!(on_gpu.contains(operation), "{full} has no GPU twin");
        }
        let strangers: Vec<_> = on_gpu.difference(&ours).collect();
        assert!(strangers.is_empty(), "gpu/{file}.rs offers {strangers:?}, which the CPU does not do");
        operations += ours.len();
    }
    assert!(operations >= 10, "only {operations} operations were found");
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
