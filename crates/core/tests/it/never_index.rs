//! The file by which Spotlight knows that it is not to index a volume.

use std::ops::Deref;
use std::sync::Arc;

use cloudmount_core::{NeverIndexed, Spotlight};
use cloudmount_store::Store;
use cloudmount_testkit::kernel::Options;
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::{ManualClock, World};
use cloudmount_vfs::{AccessMask, ErrorKind, Result};

use crate::world::CoreWorld;

const PATH: &str = "/.metadata_never_index";

/// A core as adapters of macOS show it.
struct Volume {
    world: CoreWorld,
    shown: Arc<NeverIndexed>,
}

impl Deref for Volume {
    type Target = CoreWorld;

    fn deref(&self) -> &CoreWorld {
        &self.world
    }
}

impl World for Volume {
    type Fs = NeverIndexed;

    fn vfs(&self) -> Arc<NeverIndexed> {
        Arc::clone(&self.shown)
    }

    fn clock(&self) -> ManualClock {
        self.world.clock()
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        self.world.store()
    }

    async fn settle(&self) {
        self.world.settle().await;
    }

    fn options(&self) -> Options {
        self.world.options()
    }

    fn open_handles(&self) -> Option<usize> {
        self.world.open_handles()
    }
}

async fn mounted(spotlight: Spotlight) -> Mounted<Volume> {
    let world = CoreWorld::new();
    let shown = Arc::new(NeverIndexed::new(Arc::clone(&world.core), spotlight));
    Mounted::new(Volume { world, shown }).await
}

fn is_refused<T>(what: &str, result: Result<T>) {
    let kind = result.err().map(|error| error.kind());
    assert_eq!(kind, Some(ErrorKind::PermissionDenied), "{what}");
}

#[tokio::test]
async fn the_root_tells_spotlight_to_keep_away_and_costs_nothing() {
    let here = mounted(Spotlight::KeptAway).await;
    let k = here.kernel();
    let attr = k.stat(PATH).await.unwrap();
    assert_eq!((attr.size, attr.permissions.bits()), (0, 0o444));
    assert!(k.read_file(PATH).await.unwrap().is_empty());
    assert!(k.listxattr(PATH).await.unwrap().is_empty());
    let read = AccessMask {
        read: true,
        ..AccessMask::default()
    };
    k.access(PATH, read).await.unwrap();
    assert_eq!(here.world().log.take(), [""; 0]);
    assert!(k.names("/").await.unwrap().is_empty());
    here.end().await;
}

#[tokio::test]
async fn nothing_changes_the_file_that_keeps_spotlight_away() {
    let here = mounted(Spotlight::KeptAway).await;
    let k = here.kernel();
    k.write_file("/file", b"1").await.unwrap();
    k.mkdir("/folder", 0o755).await.unwrap();
    is_refused("write", k.write_file(PATH, b"1").await);
    is_refused("unlink", k.unlink(PATH).await);
    is_refused("chmod", k.chmod(PATH, 0o600).await);
    is_refused("truncate", k.truncate(PATH, 1).await);
    is_refused("rename away", k.rename(PATH, "/other").await);
    is_refused("rename over", k.rename("/file", PATH).await);
    is_refused("rename into", k.rename(PATH, "/folder/other").await);
    assert!(k.mkdir(PATH, 0o755).await.is_err());
    assert!(k.symlink("file", PATH).await.is_err());
    // It is a name of the root only.
    let below = format!("/folder{PATH}");
    k.write_file(&below, b"1").await.unwrap();
    assert_eq!(k.read_file(&below).await.unwrap(), b"1"[..]);
    here.world().settle().await;
    let keys = here.keys().await;
    assert_eq!(keys, ["file", "folder/", "folder/.metadata_never_index"]);
    assert_eq!(k.stat(PATH).await.unwrap().size, 0);
    here.end().await;
}

#[tokio::test]
async fn where_indexers_are_let_in_that_name_is_like_any_other() {
    let here = mounted(Spotlight::LetIn).await;
    let k = here.kernel();
    assert!(!k.exists(PATH).await.unwrap());
    k.write_file(PATH, b"1").await.unwrap();
    assert_eq!(k.read_file(PATH).await.unwrap(), b"1"[..]);
    k.unlink(PATH).await.unwrap();
    here.end().await;
}
