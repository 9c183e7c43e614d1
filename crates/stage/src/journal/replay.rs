//! Replay: the state that a journal describes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::record::{Change, FileRecord, KeyRecord};
use crate::ranges::RangeSet;

/// The state that a journal describes.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Replayed {
    /// What is pending, by key.
    pub(crate) keys: BTreeMap<String, KeyRecord>,
    /// Staged files. Those that no key wants are left-overs.
    pub(crate) files: HashMap<u64, FileRecord>,
    /// Files that were wanted once and are not any more.
    pub(crate) done: RangeSet,
    /// Keys of multipart uploads that exist, by upload.
    pub(crate) uploads: BTreeMap<String, String>,
    /// Multipart uploads of which nobody knows whether they exist: their key, and when they were to
    /// begin.
    pub(crate) intents: BTreeSet<(String, i64)>,
    /// The start of the machine in which it was written.
    pub(crate) boot: String,
    /// The next free file number.
    pub(crate) next_file: u64,
    /// Bytes of the log up to its last whole record; 0 if there is no log.
    pub(crate) good_bytes: u64,
    /// Bytes of the log that were not readable, at its end.
    pub(crate) torn_bytes: u64,
}

impl Replayed {
    /// Applies one record.
    pub(crate) fn apply(&mut self, record: Vec<Change>) {
        for change in record {
            self.apply_one(change);
        }
    }

    fn apply_one(&mut self, change: Change) {
        match change {
            Change::Opened {
                boot,
                next_file,
                done,
            } => {
                for (start, end) in done {
                    self.done.insert(start..end);
                }
                self.boot = boot;
                self.next_file = self.next_file.max(next_file);
            }
            Change::Key(record) => {
                self.keys.insert(record.key.clone(), record);
            }
            Change::Settled { key } => {
                self.keys.remove(&key);
            }
            Change::File(record) => {
                self.next_file = self.next_file.max(record.id + 1);
                self.files.insert(record.id, record);
            }
            Change::Wrote { file, start, end } => self.with_file(file, |file| {
                file.present.push((start, end));
                file.dirty.push((start, end));
            }),
            Change::Away { file, away } => self.with_file(file, |file| match &mut file.away {
                Some(before) if before.upload == away.upload => before.parts.extend(away.parts),
                before => *before = Some(Box::new(away)),
            }),
            Change::Filled { file, start, end } => self.with_file(file, |file| {
                file.present.push((start, end));
            }),
            Change::Resized {
                file,
                size,
                base_limit,
            } => self.with_file(file, |file| {
                file.size = size;
                file.base_limit = base_limit;
                cut(&mut file.present, base_limit);
                cut(&mut file.dirty, base_limit);
            }),
            Change::Sending { key, sent } => {
                if let Some(record) = self.keys.get_mut(&key)
                    && !record.sent.contains(&sent)
                {
                    record.sent.push(sent);
                }
            }
            Change::UploadIntended { key, at } => {
                self.intents.insert((key, at));
            }
            Change::IntentEnded { key, at } => {
                self.intents.remove(&(key, at));
            }
            Change::UploadStarted { key, upload } => {
                self.uploads.insert(upload, key);
            }
            Change::UploadEnded { upload } => {
                self.uploads.remove(&upload);
            }
        }
    }

    fn with_file(&mut self, id: u64, change: impl FnOnce(&mut FileRecord)) {
        if let Some(file) = self.files.get_mut(&id) {
            change(file);
        }
    }

    /// Forgets the files that no key wants, but for their numbers.
    pub(crate) fn forget_unwanted_files(&mut self) {
        let mut wanted = HashMap::new();
        for file in self.keys.values().flat_map(KeyRecord::files) {
            if let Some(found) = self.files.remove(&file) {
                wanted.insert(file, found);
            }
        }
        self.done
            .extend(&self.files.keys().map(|id| *id..*id + 1).collect());
        self.files = wanted;
    }
}

fn cut(ranges: &mut Vec<(u64, u64)>, limit: u64) {
    ranges.retain_mut(|(start, end)| {
        *end = limit.min(*end);
        start < end
    });
}
