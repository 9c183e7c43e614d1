//! Keeping blocks: a queue, and one thread at a time that works at it under the folder's lock.
//!
//! The thread ends when the queue is empty. So none waits for the lock while there is nothing to do,
//! and the lock is taken once for many blocks.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::evict;
use super::header::{Entry, Header};
use super::look::Damage;
use super::replica::{self, Found, Replica};
use super::stats::add;
use super::tier::{Scope, Tier};
use crate::ledger::{self, Ledger};

/// Jobs that are done at a time, so that other processes get the lock, too.
const BATCH_MAX: usize = 32;

/// Jobs that wait, as long as they are of damage: blocks have their bound in bytes.
const JOBS_MAX: usize = 4096;

/// Part of the limit that one batch may come to.
const BATCH_PART: u64 = 8;

/// What a block may take of the disk besides its bytes: pages of the map, and what the file system
/// needs to find them.
const AROUND_BYTES: u64 = 16 * 1024;

/// The unit that blocks are rounded up to when room is reserved.
const PAGE_BYTES: u64 = 4096;

/// Part of the disk that is left free for others: staged uploads may lie on the same one.
const LEFT_FREE_PART: u64 = 20;

/// Of a large disk, no more than this is left free: 1 GiB.
const LEFT_FREE_MAX: u64 = 1 << 30;

/// Something to do under the lock.
#[derive(Debug)]
pub(crate) enum Job {
    Keep(Keep),
    /// Something damaged is to be dropped.
    Damaged(Header, Damage),
    /// What came before this is done.
    Tell(oneshot::Sender<()>),
}

/// A block to be kept.
#[derive(Debug)]
pub(crate) struct Keep {
    pub(crate) header: Header,
    pub(crate) index: u64,
    pub(crate) block: Bytes,
    #[expect(dead_code, reason = "room in the queue, given back when it is dropped")]
    pub(crate) room: OwnedSemaphorePermit,
}

impl Keep {
    /// Bytes of disk that it takes, at most.
    fn need(&self) -> u64 {
        (self.block.len() as u64).next_multiple_of(PAGE_BYTES) + AROUND_BYTES
    }
}

impl Tier {
    /// Adds a job, and somebody who does it.
    pub(crate) fn enqueue(self: &Arc<Self>, job: Job) {
        let mut queue = self.queue.lock();
        queue.jobs.push_back(job);
        if !std::mem::replace(&mut queue.is_worked_at, true) {
            let tier = Arc::clone(self);
            self.runtime.spawn_blocking(move || tier.work());
        }
    }

    /// Has something dropped. Where too much waits already, it is found again another time.
    pub(crate) fn found_damaged(self: &Arc<Self>, header: &Header, damage: Damage) {
        if self.queue.lock().jobs.len() < JOBS_MAX {
            self.enqueue(Job::Damaged(header.clone(), damage));
        }
    }

    fn work(&self) {
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                return;
            }
            self.carry_out(batch);
        }
    }

    /// The next jobs. Where there are none, the work is over.
    fn batch(&self) -> Vec<Job> {
        let mut queue = self.queue.lock();
        let mut batch = Vec::new();
        let mut need = 0;
        while let Some(job) = queue.jobs.front()
            && batch.len() < BATCH_MAX
        {
            if let Job::Keep(keep) = job {
                need += keep.need();
            }
            if need > self.limit_bytes / BATCH_PART && !batch.is_empty() {
                break;
            }
            batch.extend(queue.jobs.pop_front());
        }
        queue.is_worked_at = !batch.is_empty();
        batch
    }

    fn carry_out(&self, batch: Vec<Job>) {
        let (mut keeps, mut damages, mut tells) = (Vec::new(), Vec::new(), Vec::new());
        for job in batch {
            match job {
                Job::Keep(keep) => keeps.push(keep),
                Job::Damaged(header, damage) => damages.push((header, damage)),
                Job::Tell(done) => tells.push(done),
            }
        }
        let count = keeps.len() as u64;
        if self.is_off() {
            keeps.clear();
            add(&self.counters.skipped, count);
        }
        if !(keeps.is_empty() && damages.is_empty())
            && let Err(error) = self.under_lock(keeps, &damages)
        {
            self.turn_off(&error, Scope::Keeping);
        }
        for done in tells {
            // Who asked may have gone.
            done.send(()).ok();
        }
    }

    fn under_lock(&self, keeps: Vec<Keep>, damages: &[(Header, Damage)]) -> io::Result<()> {
        let ledger = Ledger::lock(&self.root)?;
        let mut used = self.count(&ledger)?;
        for (header, damage) in damages {
            used = used.saturating_sub(self.drop_damaged(header, *damage)?);
        }
        if !keeps.is_empty() {
            ledger::make_folder(&self.folder)?;
            let need = keeps.iter().map(Keep::need).sum();
            used = self.make_room(used, need)?;
            // Before the first byte is written: see the ledger's law.
            ledger.note(used + need)?;
        }
        let outcome = self.keep_all(&keeps, &mut used);
        self.counters.used_bytes.store(used, Ordering::Relaxed);
        ledger.note(used)?;
        outcome
    }

    /// Bytes in use. The first time, they are counted: an earlier process may have been killed.
    fn count(&self, ledger: &Ledger) -> io::Result<u64> {
        if self.is_counted.load(Ordering::Relaxed)
            && let Some(used) = ledger.count()?
        {
            return Ok(used);
        }
        let used = evict::count(&self.root)?;
        self.is_counted.store(true, Ordering::Relaxed);
        Ok(used)
    }

    /// Makes sure that `need` more bytes fit: below the limit, and on the disk with some left free.
    fn make_room(&self, used: u64, need: u64) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(&self.root)?;
        let left_free = (disk.f_blocks * disk.f_frsize / LEFT_FREE_PART).min(LEFT_FREE_MAX);
        let free = (disk.f_bavail * disk.f_frsize).saturating_sub(left_free);
        let limit = self.limit_bytes.min(used.saturating_add(free));
        if used.saturating_add(need) <= limit {
            return Ok(used);
        }
        let outcome = evict::make_room(&self.root, used, need, limit)?;
        add(&self.counters.evicted_bytes, outcome.freed_bytes);
        if outcome.used_bytes.saturating_add(need) <= limit {
            return Ok(outcome.used_bytes);
        }
        let why = if limit < self.limit_bytes {
            "its disk is full, but for what is left free"
        } else {
            "there is no room below its limit"
        };
        Err(io::Error::new(io::ErrorKind::StorageFull, why))
    }

    /// Keeps them one after the other, and counts what each replica takes more than before.
    fn keep_all(&self, keeps: &[Keep], used: &mut u64) -> io::Result<()> {
        let mut done = 0;
        let mut outcome = Ok(());
        for of_one in keeps.chunk_by(|one, next| one.header.id == next.header.id) {
            let id = of_one[0].header.id;
            let before = replica::allocated(&self.folder, id)?;
            // Not less than what was written: see `evict::walk`.
            let mut grown = 0;
            outcome = of_one.iter().try_for_each(|keep| {
                grown += self.keep(keep)?;
                done += 1;
                add(&self.counters.kept_bytes, keep.block.len() as u64);
                Ok(())
            });
            let after = replica::allocated(&self.folder, id)?;
            *used += after.saturating_sub(before).max(grown);
            if outcome.is_err() {
                break;
            }
        }
        add(&self.counters.skipped, (keeps.len() - done) as u64);
        outcome
    }

    /// Keeps one, and gives the bytes of its place if it had none before.
    fn keep(&self, keep: &Keep) -> io::Result<u64> {
        let header = &keep.header;
        let replica = match self.open.get(&header.id) {
            // It may have been evicted, or removed by a person.
            Some(replica) if self.is_current(&replica, header) => replica,
            _ => {
                let replica = match Replica::open(&self.folder, header)? {
                    Found::Replica(replica) => replica,
                    Found::Absent | Found::Useless => Replica::create(&self.folder, header)?,
                };
                let replica = Arc::new(replica);
                self.open.insert(header.id, Arc::clone(&replica));
                replica
            }
        };
        let entries = replica.entries(&(keep.index..keep.index + 1))?;
        let is_new = !entries.first().is_some_and(Entry::is_present);
        replica.write(keep.index, &keep.block, self.seconds())?;
        let place = (keep.block.len() as u64).next_multiple_of(PAGE_BYTES);
        Ok(if is_new { place } else { 0 })
    }

    fn is_current(&self, replica: &Replica, header: &Header) -> bool {
        replica.is_linked() && replica.header.object.size == header.object.size
    }

    /// Drops what was found to be damaged, if it is so still. Gives the bytes that this freed.
    fn drop_damaged(&self, header: &Header, damage: Damage) -> io::Result<u64> {
        let id = header.id;
        let before = replica::allocated(&self.folder, id)?;
        let is_useless = match (Replica::open(&self.folder, header)?, damage) {
            (Found::Absent, _) | (Found::Replica(_), Damage::Header) => return Ok(0),
            (Found::Useless, _) => true,
            (Found::Replica(replica), Damage::Block(index, sum)) => {
                let blocks = index..index + 1;
                let entries = replica.entries(&blocks)?;
                let Some(entry) = entries.first().filter(|entry| entry.sum == sum) else {
                    return Ok(0);
                };
                if replica.read(index, entry, Vec::new())?.is_some() {
                    return Ok(0);
                }
                replica.clear(&blocks).is_err()
            }
        };
        if is_useless {
            self.open_no_more(id);
            replica::remove(&self.folder, id)?;
        }
        add(&self.counters.damaged, 1);
        let after = replica::allocated(&self.folder, id)?;
        let freed = before.saturating_sub(after);
        let place = self.geometry.block_bytes();
        Ok(if is_useless { freed } else { freed.min(place) })
    }
}
