//! The board: what a mount shows of itself while it lives, and while it drains.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cloudmount::stage::StageStatus;
use cloudmount::{CloudMount, Error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::rate::{Counts, Rate};

/// What is shown.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Shown>);

#[derive(Debug, Default)]
struct Shown {
    files: Option<CloudMount>,
    folder: String,
    state: State,
    rate: Rate,
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
    /// Whether nothing new is started.
    #[serde(default)]
    pub(crate) is_paused: bool,
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

    /// What is mounted; `None` before it is, and at the end.
    pub(crate) fn files(&self) -> Option<CloudMount> {
        self.lock().files.clone()
    }

    /// Notes what went over the wire up to `at`, counted from any moment.
    pub(crate) fn look(&self, at: Duration) {
        let mut shown = self.lock();
        let Some(files) = &shown.files else { return };
        let mut counts = Counts::default();
        for operation in files.requests().operations.values() {
            counts.bytes_in += operation.bytes_in;
            counts.bytes_out += operation.bytes_out;
        }
        shown.rate.look(at, counts);
    }

    /// Shows nothing more, so that nothing is kept alive by it.
    pub(crate) fn clear(&self) {
        drop(self.lock().files.take());
    }

    /// All that is known of what is at `path`, for people and programs.
    ///
    /// # Errors
    /// The path is none.
    pub(crate) fn status(&self, path: &str) -> Result<Value, Error> {
        let shown = self.lock();
        let mut all = match &shown.files {
            Some(files) if !path.is_empty() => json!({
                "location": files.location().to_string(),
                "path": path,
                "uploads": files.status_of(path)?,
            }),
            files => {
                serde_json::to_value(files.as_ref().map(CloudMount::status)).unwrap_or_default()
            }
        };
        if let Some(fields) = all.as_object_mut() {
            let state = serde_json::to_value(shown.state).unwrap_or_default();
            fields.insert("state".into(), state);
            fields.insert("folder".into(), shown.folder.clone().into());
            let throughput = serde_json::to_value(shown.rate.throughput());
            fields.insert("throughput".into(), throughput.unwrap_or_default());
            fields.insert("pid".into(), std::process::id().into());
        }
        Ok(all)
    }
}

impl Progress {
    /// What is left to upload of `files`.
    pub(crate) fn of(files: &CloudMount) -> Self {
        Self::from(files.vfs().stage().status())
    }
}

impl From<StageStatus> for Progress {
    fn from(uploads: StageStatus) -> Self {
        Self {
            keys: uploads.totals.keys,
            bytes: uploads.totals.bytes,
            in_flight: uploads.totals.in_flight,
            open: uploads.totals.open,
            error: uploads.keys.into_iter().find_map(|key| key.error),
            is_paused: uploads.paused,
        }
    }
}
