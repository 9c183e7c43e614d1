//! Writing: content goes to a temporary file first; then, under the commit lock, the precondition is
//! checked and the file moved into place. So an object is replaced whole or not at all.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, mkdirat, statat};
use rustix::io::Errno;

use super::folder::{FOLDER_MODE, failed, failed_io, is_absent, open_folder};
use super::inner::{Commit, Inner, Part};
use super::make::{Moved, Reach};
use super::object::{Found, folder_version, stat};
use super::place::{self, Path};
use super::record::Record;
use super::stamp::Stamp;
use super::temp::TempFile;
use super::upload::Upload;
use crate::rules::{check_metadata, check_precondition, check_tags};
use crate::{
    Error, ErrorKind, Key, LocalStore, Metadata, Payload, Precondition, PutOptions, Result, Version,
};

/// How often a step is done again because another program made or removed a folder under it: each
/// time it must do so within microseconds.
const RACES_MAX: u32 = 64;

/// What a write is for.
pub(super) struct Target<'a> {
    pub(super) key: &'a Key,
    pub(super) metadata: &'a Metadata,
    pub(super) precondition: &'a Precondition,
    /// The upload that it completes: it must be there still, and is used up by it.
    pub(super) upload: Option<&'a Upload>,
}

impl Inner {
    pub(super) fn put(
        &self,
        key: &Key,
        payload: &Payload,
        options: &PutOptions,
    ) -> Result<Version> {
        check_metadata(&options.metadata)?;
        check_tags(&LocalStore::CAPABILITIES, &options.metadata)?;
        let target = Target {
            key,
            metadata: &options.metadata,
            precondition: &options.precondition,
            upload: None,
        };
        if payload.is_empty()
            && let Some(version) = self.put_folder(&target)?
        {
            return Ok(version);
        }
        let temp = TempFile::new(self)?;
        temp.write(&payload.0)?;
        self.finish(&temp, &target)
    }

    /// Makes the content of `temp` the object.
    pub(super) fn finish(&self, temp: &TempFile, target: &Target<'_>) -> Result<Version> {
        let key = target.key;
        temp.stamp(self)?;
        let inode = temp.stamp_now()?.inode;
        let record = Record::of(target.metadata.clone());
        self.set_record(temp.file(), inode, key.as_str(), &record)?;
        self.flush(temp.file())?;
        let commit = self.commit()?;
        let placed = (self.check(target)).and_then(|old| {
            self.place(temp, key, old.as_ref())?;
            Ok(old)
        });
        let old = match placed {
            Ok(old) => old,
            Err(error) => {
                self.forget(temp.file(), inode)?;
                return Err(error);
            }
        };
        if let Some(Found::File { file, stamp, .. }) = &old {
            self.forget(file, stamp.inode)?;
        }
        self.used_up(target, commit)?;
        Ok(temp.stamp_now()?.version())
    }

    /// What is under the key now, if the write may go on.
    fn check(&self, target: &Target<'_>) -> Result<Option<Found>> {
        if let Some(upload) = target.upload {
            upload.check_there()?;
        }
        let old = self.find(target.key)?;
        let version = old.as_ref().map(Found::version);
        check_precondition(target.precondition, version.as_ref())?;
        Ok(old)
    }

    /// Takes the upload away under the lock, and removes it after that.
    fn used_up(&self, target: &Target<'_>, commit: Commit<'_>) -> Result<()> {
        let Some(upload) = target.upload else {
            return Ok(());
        };
        let taken = self.take_upload(upload)?;
        drop(commit);
        // The object is there: what cannot be removed now is removed when it is a day old.
        let _ = taken.map(|taken| self.remove_taken(&taken));
        Ok(())
    }

    /// Moves `temp` to where `key` belongs.
    fn place(&self, temp: &TempFile, key: &Key, old: Option<&Found>) -> Result<()> {
        if let Some(Found::File { mode, .. }) = old {
            temp.set_permissions(*mode & (Mode::RWXU | Mode::RWXG | Mode::RWXO))?;
        }
        if !key.is_marker()
            && let Some(path) = place::shown(key)
            && self.place_shown(temp, &path)?
        {
            return self.remove_hidden(key);
        }
        self.place_hidden(temp, key)
    }

    /// Moves `temp` to `path` in the shown tree; tells whether there was room for it.
    fn place_shown(&self, temp: &TempFile, path: &Path) -> Result<bool> {
        for _ in 0..RACES_MAX {
            let parent = match self.reach(&path.folders)? {
                Reach::Whole(parent) => parent,
                Reach::Occupied => return Ok(false),
                Reach::Partly(above, depth) => {
                    let implicit = Record::implicit();
                    let Some(chain) = self.chain(&path.folders, depth, &implicit)? else {
                        return Ok(false);
                    };
                    (temp.rename(&chain.innermost, &path.name))
                        .map_err(|errno| failed(format!("write {:?}", path.name), errno))?;
                    self.flush(&chain.innermost)?;
                    match chain.move_into(&above) {
                        Ok(Moved::Yes) => return Ok(true),
                        raced => {
                            temp.take_back(&chain.innermost, &path.name)?;
                            raced?;
                            continue;
                        }
                    }
                }
            };
            match statat(&parent, &path.name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                    return Ok(false);
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(errno) if is_absent(errno) => return Ok(false),
                Err(errno) => return Err(failed(format!("look at {:?}", path.name), errno)),
            }
            match temp.rename(&parent, &path.name) {
                Ok(()) => return self.flush(parent).map(|()| true),
                Err(Errno::NOENT) => {}
                Err(Errno::ISDIR) => return Ok(false),
                Err(errno) => return Err(failed(format!("write {:?}", path.name), errno)),
            }
        }
        Err(lost_races())
    }

    /// Moves `temp` to where `key` lies in the hidden tree.
    fn place_hidden(&self, temp: &TempFile, key: &Key) -> Result<()> {
        let path = place::hidden(key);
        let what = || format!("write {key:?}");
        for _ in 0..RACES_MAX {
            let mut parent = self.part(Part::Keys)?;
            let mut raced = false;
            for name in &path.folders {
                match mkdirat(&parent, name, FOLDER_MODE) {
                    Ok(()) => self.flush(&parent)?,
                    Err(Errno::EXIST) => {}
                    Err(Errno::NOENT) => raced = true,
                    Err(errno) => return Err(failed(what(), errno)),
                }
                match open_folder(&parent, name) {
                    Ok(next) => parent = next,
                    Err(Errno::NOENT) => raced = true,
                    Err(errno) => return Err(failed(what(), errno)),
                }
                if raced {
                    break;
                }
            }
            if raced {
                continue;
            }
            match temp.rename(&parent, &path.name) {
                Ok(()) => return self.flush(parent),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(failed(what(), errno)),
            }
        }
        Err(lost_races())
    }

    /// Writes a marker without content as a folder of the shown tree. `None` if it has to be a file
    /// of the hidden tree, or is no marker.
    pub(super) fn put_folder(&self, target: &Target<'_>) -> Result<Option<Version>> {
        let key = target.key;
        let names = match key.is_marker() {
            true => place::shown_folder(key.as_str()),
            false => None,
        };
        let Some(names) = names else { return Ok(None) };
        let record = Record::marker(target.metadata.clone(), self.new_stamp());
        let commit = self.commit()?;
        self.check(target)?;
        let Some(folder) = self.place_folder(&names, key, &record)? else {
            return Ok(None);
        };
        self.remove_hidden(key)?;
        self.used_up(target, commit)?;
        let stamp = Stamp::of(&stat(&folder)?);
        Ok(Some(folder_version(&stamp, &record)))
    }

    /// Gives the folder at `names` that record, making it if it is missing; `None` if there is no
    /// room for it.
    fn place_folder(
        &self,
        names: &[String],
        key: &Key,
        record: &Record,
    ) -> Result<Option<OwnedFd>> {
        for _ in 0..RACES_MAX {
            match self.reach(names)? {
                Reach::Occupied => return Ok(None),
                Reach::Whole(folder) => {
                    self.set_record(&folder, stat(&folder)?.st_ino, key.as_str(), record)?;
                    self.flush(&folder)?;
                    return Ok(Some(folder));
                }
                Reach::Partly(above, depth) => {
                    let Some(chain) = self.chain(names, depth, record)? else {
                        return Ok(None);
                    };
                    if let Moved::Yes = chain.move_into(&above)? {
                        let folder = chain.innermost.try_clone();
                        return folder.map(Some).map_err(|e| failed_io("open a folder", e));
                    }
                }
            }
        }
        Err(lost_races())
    }
}

fn lost_races() -> Error {
    Error::new(
        ErrorKind::Throttled,
        "folders vanish as fast as they are made",
    )
}
