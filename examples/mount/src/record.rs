//! `--record-reads`: what is read of a mount, written as a trace when it ends.
//!
//! Hidden, for it serves benchmarks: `cargo xtask trace` records with it, and `docs/caching.md` shows
//! what comes of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use cloudmount::Recording;
use cloudmount::vfs::SystemClock;

use crate::say::complain;

/// A recording, and where it is to go.
#[derive(Debug)]
pub(crate) struct Reads {
    recording: Arc<Recording>,
    file: PathBuf,
}

impl Reads {
    /// Begins to record.
    pub(crate) fn begin(file: &Path) -> Self {
        Self {
            recording: Arc::new(Recording::new(Arc::new(SystemClock::new()))),
            file: file.to_owned(),
        }
    }

    /// Who is to be told of reads.
    pub(crate) fn recording(&self) -> Arc<Recording> {
        Arc::clone(&self.recording)
    }

    /// Writes what was recorded.
    pub(crate) fn write(self) -> Result<()> {
        let left_out = self.recording.left_out();
        if left_out > 0 {
            complain(format_args!(
                "the recording is full: {left_out} reads are not in it"
            ));
        }
        std::fs::write(&self.file, self.recording.trace())
            .with_context(|| format!("cannot write {}", self.file.display()))
    }
}
