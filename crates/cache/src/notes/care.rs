//! Looking after notes from outside. Works while other processes use them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::{NOTE, body_of, count, each, open, read_whole, remove};
use crate::ledger::Ledger;

/// The longest file that is looked into; a longer one is none of ours.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// What is noted of a bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BucketNotes {
    /// Notes.
    pub notes: u64,
    /// Bytes of disk.
    pub disk_bytes: u64,
}

/// How a check went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NotesCheck {
    /// Notes that are as they should be.
    pub right: u64,
    /// Files that were damaged, and are removed now.
    pub damaged: u64,
}

/// What is in the folder, by the names of the buckets' folders. None if it is no folder of notes.
///
/// # Errors
/// Those of the disk.
pub fn notes_info(root: &Path) -> io::Result<BTreeMap<String, BucketNotes>> {
    let mut info = BTreeMap::<String, BucketNotes>::new();
    each(root, |bucket, found| {
        let bucket = info.entry(bucket.to_owned()).or_default();
        bucket.notes += 1;
        bucket.disk_bytes += found.disk_bytes;
        Ok(())
    })?;
    Ok(info)
}

/// Reads all notes, and removes what is damaged.
///
/// # Errors
/// Those of the disk.
pub fn check_notes(root: &Path) -> io::Result<NotesCheck> {
    let mut check = NotesCheck::default();
    let mut doubtful = Vec::new();
    each(root, |_, found| {
        if is_right(&found.path)? {
            check.right += 1;
        } else {
            doubtful.push(found.path);
        }
        Ok(())
    })?;
    if doubtful.is_empty() {
        return Ok(check);
    }
    // Others may have replaced it meanwhile, and what is being written is whole under the lock.
    let ledger = Ledger::lock(root)?;
    for path in doubtful {
        if path.exists() && !is_right(&path)? {
            remove(&path)?;
            check.damaged += 1;
        }
    }
    ledger.note(count(root)?)?;
    Ok(check)
}

fn is_right(path: &Path) -> io::Result<bool> {
    if path.extension().is_none_or(|extension| extension != NOTE) {
        return Ok(false);
    }
    let Some(file) = open(path)? else {
        // It was removed just now.
        return Ok(true);
    };
    Ok(body_of(&read_whole(&file, FILE_BYTES_MAX)?).is_some())
}

/// Removes all notes, and gives the bytes of disk that this freed. Who uses them goes on.
///
/// # Errors
/// Those of the disk.
pub fn clear_notes(root: &Path) -> io::Result<u64> {
    let mut freed = 0;
    let mut folders = Vec::new();
    each(root, |_, found| {
        freed += found.disk_bytes;
        remove(&found.path)?;
        let folder = found.path.parent().map(Path::to_owned);
        if folders.last() != folder.as_ref() {
            folders.extend(folder);
        }
        Ok(())
    })?;
    for folder in folders {
        // One with files of others in it stays.
        std::fs::remove_dir(&folder).ok();
    }
    if freed > 0 {
        Ledger::lock(root)?.note(count(root)?)?;
    }
    Ok(freed)
}
