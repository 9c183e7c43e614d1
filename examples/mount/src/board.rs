//! The board: what a mount shows of itself while it lives, and while it drains.

use std::sync::{Mutex, MutexGuard, PoisonError};

use cloudmount::CloudMount;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is shown.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Shown>);

#[derive(Debug, Default)]
struct Shown {
    files: Option<CloudMount>,
    folder: String,
    state: State,
}

/// How far a mount is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// It can be used.
    #[default]
    Mounted,
    /// It is out of sight, but somebody still has a file open.
    InUse,
    /// It is unmounted, and uploads what waits.
    Draining,
}

/// What is left to upload.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Files, folders and removals.
    pub(crate) keys: usize,
    /// Bytes of them all.
    pub(crate) bytes: u64,
    /// How many are under way.
    pub(crate) in_flight: usize,
    /// How many are still open.
    pub(crate) open: usize,
    /// Why a try failed.
    pub(crate) error: Option<String>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what is mounted where.
    pub(crate) fn show(&self, files: CloudMount, folder: String) {
        let mut shown = self.lock();
        shown.files = Some(files);
        shown.folder = folder;
    }

    pub(crate) fn set(&self, state: State) {
        self.lock().state = state;
    }

    /// Shows nothing more, so that nothing is kept alive by it.
    pub(crate) fn clear(&self) {
        drop(self.lock().files.take());
    }

    /// All that is known, for people and programs.
    pub(crate) fn status(&self) -> Value {
        let shown = self.lock();
        let status = shown.files.as_ref().map(CloudMount::status);
        let mut all = serde_json::to_value(status).unwrap_or_default();
        if let Some(fields) = all.as_object_mut() {
            let state = serde_json::to_value(shown.state).unwrap_or_default();
            fields.insert("state".into(), state);
            fields.insert("folder".into(), shown.folder.clone().into());
            fields.insert("pid".into(), std::process::id().into());
        }
        all
    }
}

impl Progress {
    /// What is left to upload of `files`.
    pub(crate) fn of(files: &CloudMount) -> Self {
        let uploads = files.status().uploads;
        Self {
            keys: uploads.totals.keys,
            bytes: uploads.totals.bytes,
            in_flight: uploads.totals.in_flight,
            open: uploads.totals.open,
            error: uploads.keys.into_iter().find_map(|key| key.error),
        }
    }
}
