//! What the rows are measured on: a server, folders on one disk, and the plain client.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::quiet;
use crate::filesystem::{Bucket, Filesystem, Program, Wanted, binary, build};
use crate::place;
use crate::run::Run;
use crate::say::say;
use crate::server::{Kind, Server};
use crate::time::{pause, wait_until, wall_seconds};
use crate::undo::Undo;
use crate::upload_state::waiting;

/// How long one call of the plain client may take, and how long a bucket may take to be complete.
const LIMIT: Duration = Duration::from_secs(1200);
/// Between two questions to ours whether all is uploaded: a question costs it some milliseconds while many
/// wait, and the figure is the time of the last one.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);
/// The same once fewer than [`FEW`] wait.
const BETWEEN_LAST_QUESTIONS: Duration = Duration::from_millis(20);
/// So few are uploaded within the time between two questions.
const FEW: u64 = 1500;
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
    /// When the last of it was written, by the server's clock, in seconds since 1970. Servers tell whole
    /// seconds, rounded down.
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

    /// Waits until what was done before is done with, by the server, too.
    pub(super) fn at_rest(&self) -> Result<()> {
        if !quiet::wait()? {
            say!("(the machine is busy with something else)");
        }
        Ok(())
    }

    /// The same with `more` arguments.
    pub(super) fn mount_with(
        &self,
        program: Program,
        endpoint: &str,
        more: &[&str],
    ) -> Result<Filesystem> {
        program.install()?;
        self.at_rest()?;
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

    /// Has the mount write a small file, and waits until it is in the bucket: what the endpoint honours is found out once in
    /// thirty days, not with each file.
    pub(super) fn know_endpoint(&self, mount: &Filesystem, name: &str) -> Result<()> {
        std::fs::write(mount.folder().join(name), "1")?;
        self.settled(mount, name, (1, 1))?;
        Ok(())
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
        self.at_rest()?;
        number(&self.plain(words)?, "seconds")
    }

    /// The same by way of `endpoint`: a proxy's.
    pub(super) fn plain_seconds_at(&self, endpoint: &str, words: &[&str]) -> Result<f64> {
        self.at_rest()?;
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
        let (written, said) = self.plain_beside(&["see", key, &bytes.to_string()], write)?;
        Ok((written, number(&said, "seen")?))
    }

    /// What the plain client says of `words`, while `write` works. It returns when both are done.
    pub(super) fn plain_beside<T>(
        &self,
        words: &[&str],
        write: impl FnOnce() -> Result<T>,
    ) -> Result<(T, Value)> {
        let plain = self.plain_run(words);
        std::thread::scope(|scope| {
            let plain = scope.spawn(|| plain.ok());
            let written = write()?;
            let said = plain
                .join()
                .map_err(|_| anyhow::anyhow!("the plain client broke"))??;
            Ok((written, serde_json::from_str(&said)?))
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
    /// `prefix`, and tells when that was, in seconds since 1970. Of ours it is the moment in which it said so, which is looked at then; of others, who do not
    /// say, that of the last date of the server, up to a second too early.
    pub(super) fn settled(
        &self,
        filesystem: &Filesystem,
        prefix: &str,
        (count, bytes): (u64, u64),
    ) -> Result<f64> {
        let said = match filesystem.program() {
            Program::Cloudmount => Some(all_uploaded(filesystem)?),
            _ => None,
        };
        wait_until("all in the bucket", LIMIT, || {
            let listed = self.list(prefix)?;
            if (listed.count, listed.bytes) == (count, bytes) {
                return Ok(Some(said.unwrap_or(listed.last)));
            }
            if said.is_some() {
                bail!(
                    "{} of {count} objects are there, and none waits",
                    listed.count
                );
            }
            pause(BETWEEN_LISTINGS);
            Ok(None)
        })
    }
}

/// Waits until nothing of ours waits for upload, and tells when that was, in seconds since 1970.
fn all_uploaded(filesystem: &Filesystem) -> Result<f64> {
    wait_until("all uploaded", LIMIT, || {
        let waiting = waiting(filesystem.folder())?;
        if waiting == 0 {
            return Ok(Some(wall_seconds()));
        }
        pause(if waiting < FEW {
            BETWEEN_LAST_QUESTIONS
        } else {
            BETWEEN_QUESTIONS
        });
        Ok(None)
    })
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
