//! Programs that index all files of a machine.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use cloudmount_fuse::MountOptions;
use cloudmount_vfs::CachePolicy;

use crate::mounted::with;
use crate::probe::Readiness;

/// A program that lists a folder, under another name.
fn ls_called(name: &str, folder: &Path) -> Output {
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join(name);
    fs::copy("/bin/ls", &program).unwrap();
    let mut listed = Command::new(&program);
    listed.arg(folder).env("LC_ALL", "C").output().unwrap()
}

#[test]
fn programs_that_index_all_files_are_kept_away_unless_they_are_let_in() {
    for indexers in [false, true] {
        let mut options = MountOptions::new("test://bucket");
        options.indexers = indexers;
        with(Readiness::Later, CachePolicy::Keep, &options, |mounted| {
            fs::create_dir(mounted.path("folder")).unwrap();
            fs::write(mounted.path("folder/file"), "x").unwrap();
            for name in ["updatedb", "updatedb.plocate", "tracker-miner-fs-3", "ls"] {
                let is_let_in = indexers || name == "ls";
                let root = ls_called(name, mounted.root());
                assert_eq!(root.status.success(), is_let_in, "{name}: {root:?}");
                let told = String::from_utf8_lossy(&root.stderr);
                assert_eq!(told.contains("Permission denied"), !is_let_in, "{told}");
                // Who asks for a folder below has meant it.
                let below = ls_called(name, &mounted.path("folder"));
                assert_eq!(below.stdout, b"file\n", "{name}: {below:?}");
            }
        });
    }
}
