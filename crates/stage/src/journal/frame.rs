//! The bytes of a log: a header, then frames. A frame is the length of its payload and its CRC-32
//! (both little-endian u32), then the payload: the JSON of a list of changes.
//!
//! A reader stops at the first frame that is not whole: a torn tail is what a crash leaves, and
//! nothing behind it was acknowledged.

use std::io::{self, Read};

use cloudmount_vfs::{Error, ErrorKind, Result};

use super::record::Change;
use super::replay::Replayed;

/// What a log begins with.
const MAGIC: &[u8; 8] = b"cmstage\0";

/// The format that is written. A reader takes this one and older ones; a newer one is refused, not
/// damaged.
///
/// 1: as described above. 2: the same, with changes about uploads that are to begin.
const FORMAT: u32 = 2;

/// Length of the header.
pub(super) const HEADER_BYTES: usize = 12;

/// Length of what stands before a payload.
const FRAME_HEAD_BYTES: usize = 8;

/// Longest payload: a rename of 100,000 keys of 1 KiB in one record, with room. Anything longer is
/// a damaged length, and must not be allocated.
const PAYLOAD_BYTES_MAX: u32 = 512 << 20;

/// The header.
pub(super) fn header() -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..].copy_from_slice(&FORMAT.to_le_bytes());
    header
}

/// Whether a log that begins so can be read.
fn is_known(head: &[u8; HEADER_BYTES]) -> bool {
    let [magic @ .., f0, f1, f2, f3] = head;
    magic == MAGIC && (1..=FORMAT).contains(&u32::from_le_bytes([*f0, *f1, *f2, *f3]))
}

/// Appends the frame of `record` to `out`.
pub(super) fn encode(record: &[Change], out: &mut Vec<u8>) -> Result<()> {
    let head = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    serde_json::to_writer(&mut *out, record)
        .map_err(|error| Error::new(ErrorKind::Io, "encode a journal record").with_source(error))?;
    let payload = &out[head + FRAME_HEAD_BYTES..];
    let length = u32::try_from(payload.len())
        .ok()
        .filter(|length| *length <= PAYLOAD_BYTES_MAX)
        .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "a journal record over 512 MiB"))?;
    let checksum = crc32fast::hash(payload);
    out[head..head + 4].copy_from_slice(&length.to_le_bytes());
    out[head + 4..head + FRAME_HEAD_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Reads a log of `bytes` bytes to its last whole frame.
///
/// # Errors
/// `Unsupported` if another version wrote it.
pub(super) fn read(mut log: impl Read, bytes: u64) -> Result<Replayed> {
    let mut state = Replayed::default();
    let mut head = [0; HEADER_BYTES];
    if !read_whole(&mut log, &mut head)? {
        state.torn_bytes = bytes;
        return Ok(state);
    }
    if !is_known(&head) {
        let context = "the journal is not of the format that this version writes; \
                       finish its uploads with the version that wrote it";
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    let mut good = HEADER_BYTES as u64;
    let mut payload = Vec::new();
    while let Some(record) = read_frame(&mut log, &mut payload, bytes.saturating_sub(good))? {
        good += (FRAME_HEAD_BYTES + payload.len()) as u64;
        state.apply(record);
    }
    state.good_bytes = good;
    state.torn_bytes = bytes.saturating_sub(good);
    Ok(state)
}

fn read_frame(
    log: &mut impl Read,
    payload: &mut Vec<u8>,
    bytes_left: u64,
) -> Result<Option<Vec<Change>>> {
    let mut head = [0; FRAME_HEAD_BYTES];
    if !read_whole(log, &mut head)? {
        return Ok(None);
    }
    let [l0, l1, l2, l3, c0, c1, c2, c3] = head;
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    if length > PAYLOAD_BYTES_MAX || u64::from(length) > bytes_left {
        return Ok(None);
    }
    payload.resize(usize::try_from(length).unwrap_or_default(), 0);
    if !read_whole(log, payload)?
        || crc32fast::hash(payload) != u32::from_le_bytes([c0, c1, c2, c3])
    {
        return Ok(None);
    }
    serde_json::from_slice(payload).map(Some).map_err(|error| {
        Error::new(ErrorKind::Corrupt, "a journal record has no known form").with_source(error)
    })
}

/// Fills `buffer`; `false` if the log ends before.
fn read_whole(log: &mut impl Read, buffer: &mut [u8]) -> Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(Error::new(ErrorKind::Io, "read the journal").with_source(error)),
    }
}
