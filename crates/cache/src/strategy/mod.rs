//! [`EvictionStrategy`]: which block makes room for the next one.
//!
//! Laws:
//!
//! - A strategy decides *which* block goes, never *whether* memory is exceeded: the table that asks
//!   it counts the bytes, and helps itself when the answer is of no use.
//! - It sees places and fingerprints, no keys and no bytes, and is called under the lock of its
//!   shard, by one thread at a time: it needs no lock, and must not wait for anything.
//! - A block that came in stays at least until the next one comes: whoever reads a block in small
//!   pieces would fetch it for each of them otherwise. Strategies that admit only the worthy keep
//!   newcomers in a window first.
//!
//! [`Queues`] and [`Ghosts`] are what the strategies here are made of, and may serve others.

mod fifo;
mod ghosts;
mod lru;
mod queues;
mod s3_fifo;
mod sieve;
mod sketch;
mod tiny_lfu;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use ghosts::Ghosts;
pub use queues::Queues;
pub(crate) use queues::grow;

/// Where a kept block is in the table of its shard: small numbers, used again when the block that
/// had one is gone. Good as an index into a list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Place(u32);

impl Place {
    /// The place of that number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// Its number, to look into a list with.
    #[must_use]
    pub fn index(self) -> usize {
        crate::geometry::in_memory(self.0.into())
    }
}

/// A block that is to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The same whenever this block comes in, while the cache lives; two blocks share one by
    /// accident, once in 2⁶⁴. Tells what was here before.
    pub fingerprint: u64,
    /// What it takes of the room, in bytes, with what it takes to find it.
    pub bytes: u64,
}

/// The share of the memory that one strategy decides on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// In bytes.
    pub bytes: u64,
    /// About how many blocks that is, at least 1. More of them fit when files are small.
    pub blocks: u64,
}

/// Which block makes room for the next one, in one shard of the table.
///
/// The order of calls for a block: `inserted` once, `read` any number of times, then either `evict`
/// gives its place or `removed` names it. In between, a place belongs to no other block.
pub trait EvictionStrategy: fmt::Debug + Send {
    /// A block that is kept was read again.
    fn read(&mut self, place: Place);

    /// Gives up a block, and forgets it: called until `arrival` fits. At least one is kept.
    ///
    /// An answer of `None`, or of a place where no block is, makes the table choose: it then says
    /// so by [`removed`](Self::removed).
    fn evict(&mut self, arrival: &Arrival) -> Option<Place>;

    /// A block is kept from now on, at a place that was free. It has just been read for the first
    /// time.
    fn inserted(&mut self, place: Place, arrival: &Arrival);

    /// A block went without having been asked for by `evict`.
    fn removed(&mut self, place: Place);
}

/// Makes the strategy of one shard. Called for each shard when a cache is made.
pub type MakeStrategy = dyn Fn(Room) -> Box<dyn EvictionStrategy> + Send + Sync;

/// How a cache chooses what goes.
///
/// `docs/caching.md` compares them on recorded and made-up traces.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Eviction {
    /// Clock-PRO, as the crate `quick_cache` has it: queues for what was read once and more often,
    /// and a memory of what went. The default: hits take a lock that readers share.
    #[default]
    ClockPro,
    /// What was not read for the longest time goes first.
    Lru,
    /// What came first goes first, however often it was read.
    Fifo,
    /// First in, first out, but what was read meanwhile stays once more, where it is.
    Sieve,
    /// A small queue for newcomers; who was read there or came back soon joins the large one.
    S3Fifo,
    /// W-TinyLFU: newcomers pass a window, and then stay if they were asked for more often lately
    /// than who would go for them.
    TinyLfu,
    /// One of your own.
    Custom(Arc<MakeStrategy>),
}

/// The names of [`Eviction`], as in settings.
const NAMES: [(&str, Eviction); 6] = [
    ("clock-pro", Eviction::ClockPro),
    ("lru", Eviction::Lru),
    ("fifo", Eviction::Fifo),
    ("sieve", Eviction::Sieve),
    ("s3-fifo", Eviction::S3Fifo),
    ("tiny-lfu", Eviction::TinyLfu),
];

impl Eviction {
    /// All that are built in.
    pub fn all() -> impl Iterator<Item = Self> {
        NAMES.into_iter().map(|(_, eviction)| eviction)
    }

    /// A strategy of your own: `make` gives one for each shard of the table.
    pub fn custom(
        make: impl Fn(Room) -> Box<dyn EvictionStrategy> + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(Arc::new(make))
    }

    /// Its name in settings; `custom` is none.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ClockPro => "clock-pro",
            Self::Lru => "lru",
            Self::Fifo => "fifo",
            Self::Sieve => "sieve",
            Self::S3Fifo => "s3-fifo",
            Self::TinyLfu => "tiny-lfu",
            Self::Custom(_) => "custom",
        }
    }

    /// What makes the strategy of a shard; nothing where a table of another kind is used.
    pub(crate) fn maker(&self) -> Option<Arc<MakeStrategy>> {
        Some(match self {
            Self::ClockPro => return None,
            Self::Lru => Arc::new(|_| Box::<lru::Lru>::default()),
            Self::Fifo => Arc::new(|_| Box::<fifo::Fifo>::default()),
            Self::Sieve => Arc::new(|_| Box::<sieve::Sieve>::default()),
            Self::S3Fifo => Arc::new(|room| Box::new(s3_fifo::S3Fifo::new(room))),
            Self::TinyLfu => Arc::new(|room| Box::new(tiny_lfu::TinyLfu::new(room))),
            Self::Custom(make) => Arc::clone(make),
        })
    }
}

impl fmt::Debug for Eviction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No strategy has that name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownStrategy(String);

impl fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = NAMES.map(|(name, _)| name).join(", ");
        write!(
            f,
            "no eviction strategy is called {:?}: there are {names}",
            self.0
        )
    }
}

impl std::error::Error for UnknownStrategy {}

impl FromStr for Eviction {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, UnknownStrategy> {
        let found = NAMES.into_iter().find(|(known, _)| *known == name);
        found.map_or_else(
            || Err(UnknownStrategy(name.to_owned())),
            |(_, found)| Ok(found),
        )
    }
}

#[cfg(test)]
mod tests;
