//! A mount that shows what listings tell: no object is asked for alone to be listed or looked at.

use std::sync::Arc;

use cloudmount_core::{Attributes, CoreSettings};
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::transcript;

use crate::world::CoreWorld;

fn world() -> CoreWorld {
    let settings = CoreSettings {
        attributes: Attributes::Listing,
        ..CoreSettings::default()
    };
    CoreWorld::with_settings(settings).quietly()
}

async fn check(text: &str) {
    let world = world();
    let log = Arc::clone(&world.log);
    let mut mounted = Mounted::new(world).await;
    let text: String = text
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("        ").unwrap_or(line)))
        .collect();
    transcript::check(&mut mounted, &log, &text).await;
    mounted.end().await;
}

/// A directory costs its listing, however it is looked at; when that is believed no longer, another.
#[tokio::test]
async fn listings_answer_stat() {
    check(
        r#"
        put /d/a "1" => ok
        put /d/e/f "22" => ok
        ls /d => a e/
            list "" by-folder
            list d/ by-folder
        stat /d/a => file 0644 0:0 1 bytes
        stat /d/e => directory 0755 0:0
        stat /d/missing => ! not found
        wait 1500 => ok
        stat /d/a => file 0644 0:0 1 bytes
            list "" by-folder
            list d/ by-folder
        forget => ok
        ls /d => a e/
        "#,
    )
    .await;
}

/// What a listing does not tell is asked for when it is needed, and shown from then on; nothing of what an object
/// says is lost by a change.
#[tokio::test]
async fn what_a_listing_does_not_tell_is_asked_for_before_it_is_changed() {
    check(
        r#"
        write /f "1" => ok
            list "" by-folder
        chmod /f 600 => ok
        setxattr /f user.a "v" => ok
        ln target /s => ok
        settle => ok
            put f 1 bytes if-absent -> v1
            put s 6 bytes if-absent -> v2
        remount => ok
        stat /f => file 0644 0:0 1 bytes
        getxattr /f user.a => "v"
        wait 1500 => ok
        stat /f => file 0600 0:0 1 bytes
        remount => ok
        chmod /f 640 => ok
        settle => ok
        remount => ok
        getxattr /f user.a => "v"
        wait 1500 => ok
        stat /f => file 0640 0:0 1 bytes
        stat /s => file 0644 0:0 6 bytes
        cat /s => ! replaced by someone else
        wait 1500 => ok
        readlink /s => "target"
        stat /s => symlink 0777 0:0 6 bytes
        "#,
    )
    .await;
}

/// Several pages of a folder: still nothing but listings.
#[tokio::test]
async fn a_thousand_objects_are_shown_without_a_look_at_any() {
    let m = Mounted::new(world()).await;
    for number in 0..1_200 {
        m.put(&format!("d/{number:04}"), "12345").await;
    }
    m.wait_for_foreign_changes().await;
    drop(m.world().log.take());
    let k = m.kernel();
    assert_eq!(k.names("/d").await.unwrap().len(), 1_200);
    for number in (0..1_200).step_by(100) {
        assert_eq!(k.stat(&format!("/d/{number:04}")).await.unwrap().size, 5);
    }
    let asked = m.world().log.take();
    assert!(
        asked.iter().all(|line| line.starts_with("list ")),
        "{asked:#?}"
    );
    m.end().await;
}
