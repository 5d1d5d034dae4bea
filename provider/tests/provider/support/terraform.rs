//! The real `terraform`, in a folder of its own: its own mirror, settings, data and temporary folder,
//! and no word with the network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A workspace on disk.
pub(crate) struct Terraform {
    folder: TempDir,
}

/// What a run said.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) output: String,
}

impl Run {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "terraform said:\n{}", self.output);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        // Terraform wraps prose at a frame's width, so words are compared without their breaks.
        let words = |text: &str| text.replace(['│', '╷', '╵'], " ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&self.output).contains(&words(text)), "{text:?} is not in:\n{}", self.output);
        self
    }
}

impl Terraform {
    /// A workspace whose mirror holds `provider`, or none where there is no terraform: then the test
    /// names itself skipped, and in CI fails.
    pub(crate) fn new(provider: &Path) -> Option<Self> {
        if Command::new("terraform").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "terraform is not on PATH, and CI skips nothing");
            println!("skipped: terraform is not on PATH");
            return None;
        }
        let this = Self { folder: tempfile::tempdir().unwrap() };
        let platform =
            format!("{}_{}", std::env::consts::OS, if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" });
        let package = this.path("mirror/registry.terraform.io/foreshadow/foreshadow/0.1.0").join(platform);
        fs::create_dir_all(&package).unwrap();
        fs::copy(provider, package.join("terraform-provider-foreshadow_v0.1.0")).unwrap();
        for folder in ["work", "tmp"] {
            fs::create_dir(this.path(folder)).unwrap();
        }
        let mirror = this.path("mirror");
        let settings = format!(
            "disable_checkpoint = true\nprovider_installation {{\n  filesystem_mirror {{\n    path = {mirror:?}\n  }}\n}}\n"
        );
        fs::write(this.path("terraform.rc"), settings).unwrap();
        Some(this)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, with the provider required, and initialises once.
    pub(crate) fn write(&self, configuration: &str) {
        let required = r#"terraform {
  required_providers {
    foreshadow = {
      source = "foreshadow/foreshadow"
    }
  }
}
"#;
        fs::write(self.path("work/main.tf"), format!("{required}{configuration}")).unwrap();
        if !self.path("data").exists() {
            self.run(&["init"]).expect(0);
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        for (name, _) in std::env::vars() {
            if name.starts_with("TF_") || name.starts_with("FORESHADOW_") {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(self.path("work"))
            .env("TF_CLI_CONFIG_FILE", self.path("terraform.rc"))
            .env("TF_DATA_DIR", self.path("data"))
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .env("CHECKPOINT_DISABLE", "1")
            .env("NO_COLOR", "1")
            .env("TMPDIR", self.path("tmp"))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        finished(self.command(arguments))
    }

    /// A plan: 0 when nothing is to change, 2 when something is.
    pub(crate) fn plan(&self, more: &[&str]) -> Run {
        self.run(&[&["plan", "-detailed-exitcode", "-no-color"], more].concat())
    }

    pub(crate) fn apply(&self, more: &[&str]) -> Run {
        self.run(&[&["apply", "-auto-approve", "-no-color"], more].concat())
    }

    /// One resource's or data source's values in the state.
    #[track_caller]
    pub(crate) fn state_of(&self, address: &str) -> Value {
        let shown = self.command(&["show", "-json"]).output().unwrap();
        let state: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let resources = state["values"]["root_module"]["resources"].as_array().cloned().unwrap_or_default();
        let found = resources.into_iter().find(|resource| resource["address"] == address);
        found.map_or(Value::Null, |resource| resource["values"].clone())
    }

    /// Sockets and folders that a provider left in the temporary folder.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("foreshadow-"))
            .collect()
    }

    /// Provider processes of this workspace that still run.
    pub(crate) fn still_running(&self) -> Vec<PathBuf> {
        let ours = |entry: fs::DirEntry| {
            let program = fs::read_link(entry.path().join("exe")).ok()?;
            program.starts_with(self.folder.path()).then_some(program)
        };
        fs::read_dir("/proc").unwrap().flatten().filter_map(ours).collect()
    }
}

/// Runs a command to its end, both streams in one text.
pub(crate) fn finished(mut command: Command) -> Run {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Run { code: output.status.code().unwrap_or(-1), output: String::from_utf8_lossy(&text).into_owned() }
}
