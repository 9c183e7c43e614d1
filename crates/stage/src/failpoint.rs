//! Failpoints: the moments of the write path at which a kill must lose nothing.
//!
//! With the cargo feature `failpoints`, a test arms one of them by its name, and the process kills
//! itself (`SIGKILL`, so nothing is cleaned up) when it is passed for the n-th time. Without the
//! feature they cost nothing. Each is a constant that says what is done and what is not yet.

/// A moment of the write path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Failpoint(#[cfg(feature = "failpoints")] &'static str);

macro_rules! failpoints {
    ($($(#[$about:meta])* $name:ident = $text:literal;)*) => {
        $(
            $(#[$about])*
            pub(crate) const $name: Failpoint = Failpoint(#[cfg(feature = "failpoints")] $text);
        )*

        /// The names of all failpoints.
        #[cfg(feature = "failpoints")]
        pub const NAMES: &[&str] = &[$($text),*];
    };
}

failpoints! {
    /// Bytes are in the local file; the journal does not say so yet.
    DATA_WRITTEN = "data-written";
    /// The local file has its new length; the journal does not say so yet.
    DATA_RESIZED = "data-resized";
    /// Bytes of the base are in the local file; the journal does not say so yet.
    DATA_FILLED = "data-filled";
    /// A file that grew was copied from its slot into a file of its own; the slot still counts.
    DATA_MOVED = "data-moved";
    /// A record is about to be written.
    JOURNAL_BEFORE = "journal-before";
    /// Half of a record is in the journal.
    JOURNAL_TORN = "journal-torn";
    /// A record is in the journal; nobody has acted on it.
    JOURNAL_APPENDED = "journal-appended";
    /// The journal was flushed to the disk; the caller was not told.
    JOURNAL_FLUSHED = "journal-flushed";
    /// A compacted journal is on the disk, beside the one in use.
    COMPACTION_WRITTEN = "compaction-written";
    /// The compacted journal took the place of the other one.
    COMPACTION_INSTALLED = "compaction-installed";
    /// A staged file is on the disk; the journal is not flushed yet.
    FSYNC_DATA_FLUSHED = "fsync-data-flushed";
    /// It is noted that a body goes out; no request was made.
    UPLOAD_NOTED = "upload-noted";
    /// The bucket has a whole body; nothing here knows.
    PUT_ANSWERED = "put-answered";
    /// The journal knows that an upload in parts is to begin; no request was made.
    PARTS_INTENDED = "parts-intended";
    /// The bucket has begun an upload in parts; the journal knows only that it was to begin.
    PARTS_BEGUN = "parts-begun";
    /// The journal knows the upload in parts; no part was sent.
    PARTS_NOTED = "parts-noted";
    /// The bucket has one more part.
    PART_SENT = "part-sent";
    /// The journal knows that parts are only in the bucket from now on; they are still here.
    AWAY_NOTED = "away-noted";
    /// Room of a part that is only in the bucket was given back to the disk.
    AWAY_PUNCHED = "away-punched";
    /// The bucket has all parts; they are not joined.
    PARTS_SENT = "parts-sent";
    /// The bucket has joined the parts; nothing here knows.
    PARTS_JOINED = "parts-joined";
    /// The bucket has a copy under the new name; nothing here knows.
    COPY_ANSWERED = "copy-answered";
    /// The bucket has other metadata for an object; nothing here knows.
    METADATA_ANSWERED = "metadata-answered";
    /// Keys are about to be removed from the bucket.
    REMOVE_BEFORE = "remove-before";
    /// Keys are removed from the bucket; nothing here knows.
    REMOVE_ANSWERED = "remove-answered";
    /// An upload in parts was aborted; the journal still knows it.
    ABORT_ANSWERED = "abort-answered";
    /// What an operation did is noted; the local file is still there.
    COMMIT_NOTED = "commit-noted";
    /// The journal says for good that files are done; they are about to be deleted.
    DELETE_BEFORE = "delete-before";
    /// Files that are done are deleted.
    DELETED = "deleted";
    /// A conflict copy has its key in the journal; nothing was sent.
    CONFLICT_NOTED = "conflict-noted";
    /// The folder was read after a crash; nothing was changed.
    RECOVERY_READ = "recovery-read";
    /// A file that is set aside is described; it was not moved.
    ASIDE_DESCRIBED = "aside-described";
    /// A file that is set aside was moved; the journal still wants it.
    ASIDE_MOVED = "aside-moved";
    /// The journal of the new start is in place; nothing was taken over.
    RECOVERY_BEGUN = "recovery-begun";
}

/// Passes a failpoint.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn pass(_: Failpoint) {}

/// Whether this is the moment that was armed: never.
#[cfg(not(feature = "failpoints"))]
#[inline]
pub(crate) const fn comes(_: Failpoint) -> bool {
    false
}

/// Ends the process; never called.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn kill() {}

#[cfg(feature = "failpoints")]
pub(crate) use self::armed::{comes, kill, pass};

#[cfg(feature = "failpoints")]
pub use self::armed::arm;

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use cloudmount_vfs::{Error, ErrorKind, Result};

    use super::{Failpoint, NAMES};

    static ARMED: OnceLock<(&str, AtomicU64)> = OnceLock::new();

    /// Kills this process when the failpoint `name` is passed for the `nth` time (from 1).
    ///
    /// # Errors
    /// `InvalidArgument` if there is none of that name; `Busy` if one is armed already.
    pub fn arm(name: &str, nth: u64) -> Result<()> {
        let known = NAMES.iter().find(|known| **known == name);
        let known = known.ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("no failpoint {name}"))
        })?;
        ARMED
            .set((known, AtomicU64::new(nth.max(1))))
            .map_err(|_| ErrorKind::Busy.into())
    }

    /// Whether this is the moment that was armed.
    pub(crate) fn comes(point: Failpoint) -> bool {
        ARMED.get().is_some_and(|(name, left)| {
            *name == point.0 && left.fetch_sub(1, Ordering::AcqRel) == 1
        })
    }

    /// Ends the process as `kill -9` does.
    pub(crate) fn kill() {
        let this = rustix::process::getpid();
        if let Err(error) = rustix::process::kill_process(this, rustix::process::Signal::KILL) {
            tracing::error!(%error, "cannot kill this process");
        }
        // The signal may reach another thread first: this one goes no further.
        loop {
            std::thread::park();
        }
    }

    /// Passes a failpoint.
    pub(crate) fn pass(point: Failpoint) {
        if comes(point) {
            kill();
        }
    }
}
