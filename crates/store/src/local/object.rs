//! Finding what lies under a key.

use std::os::fd::{AsFd, OwnedFd};

use cloudmount_vfs::Timestamp;
use rustix::fs::{FileType, Mode, Stat, fstat};
use rustix::io::Errno;

use super::folder::{Kind, entries, failed, is_absent, open_file};
use super::inner::Inner;
use super::place;
use super::record::Record;
use super::stamp::{Stamp, nanos};
use crate::{Error, ErrorKind, Key, Metadata, ObjectMeta, Result, Version};

/// How often an object is opened again because it was replaced at that very moment.
const REPLACED_MAX: u32 = 64;

/// What lies under a key.
#[derive(Debug)]
pub(super) enum Found {
    /// An ordinary file, open for reading.
    File {
        file: OwnedFd,
        stamp: Stamp,
        mode: Mode,
    },
    /// A folder that is a marker.
    Folder {
        folder: OwnedFd,
        stamp: Stamp,
        record: Box<Record>,
    },
}

impl Found {
    pub(super) fn version(&self) -> Version {
        match self {
            Self::File { stamp, .. } => stamp.version(),
            Self::Folder { stamp, record, .. } => folder_version(stamp, record),
        }
    }

    pub(super) const fn size(&self) -> u64 {
        match self {
            Self::File { stamp, .. } => stamp.size,
            Self::Folder { .. } => 0,
        }
    }

    pub(super) fn modified(&self) -> Timestamp {
        match self {
            Self::File { stamp, .. } => stamp.modified(),
            Self::Folder { stamp, record, .. } => folder_modified(stamp, record),
        }
    }
}

/// The version of a marker that is a folder: what it holds does not count.
pub(super) fn folder_version(stamp: &Stamp, record: &Record) -> Version {
    let written = record
        .written
        .map_or(0, |(secs, ns)| nanos(Timestamp::new(secs, ns)));
    Version::new(format!("\"{:x}-{written:x}-folder\"", stamp.inode))
}

/// When a marker was written; of a folder that another program made, its own time.
pub(super) fn folder_modified(stamp: &Stamp, record: &Record) -> Timestamp {
    (record.written).map_or_else(|| stamp.modified(), |(secs, ns)| Timestamp::new(secs, ns))
}

/// Whether a folder with that record is a marker. One in which no key lies any more is, whatever it
/// was made for: else it would be a folder that no listing shows.
fn is_marker(key: &Key, folder: &OwnedFd, record: &Record) -> Result<bool> {
    if !record.implicit {
        return Ok(true);
    }
    for entry in entries(folder)? {
        let (name, kind) = entry?;
        if fits(key.as_str(), &name, kind) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether something of that name in the folder `prefix` has a key, which can be too long. A folder
/// needs room for its marker at least.
pub(super) fn fits(prefix: &str, name: &str, kind: Kind) -> bool {
    let slash = usize::from(kind == Kind::Folder);
    prefix.len() + name.len() + slash <= Key::MAX_BYTES
}

pub(super) fn stat(of: impl AsFd) -> Result<Stat> {
    fstat(of).map_err(|errno| failed("look at a file", errno))
}

impl Inner {
    /// What lies under `key`, if anything does.
    pub(super) fn find(&self, key: &Key) -> Result<Option<Found>> {
        if key.is_marker() {
            return match self.find_hidden(key)? {
                None => self.find_folder(key),
                found => Ok(found),
            };
        }
        match self.find_shown(key)? {
            None => self.find_hidden(key),
            found => Ok(found),
        }
    }

    /// As [`Self::find`], as an error if nothing is there. For who does not have the right to change names: a folder
    /// that a removal emptied just now is no marker, and goes before that gives the right back.
    pub(super) fn object(&self, key: &Key) -> Result<Found> {
        let mut found = self.find(key)?;
        if let Some(Found::Folder { record, .. }) = &found
            && record.implicit
        {
            // Where nothing can be changed, nothing is being removed.
            let _commit = self.commit().ok();
            found = self.find(key)?;
        }
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("object {key:?}")))
    }

    pub(super) fn metadata(&self, key: &Key, found: &Found) -> Result<Metadata> {
        match found {
            Found::Folder { record, .. } => Ok(record.metadata.clone()),
            Found::File { file, stamp, .. } => {
                Ok(self.record(file, stamp.inode, key.as_str())?.metadata)
            }
        }
    }

    /// The object under `key` and what is told of it.
    pub(super) fn look_up(&self, key: &Key) -> Result<(Found, ObjectMeta)> {
        for _ in 0..REPLACED_MAX {
            let found = self.object(key)?;
            let meta = ObjectMeta {
                size: found.size(),
                version: found.version(),
                modified: found.modified(),
                metadata: self.metadata(key, &found)?,
            };
            match &found {
                // It was replaced after it was opened, and its record may have gone before it was
                // read.
                Found::File { file, .. } if stat(file)?.st_nlink < 1 => {}
                _ => return Ok((found, meta)),
            }
        }
        let context = format!("{key:?} is replaced as fast as it is opened");
        Err(Error::new(ErrorKind::Throttled, context))
    }

    /// The file in the shown tree.
    fn find_shown(&self, key: &Key) -> Result<Option<Found>> {
        let Some(path) = place::shown(key) else {
            return Ok(None);
        };
        match self.shown_folder(&path.folders)? {
            Some(parent) => open(key, &parent, &path.name),
            None => Ok(None),
        }
    }

    /// The file in the hidden tree.
    pub(super) fn find_hidden(&self, key: &Key) -> Result<Option<Found>> {
        let path = place::hidden(key);
        match self.hidden_folder(&path.folders)? {
            Some(parent) => open(key, &parent, &path.name),
            None => Ok(None),
        }
    }

    /// The folder in the shown tree that is the marker `key`.
    fn find_folder(&self, key: &Key) -> Result<Option<Found>> {
        let Some(names) = place::shown_folder(key.as_str()) else {
            return Ok(None);
        };
        let Some(folder) = self.shown_folder(&names)? else {
            return Ok(None);
        };
        let stamp = Stamp::of(&stat(&folder)?);
        let record = self.record(&folder, stamp.inode, key.as_str())?;
        let found = Found::Folder {
            stamp,
            record: Box::new(record),
            folder,
        };
        match &found {
            Found::Folder { folder, record, .. } if !is_marker(key, folder, record)? => Ok(None),
            _ => Ok(Some(found)),
        }
    }
}

/// The ordinary file `name`, which holds `key`.
pub(super) fn open(key: &Key, parent: &OwnedFd, name: &str) -> Result<Option<Found>> {
    let file = match open_file(parent, name) {
        Ok(file) => file,
        // NXIO: a socket.
        Err(errno) if is_absent(errno) || errno == Errno::NXIO => return Ok(None),
        Err(errno) => return Err(failed(format!("open {key:?}"), errno)),
    };
    let stat = stat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    Ok(Some(Found::File {
        file,
        stamp: Stamp::of(&stat),
        mode: Mode::from_raw_mode(stat.st_mode),
    }))
}
