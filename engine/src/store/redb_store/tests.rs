use foreshadow_models::{Horizon, RawSeries};

use super::super::tests::{decision, keeps_its_promises, numbered_issue};
use super::*;
use crate::live::tests::{same_tracks, served};
use crate::pipeline::{PipelineSettings, make_issue};

fn opened(folder: &Path) -> RedbStore {
    RedbStore::open(folder).unwrap()
}

#[test]
fn redb_keeps_its_promises() {
    let folder = tempfile::tempdir().unwrap();
    keeps_its_promises(&opened(folder.path()));
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    store.publish(&numbered_issue(1), &Live::default()).unwrap();
    let live: Live = [("a".to_string(), served("ets", 5)), ("b".into(), served("naive", 6))].into_iter().collect();
    store.publish(&numbered_issue(2), &live).unwrap();
    store.record(&[decision("a", 60, 4)]).unwrap();
    drop(store);
    let store = opened(folder.path());
    assert_eq!(store.latest_issue().unwrap(), Some(numbered_issue(2)));
    assert!(same_tracks(&store.live().unwrap(), &live));
    assert_eq!(store.issue(numbered_issue(1).id()).unwrap(), Some(numbered_issue(1)));
    assert_eq!(store.latest_decision("a").unwrap(), Some(decision("a", 60, 4)));
}

#[test]
fn a_second_opener_is_told_which_file_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let _first = opened(folder.path());
    let error = RedbStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains("catalogue.redb") && error.to_string().contains("--store"), "{error}");
}

#[test]
fn an_unknown_version_is_refused_and_the_file_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    drop(opened(folder.path()));
    let path = folder.path().join("ledger.redb");
    {
        let database = redb::Database::open(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        let meta: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
        transaction.open_table(meta).unwrap().insert("format", 7).unwrap();
        transaction.commit().unwrap();
    }
    let before = std::fs::read(&path).unwrap();
    let error = RedbStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Version { found: 7, known: 1, .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalogue.redb");
    let notes = "these are somebody's notes, and long enough to be taken for a header. ".repeat(100);
    std::fs::write(&path, &notes).unwrap();
    let error = RedbStore::open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Disk { done: "opened", .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), notes);
}

#[test]
fn an_issue_of_several_slabs_is_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(folder.path());
    let many = |value: f64| {
        let shadow = |s| crate::issue::tests::shadow(&format!("s{s:04}"), 0, 1_000, &[value, 2.0], 1.0);
        crate::issue::tests::issue((0..2 * SLAB + 5).map(shadow).collect(), 60_000)
    };
    for value in [1.0, 2.0, 1.0] {
        store.publish(&many(value), &Live::default()).unwrap();
        assert_eq!(store.latest_issue().unwrap(), Some(many(value)));
    }
    let slabs = store.catalogue.read(|transaction| Ok(transaction.open_table(SLABS)?.iter()?.count())).unwrap();
    assert_eq!(slabs, 6, "two issues of three slabs; the replaced one is gone");
}

#[test]
fn fits_go_on_after_a_restart_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let hour = 3_600_000;
    let raw = |hours: i64| {
        let value = |t: i64| 50.0 + 9.0 * (t as f64 / 24.0 * std::f64::consts::TAU).sin() + (t as f64 * 1.7).cos();
        let series = |name: &str, scale: f64| RawSeries {
            name: name.into(),
            times_ms: (0..hours).map(|t| t * hour).collect(),
            values: (0..hours).map(|t| scale * value(t)).collect(),
        };
        vec![series("a", 1.0), series("b", 30.0)]
    };
    let settings =
        PipelineSettings { slot_ms: hour, horizon: Horizon::new(24).unwrap(), ..PipelineSettings::default() };
    let issue = |hours: i64, live: &mut Live| make_issue(raw(hours), &[], &settings, live, hours * hour).unwrap();
    let store = RedbStore::open(folder.path()).unwrap();
    let mut live = store.live().unwrap();
    store.publish(&issue(400, &mut live), &live).unwrap();
    store.publish(&issue(402, &mut live), &live).unwrap();
    drop(store);
    let store = RedbStore::open(folder.path()).unwrap();
    let mut restored = store.live().unwrap();
    assert_eq!(restored.fits().iter().len(), 1);
    // It was stored as it was fitted, two steps before, and takes five in where the other takes three.
    assert_eq!(issue(405, &mut restored).shadows(), issue(405, &mut live).shadows());
    assert_eq!(restored.fits().iter().map(Cohort::id).collect::<Vec<_>>(), [0], "none was fitted anew");

    // Fits that cannot be read cost a new fit and nothing else.
    store
        .catalogue
        .write(|transaction| {
            let mut fits = transaction.open_table(FITS)?;
            let mut bytes = fits.get(0)?.expect("it was stored").value().to_vec();
            *bytes.last_mut().expect("it has bytes") ^= 1;
            fits.insert(0, bytes.as_slice())?;
            Ok(())
        })
        .unwrap();
    let mut damaged = store.live().unwrap();
    assert_eq!((damaged.fits().iter().len(), damaged.tracks().len()), (0, 2));
    assert_eq!(issue(405, &mut damaged).shadows().len(), 2);
}
