//! What operations cost in requests: transcripts, with the calls that reached the store.

use std::sync::Arc;

use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::transcript;

use crate::world::CoreWorld;

async fn check(text: &str) {
    let world = CoreWorld::quiet();
    let log = Arc::clone(&world.log);
    let mut mounted = Mounted::new(world).await;
    // Steps stand at the margin.
    let text: String = text
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("        ").unwrap_or(line)))
        .collect();
    transcript::check(&mut mounted, &log, &text).await;
    mounted.end().await;
}

/// A new file is one request, and one look at the directory that it is new in; to read it again costs none.
#[tokio::test]
async fn a_new_file_is_one_put() {
    check(
        "
        write /f \"hello\" => ok
            list \"\" by-folder
        settle => ok
            put f 5 bytes if-absent -> v1
        cat /f => \"hello\"
        ",
    )
    .await;
}

/// A listing costs one request, and one for each entry whose attributes nobody knows; once known,
/// none as long as they are believed, and one for all after that.
#[tokio::test]
async fn a_listing_asks_once() {
    check(
        "
        put /d/a \"1\" => ok
        put /d/b \"22\" => ok
        ls /d => a b
            list \"\" by-folder
            head d/ ! not found
            list d/ by-folder
            head d/a
            head d/b
        stat /d/a => file 0644 0:0 1 bytes
        stat /d/missing => ! not found
        forget => ok
        wait 1500 => ok
        ls /d => a b
            list \"\" by-folder
            head d/ ! not found
            list d/ by-folder
        ",
    )
    .await;
}

/// A rename of a file in the bucket is a copy within the store and a removal; nothing is read.
#[tokio::test]
async fn a_rename_moves_no_bytes() {
    check(
        "
        put /a \"content\" => ok
        mv /a /b => ok
            list \"\" by-folder
            head a
        cat /b => \"content\"
            get a 0..7 if-match v1
        settle => ok
            copy a if-match v1 to b if-absent replacing metadata -> v2
            delete a if-match v1
        ",
    )
    .await;
}

/// What is made and removed at once never reaches the bucket.
#[tokio::test]
async fn a_temporary_file_costs_nothing() {
    check(
        "
        mkdir /d 755 => ok
            list \"\" by-folder
        settle => ok
            put d/ 0 bytes -> v1
        write /d/tmp \"x\" => ok
        mv /d/tmp /d/tmp2 => ok
        rm /d/tmp2 => ok
        settle => ok
            put d/ 0 bytes -> v2
        ",
    )
    .await;
}

/// A change of mode is a copy onto itself; a small change of a small file that was written here is one put.
#[tokio::test]
async fn changes_cost_one_request_each() {
    check(
        "
        write /f \"hello\" => ok
            list \"\" by-folder
        settle => ok
            put f 5 bytes if-absent -> v1
        chmod /f 600 => ok
        settle => ok
            copy f if-match v1 to f replacing metadata -> v2
        append /f \", world\" => ok
        settle => ok
            put f 12 bytes if-match v2 -> v3
        ",
    )
    .await;
}

/// All of a folder moves with one look, copies and removals.
#[tokio::test]
async fn a_folder_moves_with_one_listing() {
    check(
        "
        mkdir /d 755 => ok
            list \"\" by-folder
        write /d/a \"1\" => ok
        write /d/b \"22\" => ok
        settle => ok
            put d/ 0 bytes -> v1
            put d/a 1 bytes if-absent -> v2
            put d/b 2 bytes if-absent -> v3
        mv /d /e => ok
            list d/
            head d/
        settle => ok
            copy d/ if-match v1 to e/ replacing metadata -> v4
            copy d/a if-match v2 to e/a if-absent replacing metadata -> v5
            copy d/b if-match v3 to e/b if-absent replacing metadata -> v6
            delete d/
            delete d/a if-match v2 d/b if-match v3
        ls /e => a b
        ",
    )
    .await;
}

/// What was removed in a folder before it moved does not hide what someone puts there afterwards.
#[tokio::test]
async fn a_removal_before_a_rename_hides_nothing_after_it() {
    check(
        "
        mkdir /d 755 => ok
            list \"\" by-folder
        write /d/a \"1\" => ok
        settle => ok
            put d/ 0 bytes -> v1
            put d/a 1 bytes if-absent -> v2
        rm /d/a => ok
        mv /d /e => ok
            list d/
            head d/
        settle => ok
            delete d/
            delete d/a if-match v2
            put e/ 0 bytes -> v3
        put /e/a \"theirs\" => ok
        cat /e/a => \"theirs\"
            list \"\" by-folder
            head e/
            list e/ by-folder
            head e/a
            get e/a 0..6 if-match v4
        ",
    )
    .await;
}
