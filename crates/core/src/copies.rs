//! [`CopiesSource`]: blocks of what was written here come from the copy that the stage keeps of it.
//!
//! Laws:
//! - A copy is taken for the version that it was uploaded as, and for no other.
//! - Reading never depends on one: what cannot be read of it is asked for below, from where it ended.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_cache::{BlockSource, ByteStream, ObjectRef};
use cloudmount_stage::{Copied, Copies};
use cloudmount_store::{Key, Version};
use cloudmount_vfs::Result;
use futures::{StreamExt, stream};

/// Bytes of a copy that are read at a time: a thread for each is nothing beside reading them.
const PIECE_BYTES: u64 = 1 << 20;

/// The copies of a stage over another source.
pub(crate) struct CopiesSource {
    copies: Copies,
    below: Arc<dyn BlockSource>,
}

/// A range that is read from a copy.
struct Walk {
    copy: Copied,
    below: Arc<dyn BlockSource>,
    object: ObjectRef,
    /// The next byte to read.
    at: u64,
    end: u64,
}

/// Where the rest of a range comes from.
enum Rest {
    Copy(Walk),
    Below(ByteStream),
}

impl CopiesSource {
    pub(crate) fn new(copies: Copies, below: Arc<dyn BlockSource>) -> Self {
        Self { copies, below }
    }
}

#[async_trait]
impl BlockSource for CopiesSource {
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        let copy = self.copies.get(&object.key, &object.version);
        let Some(copy) = copy.filter(|copy| copy.size() == object.size) else {
            let stream = self.below.fetch(object, range).await?;
            // It is that version which is there, so a copy of another one is of no use any more.
            if let Ok(key) = Key::new(Arc::clone(&object.key)) {
                let version = Version::new(Arc::clone(&object.version));
                self.copies.replaced(&key, &version);
            }
            return Ok(stream);
        };
        let walk = Walk {
            copy,
            below: Arc::clone(&self.below),
            object: object.clone(),
            at: range.start,
            end: range.end,
        };
        let stream = stream::unfold(Some(Rest::Copy(walk)), |rest| async {
            match next(rest?).await {
                Ok(None) => None,
                Ok(Some((piece, rest))) => Some((Ok(piece), Some(rest))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(stream.boxed())
    }
}

/// The next piece, and where the rest comes from; `None` at the end.
async fn next(rest: Rest) -> Result<Option<(Bytes, Rest)>> {
    let mut stream = match rest {
        Rest::Copy(walk) if walk.at == walk.end => return Ok(None),
        Rest::Copy(mut walk) => {
            let end = walk.end.min(walk.at + PIECE_BYTES);
            match walk.copy.read(walk.at..end).await {
                Ok(piece) => {
                    walk.at = end;
                    return Ok(Some((piece, Rest::Copy(walk))));
                }
                Err(error) => {
                    let object = &walk.object;
                    tracing::warn!(key = %object.key, %error, "a copy that was kept cannot be read");
                    walk.below.fetch(object, walk.at..walk.end).await?
                }
            }
        }
        Rest::Below(stream) => stream,
    };
    let piece = stream.next().await.transpose()?;
    Ok(piece.map(|piece| (piece, Rest::Below(stream))))
}
