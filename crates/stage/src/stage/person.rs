//! What a person, or the end of a mount, wants of the queue: that it waits, goes on, tries again, or
//! hurries with some of it.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::Key;

use super::wait::{DrainReport, Remaining, Target};
use super::{Inner, Stage};
use crate::desired::Desired;
use crate::scope::Scope;
use crate::table::Flow;
use crate::{Phase, StagedFile};

impl Stage {
    /// Starts no new operation. Those under way end.
    pub fn pause(&self) {
        self.inner.lock().flow = Flow::Paused;
    }

    /// Goes on after [`pause`](Self::pause).
    pub fn resume(&self) {
        let mut table = self.inner.lock();
        table.flow = Flow::Running;
        table.iter().for_each(|(_, state)| state.poke());
        drop(table);
        self.inner.freed.wake();
    }

    /// Whether it was told to [`pause`](Self::pause).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.inner.lock().flow == Flow::Paused
    }

    /// The files in `scope` that are being written and were not submitted since: what
    /// [`hurry`](Self::hurry) passes over.
    #[must_use]
    pub fn open_files(&self, scope: &Scope) -> Vec<Arc<StagedFile>> {
        let table = self.inner.lock();
        let open = (scope.pending(&table)).filter_map(|(_, state)| match &state.desired {
            Desired::Content(file) if state.submitted.is_none() => Some(Arc::clone(file)),
            _ => None,
        });
        open.collect()
    }

    /// Tries all of `scope` now, whatever delay or back-off it is in; gives how many keys that are.
    pub fn hurry(&self, scope: &Scope) -> usize {
        self.hurry_those(scope, |_| true)
    }

    /// Tries now what failed in `scope`, for whatever reason; gives how many keys that are.
    pub fn retry(&self, scope: &Scope) -> usize {
        self.hurry_those(scope, |phase| {
            matches!(phase, Phase::Failed | Phase::Waiting)
        })
    }

    fn hurry_those(&self, scope: &Scope, which: impl Fn(Phase) -> bool) -> usize {
        let inner = &self.inner;
        let now = inner.now();
        let mut table = inner.lock();
        let keys: Vec<Key> = (scope.pending(&table))
            .filter(|(_, state)| state.aim().is_some() && which(state.phase()))
            .map(|(key, _)| key.clone())
            .collect();
        for key in &keys {
            table.hurry(inner, key, now);
        }
        drop(table);
        inner.freed.wake();
        keys.len()
    }

    /// Waits until the bucket has all that is wanted in `scope` now and was submitted, but not for
    /// what needs a person, and not longer than `limit`. Tells what is not there then. Does not
    /// hurry it: see [`hurry`](Self::hurry).
    pub async fn wait_all(&self, scope: &Scope, limit: Option<Duration>) -> DrainReport {
        let inner = &self.inner;
        let end = async {
            match limit {
                Some(limit) => inner.clock.sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut end = std::pin::pin!(end);
        let mut waiting = inner.targets(scope);
        let mut failed = Vec::new();
        loop {
            let ended = inner.ended.notified();
            let mut ended = std::pin::pin!(ended);
            ended.as_mut().enable();
            // The last one is looked at until it is done, then the one before it: so each change
            // costs one look, however many there are.
            while let Some(target) = waiting.last_mut() {
                match inner.reached(target) {
                    None => break,
                    Some(Ok(())) => {}
                    Some(Err(_)) => failed.push(inner.remaining_of(target)),
                }
                waiting.pop();
            }
            if waiting.is_empty() {
                break;
            }
            tokio::select! {
                () = &mut ended => {}
                () = &mut end => break,
            }
        }
        waiting.retain_mut(|target| !matches!(inner.reached(target), Some(Ok(()))));
        failed.extend(waiting.iter().map(|target| inner.remaining_of(target)));
        failed.sort_by(|one, other| one.key.cmp(&other.key));
        let remaining_count = failed.len();
        failed.truncate(DrainReport::KEYS_MAX);
        DrainReport {
            remaining: failed,
            remaining_count,
        }
    }
}

impl Inner {
    /// What is submitted in `scope`.
    fn targets(&self, scope: &Scope) -> Vec<Target> {
        let table = self.lock();
        let submitted = (scope.pending(&table)).filter(|(_, state)| state.submitted.is_some());
        submitted
            .map(|(key, state)| Target::of(key, state))
            .collect()
    }

    fn remaining_of(&self, target: &Target) -> Remaining {
        let key = target.key();
        let table = self.lock();
        let state = table.get(&key);
        Remaining {
            key: key.as_str().to_owned(),
            phase: state.map_or(Phase::Queued, crate::key_state::KeyState::phase),
            error: (state.and_then(|state| state.failure.as_ref()))
                .map(|failure| failure.text.clone()),
        }
    }
}
