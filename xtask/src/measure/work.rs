//! What is done on each filesystem, the same on all: plain calls of the standard library, one thread.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::closing::close;
use crate::time::{now, wall_seconds};

/// Bytes of one write of a large file.
pub(super) const PIECE: usize = 1 << 20;
/// Pieces that differ; they come again and again, each time with their place in front.
const PIECES: usize = 64;
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
        let (began, start) = (wall_seconds(), now());
        let mut file = File::create(path)?;
        let mut piece = vec![0; PIECE];
        for at in 0..bytes / PIECE as u64 {
            if !go_on() {
                break;
            }
            let noise = &self.0[usize::try_from(at)? % PIECES];
            piece.copy_from_slice(noise);
            piece[..8].copy_from_slice(&at.to_le_bytes());
            file.write_all(&piece)?;
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
