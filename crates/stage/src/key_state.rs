//! [`KeyState`]: what is wanted under one key, what is believed to be there, and how far it is.
//!
//! Laws: at most one remote operation runs per key; whatever happens to the desired state
//! meanwhile, the next operation starts from what the last one left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cloudmount_store::{Key, Metadata, Version};
use cloudmount_vfs::{ErrorKind, Instant};
use tokio::sync::Notify;

use crate::desired::{Desired, PendingView, Phase};
use crate::file::Standing;
use crate::fingerprint::Fingerprint;
use crate::journal::record::{
    BeliefRecord, BesideRecord, Change, DesiredRecord, KeyRecord, MetadataRecord,
};
use crate::{Base, RemoteBelief, StageSettings, StagedFile};

/// Fingerprints remembered per key: each is a body whose answer was lost. More than a few mean a
/// dead network, where the oldest ones never arrived.
const SENT_MAX: usize = 8;

/// Most doublings of the first wait, so that the shift cannot overflow.
const DOUBLINGS_MAX: u32 = 16;

/// How one key stands.
#[derive(Clone, Debug)]
pub(crate) struct KeyState {
    pub(crate) remote: RemoteBelief,
    /// Bodies that went out and may or may not have arrived.
    pub(crate) sent: Vec<Fingerprint>,
    /// The body that goes out now.
    pub(crate) sending: Option<Fingerprint>,
    pub(crate) desired: Desired,
    /// Raised with each new desired state.
    pub(crate) seq: u64,
    /// The generation that was submitted last (0 for what is no file); `None`: an open file.
    pub(crate) submitted: Option<u64>,
    /// Of a file that was never submitted: what was wanted before it came, and still is until it
    /// is submitted.
    pub(crate) former: Option<Former>,
    /// Where someone else's object is copied to, so that ours may have the key.
    pub(crate) beside: Option<Beside>,
    pub(crate) due: Instant,
    /// When it was first submitted since the bucket last had all of it.
    pub(crate) waits_since: Option<Instant>,
    /// Wait for this long a pause in the changes of a file that stays open.
    pub(crate) idle: Option<Idle>,
    /// Failures in a row.
    pub(crate) attempts: u32,
    /// Wrong beliefs that were corrected in a row, since the last failure.
    pub(crate) corrections: u32,
    pub(crate) failure: Option<Failure>,
    pub(crate) in_flight: Option<Arc<Cancel>>,
    pub(crate) place: Place,
    /// Somebody waits: holds of other files are ended at once.
    pub(crate) urgency: Urgency,
}

/// What was wanted under a key before a file was opened there that is not submitted yet.
#[derive(Clone, Debug)]
pub(crate) struct Former {
    pub(crate) desired: Desired,
    /// The sequence number that it had.
    pub(crate) seq: u64,
}

/// The copy of an object of someone else, whose key ours takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Beside {
    /// The key of the copy.
    pub(crate) name: Key,
    /// The version that is copied.
    pub(crate) theirs: Version,
}

/// A file that is uploaded while it stays open, once it rests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Idle {
    /// The generation seen last.
    pub(crate) generation: u64,
    /// How often it was put off.
    pub(crate) postponed: u32,
}

/// Whether somebody waits for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Urgency {
    /// Nobody.
    Normal,
    /// Somebody: no delay.
    Hurry,
}

/// Where the queue keeps a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Nowhere: in flight, open, or waiting for an operation of its file.
    Rest,
    /// Waits for its time.
    Timed(Instant),
    /// Waits for the end of a burst of closes.
    Gathered {
        /// When it was closed first.
        since: Instant,
    },
    /// Waits for a hold to end; looked at again then, and at that time.
    Blocked {
        /// When it began to wait.
        since: Instant,
        /// When to look again.
        until: Instant,
    },
    /// Waits for a slot.
    Ready(Class),
}

/// Which slots an operation takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    /// One request, or few.
    Small,
    /// A file in parts.
    Large,
    /// A file in parts that is still being written.
    Stream,
    /// A removal: many share one request.
    Remove,
}

/// Why the last try failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) kind: ErrorKind,
    pub(crate) lasting: crate::Lasting,
    pub(crate) extent: Extent,
}

/// What a failure concerns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Extent {
    /// This key.
    Key,
    /// Whatever is asked of the bucket.
    Bucket,
}

/// Asks a running operation to stop, if that saves work.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    asked: AtomicBool,
    notify: Notify,
    poke: Notify,
}

impl Cancel {
    pub(crate) fn cancel(&self) {
        self.asked.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Has the operation look again at what is wanted.
    pub(crate) fn poke(&self) {
        self.poke.notify_one();
    }

    /// Completes after the next poke, or at once if there was one since the last.
    pub(crate) async fn poked(&self) {
        self.poke.notified().await;
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// Completes once it is asked.
    pub(crate) async fn cancelled(&self) {
        loop {
            let notified = self.notify.notified();
            let mut notified = std::pin::pin!(notified);
            notified.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            notified.await;
        }
    }
}

impl KeyState {
    /// Wants `desired` of a key under which `remote` is, from `due` on.
    pub(crate) fn new(remote: RemoteBelief, desired: Desired, due: Instant) -> Self {
        Self {
            remote,
            sent: Vec::new(),
            sending: None,
            desired,
            seq: 0,
            submitted: Some(0),
            former: None,
            beside: None,
            due,
            waits_since: None,
            idle: None,
            attempts: 0,
            corrections: 0,
            failure: None,
            in_flight: None,
            place: Place::Rest,
            urgency: Urgency::Normal,
        }
    }

    /// Has the operation that is under way look again at what is wanted.
    pub(crate) fn poke(&self) {
        if let Some(in_flight) = &self.in_flight {
            in_flight.poke();
        }
    }

    /// Whether the bucket has nothing under the key, and nothing can be on its way there.
    pub(crate) fn is_surely_absent(&self) -> bool {
        self.remote == RemoteBelief::Absent && self.sent.is_empty() && self.in_flight.is_none()
    }

    /// Notes a body whose answer was lost.
    pub(crate) fn doubt(&mut self, fingerprint: Fingerprint) {
        if !self.sent.contains(&fingerprint) {
            self.sent.push(fingerprint);
        }
        if self.sent.len() > SENT_MAX {
            self.sent.remove(0);
        }
    }

    /// The generation of its file, 0 if it is none.
    pub(crate) fn generation(&self) -> u64 {
        match &self.desired {
            Desired::Content(file) => file.generation(),
            _ => 0,
        }
    }

    /// What the queue is to bring about, and its sequence number; `None`: nothing yet. A removal
    /// or a change of metadata that an open file will make void is left to it.
    pub(crate) fn aim(&self) -> Option<(&Desired, u64)> {
        if self.submitted.is_some() {
            return Some((&self.desired, self.seq));
        }
        let former = self.former.as_ref()?;
        matches!(former.desired, Desired::Content(_) | Desired::Inline { .. })
            .then_some((&former.desired, former.seq))
    }

    /// Whether what had that sequence number is still wanted.
    pub(crate) fn wants(&self, seq: u64) -> bool {
        self.seq == seq || self.is_former(seq)
    }

    /// Whether that sequence number is that of what an open file will replace.
    pub(crate) fn is_former(&self, seq: u64) -> bool {
        self.former.as_ref().is_some_and(|former| former.seq == seq)
    }

    /// The object that was made of the file that was wanted before the open file came.
    pub(crate) fn former_base(&self) -> Option<Base> {
        match &self.former.as_ref()?.desired {
            Desired::Content(file) => file.base(),
            _ => None,
        }
    }

    /// Lets go what was wanted before the open file came: it is in the bucket, or someone else's
    /// is.
    pub(crate) fn forget_former(&mut self) {
        if let Some(Former {
            desired: Desired::Content(file),
            ..
        }) = self.former.take()
        {
            file.lock().standing = Standing::Removed;
        }
    }

    /// The staged files that are wanted under the key.
    pub(crate) fn files(&self) -> impl Iterator<Item = &Arc<StagedFile>> {
        let former = self.former.as_ref().map(|former| &former.desired);
        [Some(&self.desired), former]
            .into_iter()
            .flatten()
            .filter_map(|desired| match desired {
                Desired::Content(file) => Some(file),
                _ => None,
            })
    }

    /// How far it is.
    pub(crate) fn phase(&self) -> Phase {
        if self.aim().is_none() {
            return Phase::Open;
        }
        if self.in_flight.is_some() {
            return Phase::InFlight;
        }
        match &self.failure {
            Some(failure) if failure.lasting == crate::Lasting::Permanent => Phase::Failed,
            Some(_) => Phase::Waiting,
            None => Phase::Queued,
        }
    }

    pub(crate) fn view(&self) -> PendingView {
        PendingView {
            desired: self.desired.clone(),
            remote: self.remote.clone(),
            phase: self.phase(),
        }
    }

    /// Which slots its operation takes.
    pub(crate) fn class(&self, settings: &StageSettings) -> Class {
        let desired = self.aim().map_or(&self.desired, |(desired, _)| desired);
        match desired {
            Desired::Absent => Class::Remove,
            Desired::Inline { .. } | Desired::Metadata(_) => Class::Small,
            Desired::Content(file) => {
                let state = file.lock();
                let large = state.content.size() >= settings.multipart_bytes_min
                    && !state.content.is_whole_base()
                    && !state.content.is_committed();
                if large { Class::Large } else { Class::Small }
            }
        }
    }

    /// What the journal says of it.
    pub(crate) fn record(&self, key: &Key) -> Change {
        self.record_with(key, None)
    }

    /// What the journal says of it once its file has these metadata.
    pub(crate) fn record_with(&self, key: &Key, metadata: Option<&Metadata>) -> Change {
        Change::Key(KeyRecord {
            key: key.as_str().to_owned(),
            remote: BeliefRecord::from(&self.remote),
            desired: desired_record(&self.desired, metadata),
            submitted: self.submitted.is_some(),
            removed_before: false,
            former: (self.former.as_ref())
                .map(|former| Box::new(desired_record(&former.desired, None))),
            beside: self.beside.as_ref().map(|beside| BesideRecord {
                name: beside.name.as_str().to_owned(),
                theirs: beside.theirs.as_str().to_owned(),
            }),
            sent: self
                .sent
                .iter()
                .chain(&self.sending)
                .map(Fingerprint::record)
                .collect(),
        })
    }
}

fn desired_record(desired: &Desired, new_metadata: Option<&Metadata>) -> DesiredRecord {
    match desired {
        Desired::Content(file) => {
            let state = file.lock();
            DesiredRecord::Content {
                file: file.id().get(),
                bytes: state.content.present().total(),
                metadata: new_metadata.unwrap_or(&state.metadata).clone().into(),
            }
        }
        Desired::Inline { bytes, metadata } => DesiredRecord::Inline {
            bytes: bytes.to_vec(),
            metadata: MetadataRecord::from(metadata.clone()),
        },
        Desired::Metadata(metadata) => {
            DesiredRecord::Metadata(MetadataRecord::from(metadata.clone()))
        }
        Desired::Absent => DesiredRecord::Absent,
    }
}

/// How long to wait after `attempts` failures that may pass: doubling, with a jitter of ±25 % that
/// depends on the key, so that keys which failed together are not tried together.
pub(crate) fn retry_delay(settings: &StageSettings, key: &Key, attempts: u32) -> Duration {
    let doublings = attempts.saturating_sub(1).min(DOUBLINGS_MAX);
    let base = (settings.retry_delay.saturating_mul(1 << doublings)).min(settings.retry_delay_max);
    jittered(base, key, attempts)
}

/// `base`, ±25 %.
pub(crate) fn jittered(base: Duration, key: &Key, attempts: u32) -> Duration {
    let hash = crc32fast::hash(key.as_str().as_bytes()) ^ attempts.wrapping_mul(0x9E37_79B9);
    base.mul_f64(0.75 + f64::from(hash % 1024) / 2048.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let settings = StageSettings::default();
        let key = Key::new("a").unwrap();
        let mut before = Duration::ZERO;
        for attempts in 1..=6 {
            let wait = retry_delay(&settings, &key, attempts);
            let middle = settings.retry_delay * (1 << (attempts - 1));
            assert!(wait >= middle.mul_f64(0.75) && wait <= middle.mul_f64(1.25));
            assert!(wait > before / 2);
            before = wait;
        }
        for attempts in [20, 1000, u32::MAX] {
            let wait = retry_delay(&settings, &key, attempts);
            assert!(
                wait <= settings.retry_delay_max.mul_f64(1.25),
                "{attempts}: {wait:?}"
            );
        }
        let spread: std::collections::HashSet<_> = (0..100)
            .map(|n| retry_delay(&settings, &Key::new(format!("k{n}")).unwrap(), 3))
            .collect();
        assert!(spread.len() > 50);
    }
}
