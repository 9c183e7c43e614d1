//! What may run now, and what must wait for what.

use std::collections::HashSet;
use std::sync::Arc;

use cloudmount_store::Key;
use cloudmount_vfs::Instant;

use super::burst::BESIDE_MAX;
use super::worker::Task;
use crate::desired::Desired;
use crate::file::{Standing, Stream};
use crate::key_state::{Class, Idle, KeyState, Place, Urgency};
use crate::stage::Inner;
use crate::table::{Fill, Table};
use crate::{FileId, Lasting, StagedFile};

/// How often the upload of a file that stays open is put off while it changes: with the default
/// delay of 5 s, a minute. A log that is written without end is uploaded once a minute.
const POSTPONED_MAX: u32 = 12;

/// What keeps an operation from running.
#[derive(Debug)]
pub(super) enum Obstacle {
    /// An operation that began under another key works on the file, or may have done so.
    Busy,
    /// Someone reads what is there.
    Held,
    /// These files are made from what is there.
    Based(Vec<Arc<StagedFile>>),
}

impl Table {
    /// Puts a key where it belongs in the queue.
    pub(crate) fn schedule(&mut self, inner: &Inner, key: &Key, now: Instant) {
        let place = self.place_of(inner, key, now, None);
        self.set_place(key, place);
    }

    /// The time of a key came: it may run, or it has waited for a hold long enough.
    pub(super) fn time_came(&mut self, inner: &Inner, key: &Key, place: Place, now: Instant) {
        let since = match place {
            Place::Blocked { since, .. } => Some(since),
            _ => None,
        };
        let place = self.place_of(inner, key, now, since);
        self.set_place(key, place);
    }

    fn place_of(
        &mut self,
        inner: &Inner,
        key: &Key,
        now: Instant,
        waits_since: Option<Instant>,
    ) -> Place {
        let Some(state) = self.get_mut(key) else {
            return Place::Rest;
        };
        if state.in_flight.is_some() {
            return Place::Rest;
        }
        postpone(state, inner, now);
        let is_open = state.aim().is_none();
        if is_open && state.sent.is_empty() && !may_stream(state) {
            return Place::Rest;
        }
        let due = state.due;
        if let Some(since) = self.gathers(key, now) {
            return Place::Gathered { since };
        }
        if due > now {
            return Place::Timed(due);
        }
        match self.task_or_obstacle(inner, key, now) {
            Ok((_, class)) => Place::Ready(class),
            Err(Some(obstacle @ (Obstacle::Held | Obstacle::Based(_)))) => {
                self.blocked(inner, key, now, waits_since, &obstacle)
            }
            Err(None | Some(Obstacle::Busy)) => Place::Rest,
        }
    }

    /// What may be done about a key now, and which slots it takes.
    pub(super) fn task(&mut self, inner: &Inner, key: &Key, now: Instant) -> Option<(Task, Class)> {
        self.task_or_obstacle(inner, key, now).ok()
    }

    /// What may be done about a key now, and which slots it takes; or what is in its way.
    ///
    /// The way is looked at once: a base is found to be gone without the lock of the table, and
    /// what was blocked a moment ago would rest for ever if it were free at a second look.
    fn task_or_obstacle(
        &mut self,
        inner: &Inner,
        key: &Key,
        now: Instant,
    ) -> Result<(Task, Class), Option<Obstacle>> {
        let state = self.get(key).ok_or(None)?;
        if state.in_flight.is_some() || state.due > now {
            return Err(None);
        }
        let (is_open, in_doubt) = (state.aim().is_none(), !state.sent.is_empty());
        let class = state.class(&inner.settings);
        let mut obstacle = None;
        if !is_open {
            obstacle = self.obstacle(inner, key);
            if obstacle.is_none() {
                return Ok((Task::Do, class));
            }
        }
        // Others may wait for the answer, and asking changes nothing.
        if in_doubt {
            return Ok((Task::Ask, Class::Small));
        }
        let begins = is_open && self.get(key).is_some_and(may_stream);
        if begins && !self.is_busy(key) {
            return Ok((Task::Stream, Class::Stream));
        }
        Err(obstacle)
    }

    /// Whether a file that was closed waits for the end of a burst of closes; since when.
    fn gathers(&self, key: &Key, now: Instant) -> Option<Instant> {
        if self.running.small < BESIDE_MAX {
            return None;
        }
        let state = self.get(key)?;
        let since = state.waits_since?;
        let is_file = matches!(state.aim(), Some((Desired::Content(_), _)));
        let is_first =
            state.urgency == Urgency::Normal && state.attempts == 0 && state.corrections == 0;
        (is_file && is_first && self.burst.takes(since, state.due, now)).then_some(since)
    }

    fn blocked(
        &mut self,
        inner: &Inner,
        key: &Key,
        now: Instant,
        waits_since: Option<Instant>,
        obstacle: &Obstacle,
    ) -> Place {
        let state = self.get(key);
        let since = match (waits_since, state.map(|state| state.place)) {
            (Some(since), _) | (None, Some(Place::Blocked { since, .. })) => since,
            _ => now,
        };
        let hurry = state.is_some_and(|state| state.urgency == Urgency::Hurry);
        let removes = state.is_some_and(|state| matches!(state.desired, Desired::Absent));
        let delay = inner.settings.fill_delay;
        let waited = hurry || now.saturating_since(since) >= delay;
        if let Obstacle::Based(files) = obstacle
            && waited
            && !removes
        {
            self.ask_fills(inner, files);
        }
        if let (Obstacle::Based(files), true) = (obstacle, hurry) {
            self.hurry_others(inner, files, now);
        }
        Place::Blocked {
            since,
            until: now + delay,
        }
    }

    /// Whoever waits does not wait for the delays of those that are in the way.
    fn hurry_others(&mut self, inner: &Inner, files: &[Arc<StagedFile>], now: Instant) {
        for file in files {
            let key = file.key();
            let waits = |state: &&mut KeyState| {
                state.aim().is_some() && state.failure.is_none() && state.due > now
            };
            if let Some(state) = self.get_mut(&key).filter(waits) {
                state.due = now;
                self.schedule(inner, &key, now);
            }
        }
    }

    /// Has the missing bytes fetched of those files whose own commit does not end the wait.
    fn ask_fills(&mut self, inner: &Inner, files: &[Arc<StagedFile>]) {
        for file in files {
            let asked = self.fills.iter().any(|(asked, _)| Arc::ptr_eq(asked, file));
            let is_too_soon = self
                .fill_after
                .get(&file.id())
                .is_some_and(|at| *at > inner.now());
            if !asked && !is_too_soon && !self.ends_by_itself(inner, file, &mut HashSet::new()) {
                self.fills.push_back((Arc::clone(file), Fill::FreeBase));
            }
        }
    }

    /// What keeps the operation of `key` from running.
    pub(super) fn obstacle(&mut self, inner: &Inner, key: &Key) -> Option<Obstacle> {
        let state = self.get(key)?;
        let own = match state.aim() {
            Some((Desired::Content(file), _)) => Some(Arc::clone(file)),
            _ => None,
        };
        if let Some(file) = &own {
            // An upload of it under a former key may have replaced what it is made from.
            let base = file.base().filter(|base| base.key != *key);
            let in_doubt = base
                .and_then(|base| self.get(&base.key))
                .is_some_and(|base| !base.sent.is_empty());
            if in_doubt || self.busy.contains(&file.id()) {
                return Some(Obstacle::Busy);
            }
        }
        self.need(inner, key, own.as_ref())
    }

    /// Whether someone else needs the object under `key` as it is.
    pub(super) fn others_need(&mut self, inner: &Inner, key: &Key) -> bool {
        let own = self
            .get(key)
            .and_then(|state| state.files().next())
            .map(Arc::clone);
        self.need(inner, key, own.as_ref()).is_some()
    }

    fn is_busy(&self, key: &Key) -> bool {
        let mut files = self.get(key).into_iter().flat_map(KeyState::files);
        files.any(|file| self.busy.contains(&file.id()))
    }

    /// Who else needs what is under `key`, which `own` is to replace.
    fn need(
        &mut self,
        inner: &Inner,
        key: &Key,
        own: Option<&Arc<StagedFile>>,
    ) -> Option<Obstacle> {
        let state = self.get(key)?;
        if state.is_surely_absent() {
            return None;
        }
        if inner.holds.is_held(key) {
            return Some(Obstacle::Held);
        }
        let removes = matches!(state.desired, Desired::Absent);
        let mut files = self.based_on(key);
        files.retain(|file| {
            let is_own = own.is_some_and(|own| Arc::ptr_eq(own, file));
            !is_own && (file.needs_base() || removes && file.lock().stands_for(key))
        });
        (!files.is_empty()).then_some(Obstacle::Based(files))
    }

    /// Whether `file` will stop to need its base without being filled: its own commit runs or can
    /// run. `asked` are the files that lead here: a circle never ends.
    fn ends_by_itself(
        &mut self,
        inner: &Inner,
        file: &Arc<StagedFile>,
        asked: &mut HashSet<FileId>,
    ) -> bool {
        if self.busy.contains(&file.id()) {
            return true;
        }
        if !asked.insert(file.id()) {
            return false;
        }
        let (key, standing) = {
            let state = file.lock();
            (state.key.clone(), state.standing)
        };
        let Some(state) = self.get(&key).filter(|_| standing == Standing::Pending) else {
            return false;
        };
        let failed =
            (state.failure.as_ref()).is_some_and(|failure| failure.lasting == Lasting::Permanent);
        let is_aim = state.aim().is_some_and(
            |(desired, _)| matches!(desired, Desired::Content(aim) if Arc::ptr_eq(aim, file)),
        );
        if !is_aim || failed {
            return false;
        }
        match self.obstacle(inner, &key) {
            None | Some(Obstacle::Busy) => true,
            Some(Obstacle::Held) => false,
            Some(Obstacle::Based(files)) => files
                .iter()
                .all(|file| self.ends_by_itself(inner, file, asked)),
        }
    }
}

/// Puts off the upload of a file that stays open and changed since it was looked at, and of one that
/// was closed and is being changed again: it is not published half-way.
pub(super) fn postpone(state: &mut KeyState, inner: &Inner, now: Instant) {
    let generation = state.generation();
    if let (None, Some(submitted), Urgency::Normal) = (state.idle, state.submitted, state.urgency)
        && submitted < generation
        && matches!(state.desired, Desired::Content(_))
    {
        state.idle = Some(Idle {
            generation: submitted,
            postponed: 0,
        });
    }
    let Some(idle) = &mut state.idle else { return };
    if state.due > now || idle.generation == generation || idle.postponed >= POSTPONED_MAX {
        return;
    }
    idle.generation = generation;
    idle.postponed += 1;
    state.due = now + inner.settings.synced_delay;
}

/// Whether a file that is still being written is to be uploaded as it grows.
fn may_stream(state: &KeyState) -> bool {
    match &state.desired {
        Desired::Content(file) if state.submitted.is_none() => {
            let file = file.lock();
            let is_asked = file.stream == Stream::Asked || file.is_recalled;
            is_asked && file.standing == Standing::Pending
        }
        _ => false,
    }
}
