//! What a person does about uploads: after it, this mount shows what the bucket has.

use std::collections::BTreeMap;

use cloudmount_stage::{Leftover, Scope};
use cloudmount_store::ErrorKind as StoreErrorKind;
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::World as _;
use cloudmount_testkit::suite::Mounted;
use cloudmount_vfs::{ErrorKind, OpenFlags};

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

async fn mounted() -> Here {
    Mounted::new(CoreWorld::quiet()).await
}

/// Gives up what waits at these paths.
async fn give_up(here: &Here, paths: &[&str]) -> Vec<String> {
    let core = &here.world().core;
    let scopes: Vec<Scope> = (paths.iter())
        .map(|path| core.scope(path).unwrap())
        .collect();
    let dropped = core.drop_uploads(&scopes, Leftover::Delete).await.unwrap();
    here.kernel().follow_changes();
    let keys = dropped.into_iter();
    keys.map(|dropped| dropped.key.as_str().to_owned())
        .collect()
}

/// All paths below `folder`, with contents; folders end in `/`.
async fn tree(here: &Here, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let k = here.kernel();
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for name in k.names(&folder).await.unwrap() {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            if k.stat(&path).await.unwrap().kind == cloudmount_vfs::NodeKind::Directory {
                found.insert(format!("{path}/"), Vec::new());
                folders.push(path);
            } else {
                let content = k.read_file(&path).await.unwrap();
                found.insert(path, content.to_vec());
            }
        }
    }
    found
}

/// The same of the bucket.
async fn bucket(here: &Here) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for key in here.keys().await {
        for (at, _) in key.match_indices('/') {
            found.insert(format!("/{}", &key[..=at]), Vec::new());
        }
        if !key.ends_with('/') {
            let content = here.object(&format!("/{key}")).await.unwrap();
            found.insert(format!("/{key}"), content.to_vec());
        }
    }
    found
}

async fn shows_the_bucket(here: &Here) {
    here.wait_for_foreign_changes().await;
    assert_eq!(tree(here, "/").await, bucket(here).await);
}

#[tokio::test]
async fn a_dropped_new_file_is_gone() {
    let here = mounted().await;
    let k = here.kernel();
    here.world().core.stage().pause();
    k.write_file("/f", b"new").await.unwrap();
    let reader = k.open("/f", OpenFlags::READ).await.unwrap();
    assert_eq!(give_up(&here, &["f"]).await, ["f"]);
    assert_eq!(k.stat("/f").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(k.read(reader, 0, 9).await.unwrap(), "new");
    k.close(reader).await.unwrap();
    let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.unwrap();
    k.close(fd).await.unwrap();
    give_up(&here, &[""]).await;
    shows_the_bucket(&here).await;
    here.end().await;
}

#[tokio::test]
async fn a_dropped_change_shows_the_object_again() {
    let here = mounted().await;
    let k = here.kernel();
    k.write_file("/f", b"of the bucket").await.unwrap();
    k.chmod("/f", 0o600).await.unwrap();
    here.world().settle().await;
    here.world().core.stage().pause();
    let ino = k.stat("/f").await.unwrap().ino;
    k.write_file("/f", b"mine").await.unwrap();
    k.chmod("/f", 0o644).await.unwrap();
    let reader = k.open("/f", OpenFlags::READ).await.unwrap();
    assert_eq!(give_up(&here, &["f"]).await, ["f"]);
    // Whoever read the other one gets no mixture of the two.
    let stale = k.read(reader, 0, 9).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Stale);
    k.close(reader).await.unwrap();
    let attr = k.stat("/f").await.unwrap();
    assert_eq!((attr.ino, attr.size), (ino, 13));
    assert_eq!(attr.permissions.bits(), 0o600);
    assert_eq!(k.read_file("/f").await.unwrap(), "of the bucket");
    // And it can be changed again.
    here.world().core.stage().resume();
    k.write_file("/f", b"again").await.unwrap();
    here.world().settle().await;
    shows_the_bucket(&here).await;
    here.end().await;
}

#[tokio::test]
async fn a_dropped_change_of_mode_shows_the_old_one() {
    let here = mounted().await;
    let k = here.kernel();
    k.write_file("/f", b"x").await.unwrap();
    k.chmod("/f", 0o600).await.unwrap();
    here.world().settle().await;
    k.drop_caches();
    here.world().core.stage().pause();
    k.chmod("/f", 0o640).await.unwrap();
    assert_eq!(give_up(&here, &["f"]).await, ["f"]);
    let mode = k.stat("/f").await.unwrap().permissions.bits();
    assert_eq!(mode, 0o600);
    here.end().await;
}

/// Also where the folder was removed with it.
#[tokio::test]
async fn a_dropped_removal_shows_the_file_again() {
    let here = mounted().await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    k.write_file("/d/f", b"kept").await.unwrap();
    here.world().settle().await;
    here.world().core.stage().pause();
    k.unlink("/d/f").await.unwrap();
    k.rmdir("/d").await.unwrap();
    assert_eq!(give_up(&here, &["d/f"]).await, ["d/f"]);
    assert_eq!(k.read_file("/d/f").await.unwrap(), "kept");
    assert_eq!(give_up(&here, &["d"]).await, ["d/"]);
    shows_the_bucket(&here).await;
    here.end().await;
}

#[tokio::test]
async fn a_dropped_rename_shows_the_old_names() {
    let here = mounted().await;
    let k = here.kernel();
    k.mkdir("/d", 0o755).await.unwrap();
    for name in ["f", "d/a", "d/b"] {
        k.write_file(&format!("/{name}"), name.as_bytes())
            .await
            .unwrap();
    }
    here.world().settle().await;
    here.world().core.stage().pause();
    k.rename("/f", "/g").await.unwrap();
    k.rename("/d", "/e").await.unwrap();
    assert_eq!(give_up(&here, &["g"]).await, ["f", "g"]);
    assert_eq!(k.read_file("/f").await.unwrap(), "f");
    assert_eq!(k.stat("/g").await.unwrap_err().kind(), ErrorKind::NotFound);
    let keys = give_up(&here, &["e"]).await;
    assert_eq!(keys, ["d/", "d/a", "d/b", "e/", "e/a", "e/b"]);
    here.world().core.stage().resume();
    here.world().settle().await;
    shows_the_bucket(&here).await;
    assert_eq!(k.read_file("/d/a").await.unwrap(), "d/a");
    here.end().await;
}

#[tokio::test]
async fn what_is_open_for_writing_is_not_given_up() {
    let here = mounted().await;
    let k = here.kernel();
    let fd = k.create("/f", 0o644, OpenFlags::WRITE).await.unwrap();
    k.write(fd, 0, b"x").await.unwrap();
    let core = &here.world().core;
    let scope = core.scope("f").unwrap();
    let refused = core.drop_uploads(&[scope], Leftover::Delete).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains("f is open"), "{error}");
    k.close(fd).await.unwrap();
    here.world().settle().await;
    assert_eq!(here.object("/f").await.as_deref(), Some(&b"x"[..]));
    let nothing = core.drop_uploads(&[Scope::all()], Leftover::Delete).await;
    assert_eq!(nothing.unwrap_err().kind(), ErrorKind::NotFound);
    here.end().await;
}

/// An object beside a folder of the same name has a name of its own.
#[tokio::test]
async fn a_path_means_what_it_shows() {
    let here = mounted().await;
    let k = here.kernel();
    here.put("/a", "x").await;
    here.put("/a/b", "x").await;
    here.world().core.stage().pause();
    k.write_file("/%~f~a", b"1").await.unwrap();
    k.write_file("/a/b", b"2").await.unwrap();
    assert_eq!(give_up(&here, &["/a/"]).await, ["a/b"]);
    assert_eq!(give_up(&here, &["%~f~a"]).await, ["a"]);
    let illegal = here.world().core.scope("%~x").unwrap_err();
    assert_eq!(illegal.kind(), ErrorKind::IllegalName);
    for path in ["/%~f~a", "/a/b"] {
        assert_eq!(k.read_file(path).await.unwrap(), "x", "{path}");
    }
    here.end().await;
}

#[tokio::test]
async fn a_flush_hands_over_what_is_open_as_it_is() {
    let here = mounted().await;
    let k = here.kernel();
    let fd = k.create("/d", 0o644, OpenFlags::WRITE).await.unwrap();
    k.write(fd, 0, b"half").await.unwrap();
    let core = &here.world().core;
    let open = core.flush_uploads(&Scope::all()).unwrap();
    assert_eq!(open, [here.key("/d")]);
    here.world()
        .until("it is there", |world| {
            world.core.stage().key_status(&here.key("/d")).is_none()
        })
        .await;
    assert_eq!(here.object("/d").await.as_deref(), Some(&b"half"[..]));
    // Who writes goes on.
    k.write(fd, 4, b" and all").await.unwrap();
    k.close(fd).await.unwrap();
    here.world().settle().await;
    let content = here.object("/d").await;
    assert_eq!(content.as_deref(), Some(&b"half and all"[..]));
    assert_eq!(core.flush_uploads(&Scope::all()).unwrap(), []);
    here.end().await;
}

/// Does one of many things, by chance; what cannot be done is not.
async fn anything(here: &Here, chance: &mut impl FnMut(u64) -> usize) {
    const NAMES: [&str; 6] = ["/a", "/b", "/d", "/d/x", "/d/y", "/e"];
    let k = here.kernel();
    let (one, other) = (NAMES[chance(6)], NAMES[chance(6)]);
    let content = chance(1000).to_string();
    drop(match chance(7) {
        0 | 1 => k.write_file(one, content.as_bytes()).await,
        2 => k.unlink(one).await,
        3 => k.mkdir(one, 0o755).await,
        4 => k.rmdir(one).await,
        5 => k.chmod(one, 0o700).await,
        _ => k.rename(one, other).await,
    });
}

/// Whatever waits: once all of it is given up, what is shown is the bucket, and whoever works on
/// goes on from there.
#[tokio::test]
async fn after_all_is_given_up_the_bucket_is_shown() {
    for seed in 1..=60_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut chance = move |below: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from((state >> 33) % below).unwrap()
        };
        let here = mounted().await;
        let stage = here.world().core.stage();
        for round in 0..3 {
            for _ in 0..8 {
                anything(&here, &mut chance).await;
            }
            here.world().settle().await;
            if round == 1 {
                // Some of it fails instead of waiting.
                let refused = Effect::Fail(StoreErrorKind::Forbidden);
                here.world().fault.add(FaultRule::new(refused).nth(3));
            } else {
                stage.pause();
            }
            for _ in 0..8 {
                anything(&here, &mut chance).await;
            }
            stage.pause();
            here.world().fault.clear();
            if !stage.keys_of(&Scope::all()).is_empty() {
                give_up(&here, &[""]).await;
            }
            stage.resume();
            here.wait_for_foreign_changes().await;
            let (shown, there) = (tree(&here, "/").await, bucket(&here).await);
            assert_eq!(shown, there, "seed {seed}, round {round}");
        }
        here.end().await;
    }
}

/// The bucket has what was written, but the answer got lost: a reader of what did not change finds
/// the object replaced, and that was nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_not_told_that_our_own_upload_was_someone_else() {
    let here = mounted().await;
    let k = here.kernel();
    k.write_file("/f", b"first ").await.unwrap();
    here.world().settle().await;
    let lost = FaultRule::new(Effect::LoseReply).on(Operation::Put);
    here.world().fault.add(lost.nth(1));
    let mut flags = OpenFlags::WRITE;
    flags.write_mode = cloudmount_vfs::WriteMode::Append;
    let fd = k.open("/f", flags).await.unwrap();
    k.write(fd, 0, b"second").await.unwrap();
    k.close(fd).await.unwrap();
    let world = here.world();
    world
        .until("the answer is lost", |world| {
            let status = world.core.stage().status();
            status.keys.iter().any(|key| key.attempts == 1)
        })
        .await;
    let read = k.read_file("/f").await.unwrap();
    assert_eq!(&read[..], b"first second");
    world.settle().await;
    assert_eq!(&k.read_file("/f").await.unwrap()[..], b"first second");
}

/// Its keys are still to be removed from the bucket, and are listed there.
#[tokio::test]
async fn a_folder_that_was_renamed_is_not_shown_again_after_a_crash() {
    let mut here = mounted().await;
    let k = here.kernel();
    for folder in ["/d", "/d/e", "/gone"] {
        k.mkdir(folder, 0o755).await.unwrap();
    }
    k.write_file("/d/e/f", b"content").await.unwrap();
    here.world().settle().await;
    here.world().core.stage().pause();
    let k = here.kernel();
    k.rename("/d", "/n").await.unwrap();
    k.rmdir("/gone").await.unwrap();
    here.remount().await;
    let hang = FaultRule::new(Effect::Delay(std::time::Duration::from_secs(20)));
    for operation in [Operation::Delete, Operation::Copy] {
        here.world().fault.add(hang.clone().on(operation));
    }
    let shown: Vec<_> = tree(&here, "/").await.into_keys().collect();
    assert_eq!(shown, ["/n/", "/n/e/", "/n/e/f"]);
    assert!(here.keys().await.contains(&"d/".to_owned()));
    here.world().fault.clear();
    here.world().settle().await;
    assert_eq!(here.keys().await, ["n/", "n/e/", "n/e/f"]);
}
