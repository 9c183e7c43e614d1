//! The cache on disk: made by the settings, and looked after while mounts use it; and so is the folder in which
//! attributes are kept.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloudmount_cache::CacheSettings;
use cloudmount_cache::disk::{self, DiskCache, DiskSettings};
use cloudmount_cache::notes;
use cloudmount_store::Location;
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use crate::machine_memory;
use crate::staging::Bucket;
use crate::{Error, Result, Settings};

pub use cloudmount_cache::disk::{BucketInfo, Check};
pub use cloudmount_cache::notes::{BucketNotes, NotesCheck};

/// Part of the memory for blocks that may wait on their way to the disk.
const QUEUE_PART: u64 = 8;

/// The cache that the settings ask for.
pub(crate) fn open(
    location: &Location,
    bucket: &Bucket,
    settings: &Settings,
    clock: &Arc<dyn Clock>,
) -> Result<Option<DiskCache>> {
    // What is in memory ends with the process, and its versions begin anew.
    let Some(folder) = (settings.disk_cache.as_ref()).filter(|_| *location != Location::Memory)
    else {
        return Ok(None);
    };
    // It stays the same if the process goes to another one.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| PathBuf::from(folder));
    disk::make_folder(&folder).map_err(|error| {
        Error::new(format!("cannot use the disk cache {}", folder.display()))
            .because(error)
            .or("make it writable, or give another one with --disk-cache")
    })?;
    let settings = DiskSettings {
        folder,
        bucket: bucket.name().to_owned(),
        bucket_folder: bucket.folder_name(),
        limit_bytes: settings.disk_cache_size.0,
        block_bytes: CacheSettings::default().block_bytes,
        queue_bytes: machine_memory::for_blocks(settings) / QUEUE_PART,
    };
    let clock = Arc::clone(clock);
    Ok(Some(DiskCache::new(settings, clock, Handle::current())))
}

/// What is in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FolderInfo {
    /// What was read of each bucket, by the name of its folder.
    pub buckets: BTreeMap<String, BucketInfo>,
    /// What is known of the objects of each bucket: a note for each of its folders.
    pub attributes: BTreeMap<String, BucketNotes>,
}

/// What is in the folder of a disk cache, or in the one in which attributes are kept (`attributes`, below `cache-dir`
/// or `state-dir`).
///
/// # Errors
/// It is no such folder, or cannot be read.
pub fn info(folder: &Path) -> Result<FolderInfo> {
    let replicas = disk::folder_info(folder).map_err(|error| failed(folder, error))?;
    let attributes = notes::notes_info(folder).map_err(|error| unreadable(folder, error))?;
    Ok(FolderInfo {
        buckets: replicas.buckets,
        attributes,
    })
}

/// Reads all that is in such a folder, and drops what is damaged.
///
/// # Errors
/// It is no such folder, or cannot be read and written.
pub fn verify(folder: &Path) -> Result<(Check, NotesCheck)> {
    let replicas = disk::check_folder(folder).map_err(|error| failed(folder, error))?;
    let attributes = notes::check_notes(folder).map_err(|error| unreadable(folder, error))?;
    Ok((replicas, attributes))
}

/// Removes all that is kept in such a folder, and gives the bytes of disk that were freed.
/// Mounts that use it go on, and keep what they read from now on.
///
/// # Errors
/// It is no such folder, or cannot be written.
pub fn clear(folder: &Path) -> Result<u64> {
    let replicas = disk::clear_folder(folder).map_err(|error| failed(folder, error))?;
    let attributes = notes::clear_notes(folder).map_err(|error| unreadable(folder, error))?;
    Ok(replicas + attributes)
}

fn unreadable(folder: &Path, error: std::io::Error) -> Error {
    let kind = cloudmount_vfs::ErrorKind::Io;
    failed(
        folder,
        cloudmount_vfs::Error::new(kind, "attributes").with_source(error),
    )
}

fn failed(folder: &Path, error: cloudmount_vfs::Error) -> Error {
    let remedy = match error.kind() {
        cloudmount_vfs::ErrorKind::NotFound => "give the folder that a mount has as --disk-cache",
        _ => "run it as the user who mounts, or look at the disk",
    };
    Error::new(format!("cannot look after {}", folder.display()))
        .because(error)
        .or(remedy)
}
