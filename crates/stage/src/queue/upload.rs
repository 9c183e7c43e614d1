//! Whole files: one body, or a copy within the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudmount_store::{CopySource, Error, ErrorKind};
use cloudmount_vfs as vfs;

use super::body::base_lost;
use super::condition::Write;
use super::worker::{Done, Job, Refused};
use crate::desired::Desired;
use crate::failpoint;
use crate::file::Standing;
use crate::fingerprint::{Fingerprint, Source};
use crate::journal::record::Change;
use crate::key_state::KeyState;
use crate::room::Turn;
use crate::stage::Inner;
use crate::{Base, StagedFile};

impl Job<'_> {
    /// One body, taken under the file's lock: never torn.
    pub(super) async fn put(&mut self, file: &Arc<StagedFile>) -> Done {
        let Some(_room) = self.inner.bodies.for_put(file.size()).await else {
            return Done::Cancelled;
        };
        let size_max = self.put_bytes_max();
        let fetched = match self.fetch_missing(file, 0..file.size()).await {
            Ok(fetched) => fetched,
            Err(trouble) => return Done::Failed(trouble),
        };
        if let Err(error) = self.read_tags(file).await {
            return Done::Failed(error.into());
        }
        let taken = self.snapshot(file, fetched.clone(), size_max).await;
        let taken = match taken {
            Ok(Some(taken)) => taken,
            // It grew beyond one body, or was cut and extended: planned anew.
            Ok(None) => return Done::Believe(self.remote.clone()),
            Err(trouble) => return Done::Failed(trouble),
        };
        let mut sent = Fingerprint::new(Some(taken.size), &taken.metadata);
        sent.source = Some(taken.source);
        self.sending(&sent);
        let write = Write::Put {
            payload: &taken.payload,
            metadata: &taken.metadata,
        };
        let committed = |version| Done::Content {
            source: taken.source,
            version,
            size: taken.size,
        };
        let error = match self.inner.write(self.key, &self.remote, &write).await {
            Ok(version) => {
                failpoint::pass(failpoint::PUT_ANSWERED);
                return committed(version);
            }
            Err(error) => error,
        };
        match self.refused(error, sent.with_body(&taken.payload)).await {
            Refused::Ours(version) => committed(version),
            Refused::Done(done) => {
                if done.theirs().is_some() {
                    // Theirs replaced the base: what was read of it is kept, to go elsewhere.
                    for (offset, bytes) in &fetched {
                        if let Err(error) = file.fill_as(*offset, bytes, Turn::Must) {
                            return Done::Failed(error.into());
                        }
                    }
                }
                done
            }
        }
    }

    /// Largest file that goes out as one body.
    fn put_bytes_max(&self) -> u64 {
        let capabilities = &self.inner.capabilities;
        if capabilities.parts_max < 2 {
            return capabilities.part_bytes_max;
        }
        (self.inner.settings.multipart_bytes_min.saturating_sub(1)).min(capabilities.part_bytes_max)
    }

    /// The whole base under another key, with the file's metadata.
    pub(super) async fn server_copy(&mut self, file: &Arc<StagedFile>) -> Done {
        let (base, metadata, source) = {
            let mut state = file.lock();
            let Some(base) = state.content.base().cloned() else {
                return Done::Postponed;
            };
            if !state.content.is_whole_base() {
                return Done::Believe(self.remote.clone());
            }
            let source = Source {
                file: file.id(),
                generation: state.content.begin_upload(),
                metadata_generation: state.metadata_generation,
            };
            (base, state.metadata.clone(), source)
        };
        let from = CopySource {
            key: base.key.clone(),
            if_match: Some(base.version.clone()),
        };
        let mut sent = Fingerprint::new(Some(base.size), &metadata);
        sent.source = Some(source);
        sent.tag = Some(base.version.as_str().trim_matches('"').to_ascii_lowercase());
        self.sending(&sent);
        let write = Write::Copy {
            source: &from,
            size: base.size,
            metadata: &metadata,
        };
        let committed = |version| Done::Content {
            source,
            version,
            size: base.size,
        };
        match self.inner.write(self.key, &self.remote, &write).await {
            Ok(version) => {
                failpoint::pass(failpoint::COPY_ANSWERED);
                committed(version)
            }
            Err(error) => match self.believe_what_is_left(&error) {
                ErrorKind::Unsupported => {
                    self.inner.refuse_copies().await;
                    Done::Believe(self.remote.clone())
                }
                ErrorKind::TooLarge => {
                    self.inner.conditions.refuse_copies_of(base.size);
                    Done::Believe(self.remote.clone())
                }
                ErrorKind::NotFound | ErrorKind::Precondition => {
                    match self.check_source(file, &base, error).await {
                        // Not the source: what is there already, or an upload that a try before joined.
                        Ok(_) => match self.investigate(&self.as_sent(sent)).await {
                            Refused::Ours(version) => committed(version),
                            Refused::Done(done) => done,
                        },
                        Err(done) => done,
                    }
                }
                _ => match self.refused(error, self.as_sent(sent)).await {
                    Refused::Ours(version) => committed(version),
                    Refused::Done(done) => done,
                },
            },
        }
    }

    /// After a copy that met something unexpected: gives the error back if it was not the source.
    async fn check_source(
        &self,
        file: &Arc<StagedFile>,
        base: &Base,
        error: Error,
    ) -> Result<Error, Done> {
        match self.inner.store.head(&base.key).await {
            Ok(there) if there.version == base.version => Ok(error),
            Ok(there) => {
                // Someone wrote it just before the rename. Nobody wrote it here, so the rename takes
                // what is there: as if they had been a little faster.
                let taken = Base {
                    key: base.key.clone(),
                    version: there.version,
                    size: there.size,
                };
                if self.inner.adopt(file, taken) {
                    return Err(Done::Believe(self.remote.clone()));
                }
                Err(self.without_base(file, base, error).await)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(self.without_base(file, base, error).await)
            }
            Err(error) => Err(Done::Failed(error.into())),
        }
    }

    /// The base cannot be copied any more: what is here of it, or of its former version, is sent.
    async fn without_base(&self, file: &Arc<StagedFile>, base: &Base, error: Error) -> Done {
        let has_all = file.fill_plan().is_empty();
        let start = 0..base.size.min(1);
        if !has_all && !start.is_empty() && self.inner.read_base(base, &start).await.is_ok() {
            // What it was can still be read, and so be sent.
            file.base_lost.store(true, Ordering::Relaxed);
            return Done::Believe(self.remote.clone());
        }
        let trouble = base_lost(file, error);
        if has_all {
            return Done::Believe(self.remote.clone());
        }
        Done::Failed(trouble)
    }
}

impl Inner {
    /// A file that is nothing but an object becomes what someone else put in its place; says whether it did. What was
    /// submitted of it is that, and the journal knows it before anything of it can be changed.
    fn adopt(&self, file: &Arc<StagedFile>, base: Base) -> bool {
        let mut table = self.lock();
        let mut inside = file.lock();
        let before = inside.content.generation();
        inside.content.adopt_base(base);
        let (key, after) = (inside.key.clone(), inside.content.generation());
        if before == after {
            return false;
        }
        if inside.standing == Standing::Pending {
            self.note(&[Change::File(inside.record(file.id()))]);
        }
        drop(inside);
        let is_it = |state: &&mut KeyState| {
            let is_wanted =
                matches!(&state.desired, Desired::Content(wanted) if Arc::ptr_eq(wanted, file));
            is_wanted && state.submitted == Some(before)
        };
        if let Some(state) = table.get_mut(&key).filter(is_it) {
            state.submitted = Some(after);
        }
        true
    }
}

/// Whether a failure on this side needs a person.
pub(super) const fn is_permanent(kind: vfs::ErrorKind) -> bool {
    matches!(
        kind,
        vfs::ErrorKind::Stale | vfs::ErrorKind::FileTooLarge | vfs::ErrorKind::NotFound
    )
}
