//! [`FakeSource`]: objects whose bytes follow from their version, delivered as the test says.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_cache::{BlockCache, BlockSource, ByteStream, CacheParts, ObjectRef};
use cloudmount_vfs::{Error, ErrorKind, Result};
use futures::{StreamExt, stream};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::disk::Hands;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;
pub(crate) const BLOCK: u64 = 128 * KIB;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It is refused.
    Refuse(ErrorKind),
    /// Its stream fails after so many bytes.
    Break(u64),
    /// Its stream ends after so many bytes as if it were complete.
    Short(u64),
    /// Its stream has one byte too many.
    Long,
}

#[derive(Default)]
struct State {
    log: Vec<Range<u64>>,
    faults: VecDeque<Fault>,
}

pub(crate) struct FakeSource {
    state: Mutex<State>,
    /// Bytes in each piece of a stream.
    piece: u64,
    /// One permit lets one piece through, when there is a gate.
    gate: Option<Arc<Semaphore>>,
    /// How often each piece lets others go first.
    yields: usize,
}

impl FakeSource {
    pub(crate) fn new(piece: u64) -> Self {
        Self {
            state: Mutex::default(),
            piece,
            gate: None,
            yields: 0,
        }
    }

    /// Pieces wait for [`Self::let_through`].
    pub(crate) fn gated(mut self) -> Self {
        self.gate = Some(Arc::new(Semaphore::new(0)));
        self
    }

    pub(crate) fn slow(mut self, yields: usize) -> Self {
        self.yields = yields;
        self
    }

    /// What happens to the next requests, in order; those after them succeed.
    pub(crate) fn faults(self, faults: impl IntoIterator<Item = Fault>) -> Arc<Self> {
        self.state.lock().faults.extend(faults);
        Arc::new(self)
    }

    pub(crate) fn let_through(&self, pieces: usize) {
        self.gate.as_ref().unwrap().add_permits(pieces);
    }

    /// The ranges asked for so far.
    pub(crate) fn log(&self) -> Vec<Range<u64>> {
        self.state.lock().log.clone()
    }

    /// A cache over it, for which time stands still: what it asks for does not depend on how fast the
    /// machine is.
    pub(crate) fn cache(self: &Arc<Self>, parts: impl Into<CacheParts>) -> BlockCache {
        let parts = CacheParts {
            clock: Arc::new(Hands::default()),
            ..parts.into()
        };
        BlockCache::new(Arc::clone(self) as _, parts, Handle::current())
    }
}

/// The content of every object repeats this, from a place that its version decides. The length is
/// prime, so that bytes from a wrong block or a wrong version are wrong bytes.
static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mix = |x: u64| (x ^ (x >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let byte = |at: u64| mix(mix(at + 1)).to_be_bytes()[0];
    (0..1_000_003).map(byte).collect()
});

fn version_number(object: &ObjectRef) -> u64 {
    object.version.parse().unwrap()
}

pub(crate) fn content(object: &ObjectRef, range: Range<u64>) -> Vec<u8> {
    let place = (range.start + version_number(object) * 7919) % PATTERN.len() as u64;
    let mut from = usize::try_from(place).unwrap();
    let len = usize::try_from(range.end - range.start).unwrap();
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len {
        let to = PATTERN.len().min(from + len - bytes.len());
        bytes.extend_from_slice(&PATTERN[from..to]);
        from = 0;
    }
    bytes
}

/// One range, as an entry of [`FakeSource::log`].
pub(crate) fn span(start: u64, end: u64) -> Range<u64> {
    start..end
}

pub(crate) fn object(size: u64) -> ObjectRef {
    ObjectRef::new("dir/file", "1", size)
}

#[async_trait]
impl BlockSource for FakeSource {
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        assert!(
            range.start < range.end && range.end <= object.size,
            "{range:?}"
        );
        let fault = {
            let mut state = self.state.lock();
            state.log.push(range.clone());
            state.faults.pop_front().unwrap_or(Fault::None)
        };
        let mut pieces: Vec<Result<Bytes>> = Vec::new();
        let end = match fault {
            Fault::Refuse(kind) => return Err(Error::new(kind, "refused by the test")),
            Fault::Break(bytes) | Fault::Short(bytes) => range.end.min(range.start + bytes),
            Fault::Long => range.end + 1,
            Fault::None => range.end,
        };
        let mut at = range.start;
        while at < end {
            let next = end.min(at + self.piece);
            pieces.push(Ok(content(object, at..next).into()));
            at = next;
        }
        if matches!(fault, Fault::Break(_)) {
            pieces.push(Err(Error::new(
                ErrorKind::Unreachable,
                "broken by the test",
            )));
        }
        let gate = self.gate.clone();
        let yields = self.yields;
        let paced = stream::iter(pieces).then(move |piece| {
            let gate = gate.clone();
            async move {
                if let Some(gate) = gate {
                    gate.acquire().await.unwrap().forget();
                }
                for _ in 0..yields {
                    tokio::task::yield_now().await;
                }
                piece
            }
        });
        Ok(paced.boxed())
    }
}

/// Runs other tasks until nothing more happens without outside help. For one-threaded tests.
pub(crate) async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}
