//! Whole replicas that are read by others: the data file of one, held so that it stays what it is.
//!
//! Laws:
//! - A file is given only if it has every block, each with its checksum. What was right is not read again by this
//!   process until the file has changed.
//! - From then on it is *sealed*: no byte of it is freed or cut off any more, by whatever process. It is removed as a
//!   whole, which leaves its bytes to those who have it open or mapped.
//! - While it is held, it is not removed to make room, so the limit is kept. What is removed all the same (by a person, or as
//!   damaged), or is still mapped when it is removed, takes its place until the last one lets go of it.
//! - Nobody waits for it: what takes longer than [`PATIENCE`] is done for the next one who asks.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_vfs::LocalFile;
use futures::future::{Either, select};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::header::Header;
use super::id::ReplicaId;
use super::look::Damage;
use super::replica::{Found, Replica, Stamp};
use super::stats::add;
use super::tier::{DiskCache, Tier};
use crate::ObjectRef;
use crate::ledger::Ledger;

/// The smallest object that is worth it: up to here, one request of the kernel brings all of it.
pub const LOCAL_BYTES_MIN: u64 = 1 << 20;

/// How long an open waits for a file to be looked through: 20 ms, what some 100 MB in memory take, and a round trip to
/// the store.
const PATIENCE: Duration = Duration::from_millis(20);

/// Files that are held at once: a descriptor each.
const HELD_MAX: usize = 256;

/// Files that are looked through at once.
const CHECKS_MAX: usize = 4;

/// Files of which is known that they were right.
const RIGHT_MAX: usize = 4096;

/// What a tier knows of whole replicas.
pub(crate) struct Locals {
    right: Cache<ReplicaId, Stamp>,
    checking: Mutex<HashSet<ReplicaId>>,
    room: Arc<Semaphore>,
}

impl Default for Locals {
    fn default() -> Self {
        Self {
            right: Cache::new(RIGHT_MAX),
            checking: Mutex::default(),
            room: Arc::new(Semaphore::new(HELD_MAX)),
        }
    }
}

/// A data file whose lock says that somebody reads it.
struct Held {
    data: File,
    #[expect(dead_code, reason = "one of the files that may be held")]
    room: OwnedSemaphorePermit,
}

impl AsFd for Held {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.data.as_fd()
    }
}

/// Ends with it: that one replica is being looked through.
struct Checking<'a>(&'a Tier, ReplicaId);

impl Drop for Checking<'_> {
    fn drop(&mut self) {
        self.0.locals.checking.lock().remove(&self.1);
    }
}

impl DiskCache {
    /// The file that holds all of `object`, to be read without this cache, whose checks and counts it then lacks: what
    /// is flipped on the disk while somebody reads it is not noticed. `None` where the object is not whole here, is
    /// smaller than [`LOCAL_BYTES_MIN`], could not be looked through in time, or where too many are held.
    pub async fn local_file(&self, object: &ObjectRef) -> Option<LocalFile> {
        let tier = &self.0;
        if object.size < LOCAL_BYTES_MIN || tier.is_silent() {
            return None;
        }
        let (header, shared) = (tier.header(object), Arc::clone(tier));
        let looking = (tier.runtime).spawn_blocking(move || shared.whole(&header));
        match select(looking, tier.clock.sleep(PATIENCE)).await {
            Either::Left((found, _)) => found.ok().flatten(),
            Either::Right(_) => None,
        }
    }
}

impl Tier {
    fn whole(self: &Arc<Self>, header: &Header) -> Option<LocalFile> {
        // A disk that cannot be read is a disk with nothing on it.
        self.try_whole(header).ok().flatten()
    }

    fn try_whole(self: &Arc<Self>, header: &Header) -> io::Result<Option<LocalFile>> {
        let Some(_checking) = self.check_alone(header.id) else {
            return Ok(None);
        };
        let Ok(room) = Arc::clone(&self.locals.room).try_acquire_owned() else {
            return Ok(None);
        };
        // Opened for this alone: the lock belongs to its descriptor.
        let Found::Replica(replica) = Replica::open(&self.folder, header)? else {
            return Ok(None);
        };
        if !replica.is_complete()? || !replica.hold()? || !replica.is_linked() {
            return Ok(None);
        }
        if !self.seal(&replica)? {
            return Ok(None);
        }
        let stamp = replica.stamp()?;
        if self.locals.right.get(&header.id) != Some(stamp) {
            if !self.is_right(&replica)? {
                return Ok(None);
            }
            self.locals.right.insert(header.id, stamp);
        }
        // For those who make room. If it cannot be noted, it is only older than it should be.
        replica.touch(0, self.seconds()).ok();
        add(&self.counters.local_files, 1);
        let held = Held {
            data: replica.into_data(),
            room,
        };
        Ok(Some(LocalFile::new(held)))
    }

    /// `None` if it is being looked through, or as many are as may be.
    fn check_alone(&self, id: ReplicaId) -> Option<Checking<'_>> {
        let mut checking = self.locals.checking.lock();
        let is_first = checking.len() < CHECKS_MAX && checking.insert(id);
        is_first.then(|| Checking(self, id))
    }

    /// Seals it; says whether it is. Who has the folder's lock is not waited for.
    fn seal(&self, replica: &Replica) -> io::Result<bool> {
        if replica.is_sealed()? {
            return Ok(true);
        }
        let Some(_ledger) = Ledger::try_lock(&self.root)? else {
            return Ok(false);
        };
        replica.seal()?;
        Ok(true)
    }

    /// Whether every block of it has the checksum of its entry. Has one that has not dropped.
    fn is_right(self: &Arc<Self>, replica: &Replica) -> io::Result<bool> {
        // Again, now that no block can go.
        let mut is_right = replica.is_complete()?;
        is_right &= replica.data_len()? == replica.header.object.size;
        if !is_right {
            return Ok(false);
        }
        replica.each_entries(|first, entries| {
            for (index, entry) in (first..).zip(entries) {
                let buffer = self.pool.take(replica.block_len(index));
                let Some(block) = replica.read(index, entry, buffer)? else {
                    is_right = false;
                    let damage = Damage::Block(index, entry.sum);
                    self.found_damaged(&replica.header, damage);
                    break;
                };
                // Gives the buffer back.
                drop(self.pool.freeze(block));
            }
            Ok(())
        })?;
        Ok(is_right)
    }
}
