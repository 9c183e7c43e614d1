//! [`Shelves`]: small files side by side in shared files of the disk.
//!
//! To make, open, close and remove a file of the disk costs many times what writing 4 KiB does. So a
//! staged file of up to [`SLOT_BYTES`] has a slot in a shelf: a sparse file with a table of lengths in
//! front. Which slot follows from the number of the file.
//!
//! Laws:
//! - Numbers of files are never used twice, and so are slots: what was never written there reads as
//!   zeros, and after a power cut as a hole, as in a file of its own.
//! - A slot has something in it from the moment that its length is in the table. The bytes are
//!   written before that; behind the length they mean nothing.
//! - A shelf is removed with its last slot. A slot that is freed gives its blocks back at once.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use super::FileId;
use super::descriptor::{Descriptor, Missing, OpenFiles};
use crate::disk::data_bytes;
use crate::platform;

/// Largest file that has a slot. Nine of ten files of a source tree are smaller; larger ones cost
/// more to write than to make.
pub(crate) const SLOT_BYTES: u64 = SLOT_LEN as u64;

/// The same, as a length.
const SLOT_LEN: usize = 64 << 10;

/// Slots of a shelf: making and removing one costs nothing for each of so many, and a slot that is in
/// use for long keeps little else from going.
const SLOTS: u64 = 1024;

/// Bytes of an entry in the table: a length and a mark, both little-endian u32.
const ENTRY_BYTES: u64 = ENTRY_LEN as u64;

/// The same, as a length.
const ENTRY_LEN: usize = 8;

/// Where the slots begin: behind the table.
const SLOTS_AT: u64 = SLOTS * ENTRY_BYTES;

/// Makes an entry differ from zeros and from one of another slot.
const MARK: u32 = 0x636d_736c;

/// What names of shelves begin with; the number follows, in 16 hexadecimal digits.
const NAME: &str = "shelf-";

/// Zeros for where holes cannot be made.
static ZEROS: [u8; SLOT_LEN] = [0; SLOT_LEN];

/// All shelves of a staging folder.
#[derive(Debug)]
pub(crate) struct Shelves {
    folder: PathBuf,
    shelves: Mutex<HashMap<u64, Shelf>>,
}

/// One shelf.
#[derive(Debug)]
struct Shelf {
    file: Arc<Descriptor>,
    /// Which slots are in use, a bit for each.
    used: [u64; (SLOTS / 64) as usize],
}

/// The slot of one file.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    file: Arc<Descriptor>,
    index: u64,
}

/// What a slot was found to hold.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) slot: Slot,
    pub(crate) length: u64,
}

impl Shelf {
    fn new(folder: &Path, number: u64) -> Self {
        Self {
            file: Descriptor::new(folder.join(format!("{NAME}{number:016x}"))),
            used: [0; (SLOTS / 64) as usize],
        }
    }

    fn bit(&mut self, index: u64) -> (&mut u64, u64) {
        let word = usize::try_from(index / 64).unwrap_or_default();
        (&mut self.used[word], 1 << (index % 64))
    }

    fn is_empty(&self) -> bool {
        self.used.iter().all(|word| *word == 0)
    }
}

const fn place_of(id: FileId) -> (u64, u64) {
    (id.get() / SLOTS, id.get() % SLOTS)
}

impl Shelves {
    /// No shelves, so far, in `folder`.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            shelves: Mutex::default(),
        }
    }

    /// The shelves that are in `folder`, with what is on them, by the number of the file.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn load(folder: PathBuf) -> io::Result<(Self, HashMap<u64, Held>)> {
        let loaded = Self::new(folder);
        let mut held = HashMap::new();
        {
            let mut shelves = loaded.shelves.lock();
            for entry in std::fs::read_dir(&loaded.folder)? {
                let name = entry?.file_name();
                let number = (name.to_str())
                    .and_then(|name| u64::from_str_radix(name.strip_prefix(NAME)?, 16).ok());
                let Some(number) = number else { continue };
                let mut shelf = Shelf::new(&loaded.folder, number);
                for (index, length) in read_table(shelf.file.path())? {
                    let (word, bit) = shelf.bit(index);
                    *word |= bit;
                    let slot = Slot {
                        file: Arc::clone(&shelf.file),
                        index,
                    };
                    held.insert(number * SLOTS + index, Held { slot, length });
                }
                shelves.insert(number, shelf);
            }
        }
        Ok((loaded, held))
    }

    /// Takes the slot of a file. It is empty as long as nothing is in the table.
    pub(crate) fn take(&self, id: FileId) -> Slot {
        let (number, index) = place_of(id);
        let mut shelves = self.shelves.lock();
        let shelf = (shelves.entry(number)).or_insert_with(|| Shelf::new(&self.folder, number));
        let (word, bit) = shelf.bit(index);
        *word |= bit;
        Slot {
            file: Arc::clone(&shelf.file),
            index,
        }
    }

    /// Frees the slots of `ids`, and removes shelves that are empty. Gives the files that have none.
    pub(crate) fn free(&self, open_files: &OpenFiles, ids: &[FileId]) -> Vec<FileId> {
        let (freed, others) = self.release(ids);
        self.remove_empty();
        for (number, slot) in freed {
            let is_there = self.shelves.lock().contains_key(&number);
            if is_there && let Err(error) = slot.clear(open_files) {
                // The next start finds and clears it.
                tracing::warn!(%error, "cannot clear a slot");
            }
        }
        others
    }

    /// Gives back a slot that was cleared.
    pub(crate) fn give_back(&self, id: FileId) {
        self.release(&[id]);
        self.remove_empty();
    }

    /// The slots that are not in use any more, each with the number of its shelf, and the files that
    /// have none.
    fn release(&self, ids: &[FileId]) -> (Vec<(u64, Slot)>, Vec<FileId>) {
        let (mut freed, mut others) = (Vec::new(), Vec::new());
        let mut shelves = self.shelves.lock();
        for id in ids {
            let (number, index) = place_of(*id);
            let taken = shelves.get_mut(&number).and_then(|shelf| {
                let (word, bit) = shelf.bit(index);
                let was_used = *word & bit != 0;
                *word &= !bit;
                was_used.then(|| Arc::clone(&shelf.file))
            });
            match taken {
                Some(file) => freed.push((number, Slot { file, index })),
                None => others.push(*id),
            }
        }
        (freed, others)
    }

    /// Closes all descriptors; each is opened again when it is used.
    pub(crate) fn close(&self) {
        for shelf in self.shelves.lock().values() {
            shelf.file.close();
        }
    }

    /// Removes shelves with nothing on them.
    pub(crate) fn remove_empty(&self) {
        // Under the lock: a shelf of the same name may be made again at once.
        self.shelves.lock().retain(|_, shelf| {
            let is_empty = shelf.is_empty();
            if is_empty {
                shelf.file.close();
                if let Err(error) = std::fs::remove_file(shelf.file.path())
                    && error.kind() != io::ErrorKind::NotFound
                {
                    // The next start finds and removes it.
                    tracing::warn!(path = %shelf.file.path().display(), %error, "cannot remove a shelf");
                }
            }
            !is_empty
        });
    }
}

/// The slots of a shelf that have something in them, with their lengths.
fn read_table(path: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut table = vec![0; usize::try_from(SLOTS_AT).unwrap_or_default()];
    let file = File::open(path)?;
    let mut filled = 0;
    while filled < table.len() {
        // A table that is cut is one whose shelf was just made.
        match file.read_at(&mut table[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let entries = table.chunks_exact(ENTRY_LEN);
    Ok((0..)
        .zip(entries)
        .filter_map(|(index, entry)| Some((index, length_in(entry, index)?)))
        .collect())
}

/// The length that an entry tells; `None`: nothing is in the slot.
fn length_in(entry: &[u8], index: u64) -> Option<u64> {
    let (length, mark) = entry.split_at_checked(4)?;
    let length = u32::from_le_bytes(length.try_into().ok()?);
    let mark = u32::from_le_bytes(mark.try_into().ok()?);
    (mark == mark_of(length, index) && u64::from(length) <= SLOT_BYTES).then_some(length.into())
}

fn mark_of(length: u32, index: u64) -> u32 {
    MARK ^ length.rotate_left(8) ^ u32::try_from(index).unwrap_or_default()
}

impl Slot {
    const fn at(&self) -> u64 {
        SLOTS_AT + self.index * SLOT_BYTES
    }

    /// Writes bytes, and nothing into the table.
    pub(crate) fn write(&self, files: &OpenFiles, data: &[u8], offset: u64) -> io::Result<()> {
        let file = self.file.get(files, Missing::Create)?;
        file.write_all_at(data, self.at() + offset)
    }

    /// The file that it is in, and where the byte at `offset` is there.
    pub(crate) fn find(&self, files: &OpenFiles, offset: u64) -> io::Result<(Arc<File>, u64)> {
        Ok((self.open(files)?, self.at() + offset))
    }

    /// Says in the table that so many bytes are in the slot.
    pub(crate) fn set_length(&self, files: &OpenFiles, length: u64) -> io::Result<()> {
        let length = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut entry = [0; ENTRY_LEN];
        entry[..4].copy_from_slice(&length.to_le_bytes());
        entry[4..].copy_from_slice(&mark_of(length, self.index).to_le_bytes());
        let file = self.file.get(files, Missing::Create)?;
        file.write_all_at(&entry, self.index * ENTRY_BYTES)
    }

    /// Makes all from `offset` on read as zeros.
    pub(crate) fn zero_from(&self, files: &OpenFiles, offset: u64) -> io::Result<()> {
        if offset >= SLOT_BYTES {
            return Ok(());
        }
        let (file, at) = self.find(files, offset)?;
        match platform::punch(&file, at, SLOT_BYTES - offset) {
            Ok(()) => Ok(()),
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let count = usize::try_from(SLOT_BYTES - offset).unwrap_or_default();
                file.write_all_at(&ZEROS[..count], at)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Empties it: in the table first, so that nothing takes zeros for content.
    pub(crate) fn clear(&self, files: &OpenFiles) -> io::Result<()> {
        let file = self.open(files)?;
        file.write_all_at(&[0; ENTRY_LEN], self.index * ENTRY_BYTES)?;
        self.zero_from(files, 0)
    }

    /// Makes the whole shelf survive a power cut, if it is still there.
    pub(crate) fn sync(&self, files: &OpenFiles) -> io::Result<()> {
        match self.open(files) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            file => file?.sync_data(),
        }
    }

    fn open(&self, files: &OpenFiles) -> io::Result<Arc<File>> {
        self.file.get(files, Missing::Fail)
    }
}

impl Held {
    /// How many of its bytes in `range` the disk really has.
    pub(crate) fn data_bytes(&self, files: &OpenFiles, range: Range<u64>) -> io::Result<u64> {
        let (file, at) = self.slot.find(files, 0)?;
        let (start, end) = (range.start.min(self.length), range.end.min(self.length));
        data_bytes(&file, at + start..at + end)
    }

    /// Copies them into the file `path`, and empties the slot after that.
    pub(crate) fn move_to(&self, files: &OpenFiles, path: &Path) -> io::Result<()> {
        copy(files, &self.slot, self.length, &File::create(path)?)?;
        self.slot.clear(files)
    }
}

/// Makes the first `length` bytes of a slot the content of `to`.
pub(super) fn copy(files: &OpenFiles, slot: &Slot, length: u64, to: &File) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(length).unwrap_or_default()];
    let (file, at) = slot.find(files, 0)?;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], at + filled as u64) {
            // Behind the end of the shelf: zeros that were never written.
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    to.write_all_at(&buffer, 0)?;
    // An earlier try may have left more.
    if to.metadata()?.len() > length {
        to.set_len(length)?;
    }
    Ok(())
}
