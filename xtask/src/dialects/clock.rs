//! The wall clock of a daemon that jumps while it runs, as after a sleep, or when the time of the machine is set: `libfaketime`
//! adds to it what a file says, which it reads again and again. The clock that does not jump is left alone, and so is the
//! server's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::filesystem::Bucket;
use crate::run::Run;
use crate::time::pause;
use crate::tools;

/// For how long it is wrong: some requests of each kind, and some parts of an upload.
const LASTING: Duration = Duration::from_secs(10);
/// How far it jumps: four times what servers take.
const AHEAD: &str = "+3600";
const BEHIND: &str = "-3600";
const RIGHT: &str = "+0";
/// Where Debian keeps the library, below the folder that is named for the kind of machine.
const LIBRARY: &str = "faketime/libfaketime.so.1";

/// A clock in the tests' hands.
#[derive(Debug)]
pub(super) struct WallClock {
    library: PathBuf,
    says: PathBuf,
}

impl WallClock {
    /// One that is right, with its file in `scratch`.
    ///
    /// # Errors
    /// The library cannot be installed or found.
    pub(super) fn new(scratch: &Path) -> Result<Self> {
        tools::programs(&["faketime"])?;
        let kinds = std::fs::read_dir("/usr/lib")?;
        let library = kinds
            .filter_map(|kind| Some(kind.ok()?.path().join(LIBRARY)))
            .find(|library| library.is_file())
            .context("libfaketime is not where it is expected")?;
        let clock = Self {
            library,
            says: scratch.join("clock"),
        };
        clock.say(RIGHT)?;
        Ok(clock)
    }

    /// `bucket`, for a daemon that goes by this clock.
    pub(super) fn given_to(&self, bucket: Bucket) -> Bucket {
        let path = |path: &Path| path.display().to_string();
        bucket.with_environment([
            ("LD_PRELOAD", path(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", path(&self.says)),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            // The times of files of the disk stay what they are.
            ("NO_FAKE_STAT", "1".to_owned()),
        ])
    }

    /// An hour ahead, an hour behind, and right again.
    pub(super) fn jump(&self) -> Result<()> {
        for says in [AHEAD, BEHIND] {
            self.say(says)?;
            pause(LASTING);
        }
        self.say(RIGHT)
    }

    /// Whether a program that goes by it sees that it is ahead: what jumps nobody's clock shows nothing.
    ///
    /// # Errors
    /// It does not, or cannot be asked.
    pub(super) fn shows(&self) -> Result<()> {
        let seconds = |run: Run| -> Result<i64> { Ok(run.args("+%s").ok()?.trim().parse()?) };
        self.say(AHEAD)?;
        let path = |path: &Path| path.display().to_string();
        let theirs = Run::new("date")
            .env("LD_PRELOAD", path(&self.library))
            .env("FAKETIME_TIMESTAMP_FILE", path(&self.says));
        let apart = seconds(theirs)? - seconds(Run::new("date"))?;
        self.say(RIGHT)?;
        anyhow::ensure!(
            (3500..=3700).contains(&apart),
            "the clock jumps by {apart} s"
        );
        Ok(())
    }

    fn say(&self, offset: &str) -> Result<()> {
        // In one step: nobody reads half of it.
        let next = self.says.with_extension("next");
        std::fs::write(&next, offset)?;
        Ok(std::fs::rename(next, &self.says)?)
    }
}
