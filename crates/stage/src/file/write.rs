//! Changing a staged file.

use std::ops::Range;
use std::sync::Arc;

use cloudmount_vfs::{Error, ErrorKind, Result};
use rustix::io::Errno;

use super::shelf::SLOT_BYTES;
use super::{FileState, StagedFile, Standing, blocks};
use crate::disk::disk_error;
use crate::failpoint;
use crate::journal::record::Change;
use crate::room::{BLOCK_BYTES, Reserved, Turn};

/// What became of a change that needs room on the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "it may not have been made"]
pub enum Fit {
    /// It was made.
    Made,
    /// It was not: what is in its way is only in parts of an upload, see
    /// [`Stage::recall`](crate::Stage::recall).
    Away,
    /// It was not: so many bytes of room are to be had first, see [`Stage::room`](crate::Stage::room).
    Lacks(u64),
    /// It was not: the file is what someone else wrote, which who changes it has not seen, see
    /// [`StagedFile::adopted`].
    Adopted,
}

impl StagedFile {
    /// Writes all of `data` at `offset`, whatever room that takes; what lies between the end and
    /// `offset` becomes zeros.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: the size is as it was before. `FileTooLarge` for the store. `Busy` if what is
    /// away must be recalled before.
    pub fn write_at(self: &Arc<Self>, offset: u64, data: &[u8]) -> Result<()> {
        self.write_as(offset, data, None, (Turn::Must, &mut Reserved::none()))
            .and_then(made)
    }

    /// The same, if there is room within the limit, or in `room`. A small file may have what is kept
    /// for those. `seen`: what [`adopted`](Self::adopted) was when the writer saw the content; `None`:
    /// whatever the content is.
    ///
    /// # Errors
    /// As [`write_at`](Self::write_at).
    pub fn write_within(
        self: &Arc<Self>,
        offset: u64,
        data: &[u8],
        seen: Option<u64>,
        room: &mut Reserved,
    ) -> Result<Fit> {
        let is_small = offset.saturating_add(data.len() as u64) <= SLOT_BYTES;
        let turn = if is_small { Turn::First } else { Turn::InLine };
        self.write_as(offset, data, seen, (turn, room))
    }

    fn write_as(
        self: &Arc<Self>,
        offset: u64,
        data: &[u8],
        seen: Option<u64>,
        (turn, room): (Turn, &mut Reserved),
    ) -> Result<Fit> {
        if data.is_empty() {
            return Ok(Fit::Made);
        }
        let range = self.checked_range(offset, data.len() as u64)?;
        self.change(seen, |state| {
            if state.is_bound(&range) {
                return Ok(Fit::Away);
            }
            let growth = state.growth(&range);
            let Some(taken) = room.split(&self.context.room, growth, turn) else {
                return Ok(Fit::Lacks(growth));
            };
            self.prepare_local(state)?;
            if let Err(error) = self.local.write_all_at(&self.context, data, offset) {
                self.half_written(state, &range);
                return Err(disk_error(error, || {
                    format!("write staged file {}", self.id)
                }));
            }
            failpoint::pass(failpoint::DATA_WRITTEN);
            if state.standing == Standing::Pending && state.content.is_news(&range) {
                let end = range.end.min(state.content.base_limit());
                let told = self.context.journal.append(&[Change::Wrote {
                    file: self.id.get(),
                    start: range.start,
                    end,
                }]);
                if let Err(error) = told {
                    self.half_written(state, &range);
                    return Err(error);
                }
            }
            state.allocated.insert(blocks(&range));
            state.dropping.remove(blocks(&range));
            taken.spend();
            state.content.wrote(range);
            state.wake_watch();
            Ok(Fit::Made)
        })
    }

    /// Sets the size: cuts, or extends with zeros.
    ///
    /// # Errors
    /// `NoSpace`, `Io`; `FileTooLarge` for the store; `Busy` if what is away must be recalled before.
    pub fn set_len(self: &Arc<Self>, size: u64) -> Result<()> {
        self.cut(size, None).and_then(made)
    }

    /// The same; [`Fit::Away`] if what is away must be recalled before. `seen` as in
    /// [`write_within`](Self::write_within).
    ///
    /// # Errors
    /// `NoSpace`, `Io`; `FileTooLarge` for the store.
    pub fn cut(self: &Arc<Self>, size: u64, seen: Option<u64>) -> Result<Fit> {
        self.checked_range(0, size)?;
        self.change(seen, |state| {
            if size == state.content.size() {
                return Ok(Fit::Made);
            }
            if state.is_bound_at(size) {
                return Ok(Fit::Away);
            }
            self.prepare_local(state)?;
            // The length first: a crash before the record finds the file cut, never the old bytes
            // behind a new end.
            (self.local.set_len(&self.context, size))
                .map_err(|error| self.failed("resize", error))?;
            failpoint::pass(failpoint::DATA_RESIZED);
            let limit = state.content.base_limit();
            state.content.resized(size);
            self.cut_room(state, size);
            if state.away.is_some() {
                state.cut_away();
                self.context
                    .journal
                    .append(&[Change::File(state.record(self.id))])?;
            } else if state.standing == Standing::Pending && state.content.base_limit() != limit {
                self.context.journal.append(&[Change::Resized {
                    file: self.id.get(),
                    size,
                    base_limit: state.content.base_limit(),
                }])?;
            }
            Ok(Fit::Made)
        })
    }

    /// Makes the file at least `offset + length` bytes long, with room on the disk for the range.
    ///
    /// # Errors
    /// `NoSpace`, `Io`: the size is as before. `FileTooLarge` for the store.
    pub fn allocate(self: &Arc<Self>, offset: u64, length: u64) -> Result<()> {
        self.allocate_as(offset, length, None, (Turn::Must, &mut Reserved::none()))
            .and_then(made)
    }

    /// The same, if there is room within the limit, or in `room`. `seen` as in
    /// [`write_within`](Self::write_within).
    ///
    /// # Errors
    /// As [`allocate`](Self::allocate).
    pub fn allocate_within(
        self: &Arc<Self>,
        offset: u64,
        length: u64,
        seen: Option<u64>,
        room: &mut Reserved,
    ) -> Result<Fit> {
        self.allocate_as(offset, length, seen, (Turn::InLine, room))
    }

    fn allocate_as(
        self: &Arc<Self>,
        offset: u64,
        length: u64,
        seen: Option<u64>,
        (turn, room): (Turn, &mut Reserved),
    ) -> Result<Fit> {
        if length == 0 {
            return Ok(Fit::Made);
        }
        let range = self.checked_range(offset, length)?;
        self.change(seen, |state| {
            if state.is_bound(&range) {
                return Ok(Fit::Away);
            }
            let growth = state.growth(&range);
            let Some(taken) = room.split(&self.context.room, growth, turn) else {
                return Ok(Fit::Lacks(growth));
            };
            self.prepare_local(state)?;
            match self.local.allocate(&self.context, offset, length) {
                Ok(()) => {
                    state.allocated.insert(blocks(&range));
                    state.dropping.remove(blocks(&range));
                    taken.spend();
                }
                // Without the promise of room: the disk's own filesystem cannot make it.
                Err(Errno::OPNOTSUPP) if range.end > state.content.size() => {
                    (self.local.set_len(&self.context, range.end))
                        .map_err(|error| self.failed("extend", error))?;
                }
                Err(Errno::OPNOTSUPP) => {}
                Err(error) => {
                    self.undo_growth(state);
                    return Err(self.failed("reserve room for", error.into()));
                }
            }
            if range.end > state.content.size() {
                state.content.resized(range.end);
            }
            Ok(Fit::Made)
        })
    }

    /// Keeps bytes that were read from the base, where the file does not have its own. Bytes out of
    /// the base's part are ignored.
    ///
    /// # Errors
    /// `NoSpace` (also if the limit leaves no room), `Io`: the content is as before.
    pub fn fill(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.fill_as(offset, data, Turn::First)
    }

    /// The same, unless they `Must` be kept, whatever the limit.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub(crate) fn fill_as(&self, offset: u64, data: &[u8], turn: Turn) -> Result<()> {
        let mut state = self.state.lock();
        let range = offset..offset.saturating_add(data.len() as u64);
        let missing: Vec<_> = state.content.missing_in(range).collect();
        if missing.is_empty() {
            return Ok(());
        }
        for part in missing {
            let growth = state.growth(&part);
            let taken = Reserved::none().split(&self.context.room, growth, turn);
            let taken = taken.ok_or_else(|| {
                Error::new(ErrorKind::NoSpace, "the limit of staged bytes is reached")
            })?;
            self.prepare_local(&mut state)?;
            let start = usize::try_from(part.start - offset).unwrap_or(usize::MAX);
            let end = usize::try_from(part.end - offset).unwrap_or(usize::MAX);
            (self.local)
                .write_all_at(&self.context, &data[start..end], part.start)
                .map_err(|error| self.failed("fill", error))?;
            failpoint::pass(failpoint::DATA_FILLED);
            if state.standing == Standing::Pending {
                self.context.journal.append(&[Change::Filled {
                    file: self.id.get(),
                    start: part.start,
                    end: part.end,
                }])?;
            }
            state.allocated.insert(blocks(&part));
            state.dropping.remove(blocks(&part));
            taken.spend();
            state.content.filled(part);
        }
        Ok(())
    }

    /// Applies a change under the file's lock, taking a settled file up first. Not if the file is another content than
    /// who asks for it has `seen`.
    fn change(
        self: &Arc<Self>,
        seen: Option<u64>,
        apply: impl FnOnce(&mut FileState) -> Result<Fit>,
    ) -> Result<Fit> {
        loop {
            let mut state = self.state.lock();
            if seen.is_some_and(|seen| seen != state.content.adopted()) {
                return Ok(Fit::Adopted);
            }
            if state.standing != Standing::Settled {
                return apply(&mut state);
            }
            drop(state);
            let owner = self.owner.upgrade().ok_or_else(|| {
                Error::new(
                    ErrorKind::Interrupted,
                    "write after the stage was shut down",
                )
            })?;
            owner.take_up(self)?;
        }
    }

    fn checked_range(&self, offset: u64, length: u64) -> Result<Range<u64>> {
        match offset.checked_add(length) {
            Some(end) if end <= self.context.size_max => Ok(offset..end),
            _ => {
                let limit = self.context.size_max;
                let context = format!("a file over {limit} bytes, the largest object of the store");
                Err(Error::new(ErrorKind::FileTooLarge, context))
            }
        }
    }

    /// Makes the local file as long as the file if it is new.
    fn prepare_local(&self, state: &mut FileState) -> Result<()> {
        if state.has_local {
            return Ok(());
        }
        // Not of an empty file: ext4 takes a cut to nothing as a sign of "replace by truncate", and
        // makes the close wait for the disk (ext4(5), auto_da_alloc).
        if state.content.size() > 0 {
            (self.local.set_len(&self.context, state.content.size()))
                .map_err(|error| self.failed("size", error))?;
        }
        state.has_local = true;
        Ok(())
    }

    /// What was cut away gives its room back.
    fn cut_room(&self, state: &mut FileState, size: u64) {
        let before = state.allocated.total();
        state.allocated.cut(size.next_multiple_of(BLOCK_BYTES));
        state.dropping.cut(size);
        self.context
            .room
            .give_back(before - state.allocated.total());
    }

    /// After a write that failed half-way: the local file is as long as the file again.
    fn undo_growth(&self, state: &FileState) {
        if let Err(error) = self.local.undo(&self.context, state.content.size()) {
            tracing::error!(file = %self.id, %error, "cannot cut a staged file after a failed write");
        }
    }

    /// After a write that failed: nothing grew, and what lay in the local file before may be half
    /// new. POSIX allows that, and an upload that is running must know of it.
    fn half_written(&self, state: &mut FileState, range: &Range<u64>) {
        self.undo_growth(state);
        let content = &state.content;
        let limit = content.base_limit();
        let beyond = range.start.max(limit)..range.end.min(content.size());
        let below = content.present().within(range.start..range.end.min(limit));
        let touched: Vec<_> = below.chain(std::iter::once(beyond)).collect();
        for part in touched.into_iter().filter(|part| !part.is_empty()) {
            state.content.wrote(part);
        }
    }

    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        disk_error(error, || format!("{what} staged file {}", self.id))
    }
}

/// For callers that do not wait.
fn made(fit: Fit) -> Result<()> {
    match fit {
        Fit::Made => Ok(()),
        Fit::Away => Err(Error::new(
            ErrorKind::Busy,
            "part of it is only in the bucket",
        )),
        Fit::Lacks(_) => Err(ErrorKind::NoSpace.into()),
        Fit::Adopted => Err(ErrorKind::Stale.into()),
    }
}
