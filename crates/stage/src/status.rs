//! [`StageStatus`]: how everything stands, for people and for tools.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cloudmount_store::Key;
use cloudmount_store::probe::Honoured;
use cloudmount_vfs::Instant;
use serde::Serialize;

use crate::desired::{Desired, Phase};
use crate::groups::{GroupStatus, Look};
use crate::key_state::{KeyState, Place};
use crate::scope::Scope;
use crate::set_aside::SetAside;
use crate::stage::Inner;
use crate::table::Flow;

/// How everything stands.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct StageStatus {
    /// Pending keys: those that failed first, then by key; at most [`Self::KEYS_MAX`].
    pub keys: Vec<KeyStatus>,
    /// Changes of many keys that are one for a person. Their keys are not among the others, unless
    /// they failed.
    pub groups: Vec<GroupStatus>,
    /// All pending keys together.
    pub totals: Totals,
    /// Budgets: used and limit.
    pub budgets: Vec<Budget>,
    /// Writers that wait for room on the staging disk.
    pub writers_waiting: usize,
    /// Whether operations are started.
    pub paused: bool,
    /// Whether something was done whose condition the store does not check in one step with it: what someone else writes
    /// between the check and that could be lost.
    pub window_open: bool,
    /// What was done so: `writes` or `removals`.
    pub windows: Vec<&'static str>,
    /// What the store honours, as far as it was asked.
    pub honoured: Honoured,
    /// What was set aside after crashes.
    pub set_aside: Vec<SetAside>,
}

impl StageStatus {
    /// Keys that are named: more than a person reads, and bounded.
    pub const KEYS_MAX: usize = 1000;
}

/// How one key stands.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct KeyStatus {
    /// The key.
    pub key: String,
    /// What is wanted: `content`, `inline`, `metadata` or `removal`.
    pub kind: &'static str,
    /// How far it is.
    pub phase: Phase,
    /// Size in bytes.
    pub bytes_total: u64,
    /// Bytes of it that the running upload has sent.
    pub bytes_done: u64,
    /// Failures in a row.
    pub attempts: u32,
    /// Why the last try failed.
    pub error: Option<String>,
    /// When the next try is due, from now.
    pub next_try: Option<Duration>,
    /// Whether it waits until someone who reads the old object is done.
    pub held: bool,
}

/// Sums over all pending keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Totals {
    /// Pending keys.
    pub keys: usize,
    /// Files that are being written.
    pub open: usize,
    /// Keys whose last try failed for a reason that needs a person.
    pub failed: usize,
    /// Keys with an operation under way.
    pub in_flight: usize,
    /// Bytes of content that are to go out.
    pub bytes: u64,
    /// Bytes in local files.
    pub local_bytes: u64,
}

/// Use of something bounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Budget {
    /// What.
    pub name: &'static str,
    /// In use.
    pub used: u64,
    /// Limit.
    pub limit: u64,
}

/// Looks at everything in `scope`.
pub(crate) fn collect(inner: &Inner, scope: &Scope) -> StageStatus {
    let now = inner.now();
    let table = inner.lock();
    let mut totals = Totals::default();
    let mut named: Vec<(&Key, &KeyState)> = Vec::new();
    for (key, state) in scope.pending(&table) {
        add(&mut totals, state);
        if state.failure.is_some() && named.len() < StageStatus::KEYS_MAX {
            named.push((key, state));
        }
    }
    let look = match scope.is_all() {
        true => inner.groups.lock().look(table.iter()),
        // Of a part, each key is shown.
        false => Look::default(),
    };
    let others = (scope.pending(&table))
        .filter(|(key, state)| state.failure.is_none() && !look.has(key, state));
    let room = StageStatus::KEYS_MAX - named.len();
    named.extend(others.take(room));
    let keys = (named.into_iter())
        .map(|(key, state)| one(key, state, now))
        .collect();
    let running = table.running;
    let paused = table.flow == Flow::Paused;
    drop(table);
    let windows = inner.conditions.windows();
    let settings = &inner.settings;
    let small_max = inner.small.lock().limit();
    let (parts, parts_max) = inner.parts.used_and_limit();
    let kept = inner.files.kept.bytes();
    let budget = |name, used, limit| Budget { name, used, limit };
    StageStatus {
        keys,
        groups: look.groups(),
        totals,
        budgets: vec![
            budget("body bytes", inner.bodies.used(), settings.body_bytes_max),
            budget("small requests", running.small.into(), small_max.into()),
            budget("parts on their way", parts.into(), parts_max.into()),
            budget(
                "large files",
                running.large.into(),
                settings.large_files_max.into(),
            ),
            budget(
                "open files",
                inner.files.open_files.len() as u64,
                settings.open_files_max.into(),
            ),
            budget(
                "staged bytes",
                inner.files.room.used().saturating_sub(kept),
                inner.files.room.limit(),
            ),
            budget("kept bytes", kept, inner.files.kept.limit()),
        ],
        writers_waiting: inner.files.room.waiters(),
        paused,
        window_open: !windows.is_empty(),
        windows,
        honoured: inner.conditions.honoured(),
        set_aside: set_aside(inner),
    }
}

/// What was set aside, and that nobody took away since.
fn set_aside(inner: &Inner) -> Vec<SetAside> {
    let all = inner.set_aside.lock().clone();
    let is_there =
        |aside: &SetAside| (aside.path.as_ref()).is_none_or(|path| path.symlink_metadata().is_ok());
    all.into_iter().filter(is_there).collect()
}

/// How one key stands.
pub(crate) fn one(key: &Key, state: &KeyState, now: Instant) -> KeyStatus {
    KeyStatus {
        key: key.as_str().to_owned(),
        kind: kind(&state.desired),
        phase: state.phase(),
        bytes_total: state.view().size().unwrap_or(0),
        bytes_done: done(state),
        attempts: state.attempts,
        error: state.failure.as_ref().map(|failure| failure.text.clone()),
        next_try: match state.place {
            Place::Timed(at) => Some(at.saturating_since(now)),
            _ => None,
        },
        held: matches!(state.place, Place::Blocked { .. }),
    }
}

fn add(totals: &mut Totals, state: &KeyState) {
    totals.keys += 1;
    match state.phase() {
        Phase::Open => totals.open += 1,
        Phase::Failed => totals.failed += 1,
        Phase::InFlight => totals.in_flight += 1,
        Phase::Queued | Phase::Waiting => {}
    }
    if let Desired::Content(file) = &state.desired {
        let inside = file.lock();
        totals.bytes += inside.content.size();
        totals.local_bytes += inside.content.present().total();
    }
}

fn done(state: &KeyState) -> u64 {
    match &state.desired {
        Desired::Content(file) => file.uploaded.load(Ordering::Relaxed),
        _ => 0,
    }
}

pub(crate) const fn kind(desired: &Desired) -> &'static str {
    match desired {
        Desired::Content(_) => "content",
        Desired::Inline { .. } => "inline",
        Desired::Metadata(_) => "metadata",
        Desired::Absent => "removal",
    }
}
