//! What applications that read a lot do: training, scrubbing, scanning.
//!
//! Law: what is chosen comes from fixed seeds; contents are zeros, for nobody looks at them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::Result;

use crate::dice::Dice;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Shards of a training set, the bytes of each, and how often all are read.
const SHARDS: u64 = 48;
const SHARD_BYTES: u64 = 4 * MIB;
const EPOCHS: u64 = 5;
/// Records of a shard are read in pieces of this.
const RECORDS_BYTES: u64 = 128 * KIB;

/// Films, the bytes of each, and the bytes of its index, which is at the end.
const FILMS: u64 = 4;
const FILM_BYTES: u64 = 96 * MIB;
const FILM_INDEX_BYTES: u64 = 512 * KIB;
/// How often somebody jumps, and what a player asks for at a time.
const JUMPS: u64 = 500;
const PLAYER_BYTES: u64 = 64 * KIB;

/// Files that are read often, files that are read once, and the bytes of each.
const HOT_FILES: u64 = 24;
const COLD_FILES: u64 = 240;
const FILE_BYTES: u64 = MIB;

/// Numbers without a pattern, the same for the same seed.
pub(super) struct Numbers(Dice);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(Dice::from_state(seed))
    }

    /// From 0 on, below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0.next() % end
    }

    /// Small numbers more often: the least of three.
    fn low(&mut self, end: u64) -> u64 {
        let three = [self.below(end), self.below(end), self.below(end)];
        three.into_iter().min().unwrap_or(0)
    }

    fn shuffle(&mut self, list: &mut [u64]) {
        for at in (1..list.len()).rev() {
            let other = usize::try_from(self.below(at as u64 + 1)).unwrap_or(0);
            list.swap(at, other);
        }
    }
}

/// A file of zeros that takes no room.
fn make(folder: &Path, name: &str, bytes: u64) -> Result<()> {
    File::create(folder.join(name))?.set_len(bytes)?;
    Ok(())
}

/// Reads `bytes` at `offset`, in pieces.
fn read(file: &File, offset: u64, bytes: u64, piece: u64) -> Result<()> {
    let end = (offset + bytes).min(file.metadata()?.len());
    let mut buffer = vec![0; usize::try_from(piece)?];
    let mut at = offset;
    while at < end {
        let len = usize::try_from(piece.min(end - at))?;
        file.read_exact_at(&mut buffer[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

pub(super) fn prepare_training(bucket: &Path) -> Result<()> {
    make(bucket, "index.json", 200 * KIB)?;
    (0..SHARDS).try_for_each(|shard| make(bucket, &format!("shard-{shard:03}.tar"), SHARD_BYTES))
}

/// Two workers share the shards of an epoch, each in an order of its own.
pub(super) fn train(mount: &Path) -> Result<()> {
    let mut numbers = Numbers::new(1);
    for _ in 0..EPOCHS {
        let index = File::open(mount.join("index.json"))?;
        read(&index, 0, 200 * KIB, 200 * KIB)?;
        let mut shards: Vec<u64> = (0..SHARDS).collect();
        numbers.shuffle(&mut shards);
        for pair in shards.chunks(2) {
            let open = |shard| File::open(mount.join(format!("shard-{shard:03}.tar")));
            let files: Vec<File> = pair.iter().map(open).collect::<Result<_, _>>()?;
            for at in (0..SHARD_BYTES).step_by(usize::try_from(RECORDS_BYTES)?) {
                for file in &files {
                    read(file, at, RECORDS_BYTES, RECORDS_BYTES)?;
                }
            }
        }
    }
    Ok(())
}

pub(super) fn prepare_scrubbing(bucket: &Path) -> Result<()> {
    (0..FILMS).try_for_each(|film| make(bucket, &format!("film-{film}.mp4"), FILM_BYTES))
}

/// Somebody cuts: most jumps are near the last one or back to a scene that was marked, some are anywhere.
pub(super) fn scrub(mount: &Path) -> Result<()> {
    let mut numbers = Numbers::new(2);
    let mut scenes: Vec<(u64, u64)> = (0..12)
        .map(|_| (numbers.below(FILMS), numbers.below(FILM_BYTES - 8 * MIB)))
        .collect();
    let mut here = scenes[0];
    for _ in 0..JUMPS {
        here = match numbers.below(10) {
            0..4 => (
                here.0,
                (here.1 + numbers.below(4 * MIB)).saturating_sub(2 * MIB),
            ),
            4..8 => scenes[usize::try_from(numbers.low(scenes.len() as u64))?],
            8 => {
                // What was found is marked, too.
                let at = usize::try_from(numbers.below(scenes.len() as u64))?;
                scenes[at] = here;
                here
            }
            _ => (numbers.below(FILMS), numbers.below(FILM_BYTES - 8 * MIB)),
        };
        let film = File::open(mount.join(format!("film-{}.mp4", here.0)))?;
        // Players look into the index of what they open.
        read(
            &film,
            FILM_BYTES - FILM_INDEX_BYTES,
            FILM_INDEX_BYTES,
            FILM_INDEX_BYTES,
        )?;
        let seconds = MIB / 2 + numbers.below(2 * MIB);
        let key_frame = here.1 - here.1 % (256 * KIB);
        read(&film, key_frame, seconds, PLAYER_BYTES)?;
    }
    Ok(())
}

pub(super) fn prepare_scan(bucket: &Path) -> Result<()> {
    (0..HOT_FILES).try_for_each(|file| make(bucket, &format!("hot-{file:02}"), FILE_BYTES))?;
    (0..COLD_FILES).try_for_each(|file| make(bucket, &format!("cold-{file:03}"), FILE_BYTES))
}

/// A backup or a search goes through all, while others work on few.
pub(super) fn scan(mount: &Path) -> Result<()> {
    let mut numbers = Numbers::new(3);
    let hot = |numbers: &mut Numbers| -> Result<()> {
        let file = File::open(mount.join(format!("hot-{:02}", numbers.low(HOT_FILES))))?;
        let at = numbers.below(FILE_BYTES / (64 * KIB)) * 64 * KIB;
        read(&file, at, 64 * KIB, 64 * KIB)
    };
    // First they work alone.
    (0..800).try_for_each(|_| hot(&mut numbers))?;
    for cold in 0..COLD_FILES {
        let file = File::open(mount.join(format!("cold-{cold:03}")))?;
        for at in (0..FILE_BYTES).step_by(256 << 10) {
            read(&file, at, 256 * KIB, 256 * KIB)?;
            (0..2).try_for_each(|_| hot(&mut numbers))?;
        }
    }
    (0..800).try_for_each(|_| hot(&mut numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_loses_nothing() {
        let mut list: Vec<u64> = (0..48).collect();
        Numbers::new(7).shuffle(&mut list);
        assert_ne!(list, (0..48).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..48).collect::<Vec<_>>());
    }
}
