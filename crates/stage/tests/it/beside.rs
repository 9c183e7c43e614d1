//! Someone else made an object of the name of a file whose parts are away: the two change places.

use std::collections::BTreeMap;
use std::time::Duration;

use cloudmount_stage::{Event, Submit};
use cloudmount_store::layer::{Effect, Operation};
use cloudmount_store::{Capabilities, ErrorKind, MemoryStore};

use crate::away::{settings, written};
use crate::world::{LONG, World, pattern};

/// How long a request is on its way: no more time passes while something is done meanwhile.
const SOON: Duration = Duration::from_secs(20);

fn world(capabilities: Capabilities) -> World {
    World::with(settings(), capabilities)
}

const CAPABILITIES: Capabilities = Capabilities {
    part_bytes_min: 1 << 20,
    ..MemoryStore::CAPABILITIES
};

/// All that the bucket has, by key.
async fn all(world: &World) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for key in world.bucket.keys() {
        let bytes = world.content(key.as_str()).await.unwrap();
        found.insert(key.as_str().to_owned(), bytes);
    }
    found
}

/// Waits until all is done; ours must be `f`, and each of `theirs` one other object, and no more.
async fn check(world: &mut World, ours: &[u8], theirs: &[&[u8]], what: &str) {
    world.settle().await;
    let mut found = all(world).await;
    let names: Vec<_> = found.keys().cloned().collect();
    assert!(found.remove("f").unwrap() == ours, "{what}: {names:?}");
    assert_eq!(found.len(), theirs.len(), "{what}: {names:?}");
    for (name, bytes) in &found {
        assert!(name.starts_with("f (conflict from "), "{what}: {names:?}");
        assert!(theirs.contains(&&bytes[..]), "{what}: {names:?}");
        assert_eq!(world.mtime(name).await.unwrap(), "theirs", "{what}");
    }
    let mut contents: Vec<_> = found.values().collect();
    contents.sort();
    contents.dedup();
    assert_eq!(contents.len(), theirs.len(), "{what}: each once");
    world
        .until("no upload is left", |world| {
            world.bucket.uploads_in_progress() == 0
        })
        .await;
}

/// However theirs can be copied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn theirs_gets_another_name_if_ours_has_parts_away() {
    let no_copies = Capabilities {
        copy_bytes_max: 0,
        ..CAPABILITIES
    };
    let no_part_copies = Capabilities {
        part_copy: false,
        ..no_copies
    };
    let large = pattern(3, 9 << 20);
    let cases: [(&str, Capabilities, &[u8], &str); 5] = [
        ("copied", CAPABILITIES, b"theirs", "copy f"),
        ("nothing in it", CAPABILITIES, b"", "copy f"),
        ("put", no_copies, b"theirs", "get f"),
        ("copied in parts", no_copies, &large, "copy-part \"f ("),
        ("read in parts", no_part_copies, &large, "part \"f ("),
    ];
    for (what, capabilities, theirs, call) in cases {
        let mut world = world(capabilities);
        let (file, bytes) = written(&world, "f").await;
        world.theirs("f", theirs).await;
        world.stage.submit(&file, Submit::Closed).unwrap();
        drop(file);
        check(&mut world, &bytes, &[theirs], what).await;
        let lines = world.calls();
        assert!(
            lines.iter().any(|line| line.starts_with(call)),
            "{what}: {lines:#?}"
        );
        let told: Vec<_> = (world.events().into_iter())
            .filter(|event| !matches!(event, Event::Failed { .. }))
            .collect();
        let [
            Event::TheirsBeside { key, theirs_as },
            Event::Committed { .. },
        ] = &told[..]
        else {
            panic!("{what}: {told:?}");
        };
        assert_eq!(key.as_str(), "f");
        assert!(world.content(theirs_as.as_str()).await.unwrap() == theirs);
    }
}

/// What fails, or whose answer is lost, at each of the steps: nothing is lost, and nothing is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_while_theirs_gets_another_name_lose_and_double_nothing() {
    for effect in [Effect::LoseReply, Effect::Fail(ErrorKind::Server)] {
        for (operation, nth) in [
            (Operation::MultipartComplete, 1),
            (Operation::MultipartComplete, 2),
            (Operation::Copy, 1),
            (Operation::Head, 1),
            (Operation::Head, 2),
        ] {
            let mut world = world(CAPABILITIES);
            let (file, bytes) = written(&world, "f").await;
            world.theirs("f", b"theirs").await;
            world.fault(effect, operation, nth);
            world.stage.submit(&file, Submit::Closed).unwrap();
            drop(file);
            let what = format!("{effect:?} {operation} {nth}");
            check(&mut world, &bytes, &[b"theirs"], &what).await;
        }
    }
}

/// Submits a file with parts away whose name someone took, and waits until `nth` call of `operation`
/// has that effect, with so many objects and uploads in the bucket. Gives the content.
async fn stopped(
    world: &World,
    (effect, operation, nth): (Effect, Operation, u64),
    (objects, uploads): (usize, usize),
) -> Vec<u8> {
    let (file, bytes) = written(world, "f").await;
    world.theirs("f", b"first").await;
    world.fault(effect, operation, nth);
    world.stage.submit(&file, Submit::Closed).unwrap();
    let call = match operation {
        Operation::Copy => "copy f",
        _ => "complete f",
    };
    world
        .until("the step is under way", |world| {
            let lines = world.log.lines();
            let calls = lines.iter().filter(|line| line.starts_with(call));
            let bucket = &world.bucket;
            calls.count() as u64 == nth
                && (bucket.len(), bucket.uploads_in_progress()) == (objects, uploads)
        })
        .await;
    bytes
}

/// A kill between any two of the steps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_while_theirs_gets_another_name_loses_and_doubles_nothing() {
    let (wait, late) = (Effect::Delay(LONG), Effect::Late(LONG));
    for (effect, operation, nth, there) in [
        // Nothing is copied; it is copied, and nobody knows.
        (wait, Operation::Copy, 1, (1, 1)),
        (late, Operation::Copy, 1, (2, 1)),
        // Ours is to take the name; it has, and nobody knows.
        (wait, Operation::MultipartComplete, 2, (2, 1)),
        (late, Operation::MultipartComplete, 2, (2, 0)),
    ] {
        let what = format!("{effect:?} {operation}");
        let mut world = world(CAPABILITIES);
        let bytes = stopped(&world, (effect, operation, nth), there).await;
        world.crash().await;
        world.release();
        check(&mut world, &bytes, &[b"first"], &what).await;
    }
}

/// What someone puts there while theirs is copied is another object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_theirs_gets_another_name_gets_one_too() {
    let cases: [(_, _, _, &[&[u8]]); 2] = [
        (Operation::Copy, 1, (1, 1), &[b"second"]),
        (
            Operation::MultipartComplete,
            2,
            (2, 1),
            &[b"first", b"second"],
        ),
    ];
    for (operation, nth, there, kept) in cases {
        let mut world = world(CAPABILITIES);
        let step = (Effect::Delay(SOON), operation, nth);
        let bytes = stopped(&world, step, there).await;
        world.theirs("f", b"second").await;
        check(&mut world, &bytes, kept, &format!("{operation}")).await;
    }
}

/// The name that theirs is to get may be taken, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_taken_is_not_given_to_theirs() {
    let mut world = world(CAPABILITIES);
    let step = (Effect::Delay(SOON), Operation::Copy, 1);
    let bytes = stopped(&world, step, (1, 1)).await;
    let lines = world.log.lines();
    let line = lines.iter().find(|line| line.starts_with("copy f"));
    let name = line.unwrap().split('"').nth(1).unwrap().to_owned();
    world.theirs(&name, b"another").await;
    check(&mut world, &bytes, &[b"first", b"another"], "taken").await;
    assert_eq!(world.content(&name).await.unwrap(), b"another");
}
