//! An eviction strategy of one's own: what came in first stays.
//!
//! Training reads the same files again and again, more than the memory holds. To throw out what was
//! not read for the longest time is the worst then: that is what is read next. This one gives up the
//! newest block instead, so that the same part of the files is in memory in every round.
//!
//! `cargo run -p cloudmount-strategy`

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use cloudmount::CloudMount;
use cloudmount::cache::strategy::{Arrival, Eviction, EvictionStrategy, Place};

/// Blocks in the order in which they came. A stack is enough: only its top is ever given up.
#[derive(Debug, Default)]
struct FirstStays {
    stack: Vec<Place>,
    /// The last one that came. It stays until another comes, as every strategy has to see to.
    newest: Option<Place>,
}

impl EvictionStrategy for FirstStays {
    fn read(&mut self, _: Place) {}

    fn evict(&mut self, _: &Arrival) -> Option<Place> {
        self.newest.take().or_else(|| self.stack.pop())
    }

    fn inserted(&mut self, place: Place, _: &Arrival) {
        self.stack.extend(self.newest.replace(place));
    }

    fn removed(&mut self, place: Place) {
        self.newest = self.newest.filter(|newest| *newest != place);
        self.stack.retain(|other| *other != place);
    }
}

const FILES: u64 = 16;
const PIECES: u64 = 8;
const PIECE_BYTES: u64 = 128 << 10;
/// The first finds nothing in memory, whatever the strategy: so many that it counts for little.
const ROUNDS: u64 = 20;

/// How many blocks of all rounds were in memory, in percent.
async fn train(folder: &Path, eviction: Eviction) -> Result<u64, Box<dyn Error>> {
    let bucket = folder.join("bucket");
    let files = CloudMount::builder(format!("file://{}", bucket.display()))
        .staging(folder.join("staging"))
        .set("cache-memory", "16MiB")?
        .eviction(eviction)
        .open()
        .await?;
    for _ in 0..ROUNDS {
        for file in 0..FILES {
            // In pieces that are not in order: what is fetched ahead is a matter of its own.
            for piece in 0..PIECES {
                let offset = piece * 5 % PIECES * PIECE_BYTES;
                let name = format!("shard-{file}");
                files.read_at(&name, offset, PIECE_BYTES).await?;
            }
        }
    }
    let stats = files.vfs().cache().stats();
    if !files.close().await.is_complete() {
        return Err("nothing was written, and yet something was not uploaded".into());
    }
    Ok(stats.hits * 100 / (stats.hits + stats.misses).max(1))
}

async fn compare(folder: &Path) -> Result<(), Box<dyn Error>> {
    let bucket = folder.join("bucket");
    std::fs::create_dir_all(&bucket)?;
    for file in 0..FILES {
        let shard = vec![1; usize::try_from(PIECES * PIECE_BYTES)?];
        std::fs::write(bucket.join(format!("shard-{file}")), shard)?;
    }
    let mine = Eviction::custom(|_| Box::<FirstStays>::default());
    for (name, eviction) in [("lru", Eviction::Lru), ("first stays", mine)] {
        let percent = train(folder, eviction).await?;
        let line = format!("{name}: {percent} % in memory\n");
        std::io::stdout().write_all(line.as_bytes())?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let name = format!("cloudmount-strategy-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    let compared = compare(&folder).await;
    std::fs::remove_dir_all(&folder)?;
    compared
}
