//! Reading an object in pieces. Each piece is read on a blocking thread, the next one while the
//! caller is busy with this one.
//!
//! Law: a body is of one version. A file that is replaced keeps its bytes while it is open; a file
//! that another program changes in place ends the body with an error, unless the change has the same
//! size and falls into the same tick of the kernel's clock (some milliseconds) as the last write.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::blocking::joined;
use super::folder::failed;
use super::inner::Inner;
use super::object::{Found, stat};
use super::stamp::Stamp;
use crate::rules::{check_if_match, resolve_range};
use crate::{ByteStream, Error, ErrorKind, GetOptions, GetResult, Key, Result};

/// Bytes of one piece: enough to make the hop to another thread cheap, few enough that two pieces
/// for each of a thousand readers fit into 512 MiB.
const PIECE_BYTES: u64 = 256 << 10;

/// An object that is being read.
#[derive(Debug)]
struct Reader {
    file: OwnedFd,
    stamp: Stamp,
}

impl Reader {
    /// The first piece of `range`.
    fn piece(&self, range: &Range<u64>) -> Result<Bytes> {
        let wanted = (range.end - range.start).min(PIECE_BYTES);
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let mut piece = Vec::with_capacity(wanted);
        while piece.len() < wanted {
            let at = range.start + piece.len() as u64;
            match pread(&self.file, spare_capacity(&mut piece), at) {
                Ok(0) => return Err(changed()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("read", errno)),
            }
        }
        // The allocation may be larger than asked for.
        piece.truncate(wanted);
        if !Stamp::of(&stat(&self.file)?).same_content(&self.stamp) {
            return Err(changed());
        }
        Ok(piece.into())
    }
}

fn changed() -> Error {
    Error::new(
        ErrorKind::Precondition,
        "the file changed while it was read",
    )
}

/// An open object, its first piece read. Blocks.
pub(super) struct Opened {
    result: GetResult,
    reader: Option<Reader>,
    first: Bytes,
}

impl Inner {
    pub(super) fn open_to_read(&self, key: &Key, options: &GetOptions) -> Result<Opened> {
        let (found, meta) = self.look_up(key)?;
        check_if_match(options.if_match.as_ref(), &meta.version)?;
        let range = resolve_range(options.range.as_ref(), meta.size)?;
        let reader = match found {
            Found::File { file, stamp, .. } if !range.is_empty() => Some(Reader { file, stamp }),
            _ => None,
        };
        let first = match &reader {
            Some(reader) => reader.piece(&range)?,
            None => Bytes::new(),
        };
        let result = GetResult {
            meta,
            range,
            body: stream::empty().boxed(),
        };
        Ok(Opened {
            result,
            reader,
            first,
        })
    }
}

impl Opened {
    /// The result with its body.
    pub(super) fn into_result(self, handle: Handle) -> GetResult {
        let range = self.result.range.clone();
        let body = match self.reader {
            Some(reader) => body(Arc::new(reader), range, self.first, handle),
            None => stream::empty().boxed(),
        };
        GetResult {
            body,
            ..self.result
        }
    }
}

type Pending = JoinHandle<Result<Bytes>>;

fn body(reader: Arc<Reader>, range: Range<u64>, first: Bytes, handle: Handle) -> ByteStream {
    let left = range.start + first.len() as u64..range.end;
    let ahead = move |left: &Range<u64>| -> Option<Pending> {
        let (reader, left) = (Arc::clone(&reader), left.clone());
        (!left.is_empty()).then(|| handle.spawn_blocking(move || reader.piece(&left)))
    };
    let start = stream::once(async move { Ok(first) });
    // Nothing is read ahead before the caller asks for more than the first piece.
    let rest = stream::unfold((left, None), move |(left, pending)| {
        let pending: Option<Pending> = pending.or_else(|| ahead(&left));
        let ahead = ahead.clone();
        async move {
            let piece = joined(pending?.await);
            let Ok(bytes) = &piece else {
                // An empty rest ends the stream.
                return Some((piece, (left.end..left.end, None)));
            };
            let left = left.start + bytes.len() as u64..left.end;
            let pending = ahead(&left);
            Some((piece, (left, pending)))
        }
    });
    start.chain(rest).boxed()
}
