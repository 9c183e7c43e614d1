//! Room that is kept for the day on which the disk is full.
//!
//! What was uploaded may only be deleted once the journal says so. If the disk is so full that the
//! journal cannot say it, nothing would ever make room again. So a file of zeros is kept; it is given
//! up to compact the journal, which lets the files go, which makes room for everything.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use crate::platform;

/// Its size: a compacted journal of some hundred pending keys.
const RESERVE_BYTES: u64 = 256 << 10;

/// Room that is kept.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            path: dir.join("reserve"),
        }
    }

    /// Takes the room, if the disk has it.
    pub(super) fn take(&self) {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.path);
        let taken = file.and_then(|file| {
            platform::allocate(&file, 0, RESERVE_BYTES)?;
            Ok(())
        });
        if let Err(error) = taken {
            tracing::debug!(%error, "no room is kept for a full disk");
            self.release();
        }
    }

    /// Gives the room back.
    pub(super) fn release(&self) {
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot make room");
        }
    }
}
