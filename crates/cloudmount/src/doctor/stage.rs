//! The staging folder of one bucket: whether somebody uses it, and whether it is that bucket's.

use std::path::Path;

use cloudmount_store::Location;

use super::Finding;
use crate::staging::{Bucket, Staging, unusable};
use crate::{Environment, Settings};

const CHECK: &str = "staging-use";

/// Whether another mount of this bucket is wanted, beside one that may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Another {
    /// A mount point is given, on which there is none.
    Wanted,
    /// Nobody says so.
    Unknown,
}

/// Looks at it. Buckets in memory have one for each mount.
pub(super) fn look(
    location: &Location,
    endpoint: Option<&str>,
    settings: &Settings,
    environment: &Environment,
    another: Another,
) -> Option<Finding> {
    if *location == Location::Memory {
        return None;
    }
    let bucket = Bucket::new(location, endpoint);
    // That there is no place for it is said by who looks at the disks.
    let staging = Staging::find(location, &bucket, settings, environment).ok()?;
    Some(finding(&bucket, staging.path(), another))
}

fn finding(bucket: &Bucket, folder: &Path, another: Another) -> Finding {
    let told = |error: crate::Error| {
        let (what, remedy) = error.parts();
        Finding::fail(CHECK, what).or(remedy.unwrap_or_default())
    };
    if let Err(error) = bucket.check(folder) {
        return told(error);
    }
    let shown = folder.display();
    match (cloudmount_stage::is_used(folder), another) {
        (Ok(false), _) => Finding::ok(CHECK, format!("nobody uses {shown}")),
        (Ok(true), Another::Unknown) => Finding::warn(
            CHECK,
            format!("a mount of this bucket uses {shown}, or still uploads"),
        )
        .or("nothing, unless another mount of it is wanted: give that one a --cache-dir"),
        (Ok(true), Another::Wanted) => {
            let context = "another process uses it";
            told(unusable(
                folder,
                cloudmount_vfs::Error::new(cloudmount_vfs::ErrorKind::Busy, context),
            ))
        }
        (Err(error), _) => told(unusable(folder, error)),
    }
}
