//! Reading a staged file.

use std::ops::Range;

use bytes::Bytes;
use cloudmount_vfs::Result;

use super::pieces::PIECE_BYTES;
use super::{Segment, StagedFile, Stream};
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
        self.read_into(range, Vec::new()).map(Bytes::from)
    }

    /// The bytes of a [`Segment::Local`]; `None` if they left the local file meanwhile: then the
    /// segments are to be looked at again.
    ///
    /// # Errors
    /// `Io`.
    pub fn read_if_local(&self, range: Range<u64>) -> Result<Option<Bytes>> {
        let bytes = self.read_local(range.clone())?;
        let reached = range.start..range.start + bytes.len() as u64;
        // Room is given back after it is known, so that what is known now was so while it was read.
        let is_local = self.state.lock().content.is_local(&reached);
        Ok(is_local.then_some(bytes))
    }

    /// As [`read_local`](Self::read_local), in pieces whose memory is used again.
    pub(crate) fn read_pieces(&self, range: Range<u64>) -> Result<Vec<Bytes>> {
        let pieces = &self.context.pieces;
        let mut all = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let end = range.end.min(at + PIECE_BYTES);
            let bytes = self.read_into(at..end, pieces.take())?;
            let is_short = (bytes.len() as u64) < end - at;
            all.push(pieces.give(bytes));
            if is_short {
                break;
            }
            at = end;
        }
        Ok(all)
    }

    fn read_into(&self, range: Range<u64>, buffer: Vec<u8>) -> Result<Vec<u8>> {
        (self.local.read(&self.context, range, buffer))
            .map_err(|error| disk_error(error, || format!("read staged file {}", self.id)))
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

    /// Gives the local file a name of its own.
    pub(crate) fn move_out(&self) -> Result<()> {
        (self.local.move_out(&self.context))
            .map_err(|error| disk_error(error, || format!("move staged file {}", self.id)))
    }

    /// Tells the kernel that `range` of the local file need not stay in memory.
    pub(crate) fn drop_pages(&self, range: &Range<u64>) {
        if let Err(error) = self.local.drop_pages(&self.context, range) {
            tracing::debug!(file = %self.id, %error, "fadvise");
        }
    }

    /// Makes what is in the local file survive a power cut. Blocks.
    pub(crate) fn sync_local(&self) -> Result<()> {
        (self.local.sync(&self.context))
            .map_err(|error| disk_error(error, || format!("flush staged file {}", self.id)))
    }
}
