//! [`TempFile`]: content on its way. It lies in `.cloudmount/tmp/` until it is whole, and is moved
//! into place in one step; it is removed if that never happens.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Mode, OFlags, Timespec, Timestamps, fchmod, fstat, futimens, openat, renameat,
    unlinkat,
};
use rustix::io::Errno;

use super::folder::{FILE_MODE, failed, failed_io};
use super::inner::{Inner, Part};
use super::stamp::Stamp;
use crate::Result;

/// Small pieces are gathered to writes of this size.
const WRITE_BYTES: usize = 256 << 10;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct TempFile {
    folder: OwnedFd,
    name: String,
    file: File,
    moved: Cell<bool>,
}

impl TempFile {
    /// An empty file.
    pub(super) fn new(inner: &Inner) -> Result<Self> {
        let folder = inner.part(Part::Temp)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        loop {
            let name = inner.new_name();
            match openat(&folder, &name, flags, FILE_MODE) {
                Ok(file) => {
                    return Ok(Self {
                        folder,
                        name,
                        file: file.into(),
                        moved: Cell::new(false),
                    });
                }
                // Left over from a store that had our process number and our time: count on.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("make a temporary file", errno)),
            }
        }
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Adds pieces of content.
    pub(super) fn write<B: AsRef<[u8]>>(&self, pieces: impl IntoIterator<Item = B>) -> Result<()> {
        let failed = |error| failed_io("write content", error);
        let mut writer = BufWriter::with_capacity(WRITE_BYTES, &self.file);
        for piece in pieces {
            writer.write_all(piece.as_ref()).map_err(failed)?;
        }
        writer.flush().map_err(failed)
    }

    /// Gives it a time of writing that no other file of this store has.
    pub(super) fn stamp(&self, inner: &Inner) -> Result<()> {
        let time = inner.new_stamp();
        let time = Timespec {
            tv_sec: time.secs(),
            tv_nsec: time.nanos().into(),
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        futimens(&self.file, &times).map_err(|errno| failed("set the time of a file", errno))
    }

    pub(super) fn stamp_now(&self) -> Result<Stamp> {
        let stat = fstat(&self.file).map_err(|errno| failed("look at a file", errno))?;
        Ok(Stamp::of(&stat))
    }

    /// Gives it the permissions of the file that it will replace, so that replacing a private file
    /// does not publish it.
    pub(super) fn set_permissions(&self, mode: Mode) -> Result<()> {
        fchmod(&self.file, mode).map_err(|errno| failed("set permissions", errno))
    }

    /// Moves it into place, over what is there.
    pub(super) fn rename(&self, folder: &OwnedFd, name: &str) -> rustix::io::Result<()> {
        renameat(&self.folder, &self.name, folder, name)?;
        self.moved.set(true);
        Ok(())
    }

    /// Moves it back from where it was moved to.
    pub(super) fn take_back(&self, folder: &OwnedFd, name: &str) -> Result<()> {
        renameat(folder, name, &self.folder, &self.name)
            .map_err(|errno| failed("move content back", errno))?;
        self.moved.set(false);
        Ok(())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        if !self.moved.get() {
            // What cannot be removed now is removed when it is a day old.
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}
