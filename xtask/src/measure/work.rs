//! What is done on each filesystem, the same on all: plain calls of the standard library, one thread.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::closing::close;
use crate::time::{now, wall_seconds};

/// Bytes of one write of a large file.
pub(super) const PIECE: usize = 1 << 20;
/// Pieces that differ; they come again and again, each time with their place in front. Each writer has
/// them of its own: eight at once take 128 MiB.
const PIECES: usize = 16;
/// Files in one folder.
const IN_A_FOLDER: usize = 100;
/// Bytes of a small file.
pub(super) const SMALL_BYTES: usize = 4096;

/// Bytes that cannot be compressed.
pub(super) struct Noise(Vec<Vec<u8>>);

/// How long something took.
pub(super) struct Took {
    /// When it began, in seconds since 1970.
    pub(super) began: f64,
    /// Until the last write returned, in seconds.
    pub(super) write: f64,
    /// The last close alone, in seconds.
    pub(super) close: f64,
}

impl Took {
    /// Until the last close returned, in seconds.
    pub(super) fn closed(&self) -> f64 {
        self.write + self.close
    }
}

impl Noise {
    pub(super) fn new() -> Result<Self> {
        let mut random = File::open("/dev/urandom")?;
        let piece = |_| -> Result<Vec<u8>> {
            let mut piece = vec![0; PIECE];
            random.read_exact(&mut piece)?;
            Ok(piece)
        };
        Ok(Self((0..PIECES).map(piece).collect::<Result<_>>()?))
    }

    /// Writes a file of `bytes` bytes as `dd bs=1M` does. `go_on` is asked before each piece.
    pub(super) fn write(
        &self,
        path: &Path,
        bytes: u64,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Took> {
        // Before the clock starts: what is measured is who takes the bytes, not who makes them.
        let mut pieces = self.0.clone();
        let (began, start) = (wall_seconds(), now());
        let mut file = File::create(path)?;
        for at in 0..bytes / PIECE as u64 {
            if !go_on() {
                break;
            }
            let piece = &mut pieces[usize::try_from(at)? % PIECES];
            piece[..8].copy_from_slice(&at.to_le_bytes());
            file.write_all(piece)?;
        }
        let write = start.elapsed().as_secs_f64();
        close(file)?;
        let close = start.elapsed().as_secs_f64() - write;
        Ok(Took {
            began,
            write,
            close,
        })
    }

    /// Reads a file as `dd bs=1M` does, and gives how long that took, in seconds. It must be one that
    /// [`Noise::write`] wrote: each piece tells its place, so bytes that are missing or stand elsewhere
    /// are found at no cost.
    pub(super) fn read(&self, path: &Path, bytes: u64) -> Result<f64> {
        let start = now();
        let mut file = File::open(path)?;
        let mut piece = vec![0; PIECE];
        for at in 0..bytes / PIECE as u64 {
            file.read_exact(&mut piece)
                .with_context(|| format!("{} at {at} MiB", path.display()))?;
            if piece[..8] != at.to_le_bytes() || piece[PIECE - 8..] != self.of(at)?[PIECE - 8..] {
                bail!("{}: other bytes at {at} MiB", path.display());
            }
        }
        if file.read(&mut piece)? != 0 {
            bail!("{} is longer than {bytes} bytes", path.display());
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// Reads 4 KiB at `count` places of such a file, the same ones each time, and gives how long each
    /// took, in seconds, in order of time.
    pub(super) fn read_at_random(&self, path: &Path, bytes: u64, count: usize) -> Result<Vec<f64>> {
        let file = File::open(path)?;
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut block = [0; SMALL_BYTES];
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            // xorshift64 (Marsaglia 2003)
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let place = state % (bytes / SMALL_BYTES as u64) * SMALL_BYTES as u64;
            let start = now();
            file.read_exact_at(&mut block, place)?;
            times.push(start.elapsed().as_secs_f64());
            let from = usize::try_from(place % PIECE as u64)?;
            // The first bytes of a piece are its place.
            if block[8..] != self.of(place / PIECE as u64)?[from..][8..SMALL_BYTES] {
                bail!("{}: other bytes at {place}", path.display());
            }
        }
        Ok(times)
    }

    fn of(&self, at: u64) -> Result<&[u8]> {
        Ok(&self.0[usize::try_from(at)? % PIECES])
    }

    /// Reads all files of a [`Noise::tree`] one after the other, each by stat, open, read and close, and
    /// gives how long that took, in seconds.
    pub(super) fn walk(&self, root: &Path, count: usize) -> Result<f64> {
        let start = now();
        let mut content = vec![0; SMALL_BYTES + 1];
        for number in 0..count {
            let path = root
                .join(format!("folder{:03}", number / IN_A_FOLDER))
                .join(format!("file{number:05}"));
            let size = std::fs::metadata(&path)?.len();
            let read = File::open(&path)?.read(&mut content)?;
            let (size, right) = (
                usize::try_from(size)?,
                &self.0[number % PIECES][..SMALL_BYTES],
            );
            if size != read || content[..read] != *right {
                bail!("{}: other bytes", path.display());
            }
        }
        Ok(start.elapsed().as_secs_f64())
    }

    /// Writes `count` files of 4 KiB, 100 a folder, as `tar x` does.
    pub(super) fn tree(&self, root: &Path, count: usize) -> Result<Took> {
        let (began, start) = (wall_seconds(), now());
        let mut last = Duration::ZERO;
        for number in 0..count {
            let folder = root.join(format!("folder{:03}", number / IN_A_FOLDER));
            if number % IN_A_FOLDER == 0 {
                std::fs::create_dir(&folder)?;
            }
            let mut file = File::create_new(folder.join(format!("file{number:05}")))?;
            file.write_all(&self.0[number % PIECES][..SMALL_BYTES])?;
            let before = now();
            close(file)?;
            last = before.elapsed();
        }
        let all = start.elapsed().as_secs_f64();
        let close = last.as_secs_f64();
        Ok(Took {
            began,
            write: all - close,
            close,
        })
    }
}
