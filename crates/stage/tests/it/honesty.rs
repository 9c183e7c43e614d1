//! Endpoints that do not do what they say: they are asked before the first write, and whatever they
//! do, the bucket ends as it should.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_stage::{RemoteBelief, StageSettings, Submit};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_store::probe::{Finding, SCRATCH};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore};
use cloudmount_testkit::Lie;

use crate::world::{World, key, metadata, pattern};

const DAY: Duration = Duration::from_secs(86_400);

fn settings() -> StageSettings {
    StageSettings {
        multipart_bytes_min: 1 << 20,
        part_bytes: 1 << 20,
        ..StageSettings::default()
    }
}

fn is_probe(line: &str) -> bool {
    line.contains(SCRATCH)
}

/// The calls since the last time, and how many of them asked what the endpoint honours.
fn calls(world: &World) -> (Vec<String>, usize) {
    let all = world.calls();
    let asked = all.iter().filter(|line| is_probe(line)).count();
    let others = all.into_iter().filter(|line| !is_probe(line)).collect();
    (others, asked)
}

/// The keys of all objects but those under names that a conflict gave.
fn keys(world: &World) -> Vec<String> {
    (world.bucket.keys().iter())
        .map(|key| key.as_str().to_owned())
        .filter(|key| !key.contains("(conflict"))
        .collect()
}

/// Everything that depends on what the endpoint honours, with someone else in between.
async fn work(world: &mut World) {
    let large = pattern(1, 3 << 20);
    world.theirs("taken", b"theirs").await;
    world.write("taken", b"ours");
    world.object("moved", b"to be moved").await;
    world.object("touched", b"touched").await;
    world.object("small", b"small").await;
    world.object("overtaken", b"first").await;
    world.object("large", &large).await;
    let stage = world.stage.clone();
    let overtaken = world.base("overtaken").await;
    let file = stage
        .create(&key("overtaken"), Some(overtaken), metadata("2"))
        .unwrap();
    file.write_at(0, b"ours!").unwrap();
    world.theirs("overtaken", b"theirs").await;
    stage.submit(&file, Submit::Closed).unwrap();
    stage
        .rename_object(
            world.base("moved").await,
            &key("new"),
            RemoteBelief::Absent,
            metadata("3"),
        )
        .unwrap();
    let version = world.version("touched").await.unwrap();
    stage
        .set_metadata(&key("touched"), metadata("4"), version)
        .unwrap();
    let base = world.base("small").await;
    let file = stage
        .create(&key("small"), Some(base), metadata("5"))
        .unwrap();
    file.write_at(0, b"S").unwrap();
    stage.submit(&file, Submit::Closed).unwrap();
    let base = world.base("large").await;
    let file = stage
        .create(&key("large"), Some(base), metadata("6"))
        .unwrap();
    file.write_at(10, b"changed").unwrap();
    stage.submit(&file, Submit::Closed).unwrap();
    world.settle().await;
    ends_right(world, large).await;
}

/// Whether the bucket holds what [`work`] should leave.
async fn ends_right(world: &World, large: Vec<u8>) {
    let mut changed = large;
    changed[10..17].copy_from_slice(b"changed");
    for (name, wanted) in [
        ("taken", &b"theirs"[..]),
        ("overtaken", b"theirs"),
        ("new", b"to be moved"),
        ("touched", b"touched"),
        ("small", b"Small"),
        ("large", &changed),
    ] {
        let found = world.content(name).await;
        assert!(found.as_deref() == Some(wanted), "{name}: {found:?}");
    }
    for (name, mtime) in [
        ("new", "3"),
        ("touched", "4"),
        ("small", "5"),
        ("large", "6"),
    ] {
        assert_eq!(world.mtime(name).await.as_deref(), Some(mtime), "{name}");
    }
    let names = ["large", "new", "overtaken", "small", "taken", "touched"];
    assert_eq!(keys(world), names);
    assert_eq!(
        world.bucket.len(),
        names.len() + 2,
        "both ours are kept too"
    );
    assert_eq!(world.bucket.uploads_in_progress(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_an_endpoint_lies_about_the_bucket_ends_right() {
    for lie in Lie::ALL {
        if lie == Lie::Forbids {
            continue;
        }
        let (mut world, _) = World::lying(settings(), lie);
        work(&mut world).await;
        let status = world.stage.status();
        let gaps = status.honoured.findings();
        let all_kept = gaps.iter().all(|(_, finding)| finding.is_kept());
        let is_told = matches!(lie, Lie::Nothing | Lie::DropsTags);
        assert_eq!(all_kept, is_told, "{lie:?}: {gaps:?}");
        let conditions_lack = matches!(
            lie,
            Lie::IgnoresAbsent
                | Lie::IgnoresMatch
                | Lie::IgnoresOnComplete
                | Lie::NotImplemented
                | Lie::RefusesAll
                | Lie::RemovesAnything
                | Lie::RemovesInTwoSteps
        );
        assert_eq!(status.window_open, conditions_lack, "{lie:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_asked_once_and_remembered_for_thirty_days() {
    let (mut world, _) = World::lying(settings(), Lie::IgnoresMatch);
    world.write("a", b"1");
    world.write("b", b"2");
    world.settle().await;
    let (mut written, asked) = calls(&world);
    written.sort();
    let wanted = ["put a 1 bytes if-absent", "put b 1 bytes if-absent"];
    for (line, wanted) in written.iter().zip(wanted) {
        assert!(line.starts_with(wanted), "{written:?}");
    }
    assert_eq!(written.len(), 2);
    assert!((20..=60).contains(&asked), "{asked}");
    world.crash().await;
    let honoured = world.stage.status().honoured;
    assert_eq!(honoured.put_if_match, Finding::Ignored);
    world.write("c", b"3");
    world.settle().await;
    assert_eq!(calls(&world).1, 0);
    world.clock.advance(29 * DAY);
    world.write("d", b"4");
    world.settle().await;
    assert_eq!(calls(&world).1, 0);
    world.clock.advance(DAY);
    world.write("e", b"5");
    world.settle().await;
    assert!(calls(&world).1 > 0);
}

/// A kill while the endpoint is asked leaves scratch objects and uploads, which nobody else would remove for an
/// hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_probe_left_is_gone_after_the_next_mount() {
    let (mut world, _) = World::lying(settings(), Lie::Nothing);
    world.hang(Operation::MultipartComplete);
    drop(world.write("a", b"1"));
    world.until_call("start .cloudmount-probe-").await;
    world.quiet().await;
    // What it left is looked at between the kill and the next mount, which hangs no more.
    let (bucket, fault) = (Arc::clone(&world.bucket), Arc::clone(&world.fault));
    let mut late = None;
    world
        .crash_then(|_| {
            assert!(bucket.len() > 1, "{:?}", bucket.keys());
            assert!(bucket.uploads_in_progress() > 0);
            late = bucket.keys().into_iter().next();
            fault.clear();
        })
        .await;
    let late = late.unwrap();
    assert_ne!(late, key("a"));
    world.settle().await;
    assert_eq!(world.bucket.keys(), [key("a")]);
    assert_eq!(world.bucket.uploads_in_progress(), 0);
    // What was under way at the kill may arrive yet: the next mount looks once more, and then nobody does.
    world.theirs(late.as_str(), b"late").await;
    for (name, is_left) in [("b", true), ("c", false)] {
        drop(calls(&world));
        world.crash().await;
        world.write(name, b"2");
        world.settle().await;
        assert_eq!(calls(&world).1 > 0, is_left);
        assert!(!world.bucket.keys().contains(&late));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_writes_nothing_asks_nothing() {
    let (mut world, _) = World::lying(settings(), Lie::Nothing);
    world.theirs("a", b"theirs").await;
    world.quiet().await;
    world
        .stage
        .remove(&key("a"), RemoteBelief::Unknown)
        .unwrap();
    world.settle().await;
    assert_eq!(calls(&world).1, 0, "nothing of it depends on the answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_found_out_is_not_relied_on_and_asked_again() {
    let (mut world, _) = World::lying(settings(), Lie::Nothing);
    // Of all the questions only those about copies are answered.
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Server));
    world.fault.add(rule.clone().on(Operation::Put).nth(1));
    world
        .fault
        .add(rule.on(Operation::MultipartStart).calls(1..=2));
    world.write("a", b"1");
    world.settle().await;
    let (written, asked) = calls(&world);
    assert!(asked > 0);
    assert_eq!(written[0], "head a ! not found");
    assert!(written[1].starts_with("put a 1 bytes -> "), "{written:?}");
    assert!(world.stage.status().window_open);
    world.clock.advance(Duration::from_secs(601));
    world.write("b", b"2");
    world.settle().await;
    let (written, asked) = calls(&world);
    assert!(asked > 0);
    assert!(
        written[0].starts_with("put b 1 bytes if-absent"),
        "{written:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_contradicts_itself_is_asked_again() {
    let (mut world, liar) = World::lying(settings(), Lie::Nothing);
    world.write("a", b"1");
    world.settle().await;
    drop(calls(&world));
    liar.tell(Lie::NotImplemented);
    world.write("b", b"2");
    world.settle().await;
    let (written, asked) = calls(&world);
    assert_eq!(asked, 0);
    assert!(written[0].ends_with("! not supported by this store"));
    assert_eq!(world.content("b").await.unwrap(), b"2");
    world.crash().await;
    assert_eq!(
        world.stage.status().honoured.put_if_absent,
        Finding::Refused
    );
    liar.tell(Lie::Nothing);
    world.clock.advance(Duration::from_secs(3601));
    world.write("c", b"3");
    world.settle().await;
    let (written, asked) = calls(&world);
    assert!(asked > 0);
    assert!(
        written[0].starts_with("put c 1 bytes if-absent"),
        "{written:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_left_something_else_is_noticed_and_made_good() {
    let (mut world, liar) = World::lying(settings(), Lie::Nothing);
    let base = world.object("old", b"content").await;
    liar.tell(Lie::CopiesNothing);
    world
        .stage
        .rename_object(base, &key("new"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    assert_eq!(world.content("new").await.unwrap(), b"content");
    assert_eq!(world.mtime("new").await.unwrap(), "2");
    assert_eq!(keys(&world), ["new"]);
    let lines = world.calls();
    let read = lines.iter().position(|line| line.starts_with("get old"));
    let removed = lines
        .iter()
        .position(|line| line.starts_with("delete old if-match"));
    assert!(read.is_some() && read < removed, "{lines:#?}");
    assert!(!world.stage.status().honoured.copy.is_kept());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_another_version_is_noticed() {
    let (mut world, _) = World::lying(settings(), Lie::CopiesAnySource);
    let base = world.object("old", b"first").await;
    world.theirs("old", b"second, of someone").await;
    world
        .stage
        .rename_object(base, &key("new"), RemoteBelief::Absent, metadata("2"))
        .unwrap();
    world.settle().await;
    // As if they had been a little faster than the rename.
    assert_eq!(world.content("new").await.unwrap(), b"second, of someone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archived_object_says_nothing_of_others() {
    let (mut world, _) = World::lying(settings(), Lie::Nothing);
    let archived = world.object("archived", b"cold").await;
    let other = world.object("other", b"warm").await;
    let rule = FaultRule::new(Effect::Fail(ErrorKind::Archived));
    world.fault.add(rule.key(key("archived")));
    let stage = world.stage.clone();
    for (base, to) in [(archived, "new/archived"), (other, "new/other")] {
        stage
            .rename_object(base, &key(to), RemoteBelief::Absent, metadata("2"))
            .unwrap();
    }
    world
        .until("one failed, one is there", |world| {
            let totals = world.stage.status().totals;
            totals.failed == 1 && world.bucket.keys().contains(&key("new/other"))
        })
        .await;
    assert!(world.stage.status().honoured.copy.is_kept());
    assert_eq!(world.content("archived").await.unwrap(), b"cold");
    let calls = world.calls();
    assert!(
        !calls.iter().any(|line| line.starts_with("get")),
        "{calls:#?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_store_is_not_asked() {
    let mut world = World::with(
        settings(),
        Capabilities {
            put_if_match: false,
            ..MemoryStore::CAPABILITIES
        },
    );
    world.write("a", b"1");
    world.settle().await;
    assert_eq!(world.calls(), ["put a 1 bytes if-absent -> v1"]);
    assert_eq!(world.stage.status().honoured.put_if_match, Finding::Refused);
    assert!(!world.dir.path().join("endpoint.json").exists());
}
