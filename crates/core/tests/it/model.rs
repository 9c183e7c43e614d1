//! Random operations on the core and on the reference model at once: same answers, same trees.

use cloudmount_core::{CoreSettings, WriteCache};
use cloudmount_testkit::kernel::{Interrupt, Options};
use cloudmount_testkit::model::ModelWorld;
use cloudmount_testkit::ops::{Include, check, check_steps, ops};
use proptest::prelude::*;

use crate::world::CoreWorld;

/// Operations in one row.
const OPS: usize = 40;

pub(crate) async fn reference() -> ModelWorld {
    let options = Options {
        interrupt: Interrupt::Never,
        ..Options::default()
    };
    ModelWorld::default().with_options(options)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_core_does_as_the_model(row in ops(OPS, Include::Remount)) {
        check(reference, || async { CoreWorld::new() }, &row).unwrap();
    }

    #[test]
    fn with_what_is_kept_on_disk_it_does_so_too(row in ops(OPS, Include::Remount)) {
        check(reference, || async { CoreWorld::noting() }, &row).unwrap();
    }

    #[test]
    fn with_manifests_it_does_so_too(row in ops(OPS, Include::Remount)) {
        check(reference, || async { CoreWorld::publishing() }, &row).unwrap();
    }

    #[test]
    fn through_the_page_cache_it_does_so_too(row in ops(OPS, Include::Remount)) {
        let core = || async {
            CoreWorld::with_settings(CoreSettings {
                write_cache: WriteCache::Keep,
                // Each folder is listed with those behind it.
                list_ahead_after: 0,
                ..CoreSettings::default()
            })
        };
        check(reference, core, &row).unwrap();
    }
}

#[test]
fn rows_that_once_differed_do_not() {
    let rows = [
        "
        put \"/é x\" 512*87 => ok
        truncate \"/é x\" 511 => ok
        create 1 \"/%2F\" t => ok
        pwrite 1 100 1*46 => 1 bytes
        write \"/é x\" 1*143 => ok
        resize 1 4097 => ok
        write \"/é x\" 4095*245 => ok
        truncate \"/é x\" 4095 => ok
        close 1 => ok
        settle => ok
        delete \"/é x\" => ok
    ",
        "
        mkdir \"/é x\" 750 => ok
        create 1 \"/é x/dd\" t => ok
        write /a 65536*135 => ok
        truncate \"/é x/dd\" 100001 => ok
        rm /a => ok
        mv \"/é x\" /a => ok
        mkdir \"/a/é x\" 644 => ok
        patch /a/dd 100001 5*72 => ok
        touch /a 600 => ! exists already
        pread 1 65536 0 => \"\"
        close 1 => ok
        settle => ok
        delete /a/dd => ok
    ",
        "
        mkdir /b 755 => ok
        ls / => b/
        open 3 /missing a => ! not found
        wait 500 => ok
        mkdir \"/é x\" 750 => ok
        chmod \"/é x\" 777 => ok
        create 1 \"/é x/dd\" t => ok
        write /b/a 65536*135 => ok
        truncate \"/é x/dd\" 100001 => ok
        rm /b/a => ok
        mv \"/é x\" /b/a => ok
        rm /b => ! is a directory
        mkdir \"/b/a/é x\" 644 => ok
        patch /b/a/dd 100001 5*72 => ok
        touch /b/a 600 => ! exists already
        pread 1 65536 0 => \"\"
        close 1 => ok
        settle => ok
        delete /b/a/dd => ok
    ",
    ];
    for row in rows {
        check_steps(reference, || async { CoreWorld::new() }, row).unwrap();
    }
}
