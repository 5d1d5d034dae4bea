//! What a test needs of the machine and may not find: it is named as skipped, and in CI it fails where it could have
//! been had.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs that tests run beside our own, and how each is installed.
const PROGRAMS: [(&str, &str); 4] = [
    ("prometheus", "apt-get install prometheus"),
    ("promtool", "apt-get install prometheus"),
    ("chromium", "apt-get install chromium"),
    ("terraform", "https://developer.hashicorp.com/terraform/install"),
];

/// Whether a program is on PATH. Where it is not, the part of the tests that needs it is named as skipped.
///
/// # Panics
/// When it is absent in CI though a package holds it, and when [`PROGRAMS`] does not know it.
pub fn required(program: &str, part: &str) -> bool {
    let (_, install) = PROGRAMS.iter().find(|(known, _)| *known == program).expect("PROGRAMS knows what tests run");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let here = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    here || skip(part, install, install.starts_with("apt-get "))
}

/// Names a part as skipped and what would let it run.
///
/// # Panics
/// In CI when that can be had there.
fn skip(part: &str, remedy: &str, can_be_had: bool) -> bool {
    println!("skipped: {part}: {remedy}");
    let in_ci = std::env::var_os("CI").is_some_and(|ci| !ci.is_empty());
    assert!(!(in_ci && can_be_had), "CI leaves nothing out, and {part} could run: {remedy}");
    false
}

/// A small file system of a test's own, unmounted when dropped.
#[derive(Debug)]
pub struct Tmpfs(PathBuf);

impl Tmpfs {
    /// Mounts it at a folder, made when missing; `None` after naming what is skipped where this user may not mount.
    ///
    /// # Panics
    /// When the folder cannot be made.
    pub fn mount(folder: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).expect("a test's own folder can be made");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder).output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(folder.into()));
        }
        skip(&format!("a disk with {options}"), "mounting a tmpfs needs root", false);
        None
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.0).status().is_ok_and(|status| status.success());
        // A test that fails already has more to say than this.
        assert!(unmounted || std::thread::panicking(), "{} stays mounted", self.0.display());
    }
}
