//! Reading a staged file.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_vfs::Result;
use rustix::buffer::spare_capacity;
use rustix::fs::Advice;
use rustix::io::Errno;

use super::{Missing, Segment, StagedFile, Stream};
use crate::disk::disk_error;

impl StagedFile {
    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.state.lock().content.size()
    }

    /// Whether it is uploaded while it is written.
    #[must_use]
    pub fn is_streaming(&self) -> bool {
        self.state.lock().stream == Stream::Asked
    }

    /// Where the bytes of `range` are: cut at the size, in order, without gaps.
    #[must_use]
    pub fn segments(&self, range: Range<u64>) -> Vec<Segment> {
        self.state.lock().content.segments(range)
    }

    /// The bytes of `range` in the local file: meant for a [`Segment::Local`]. Fewer if the file
    /// was cut meanwhile.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_local(&self, range: Range<u64>) -> Result<Bytes> {
        let file = self.open_to_read()?;
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut buffer: Vec<u8> = Vec::with_capacity(length);
        while buffer.len() < length {
            let at = range.start + buffer.len() as u64;
            match rustix::io::pread(&*file, spare_capacity(&mut buffer), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    let context = || format!("read staged file {}", self.id);
                    return Err(disk_error(error.into(), context));
                }
            }
        }
        // The allocator may have given more than was asked for.
        buffer.truncate(length);
        Ok(Bytes::from(buffer))
    }

    /// The first byte at or after `offset` that is not known to be zero; `None`: there is none.
    #[must_use]
    pub fn next_data(&self, offset: u64) -> Option<u64> {
        self.state.lock().content.next_data(offset)
    }

    /// The first byte at or after `offset` that is known to be zero, or the size; `None`: `offset`
    /// is not below the size.
    #[must_use]
    pub fn next_hole(&self, offset: u64) -> Option<u64> {
        self.state.lock().content.next_hole(offset)
    }

    /// What only the base has, in order: fetching all of it makes the file independent of the base.
    #[must_use]
    pub fn fill_plan(&self) -> Vec<Range<u64>> {
        self.state.lock().content.missing().collect()
    }

    /// Tells the kernel that `range` of the local file need not stay in memory.
    pub(crate) fn drop_pages(&self, range: &Range<u64>) {
        let length = std::num::NonZeroU64::new(range.end - range.start);
        if let Ok(file) = self.open_to_read()
            && let Err(error) = rustix::fs::fadvise(&*file, range.start, length, Advice::DontNeed)
        {
            tracing::debug!(file = %self.id, %error, "fadvise");
        }
    }

    pub(crate) fn open_to_read(&self) -> Result<Arc<File>> {
        (self.local.get(&self.context.open_files, Missing::Fail))
            .map_err(|error| disk_error(error, || format!("open staged file {}", self.id)))
    }
}
