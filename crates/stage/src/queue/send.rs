//! Sending parts: which go next, how many at once, and when all of the file is there.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_store::{CopySource, ErrorKind, PartTag};
use cloudmount_vfs::Instant;
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::body::is_gone;
use super::multipart::Stop;
use super::pace::Ended;
use super::pick::postpone;
use super::session::{Head, Session};
use super::worker::{Job, Task};
use crate::StagedFile;
use crate::desired::Desired;
use crate::failpoint;
use crate::file::{Standing, Stream, Watch};
use crate::plan::{PartSource, part_source};
use crate::table::Flow;

/// How often parts that changed are sent again at the end before the file is put off.
const ROUNDS_MAX: u32 = 5;

/// Parts of a growing file that may be sent in vain: who writes back and forth is waited for.
const STREAM_MENDS_MAX: usize = 8;

/// When Linux writes back what lies in its page cache by itself (`vm.dirty_expire_centisecs`, 30 s).
const WRITTEN_BACK: Duration = Duration::from_secs(30);

/// What the parts are sent for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Goal {
    /// To have as much as possible there when the file is closed. Looked at again at that time.
    Stream { until: Option<Instant> },
    /// To be joined, not before that time.
    Finish { at: Instant },
    /// Nobody may go on for now.
    Rest,
    /// The file went elsewhere before it was submitted.
    Moved,
}

/// What is to be done next.
struct Step {
    goal: Goal,
    /// Parts to send.
    picked: Vec<(u16, Range<u64>)>,
    /// The generation that is all there, if one is.
    whole: Option<u64>,
}

impl Job<'_> {
    /// Sends the parts that are not there, until all of the file is; gives the generation that the
    /// parts have. After a failure it starts no new part, and keeps those that still arrive.
    pub(super) async fn send(
        &self,
        file: &Arc<StagedFile>,
        session: &mut Session,
    ) -> Result<u64, Stop> {
        let head = Arc::clone(&session.head);
        let mut running = FuturesUnordered::new();
        let mut mends = Mends::default();
        let mut stop = None;
        let began = self.inner.now();
        let mut freeing = FuturesUnordered::new();
        loop {
            freeing.extend(self.free_room(file, session));
            let room = usize::from(self.inner.settings.parts_max.max(1)) - running.len();
            let room = if stop.is_some() { 0 } else { room };
            let step = self.step(file, session, room, &mut mends)?;
            for (index, range) in step.picked {
                let (job, head) = (self, Arc::clone(&head));
                let is_mended = session.parts.is_mended();
                running.push(async move {
                    let sent = job.send_part(file, &head, index, &range, is_mended).await;
                    if sent.is_ok() {
                        job.forget_pages(file, &range, began).await;
                    }
                    (index, range, sent)
                });
            }
            file.note_sending(running.len());
            if running.is_empty() {
                if let Some(stop) = stop {
                    return Err(stop);
                }
                if let Some(generation) = self.may_join(&step.goal, step.whole)? {
                    return Ok(generation);
                }
            }
            let until = match step.goal {
                Goal::Stream { until } => until,
                Goal::Finish { at } => step.whole.map(|_| at),
                Goal::Rest | Goal::Moved => None,
            };
            let timer = async {
                match until {
                    Some(at) => {
                        let wait = at.saturating_since(self.inner.now());
                        self.inner.clock.sleep(wait).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                Some((index, range, sent)) = running.next() => match sent {
                    Ok(tag) => {
                        file.uploaded.fetch_add(range.end - range.start, Ordering::Relaxed);
                        self.inner.files.room.note_progress();
                        session.parts.arrived(index, tag);
                    }
                    Err(reason) => {
                        session.parts.failed(index);
                        stop = stop.or(Some(reason));
                    }
                },
                Some(()) = freeing.next() => {}
                () = self.cancel.cancelled() => return Err(Stop::Cancelled),
                () = self.cancel.poked() => {}
                () = timer => {}
            }
        }
    }

    /// Follows the file, and picks what to send of it.
    fn step(
        &self,
        file: &Arc<StagedFile>,
        session: &mut Session,
        room: usize,
        mends: &mut Mends,
    ) -> Result<Step, Stop> {
        let goal = self.goal(file);
        if goal == Goal::Moved {
            return Err(Stop::Cancelled);
        }
        let mut state = file.lock();
        let caught = (state.content.catch_up(session.head.number)).ok_or(Stop::Gone)?;
        let parts = &mut session.parts;
        let lost = parts.adapt(caught.size, caught.kept, &caught.changed);
        let limit = usize::from(self.inner.capabilities.parts_max);
        if parts.count() > limit || caught.size < self.inner.settings.multipart_bytes_min {
            return Err(Stop::Gone);
        }
        if lost > 0 && mends.are_too_many(&goal, lost) {
            if matches!(goal, Goal::Stream { .. }) && !state.is_away() {
                state.stream = Stream::Refused;
                return Err(Stop::Later);
            }
            return Err(Stop::Restless);
        }
        file.uploaded.store(parts.bytes_sent(), Ordering::Relaxed);
        let content = &state.content;
        let is_ready = |range: &Range<u64>| match goal {
            Goal::Finish { .. } => true,
            // The last part may still grow.
            Goal::Stream { .. } => range.end < caught.size && content.dirty().contains(range),
            Goal::Rest | Goal::Moved => false,
        };
        let picked = std::iter::from_fn(|| parts.take(is_ready))
            .take(room)
            .collect();
        if matches!(goal, Goal::Stream { .. }) {
            state.watch = Some(Watch {
                size: parts.next_end(),
                cancel: Arc::clone(self.cancel),
            });
        }
        Ok(Step {
            goal,
            whole: parts.tags().map(|_| caught.generation),
            picked,
        })
    }

    /// What the file is wanted for.
    fn goal(&self, file: &Arc<StagedFile>) -> Goal {
        let now = self.inner.now();
        let mut table = self.inner.lock();
        let flow = table.flow;
        let (is_recalled, is_away) = {
            let state = file.lock();
            (state.is_recalled, state.is_away())
        };
        if let Some(state) = table
            .get_mut(self.key)
            .filter(|state| state.wants(self.seq))
        {
            postpone(state, self.inner, now);
            let is_former = state.is_former(self.seq);
            return match (state.submitted, state.idle) {
                _ if is_former || is_recalled && flow == Flow::Running => Goal::Finish { at: now },
                (Some(_), None) => Goal::Finish { at: state.due },
                (Some(_), Some(_)) if state.due <= now => Goal::Finish { at: now },
                (None, _) | (Some(_), Some(_)) if flow == Flow::Paused => Goal::Rest,
                (Some(_), Some(_)) => Goal::Stream {
                    until: Some(state.due),
                },
                (None, _) => Goal::Stream { until: None },
            };
        }
        // It was renamed: if it was submitted, it ends here first, and is copied from here.
        let (key, standing) = {
            let state = file.lock();
            (state.key.clone(), state.standing)
        };
        let is_submitted = table.get(&key).and_then(|state| state.aim()).is_some_and(
            |(desired, _)| matches!(desired, Desired::Content(aim) if Arc::ptr_eq(aim, file)),
        );
        if standing == Standing::Pending && (is_submitted || is_away) {
            Goal::Finish { at: now }
        } else {
            Goal::Moved
        }
    }

    /// The generation to join the parts as, if this is the time. A file that began while it was
    /// being written has not asked yet whether the object that it replaces is free.
    fn may_join(&self, goal: &Goal, whole: Option<u64>) -> Result<Option<u64>, Stop> {
        let now = self.inner.now();
        match (goal, whole) {
            (Goal::Finish { at }, Some(generation)) if *at <= now => {
                let mut table = self.inner.lock();
                let is_wanted = table
                    .get(self.key)
                    .is_some_and(|state| state.wants(self.seq));
                if self.task == Task::Stream && is_wanted && table.others_need(self.inner, self.key)
                {
                    return Err(Stop::Later);
                }
                Ok(Some(generation))
            }
            _ => Ok(None),
        }
    }

    async fn send_part(
        &self,
        file: &Arc<StagedFile>,
        head: &Head,
        index: u16,
        range: &Range<u64>,
        is_mended: bool,
    ) -> Result<PartTag, Stop> {
        let number = index + 1;
        let offered = self.inner.offered();
        let source = part_source(&file.lock().content, range, head.base_use, &offered);
        if let (PartSource::BaseCopy, Some(base)) = (source, &head.base) {
            let from = CopySource {
                key: base.key.clone(),
                if_match: Some(base.version.clone()),
            };
            let to = (self.key, &head.upload, number);
            let copied = self.inner.copy_part(to, &from, range.clone()).await;
            match copied {
                Ok(tag) => return Ok(tag),
                Err(error) => match error.kind() {
                    // The bytes can be read and sent, whatever the reason was.
                    ErrorKind::Unsupported | ErrorKind::InvalidRequest => {
                        self.inner.refuse_part_copies().await;
                    }
                    gone if is_gone(gone) => {
                        file.base_lost.store(true, Ordering::Relaxed);
                    }
                    _ => return Err(Stop::Trouble(error.into())),
                },
            }
        }
        let Some(mut place) = self.inner.parts.enter(&*self.inner.clock).await else {
            return Err(Stop::Cancelled);
        };
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
            .multipart_put(self.key, &head.upload, number, payload)
            .await;
        let ended = match &sent {
            Ok(_) => Ended::Moved(range.end - range.start),
            Err(error) => Ended::failed(error.kind()),
        };
        place.ended(ended, self.inner.store.pushbacks());
        match sent {
            Ok(tag) => {
                failpoint::pass(failpoint::PART_SENT);
                Ok(tag)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Stop::Gone),
            // A server that passes parts on as they come cannot take one back: all begins again.
            Err(error) if error.kind() == ErrorKind::Unsupported && is_mended => Err(Stop::Gone),
            Err(error) => Err(Stop::Trouble(error.into())),
        }
    }

    /// Gives the memory of a part that was sent back to the machine. Pages that the disk does not have
    /// yet it would have to write first: an upload that is done before they are written back of
    /// themselves is spared that, because the file goes with its last part.
    async fn forget_pages(&self, file: &Arc<StagedFile>, range: &Range<u64>, began: Instant) {
        if self.inner.now().saturating_since(began) < WRITTEN_BACK {
            return;
        }
        let (file, range) = (Arc::clone(file), range.clone());
        let dropped = self.inner.disk.run(move || {
            file.drop_pages(&range);
            Ok(())
        });
        // It only spares memory.
        dropped.await.unwrap_or_default();
    }
}

/// Parts that had to go again.
#[derive(Debug, Default)]
struct Mends {
    /// While the file grew, in parts.
    streamed: usize,
    /// At the end, in rounds.
    rounds: u32,
}

impl Mends {
    fn are_too_many(&mut self, goal: &Goal, lost: usize) -> bool {
        if matches!(goal, Goal::Finish { .. }) {
            self.rounds += 1;
            self.rounds > ROUNDS_MAX
        } else {
            self.streamed += lost;
            self.streamed > STREAM_MENDS_MAX
        }
    }
}
