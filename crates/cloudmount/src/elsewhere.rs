//! What waits for the same bucket in other staging folders: a prefix of it was mounted before, or
//! all of it, and each has a folder of its own.
//!
//! Law: it is named, with what to do; nothing of it is touched.

use std::path::{Path, PathBuf};

use cloudmount_store::Location;
use serde::Serialize;

use crate::staging::{Bucket, mark_of};

/// Staging folders that are looked at: more than anybody has prefixes.
const FOLDERS_MAX: usize = 1000;

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
    let mut found: Vec<_> = (folders.flatten().take(FOLDERS_MAX))
        .map(|entry| entry.path())
        .filter(|folder| folder != own)
        .filter_map(|folder| {
            let other = bucket.location_at_same_endpoint(&mark_of(&folder)?)?;
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

    /// A pipe is what waits for ever when it is read, as a mount whose server is gone does for long.
    #[test]
    fn nothing_is_looked_into_beside_the_folder_of_a_bucket_in_memory() {
        let tmp = tempfile::tempdir().unwrap();
        let other = tmp.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let mut pipe = std::process::Command::new("mkfifo");
        let made = pipe.arg(other.join("bucket")).status();
        assert!(made.unwrap().success());
        let own = tmp.path().join("own");
        let (done, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let bucket = Bucket::new(&Location::Memory, None);
            done.send(look(&Location::Memory, &bucket, &own)).unwrap();
        });
        let found = told.recv_timeout(std::time::Duration::from_secs(20));
        assert_eq!(found.unwrap(), []);
    }
}
