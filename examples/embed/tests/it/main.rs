//! The example runs, and does what it shows.

use std::process::Command;

#[test]
fn the_example_runs_over_memory() {
    let done = Command::new(env!("CARGO_BIN_EXE_cloudmount-embed"))
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(said, "yesterday.txt: 13 bytes\n");
}

#[test]
fn a_bucket_that_is_not_there_is_an_error() {
    let done = Command::new(env!("CARGO_BIN_EXE_cloudmount-embed"))
        .arg("file:///no/such/folder")
        .output()
        .unwrap();
    assert!(!done.status.success());
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("create the folder first"), "{said}");
}
