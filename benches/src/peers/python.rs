//! Python peers, run in an environment of their own.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::work::{Answer, Ran, Said, Shown, Work};
use super::{cache_folder, hash_of};
use crate::BenchError;
use foreshadow_models::Panel;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

const REQUIREMENTS: &str = include_str!("../../peers/requirements.txt");
const PEERS: Environment = Environment { name: "peers", file: "requirements.txt", requirements: REQUIREMENTS };
/// PyTorch, which is gigabytes: in an environment of its own, for who asks for it.
const TORCH: Environment =
    Environment { name: "torch", file: "torch.txt", requirements: include_str!("../../peers/torch.txt") };
const SCRIPTS: [&str; 2] = [include_str!("../../peers/contend.py"), include_str!("../../peers/contenders.py")];
/// The file that a whole environment has.
const COMPLETE: &str = "complete";
/// CPU-seconds that a peer may take where a figure needs it whole.
const PATIENCE: f64 = 1_800.0;

/// Why a program gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// It ran on past its time and was stopped.
    #[error("it hung and was stopped after {} s", .0.as_secs())]
    Hung(Duration),
    /// As one clause.
    #[error("{0}")]
    Failed(String),
}

/// Has a peer fit some series of a panel, in one process, and forecast `horizon` steps of each.
///
/// # Errors
/// [`BenchError::Program`] when Python, an installation or the peer fails, or it takes half an hour.
pub fn peer(name: &str, panel: &Panel, series: &[usize], seasons: &[usize], horizon: usize) -> Result<Ran, BenchError> {
    let shown = series.iter().map(|&s| Shown::new(panel.start_ms(s), panel.values(s))).collect();
    whole(name, panel.step_ms(), shown, seasons, horizon)
}

/// [`peer`] where each series comes with the model that is to be fitted to it.
///
/// # Errors
/// As [`peer`].
pub fn peer_given(
    name: &str,
    panel: &Panel,
    given: &[(usize, Value)],
    seasons: &[usize],
    horizon: usize,
) -> Result<Ran, BenchError> {
    let shown = |(s, model): &(usize, Value)| {
        let shown = Shown::new(panel.start_ms(*s), panel.values(*s));
        Shown { model: Some(model.clone()), ..shown }
    };
    whole(name, panel.step_ms(), given.iter().map(shown).collect(), seasons, horizon)
}

/// Every series fitted and forecast, whatever that takes up to [`PATIENCE`].
fn whole(name: &str, step_ms: i64, series: Vec<Shown>, seasons: &[usize], horizon: usize) -> Result<Ran, BenchError> {
    let count = series.len();
    let work = Work {
        contender: name.into(),
        step_ms,
        season: seasons[0],
        seasons: seasons.to_vec(),
        horizon,
        jobs: 1,
        limit: PATIENCE,
        budget: PATIENCE,
        series,
        grown: None,
    };
    let failed = |reason: String| BenchError::Program { program: format!("peer {name}"), reason };
    match answer(&PEERS.python()?, &work).map_err(|unanswered| failed(unanswered.to_string()))? {
        Answer::Ran(ran) if ran.rows.len() == count => Ok(ran),
        _ => Err(failed(format!("it does not end within {PATIENCE} CPU-seconds"))),
    }
}

/// What a peer's answer depends on beside its work: the scripts and the releases.
pub(super) fn identity() -> u64 {
    hash_of(&(SCRIPTS, REQUIREMENTS))
}

/// Runs `peers/contend.py`. BLAS threads are pinned to one, so that CPU-seconds mean work.
///
/// # Errors
/// Why there is no answer.
pub(super) fn answer(python: &Path, work: &Work) -> Result<Answer, Unanswered> {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/contend.py"));
    for pinned in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"] {
        command.env(pinned, "1");
    }
    ask(command, work)
}

/// The number of windows that a budget holds is told by the first one's price. Where others are so much dearer that the call
/// is stopped, or where they are to be taken `apart` at once, `ask` is called for one window after the other, as far as the
/// budget goes: each that takes more than the limit is named, and the rest is worth more than nothing. What is to be fitted
/// whole is not asked for twice.
///
/// # Errors
/// Why there is no answer.
pub(super) fn within_its_budget(
    work: &Work,
    apart: bool,
    ask: impl Fn(&Work) -> Result<Answer, Unanswered>,
) -> Result<Answer, Unanswered> {
    let parts = work.series.len() > 1 && work.grown.is_none();
    let before = if apart && parts {
        String::new()
    } else {
        match ask(work) {
            Err(hung @ Unanswered::Hung(_)) if parts => format!("{hung}; "),
            asked => return asked,
        }
    };
    let ran = one_by_one(work, ask);
    if ran.rows.iter().any(|said| matches!(said, Said::Forecast { .. })) {
        return Ok(Answer::Ran(ran));
    }
    Err(Unanswered::Failed(format!("{before}window by window none of {} ended", ran.tried)))
}

/// Every window by itself, until the budget is spent.
fn one_by_one(work: &Work, ask: impl Fn(&Work) -> Result<Answer, Unanswered>) -> Ran {
    let [fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib] = [0.0; 4];
    let (tried, repetitions, rows) = (0, 1, Vec::new());
    let mut all = Ran { tried, repetitions, fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib, rows };
    let alone = Work { series: Vec::new(), budget: 0.0, ..work.clone() };
    for shown in &work.series {
        if all.fit_cpu_seconds >= work.budget {
            break;
        }
        all.tried += 1;
        match ask(&Work { series: vec![shown.clone()], ..alone.clone() }) {
            Ok(Answer::Ran(ran)) => {
                all.fit_cpu_seconds += ran.fit_cpu_seconds;
                all.fit_wall_seconds += ran.fit_wall_seconds;
                all.forecast_cpu_seconds += ran.forecast_cpu_seconds;
                all.peak_mib = all.peak_mib.max(ran.peak_mib);
                all.rows.extend(ran.rows);
            }
            Ok(Answer::TooSlow { too_slow }) => {
                all.fit_cpu_seconds += too_slow;
                all.rows.push(Said::Failed { error: format!("it takes more than {too_slow} CPU-seconds") });
            }
            Err(unanswered) => {
                all.fit_cpu_seconds += work.limit;
                all.rows.push(Said::Failed { error: unanswered.to_string() });
            }
        }
    }
    all
}

/// Gives a program its work as a file and reads the answer that it prints last.
///
/// A program that hangs is killed once its wall time passes what its CPU-seconds could explain.
///
/// # Errors
/// Why there is no answer.
pub(super) fn ask(command: Command, work: &Work) -> Result<Answer, Unanswered> {
    let patience = Duration::from_secs_f64(120.0 + 2.0 * work.limit + 4.0 * work.budget);
    talk(command, work, patience)
}

/// What a script of `peers` says in PyTorch: that of the interpreter that `FORESHADOW_PYTORCH` names, if it does.
///
/// # Errors
/// [`BenchError::Program`] when Python, an installation or the script fails.
pub(crate) fn torch<W: Serialize, A: DeserializeOwned>(script: &str, work: &W) -> Result<A, BenchError> {
    let mut command = Command::new(named_torch().map_or_else(|| TORCH.python(), Ok)?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(script));
    let failed =
        |unanswered: Unanswered| BenchError::Program { program: "torch".into(), reason: unanswered.to_string() };
    talk(command, work, Duration::from_secs_f64(PATIENCE)).map_err(failed)
}

fn named_torch() -> Option<PathBuf> {
    std::env::var_os("FORESHADOW_PYTORCH").map(PathBuf::from)
}

/// Whether a test cannot ask [`torch`] for what it needs, which is said then: where CI runs all of them it is installed,
/// elsewhere only used.
#[cfg(test)]
pub(crate) fn lacks_torch(what: &str) -> bool {
    let has = named_torch().is_some() || TORCH.is_made() || std::env::var_os("CI").is_some();
    if !has {
        println!(
            "skipped: {what}: FORESHADOW_PYTORCH names an interpreter that has it, or foreshadow-bench neural makes one"
        );
    }
    !has
}

fn talk<W: Serialize, A: DeserializeOwned>(
    mut command: Command,
    work: &W,
    patience: Duration,
) -> Result<A, Unanswered> {
    let failed = Unanswered::Failed;
    let unwritten = |error: std::io::Error| failed(format!("its files could not be written: {error}"));
    let file = tempfile::NamedTempFile::new().map_err(unwritten)?;
    let text = serde_json::to_vec(work).map_err(|error| failed(error.to_string()))?;
    std::fs::write(file.path(), text).map_err(unwritten)?;
    let (mut out, mut err) = (tempfile::tempfile().map_err(unwritten)?, tempfile::tempfile().map_err(unwritten)?);
    let (stdout, stderr) = (out.try_clone().map_err(unwritten)?, err.try_clone().map_err(unwritten)?);
    command.arg(file.path()).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut child = command.spawn().map_err(|error| failed(format!("it did not start: {error}")))?;
    let began = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() < patience => std::thread::sleep(Duration::from_millis(10)),
            hung => {
                // Whatever else happens to it, it is not left to run on.
                let _ = child.kill().and_then(|()| child.wait());
                return Err(match hung {
                    Err(error) => failed(error.to_string()),
                    _ => Unanswered::Hung(patience),
                });
            }
        }
    };
    let (mut said, mut complained) = (String::new(), String::new());
    let read = |file: &mut File, text: &mut String| file.rewind().and_then(|()| file.read_to_string(text));
    read(&mut out, &mut said).map_err(|error| failed(format!("it printed no text: {error}")))?;
    if !status.success() {
        let _ = read(&mut err, &mut complained);
        return Err(failed(format!("{status}: {}", tail(&complained))));
    }
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).map_err(|error| failed(format!("its last line is no answer: {error}")))
}

/// The interpreter of the peers' environment.
///
/// # Errors
/// [`BenchError::Program`] when Python or an installation fails.
pub(super) fn environment() -> Result<PathBuf, BenchError> {
    PEERS.python()
}

/// Packages from PyPI in a folder of their own: in the user's cache folder, under the hash of what is required.
struct Environment {
    name: &'static str,
    /// In `peers/`.
    file: &'static str,
    requirements: &'static str,
}

impl Environment {
    /// Its interpreter; it is made on first use.
    ///
    /// # Errors
    /// [`BenchError::Program`] when Python or an installation fails.
    fn python(&self) -> Result<PathBuf, BenchError> {
        let folder = self.folder();
        let python = folder.join("bin/python");
        let make = || {
            run("python3 -m venv", Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
            let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(self.file);
            let mut pip = Command::new(&python);
            run("pip install", pip.args(["-m", "pip", "install", "--quiet", "-r"]).arg(requirements))
        };
        once(&folder, make)?;
        Ok(python)
    }

    #[cfg(test)]
    fn is_made(&self) -> bool {
        self.folder().join(COMPLETE).exists()
    }

    fn folder(&self) -> PathBuf {
        cache_folder().join(format!("{}-{:016x}", self.name, hash_of(self.requirements)))
    }
}

/// Makes a folder that is not whole yet. Whoever else wants it meanwhile, another test or another program, waits for it.
fn once(folder: &Path, make: impl FnOnce() -> Result<(), BenchError>) -> Result<(), BenchError> {
    let complete = folder.join(COMPLETE);
    if complete.exists() {
        return Ok(());
    }
    let lock = folder.with_extension("lock");
    let failed = |path: &Path, e: std::io::Error| BenchError::Read { path: path.into(), reason: e.to_string() };
    let parent = folder.parent().unwrap_or(folder);
    std::fs::create_dir_all(parent).map_err(|e| failed(parent, e))?;
    let held = File::create(&lock).map_err(|e| failed(&lock, e))?;
    held.lock().map_err(|e| failed(&lock, e))?;
    if complete.exists() {
        return Ok(());
    }
    make()?;
    File::create(&complete).map(drop).map_err(|e| failed(&complete, e))
}

fn run(program: &str, command: &mut Command) -> Result<(), BenchError> {
    let failed = |reason: String| BenchError::Program { program: program.into(), reason };
    let output = command.output().map_err(|e| failed(e.to_string()))?;
    let complained = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(failed(format!("{}: {}", output.status, tail(&complained)))) }
}

/// The last lines of what a program complained of, as one.
fn tail(text: &str) -> String {
    let last: Vec<&str> = text.lines().rev().take(5).collect();
    last.into_iter().rev().collect::<Vec<_>>().join(" / ")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::peers::work::Grown;

    fn work(contender: &str, series: &[&[f64]]) -> Work {
        Work {
            contender: contender.into(),
            step_ms: 3_600_000,
            season: 24,
            seasons: vec![24],
            horizon: 3,
            jobs: 1,
            limit: 60.0,
            budget: 60.0,
            series: series.iter().map(|values| Shown::new(0, values)).collect(),
            grown: None,
        }
    }

    /// Peers where their environment was made; a test installs nothing of that size.
    fn made() -> Option<PathBuf> {
        if !PEERS.is_made() {
            println!("skipped: the peers in Python: foreshadow-bench peers makes their environment");
            return None;
        }
        PEERS.python().ok()
    }

    fn wave(steps: usize) -> Vec<f64> {
        (0..steps).map(|t| 10.0 + (t as f64 / 24.0 * std::f64::consts::TAU).sin() + 0.1 * (t as f64).sin()).collect()
    }

    #[test]
    fn a_program_that_fails_or_prints_no_answer_is_a_reason() {
        let ask = |program: &str| ask(Command::new(program), &work("theta", &[])).unwrap_err().to_string();
        assert!(ask("false").contains("exit status: 1"), "{}", ask("false"));
        assert!(ask("true").contains("no answer"), "{}", ask("true"));
        assert!(ask("foreshadow-no-such-program").contains("did not start"));
    }

    #[test]
    fn what_several_want_at_once_is_made_once_and_anew_after_a_failure() {
        let cache = tempfile::tempdir().unwrap();
        let folder = cache.path().join("of/its/own");
        let made = AtomicUsize::new(0);
        let make = || {
            made.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(50));
            std::fs::create_dir(&folder).map_err(|e| BenchError::Read { path: folder.clone(), reason: e.to_string() })
        };
        let broken = || Err(BenchError::Read { path: folder.clone(), reason: "no network".into() });
        assert!(once(&folder, broken).is_err() && !folder.exists());
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(|| once(&folder, make))).collect();
            all.into_iter().for_each(|one| one.join().unwrap().unwrap());
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        once(&folder, || unreachable!("it is whole")).unwrap();
    }

    #[test]
    fn a_call_that_overruns_is_made_again_window_by_window() {
        let asked = std::cell::RefCell::new(Vec::new());
        let ran = || {
            let said = Said::Forecast { mean: vec![Some(1.0)], low: vec![], high: vec![], fit: Value::Null };
            let [fit_wall_seconds, forecast_cpu_seconds, peak_mib] = [1.0; 3];
            let (tried, repetitions, fit_cpu_seconds, rows) = (1, 1, 25.0, vec![said]);
            Ran { tried, repetitions, fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib, rows }
        };
        // All at once hang; alone a window ends, is too slow or hangs by its first value.
        let ask = |work: &Work| {
            let firsts: Vec<f64> = work.series.iter().map(|shown| shown.numbers()[0]).collect();
            asked.borrow_mut().push(firsts.clone());
            match firsts.as_slice() {
                [1.0] => Ok(Answer::Ran(ran())),
                [2.0] => Ok(Answer::TooSlow { too_slow: 7.0 }),
                _ => Err(Unanswered::Hung(Duration::from_secs(9))),
            }
        };
        let of = |firsts: &[f64]| {
            let series: Vec<Vec<f64>> = firsts.iter().map(|first| vec![*first]).collect();
            work("theta", &series.iter().map(Vec::as_slice).collect::<Vec<_>>())
        };
        let Ok(Answer::Ran(all)) = within_its_budget(&of(&[1.0, 2.0, 1.0, 1.0, 1.0]), false, ask) else {
            panic!("some end")
        };
        assert_eq!(asked.take().len(), 1 + 4, "the budget of 60 is spent then");
        assert_eq!((all.tried, all.rows.len(), all.fit_cpu_seconds, all.peak_mib), (4, 4, 82.0, 1.0));
        assert!(matches!(&all.rows[1], Said::Failed { error } if error.contains("more than 7 CPU-seconds")));
        let told = within_its_budget(&of(&[2.0, 3.0]), false, ask).unwrap_err().to_string();
        assert_eq!(told, "it hung and was stopped after 9 s; window by window none of 2 ended");
        asked.take();
        let grown = Work { grown: Some(Grown { series: 4, steps: 2 }), ..of(&[1.0, 2.0]) };
        assert!(within_its_budget(&grown, true, ask).is_err() && within_its_budget(&of(&[3.0]), true, ask).is_err());
        assert_eq!(asked.take().len(), 2, "none is asked again");
        assert!(within_its_budget(&of(&[1.0]), true, ask).is_ok());
        asked.take();
        let Ok(Answer::Ran(apart)) = within_its_budget(&of(&[1.0, 3.0]), true, ask) else { panic!("one ends") };
        assert_eq!((asked.take(), apart.tried), (vec![vec![1.0], vec![3.0]], 2), "none is asked with another");
    }

    #[test]
    fn a_peer_fits_and_forecasts_and_one_bad_series_spoils_no_other() {
        let Some(python) = made() else { return };
        let (good, mut holed) = (wave(240), wave(240));
        holed[100] = f64::NAN;
        for contender in ["theta", "prophet"] {
            let work = work(contender, &[&good, &[f64::NAN, f64::NAN], &holed]);
            let Answer::Ran(ran) = answer(&python, &work).unwrap() else { panic!("{contender} is quick") };
            let said = |at: usize| matches!(&ran.rows[at], Said::Forecast { mean, fit, .. } if mean.len() == 3 && !fit.is_null());
            assert!(said(0) && said(2), "{contender}: {:?}", ran.rows);
            assert!(matches!(&ran.rows[1], Said::Failed { .. }), "{contender}: {:?}", ran.rows[1]);
            assert!(ran.tried == 3 && ran.fit_cpu_seconds > 0.0 && ran.peak_mib > 10.0, "{ran:?}");
        }
    }

    #[test]
    fn a_peer_is_stopped_at_its_limit_and_given_what_its_budget_holds() {
        let Some(python) = made() else { return };
        let long = wave(1_500);
        let slow = Work { limit: 1.0, ..work("sarima", &[&long]) };
        assert!(matches!(answer(&python, &slow), Ok(Answer::TooSlow { too_slow }) if too_slow == 1.0));
        let dear = Work { budget: 0.01, ..work("autoets", &[&long, &long]) };
        assert!(matches!(answer(&python, &dear), Ok(Answer::Ran(Ran { tried: 1, repetitions: 1, .. }))));
    }
}
