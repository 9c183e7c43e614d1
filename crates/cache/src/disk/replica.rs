//! [`Replica`]: the bytes of one version of one object, as far as they are here, in two files.
//!
//! The data file is sparse and as long as the object, each byte at its own offset. The map has a
//! [`Header`] and an [`Entry`] for each block.
//!
//! Laws: a block is written before its entry, and its entry is cleared before its place is freed; what
//! a crash leaves of either is found by the checksum. Bytes that do not have the sum of their entry are
//! never given. A replica that is sealed is only ever removed as a whole, and its bytes are left to who has
//! it open: see [`super::local`]. Files are read and written by `pread` and `pwrite`, never mapped, so that a file which
//! is cut off under a reader is a short read and no signal.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::header::{ENTRY_BYTES, Entry, HEADER_BYTES_MAX, Header};
use super::id::{Part, ReplicaId};
use crate::geometry::in_memory;

/// What `st_blocks` counts in, by POSIX's usage on Linux and macOS.
const STAT_BLOCK_BYTES: u64 = 512;

/// Entries that are read or cleared at once: 80 KB.
const ENTRIES_AT_ONCE: u64 = 4096;

/// The bit of a data file's mode that says it is sealed: the sticky bit, which Linux gives no meaning on files.
const SEALED: u32 = 0o1000;

/// What changes whenever the bytes of a data file do, and when it is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    ino: u64,
    len: u64,
    changed: (i64, i64),
}

/// An open replica.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) header: Header,
    map: File,
    data: File,
}

/// What is found under a name.
#[derive(Debug)]
pub(crate) enum Found {
    /// A replica whose header is as it should be.
    Replica(Replica),
    /// Nothing.
    Absent,
    /// Something that is of no use: damaged, half of a replica, or of another format.
    Useless,
}

impl Replica {
    /// The replica of `header`.
    pub(crate) fn open(folder: &Path, header: &Header) -> io::Result<Found> {
        let Some(expected) = header.encode() else {
            return Ok(Found::Absent);
        };
        Self::find(folder, header.id, |begin| {
            begin.starts_with(&expected).then(|| header.clone())
        })
    }

    /// The replica of that name, whatever object it is of.
    pub(crate) fn open_any(folder: &Path, id: ReplicaId) -> io::Result<Found> {
        Self::find(folder, id, |begin| {
            Header::decode(begin).filter(|header| header.id == id)
        })
    }

    fn find(
        folder: &Path,
        id: ReplicaId,
        header: impl FnOnce(&[u8]) -> Option<Header>,
    ) -> io::Result<Found> {
        let map = match existing(folder, id, Part::Map) {
            Ok(Some(map)) => map,
            Ok(None) => return Ok(Found::Absent),
            // A link in its place.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
                return Ok(Found::Useless);
            }
            Err(error) => return Err(error),
        };
        let mut begin = Vec::with_capacity(HEADER_BYTES_MAX);
        fill(&map, &mut begin, 0, HEADER_BYTES_MAX)?;
        let (Some(header), Some(data)) = (header(&begin), existing(folder, id, Part::Data)?) else {
            return Ok(Found::Useless);
        };
        Ok(Found::Replica(Self { header, map, data }))
    }

    /// A new one with no block, in place of what may be there. Only under the folder's lock.
    pub(crate) fn create(folder: &Path, header: &Header) -> io::Result<Self> {
        remove(folder, header.id)?;
        let begin = header.encode().ok_or(ErrorKind::InvalidInput)?;
        let new = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let data = open(folder, header.id, Part::Data, new)?;
        let map = open(folder, header.id, Part::Map, new)?;
        let replica = Self {
            header: header.clone(),
            map,
            data,
        };
        // At its full length, so that no file system reserves room beyond what was written.
        replica.fit()?;
        replica.map.write_all_at(&begin, 0)?;
        Ok(replica)
    }

    /// Makes the data as long as the object, which frees what lies past its end. Only under the
    /// folder's lock.
    pub(crate) fn fit(&self) -> io::Result<()> {
        self.data.set_len(self.header.object.size)
    }

    /// What the map says of `blocks`.
    pub(crate) fn entries(&self, blocks: &Range<u64>) -> io::Result<Vec<Entry>> {
        let count = in_memory(blocks.end - blocks.start);
        let len = count * in_memory(ENTRY_BYTES);
        let mut bytes = Vec::with_capacity(len);
        fill(
            &self.map,
            &mut bytes,
            self.header.entry_at(blocks.start),
            len,
        )?;
        let mut entries: Vec<_> =
            (bytes.chunks(in_memory(ENTRY_BYTES)).map(Entry::decode)).collect();
        entries.resize(count, Entry::default());
        Ok(entries)
    }

    /// The entries of all blocks that were ever kept, some at a time, with the first one's number.
    pub(crate) fn each_entries(
        &self,
        mut visit: impl FnMut(u64, &[Entry]) -> io::Result<()>,
    ) -> io::Result<()> {
        let len = self.map.metadata()?.len().saturating_sub(self.header.len);
        let blocks = len.div_ceil(ENTRY_BYTES).min(self.header.blocks());
        let mut at = 0;
        while at < blocks {
            let next = blocks.min(at + ENTRIES_AT_ONCE);
            visit(at, &self.entries(&(at..next))?)?;
            at = next;
        }
        Ok(())
    }

    /// Reads block `index` into `buffer`, which is empty; `None` if its bytes are not those of `entry`.
    pub(crate) fn read(
        &self,
        index: u64,
        entry: &Entry,
        mut buffer: Vec<u8>,
    ) -> io::Result<Option<Vec<u8>>> {
        let len = self.block_len(index);
        fill(&self.data, &mut buffer, self.start(index), len)?;
        let is_right = buffer.len() == len && self.header.id.sum(index, &buffer) == entry.sum;
        Ok(is_right.then_some(buffer))
    }

    /// Keeps block `index`. Only under the folder's lock.
    pub(crate) fn write(&self, index: u64, block: &[u8], used: u32) -> io::Result<()> {
        debug_assert_eq!(block.len(), self.block_len(index));
        self.data.write_all_at(block, self.start(index))?;
        let sum = self.header.id.sum(index, block);
        let entry = Entry { sum, used }.encode();
        self.map.write_all_at(&entry, self.header.entry_at(index))
    }

    /// Notes when block `index` was last used.
    pub(crate) fn touch(&self, index: u64, used: u32) -> io::Result<()> {
        let at = self.header.entry_at(index) + (ENTRY_BYTES - 4);
        self.map.write_all_at(&used.to_le_bytes(), at)
    }

    /// Drops `blocks`, and frees their place. Only under the folder's lock.
    ///
    /// # Errors
    /// Also where the file system cannot free part of a file.
    pub(crate) fn clear(&self, blocks: &Range<u64>) -> io::Result<()> {
        let mut at = blocks.start;
        while at < blocks.end {
            let next = blocks.end.min(at + ENTRIES_AT_ONCE);
            let zeros = vec![0; in_memory((next - at) * ENTRY_BYTES)];
            self.map.write_all_at(&zeros, self.header.entry_at(at))?;
            at = next;
        }
        self.punch(blocks)
    }

    /// Frees the place of `blocks` in the data file.
    ///
    /// # Errors
    /// `Unsupported` also where it is sealed.
    pub(crate) fn punch(&self, blocks: &Range<u64>) -> io::Result<()> {
        if self.is_sealed()? {
            return Err(ErrorKind::Unsupported.into());
        }
        let (start, end) = (self.start(blocks.start), self.start(blocks.end));
        punch(&self.data, start, end - start)
    }

    /// Bytes of disk that the data takes.
    pub(crate) fn data_allocated(&self) -> io::Result<u64> {
        Ok(on_disk(&self.data.metadata()?))
    }

    /// Whether it has every block.
    pub(crate) fn is_complete(&self) -> io::Result<bool> {
        let (mut next, mut has_all) = (0, true);
        self.each_entries(|first, entries| {
            has_all &= entries.iter().all(Entry::is_present);
            next = first + entries.len() as u64;
            Ok(())
        })?;
        Ok(has_all && next == self.header.blocks())
    }

    /// Whether its bytes are left to who has it open, whatever becomes of it.
    pub(crate) fn is_sealed(&self) -> io::Result<bool> {
        Ok(is_sealed(&self.data.metadata()?))
    }

    /// Seals it for ever. Only under the folder's lock.
    pub(crate) fn seal(&self) -> io::Result<()> {
        let mode = Mode::SVTX | Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::fchmod(&self.data, mode)?)
    }

    /// Tells those who make room that it is read, as long as this is open. Says whether that could be: somebody else
    /// may be about to remove it.
    pub(crate) fn hold(&self) -> io::Result<bool> {
        lock(&self.data, FlockOperation::NonBlockingLockShared)
    }

    /// Whether somebody holds it. This must be the only use of its descriptor.
    pub(crate) fn is_held(&self) -> io::Result<bool> {
        Ok(!lock(&self.data, FlockOperation::NonBlockingLockExclusive)?)
    }

    /// What tells whether the data is as it was.
    pub(crate) fn stamp(&self) -> io::Result<Stamp> {
        let meta = self.data.metadata()?;
        Ok(Stamp {
            ino: meta.ino(),
            len: meta.len(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Bytes of the data file, which others may have made longer or shorter than the object.
    pub(crate) fn data_len(&self) -> io::Result<u64> {
        Ok(self.data.metadata()?.len())
    }

    /// The data file alone.
    pub(crate) fn into_data(self) -> File {
        self.data
    }

    /// Whether both files are still where others find them.
    pub(crate) fn is_linked(&self) -> bool {
        let linked = |file: &File| file.metadata().is_ok_and(|meta| meta.nlink() > 0);
        linked(&self.map) && linked(&self.data)
    }

    pub(crate) fn block_len(&self, index: u64) -> usize {
        let Header {
            geometry, object, ..
        } = &self.header;
        geometry.block_len(index, object.size)
    }

    fn start(&self, index: u64) -> u64 {
        self.header.geometry.start(index)
    }
}

/// Removes both files of a replica, if they are there. Their bytes are freed at once, whoever has them
/// open, but for those of a sealed one. Only under the folder's lock.
pub(crate) fn remove(folder: &Path, id: ReplicaId) -> io::Result<()> {
    // The map first: without it, nobody looks for the data.
    for part in [Part::Map, Part::Data] {
        // A file that cannot be cut off goes when the last one closes it.
        if let Ok(Some(file)) = existing(folder, id, part)
            && !file.metadata().is_ok_and(|meta| is_sealed(&meta))
        {
            file.set_len(0).ok();
        }
        match std::fs::remove_file(id.path(folder, part)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Bytes of disk that the files of that name take.
pub(crate) fn allocated(folder: &Path, id: ReplicaId) -> io::Result<u64> {
    let mut sum = 0;
    for part in [Part::Map, Part::Data] {
        match std::fs::symlink_metadata(id.path(folder, part)) {
            Ok(meta) => sum += on_disk(&meta),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

fn is_sealed(meta: &std::fs::Metadata) -> bool {
    meta.mode() & SEALED != 0
}

/// Takes a lock of that kind without waiting; says whether it was to be had.
fn lock(file: &File, how: FlockOperation) -> io::Result<bool> {
    match rustix::io::retry_on_intr(|| rustix::fs::flock(file, how)) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn on_disk(meta: &std::fs::Metadata) -> u64 {
    meta.blocks() * STAT_BLOCK_BYTES
}

fn existing(folder: &Path, id: ReplicaId, part: Part) -> io::Result<Option<File>> {
    match open(folder, id, part, OFlags::RDWR) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn open(folder: &Path, id: ReplicaId, part: Part, how: OFlags) -> io::Result<File> {
    // A link would lead out of the folder, and a pipe would hold whoever opens it.
    let flags = how | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::open(id.path(folder, part), flags, Mode::RUSR | Mode::WUSR)?;
    Ok(File::from(file))
}

/// Reads up to `len` bytes from `offset` to the end of `buffer`: fewer where the file ends.
fn fill(file: &File, buffer: &mut Vec<u8>, offset: u64, len: usize) -> io::Result<()> {
    buffer.reserve(len);
    while buffer.len() < len {
        let at = offset + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(buffer), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    buffer.truncate(len);
    Ok(())
}

#[cfg(target_os = "linux")]
fn punch(file: &File, offset: u64, len: u64) -> io::Result<()> {
    use rustix::fs::FallocateFlags;
    let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(rustix::fs::fallocate(file, how, offset, len)?)
}

#[cfg(not(target_os = "linux"))]
fn punch(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}
