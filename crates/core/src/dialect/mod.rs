//! How attributes lie in an object's user metadata.
//!
//! Programs that keep files in buckets have their own ways of it ([`Ways`]). All of them are read, and
//! one of them is written, by choice: by default that of AWS `DataSync`, `FSx` for Lustre and Storage
//! Gateway. A symlink is an object whose body is the target, in all of them. Extended attributes go to
//! `cloudmount-xattr`, or to where s3fs has them.
//!
//! Laws:
//! - What is not ours in the metadata is kept as it is.
//! - Whatever is written says the same in every way that the metadata already had: the next program
//!   that reads its own way sees what was set here. So, where two ways disagree, somebody else wrote
//!   after us in his way only, and his is what counts.

mod time;
mod ways;
mod xattrs;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use cloudmount_store::Metadata;
use cloudmount_vfs::{Error, ErrorKind, NodeKind, Permissions, Result, Timestamp};

use self::ways::{ALL, AWS, RCLONE, S3FS, TimeField, Ways};

/// What S3 takes of user metadata, names and values together ("Working with object metadata").
const USER_BYTES_MAX: usize = 2048;

/// Where rclone keeps the MD5 of what it uploaded in parts. It is wrong for any other content.
const RCLONE_MD5: &str = "md5chksum";

/// Extended attributes by name.
pub type Xattrs = BTreeMap<String, Bytes>;

/// The way in which attributes are written to objects that say them in no way yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Dialect {
    /// That of AWS `DataSync`, `FSx` for Lustre and Storage Gateway: `file-permissions` and so on.
    #[default]
    Aws,
    /// That of s3fs: `mode`, `mtime` and so on, the mode in decimal.
    S3fs,
    /// That of rclone with `--metadata`: the same names, the mode in octal.
    Rclone,
}

impl Dialect {
    const fn ways(self) -> &'static Ways {
        match self {
            Self::Aws => &AWS,
            Self::S3fs => &S3FS,
            Self::Rclone => &RCLONE,
        }
    }
}

/// What metadata say of a file; `None` where they say nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stored {
    /// File type of the mode.
    pub kind: Option<NodeKind>,
    /// Permission bits of the mode.
    pub permissions: Option<Permissions>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last change of content.
    pub mtime: Option<Timestamp>,
    /// Last access, where someone set it.
    pub atime: Option<Timestamp>,
    /// Extended attributes of the namespace `user.`.
    pub xattrs: Xattrs,
}

/// Attributes to be written.
#[derive(Clone, Debug)]
pub struct ToStore<'a> {
    /// File type of the mode.
    pub kind: NodeKind,
    /// Permission bits of the mode.
    pub permissions: Permissions,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last access, where someone set it.
    pub atime: Option<Timestamp>,
    /// Extended attributes.
    pub xattrs: &'a Xattrs,
}

/// Reads all dialects. What cannot be understood counts as not there.
#[must_use]
pub fn read(metadata: &Metadata) -> Stored {
    let user = &metadata.user;
    let number =
        |say: fn(&Ways, &ways::User) -> Option<u32>| latest(|ways| say(ways, user), |a, b| a == b);
    let time = |field: TimeField| {
        latest(|ways| ways.time(field, user), ways::is_same_time).map(|(time, _)| time)
    };
    let mode = latest(|ways| ways.mode(user), ways::is_same_mode);
    let xattrs = match (xattrs::ours(user), xattrs::of_s3fs(user)) {
        (_, Some(xattrs)) | (Some(xattrs), None) => xattrs,
        (None, None) => Xattrs::new(),
    };
    Stored {
        kind: mode.and_then(ways::kind_of_mode),
        permissions: mode.map(Permissions::from_mode),
        uid: number(Ways::uid),
        gid: number(Ways::gid),
        mtime: time(TimeField::Modified),
        atime: time(TimeField::Accessed),
        xattrs,
    }
}

/// Of what the ways say: the first one's word, unless a later one says something else. Where none of
/// them says anything, common words count.
fn latest<T: Copy>(say: impl Fn(&Ways) -> Option<T>, is_same: impl Fn(T, T) -> bool) -> Option<T> {
    let (last, own): (Vec<&Ways>, Vec<&Ways>) =
        ALL.into_iter().partition(|ways| ways.is_last_word());
    let mut said = own.into_iter().filter_map(&say);
    let Some(first) = said.next() else {
        return last.into_iter().find_map(&say);
    };
    Some(said.find(|&other| !is_same(first, other)).unwrap_or(first))
}

/// Writes the attributes over `metadata`, which keep everything else: in `dialect`, and in every
/// other one that they already have.
///
/// # Errors
/// `NoSpace` when the store would not take so much.
pub fn write(metadata: &mut Metadata, attributes: &ToStore<'_>, dialect: Dialect) -> Result<()> {
    let user = &mut metadata.user;
    for ways in ALL {
        ways.renew(user, attributes);
    }
    dialect.ways().complete(user, attributes);
    xattrs::write(user, attributes.xattrs, dialect);
    let bytes: usize = user
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > USER_BYTES_MAX {
        return Err(Error::new(
            ErrorKind::NoSpace,
            format!("{bytes} bytes of metadata, the store takes {USER_BYTES_MAX}"),
        ));
    }
    Ok(())
}

/// Takes out what others wrote about a content that is no longer the object's.
pub fn forget_content(metadata: &mut Metadata) {
    metadata.user.remove(RCLONE_MD5);
}
