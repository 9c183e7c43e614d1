//! [`Record`]: what the store remembers of a file or folder besides its bytes.
//!
//! A record is JSON in the extended attribute [`ATTRIBUTE`], so it goes with the file when someone
//! moves it. Where attributes are missing or too small it is a file in `.cloudmount/meta/`, named
//! after the inode number; it holds for that number under that key only. A file without a record has
//! default metadata; so has one whose record makes no sense, since other programs can write there.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::fd::AsFd;

use cloudmount_vfs::Timestamp;
use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, XattrFlags, fgetxattr, fremovexattr, fsetxattr, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::MetadataPlace;
use super::folder::{failed, failed_io, open_file};
use super::inner::{Inner, Part};
use super::temp::TempFile;
use crate::{Metadata, Result, Tags};

/// The name of the extended attribute.
pub(super) const ATTRIBUTE: &str = "user.cloudmount.meta";

/// Largest record that is read: metadata of 2 KiB are at most six times as long in JSON.
const RECORD_BYTES_MAX: usize = 64 << 10;

/// Where records lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Home {
    /// In attributes; in files where an attribute is too small.
    Attribute,
    /// In files.
    Sidecar,
}

/// What is remembered.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    /// A folder that was made only because a key below it needs it: it is no marker, and goes with
    /// the last such key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) implicit: bool,
    /// When a marker was written: seconds since 1970 and nanoseconds. A folder's own time changes
    /// with every name in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) written: Option<(i64, u32)>,
    /// The record was too large for an attribute: this is a sign that it lies in a file.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sidecar: bool,
    /// What travels with the object.
    #[serde(with = "MetadataText", flatten)]
    pub(super) metadata: Metadata,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(remote = "Metadata", default)]
struct MetadataText {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    /// This store has none.
    #[serde(skip)]
    tags: Tags,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user: BTreeMap<String, String>,
}

/// A record in a file, with the key that it holds for.
#[derive(Serialize, Deserialize)]
struct Sidecar {
    key: String,
    record: Record,
}

impl Record {
    /// The record of a file with that metadata.
    pub(super) fn of(metadata: Metadata) -> Self {
        Self {
            metadata,
            ..Self::default()
        }
    }

    /// The record of a marker that was written then.
    pub(super) fn marker(metadata: Metadata, written: Timestamp) -> Self {
        Self {
            written: Some((written.secs(), written.nanos())),
            ..Self::of(metadata)
        }
    }

    /// The record of a folder that is no marker.
    pub(super) fn implicit() -> Self {
        Self {
            implicit: true,
            ..Self::default()
        }
    }
}

impl Inner {
    /// Finds out where records lie.
    pub(super) fn find_home(&self) -> Home {
        if self.settings.metadata == MetadataPlace::Sidecar {
            return Home::Sidecar;
        }
        let supported = match self.state_folder() {
            Some(folder) => fsetxattr(folder, ATTRIBUTE, b"{}", XattrFlags::empty()),
            // Nothing can be written; what can be read tells enough.
            None => attribute(&self.root).map(|_| ()),
        };
        match supported {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => Home::Sidecar,
            _ => Home::Attribute,
        }
    }

    /// The record of an open file or folder.
    pub(super) fn record(&self, of: impl AsFd, inode: u64, key: &str) -> Result<Record> {
        if self.home == Home::Sidecar {
            return self.sidecar(inode, key);
        }
        let json = match attribute(of) {
            Ok(json) => json,
            Err(Errno::NODATA | Errno::OPNOTSUPP) => return Ok(Record::default()),
            Err(errno) => return Err(failed(format!("read the metadata of {key:?}"), errno)),
        };
        let record: Record = serde_json::from_slice(&json).unwrap_or_default();
        match record.sidecar {
            true => self.sidecar(inode, key),
            false => Ok(record),
        }
    }

    fn sidecar(&self, inode: u64, key: &str) -> Result<Record> {
        let what = || format!("read the metadata of {key:?}");
        let Some(meta) = self.part_if_there(Part::Meta)? else {
            return Ok(Record::default());
        };
        let file = match open_file(meta, &sidecar_name(inode)) {
            Ok(file) => std::fs::File::from(file),
            Err(Errno::NOENT) => return Ok(Record::default()),
            Err(errno) => return Err(failed(what(), errno)),
        };
        let mut json = Vec::new();
        let most = RECORD_BYTES_MAX as u64;
        (file.take(most).read_to_end(&mut json)).map_err(|error| failed_io(what(), error))?;
        let found: Option<Sidecar> = serde_json::from_slice(&json).ok();
        let record = found.filter(|sidecar| sidecar.key == key);
        Ok(record.map(|sidecar| sidecar.record).unwrap_or_default())
    }

    /// Replaces the record of an open file or folder.
    pub(super) fn set_record(
        &self,
        of: impl AsFd,
        inode: u64,
        key: &str,
        record: &Record,
    ) -> Result<()> {
        let what = || format!("write the metadata of {key:?}");
        if self.home == Home::Sidecar {
            return self.set_sidecar(inode, key, record);
        }
        if *record == Record::default() {
            return match fremovexattr(of, ATTRIBUTE) {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
                Err(errno) => Err(failed(what(), errno)),
            };
        }
        match set_attribute(&of, record) {
            Err(Errno::NOSPC | Errno::TOOBIG | Errno::RANGE | Errno::DQUOT) => {}
            set => return set.map_err(|errno| failed(what(), errno)),
        }
        self.set_sidecar(inode, key, record)?;
        let sign = Record {
            sidecar: true,
            ..Record::default()
        };
        set_attribute(of, &sign).map_err(|errno| failed(what(), errno))
    }

    fn set_sidecar(&self, inode: u64, key: &str, record: &Record) -> Result<()> {
        if *record == Record::default() {
            return self.forget_sidecar(inode);
        }
        let sidecar = Sidecar {
            key: key.to_owned(),
            record: record.clone(),
        };
        let temp = TempFile::new(self)?;
        let meta = self.part(Part::Meta)?;
        temp.write([&*json(&sidecar)])?;
        self.flush(temp.file())?;
        temp.rename(&meta, &sidecar_name(inode))
            .map_err(|errno| failed(format!("write the metadata of {key:?}"), errno))?;
        self.flush(meta)
    }

    /// Removes what is left of the record of a file that is gone.
    pub(super) fn forget(&self, of: impl AsFd, inode: u64) -> Result<()> {
        let sidecar = match self.home {
            Home::Sidecar => true,
            Home::Attribute => attribute(of)
                .ok()
                .and_then(|json| serde_json::from_slice::<Record>(&json).ok())
                .is_some_and(|record| record.sidecar),
        };
        match sidecar {
            true => self.forget_sidecar(inode),
            false => Ok(()),
        }
    }

    fn forget_sidecar(&self, inode: u64) -> Result<()> {
        let Some(meta) = self.part_if_there(Part::Meta)? else {
            return Ok(());
        };
        match unlinkat(meta, sidecar_name(inode), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(failed("remove metadata", errno)),
        }
    }
}

fn sidecar_name(inode: u64) -> String {
    format!("{inode:x}.json")
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text, numbers and maps with text for keys are valid JSON")
}

fn set_attribute(of: impl AsFd, record: &Record) -> rustix::io::Result<()> {
    fsetxattr(of, ATTRIBUTE, &json(record), XattrFlags::empty())
}

/// The attribute, whole.
fn attribute(of: impl AsFd) -> rustix::io::Result<Vec<u8>> {
    /// Fits what ext4 keeps for one inode, so that one call is enough nearly always.
    const USUAL: usize = 4096;
    let mut value = Vec::with_capacity(USUAL);
    match fgetxattr(&of, ATTRIBUTE, spare_capacity(&mut value)) {
        Ok(_) => return Ok(value),
        Err(Errno::RANGE) => {}
        Err(errno) => return Err(errno),
    }
    value.reserve_exact(RECORD_BYTES_MAX);
    fgetxattr(of, ATTRIBUTE, spare_capacity(&mut value))?;
    Ok(value)
}
