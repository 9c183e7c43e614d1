//! Tests of the module `journal`.

use proptest::prelude::*;

use super::record::{BeliefRecord, BesideRecord, DesiredRecord, FileRecord, KeyRecord, SentRecord};
use super::*;
use crate::ranges::RangeSet;

fn key(name: &str, version: u64) -> Change {
    Change::Key(KeyRecord {
        key: name.to_owned(),
        remote: BeliefRecord::Present(version.to_string()),
        desired: DesiredRecord::Content {
            file: version,
            bytes: 7,
            metadata: record::MetadataRecord::default(),
        },
        submitted: version.is_multiple_of(2),
        removed_before: false,
        former: None,
        beside: version.is_multiple_of(3).then(|| BesideRecord {
            name: format!("{name} 2"),
            theirs: "v".to_owned(),
        }),
        sent: Vec::new(),
    })
}

fn file(id: u64) -> Change {
    Change::File(FileRecord {
        id,
        size: 100,
        base: None,
        base_limit: 100,
        present: vec![(0, 10)],
        dirty: Vec::new(),
        replaces: None,
        away: None,
    })
}

fn change() -> impl Strategy<Value = Change> {
    let name = prop::sample::select(vec!["a", "b", "c\u{1}\n\"", "d/"]);
    let (start, len) = (0..100_u64, 1..50_u64);
    prop_oneof![
        4 => (name.clone(), 0..8_u64).prop_map(|(name, version)| key(name, version)),
        2 => name.clone().prop_map(|name| Change::Settled { key: name.to_owned() }),
        2 => (0..8_u64).prop_map(file),
        4 => (0..8_u64, start.clone(), len.clone())
            .prop_map(|(file, start, len)| Change::Wrote { file, start, end: start + len }),
        2 => (0..8_u64, start, len)
            .prop_map(|(file, start, len)| Change::Filled { file, start, end: start + len }),
        2 => (0..8_u64, 0..100_u64)
            .prop_map(|(file, at)| Change::Resized { file, size: at, base_limit: at }),
        1 => (name.clone(), 0..4_u64).prop_map(|(name, size)| Change::Sending {
            key: name.to_owned(),
            sent: SentRecord { size: Some(size), user: None, tag: None, file: None, upload: Some(format!("u{size}")) },
        }),
        1 => (name.clone(), 0..4_i64)
            .prop_map(|(name, at)| Change::UploadIntended { key: name.to_owned(), at }),
        1 => (name.clone(), 0..4_i64)
            .prop_map(|(name, at)| Change::IntentEnded { key: name.to_owned(), at }),
        1 => (name, 0..4_u8).prop_map(|(name, upload)| Change::UploadStarted {
            key: name.to_owned(),
            upload: upload.to_string(),
        }),
        1 => (0..4_u8).prop_map(|upload| Change::UploadEnded { upload: upload.to_string() }),
    ]
}

fn records() -> impl Strategy<Value = Vec<Vec<Change>>> {
    prop::collection::vec(prop::collection::vec(change(), 1..4), 0..20)
}

/// Ranges may come in another order and in other pieces; the sets are what counts.
fn normal(mut state: Replayed) -> Replayed {
    for file in state.files.values_mut() {
        for ranges in [&mut file.present, &mut file.dirty] {
            *ranges = record::ranges_below(&record::range_set(ranges), u64::MAX);
        }
    }
    state.boot.clear();
    state.done = RangeSet::default();
    state.torn_bytes = 0;
    state.good_bytes = 0;
    state
}

fn expected(records: &[Vec<Change>]) -> Replayed {
    let mut state = Replayed::default();
    for record in records {
        state.apply(record.clone());
    }
    state.forget_unwanted_files();
    normal(state)
}

fn alive(state: &Replayed) -> Vec<Change> {
    let opened = Change::Opened {
        boot: "test".to_owned(),
        next_file: state.next_file,
        done: Vec::new(),
    };
    let files = state.files.values().cloned().map(Change::File);
    let keys = state.keys.values().cloned().map(Change::Key);
    let uploads = (state.uploads.iter()).map(|(upload, key)| Change::UploadStarted {
        key: key.clone(),
        upload: upload.clone(),
    });
    let intents = (state.intents.iter()).map(|(key, at)| Change::UploadIntended {
        key: key.clone(),
        at: *at,
    });
    std::iter::once(opened)
        .chain(files)
        .chain(keys)
        .chain(uploads)
        .chain(intents)
        .collect()
}

fn all_of(records: &[Vec<Change>]) -> Replayed {
    let mut state = Replayed::default();
    for record in records {
        state.apply(record.clone());
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_crash_at_any_byte_keeps_a_prefix(records in records(), cut in 0.0..1.0_f64) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::begin(dir.path(), &[], 0).unwrap();
        let mut ends = vec![journal.bytes()];
        for record in &records {
            journal.append(record).unwrap();
            ends.push(journal.bytes());
        }
        prop_assert_eq!(normal(load(dir.path()).unwrap()), expected(&records));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a share of a small number")]
        let length = (journal.bytes() as f64 * cut) as u64;
        let path = dir.path().join(LOG_NAME);
        File::options().write(true).open(path).unwrap().set_len(length).unwrap();
        let whole = ends.iter().filter(|end| **end <= length).count();
        let state = load(dir.path()).unwrap();
        let torn = length - ends[..whole].last().copied().unwrap_or(0);
        prop_assert_eq!(state.torn_bytes, torn);
        prop_assert_eq!(normal(state), expected(&records[..whole.saturating_sub(1)]));
    }

    #[test]
    fn a_damaged_byte_loses_nothing_before_it(records in records(), at in 0.0..1.0_f64) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::begin(dir.path(), &[], 0).unwrap();
        let first = journal.bytes();
        let mut ends = vec![first];
        for record in &records {
            journal.append(record).unwrap();
            ends.push(journal.bytes());
        }
        prop_assume!(journal.bytes() > first);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss,
            reason = "a share of a small number")]
        let hit = first + ((journal.bytes() - first) as f64 * at) as u64;
        let mut bytes = std::fs::read(dir.path().join(LOG_NAME)).unwrap();
        bytes[usize::try_from(hit).unwrap()] ^= 0x10;
        std::fs::write(dir.path().join(LOG_NAME), bytes).unwrap();
        let whole = ends.iter().filter(|end| **end <= hit).count();
        let state = load(dir.path()).unwrap();
        prop_assert!(state.torn_bytes > 0);
        prop_assert_eq!(normal(state), expected(&records[..whole - 1]));
    }

    #[test]
    fn compaction_keeps_what_is_alive(
        before in records(),
        early in records(),
        late in records(),
        after in records(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::begin(dir.path(), &[], 0).unwrap();
        for record in &before {
            journal.append(record).unwrap();
        }
        journal
            .compact(|| {
                // Some appends are seen by the snapshot, some come too late for it.
                for record in &early {
                    journal.append(record).unwrap();
                }
                let seen = alive(&all_of(&[before.clone(), early.clone()].concat()));
                for record in &late {
                    journal.append(record).unwrap();
                }
                seen
            })
            .unwrap();
        for record in &after {
            journal.append(record).unwrap();
        }
        let all = [before, early, late, after].concat();
        prop_assert_eq!(normal(load(dir.path()).unwrap()), expected(&all));
    }
}

#[test]
fn another_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = frame::header().to_vec();
    bytes[8] = 99;
    std::fs::write(dir.path().join(LOG_NAME), &bytes).unwrap();
    assert_eq!(load(dir.path()).unwrap_err().kind(), ErrorKind::Unsupported);
    assert_eq!(std::fs::read(dir.path().join(LOG_NAME)).unwrap(), bytes);
}

#[test]
fn a_log_of_the_first_format_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let started = Change::UploadStarted {
        key: "a".to_owned(),
        upload: "u".to_owned(),
    };
    let mut bytes = frame::header().to_vec();
    bytes[8] = 1;
    frame::encode(&[started], &mut bytes).unwrap();
    std::fs::write(dir.path().join(LOG_NAME), &bytes).unwrap();
    let uploads = load(dir.path()).unwrap().uploads;
    assert_eq!(uploads, [("u".to_owned(), "a".to_owned())].into());
}

#[test]
fn many_syncs_share_a_flush() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::begin(dir.path(), &[], 0).unwrap());
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let journal = Arc::clone(&journal);
            runtime.spawn(async move {
                journal.append(&[file(n)]).unwrap();
                journal.sync().await.unwrap();
                assert!(journal.synced.load(Ordering::Acquire) >= 1);
            })
        })
        .collect();
    runtime.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    assert_eq!(journal.synced.load(Ordering::Acquire), 50);
}
