//! Random operations: two models agree, and a flaw is found and told so that it can be pasted.

use std::collections::BTreeMap;

use cloudmount_testkit::kernel::{Interrupt, Options};
use cloudmount_testkit::model::{Flaw, ModelWorld, Pace, Settings};
use cloudmount_testkit::ops::{Divergence, Include, Op, check, ops};
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::{LogStore, World, transcript};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

/// Operations in one row.
const OPS: usize = 40;

/// Rows that are tried to find a flaw.
const ROWS_MAX: usize = 300;

async fn reference() -> ModelWorld {
    let options = Options {
        interrupt: Interrupt::Never,
        ..Options::default()
    };
    ModelWorld::default().with_options(options)
}

fn subject(flaw: Option<Flaw>) -> ModelWorld {
    let settings = Settings {
        pace: Pace::Yielding,
        flaw,
        ..Settings::default()
    };
    let options = Options {
        scan_room: 1,
        interrupt: Interrupt::Always,
        ..Options::default()
    };
    ModelWorld::new(settings).with_options(options)
}

proptest! {
    #![proptest_config(Config { cases: 48, failure_persistence: None, ..Config::default() })]

    #[test]
    fn two_models_agree(row in ops(OPS, Include::Remount)) {
        check(reference, || async { subject(None) }, &row).unwrap();
    }
}

/// The first divergence that random rows find, shrunk by leaving operations out.
fn hunt(flaw: Flaw) -> Option<(Vec<Op>, Divergence)> {
    let mut runner = TestRunner::deterministic();
    let rows = ops(OPS, Include::Remount);
    let try_row = |row: &[Op]| check(reference, || async { subject(Some(flaw)) }, row).err();
    for _ in 0..ROWS_MAX {
        let mut row = rows
            .new_tree(&mut runner)
            .expect("rows can be made")
            .current();
        let Some(mut found) = try_row(&row) else {
            continue;
        };
        let mut at = 0;
        while at < row.len() {
            let mut shorter = row.clone();
            shorter.remove(at);
            match try_row(&shorter) {
                Some(again) => (row, found) = (shorter, again),
                None => at += 1,
            }
        }
        return Some((row, found));
    }
    None
}

#[test]
fn flaws_are_found_by_chance() {
    for flaw in [
        Flaw::TruncateLeavesTail,
        Flaw::IgnoresTruncate,
        Flaw::AppendsAtOffset,
        Flaw::ForgetsMode,
        Flaw::DropsXattrs,
        Flaw::IgnoresNoReplace,
        Flaw::FoldersVanish,
        Flaw::RmdirIgnoresEntries,
        Flaw::UnlinkDropsContent,
        Flaw::KeepsStalePages,
        Flaw::ForgetsAttributesAtRemount,
        Flaw::AppliesBeforeReady,
        Flaw::LosesEntry,
    ] {
        let (row, found) = hunt(flaw).unwrap_or_else(|| panic!("{flaw:?} was not found"));
        assert!(
            row.len() < OPS / 2,
            "{flaw:?} takes few operations:\n{found}"
        );
        assert!(!found.what().is_empty());
    }
}

/// What a divergence prints is a transcript that holds on the reference.
#[tokio::test]
async fn the_steps_of_a_divergence_can_be_pasted() {
    let hunted = tokio::task::spawn_blocking(|| hunt(Flaw::TruncateLeavesTail))
        .await
        .unwrap();
    let (_, found) = hunted.expect("it is found by chance");
    let told = found.to_string();
    let (_, pasted) = told
        .split_once("the steps, as a transcript:\n\n")
        .expect("it says so");
    let world = reference().await;
    let log = LogStore::new(world.store().unwrap());
    let mut mounted = Mounted::new(world).await;
    transcript::check(&mut mounted, &log, pasted).await;
    mounted.end().await;
}

/// Most random operations find something to do, and every kind of step comes and succeeds.
#[test]
fn most_steps_succeed_and_every_kind_comes() {
    let mut runner = TestRunner::deterministic();
    let rows = ops(OPS, Include::Remount);
    let mut tally = BTreeMap::<String, (usize, usize)>::new();
    for _ in 0..60 {
        let row = rows
            .new_tree(&mut runner)
            .expect("rows can be made")
            .current();
        for step in check(reference, reference, &row).unwrap() {
            let (step, result) = step.split_once(" => ").unwrap();
            let kind = step.split(' ').next().unwrap().to_owned();
            let (come, failed) = tally.entry(kind).or_default();
            *come += 1;
            *failed += usize::from(result.starts_with('!'));
        }
    }
    assert!(
        tally.values().all(|(come, failed)| failed < come),
        "{tally:?}"
    );
    let (come, failed) = tally
        .values()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert!(failed * 2 < come, "{failed} of {come} failed: {tally:?}");
    let kinds = "append chmod close create delete ln mkdir mv mv-new open patch pread put pwrite \
                 remount resize rm rmdir rmxattr setxattr settle stat sync touch truncate wait \
                 write forget";
    for kind in kinds.split(' ') {
        assert!(tally.contains_key(kind), "{kind} never came: {tally:?}");
    }
}
