//! One operation: from its ticket to what became of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use cloudmount_store::{self as store, Key, Metadata, Payload, Version};
use cloudmount_vfs as vfs;

use super::condition::{Write, may_have_landed};
use super::pace::Ended;
use crate::desired::Desired;
use crate::failpoint;
use crate::fingerprint::{Fingerprint, Source};
use crate::journal::record::Change;
use crate::key_state::{Cancel, Class};
use crate::plan::{
    BaseUse, Layout, MetadataState, PlanInput, TooLarge, UploadPlan, growing_layout, plan,
};
use crate::stage::Inner;
use crate::{RemoteBelief, StagedFile};

/// What an operation starts from.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) key: Key,
    pub(super) seq: u64,
    pub(super) remote: RemoteBelief,
    pub(super) sent: Vec<Fingerprint>,
    pub(super) desired: Desired,
    pub(super) cancel: Arc<Cancel>,
    pub(super) task: Task,
}

/// What is to be done about a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Task {
    /// What is wanted.
    Do,
    /// To begin with a file that is still being written.
    Stream,
    /// Only find out what became of bodies whose answers were lost: what is wanted must wait.
    Ask,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Done {
    /// The content of a file is in the bucket.
    Content {
        source: Source,
        version: Version,
        size: u64,
    },
    /// The metadata of a file whose content was there are in the bucket.
    FileMetadata { source: Source, version: Version },
    /// All of the file was there already.
    Nothing { source: Source },
    /// A body given as bytes is in the bucket.
    Inline { version: Version, size: u64 },
    /// Metadata are in the bucket.
    Metadata { version: Version },
    /// Nothing is under the key.
    Removed,
    /// What became of lost answers is known.
    Asked,
    /// Someone else's object stays, ours (a removal, or metadata) is dropped.
    Overtaken { theirs: Option<Version> },
    /// Someone else's object is where our content should go.
    Conflict { theirs: Version },
    /// What was believed was wrong: again, from this.
    Believe(RemoteBelief),
    /// The file does not hold still: later.
    Postponed,
    /// It went as far as it could for now.
    Later,
    /// What it was for is no longer wanted.
    Cancelled,
    /// It failed.
    Failed(Trouble),
}

impl Done {
    /// What that says of the line.
    fn ended(&self) -> Ended {
        match self {
            Self::Content { size, .. } | Self::Inline { size, .. } => Ended::small(*size),
            Self::FileMetadata { .. } | Self::Metadata { .. } | Self::Removed | Self::Asked => {
                Ended::small(0)
            }
            Self::Failed(Trouble::Store(error)) => Ended::failed(error.kind()),
            _ => Ended::Unmeasured,
        }
    }
}

/// Why it failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The store.
    Store(store::Error),
    /// The local disk, or something that only a person can solve.
    Local(vfs::Error),
}

impl From<store::Error> for Trouble {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<vfs::Error> for Trouble {
    fn from(error: vfs::Error) -> Self {
        Self::Local(error)
    }
}

/// What became of it, and what was learnt on the way.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) done: Done,
    /// A body whose answer was lost.
    pub(super) doubt: Option<Fingerprint>,
    /// The bodies of which nothing was known before are accounted for.
    pub(super) doubts_settled: Settled,
    /// What is believed to be there, if that changed on the way.
    pub(super) remote: Option<RemoteBelief>,
}

/// Whether earlier doubts are settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settled {
    Yes,
    No,
}

/// A running operation.
#[derive(Debug)]
pub(super) struct Job<'a> {
    pub(super) inner: &'a Inner,
    pub(super) key: &'a Key,
    pub(super) cancel: &'a Arc<Cancel>,
    /// What is wanted of it.
    pub(super) seq: u64,
    pub(super) task: Task,
    pub(super) remote: RemoteBelief,
    pub(super) sent: Vec<Fingerprint>,
    pub(super) doubt: Option<Fingerprint>,
    pub(super) doubts_settled: Settled,
}

/// Runs one operation and puts down what became of it.
pub(super) async fn run(inner: Arc<Inner>, ticket: Ticket, class: Class) {
    inner.know_endpoint().await;
    let mut job = Job {
        inner: &inner,
        key: &ticket.key,
        cancel: &ticket.cancel,
        seq: ticket.seq,
        task: ticket.task,
        remote: ticket.remote.clone(),
        sent: ticket.sent.clone(),
        doubt: None,
        doubts_settled: Settled::No,
    };
    let began = (class == Class::Small).then(|| inner.small.lock().began(inner.now()));
    let done = Box::pin(job.perform(&ticket.desired, ticket.task)).await;
    if let Some(began) = began {
        let (now, pushbacks) = (inner.now(), inner.store.pushbacks());
        let ended = done.ended();
        inner.small.lock().ended(&began, ended, now, pushbacks);
    }
    let report = Report {
        done,
        doubt: job.doubt,
        doubts_settled: job.doubts_settled,
        remote: (job.remote != ticket.remote).then_some(job.remote),
    };
    inner.finish(ticket, report, Some(class)).await;
}

impl Job<'_> {
    async fn perform(&mut self, desired: &Desired, task: Task) -> Done {
        if !self.sent.is_empty() {
            match self.settle_doubts(desired).await {
                Ok(None) => {}
                Ok(Some(done)) => return done,
                Err(error) => return Done::Failed(error.into()),
            }
        }
        if task == Task::Ask {
            return Done::Asked;
        }
        match desired {
            Desired::Content(file) if task == Task::Stream => {
                let layout = growing_layout(&self.inner.settings, &self.inner.capabilities);
                self.multipart(file, layout).await
            }
            Desired::Content(file) => self.content(file).await,
            Desired::Inline { bytes, metadata } => self.inline(bytes, metadata).await,
            Desired::Metadata(metadata) => self.metadata(metadata).await,
            // Removals go in batches: see `remove`.
            Desired::Absent => Done::Cancelled,
        }
    }

    /// Decides what to send of a file, and sends it.
    async fn content(&mut self, file: &Arc<StagedFile>) -> Done {
        let (planned, source) = self.plan(file);
        let planned = match planned {
            Ok(planned) => planned,
            Err(TooLarge) => {
                let context = format!("upload {}", self.key);
                let error = vfs::Error::new(vfs::ErrorKind::FileTooLarge, context);
                return Done::Failed(error.into());
            }
        };
        match planned {
            UploadPlan::Nothing => Done::Nothing { source },
            UploadPlan::Metadata => self.file_metadata(file, source).await,
            UploadPlan::ServerCopy => self.server_copy(file).await,
            UploadPlan::Put => self.put(file).await,
            UploadPlan::Multipart { part_bytes, .. } => {
                self.multipart(file, Layout::equal(part_bytes)).await
            }
        }
    }

    fn plan(&self, file: &StagedFile) -> (Result<UploadPlan, TooLarge>, Source) {
        let state = file.lock();
        let metadata = if state.metadata_is_committed() {
            MetadataState::Committed
        } else {
            MetadataState::Changed
        };
        let planned = plan(&PlanInput {
            key: self.key,
            content: &state.content,
            metadata,
            base: self.base_use(file),
            capabilities: &self.inner.offered(),
            settings: &self.inner.settings,
        });
        let source = Source {
            file: file.id(),
            generation: state.content.generation(),
            metadata_generation: state.metadata_generation,
        };
        (planned, source)
    }

    /// How the base of `file` can be used.
    pub(super) fn base_use(&self, file: &StagedFile) -> BaseUse {
        if file.base_lost.load(Ordering::Relaxed) || !self.inner.conditions.copies() {
            BaseUse::Read
        } else {
            BaseUse::Copy
        }
    }

    async fn inline(&mut self, bytes: &Bytes, metadata: &Metadata) -> Done {
        let size = bytes.len() as u64;
        let payload = Payload::from(bytes.clone());
        let fingerprint = Fingerprint::new(Some(size), metadata);
        self.sending(&fingerprint);
        let write = Write::Put {
            payload: &payload,
            metadata,
        };
        let result = self.inner.write(self.key, &self.remote, &write).await;
        match result {
            Ok(version) => {
                failpoint::pass(failpoint::PUT_ANSWERED);
                Done::Inline { version, size }
            }
            Err(error) => {
                let fingerprint = fingerprint.with_body(&payload);
                match self.refused(error, fingerprint).await {
                    Refused::Ours(version) => Done::Inline { version, size },
                    Refused::Done(done) => done,
                }
            }
        }
    }

    /// Puts down that a body goes out, so that it is recognised after a crash.
    pub(super) fn sending(&self, fingerprint: &Fingerprint) {
        let mut table = self.inner.lock();
        if let Some(state) = table.get_mut(self.key) {
            state.sending = Some(fingerprint.clone());
        }
        // Under the lock: a record of the key that is written meanwhile must not hide it.
        let told = self.inner.files.journal.append(&[Change::Sending {
            key: self.key.as_str().to_owned(),
            sent: fingerprint.record(),
        }]);
        drop(table);
        if let Err(error) = told {
            // It only helps to tell a lost answer from a conflict after a crash.
            tracing::warn!(key = %self.key, %error, "cannot note an upload");
        }
        failpoint::pass(failpoint::UPLOAD_NOTED);
    }

    /// A write was refused or lost: finds out whether it is there all the same.
    pub(super) async fn refused(&mut self, error: store::Error, sent: Fingerprint) -> Refused {
        if error.kind() != store::ErrorKind::Precondition {
            if may_have_landed(error.kind()) {
                self.doubt = Some(sent);
            }
            return Refused::Done(Done::Failed(error.into()));
        }
        self.investigate(&sent).await
    }
}

/// What a refused write means.
#[derive(Debug)]
pub(super) enum Refused {
    /// It is there: its answer was lost before.
    Ours(Version),
    /// This.
    Done(Done),
}
