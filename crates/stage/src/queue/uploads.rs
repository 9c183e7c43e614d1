//! Multipart uploads as the bucket knows them: begun so that none is left there unknown, and searched
//! for when one may be.
//!
//! A store keeps the parts of an upload that nobody finishes, and bills them. An upload has no name
//! before the store's answer, so the journal is told the key and the time first. If the answer never
//! comes, by a crash or on the line, the uploads of exactly that key are listed in the background,
//! and those that began then and that we do not know are aborted.
//!
//! Another machine's upload of the same key is spared if it began well before or after
//! ([`CLOCKS_APART`]). If it began just then, it is aborted too: that machine finds it gone, begins
//! it again and loses no byte of its file, for no part replaces what it has at home.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{ErrorKind, Key, Metadata, PutOptions, Result, UploadId};
use cloudmount_vfs::Timestamp;

use super::condition::may_have_landed;
use super::worker::Trouble;
use crate::failpoint;
use crate::journal::record::Change;
use crate::stage::Inner;

/// How far the store's clock may be from what is taken for it: 15 minutes, by which S3 lets clocks differ
/// ("Error responses", `RequestTimeTooSkewed`).
const CLOCKS_APART: Duration = Duration::from_secs(900);

/// Pages that are read of the uploads below one key: 4, of 1,000 each. Keys that begin alike share
/// them; so many uploads in progress are no accident.
const PAGES_MAX: usize = 4;

/// That an upload in parts is about to be begun.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct Intent {
    /// The key that it is to become.
    pub(crate) key: Key,
    /// When, by the store's clock or, where that is not known, this machine's, in nanoseconds since 1970.
    pub(crate) at: i64,
}

impl Intent {
    pub(crate) fn begun(&self) -> Change {
        Change::UploadIntended {
            key: self.key.as_str().to_owned(),
            at: self.at,
        }
    }

    fn ended(&self) -> Change {
        Change::IntentEnded {
            key: self.key.as_str().to_owned(),
            at: self.at,
        }
    }

    /// Whether an upload that began at that time of the store's clock may be the one.
    fn may_have_begun(&self, at: Timestamp) -> bool {
        let apart = i64::try_from(CLOCKS_APART.as_nanos()).unwrap_or(i64::MAX);
        nanos(at).abs_diff(self.at) <= apart.unsigned_abs()
    }
}

/// Nanoseconds since 1970; times that do not fit (after the year 2262) are as the last that does.
fn nanos(at: Timestamp) -> i64 {
    at.secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(i64::from(at.nanos()))
}

impl Inner {
    /// Begins an upload, and has the journal remember it until it ends.
    pub(super) async fn begin_upload(
        &self,
        key: &Key,
        metadata: Metadata,
    ) -> std::result::Result<UploadId, Trouble> {
        let metadata = self.with_tags(key, &metadata).await?.into_owned();
        let options = PutOptions {
            metadata,
            ..PutOptions::default()
        };
        // At most one is unknown of each key, however long the line is dead.
        let mut lost = self.lock().take_lost_starts(key).into_iter();
        while let Some(intent) = lost.next() {
            if let Err(error) = self.resolve(intent).await {
                self.lock().not_swept.extend(lost);
                return Err(error.into());
            }
        }
        let intent = self.intend(key)?;
        failpoint::pass(failpoint::PARTS_INTENDED);
        let begun = self.store.multipart_start(key, &options).await;
        let upload = match begun {
            Ok(upload) => {
                failpoint::pass(failpoint::PARTS_BEGUN);
                upload
            }
            Err(error) => {
                self.not_begun(intent, error.kind());
                return Err(error.into());
            }
        };
        let noted = {
            let mut table = self.lock();
            table.starting.remove(&intent);
            table.intents.remove(&intent);
            table.uploads.insert(upload.clone(), key.clone());
            table.search_now(key);
            let started = Change::UploadStarted {
                key: key.as_str().to_owned(),
                upload: upload.0.clone(),
            };
            self.files.journal.append(&[started, intent.ended()])
        };
        if let Err(error) = noted {
            self.lock().abandoned.push((key.clone(), upload));
            self.freed.wake();
            return Err(error.into());
        }
        failpoint::pass(failpoint::PARTS_NOTED);
        if !self.lock().lost_starts.is_empty() {
            self.freed.wake();
        }
        Ok(upload)
    }

    fn intend(&self, key: &Key) -> cloudmount_vfs::Result<Intent> {
        let mut table = self.lock();
        let mut intent = Intent {
            key: key.clone(),
            at: nanos(self.store.time().unwrap_or_else(|| self.clock.wall())),
        };
        // The wall clock may stand still, or go back.
        while table.intents.contains(&intent) {
            intent.at += 1;
        }
        self.files.journal.append(&[intent.begun()])?;
        table.intents.insert(intent.clone());
        table.starting.insert(intent.clone());
        Ok(intent)
    }

    /// There was no answer with a name.
    fn not_begun(&self, intent: Intent, kind: ErrorKind) {
        let is_lost = may_have_landed(kind);
        {
            let mut table = self.lock();
            table.starting.remove(&intent);
            table.search_now(&intent.key);
            if is_lost {
                table.lost_starts.push(intent.clone());
            }
        }
        if !is_lost {
            self.forget_intent(&intent);
        }
        self.freed.wake();
    }

    /// Searches for one upload; one that cannot be searched for now is kept for later.
    async fn resolve(&self, intent: Intent) -> Result<()> {
        let error = match search(self, &intent).await {
            Ok(Search::Done) => {
                self.forget_intent(&intent);
                return Ok(());
            }
            Ok(Search::Later) => return Ok(()),
            Err(error) => error,
        };
        if error.kind().is_transient() {
            self.lock().not_swept.push(intent);
            return Err(error);
        }
        // It will not be told later either. Buckets can be set to expire what nobody finishes.
        tracing::warn!(key = %intent.key, %error, "an upload that may be left cannot be searched for");
        self.forget_intent(&intent);
        Ok(())
    }

    fn forget_intent(&self, intent: &Intent) {
        if !self.lock().intents.remove(intent) {
            return;
        }
        if let Err(error) = self.files.journal.append(&[intent.ended()]) {
            tracing::debug!(%error, "an upload will be searched for once more after a restart");
        }
    }
}

/// Searches for uploads whose names never arrived, one after the other: nobody waits for it. What
/// fails is tried again later, also after a restart, because the journal still knows it.
pub(super) async fn sweep(inner: Arc<Inner>, lost: Vec<Intent>) {
    for intent in lost {
        if let Err(error) = inner.resolve(intent).await {
            tracing::debug!(%error, "an upload is searched for again later");
        }
    }
    inner.freed.wake();
}

/// What became of a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Search {
    Done,
    /// An upload of the key is just being begun here, and its name is not known yet either: again
    /// once it is.
    Later,
}

async fn search(inner: &Inner, intent: &Intent) -> Result<Search> {
    let mut found = Vec::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let page = inner
            .store
            .multipart_list(intent.key.as_str(), token)
            .await?;
        found.extend(page.uploads);
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    found.retain(|listed| listed.key == intent.key && intent.may_have_begun(listed.started));
    {
        let mut table = inner.lock();
        if table.starting.iter().any(|other| other.key == intent.key) {
            // Under the lock: the one that begins looks for it when it has begun.
            table.not_swept.push(intent.clone());
            return Ok(Search::Later);
        }
        found.retain(|listed| !table.uploads.contains_key(&listed.upload));
    }
    for listed in found {
        tracing::info!(key = %listed.key, "an upload whose name never arrived is aborted");
        inner
            .store
            .multipart_abort(&listed.key, &listed.upload)
            .await?;
    }
    Ok(Search::Done)
}
