//! Putting something below folders that may be missing, in one step.
//!
//! Missing folders are made aside, as a chain in `.cloudmount/tmp/` with what they are for in the
//! innermost, and the outermost is moved into place. So no listing sees an empty folder that is about
//! to be filled, and a program that removes empty folders finds none.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, RenameFlags, mkdirat, renameat, renameat_with, unlinkat};
use rustix::io::Errno;

use super::folder::{FOLDER_MODE, failed, failed_io, is_absent, open_folder, walk};
use super::inner::{Inner, Part};
use super::object::stat;
use super::record::Record;
use crate::Result;

/// How far a path of folders is there.
pub(super) enum Reach {
    /// All of it.
    Whole(OwnedFd),
    /// So many of its folders; the last one of them is open.
    Partly(OwnedFd, usize),
    /// Something that is no folder is in the way.
    Occupied,
}

/// Folders one in the other, not yet in place.
pub(super) struct Chain<'a> {
    inner: &'a Inner,
    temp: OwnedFd,
    /// The name of the outermost for the time being.
    temp_name: String,
    /// The names that they will have.
    names: &'a [String],
    pub(super) innermost: OwnedFd,
}

/// What became of moving a chain into place.
pub(super) enum Moved {
    /// It is there.
    Yes,
    /// Something else is there now, or the folder above is gone: look again.
    Raced,
}

impl Inner {
    /// How far the folders `names` are there.
    pub(super) fn reach(&self, names: &[String]) -> Result<Reach> {
        if let Some(whole) = self.shown_folder(names)? {
            return Ok(Reach::Whole(whole));
        }
        let mut here = (self.root.try_clone()).map_err(|e| failed_io("open a folder", e))?;
        for (depth, name) in names.iter().enumerate() {
            here = match open_folder(&here, name) {
                Ok(next) => next,
                Err(Errno::NOENT) => return Ok(Reach::Partly(here, depth)),
                Err(errno) if is_absent(errno) => return Ok(Reach::Occupied),
                Err(errno) => return Err(failed(format!("open the folder {name:?}"), errno)),
            };
        }
        Ok(Reach::Whole(here))
    }

    /// Makes the folders of `names` from `depth` on, aside. All are there for keys below them only,
    /// but for the innermost, which gets `record`. `None` if the filesystem takes no such names.
    pub(super) fn chain<'a>(
        &'a self,
        names: &'a [String],
        depth: usize,
        record: &Record,
    ) -> Result<Option<Chain<'a>>> {
        let failed = |errno| failed("make a folder", errno);
        let temp = self.part(Part::Temp)?;
        let temp_name = self.new_name();
        mkdirat(&temp, &temp_name, FOLDER_MODE).map_err(failed)?;
        let innermost = open_folder(&temp, &temp_name).map_err(failed)?;
        // From here on dropping it removes what there is of it.
        let mut chain = Chain {
            inner: self,
            temp,
            temp_name,
            names: &names[depth..],
            innermost,
        };
        let mut prefix: String = names[..depth]
            .iter()
            .map(|name| format!("{name}/"))
            .collect();
        for (index, name) in chain.names.iter().enumerate() {
            if index > 0 {
                match mkdirat(&chain.innermost, name, FOLDER_MODE) {
                    Ok(()) => {}
                    Err(Errno::NAMETOOLONG | Errno::ILSEQ) => return Ok(None),
                    Err(errno) => return Err(failed(errno)),
                }
                let next = open_folder(&chain.innermost, name).map_err(failed)?;
                self.flush(&chain.innermost)?;
                chain.innermost = next;
            }
            prefix.push_str(name);
            prefix.push('/');
            let implicit = Record::implicit();
            let last = index + 1 == chain.names.len();
            let record = if last { record } else { &implicit };
            let inode = stat(&chain.innermost)?.st_ino;
            self.set_record(&chain.innermost, inode, &prefix, record)?;
            self.flush(&chain.innermost)?;
        }
        Ok(Some(chain))
    }
}

impl Chain<'_> {
    /// Moves it into `parent`.
    pub(super) fn move_into(&self, parent: &OwnedFd) -> Result<Moved> {
        let (temp, from, to) = (&self.temp, &self.temp_name, &self.names[0]);
        let moved = match renameat_with(temp, from, parent, to, RenameFlags::NOREPLACE) {
            // Filesystems that lack this flag: an empty folder at most is replaced.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => renameat(temp, from, parent, to),
            moved => moved,
        };
        match moved {
            Ok(()) => {
                self.inner.flush(parent)?;
                Ok(Moved::Yes)
            }
            Err(Errno::NOENT | Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => Ok(Moved::Raced),
            Err(errno) => Err(failed(format!("make the folder {to:?}"), errno)),
        }
    }

    /// Removes the folders, from the inside out, with their records.
    fn remove(&self) -> Result<()> {
        let mut path = vec![self.temp_name.clone()];
        path.extend_from_slice(&self.names[1..]);
        for depth in (0..path.len()).rev() {
            let Some(parent) = walk(&self.temp, &path[..depth])? else {
                continue;
            };
            let Ok(folder) = open_folder(&parent, &path[depth]) else {
                continue;
            };
            self.inner.forget(&folder, stat(&folder)?.st_ino)?;
            (unlinkat(parent, &path[depth], AtFlags::REMOVEDIR))
                .map_err(|errno| failed("clean up", errno))?;
        }
        Ok(())
    }
}

impl Drop for Chain<'_> {
    fn drop(&mut self) {
        // Once it is in place there is nothing under its first name. What cannot be removed now is
        // removed when it is a day old.
        let _ = self.remove();
    }
}
