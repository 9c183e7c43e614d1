//! [`LocalFile`]: where the bytes of a staged file are on this machine: in a slot of a shelf while it
//! is small, and in a file of its own from then on.
//!
//! Law: a file moves once, from its slot to a file of its own. Until the slot is empty the slot
//! counts, so a crash on the way loses nothing.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;

use super::descriptor::{Descriptor, Missing};
use super::shelf::{Held, SLOT_BYTES, Slot, copy};
use super::{FileContext, FileId};
use crate::disk::{data_ranges, sync_folder};
use crate::failpoint;
use crate::platform;
use crate::ranges::RangeSet;

/// The bytes of a staged file on this machine.
#[derive(Debug)]
pub(crate) struct LocalFile {
    id: FileId,
    /// Held while a slot is read or written (at most [`SLOT_BYTES`]), so that it does not move then.
    place: Mutex<Place>,
    /// Whether the name of the file that the bytes are in survives a power cut.
    is_named: AtomicBool,
}

#[derive(Debug)]
enum Place {
    /// Nothing was written.
    None,
    Slot {
        slot: Slot,
        length: u64,
        tail: Tail,
    },
    Own {
        file: Arc<Descriptor>,
        /// The slot that it came from, until that it is empty survives a power cut.
        from: Option<Slot>,
    },
}

/// What lies in a slot behind its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Tail {
    Zeros,
    /// Anything: of a write that was never acknowledged.
    Unknown,
}

impl LocalFile {
    /// One that does not exist yet.
    pub(crate) fn new(id: FileId) -> Self {
        Self::at(id, Place::None)
    }

    /// One that a former process left in a slot.
    pub(crate) fn on_shelf(id: FileId, held: Held) -> Self {
        let place = Place::Slot {
            slot: held.slot,
            length: held.length,
            tail: Tail::Unknown,
        };
        Self::at(id, place)
    }

    /// One that a former process left in a file of its own.
    pub(crate) fn own(id: FileId, context: &FileContext) -> Self {
        let file = Descriptor::new(context.data_dir.join(id.file_name()));
        Self::at(id, Place::Own { file, from: None })
    }

    const fn at(id: FileId, place: Place) -> Self {
        Self {
            id,
            place: Mutex::new(place),
            is_named: AtomicBool::new(false),
        }
    }

    /// Writes all of `data` at `offset`.
    pub(crate) fn write_all_at(
        &self,
        context: &FileContext,
        data: &[u8],
        offset: u64,
    ) -> io::Result<()> {
        let end = offset + data.len() as u64;
        let mut place = self.place.lock();
        if let Some((slot, length)) = self.slot_for(context, &mut place, end)? {
            slot.write(&context.open_files, data, offset)?;
            if end > *length {
                slot.set_length(&context.open_files, end)?;
                *length = end;
            }
            return Ok(());
        }
        let file = self.own_file(context, &mut place)?;
        drop(place);
        file.write_all_at(data, offset)
    }

    /// Sets the length: cuts, or extends with zeros.
    pub(crate) fn set_len(&self, context: &FileContext, size: u64) -> io::Result<()> {
        let mut place = self.place.lock();
        if let Some((slot, length)) = self.slot_for(context, &mut place, size)? {
            slot.set_length(&context.open_files, size)?;
            let is_cut = size < *length;
            *length = size;
            if is_cut && let Place::Slot { tail, .. } = &mut *place {
                // What was cut away is overwritten before it could show again.
                *tail = Tail::Unknown;
            }
            return Ok(());
        }
        let file = self.own_file(context, &mut place)?;
        drop(place);
        file.set_len(size)
    }

    /// Makes it at least `offset + length` bytes long, with room on the disk for the range.
    pub(crate) fn allocate(
        &self,
        context: &FileContext,
        offset: u64,
        length: u64,
    ) -> Result<(), Errno> {
        let file = self
            .file(context)
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        platform::allocate(&file, offset, length)
    }

    /// After a change that failed half-way: it is `size` bytes long again.
    pub(crate) fn undo(&self, context: &FileContext, size: u64) -> io::Result<()> {
        match &mut *self.place.lock() {
            Place::None => Ok(()),
            Place::Slot { slot, length, tail } => {
                *tail = Tail::Unknown;
                if *length != size {
                    slot.set_length(&context.open_files, size)?;
                    *length = size;
                }
                Ok(())
            }
            Place::Own { file, .. } => {
                let file = file.get(&context.open_files, Missing::Create)?;
                if file.metadata()?.len() == size {
                    return Ok(());
                }
                file.set_len(size)
            }
        }
    }

    /// The bytes of `range`, in the memory of `buffer`; fewer if it ends before.
    pub(crate) fn read(
        &self,
        context: &FileContext,
        range: Range<u64>,
        mut buffer: Vec<u8>,
    ) -> io::Result<Vec<u8>> {
        let files = &context.open_files;
        let wanted = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let place = self.place.lock();
        match &*place {
            Place::None => Err(io::ErrorKind::NotFound.into()),
            Place::Slot { slot, length, .. } => {
                let left = usize::try_from(length.saturating_sub(range.start)).unwrap_or_default();
                let wanted = wanted.min(left);
                let (file, at) = slot.find(files, range.start)?;
                read(&file, at, wanted, &mut buffer)?;
                // Behind the end of the shelf: zeros that were never written.
                buffer.resize(wanted, 0);
                Ok(buffer)
            }
            Place::Own { file, .. } => {
                let file = file.get(files, Missing::Fail)?;
                drop(place);
                read(&file, range.start, wanted, &mut buffer)?;
                Ok(buffer)
            }
        }
    }

    /// Gives the room of `range` back to the disk; it reads as zeros then.
    pub(crate) fn punch(&self, context: &FileContext, range: &Range<u64>) -> io::Result<()> {
        let length = range.end - range.start;
        let place = self.place.lock();
        let file = match &*place {
            Place::None => return Ok(()),
            Place::Slot { slot, .. } => {
                let (file, at) = slot.find(&context.open_files, range.start)?;
                // Under the lock, so that it does not move.
                platform::punch(&file, at, length)?;
                return Ok(());
            }
            Place::Own { file, .. } => Arc::clone(file),
        };
        drop(place);
        let file = file.get(&context.open_files, Missing::Fail)?;
        platform::punch(&file, range.start, length)?;
        Ok(())
    }

    /// What a former process left of it on the disk. What cannot be looked at counts as if all of it
    /// were there.
    pub(crate) fn data(&self, context: &FileContext) -> RangeSet {
        let file = match &*self.place.lock() {
            Place::None => return RangeSet::default(),
            // Small: its holes do not matter.
            Place::Slot { length, .. } => return std::iter::once(0..*length).collect(),
            Place::Own { file, .. } => Arc::clone(file),
        };
        let look = || {
            let file = file.get(&context.open_files, Missing::Fail)?;
            let length = file.metadata()?.len();
            Ok::<_, io::Error>((data_ranges(&file, 0..length), length))
        };
        let data = look();
        file.close();
        match data {
            Ok((Ok(ranges), _)) => ranges.into_iter().collect(),
            Ok((Err(_), length)) => std::iter::once(0..length).collect(),
            Err(_) => RangeSet::default(),
        }
    }

    /// Tells the kernel that `range` need not stay in memory.
    pub(crate) fn drop_pages(&self, context: &FileContext, range: &Range<u64>) -> io::Result<()> {
        let place = self.place.lock();
        let Place::Own { file, .. } = &*place else {
            // Of a slot it would save a page or two; it is freed soon.
            return Ok(());
        };
        let file = file.get(&context.open_files, Missing::Fail)?;
        drop(place);
        platform::drop_pages(&file, range.start, range.end - range.start)?;
        Ok(())
    }

    /// Makes the bytes survive a power cut. Blocks.
    pub(crate) fn sync(&self, context: &FileContext) -> io::Result<()> {
        let files = &context.open_files;
        let (slot, own) = match &*self.place.lock() {
            Place::None => return Ok(()),
            Place::Slot { slot, .. } => (Some(slot.clone()), None),
            Place::Own { file, from } => (from.clone(), Some(Arc::clone(file))),
        };
        let is_named = self.is_named.load(Ordering::Acquire);
        if let Some(own) = &own {
            own.get(files, Missing::Fail)?.sync_data()?;
        }
        if let Some(slot) = slot {
            slot.sync(files)?;
        }
        if !is_named {
            sync_folder(&context.data_dir)?;
        }
        let mut place = self.place.lock();
        if let Place::Own { from, .. } = &mut *place {
            // It may have moved meanwhile; then neither is done.
            if own.is_none() {
                return Ok(());
            }
            *from = None;
        }
        self.is_named.store(true, Ordering::Release);
        Ok(())
    }

    /// Closes the descriptor; the next use opens it again.
    pub(crate) fn close(&self) {
        if let Place::Own { file, .. } = &*self.place.lock() {
            file.close();
        }
    }

    /// A file of its own, open.
    fn file(&self, context: &FileContext) -> io::Result<Arc<File>> {
        self.own_file(context, &mut self.place.lock())
    }

    /// Gives what lies in a slot a file of its own, to be found under its name.
    pub(crate) fn move_out(&self, context: &FileContext) -> io::Result<()> {
        let mut place = self.place.lock();
        match &*place {
            Place::Slot { .. } => self.own_file(context, &mut place).map(drop),
            Place::None | Place::Own { .. } => Ok(()),
        }
    }

    /// The slot, ready for all below `end`, and its length; `None` if it has none, or is too long
    /// for one.
    fn slot_for<'a>(
        &self,
        context: &FileContext,
        place: &'a mut Place,
        end: u64,
    ) -> io::Result<Option<(Slot, &'a mut u64)>> {
        if end > SLOT_BYTES {
            return Ok(None);
        }
        if let Place::None = *place {
            *place = Place::Slot {
                slot: context.shelves.take(self.id),
                length: 0,
                tail: Tail::Zeros,
            };
        }
        let Place::Slot { slot, length, tail } = place else {
            return Ok(None);
        };
        if *tail == Tail::Unknown {
            slot.zero_from(&context.open_files, *length)?;
            *tail = Tail::Zeros;
        }
        Ok(Some((slot.clone(), length)))
    }

    /// The file of its own, made if there is none.
    fn own_file(&self, context: &FileContext, place: &mut Place) -> io::Result<Arc<File>> {
        if let Place::Own { file, .. } = place {
            return file.get(&context.open_files, Missing::Create);
        }
        let own = Descriptor::new(context.data_dir.join(self.id.file_name()));
        let file = own.get(&context.open_files, Missing::Create)?;
        let from = match place {
            Place::Slot { slot, length, .. } => {
                let files = &context.open_files;
                let moved = copy(files, slot, *length, &file).and_then(|()| {
                    failpoint::pass(failpoint::DATA_MOVED);
                    slot.clear(files)
                });
                if let Err(error) = moved {
                    // As if it had not been begun: the slot counts, and another try writes it again.
                    own.close();
                    return Err(error);
                }
                let slot = slot.clone();
                context.shelves.give_back(self.id);
                Some(slot)
            }
            Place::None | Place::Own { .. } => None,
        };
        *place = Place::Own { file: own, from };
        self.is_named.store(false, Ordering::Release);
        Ok(file)
    }
}

fn read(file: &File, at: u64, wanted: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.clear();
    buffer.reserve(wanted);
    while buffer.len() < wanted {
        let from = at + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(buffer), from) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // The allocator may have given more than was asked for.
    buffer.truncate(wanted);
    Ok(())
}
