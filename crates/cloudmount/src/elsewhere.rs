//! What waits for the same bucket in other staging folders: a prefix of it was mounted before, or
//! all of it, and each has a folder of its own.
//!
//! Laws: it is named, with what to do; nothing of it is touched. What has not the name of a staging folder is not even looked
//! at, and of what has it no more is read than a mark has: pipes, dead mounts and others' files hold up nobody.

use std::path::{Path, PathBuf};

use cloudmount_store::Location;
use serde::Serialize;

use crate::staging::{Bucket, is_folder_name, mark_of};

/// Staging folders that are looked at: more than anybody has prefixes.
const FOLDERS_MAX: usize = 1000;

/// Names that are looked at to find them.
const NAMES_MAX: usize = 10_000;

/// Something that waits for the same bucket.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Elsewhere {
    /// What to open, so that it goes on.
    pub location: String,
    /// Where it waits.
    pub staging: PathBuf,
    /// Keys.
    pub waiting: usize,
}

/// Looks through the folders beside `own`, which is that of `location` and `bucket`.
pub(crate) fn look(location: &Location, bucket: &Bucket, own: &Path) -> Vec<Elsewhere> {
    if *location == Location::Memory {
        // Nobody else has that bucket, and beside its folder are those of everybody's temporary things: to look into a mount
        // there waits for its server.
        return Vec::new();
    }
    let Some(Ok(folders)) = own.parent().map(std::fs::read_dir) else {
        return Vec::new();
    };
    let mut found: Vec<_> = (folders.take(NAMES_MAX).flatten())
        .filter(|entry| is_folder_name(&entry.file_name()))
        .take(FOLDERS_MAX)
        .map(|entry| entry.path())
        .filter(|folder| folder != own)
        .filter_map(|folder| {
            let mark = mark_of(&folder)?;
            if folder.file_name()? != &*Bucket::of_mark(&mark).folder_name() {
                return None;
            }
            let other = bucket.location_at_same_endpoint(&mark)?;
            if !overlap(location, &other) {
                return None;
            }
            one(other.to_string(), folder)
        })
        .collect();
    found.sort_by(|one, other| one.location.cmp(&other.location));
    found
}

/// What of it still waits.
pub(crate) fn look_again(found: &[Elsewhere]) -> Vec<Elsewhere> {
    let again = |found: &Elsewhere| one(found.location.clone(), found.staging.clone());
    found.iter().filter_map(again).collect()
}

fn one(location: String, staging: PathBuf) -> Option<Elsewhere> {
    match cloudmount_stage::left_in(&staging) {
        Ok(None | Some(0)) => None,
        Ok(Some(waiting)) => Some(Elsewhere {
            location,
            staging,
            waiting,
        }),
        Err(error) => {
            tracing::warn!(%error, staging = %staging.display(), "cannot tell what waits there");
            None
        }
    }
}

/// Whether the two show some of the same objects, or could.
fn overlap(one: &Location, other: &Location) -> bool {
    match (one, other) {
        (Location::S3 { bucket: one, .. }, Location::S3 { bucket: other, .. })
        | (Location::Gcs { bucket: one, .. }, Location::Gcs { bucket: other, .. })
        | (
            Location::Azure { container: one, .. },
            Location::Azure {
                container: other, ..
            },
        ) => one == other,
        (Location::Folder { path: one }, Location::Folder { path: other }) => {
            one.starts_with(other) || other.starts_with(one)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_the_same_under_each_prefix() {
        let check = |one: &str, other: &str, expected: bool| {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(overlap(&one, &other), expected, "{one} and {other}");
            assert_eq!(overlap(&other, &one), expected, "{other} and {one}");
        };
        check("s3://pail", "s3://pail/a/b", true);
        check("s3://pail/a", "s3://pail/b", true);
        check("s3://pail", "s3://bucket", false);
        check("s3://pail", "file:///pail", false);
        check("file:///a", "file:///a/b", true);
        check("file:///a", "file:///ab", false);
        check("memory:", "memory:", false);
    }

    fn pipe(at: &Path) {
        std::fs::create_dir(at.parent().unwrap()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(at).status();
        assert!(made.unwrap().success());
    }

    /// What is found beside a folder of `location`, within a time.
    fn found_beside(own: PathBuf, location: &str) -> Vec<Elsewhere> {
        let location: Location = location.parse().unwrap();
        let (done, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let bucket = Bucket::new(&location, None);
            done.send(look(&location, &bucket, &own)).unwrap();
        });
        let found = told.recv_timeout(std::time::Duration::from_secs(20));
        found.unwrap()
    }

    /// A pipe is what waits for ever when it is read, as a mount whose server is gone does for long.
    #[test]
    fn nothing_is_looked_into_beside_the_folder_of_a_bucket_in_memory() {
        let tmp = tempfile::tempdir().unwrap();
        pipe(&tmp.path().join("other").join("bucket"));
        assert_eq!(found_beside(tmp.path().join("own"), "memory:"), []);
    }

    #[test]
    fn what_is_no_staging_folder_is_waited_for_by_nobody() {
        let tmp = tempfile::tempdir().unwrap();
        let name = |part: &str| Bucket::new(&part.parse().unwrap(), None).folder_name();
        pipe(&tmp.path().join("other").join("bucket"));
        pipe(&tmp.path().join(name("file:///pail/a")).join("bucket"));
        pipe(&tmp.path().join(name("file:///pail/b")).join("journal.log"));
        // What calls itself the folder of a bucket, and has the name of another one.
        let pretended = tmp.path().join(name("file:///pail/b")).join("bucket");
        std::fs::write(pretended, "file:///pail/c\n").unwrap();
        let huge = tmp.path().join(name("file:///pail/d"));
        std::fs::create_dir(&huge).unwrap();
        std::fs::File::create(huge.join("bucket"))
            .and_then(|file| file.set_len(1 << 40))
            .unwrap();
        assert_eq!(found_beside(tmp.path().join("own"), "file:///pail"), []);
    }
}
