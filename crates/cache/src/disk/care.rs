//! Looking after a folder from outside: what is in it, whether it is right, and its end. Works while
//! other processes use it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use cloudmount_vfs::{Error, ErrorKind, Result};

use super::evict;
use super::header::Entry;
use super::id::ReplicaId;
use super::replica::{self, Found, Replica};
use crate::ledger::{self, Ledger};

/// What is in a folder.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FolderInfo {
    /// Each bucket, by the name of its folder.
    pub buckets: BTreeMap<String, BucketInfo>,
}

/// What is kept of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BucketInfo {
    /// Versions of objects.
    pub objects: u64,
    /// Of these, the ones with every block.
    pub complete: u64,
    /// Blocks.
    pub blocks: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Check {
    /// Versions of objects that were looked at.
    pub objects: u64,
    /// Blocks that are as they should be.
    pub right: u64,
    /// Blocks that were damaged, and are dropped now.
    pub damaged: u64,
    /// Files that were of no use, and are removed now.
    pub useless: u64,
}

/// What is in the folder of a cache.
///
/// # Errors
/// `NotFound` if it is no such folder; `Io`, `PermissionDenied`.
pub fn folder_info(root: &Path) -> Result<FolderInfo> {
    is_ours(root)?;
    let mut info = FolderInfo::default();
    let looked = evict::each(root, |folder, id| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let bucket = info.buckets.entry(name.into_owned()).or_default();
        bucket.disk_bytes += replica::allocated(folder, id)?;
        if let Found::Replica(replica) = Replica::open_any(folder, id)? {
            let present = count(&replica)?;
            bucket.objects += 1;
            bucket.blocks += present;
            bucket.complete += u64::from(present == replica.header.blocks());
        }
        Ok(())
    });
    looked.map_err(|error| failed(root, error))?;
    Ok(info)
}

fn count(replica: &Replica) -> io::Result<u64> {
    let mut present = 0;
    replica.each_entries(|_, entries| {
        present += entries.iter().filter(|entry| entry.is_present()).count() as u64;
        Ok(())
    })?;
    Ok(present)
}

/// Reads all that is kept, and drops what is damaged.
///
/// # Errors
/// `NotFound` if it is no folder of a cache; `Io`, `PermissionDenied`.
pub fn check_folder(root: &Path) -> Result<Check> {
    is_ours(root)?;
    let mut check = Check::default();
    evict::each(root, |folder, id| check_one(root, folder, id, &mut check))
        .map_err(|error| failed(root, error))?;
    Ok(check)
}

fn check_one(root: &Path, folder: &Arc<Path>, id: ReplicaId, check: &mut Check) -> io::Result<()> {
    let Found::Replica(replica) = Replica::open_any(folder, id)? else {
        // It may be in the making: what is so under the lock, is so.
        let ledger = Ledger::lock(root)?;
        if let Found::Useless = Replica::open_any(folder, id)? {
            replica::remove(folder, id)?;
            check.useless += 1;
            recount(root, &ledger)?;
        } else if let Found::Absent = Replica::open_any(folder, id)?
            && replica::allocated(folder, id)? > 0
        {
            replica::remove(folder, id)?;
            recount(root, &ledger)?;
        }
        return Ok(());
    };
    check.objects += 1;
    let mut doubtful = Vec::new();
    replica.each_entries(|first, entries| {
        for (index, entry) in (first..).zip(entries).filter(|(_, one)| one.is_present()) {
            match replica.read(index, entry, Vec::new())? {
                Some(_) => check.right += 1,
                None => doubtful.push((index, *entry)),
            }
        }
        Ok(())
    })?;
    if doubtful.is_empty() {
        return Ok(());
    }
    // Others may have dropped or replaced it meanwhile.
    let ledger = Ledger::lock(root)?;
    for (index, entry) in doubtful {
        check.damaged += u64::from(drop_if_damaged(&replica, index, &entry)?);
    }
    if evict::is_empty(&replica)? && replica.is_linked() {
        replica::remove(folder, id)?;
    }
    recount(root, &ledger)
}

fn drop_if_damaged(replica: &Replica, index: u64, seen: &Entry) -> io::Result<bool> {
    let blocks = index..index + 1;
    let now = replica.entries(&blocks)?;
    let is_same = now.first().is_some_and(|now| now.sum == seen.sum);
    if !is_same || replica.read(index, seen, Vec::new())?.is_some() {
        return Ok(false);
    }
    match replica.clear(&blocks) {
        // The entry is cleared; its place is freed with the file.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(true),
        other => other.map(|()| true),
    }
}

/// Removes all that is kept in the folder of a cache, and gives the bytes of disk that this freed.
/// Who uses it goes on with an empty one. Files that are not the cache's stay.
///
/// # Errors
/// `NotFound` if it is no such folder; `Io`, `PermissionDenied`.
pub fn clear_folder(root: &Path) -> Result<u64> {
    is_ours(root)?;
    clear(root).map_err(|error| failed(root, error))
}

fn clear(root: &Path) -> io::Result<u64> {
    let ledger = Ledger::lock(root)?;
    let mut freed = 0;
    let mut folders = Vec::new();
    evict::each(root, |folder, id| {
        freed += replica::allocated(folder, id)?;
        replica::remove(folder, id)?;
        if folders.last() != Some(folder) {
            folders.push(Arc::clone(folder));
        }
        Ok(())
    })?;
    for folder in folders {
        // One with files of others in it stays.
        std::fs::remove_dir(&folder).ok();
    }
    recount(root, &ledger)?;
    Ok(freed)
}

fn recount(root: &Path, ledger: &Ledger) -> io::Result<()> {
    ledger.note(evict::count(root)?)
}

/// Refuses a folder that was never that of a cache.
fn is_ours(root: &Path) -> Result<()> {
    let has_ledger = std::fs::symlink_metadata(root.join(ledger::NAME)).is_ok();
    let mut has_replicas = false;
    if !has_ledger {
        evict::each(root, |_, _| {
            has_replicas = true;
            Ok(())
        })
        .map_err(|error| failed(root, error))?;
    }
    if has_ledger || has_replicas {
        return Ok(());
    }
    let context = format!("{} is not the folder of a cache", root.display());
    Err(Error::new(ErrorKind::NotFound, context))
}

fn failed(root: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::PermissionDenied,
        io::ErrorKind::StorageFull => ErrorKind::NoSpace,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("cache in {}", root.display())).with_source(error)
}
