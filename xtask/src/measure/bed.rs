//! What the rows are measured on: a server, folders on one disk, and the plain client.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::filesystem::{Bucket, Filesystem, Program, Wanted, binary, build};
use crate::place;
use crate::run::Run;
use crate::server::{Kind, Server};
use crate::time::{pause, wait_until};
use crate::undo::Undo;

/// How long one call of the plain client may take, and how long a bucket may take to be complete.
const LIMIT: Duration = Duration::from_secs(1200);
/// Between two questions to ours whether all is uploaded: a question costs it some milliseconds, and the
/// figure is by the dates of the server.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);
/// Between two listings of a bucket of others: the server they write to has to answer these, too.
const BETWEEN_LISTINGS: Duration = Duration::from_secs(2);

/// The server, the disk and the plain client.
pub(super) struct Bed {
    pub(super) server: Server,
    /// Nothing is mounted in it.
    scratch: PathBuf,
    mounts: TempDir,
    number: Cell<usize>,
    _remove: Undo,
}

/// What is below a prefix.
pub(super) struct Listed {
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// When the last of it was written, by the server's clock, in seconds since 1970.
    pub(super) last: f64,
}

impl Bed {
    /// Starts the server, and builds the plain client.
    pub(super) fn start(kind: Kind) -> Result<Self> {
        build("cloudmount-benches")?;
        // By default where the server keeps its data, too: all share one disk.
        let (scratch, remove) = Undo::scratch()?;
        Ok(Self {
            server: Server::start(kind)?,
            scratch,
            mounts: tempfile::Builder::new().prefix("cloudmount-").tempdir()?,
            number: Cell::new(0),
            _remove: remove,
        })
    }

    /// A new folder on the disk.
    pub(super) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(self.new_name(name));
        std::fs::create_dir(&folder)?;
        Ok(folder)
    }

    /// The disk.
    pub(super) fn disk(&self) -> &Path {
        &self.scratch
    }

    fn new_name(&self, name: &str) -> String {
        let number = self.number.get();
        self.number.set(number + 1);
        format!("{name}-{number}")
    }

    /// Mounts a filesystem with nothing of former ones, over the bucket at `endpoint`.
    pub(super) fn mount(&self, program: Program, endpoint: &str) -> Result<Filesystem> {
        self.mount_with(program, endpoint, &[])
    }

    /// The same with `more` arguments.
    pub(super) fn mount_with(
        &self,
        program: Program,
        endpoint: &str,
        more: &[&str],
    ) -> Result<Filesystem> {
        program.install()?;
        let folder = self.mounts.path().join(self.new_name(program.name()));
        std::fs::create_dir(&folder)?;
        let bucket = Bucket::of(&self.server, endpoint);
        let wanted = Wanted {
            program,
            bucket: (program != Program::Bindfs).then_some(&bucket),
            folder: &folder,
            scratch: &self.folder(program.name())?,
            more,
        };
        wanted.mount()
    }

    /// Asks the plain client.
    pub(super) fn plain(&self, words: &[&str]) -> Result<Value> {
        let said = self.plain_run(words).ok()?;
        Ok(serde_json::from_str(&said)?)
    }

    fn plain_run(&self, words: &[&str]) -> Run {
        self.plain_run_at(&self.server.endpoint, words)
    }

    fn plain_run_at(&self, endpoint: &str, words: &[&str]) -> Run {
        let run = Run::new(binary("cloudmount-floor"))
            .arg(self.server.bucket)
            .envs(&self.server.environment_at(endpoint))
            .within(LIMIT);
        words.iter().fold(run, |run, word| run.arg(word))
    }

    /// Asks the plain client by way of `endpoint`: a proxy's.
    pub(super) fn plain_at(&self, endpoint: &str, words: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.plain_run_at(endpoint, words).ok()?,
        )?)
    }

    /// Seconds that the plain client took for something.
    pub(super) fn plain_seconds(&self, words: &[&str]) -> Result<f64> {
        number(&self.plain(words)?, "seconds")
    }

    /// The same by way of `endpoint`: a proxy's.
    pub(super) fn plain_seconds_at(&self, endpoint: &str, words: &[&str]) -> Result<f64> {
        number(&self.plain_at(endpoint, words)?, "seconds")
    }

    /// When an object of `bytes` bytes was first seen by the plain client, in seconds since 1970, while
    /// `write` works.
    pub(super) fn seen<T>(
        &self,
        key: &str,
        bytes: u64,
        write: impl FnOnce() -> Result<T>,
    ) -> Result<(T, f64)> {
        let looking = self.plain_run(&["see", key, &bytes.to_string()]);
        std::thread::scope(|scope| {
            let looking = scope.spawn(|| looking.ok());
            let written = write()?;
            let said = looking
                .join()
                .map_err(|_| anyhow::anyhow!("the plain client broke"))??;
            Ok((written, number(&serde_json::from_str(&said)?, "seen")?))
        })
    }

    /// What is below a prefix.
    pub(super) fn list(&self, prefix: &str) -> Result<Listed> {
        let listed = self.plain(&["list", prefix])?;
        let whole = |name: &str| {
            listed
                .get(name)
                .and_then(Value::as_u64)
                .context("no number")
        };
        Ok(Listed {
            count: whole("count")?,
            bytes: whole("bytes")?,
            last: listed.get("last").and_then(Value::as_f64).unwrap_or(0.0),
        })
    }

    /// Removes what is below a prefix.
    pub(super) fn clear(&self, prefix: &str) -> Result<()> {
        self.plain(&["clear", prefix]).map(drop)
    }

    /// Waits until all that was written is in the bucket, `count` objects of `bytes` bytes together below
    /// `prefix`.
    pub(super) fn settled(
        &self,
        filesystem: &Filesystem,
        prefix: &str,
        (count, bytes): (u64, u64),
    ) -> Result<Listed> {
        wait_until("all in the bucket", LIMIT, || {
            if filesystem.program() == Program::Cloudmount && waiting(filesystem)? > 0 {
                pause(BETWEEN_QUESTIONS);
                return Ok(None);
            }
            let listed = self.list(prefix)?;
            if (listed.count, listed.bytes) == (count, bytes) {
                return Ok(Some(listed));
            }
            pause(BETWEEN_LISTINGS);
            Ok(None)
        })
    }
}

/// How many keys wait for upload, by the word of ours.
pub(super) fn waiting(filesystem: &Filesystem) -> Result<u64> {
    let status = filesystem.status()?;
    let keys = status.pointer("/uploads/totals/keys");
    keys.and_then(Value::as_u64)
        .context("no uploads in the status")
}

/// Requests that ours made, by operation.
pub(super) fn requests(filesystem: &Filesystem) -> Result<String> {
    Ok(told(&made(filesystem)?))
}

/// The same as numbers; operations of which there were none are left out.
pub(super) fn made(filesystem: &Filesystem) -> Result<BTreeMap<String, u64>> {
    let status = filesystem.status()?;
    let operations = status
        .pointer("/requests/operations")
        .and_then(Value::as_object)
        .context("no requests in the status")?;
    let made = operations.iter().filter_map(|(name, counts)| {
        let count = counts.get("requests")?.as_u64()?;
        (count > 0).then(|| (name.clone(), count))
    });
    Ok(made.collect())
}

/// Requests in words.
pub(super) fn told(made: &BTreeMap<String, u64>) -> String {
    let made = made.iter().map(|(name, count)| format!("{name} {count}"));
    made.collect::<Vec<_>>().join(", ")
}

pub(super) fn number(answer: &Value, name: &str) -> Result<f64> {
    let number = answer.get(name).and_then(Value::as_f64);
    number.with_context(|| format!("{answer}: no {name}"))
}

/// Where nobody has less than this, whatever is measured: the disk belongs to others, too.
pub(super) fn free_bytes(folder: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(folder)?;
    Ok(stat.f_bavail * stat.f_frsize)
}

/// Where the answers are kept.
pub(super) fn results() -> Result<PathBuf> {
    let folder = place::target().join("measure");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
