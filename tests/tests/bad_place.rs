//! Addresses, stores and disks that cannot be used: the exit code, and the place in the message.

use std::fs::{self, File};
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use foreshadow_tests::{Run, Tmpfs, foreshadow, program};
use tempfile::TempDir;

fn small_table(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("small.csv");
    fs::write(&path, "timestamp,value\n60,1\n120,2\n180,4\n240,3\n").unwrap();
    path
}

fn serve(store: &Path, input: &Path, further: &[&str]) -> Run {
    let (store, input) = (store.to_str().unwrap(), input.to_str().unwrap());
    let fixed = ["serve", "--store", store, "--input", input, "--horizon", "3", "--models", "naive"];
    foreshadow(&[&fixed, further].concat())
}

#[test]
fn an_address_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = small_table(&folder);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let store = folder.path().join("store");
    for addresses in [["--grpc", &address, "--http", "127.0.0.1:0"], ["--grpc", "127.0.0.1:0", "--http", &address]] {
        serve(&store, &input, &addresses).assert_failed(6, &[&format!("{address} is in use"), "port 0"]);
    }
}

#[test]
fn a_socket_that_cannot_be_made_is_a_setting_to_mend() {
    let folder = tempfile::tempdir().unwrap();
    let input = small_table(&folder);
    let store = folder.path().join("store");
    let nowhere = format!("unix:{}", folder.path().join("no/such/engine.sock").display());
    let run = serve(&store, &input, &["--grpc", &nowhere, "--http", "127.0.0.1:0"]);
    run.assert_failed(4, &[&nowhere, "No such file"]);
}

#[test]
fn a_store_on_a_disk_that_is_full_or_read_only_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let input = small_table(&folder);
    let addresses = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    for options in ["size=64k", "ro"] {
        let Some(disk) = Tmpfs::mount(&folder.path().join(options.replace('=', "-")), options) else { continue };
        let run = serve(&disk.path().join("store"), &input, &addresses);
        run.assert_failed(7, &[disk.path().to_str().unwrap()]);
    }
}

#[test]
fn a_report_that_cannot_be_written_is_told_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(&folder.path().join("disk"), "ro") else { return };
    let report = disk.path().join("report.html");
    let report = report.to_str().unwrap();
    let began = Instant::now();
    let run = foreshadow(&["demo", "--device", "cpu", "--report", report]);
    run.assert_failed(7, &[&format!("cannot write the report {report}"), "Read-only file system", "--report"]);
    assert!(run.out.is_empty(), "{}", run.out);
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}

#[test]
fn a_fleet_that_finds_no_room_is_named_by_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Tmpfs::mount(&folder.path().join("disk"), "size=16k") else { return };
    for name in ["fleet.csv", "fleet.csv.gz", "fleet.parquet"] {
        let out = disk.path().join(name);
        let out = out.to_str().unwrap();
        let run = foreshadow(&["simulate", "--workloads", "1", "--days", "7", "--out", out]);
        run.assert_failed(7, &[&format!("cannot write {out}"), "No space left on device", "has room"]);
        fs::remove_file(out).unwrap();
    }
    let nowhere = folder.path().join("no/such/fleet.csv");
    let run = foreshadow(&["simulate", "--workloads", "1", "--days", "1", "--out", nowhere.to_str().unwrap()]);
    run.assert_failed(3, &[nowhere.to_str().unwrap(), "No such file"]);
}

#[test]
fn an_answer_that_finds_no_room_is_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let input = small_table(&folder);
    let of_input = |command| vec![command, "--input", input.to_str().unwrap(), "--models", "naive", "--horizon", "1"];
    let of_input_as = |command, format| [of_input(command), vec!["--output", format]].concat();
    let mut asked = vec![vec!["config"], vec!["completions", "bash"]];
    for format in ["table", "csv", "json"] {
        asked.extend(["forecast", "backtest"].map(|command| of_input_as(command, format)));
    }
    for arguments in asked {
        let full = File::create("/dev/full").unwrap();
        let run = Command::new(program("foreshadow")).args(&arguments).stdout(full).output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(7), "{arguments:?}: {said}");
        assert!(said.contains("cannot write the output") && !said.contains("panicked"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_store_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let input = small_table(&folder);
    let store = folder.path().join("store");
    let addresses = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let mut first = Command::new(program("foreshadow"))
        .args(["serve", "--models", "naive", "--horizon", "3", "--store"])
        .args([&store, Path::new("--input"), &input])
        .args(addresses)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = [0; 8];
    first.stdout.take().unwrap().read_exact(&mut line).unwrap(); // it says "serving …" once it does
    let second = serve(&store, &input, &addresses);
    first.kill().unwrap();
    first.wait().unwrap();
    second.assert_failed(6, &["is open in another process", "--store"]);
}
