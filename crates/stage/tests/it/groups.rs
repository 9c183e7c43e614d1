//! Many keys that are one for a person: renames of folders, removals of trees.

use std::time::Duration;

use cloudmount_stage::{GroupStatus, RemoteBelief, RenameItem};
use cloudmount_store::ErrorKind as StoreErrorKind;
use cloudmount_store::layer::{Effect, FaultRule, Operation};

use crate::world::{World, key, metadata};

fn group(folder: &str, to: Option<&str>, done: usize, total: usize) -> GroupStatus {
    GroupStatus {
        folder: folder.to_owned(),
        to: to.map(str::to_owned),
        keys_total: total,
        keys_done: done,
    }
}

/// Objects in the bucket that the stage has forgotten.
async fn objects(world: &mut World, names: impl Iterator<Item = String>) -> Vec<String> {
    let names: Vec<_> = names.collect();
    for name in &names {
        drop(world.write(name, b"x"));
    }
    world.settle().await;
    names
}

async fn rename(world: &World, names: &[String], from: &str, to: &str) {
    let mut items = Vec::new();
    for name in names {
        items.push(RenameItem::Object {
            base: world.base(name).await,
            to: key(&name.replacen(from, to, 1)),
            to_remote: RemoteBelief::Absent,
            metadata: metadata("1"),
        });
    }
    let folders = (&key(from), &key(to));
    drop(world.stage.rename_folder(folders, items).unwrap());
}

async fn remove(world: &World, names: &[String]) {
    for name in names {
        let belief = world.belief(name).await;
        world.stage.remove(&key(name), belief).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rename_of_a_folder_is_one_with_its_progress() {
    let mut world = World::new();
    let names = objects(&mut world, (0..20).map(|n| format!("photos/{n:02}"))).await;
    world.stage.pause();
    rename(&world, &names, "photos/", "pictures/").await;
    drop(world.write("beside", b"x"));
    drop(world.write("pictures/new", b"x"));
    let status = world.stage.status();
    let shown = group("photos/", Some("pictures/"), 0, 20);
    assert_eq!(status.groups, [shown]);
    let keys: Vec<_> = status.keys.iter().map(|key| &*key.key).collect();
    assert_eq!(keys, ["beside", "pictures/new"]);
    assert_eq!(status.totals.keys, 42, "they count all the same");
    // One of them does not work: it is named, and is what is left.
    let forbidden = Effect::Fail(StoreErrorKind::Forbidden);
    let rule = FaultRule::new(forbidden).on(Operation::Copy);
    world.fault.add(rule.key(key("pictures/07")));
    world.stage.resume();
    world
        .until("all but one", |world| {
            world.stage.status().groups == [group("photos/", Some("pictures/"), 19, 20)]
        })
        .await;
    let keys: Vec<_> = (world.stage.status().keys.into_iter())
        .filter(|key| key.error.is_some())
        .map(|key| key.key)
        .collect();
    assert_eq!(keys, ["pictures/07"]);
    world.fault.clear();
    world.stage.flush_all();
    world.settle().await;
    assert_eq!(world.stage.status().groups, []);
    assert_eq!(world.bucket.len(), 22);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_of_a_tree_is_one_with_its_progress() {
    let mut world = World::new();
    let tree = (0..30).map(|n| format!("d/{}/{n}", n % 3));
    let tree = objects(&mut world, tree.chain((0..5).map(|n| format!("d/{n}")))).await;
    let few = objects(&mut world, (0..3).map(|n| format!("few/{n}"))).await;
    world.stage.pause();
    remove(&world, &tree).await;
    remove(&world, &few).await;
    let status = world.stage.status();
    assert_eq!(status.groups, [group("d/", None, 0, 35)]);
    // A handful is shown by name.
    let keys: Vec<_> = status.keys.iter().map(|key| &*key.key).collect();
    assert_eq!(keys, ["few/0", "few/1", "few/2"]);
    // Some are read: their removal waits, and the rest is done.
    let holds: Vec<_> = (tree.iter().take(4))
        .map(|name| world.stage.hold(&key(name)))
        .collect();
    world.stage.resume();
    world
        .until("all but those", |world| {
            world.stage.status().groups == [group("d/", None, 31, 35)]
        })
        .await;
    drop(holds);
    world.settle().await;
    assert_eq!(world.stage.status().groups, []);
    assert_eq!(world.bucket.len(), 0);
}

/// What was removed there before is over, whether anybody looked or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_removal_of_a_tree_counts_anew() {
    let mut world = World::new();
    for _ in 0..2 {
        let tree = objects(&mut world, (0..12).map(|n| format!("d/{n}"))).await;
        world.stage.pause();
        remove(&world, &tree).await;
        world.stage.resume();
        world.until("gone", |world| world.bucket.is_empty()).await;
        for name in &tree {
            let stage = &world.stage;
            world
                .until("over", |_| stage.pending(&key(name)).is_none())
                .await;
        }
    }
    let tree = objects(&mut world, (0..15).map(|n| format!("d/{n}"))).await;
    world.stage.pause();
    remove(&world, &tree).await;
    assert_eq!(world.stage.status().groups, [group("d/", None, 0, 15)]);
    world.clock.advance(Duration::from_secs(1));
}
