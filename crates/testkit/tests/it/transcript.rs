//! Transcripts: results and store calls, and what a difference looks like.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use cloudmount_store::Store;
use cloudmount_testkit::kernel::Options;
use cloudmount_testkit::model::{Model, ModelWorld};
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::{LogStore, ManualClock, World, transcript};
use futures::FutureExt;

/// A model whose foreign clients are logged.
struct Logged {
    world: ModelWorld,
    log: Arc<LogStore>,
}

impl World for Logged {
    type Fs = Model;

    fn vfs(&self) -> Arc<Model> {
        self.world.vfs()
    }

    fn clock(&self) -> ManualClock {
        self.world.clock()
    }

    fn store(&self) -> Option<Arc<dyn Store>> {
        Some(self.log.clone())
    }

    fn options(&self) -> Options {
        transcript::quiet()
    }
}

async fn mounted() -> (Mounted<Logged>, Arc<LogStore>) {
    let world = ModelWorld::default();
    let bucket = world.store().expect("a model has a bucket");
    let log = Arc::new(LogStore::new(bucket));
    (
        Mounted::new(Logged {
            world,
            log: Arc::clone(&log),
        })
        .await,
        log,
    )
}

#[tokio::test]
async fn a_transcript_shows_results_and_calls() {
    let (mut mounted, log) = mounted().await;
    let holds = "
        mkdir /d 755 => ok
        mkdir /d 755 => ! exists already
        write /d/f \"hello\" => ok
        append /d/f \", world\" => ok
        cat /d/f => \"hello, world\"
        write /d/long 100*3 => ok
        cat /d/long => 100 bytes #0e673d7ae4e84fe2
        stat /d/f => file 0644 0:0 12 bytes
        ln f \"/d/a link\" => ok
        readlink \"/d/a link\" => \"f\"
        ls /d => \"a link\"@ f long
        ls / => d/
        put /theirs \"from outside\" => ok
            put theirs 12 bytes -> v1
        cat /theirs => \"from outside\"
        delete /theirs => ok
            delete theirs
        stat /theirs => ! not found
        create 1 /new rw => ok
        pwrite 1 2 \"x\" => 1 bytes
        pread 1 0 10 => \"\\0\\0x\"
        resize 1 1 => ok
        sync 1 => ok
        close 1 => ok
        close 1 => ! bad handle
        setxattr /new user.a \"v\" => ok
        listxattr /new => user.a
        getxattr /new user.a => \"v\"
        rmxattr /new user.a => ok
        listxattr /new => nothing
        mv-new /new /d => ! exists already
        mv /new /newer => ok
        truncate /newer 3 => ok
        patch /newer 1 \"y\" => ok
        cat /newer => \"\\0y\\0\"
        chmod /newer 600 => ok
        rm /newer => ok
        touch /t 600 => ok
        rmdir /d => ! directory not empty
        forget => ok
        wait 1500 => ok
        settle => ok
    ";
    transcript::check(&mut mounted, &log, holds).await;
    mounted.end().await;
}

#[tokio::test]
async fn a_difference_is_told_with_the_whole_as_it_was() {
    for (wrong, told) in [
        (
            "mkdir /d 755 => ! not found",
            "`mkdir /d 755 => ok` instead of `mkdir /d 755 => ! not",
        ),
        (
            "put /f \"x\" => ok",
            "`    put f 1 bytes -> v1` instead of `the end`",
        ),
        (
            "mkdir /d 755 => ok\n    head d",
            "`the end` instead of `    head d`",
        ),
        ("dance", "dance: no such step"),
    ] {
        let (mut mounted, log) = mounted().await;
        let check = transcript::check(&mut mounted, &log, wrong);
        let panic = AssertUnwindSafe(check)
            .catch_unwind()
            .await
            .expect_err(wrong);
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains(told), "{text}");
    }
}
