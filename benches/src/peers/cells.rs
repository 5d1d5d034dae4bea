//! Cells: one contender on one piece of work, answered once and kept.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::contender::Contender;
use super::python;
use super::work::{Answer, Ran, Work};
use super::{Effort, hash_of};
use crate::BenchError;

/// What answers: the programs, or a test's own.
pub(super) trait Answering: Sync {
    /// What its answers depend on beside the work.
    fn identity(&self, contender: &Contender) -> u64;

    /// Has a contender do its work.
    fn answer(&self, contender: &Contender, work: &Work) -> Result<Answer, String>;
}

/// This program for ours, and Python for the peers.
pub(super) struct Programs {
    own: PathBuf,
    own_identity: u64,
    python: Result<PathBuf, String>,
    apart: bool,
}

impl Programs {
    /// Makes the peers' environment where they are asked for; where that fails, each of them says why.
    ///
    /// # Errors
    /// [`BenchError::Read`] when this program's own file cannot be read.
    pub(super) fn new(peers: bool, apart: bool) -> Result<Self, BenchError> {
        let own =
            std::env::current_exe().map_err(|e| BenchError::Read { path: "self".into(), reason: e.to_string() })?;
        let bytes = std::fs::read(&own).map_err(|e| BenchError::Read { path: own.clone(), reason: e.to_string() })?;
        let python = if peers { python::environment().map_err(|e| e.to_string()) } else { Err(NO_PEERS.into()) };
        Ok(Self { own, own_identity: hash_of(&bytes), python, apart })
    }
}

const AGAIN: &str = "run it again, and it goes on there";
const NO_PEERS: &str = "no peers in a smoke run";

impl Answering for Programs {
    fn identity(&self, contender: &Contender) -> u64 {
        match (contender.rival, self.apart) {
            (None, _) => self.own_identity,
            (_, false) => python::identity(),
            (_, true) => hash_of(&(python::identity(), "apart")),
        }
    }

    fn answer(&self, contender: &Contender, work: &Work) -> Result<Answer, String> {
        if contender.rival.is_some() {
            let python = self.python.as_ref().map_err(Clone::clone)?;
            let answer = python::within_its_budget(work, self.apart, |work| python::answer(python, work));
            return answer.map_err(|unanswered| unanswered.to_string());
        }
        let mut command = Command::new(&self.own);
        command.arg("--cell");
        python::ask(command, work).map_err(|unanswered| unanswered.to_string())
    }
}

/// One contender on one piece of work, which is made when it is needed.
pub(super) struct Cell<'a> {
    pub(super) contender: &'static Contender,
    /// On what, for the progress.
    pub(super) on: String,
    pub(super) work: Box<dyn Fn() -> Work + Sync + 'a>,
}

/// Where cells are kept, and how far the run is.
pub(super) struct Cells {
    folder: PathBuf,
    effort: Effort,
    programs: Box<dyn Answering>,
    began: Instant,
    done: AtomicUsize,
    planned: AtomicUsize,
    /// Cells that were not begun in time.
    late: AtomicUsize,
    /// Lines of progress are written whole.
    progress: Mutex<()>,
}

impl Cells {
    pub(super) fn new(folder: PathBuf, effort: Effort, programs: impl Answering + 'static) -> Self {
        let [done, planned, late] = std::array::from_fn(|_| AtomicUsize::new(0));
        let (programs, began, progress) = (Box::new(programs), Instant::now(), Mutex::new(()));
        Self { folder, effort, programs, began, done, planned, late, progress }
    }

    /// CPU-seconds that a peer may take for one cell.
    pub(super) fn cell_seconds(&self) -> f64 {
        self.effort.cell_seconds
    }

    /// Cells that will be asked for, for the progress.
    pub(super) fn plan(&self, count: usize) {
        self.planned.fetch_add(count, Ordering::Relaxed);
    }

    /// Planned cells that need no answer after all.
    pub(super) fn drop_planned(&self, count: usize) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// What a reader must know of a run that did not begin all of its cells.
    pub(super) fn unfinished(&self) -> Option<String> {
        let late = self.late.load(Ordering::Relaxed);
        (late > 0).then(|| format!("{late} cells were not begun within {} minutes: {AGAIN}", self.effort.minutes))
    }

    /// Answers to some cells in their order, worked on `at_once` together; else why there is none.
    pub(super) fn answers(&self, cells: &[Cell<'_>], at_once: usize) -> Vec<Result<Ran, String>> {
        let next = AtomicUsize::new(0);
        let answers: Vec<Mutex<Option<Result<Ran, String>>>> = cells.iter().map(|_| Mutex::new(None)).collect();
        std::thread::scope(|scope| {
            for _ in 0..at_once.min(cells.len()) {
                scope.spawn(|| {
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(cell) = cells.get(at) else { break };
                        *answers[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(self.answer(cell));
                    }
                });
            }
        });
        let taken = |answer: Mutex<Option<_>>| answer.into_inner().unwrap_or_else(PoisonError::into_inner);
        answers.into_iter().map(|answer| taken(answer).expect("every cell was answered")).collect()
    }

    /// The answer to one cell: the kept one, else a new one.
    pub(super) fn answer(&self, cell: &Cell<'_>) -> Result<Ran, String> {
        let work = (cell.work)();
        let path = self.folder.join(format!("{:016x}.json", key(&work, self.programs.identity(cell.contender))));
        let began = Instant::now();
        let kept = if self.effort.fresh { None } else { read(&path) };
        let how = if kept.is_some() { "kept" } else { "taken" };
        let answer = match kept {
            Some(answer) => Ok(answer),
            None if self.began.elapsed() > Duration::from_secs_f64(60.0 * self.effort.minutes) => {
                self.late.fetch_add(1, Ordering::Relaxed);
                Err(format!("not begun within {} minutes: {AGAIN}", self.effort.minutes))
            }
            None => self.programs.answer(cell.contender, &work).inspect(|answer| self.keep(&path, answer)),
        };
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let (planned, elapsed) = (self.planned.load(Ordering::Relaxed), self.began.elapsed().as_secs());
        let ended = match &answer {
            Ok(Answer::Ran(ran)) => format!("{how}, {} series in {:.1} s", ran.tried, began.elapsed().as_secs_f64()),
            Ok(Answer::TooSlow { too_slow }) => format!("{how}, more than {too_slow} CPU-seconds a series"),
            Err(reason) => reason.clone(),
        };
        let whole = self.progress.lock();
        eprintln!("{done}/{planned} {elapsed} s: {} on {}: {ended}", cell.contender.shown, cell.on);
        drop(whole);
        match answer? {
            Answer::Ran(ran) => Ok(ran),
            Answer::TooSlow { too_slow } => Err(format!("too slow: one series takes more than {too_slow} CPU-seconds")),
        }
    }

    /// Keeps an answer whole or not at all; a folder that cannot be written costs the resumption, not the figures.
    fn keep(&self, path: &Path, answer: &Answer) {
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(&self.folder)?;
            let file = tempfile::NamedTempFile::new_in(&self.folder)?;
            serde_json::to_writer(file.as_file(), answer)?;
            file.persist(path).map(|_| ()).map_err(|error| error.error)
        };
        if let Err(error) = write() {
            eprintln!("{} could not be kept: {error}", path.display());
        }
    }
}

fn key(work: &Work, identity: u64) -> u64 {
    hash_of(&(serde_json::to_vec(work).expect("work is plain data"), identity))
}

/// A kept answer; nothing where there is none or it cannot be read.
fn read(path: &Path) -> Option<Answer> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::work::Shown;

    /// Answers what it is told to and counts how often it was asked.
    struct Told {
        asked: &'static AtomicUsize,
        identity: u64,
        answer: Result<Answer, String>,
    }

    impl Answering for Told {
        fn identity(&self, _: &Contender) -> u64 {
            self.identity
        }

        fn answer(&self, _: &Contender, _: &Work) -> Result<Answer, String> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.answer.clone()
        }
    }

    fn counter() -> &'static AtomicUsize {
        Box::leak(Box::new(AtomicUsize::new(0)))
    }

    fn work(value: f64) -> Work {
        let series = vec![Shown::new(0, &[value, f64::NAN])];
        let contender = "theta".to_string();
        Work {
            contender,
            step_ms: 1,
            season: 1,
            seasons: vec![1],
            horizon: 1,
            jobs: 1,
            limit: 1.0,
            budget: 1.0,
            series,
            grown: None,
        }
    }

    fn cell(value: f64) -> Cell<'static> {
        Cell { contender: Contender::named("theta"), on: "a test".into(), work: Box::new(move || work(value)) }
    }

    fn ran(tried: usize) -> Answer {
        let costs = [0.5, 0.25, 0.125, 64.0];
        let [fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib] = costs;
        let (repetitions, rows) = (2, Vec::new());
        Answer::Ran(Ran { tried, repetitions, fit_cpu_seconds, fit_wall_seconds, forecast_cpu_seconds, peak_mib, rows })
    }

    fn cells(
        folder: &Path,
        effort: Effort,
        asked: &'static AtomicUsize,
        identity: u64,
        answer: Result<Answer, String>,
    ) -> Cells {
        Cells::new(folder.into(), effort, Told { asked, identity, answer })
    }

    #[test]
    fn a_kept_cell_is_not_taken_again_unless_its_work_or_its_program_changed() {
        let (folder, asked) = (tempfile::tempdir().unwrap(), counter());
        let of = |identity, effort| cells(folder.path(), effort, asked, identity, Ok(ran(3)));
        let effort = Effort::default();
        assert_eq!(of(1, effort).answer(&cell(1.0)).unwrap().tried, 3);
        assert_eq!(of(1, effort).answer(&cell(1.0)).unwrap().fit_cpu_seconds, 0.5);
        assert_eq!(asked.load(Ordering::Relaxed), 1, "the second one was kept");
        of(1, effort).answer(&cell(2.0)).unwrap();
        of(2, effort).answer(&cell(1.0)).unwrap();
        of(1, Effort { fresh: true, ..effort }).answer(&cell(1.0)).unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_cell_that_was_cut_off_is_taken_again() {
        let (folder, asked) = (tempfile::tempdir().unwrap(), counter());
        let cells = cells(folder.path(), Effort::default(), asked, 1, Ok(ran(1)));
        cells.answer(&cell(1.0)).unwrap();
        let file = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&file, &std::fs::read(&file).unwrap()[..20]).unwrap();
        assert_eq!(cells.answer(&cell(1.0)).unwrap().tried, 1);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_failure_has_its_reason_and_is_tried_again() {
        let (folder, asked) = (tempfile::tempdir().unwrap(), counter());
        let cells = cells(folder.path(), Effort::default(), asked, 1, Err("signal: 11".into()));
        for _ in 0..2 {
            assert_eq!(cells.answer(&cell(1.0)).unwrap_err(), "signal: 11");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_peer_that_is_too_slow_is_named_and_not_asked_twice() {
        let (folder, asked) = (tempfile::tempdir().unwrap(), counter());
        let cells = cells(folder.path(), Effort::default(), asked, 1, Ok(Answer::TooSlow { too_slow: 60.0 }));
        for _ in 0..2 {
            let reason = cells.answer(&cell(1.0)).unwrap_err();
            assert!(reason.contains("too slow") && reason.contains("60 CPU-seconds"), "{reason}");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn no_cell_is_begun_once_the_time_is_up_but_kept_ones_are_there() {
        let (folder, asked) = (tempfile::tempdir().unwrap(), counter());
        let of = |minutes| cells(folder.path(), Effort { minutes, ..Effort::default() }, asked, 1, Ok(ran(1)));
        of(1.0).answer(&cell(1.0)).unwrap();
        let late = of(0.0);
        assert!(late.answer(&cell(1.0)).is_ok() && late.unfinished().is_none());
        assert!(late.answer(&cell(2.0)).unwrap_err().contains("run it again"));
        assert!(late.unfinished().unwrap().contains("1 cells"));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn answers_stand_in_the_order_of_their_cells() {
        let folder = tempfile::tempdir().unwrap();
        let all = cells(folder.path(), Effort::default(), counter(), 1, Ok(ran(1)));
        let several: Vec<Cell<'_>> = (0..7).map(|i| cell(f64::from(i))).collect();
        assert_eq!(all.answers(&several, 3).len(), 7);
        assert!(all.answers(&several, 3).iter().all(Result::is_ok));
    }
}
