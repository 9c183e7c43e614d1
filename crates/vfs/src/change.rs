//! What a kernel (or any other cache in front of a [`Vfs`](crate::Vfs)) must forget.
//!
//! The core sends, one adapter drains on a thread of its own. Pull, not callbacks: an invalidation
//! sent from a request thread can deadlock against the kernel's page locks.
//!
//! Law: sending never blocks and the queue is bounded. When it overflows, what was queued is
//! replaced by one [`Change::Everything`], so nothing is forgotten by accident.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::{InodeId, Name};

/// Something that changed other than through the one who is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// The attributes of an inode.
    Attributes(InodeId),
    /// The content of an inode, and its attributes.
    Content(InodeId),
    /// What a name leads to, including nothing.
    Entry {
        /// The directory.
        parent: InodeId,
        /// The name in it.
        name: Name,
    },
    /// A name was removed together with its inode.
    Removed {
        /// The directory.
        parent: InodeId,
        /// The inode that the name led to.
        child: InodeId,
        /// The name in it.
        name: Name,
    },
    /// Too much changed to tell: forget all.
    Everything,
}

#[derive(Debug, Default)]
struct Queue {
    changes: VecDeque<Change>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    capacity: usize,
}

/// The core's end. The last sender dropped closes the channel.
#[derive(Debug)]
pub struct ChangeSender(Arc<Shared>);

/// The adapter's end: one consumer.
#[derive(Debug)]
pub struct Changes(Arc<Shared>);

/// Ends the consumer's wait from another thread: see [`Changes::closer`].
#[derive(Clone, Debug)]
pub struct ChangesCloser(Arc<Shared>);

impl ChangesCloser {
    /// Ends the channel: the consumer gets what is queued, then `None`.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Shared {
    fn close(&self) {
        self.queue.lock().closed = true;
        self.ready.notify_all();
    }
}

/// A channel that holds at most `capacity` changes (at least 1) before it says "everything".
#[must_use]
pub fn change_channel(capacity: usize) -> (ChangeSender, Changes) {
    let shared = Arc::new(Shared {
        queue: Mutex::default(),
        ready: Condvar::new(),
        capacity: capacity.max(1),
    });
    (ChangeSender(Arc::clone(&shared)), Changes(shared))
}

impl ChangeSender {
    /// Queues `change`; never blocks. A repetition of the newest change is dropped, and so is all
    /// that comes after the end of the channel.
    pub fn send(&self, change: Change) {
        let mut queue = self.0.queue.lock();
        if queue.closed
            || queue.changes.back() == Some(&change)
            || queue.changes.front() == Some(&Change::Everything)
        {
            return;
        }
        if queue.changes.len() >= self.0.capacity {
            queue.changes.clear();
            queue.changes.push_back(Change::Everything);
        } else {
            queue.changes.push_back(change);
        }
        self.0.ready.notify_one();
    }

    /// Ends the channel: the consumer gets what is queued, then `None`.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Drop for ChangeSender {
    fn drop(&mut self) {
        self.close();
    }
}

impl Changes {
    /// What ends the channel from the consumer's side, while its own thread waits: at unmount.
    #[must_use]
    pub fn closer(&self) -> ChangesCloser {
        ChangesCloser(Arc::clone(&self.0))
    }

    /// Takes the oldest change without waiting.
    #[must_use]
    pub fn try_next(&mut self) -> Option<Change> {
        self.0.queue.lock().changes.pop_front()
    }

    /// Waits for a change; `None` once the channel is closed and empty. For a thread of its own:
    /// it blocks.
    #[must_use]
    pub fn next_blocking(&mut self) -> Option<Change> {
        let mut queue = self.0.queue.lock();
        loop {
            if let Some(change) = queue.changes.pop_front() {
                return Some(change);
            }
            if queue.closed {
                return None;
            }
            self.0.ready.wait(&mut queue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overflow_becomes_everything() {
        let (sender, mut changes) = change_channel(2);
        for raw in 1..=3 {
            sender.send(Change::Content(InodeId::new(raw).unwrap()));
        }
        assert_eq!(changes.try_next(), Some(Change::Everything));
        assert_eq!(changes.try_next(), None);
    }

    #[test]
    fn the_consumer_can_be_stopped_while_it_waits() {
        let (sender, mut changes) = change_channel(8);
        let closer = changes.closer();
        let consumer = std::thread::spawn(move || changes.next_blocking());
        closer.close();
        assert_eq!(consumer.join().unwrap(), None);
        sender.send(Change::Everything);
    }

    #[test]
    fn dropping_the_sender_ends_the_stream() {
        let (sender, mut changes) = change_channel(8);
        sender.send(Change::Attributes(InodeId::ROOT));
        drop(sender);
        assert_eq!(
            changes.next_blocking(),
            Some(Change::Attributes(InodeId::ROOT))
        );
        assert_eq!(changes.next_blocking(), None);
    }
}
