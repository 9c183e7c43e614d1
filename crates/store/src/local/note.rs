//! Notes of removals: which folders may have to go, should the process end between the removal of a key
//! and that of the folders that were made only for it.
//!
//! A note is an empty-handed promise: whoever opens the store next removes those of the folders that
//! nobody asked for and nothing is in, which harms nobody at any time, and then the note.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, OFlags, openat, unlinkat};

use super::folder::{FILE_MODE, entries, failed, failed_io, open_file};
use super::inner::{Inner, Part};
use super::object::stat;
use crate::Result;

/// What the names of notes begin with, among other temporary files.
const PREFIX: &str = "prune-";

/// Longest note that is read: a key's path, as JSON.
const BYTES_MAX: u64 = 16 << 10;

/// A note, which goes when it is dropped.
#[derive(Debug)]
pub(super) struct Note {
    folder: OwnedFd,
    name: String,
}

impl Inner {
    /// Notes that the folders `names`, of which `innermost` is open, may have to go. `None`: they stay,
    /// for somebody made them.
    pub(super) fn note_pruning(
        &self,
        names: &[String],
        innermost: &OwnedFd,
    ) -> Result<Option<Note>> {
        if names.is_empty() {
            return Ok(None);
        }
        let prefix = names.join("/") + "/";
        if !self
            .record(innermost, stat(innermost)?.st_ino, &prefix)?
            .implicit
        {
            return Ok(None);
        }
        let folder = self.part(Part::Temp)?;
        let name = format!("{PREFIX}{}", self.new_name());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file = openat(&folder, &name, flags, FILE_MODE)
            .map_err(|errno| failed("note a removal", errno))?;
        let note = Note { folder, name };
        let mut file = File::from(file);
        (file.write_all(prefix.as_bytes())).map_err(|error| failed_io("note a removal", error))?;
        self.flush(&file)?;
        Ok(Some(note))
    }

    /// Does what the notes of others say. What cannot be done stays for the next time.
    pub(super) fn prune_noted(&self) {
        let Ok(Some(folder)) = self.part_if_there(Part::Temp) else {
            return;
        };
        let Ok(found) = entries(&folder) else { return };
        for (name, _) in found.flatten() {
            if !name.starts_with(PREFIX) {
                continue;
            }
            let mut prefix = String::new();
            let read = open_file(&folder, &name)
                .map(|file| File::from(file).take(BYTES_MAX).read_to_string(&mut prefix));
            let Ok(Ok(_)) = read else { continue };
            let names: Vec<String> = (prefix.trim_end_matches('/').split('/'))
                .map(str::to_owned)
                .collect();
            let is_path = names.iter().all(|name| !matches!(&**name, "" | "." | ".."));
            // One that was cut off by a crash was followed by nothing.
            if !prefix.ends_with('/') || !is_path || self.prune_shown(&names).is_ok() {
                let _ = unlinkat(&folder, &name, AtFlags::empty());
            }
        }
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        // One that stays is looked at again, and changes nothing.
        let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
    }
}
