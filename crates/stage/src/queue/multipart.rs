//! Large files: parts, never torn.
//!
//! The file may be written while its parts go out. What was written meanwhile is sent again, and
//! the parts are joined only if nothing changed since the last of them was read; both are decided
//! under the file's lock. A file that does not hold still is put off; its parts are kept.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudmount_store::{CopySource, ErrorKind, Metadata, PartTag, PutOptions, UploadId};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::condition::Write;
use super::session::Session;
use super::worker::{Done, Job, Refused, Trouble};
use crate::StagedFile;
use crate::failpoint;
use crate::file::Caught;
use crate::fingerprint::{Fingerprint, Source};
use crate::journal::record::Change;
use crate::plan::{PartSource, part_range, part_source};

/// How often changed parts are sent again before the file is put off.
const ROUNDS_MAX: u32 = 5;

/// Why the parts are not all there.
#[derive(Debug)]
enum Stop {
    /// Nobody wants them.
    Cancelled,
    /// The store forgot the upload.
    Gone,
    /// A failure; what is there is kept.
    Trouble(Trouble),
}

impl Job<'_> {
    pub(super) async fn multipart(
        &mut self,
        file: &Arc<StagedFile>,
        part_bytes: u64,
        parts: u16,
    ) -> Done {
        let mut session = match self.resume(file) {
            Some(session) => session,
            None => match self.begin(file, part_bytes, parts).await {
                Ok(Some(session)) => session,
                Ok(None) => return Done::Believe(self.remote.clone()),
                Err(trouble) => return Done::Failed(trouble),
            },
        };
        for _ in 0..ROUNDS_MAX {
            let sent = tokio::select! {
                sent = self.send_parts(file, &mut session) => sent,
                () = self.cancel.cancelled() => Err(Stop::Cancelled),
            };
            match sent {
                Ok(()) => {}
                Err(Stop::Cancelled) => {
                    self.abandon(session);
                    return Done::Cancelled;
                }
                Err(Stop::Gone) => {
                    self.abandon(session);
                    return Done::Believe(self.remote.clone());
                }
                Err(Stop::Trouble(trouble)) => {
                    self.park(file, session);
                    return Done::Failed(trouble);
                }
            }
            let caught = file.lock().content.catch_up(session.size);
            match caught {
                Caught::Nothing { generation } => {
                    return self.complete(file, session, generation).await;
                }
                Caught::Ranges(ranges) => forget_parts(&mut session, &ranges),
                Caught::Size => {
                    self.abandon(session);
                    return Done::Believe(self.remote.clone());
                }
            }
        }
        self.park(file, session);
        Done::Postponed
    }

    /// The upload that an earlier try left, if it still fits the file.
    fn resume(&self, file: &Arc<StagedFile>) -> Option<Session> {
        let mut session = self.inner.lock().sessions.remove(&file.id())?;
        let caught = {
            let mut state = file.lock();
            let fits = session.key == *self.key
                && state.content.base() == session.base.as_ref()
                && session.base_use == self.base_use(file);
            if fits {
                state.content.catch_up(session.size)
            } else {
                Caught::Size
            }
        };
        match caught {
            Caught::Nothing { .. } => Some(session),
            Caught::Ranges(ranges) => {
                forget_parts(&mut session, &ranges);
                Some(session)
            }
            Caught::Size => {
                self.abandon(session);
                None
            }
        }
    }

    /// Starts an upload. `None`: the plan is outdated by now.
    async fn begin(
        &self,
        file: &Arc<StagedFile>,
        part_bytes: u64,
        parts: u16,
    ) -> Result<Option<Session>, Trouble> {
        let (metadata, metadata_generation) = {
            let state = file.lock();
            (state.metadata.clone(), state.metadata_generation)
        };
        let upload = self.start_upload(metadata.clone()).await?;
        let mut session = Session {
            key: self.key.clone(),
            upload,
            size: 0,
            part_bytes,
            parts: vec![None; usize::from(parts)],
            is_mended: false,
            metadata,
            metadata_generation,
            base: None,
            base_use: self.base_use(file),
        };
        {
            let mut state = file.lock();
            let size = state.content.size();
            if size.div_ceil(part_bytes) == u64::from(parts) {
                session.size = size;
                session.base = state.content.base().cloned();
                state.content.begin_upload();
                return Ok(Some(session));
            }
        }
        self.abandon(session);
        Ok(None)
    }

    /// Starts an upload, and has the journal remember it until it ends.
    pub(super) async fn start_upload(&self, metadata: Metadata) -> Result<UploadId, Trouble> {
        let options = PutOptions {
            metadata,
            ..PutOptions::default()
        };
        let upload = self.inner.store.multipart_start(self.key, &options).await?;
        failpoint::pass(failpoint::PARTS_BEGUN);
        self.inner
            .lock()
            .uploads
            .insert(upload.clone(), self.key.clone());
        self.inner.files.journal.append(&[Change::UploadStarted {
            key: self.key.as_str().to_owned(),
            upload: upload.0.clone(),
        }])?;
        failpoint::pass(failpoint::PARTS_NOTED);
        Ok(upload)
    }

    /// Sends the parts that are not there. After a failure it starts no new part, and keeps those
    /// that still arrive.
    async fn send_parts(&self, file: &Arc<StagedFile>, session: &mut Session) -> Result<(), Stop> {
        file.uploaded.store(session.bytes_done(), Ordering::Relaxed);
        let missing: Vec<u16> = (0..u16::MAX)
            .zip(&session.parts)
            .filter_map(|(index, part)| part.is_none().then_some(index))
            .collect();
        let mut missing = missing.into_iter();
        let mut stop = None;
        let mut arrived: Vec<(u16, PartTag)> = Vec::new();
        {
            let session = &*session;
            let mut running = FuturesUnordered::new();
            loop {
                while stop.is_none()
                    && running.len() < usize::from(self.inner.settings.parts_max.max(1))
                    && let Some(index) = missing.next()
                {
                    running
                        .push(async move { (index, self.send_part(file, session, index).await) });
                }
                match running.next().await {
                    None => break,
                    Some((index, Ok(tag))) => {
                        let range = part_range(index, session.part_bytes, session.size);
                        file.uploaded
                            .fetch_add(range.end - range.start, Ordering::Relaxed);
                        arrived.push((index, tag));
                    }
                    Some((_, Err(reason))) => stop = stop.or(Some(reason)),
                }
            }
        }
        for (index, tag) in arrived {
            session.parts[usize::from(index)] = Some(tag);
        }
        stop.map_or(Ok(()), Err)
    }

    async fn send_part(
        &self,
        file: &Arc<StagedFile>,
        session: &Session,
        index: u16,
    ) -> Result<PartTag, Stop> {
        let range = part_range(index, session.part_bytes, session.size);
        let number = index + 1;
        let capabilities = &self.inner.capabilities;
        let source = part_source(&file.lock().content, &range, session.base_use, capabilities);
        if let (PartSource::BaseCopy, Some(base)) = (source, &session.base) {
            let from = CopySource {
                key: base.key.clone(),
                if_match: Some(base.version.clone()),
            };
            let copied = (self.inner.store)
                .multipart_copy(self.key, &session.upload, number, from, range.clone())
                .await;
            match copied {
                Ok(tag) => return Ok(tag),
                Err(error) => match error.kind() {
                    // The bytes can be read and sent, whatever the reason was.
                    ErrorKind::Unsupported | ErrorKind::InvalidRequest => {
                        self.inner.conditions.refuse_copies();
                    }
                    ErrorKind::NotFound | ErrorKind::Precondition => {
                        file.base_lost.store(true, Ordering::Relaxed);
                    }
                    _ => return Err(Stop::Trouble(error.into())),
                },
            }
        }
        let Some(_room) = self.inner.bodies.for_part(range.end - range.start).await else {
            return Err(Stop::Cancelled);
        };
        let fetched = self
            .fetch_missing(file, range.clone())
            .await
            .map_err(Stop::Trouble)?;
        let payload = match self.part(file, range.clone(), fetched).await {
            Ok(Some(payload)) => payload,
            // Cut and extended between the two: it will be caught, so any bytes do.
            Ok(None) => self
                .part(file, range.clone(), Vec::new())
                .await
                .ok()
                .flatten()
                .unwrap_or_default(),
            Err(trouble) => return Err(Stop::Trouble(trouble)),
        };
        let sent = self
            .inner
            .store
            .multipart_put(self.key, &session.upload, number, payload)
            .await;
        match sent {
            Ok(tag) => {
                failpoint::pass(failpoint::PART_SENT);
                let file = Arc::clone(file);
                let dropped = self.inner.disk.run(move || {
                    file.drop_pages(&range);
                    Ok(())
                });
                // It only spares memory.
                dropped.await.unwrap_or_default();
                Ok(tag)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Stop::Gone),
            // A server that passes parts on as they come cannot take one back: all begins again.
            Err(error) if error.kind() == ErrorKind::Unsupported && session.is_mended => {
                Err(Stop::Gone)
            }
            Err(error) => Err(Stop::Trouble(error.into())),
        }
    }

    /// Joins the parts, which are exactly that generation.
    async fn complete(
        &mut self,
        file: &Arc<StagedFile>,
        session: Session,
        generation: u64,
    ) -> Done {
        failpoint::pass(failpoint::PARTS_SENT);
        let parts: Vec<PartTag> = session.parts.iter().flatten().cloned().collect();
        let source = Source {
            file: file.id(),
            generation,
            metadata_generation: session.metadata_generation,
        };
        let size = session.size;
        let mut sent = Fingerprint::new(Some(size), &session.metadata).with_parts(&parts);
        sent.source = Some(source);
        self.sending(&sent);
        let write = Write::Complete {
            upload: &session.upload,
            parts: &parts,
        };
        let error = match self.inner.write(self.key, &self.remote, &write).await {
            Ok(version) => {
                failpoint::pass(failpoint::PARTS_JOINED);
                self.forget(&session.upload);
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
                self.abandon(session);
                Done::Content {
                    source,
                    version,
                    size,
                }
            }
            Refused::Done(Done::Conflict { .. }) if kind == ErrorKind::NotFound => {
                self.abandon(session);
                Done::Believe(self.remote.clone())
            }
            Refused::Done(done) => {
                let is_kept = matches!(done, Done::Failed(_) | Done::Believe(_))
                    && !matches!(kind, ErrorKind::NotFound | ErrorKind::InvalidRequest);
                if is_kept {
                    self.park(file, session);
                } else {
                    self.abandon(session);
                }
                done
            }
        }
    }

    /// Keeps an upload for the next try.
    fn park(&self, file: &Arc<StagedFile>, session: Session) {
        let mut table = self.inner.lock();
        if self.cancel.is_cancelled() {
            table.abandoned.push((session.key, session.upload));
        } else {
            table.sessions.insert(file.id(), session);
        }
    }

    /// Gives an upload up; it is aborted in the background.
    pub(super) fn abandon(&self, session: Session) {
        self.abandon_upload(session.upload);
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

fn forget_parts(session: &mut Session, ranges: &crate::ranges::RangeSet) {
    for range in ranges.iter() {
        for index in session.touched(&range) {
            session.is_mended |= session.parts[index].take().is_some();
        }
    }
}
