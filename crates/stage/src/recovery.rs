//! Recovery: from what a crash left to a stage that goes on.
//!
//! Laws: what was submitted is queued again, whatever the settings are now; what was written and
//! never submitted is set aside; nothing waits for the network; doing it twice does no more than
//! doing it once.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::{Capabilities, Key, Metadata, UploadId};
use cloudmount_vfs::Result;

use crate::desired::Desired;
use crate::disk::{default_limit, disk_error, free_bytes};
use crate::failpoint;
use crate::file::{Away, Content, FileContext, FileState, Held, OpenFiles, blocks};
use crate::fingerprint::Fingerprint;
use crate::freed::Freed;
use crate::journal::record::{Change, DesiredRecord, FileRecord, KeyRecord, range_set};
use crate::journal::replay::Replayed;
use crate::journal::{self, Journal};
use crate::kept::{self, Kept};
use crate::key_state::KeyState;
use crate::local_files::{LocalFiles, Power, folder_in, local_file};
use crate::platform::boot_id;
use crate::queue::uploads::Intent;
use crate::ranges::RangeSet;
use crate::room::{Room, Turn};
use crate::set_aside::{self, Reason, SetAside};
use crate::stage::Inner;
use crate::{FileId, RemoteBelief, StageSettings, StagedFile};

/// What the last use of the folder left, for people.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recovery {
    /// Keys whose content, body or metadata wait again to be uploaded.
    pub pending: usize,
    /// Keys that wait again to be removed.
    pub removals: usize,
    /// What was set aside now. Earlier ones are in the status too.
    pub set_aside: Vec<SetAside>,
    /// Multipart uploads that are given up: their files start again.
    pub uploads_given_up: usize,
    /// Bytes at the end of the journal that were not readable: a record that was being written.
    pub torn_bytes: u64,
}

/// What was found in the folder.
#[derive(Debug)]
pub(crate) struct Found {
    keys: BTreeMap<Key, KeyRecord>,
    files: BTreeMap<u64, FileRecord>,
    uploads: BTreeMap<String, String>,
    intents: Vec<Intent>,
    pub(crate) next_file: u64,
    /// All that is set aside, now and before.
    pub(crate) set_aside: Vec<SetAside>,
    set_aside_now: Vec<SetAside>,
    good_bytes: u64,
    torn_bytes: u64,
    local: LocalFiles,
}

/// Makes the folders. All of it is the user's own.
pub(crate) fn make_folders(dir: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    for folder in [dir.to_owned(), folder_in(dir), dir.join(set_aside::FOLDER)] {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| disk_error(error, || format!("make folder {}", folder.display())))?;
    }
    Ok(())
}

/// Reads the journal and decides about each file. Changes nothing that would be missed if it were
/// interrupted.
pub(crate) fn load(dir: &Path) -> Result<Found> {
    let Replayed {
        keys,
        mut files,
        done,
        uploads,
        intents,
        boot,
        next_file,
        good_bytes,
        torn_bytes,
    } = journal::load(dir)?;
    failpoint::pass(failpoint::RECOVERY_READ);
    let power = if boot.is_empty() || boot == boot_id() {
        Power::Kept
    } else {
        Power::Lost
    };
    let mut found = Found {
        keys: BTreeMap::new(),
        files: BTreeMap::new(),
        uploads,
        intents: (intents.into_iter())
            .filter_map(|(key, at)| {
                let key = Key::new(key).ok()?;
                Some(Intent { key, at })
            })
            .collect(),
        next_file: next_file.max(1),
        set_aside: Vec::new(),
        set_aside_now: Vec::new(),
        good_bytes,
        torn_bytes,
        local: LocalFiles::load(dir, power)?,
    };
    for (text, record) in keys {
        let Ok(key) = Key::new(text.as_str()) else {
            continue;
        };
        let about = record
            .files()
            .filter_map(|file| files.remove(&file))
            .collect();
        found.decide(dir, power, &key, record, about)?;
    }
    found.sweep(dir, power, &done)?;
    let is_wanted = |name: &str| {
        FileId::from_file_name(name).is_some_and(|id| found.files.contains_key(&id.get()))
    };
    set_aside::take_back(dir, is_wanted)?;
    found.set_aside = set_aside::list(dir)?;
    Ok(found)
}

impl Found {
    /// Keeps a key, or sets its file aside and keeps what was wanted before.
    fn decide(
        &mut self,
        dir: &Path,
        power: Power,
        key: &Key,
        mut record: KeyRecord,
        mut files: Vec<FileRecord>,
    ) -> Result<()> {
        if record.removed_before {
            record
                .former
                .get_or_insert_with(|| Box::new(DesiredRecord::Absent));
            record.removed_before = false;
        }
        loop {
            let former = record.former.take();
            let DesiredRecord::Content { file: id, .. } = record.desired else {
                self.keys.insert(key.clone(), record);
                return Ok(());
            };
            let about = files
                .iter()
                .position(|file| file.id == id)
                .map(|at| files.swap_remove(at));
            let Some(reason) = self.judge(power, &record, about.as_ref()) else {
                if record.submitted {
                    self.keep(key, record, about);
                    return Ok(());
                }
                // Nothing was written: it was as if it had not been opened.
                let Some(former) = former else { return Ok(()) };
                (record.desired, record.submitted) = (*former, true);
                continue;
            };
            self.local.take_off(FileId::new(id))?;
            let name = FileId::new(id).file_name();
            let text = Some(key.as_str());
            let about = set_aside::set_aside(dir, &name, text, reason, about.as_ref())?;
            tracing::warn!(%key, ?reason, "a staged file was set aside");
            self.set_aside_now.push(about);
            let Some(former) = former else { return Ok(()) };
            (record.desired, record.submitted) = (*former, true);
        }
    }

    /// Why the file that a key wants cannot be uploaded as it is, if so.
    fn judge(
        &self,
        power: Power,
        record: &KeyRecord,
        about: Option<&FileRecord>,
    ) -> Option<Reason> {
        let DesiredRecord::Content { file, bytes, .. } = record.desired else {
            return None;
        };
        let id = FileId::new(file);
        if record.submitted {
            let is_incomplete = self.is_incomplete(power, id, bytes, about);
            return is_incomplete.then_some(Reason::Incomplete);
        }
        (self.local.length(id))
            .is_some_and(|length| length > 0)
            .then_some(Reason::NeverClosed)
    }

    /// Whether bytes that the journal vouches for are not there.
    fn is_incomplete(
        &self,
        power: Power,
        id: FileId,
        bytes: u64,
        file: Option<&FileRecord>,
    ) -> bool {
        let Some(length) = self.local.length(id) else {
            return bytes > 0 || file.is_none_or(|file| !file.dirty.is_empty());
        };
        if power == Power::Kept {
            // What was written is in the page cache of a machine that never stopped.
            return file.is_none();
        }
        let reach = file.map_or(0, |file| {
            file.present.iter().map(|range| range.1).max().unwrap_or(0)
        });
        // What was fetched since may hide in the sum that something written is missing.
        let mut written = file.map(|file| range_set(&file.dirty)).unwrap_or_default();
        // What only the bucket has is not looked for, whether it is still here or not.
        let away: RangeSet = file.map(away_of).unwrap_or_default();
        let bytes = bytes.saturating_sub(away.total());
        let mut on_disk = 0_u64;
        for here in away.gaps(0..length) {
            let data = self.local.data_bytes(id, here);
            // What cannot be looked at is not said to be lacking.
            on_disk = data.map_or(u64::MAX, |data| data.saturating_add(on_disk));
        }
        for part in away.iter() {
            written.remove(part);
        }
        let lacks = |range: Range<u64>, bytes: u64| {
            let on_disk = self.local.data_bytes(id, range);
            on_disk.is_ok_and(|on_disk| on_disk < bytes)
        };
        file.is_none()
            || length < reach
            || on_disk < bytes
            || written
                .iter()
                .any(|range| lacks(range.clone(), range.end - range.start))
    }

    /// Takes a file over as it is.
    fn keep(&mut self, key: &Key, record: KeyRecord, about: Option<FileRecord>) {
        if let DesiredRecord::Content { file, .. } = record.desired {
            let id = FileId::new(file);
            let mut about = about.unwrap_or_else(|| bare_record(id));
            about.size = recovered_size(&about, self.local.length(id));
            self.files.insert(file, about);
        }
        self.keys.insert(key.clone(), record);
    }

    /// Clears the data folder of files that nothing refers to.
    fn sweep(&mut self, dir: &Path, power: Power, done: &RangeSet) -> Result<()> {
        for id in self.local.all()? {
            self.next_file = self.next_file.max(id.get() + 1);
            if self.files.contains_key(&id.get()) {
                continue;
            }
            // If the journal lost its end, it may have been about a file that it does not know.
            let is_doubtful = (power == Power::Lost || self.torn_bytes > 0)
                && !done.contains(&(id.get()..id.get() + 1));
            let is_empty = self.local.length(id).is_none_or(|length| length == 0);
            if is_doubtful && !is_empty {
                self.local.take_off(id)?;
                let reason = Reason::Unknown;
                let about = set_aside::set_aside(dir, &id.file_name(), None, reason, None)?;
                self.set_aside_now.push(about);
            } else {
                self.local.remove(id)?;
            }
        }
        Ok(())
    }

    /// What the new journal begins with.
    fn snapshot(&self) -> Vec<Change> {
        let opened = Change::Opened {
            boot: boot_id(),
            next_file: self.next_file,
            // All that nobody wants was deleted.
            done: Vec::new(),
        };
        let files = self.files.values().cloned().map(Change::File);
        let keys = self.keys.values().cloned().map(Change::Key);
        let uploads = (self.uploads.iter()).map(|(upload, key)| Change::UploadStarted {
            key: key.clone(),
            upload: upload.clone(),
        });
        std::iter::once(opened)
            .chain(files)
            .chain(keys)
            .chain(uploads)
            .chain(self.intents.iter().map(Intent::begun))
            .collect()
    }
}

/// What of a file only the parts of an upload have.
fn away_of(file: &FileRecord) -> RangeSet {
    (file.away.iter()).flat_map(|away| away.ranges()).collect()
}

fn bare_record(id: FileId) -> FileRecord {
    FileRecord {
        id: id.get(),
        size: 0,
        base: None,
        base_limit: 0,
        present: Vec::new(),
        dirty: Vec::new(),
        replaces: None,
        away: None,
    }
}

/// The size of a file: the length of its local file, if there is one. A local file that is shorter
/// than the base's part and lacks nothing that counts was just made when the process ended.
fn recovered_size(file: &FileRecord, length: Option<u64>) -> u64 {
    let Some(length) = length else {
        return file.size;
    };
    let lacks_some = file.present.iter().any(|range| range.1 > length);
    if length < file.base_limit && !lacks_some {
        file.size
    } else {
        length
    }
}

/// Writes the new journal, and makes what all files share.
pub(crate) fn context(
    dir: &Path,
    found: &Found,
    settings: &StageSettings,
    capabilities: &Capabilities,
    freed: &Arc<Freed>,
) -> Result<Arc<FileContext>> {
    let limit = match settings.staging_bytes_max {
        Some(limit) => limit,
        None => default_limit(&folder_in(dir)),
    };
    let kept = (settings.kept_bytes_max)
        .unwrap_or_else(|| kept::default_limit(limit, free_bytes(&folder_in(dir))));
    Ok(Arc::new(FileContext {
        room: Room::new(limit),
        kept: Kept::new(kept.min(limit)),
        journal: Journal::begin(dir, &found.snapshot(), found.good_bytes)?,
        open_files: OpenFiles::new(settings.open_files_max.into()),
        data_dir: folder_in(dir),
        shelves: found.local.shelves(),
        pieces: Arc::default(),
        size_max: capabilities.object_bytes_max,
        freed: Arc::clone(freed),
    }))
}

/// Puts what was found into the table, due now.
pub(crate) fn take_over(inner: &Inner, mut found: Found) -> Recovery {
    failpoint::pass(failpoint::RECOVERY_BEGUN);
    let now = inner.now();
    let mut table = inner.lock();
    let mut report = Recovery {
        set_aside: found.set_aside_now,
        torn_bytes: found.torn_bytes,
        ..Recovery::default()
    };
    table.intents.extend(found.intents.iter().cloned());
    table.lost_starts.extend(found.intents);
    let needed: HashSet<&str> = (found.files.values())
        .filter_map(|file| file.away.as_ref())
        .map(|away| away.upload.as_str())
        .collect();
    for (upload, key) in found.uploads {
        let Ok(key) = Key::new(key) else { continue };
        let is_needed = needed.contains(upload.as_str());
        table.uploads.insert(UploadId(upload.clone()), key.clone());
        if !is_needed {
            report.uploads_given_up += 1;
            table.abandoned.push((key, UploadId(upload)));
        }
    }
    let mut held = found.local.into_held();
    for (key, record) in found.keys {
        let desired = match record.desired {
            DesiredRecord::Content { file, metadata, .. } => {
                let Some(about) = found.files.remove(&file) else {
                    continue;
                };
                let held = held.remove(&file);
                let file = recovered_file(inner, &key, &about, metadata.into(), held);
                let replaced = file.lock().replaces.clone();
                for key in file.base().map(|base| base.key).into_iter().chain(replaced) {
                    table.note_base(&key, &file);
                }
                if let Some(session) = file.lock().session_left() {
                    table.sessions.insert(file.id(), session);
                }
                Desired::Content(file)
            }
            DesiredRecord::Inline { bytes, metadata } => Desired::Inline {
                bytes: Bytes::from(bytes),
                metadata: metadata.into(),
            },
            DesiredRecord::Metadata(metadata) => Desired::Metadata(metadata.into()),
            DesiredRecord::Absent => Desired::Absent,
        };
        match desired {
            Desired::Absent => report.removals += 1,
            _ => report.pending += 1,
        }
        let mut state = KeyState::new(RemoteBelief::from(record.remote), desired, now);
        state.sent = record.sent.into_iter().map(Fingerprint::from).collect();
        state.submitted = Some(state.generation());
        state.beside = record.beside.and_then(|noted| noted.beside());
        state.seq = table.next_seq();
        table.insert(&key, state);
    }
    let keys: Vec<Key> = table.iter().map(|(key, _)| key.clone()).collect();
    for key in keys {
        table.schedule(inner, &key, now);
    }
    report
}

fn recovered_file(
    inner: &Inner,
    key: &Key,
    about: &FileRecord,
    metadata: Metadata,
    held: Option<Held>,
) -> Arc<StagedFile> {
    let base = about.base.as_ref().and_then(|base| base.base());
    let limit = base.as_ref().map_or(0, |_| about.base_limit);
    let (present, dirty) = (range_set(&about.present), range_set(&about.dirty));
    let content = Content::recovered(about.size, base, limit, present, dirty, away_of(about));
    let id = FileId::new(about.id);
    let mut state = FileState::new(key.clone(), metadata, content);
    state.replaces = (about.replaces.as_deref()).and_then(|key| Key::new(key).ok());
    state.away = about.away.as_deref().and_then(Away::recovered);
    let local;
    (local, state.has_local) = local_file(&inner.files, held, id);
    state.allocated = (local.data(&inner.files).iter())
        .map(|data| blocks(&data))
        .collect();
    inner.files.room.take(state.allocated.total(), Turn::Must);
    StagedFile::with_local(local, id, &inner.files, inner.owner(), state)
}
