//! [`BlockSource`]: where bytes come from.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_vfs::Result;
use futures::stream::BoxStream;

use crate::ObjectRef;

/// Content as it arrives, in pieces of any size.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Something that can stream ranges of objects: a store, or a cache tier over another source.
///
/// Laws for implementors:
///
/// - The stream holds exactly `range`, in order, or ends with an error. All bytes are of
///   `object.version`: a source that cannot give them any more fails with `Stale`.
/// - It ends within some deadline, whatever the network does: the cache waits without one.
/// - Both the future and the stream may be dropped at any point.
#[async_trait]
pub trait BlockSource: Send + Sync + 'static {
    /// Streams `range` of `object`. The range is not empty and lies within the object's size.
    ///
    /// # Errors
    /// `Stale` when the version is gone; any error of what lies below, here or in the stream.
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream>;
}
