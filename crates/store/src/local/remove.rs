//! Removing. What a key needed goes with it: folders that were made only to hold keys.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, statat, unlinkat};
use rustix::io::Errno;

use super::folder::{failed, is_absent, open_folder};
use super::inner::Inner;
use super::object::{Found, open, stat};
use super::place;
use super::record::Record;
use crate::rules::check_removal;
use crate::{Key, Removal, Result};

impl Inner {
    /// Removes the object, if there is one.
    pub(super) fn remove(&self, key: &Key) -> Result<()> {
        let _commit = self.commit()?;
        self.remove_locked(key)
    }

    /// Removes the object if it is still that version. No store of ours, in this process or another,
    /// changes it between the look and the removal.
    pub(super) fn remove_if(&self, removal: &Removal) -> Result<()> {
        let _commit = self.commit()?;
        let found = self.find(&removal.key)?.map(|found| found.version());
        check_removal(removal, found.as_ref())?;
        if found.is_none() {
            return Ok(());
        }
        self.remove_locked(&removal.key)
    }

    fn remove_locked(&self, key: &Key) -> Result<()> {
        self.remove_hidden(key)?;
        match key.is_marker() {
            true => self.remove_folder(key),
            false => self.remove_shown(key),
        }
    }

    fn remove_shown(&self, key: &Key) -> Result<()> {
        let Some(path) = place::shown(key) else {
            return Ok(());
        };
        let Some(parent) = self.shown_folder(&path.folders)? else {
            return Ok(());
        };
        let _note = self.note_pruning(&path.folders, &parent)?;
        if self.unlink(key, &parent, &path.name)? {
            self.prune_shown(&path.folders)?;
        }
        Ok(())
    }

    /// Removes the file of `key` from the hidden tree, if there is one.
    pub(super) fn remove_hidden(&self, key: &Key) -> Result<()> {
        let path = place::hidden(key);
        let Some(parent) = self.hidden_folder(&path.folders)? else {
            return Ok(());
        };
        if self.unlink(key, &parent, &path.name)? {
            self.prune_hidden(&path.folders)?;
        }
        Ok(())
    }

    /// Unlinks an ordinary file, and its record; tells whether there was one.
    fn unlink(&self, key: &Key, parent: &OwnedFd, name: &str) -> Result<bool> {
        match statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile => {}
            _ => return Ok(false),
        }
        // One that may not be read may be removed all the same.
        let opened = open(key, parent, name).ok().flatten();
        match unlinkat(parent, name, AtFlags::empty()) {
            Ok(()) => {}
            Err(errno) if is_absent(errno) => return Ok(false),
            Err(errno) => return Err(failed(format!("delete {key:?}"), errno)),
        }
        if let Some(Found::File { file, stamp, .. }) = opened {
            self.forget(file, stamp.inode)?;
        }
        self.flush(parent)?;
        Ok(true)
    }

    /// Removes a marker that is a folder. If something lies in it, it is a marker no longer.
    fn remove_folder(&self, key: &Key) -> Result<()> {
        let Some(path) = place::shown(key) else {
            return Ok(());
        };
        let Some(parent) = self.shown_folder(&path.folders)? else {
            return Ok(());
        };
        let folder = match open_folder(&parent, &path.name) {
            Ok(folder) => folder,
            Err(errno) if is_absent(errno) => return Ok(()),
            Err(errno) => return Err(failed(format!("delete {key:?}"), errno)),
        };
        let inode = stat(&folder)?.st_ino;
        let _note = self.note_pruning(&path.folders, &parent)?;
        match unlinkat(&parent, &path.name, AtFlags::REMOVEDIR) {
            Ok(()) => {
                self.forget(&folder, inode)?;
                self.flush(&parent)?;
                self.prune_shown(&path.folders)
            }
            Err(Errno::NOENT) => Ok(()),
            Err(errno) if is_in_use(errno) => {
                let record = self.record(&folder, inode, key.as_str())?;
                if record.implicit {
                    return Ok(());
                }
                self.set_record(&folder, inode, key.as_str(), &Record::implicit())?;
                self.flush(folder)
            }
            Err(errno) => Err(failed(format!("delete {key:?}"), errno)),
        }
    }

    /// Removes folders of the shown tree that nobody asked for and nothing is in, from the inside
    /// out.
    pub(super) fn prune_shown(&self, names: &[String]) -> Result<()> {
        for depth in (1..=names.len()).rev() {
            let (name, above) = (&names[depth - 1], &names[..depth - 1]);
            // Those that are gone may have been removed by somebody who did not come further.
            let Some(parent) = self.shown_folder(above)? else {
                continue;
            };
            let folder = match open_folder(&parent, name) {
                Ok(folder) => folder,
                Err(Errno::NOENT) => continue,
                Err(_) => return Ok(()),
            };
            let inode = stat(&folder)?.st_ino;
            let prefix = names[..depth].join("/") + "/";
            if !self.record(&folder, inode, &prefix)?.implicit {
                return Ok(());
            }
            if unlinkat(&parent, name, AtFlags::REMOVEDIR).is_err() {
                // Not empty; or not ours to remove, which harms no key.
                return Ok(());
            }
            self.forget(&folder, inode)?;
            self.flush(parent)?;
        }
        Ok(())
    }

    fn prune_hidden(&self, names: &[String]) -> Result<()> {
        for depth in (1..=names.len()).rev() {
            let (name, above) = (&names[depth - 1], &names[..depth - 1]);
            let Some(parent) = self.hidden_folder(above)? else {
                return Ok(());
            };
            if unlinkat(&parent, name, AtFlags::REMOVEDIR).is_err() {
                return Ok(());
            }
            self.flush(parent)?;
        }
        Ok(())
    }
}

/// Whether a folder was not removed because something is in it, or mounted on it.
fn is_in_use(errno: Errno) -> bool {
    matches!(errno, Errno::NOTEMPTY | Errno::EXIST | Errno::BUSY)
}
