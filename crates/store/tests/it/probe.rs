//! The probe, on stores that lie about one thing each.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_store::layer::{Effect, Fault, FaultPlan, FaultRule, Operation};
use cloudmount_store::probe::{Finding, Honoured, Leaves, SCRATCH, TIME_MAX, probe, probe_after};
use cloudmount_store::{Capabilities, ErrorKind, Key, MemoryStore, PutOptions, Store};
use cloudmount_testkit::{Lie, LogStore, LyingStore, ManualClock};
use futures::FutureExt;

const ALL_KEPT: Honoured = Honoured {
    put_if_absent: Finding::Kept,
    put_if_match: Finding::Kept,
    complete_if_absent: Finding::Kept,
    complete_if_match: Finding::Kept,
    copy: Finding::Kept,
    copy_onto_itself: Finding::Kept,
    copy_source_if_match: Finding::Kept,
    copy_if_absent: Finding::Kept,
    copy_if_match: Finding::Kept,
    part_copy: Finding::Kept,
    delete_if_match: Finding::Kept,
    delete_many_if_match: Finding::Kept,
    delete_if_match_atomic: Finding::Kept,
};

fn memory(clock: &ManualClock) -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Arc::new(clock.clone())))
}

/// What is not kept, by name.
fn gaps(honoured: &Honoured) -> Vec<(&'static str, Finding)> {
    let mut gaps = honoured.findings().to_vec();
    gaps.retain(|(_, finding)| !finding.is_kept());
    gaps
}

fn expected(lie: Lie) -> Vec<(&'static str, Finding)> {
    use Finding::{Ignored, Refused, Unknown};
    let conditions = |finding| {
        let names = [
            "put-if-absent",
            "put-if-match",
            "complete-if-absent",
            "complete-if-match",
            "copy-if-absent",
            "copy-if-match",
            "delete-if-match",
            "delete-many-if-match",
            "delete-if-match-atomic",
        ];
        names.map(|name| (name, finding)).to_vec()
    };
    match lie {
        // The probe gives its objects no tags: not every store takes any.
        Lie::Nothing | Lie::DropsTags => vec![],
        Lie::IgnoresAbsent => vec![
            ("put-if-absent", Ignored),
            ("complete-if-absent", Ignored),
            ("copy-if-absent", Ignored),
        ],
        Lie::IgnoresMatch => vec![
            ("put-if-match", Ignored),
            ("complete-if-match", Ignored),
            ("copy-if-match", Ignored),
            ("delete-if-match", Ignored),
            ("delete-many-if-match", Ignored),
            ("delete-if-match-atomic", Ignored),
        ],
        Lie::IgnoresOnComplete => vec![
            ("complete-if-absent", Ignored),
            ("complete-if-match", Ignored),
        ],
        Lie::NotImplemented | Lie::RefusesAll => conditions(Refused),
        Lie::CopiesNothing => {
            let names = ["copy", "copy-onto-itself", "copy-source-if-match"];
            let targets = ["copy-if-absent", "copy-if-match"];
            let names = names.into_iter().chain(targets);
            names.map(|name| (name, Ignored)).collect()
        }
        Lie::EmptiesItself => vec![("copy-onto-itself", Ignored)],
        Lie::KeepsMetadata => vec![("copy", Ignored), ("copy-onto-itself", Ignored)],
        Lie::CopiesAnySource => vec![("copy-source-if-match", Ignored)],
        Lie::CopiesOnAnything => vec![("copy-if-absent", Ignored), ("copy-if-match", Ignored)],
        Lie::RemovesAnything => vec![
            ("delete-if-match", Ignored),
            ("delete-many-if-match", Ignored),
            ("delete-if-match-atomic", Ignored),
        ],
        Lie::RemovesInTwoSteps => vec![("delete-if-match-atomic", Ignored)],
        Lie::RemovesManyOfAnything => vec![("delete-many-if-match", Ignored)],
        Lie::NoCopies => vec![
            ("copy", Refused),
            ("copy-onto-itself", Refused),
            ("copy-source-if-match", Refused),
            ("copy-if-absent", Unknown),
            ("copy-if-match", Unknown),
        ],
        Lie::CopiesWholeParts => vec![("part-copy", Ignored)],
        Lie::NoPartCopies => vec![("part-copy", Refused)],
        Lie::Forbids => {
            let all = ALL_KEPT.findings();
            all.map(|(name, _)| (name, Unknown)).to_vec()
        }
    }
}

#[tokio::test]
async fn every_lie_is_found_and_nothing_is_left() {
    for lie in Lie::ALL {
        let clock = ManualClock::new();
        let bucket = memory(&clock);
        let store = LyingStore::new(Arc::clone(&bucket) as _, lie);
        let found = probe(&store, &clock, 7).await;
        assert_eq!(gaps(&found), expected(lie), "{lie:?}");
        assert!(bucket.is_empty(), "{lie:?} leaves {:?}", bucket.keys());
        assert_eq!(bucket.uploads_in_progress(), 0, "{lie:?}");
    }
}

#[tokio::test]
async fn it_costs_145_requests_on_keys_of_its_own() {
    let clock = ManualClock::new();
    let lying = LyingStore::new(memory(&clock), Lie::Nothing);
    let log = LogStore::new(Arc::new(lying));
    assert_eq!(probe(&log, &clock, 7).await, ALL_KEPT);
    let lines = log.lines();
    assert_eq!(lines.len(), 145, "{lines:#?}");
    for line in &lines {
        let keys = line.split(' ').filter(|word| word.contains("probe"));
        for key in keys {
            assert!(key.starts_with(SCRATCH), "{line}");
        }
    }
}

#[tokio::test]
async fn an_exact_store_is_believed() {
    let clock = ManualClock::new();
    let log = LogStore::new(memory(&clock));
    assert_eq!(probe(&log, &clock, 7).await, ALL_KEPT);
    let poor = Capabilities {
        put_if_absent: false,
        part_copy: false,
        copy_if: false,
        delete_if: false,
        ..MemoryStore::CAPABILITIES
    };
    let found = Honoured::as_said(&poor);
    let refused = [
        "put-if-absent",
        "complete-if-absent",
        "copy-if-absent",
        "copy-if-match",
        "part-copy",
        "delete-if-match",
        "delete-many-if-match",
        "delete-if-match-atomic",
    ];
    let refused = refused.map(|name| (name, Finding::Refused));
    assert_eq!(gaps(&found), refused);
    assert_eq!(log.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_offered_is_not_asked_for() {
    let clock = ManualClock::new();
    let poor = Capabilities {
        put_if_absent: false,
        put_if_match: false,
        part_copy: false,
        copy_if: false,
        delete_if: false,
        ..MemoryStore::CAPABILITIES
    };
    let bucket = MemoryStore::with_capabilities(Arc::new(clock.clone()), poor);
    let log = LogStore::new(Arc::new(LyingStore::new(Arc::new(bucket), Lie::Nothing)));
    let found = probe(&log, &clock, 7).await;
    let names: Vec<_> = gaps(&found).iter().map(|(name, _)| *name).collect();
    let expected = [
        "put-if-absent",
        "put-if-match",
        "complete-if-absent",
        "complete-if-match",
        "copy-if-absent",
        "copy-if-match",
        "part-copy",
        "delete-if-match",
        "delete-many-if-match",
        "delete-if-match-atomic",
    ];
    assert_eq!(names, expected);
    for line in log.lines() {
        let asked = line.contains("if-absent") || line.contains("copy-part");
        assert!(!asked, "{line}");
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up_and_what_was_found_is_kept() {
    let clock = ManualClock::new();
    let bucket = memory(&clock);
    let lying = Arc::new(LyingStore::new(Arc::clone(&bucket) as _, Lie::Nothing));
    let rule = FaultRule::new(Effect::Delay(Duration::from_secs(1000)));
    let plan = FaultPlan::script([rule.on(Operation::MultipartStart)]);
    let fault = Fault::new(lying, plan, Arc::new(clock.clone()));
    let mut asked = Box::pin(probe(&fault, &clock, 7));
    assert!((&mut asked).now_or_never().is_none());
    clock.advance(TIME_MAX);
    let found = asked.now_or_never().expect("it ends in time");
    assert_eq!(
        gaps(&found),
        [
            ("complete-if-absent", Finding::Unknown),
            ("complete-if-match", Finding::Unknown),
            ("part-copy", Finding::Unknown),
        ]
    );
    assert!(bucket.is_empty(), "{:?}", bucket.keys());
}

#[tokio::test]
async fn an_answer_that_failed_leaves_its_question_open() {
    for operation in Operation::ALL {
        let clock = ManualClock::new();
        let bucket = memory(&clock);
        let lying = Arc::new(LyingStore::new(Arc::clone(&bucket) as _, Lie::Nothing));
        let rule = FaultRule::new(Effect::Fail(ErrorKind::Server)).on(operation);
        let fault = Fault::new(lying, FaultPlan::script([rule]), Arc::new(clock.clone()));
        let found = probe(&fault, &clock, 7).await;
        for (name, finding) in gaps(&found) {
            assert_eq!(finding, Finding::Unknown, "{operation}: {name}");
        }
    }
}

#[tokio::test]
async fn a_race_that_was_lost_ends_the_races() {
    let clock = ManualClock::new();
    let lying = LyingStore::new(memory(&clock), Lie::RemovesInTwoSteps);
    let log = LogStore::new(Arc::new(lying));
    let found = probe(&log, &clock, 7).await;
    assert_eq!(found.delete_if_match_atomic, Finding::Ignored);
    let lines = log.lines();
    let races = |start: &str| {
        let of_races = format!("{start} {SCRATCH}0000000000000007-race-");
        let of_races = lines.iter().filter(|line| line.starts_with(&of_races));
        of_races.count()
    };
    assert_eq!((races("put"), races("delete")), (16, 8), "{lines:#?}");
}

#[test]
fn a_race_that_was_seen_once_is_not_forgotten() {
    let seen = Honoured {
        delete_if_match_atomic: Finding::Ignored,
        ..ALL_KEPT
    };
    let unknown = Honoured {
        delete_if_match_atomic: Finding::Unknown,
        ..ALL_KEPT
    };
    assert_eq!(ALL_KEPT.after(&seen), seen);
    assert_eq!(unknown.after(&seen), seen);
    assert_eq!(seen.after(&ALL_KEPT), seen);
    assert_eq!(ALL_KEPT.after(&unknown), ALL_KEPT);
    let refused = Honoured {
        delete_if_match: Finding::Refused,
        delete_if_match_atomic: Finding::Refused,
        ..ALL_KEPT
    };
    assert_eq!(refused.after(&seen), refused, "there is no such race");
}

#[tokio::test]
async fn what_an_interrupted_probe_left_is_removed_by_the_next() {
    let clock = ManualClock::new();
    let bucket = memory(&clock);
    let left = Key::new(format!("{SCRATCH}0000000000000001-put")).unwrap();
    let other = Key::new("of-somebody").unwrap();
    for key in [&left, &other] {
        let payload = Bytes::from_static(b"x").into();
        let options = PutOptions::default();
        bucket.put(key, payload, options.clone()).await.unwrap();
        bucket.multipart_start(key, &options).await.unwrap();
    }
    let store = LyingStore::new(Arc::clone(&bucket) as _, Lie::Nothing);
    // A probe of another mount may be under way.
    probe(&store, &clock, 7).await;
    assert_eq!(bucket.keys(), [left.clone(), other.clone()]);
    clock.advance(Duration::from_secs(3601));
    probe(&store, &clock, 8).await;
    assert_eq!(bucket.keys(), std::slice::from_ref(&other));
    assert_eq!(bucket.uploads_in_progress(), 1);
    // One that is known to be over need not be old.
    let options = PutOptions::default();
    let payload = Bytes::from_static(b"x").into();
    bucket.put(&left, payload, options.clone()).await.unwrap();
    bucket.multipart_start(&left, &options).await.unwrap();
    let (found, leaves) = probe_after(&store, &clock, 9, &[4, 1]).await;
    assert_eq!((found, leaves), (ALL_KEPT, Leaves::Nothing));
    assert_eq!(bucket.keys(), [other]);
    assert_eq!(bucket.uploads_in_progress(), 1);
}
