//! What goes when there is no room: the spans of blocks that were not used for the longest time.
//!
//! The folder itself is the index. Whoever needs room walks it under its lock, counts what the files
//! take of the disk, all buckets and open files included, and drops the oldest spans by punching holes.
//! A file with no block left is removed. What is sealed goes as a whole, and not while somebody holds it.

use std::collections::BinaryHeap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::header::Entry;
use super::id::{Part, ReplicaId};
use super::replica::{self, Found, Replica};

/// Blocks that go together: 2 MiB of the usual ones, what one request fetches.
const SPAN_BLOCKS: usize = 16;

/// Part of the limit that is freed at a time: a walk for every sixteenth that is written.
const STEP_PART: u64 = 16;

/// The smallest piece of disk that the counting reckons with.
const PAGE_BYTES: u64 = 4096;

/// Walks in a row: one that finds more than the ledger knew may have to be followed by another.
const WALKS_MAX: usize = 3;

/// What was found, and what went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    /// Bytes of disk that the folder's replicas take now.
    pub(crate) used_bytes: u64,
    /// Bytes of disk that were freed.
    pub(crate) freed_bytes: u64,
}

/// Something to drop. The greatest is what was used last.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Victim {
    used: u32,
    id: ReplicaId,
    /// `None` is all of it.
    blocks: Option<(u64, u64)>,
    bytes: u64,
    folder: Arc<Path>,
}

/// The oldest of what was seen, as much as is wanted.
#[derive(Debug, Default)]
struct Oldest {
    heap: BinaryHeap<Victim>,
    bytes: u64,
    wanted: u64,
}

impl Oldest {
    fn offer(&mut self, victim: Victim) {
        self.bytes += victim.bytes;
        self.heap.push(victim);
        while let Some(newest) = self.heap.peek()
            && self.bytes - newest.bytes >= self.wanted
        {
            self.bytes -= newest.bytes;
            self.heap.pop();
        }
    }
}

/// Counts what the replicas below `root` take of the disk. Only under the folder's lock.
pub(crate) fn count(root: &Path) -> io::Result<u64> {
    walk(root, &mut Oldest::default())
}

/// Makes room for `need` more bytes below `limit`, where `used` are thought to be in use. May fail to
/// find that much: the outcome says what is used now. Only under the folder's lock.
pub(crate) fn make_room(root: &Path, used: u64, need: u64, limit: u64) -> io::Result<Outcome> {
    let target = limit.saturating_sub(need.max(limit / STEP_PART));
    let mut outcome = Outcome {
        used_bytes: used,
        freed_bytes: 0,
    };
    for _ in 0..WALKS_MAX {
        let mut oldest = Oldest {
            wanted: outcome.used_bytes.saturating_sub(target).max(1),
            ..Oldest::default()
        };
        outcome.used_bytes = walk(root, &mut oldest)?;
        for victim in oldest.heap.into_sorted_vec() {
            if outcome.used_bytes <= target {
                break;
            }
            let freed = drop_victim(&victim)?;
            outcome.freed_bytes += freed;
            outcome.used_bytes = outcome.used_bytes.saturating_sub(freed);
        }
        if outcome.used_bytes.saturating_add(need) <= limit {
            break;
        }
    }
    Ok(outcome)
}

/// Visits each replica below `root`, with its folder; files of other names are not ours.
pub(crate) fn each(
    root: &Path,
    mut visit: impl FnMut(&Arc<Path>, ReplicaId) -> io::Result<()>,
) -> io::Result<()> {
    for bucket in entries(root)? {
        let bucket = bucket?;
        if !bucket.file_type()?.is_dir() {
            continue;
        }
        let folder: Arc<Path> = bucket.path().into();
        for file in entries(&folder)? {
            let name = file?.file_name();
            let Some((id, part)) = name.to_str().and_then(ReplicaId::parse) else {
                continue;
            };
            // A replica is visited for its map; data without one, for itself.
            let has_map = || std::fs::symlink_metadata(id.path(&folder, Part::Map)).is_ok();
            if part == Part::Map || !has_map() {
                visit(&folder, id)?;
            }
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> io::Result<impl Iterator<Item = io::Result<std::fs::DirEntry>>> {
    match std::fs::read_dir(folder) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

/// Counts, and gathers what may go.
///
/// While ext4 writes back what it had put off, its `st_blocks` is too low for a moment (in
/// `ext4_da_update_reserve_space` the reservation ends before the blocks are counted). So a replica
/// counts for no less than its blocks.
fn walk(root: &Path, oldest: &mut Oldest) -> io::Result<u64> {
    let mut used = 0;
    each(root, |folder, id| {
        let found = Replica::open_any(folder, id);
        let present = match &found {
            Ok(Found::Replica(replica)) => offer(replica, folder, oldest)?,
            _ => 0,
        };
        let bytes = replica::allocated(folder, id)?.max(present);
        used += bytes;
        if present == 0 {
            // Nothing that could be read: it goes before anything else.
            oldest.offer(Victim {
                used: 0,
                id,
                blocks: None,
                bytes,
                folder: Arc::clone(folder),
            });
        }
        Ok(())
    })?;
    Ok(used)
}

/// Offers the spans of a replica with blocks in them. Gives the bytes of these blocks.
fn offer(replica: &Replica, folder: &Arc<Path>, oldest: &mut Oldest) -> io::Result<u64> {
    let (mut expected, mut last) = (0, 0);
    let is_sealed = replica.is_sealed()?;
    let mut may_go = |used, blocks, bytes| {
        oldest.offer(Victim {
            used,
            id: replica.header.id,
            blocks,
            bytes,
            folder: Arc::clone(folder),
        });
    };
    replica.each_entries(|first, entries| {
        for (at, span) in entries.chunks(SPAN_BLOCKS).enumerate() {
            let start = first + (at * SPAN_BLOCKS) as u64;
            let present = |(index, entry): (u64, &Entry)| {
                let bytes = (replica.block_len(index) as u64).next_multiple_of(PAGE_BYTES);
                entry.is_present().then_some((entry.used, bytes))
            };
            let present = || (start..).zip(span).filter_map(present);
            let Some(used) = present().map(|(used, _)| used).max() else {
                continue;
            };
            let bytes = present().map(|(_, bytes)| bytes).sum();
            expected += bytes;
            last = last.max(used);
            if !is_sealed {
                may_go(used, Some((start, start + span.len() as u64)), bytes);
            }
        }
        Ok(())
    })?;
    if is_sealed {
        if expected > 0 && !replica.is_held()? {
            may_go(last, None, expected);
        }
        return Ok(expected);
    }
    let slack = replica.header.geometry.block_bytes();
    if expected > 0 && replica.data_allocated()? > expected + slack {
        free_absent(replica)?;
    }
    Ok(expected)
}

/// Frees what is in no block: what was written and never entered, because its writer was killed between
/// the two, and what others have made of the file, also past the object's end.
fn free_absent(replica: &Replica) -> io::Result<()> {
    replica.fit()?;
    let mut end = 0;
    replica.each_entries(|first, entries| {
        for (index, entry) in (first..).zip(entries) {
            if !entry.is_present() {
                replica.punch(&(index..index + 1))?;
            }
        }
        end = first + entries.len() as u64;
        Ok(())
    })?;
    let blocks = replica.header.blocks();
    if end < blocks {
        replica.punch(&(end..blocks))?;
    }
    Ok(())
}

/// Drops what it names, and gives the bytes of disk that this freed.
fn drop_victim(victim: &Victim) -> io::Result<u64> {
    let Victim { folder, id, .. } = victim;
    let before = replica::allocated(folder, *id)?;
    let found = Replica::open_any(folder, *id);
    let is_emptied = match (&victim.blocks, &found) {
        (Some((start, end)), Ok(Found::Replica(replica))) => {
            // Where a part of a file cannot be freed, all of it goes.
            replica.clear(&(*start..*end)).is_err() || is_empty(replica)?
        }
        // Whoever asks now for what nobody held until here is refused, for as long as `found` is open.
        (None, Ok(Found::Replica(replica))) => !replica.is_held()?,
        _ => true,
    };
    if is_emptied {
        replica::remove(folder, *id)?;
    }
    let freed = before.saturating_sub(replica::allocated(folder, *id)?);
    // What is left may seem smaller than it is, what is gone does not: see `walk`.
    Ok(if is_emptied {
        freed
    } else {
        freed.min(victim.bytes)
    })
}

/// Whether no block of it is left.
pub(crate) fn is_empty(replica: &Replica) -> io::Result<bool> {
    let mut is_empty = true;
    replica.each_entries(|_, entries| {
        is_empty &= !entries.iter().any(Entry::is_present);
        Ok(())
    })?;
    Ok(is_empty)
}
