//! What the stage tells the core, in the order in which it happened per key.

use cloudmount_store::{Key, Version};
use cloudmount_vfs::ErrorKind;
use tokio::sync::mpsc;

use crate::FileId;

/// Most events that wait to be read: a worker that finished waits for room, so a slow reader slows
/// the queue and costs no memory.
const EVENTS_MAX: usize = 1024;

/// What was committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// The content of a staged file, as it was at that generation.
    Content {
        /// Which file.
        file: FileId,
        /// [`StagedFile::generation`](crate::StagedFile::generation) that is in the bucket now.
        generation: u64,
    },
    /// A body given as bytes.
    Inline,
    /// Metadata only.
    Metadata,
    /// The key holds nothing now.
    Removed,
}

/// Whether a failure passes by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lasting {
    /// It may: it is tried again soon.
    Transient,
    /// It needs a person: it is tried again every few minutes.
    Permanent,
}

/// Something that happened in the bucket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The bucket has it.
    Committed {
        /// Under which key.
        key: Key,
        /// What.
        change: Change,
        /// Its version; `None` for a removal, and for a marker that this store cannot hold.
        version: Option<Version>,
        /// Its size in bytes; 0 for a removal.
        size: u64,
    },
    /// Someone else changed the object; theirs keeps the key.
    Conflict {
        /// The key.
        key: Key,
        /// Where ours goes. `None`: ours was a removal or a change of metadata and is dropped, or
        /// the policy keeps it back.
        kept_as: Option<Key>,
        /// The staged file that moved, if it was one.
        file: Option<FileId>,
        /// What is there; `None`: nothing.
        theirs: Option<Version>,
    },
    /// Someone else made an object under the key, and ours cannot go elsewhere, for some of it is only in
    /// parts that can be joined there: theirs was copied to another name, and ours takes the key. Told
    /// before that.
    TheirsBeside {
        /// The key.
        key: Key,
        /// Where theirs is now.
        theirs_as: Key,
    },
    /// A file that was changed in part lacks the rest: someone else replaced or removed the object that
    /// has it. It cannot be stored, nor kept as a copy. Told after each try, where theirs is to keep
    /// the name.
    BaseLost {
        /// The key.
        key: Key,
        /// What was tried, for people.
        error: String,
    },
    /// A try failed. Told for the first of a series, and whenever it becomes permanent.
    Failed {
        /// The key.
        key: Key,
        /// Why, for people.
        error: String,
        /// Why, for the reaction.
        kind: ErrorKind,
        /// Whether it passes by itself.
        lasting: Lasting,
    },
}

/// The reading end: one consumer. It must be read: a stage whose events nobody takes slows down, and
/// stops after 1,024 of them.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Event>);

impl Events {
    /// The next event; `None` once the stage is shut down and all was read.
    pub async fn next(&mut self) -> Option<Event> {
        self.0.recv().await
    }

    /// The next event if there is one now.
    pub fn try_next(&mut self) -> Option<Event> {
        self.0.try_recv().ok()
    }
}

/// The sending end and the reading end.
pub(crate) fn channel() -> (mpsc::Sender<Event>, Events) {
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    (sender, Events(receiver))
}
