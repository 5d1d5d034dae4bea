//! One run of a program with its answer.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program;

/// Longest run before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a program ended and what it said.
#[derive(Debug)]
pub struct Run {
    /// The exit code; `None` when a signal or our patience ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Run {
    /// Standard output as JSON.
    ///
    /// # Panics
    /// When it failed or said no JSON.
    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Checks that it failed as a user should see it: the exit code, and each of these words on standard error.
    ///
    /// # Panics
    /// When it ended otherwise, left a word out, or panicked.
    #[track_caller]
    pub fn assert_failed(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.err, self.out);
        for said in said {
            assert!(self.err.contains(said), "{said:?} is missing in {}", self.err);
        }
        for fault in ["panicked", "stack backtrace"] {
            assert!(!self.err.contains(fault), "{}", self.err);
        }
    }

    /// Standard output as rows of CSV cells, the header first.
    ///
    /// # Panics
    /// When it failed.
    pub fn csv(&self) -> Vec<Vec<String>> {
        assert_eq!(self.code, Some(0), "{}", self.err);
        self.out.lines().map(cells).collect()
    }
}

/// The cells of a line; no name in our tests holds a line feed, which CSV would allow between quotes.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            letter => cell.push(letter),
        }
    }
    cells.push(cell);
    cells
}

/// Runs `foreshadow` with arguments, without settings of the user's own.
pub fn foreshadow(arguments: &[&str]) -> Run {
    let mut command = Command::new(program("foreshadow"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FORESHADOW_")) {
        command.env_remove(name);
    }
    command.args(arguments);
    run(&mut command)
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Run {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (mut out, mut err) = (child.stdout.take().expect("it is piped"), child.stderr.take().expect("it is piped"));
    let read_out = std::thread::spawn(move || text(&mut out));
    let read_err = std::thread::spawn(move || text(&mut err));
    let began = Instant::now();
    let code = loop {
        match child.try_wait().expect("our own child can be waited for") {
            Some(status) => break status.code(),
            None if began.elapsed() > PATIENCE => {
                child.kill().expect("our own child can be killed");
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    let heard = "the reader does not panic";
    Run { code, out: read_out.join().expect(heard), err: read_err.join().expect(heard) }
}

fn text(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    // What was read before a broken pipe is still what it said.
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
