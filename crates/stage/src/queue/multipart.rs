//! Large files: parts, never torn.
//!
//! The file may be written while its parts go out. What was written meanwhile is sent again, and
//! the parts are joined only if nothing changed since the last of them was read; both are decided
//! under the file's lock. A file that does not hold still is put off; its parts are kept.
//!
//! A file that is still being written may begin: its whole parts go out as they fill, and it ends
//! as any other once it is submitted (see `stream`).

use std::sync::Arc;

use cloudmount_store::{ErrorKind, Metadata, PartTag, UploadId};
use cloudmount_vfs as vfs;

use super::condition::Write;
use super::parts::Parts;
use super::session::{Head, Session};
use super::worker::{Done, Job, Refused, Trouble};
use crate::failpoint;
use crate::fingerprint::{Fingerprint, Source};
use crate::plan::Layout;
use crate::{ConflictPolicy, StagedFile};

/// Why the parts are not all there.
#[derive(Debug)]
pub(super) enum Stop {
    /// Nobody wants them.
    Cancelled,
    /// The upload cannot go on: the store forgot it, or the file is another by now.
    Gone,
    /// The file does not hold still.
    Restless,
    /// Nothing more may be done for now; what is there is kept.
    Later,
    /// A failure; what is there is kept.
    Trouble(Trouble),
}

impl Job<'_> {
    /// Sends a file in parts, cut as in `layout` if no earlier try has begun.
    pub(super) async fn multipart(&mut self, file: &Arc<StagedFile>, layout: Layout) -> Done {
        let mut session = match self.resume(file) {
            Some(session) => session,
            None if file.is_away() => return Done::Failed(self.away_lost()),
            None => match self.begin(file, layout).await {
                Ok(session) => session,
                Err(trouble) => return Done::Failed(trouble),
            },
        };
        match self.send(file, &mut session).await {
            Ok(generation) => self.complete(file, session, generation).await,
            Err(Stop::Cancelled) => {
                self.abandon(&session);
                Done::Cancelled
            }
            Err(Stop::Gone) if file.is_away() => {
                self.abandon(&session);
                Done::Failed(self.away_lost())
            }
            Err(Stop::Gone) => {
                self.abandon(&session);
                Done::Believe(self.remote.clone())
            }
            Err(Stop::Restless) => {
                self.park(file, session);
                Done::Postponed
            }
            Err(Stop::Later) => {
                self.park(file, session);
                Done::Later
            }
            Err(Stop::Trouble(trouble)) => {
                self.park(file, session);
                Done::Failed(trouble)
            }
        }
    }

    /// The upload that an earlier try left, if it still fits the file.
    fn resume(&self, file: &Arc<StagedFile>) -> Option<Session> {
        let session = self.inner.lock().sessions.remove(&file.id())?;
        let head = &session.head;
        let fits = {
            let state = file.lock();
            let is_same = head.key == *self.key && state.content.upload_number() == head.number;
            let is_made_alike =
                state.content.base() == head.base.as_ref() && head.base_use == self.base_use(file);
            // What is away cannot be sent again, and all that is sent is right.
            is_same && (is_made_alike || state.is_away())
        };
        if fits {
            return Some(session);
        }
        self.abandon(&session);
        None
    }

    /// Starts an upload.
    async fn begin(&self, file: &Arc<StagedFile>, layout: Layout) -> Result<Session, Trouble> {
        self.read_tags(file).await?;
        let (metadata, metadata_generation) = {
            let state = file.lock();
            (state.metadata.clone(), state.metadata_generation)
        };
        let upload = self.start_upload(metadata.clone()).await?;
        let mut state = file.lock();
        state.content.begin_upload();
        let head = Head {
            key: self.key.clone(),
            upload,
            number: state.content.upload_number(),
            metadata,
            metadata_generation,
            base: state.content.base().cloned(),
            base_use: self.base_use(file),
        };
        Ok(Session {
            head: Arc::new(head),
            parts: Parts::new(layout, state.content.size()),
        })
    }

    /// Starts an upload, and has the journal remember it until it ends.
    pub(super) async fn start_upload(&self, metadata: Metadata) -> Result<UploadId, Trouble> {
        self.inner.begin_upload(self.key, metadata).await
    }

    /// Joins the parts, which are exactly that generation.
    async fn complete(
        &mut self,
        file: &Arc<StagedFile>,
        session: Session,
        generation: u64,
    ) -> Done {
        failpoint::pass(failpoint::PARTS_SENT);
        let parts: Vec<PartTag> = session.parts.tags().unwrap_or_default();
        let source = Source {
            file: file.id(),
            generation,
            metadata_generation: session.head.metadata_generation,
        };
        let size = session.parts.size();
        let mut sent = Fingerprint::new(Some(size), &session.head.metadata).with_parts(&parts);
        sent.source = Some(source);
        sent.upload = Some(session.head.upload.clone());
        self.sending(&sent);
        let write = Write::Complete {
            upload: &session.head.upload,
            parts: &parts,
        };
        let error = match self.inner.write(self.key, &self.remote, &write).await {
            Ok(version) => {
                failpoint::pass(failpoint::PARTS_JOINED);
                self.forget(&session.head.upload);
                return Done::Content {
                    source,
                    version,
                    size,
                };
            }
            Err(error) => error,
        };
        // An upload that is gone may have been joined by a try whose answer was lost.
        let kind = error.kind();
        let refused = match kind {
            ErrorKind::NotFound => self.investigate(&sent).await,
            _ => self.refused(error, sent).await,
        };
        match refused {
            Refused::Ours(version) => {
                self.abandon(&session);
                Done::Content {
                    source,
                    version,
                    size,
                }
            }
            Refused::Done(Done::Conflict { .. })
                if kind == ErrorKind::NotFound && !file.is_away() =>
            {
                self.abandon(&session);
                Done::Believe(self.remote.clone())
            }
            Refused::Done(done) if file.is_away() => {
                self.not_joined(file, session, kind, done).await
            }
            Refused::Done(done) => {
                let is_kept = matches!(done, Done::Failed(_) | Done::Believe(_))
                    && !matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidRequest);
                if is_kept {
                    self.park(file, session);
                } else {
                    self.abandon(&session);
                }
                done
            }
        }
    }

    /// The parts could not be joined, and some are nowhere else: they are kept. Nor can they be joined
    /// under another name: if someone else made an object there, that one has to move.
    async fn not_joined(
        &mut self,
        file: &Arc<StagedFile>,
        session: Session,
        kind: ErrorKind,
        done: Done,
    ) -> Done {
        if kind == ErrorKind::NotFound {
            self.abandon(&session);
            return Done::Failed(self.away_lost());
        }
        let done = match (done, self.inner.settings.conflict) {
            (Done::Conflict { theirs }, ConflictPolicy::KeepBoth) => {
                self.put_theirs_beside(&theirs).await
            }
            (Done::Conflict { .. }, ConflictPolicy::Fail) => Done::Failed(self.name_taken()),
            (done, _) => done,
        };
        self.park(file, session);
        done
    }

    /// Someone else has the name, and only a person may decide.
    pub(super) fn name_taken(&self) -> Trouble {
        let context = format!(
            "upload {}: someone else made an object of that name; remove or rename that one in the bucket",
            self.key
        );
        vfs::Error::new(vfs::ErrorKind::Stale, context).into()
    }

    /// Parts that are nowhere else are gone.
    fn away_lost(&self) -> Trouble {
        let context = format!(
            "upload {}: its parts in the bucket, which were nowhere else, are gone",
            self.key
        );
        vfs::Error::new(vfs::ErrorKind::NotFound, context).into()
    }

    /// Keeps an upload for the next try.
    fn park(&self, file: &Arc<StagedFile>, mut session: Session) {
        session.parts.interrupted();
        let mut table = self.inner.lock();
        if self.cancel.is_cancelled() {
            table.abandoned.push(session.names());
        } else {
            table.sessions.insert(file.id(), session);
        }
    }

    /// Gives an upload up; it is aborted in the background.
    fn abandon(&self, session: &Session) {
        self.abandon_upload(session.head.upload.clone());
    }

    pub(super) fn abandon_upload(&self, upload: UploadId) {
        self.inner.lock().abandoned.push((self.key.clone(), upload));
        self.inner.freed.wake();
    }

    /// The upload is an object now.
    pub(super) fn forget(&self, upload: &UploadId) {
        self.inner.forget_upload(upload);
    }
}
