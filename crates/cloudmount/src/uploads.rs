//! What a person or a program does about uploads: hurry, wait, pause, retry, give up.
//!
//! Paths are as everywhere in this crate; a folder stands for all below it, and `""` for everything.

use std::path::PathBuf;
use std::time::Duration;

use cloudmount_stage::{Leftover, Remaining, Scope, StageStatus};
use cloudmount_vfs::ErrorKind;

use crate::{CloudMount, Error, Result};

/// What a flush has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Flushed {
    /// Files that were being written, by key: they are uploaded as they were then, and again when
    /// they are closed.
    pub open: Vec<String>,
    /// What is not in the bucket, at most 1,000 of it, with the reason if a try failed.
    pub remaining: Vec<Remaining>,
    /// How much is not.
    pub remaining_count: usize,
}

impl Flushed {
    /// Whether all is in the bucket.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.remaining_count == 0
    }
}

/// An upload, a removal or a rename that was given up.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Dropped {
    /// The key.
    pub key: String,
    /// What was wanted: `content`, `inline`, `metadata` or `removal`.
    pub kind: &'static str,
    /// Where what was staged is now, with a description beside it (`.json`): the part that the file
    /// had, and the object that the rest comes from. `None`: nothing was staged, or it was deleted.
    pub aside: Option<PathBuf>,
}

impl CloudMount {
    fn scope(&self, path: &str) -> Result<Scope> {
        let scope = self.shared.core.scope(path);
        scope.map_err(|error| Error::new(format!("path {path:?}")).because(error))
    }

    fn not_paused(&self) -> Result<()> {
        if self.is_paused() {
            return Err(Error::new("uploads are paused").or("resume them first"));
        }
        Ok(())
    }

    /// Hands all that is staged for `path` to the bucket at once, whatever delay it is in, and does
    /// not wait for it. Files that are being written go as they are now, as with `fsync`.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # use std::time::Duration;
    /// let files = cloudmount::CloudMount::builder("memory:").open().await?;
    /// files.write("reports/may.txt", b"done").await?;
    /// let flushed = files.flush_and_wait("reports", Some(Duration::from_secs(60))).await?;
    /// assert!(flushed.is_complete(), "{:?}", flushed.remaining);
    /// # assert!(files.close().await.is_complete());
    /// # Ok::<(), cloudmount::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The path is none, uploads are paused, or the staging disk fails.
    pub fn flush(&self, path: &str) -> Result<Flushed> {
        let scope = self.scope(path)?;
        self.not_paused()?;
        let open = (self.shared.core.flush_uploads(&scope))
            .map_err(|error| Error::new(format!("flush {path:?}")).because(error))?;
        let waiting = self.shared.core.stage().status_of(&scope);
        let remaining = |key: cloudmount_stage::KeyStatus| Remaining {
            key: key.key,
            phase: key.phase,
            error: key.error,
        };
        Ok(Flushed {
            open: (open.iter().map(|key| key.as_str().to_owned())).collect(),
            remaining: waiting.keys.into_iter().map(remaining).collect(),
            remaining_count: waiting.totals.keys,
        })
    }

    /// As [`flush`](Self::flush), and waits until all of it is in the bucket, but not for what needs
    /// a person, and not longer than `limit`. What is written later is not waited for.
    ///
    /// # Errors
    /// As [`flush`](Self::flush). What could not be uploaded is no error here: see
    /// [`Flushed::remaining`].
    pub async fn flush_and_wait(&self, path: &str, limit: Option<Duration>) -> Result<Flushed> {
        let open = self.flush(path)?.open;
        let scope = self.scope(path)?;
        let report = self.shared.core.stage().wait_all(&scope, limit).await;
        Ok(Flushed {
            open,
            remaining: report.remaining,
            remaining_count: report.remaining_count,
        })
    }

    /// Starts no new upload, removal or rename in the bucket; those under way end. Files can be
    /// written all the same: they wait. It lasts until [`resume`](Self::resume) or the end:
    /// [`close`](Self::close) resumes to upload what waits.
    ///
    /// ```
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// let files = cloudmount::CloudMount::builder("memory:").open().await?;
    /// files.pause();
    /// files.write("draft.txt", b"not yet").await?;
    /// assert_eq!(files.status_of("draft.txt")?.totals.keys, 1);
    /// // Nobody wants it any more: the bucket never sees it.
    /// let dropped = files.drop_uploads(&["draft.txt"], cloudmount::Leftover::Delete).await?;
    /// assert_eq!(dropped[0].key, "draft.txt");
    /// files.resume();
    /// assert!(files.stat("draft.txt").await.is_err());
    /// # assert!(files.close().await.is_complete());
    /// # Ok::<(), cloudmount::Error>(()) }).unwrap();
    /// ```
    pub fn pause(&self) {
        self.shared.core.stage().pause();
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.shared.core.stage().resume();
    }

    /// Whether uploads are paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared.core.stage().is_paused()
    }

    /// Tries now what failed at `path`, for whatever reason, instead of when its time comes; gives
    /// how many keys that are.
    ///
    /// # Errors
    /// The path is none, or uploads are paused.
    pub fn retry(&self, path: &str) -> Result<usize> {
        let scope = self.scope(path)?;
        self.not_paused()?;
        Ok(self.shared.core.stage().retry(&scope))
    }

    /// Believes no longer what is known of `path` and all below it, because someone knows that the bucket
    /// has changed there: whoever looks next asks the store, whatever the time to live. An empty path is
    /// everything. What waits for upload stays as it is.
    ///
    /// # Errors
    /// The path is none.
    pub fn invalidate(&self, path: &str) -> Result<()> {
        let done = self.shared.core.invalidate(path);
        done.map_err(|error| Error::new(format!("path {path:?}")).because(error))
    }

    /// Gives up what waits at `paths`: uploads, removals, renames. After that these paths show what
    /// the bucket has. A rename goes with the removal of its old name, which is told, too. What was
    /// staged is set aside or deleted; where it was set aside stands in the status.
    ///
    /// # Errors
    /// Nothing waits there; one of the files is open for writing; an upload does not end within a
    /// minute; the staging disk fails. Then nothing is given up.
    pub async fn drop_uploads(&self, paths: &[&str], leftover: Leftover) -> Result<Vec<Dropped>> {
        let scopes = (paths.iter())
            .map(|path| self.scope(path))
            .collect::<Result<Vec<_>>>()?;
        let dropped = self.shared.core.drop_uploads(&scopes, leftover).await;
        let dropped = dropped.map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::NotFound => "the status says what waits",
                ErrorKind::Busy => "close it, or wait for it, and do this again",
                _ => "nothing was given up",
            };
            let what = format!("cannot give up {}", paths.join(", "));
            Error::new(what).because(error).or(remedy)
        })?;
        let dropped = dropped.into_iter().map(|one| Dropped {
            key: one.key.as_str().to_owned(),
            kind: one.kind,
            aside: one.aside,
        });
        Ok(dropped.collect())
    }

    /// How what waits at `path` stands. Budgets and what was set aside are those of all.
    ///
    /// # Errors
    /// The path is none.
    pub fn status_of(&self, path: &str) -> Result<StageStatus> {
        Ok(self.shared.core.stage().status_of(&self.scope(path)?))
    }
}
