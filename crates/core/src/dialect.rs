//! How attributes lie in an object's user metadata.
//!
//! Written and read is the dialect of AWS `DataSync`, `FSx` for Lustre and Storage Gateway (FSx for
//! Lustre user guide, "POSIX metadata support"): `file-permissions` is the mode in octal with the
//! file type, `file-owner` and `file-group` are decimal, `file-mtime` and `file-atime` are
//! nanoseconds since 1970 followed by `ns`. A symlink is an object whose body is the target.
//! Extended attributes have no place there; they go to `cloudmount-xattr`, as `NAME=VALUE` pairs in
//! base64 without padding, joined by commas.
//!
//! Law: what is not ours in the metadata is kept as it is.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use bytes::Bytes;
use cloudmount_store::Metadata;
use cloudmount_vfs::{Error, ErrorKind, NodeKind, Permissions, Result, Timestamp};

use crate::upload_state::UPLOAD;

const PERMISSIONS: &str = "file-permissions";
const OWNER: &str = "file-owner";
const GROUP: &str = "file-group";
const MTIME: &str = "file-mtime";
const ATIME: &str = "file-atime";
const XATTRS: &str = "cloudmount-xattr";

/// What S3 takes of user metadata, names and values together ("Working with object metadata").
const USER_BYTES_MAX: usize = 2048;

/// Extended attributes by name.
pub type Xattrs = BTreeMap<String, Bytes>;

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
    /// Extended attributes.
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

/// Reads the dialect. What cannot be understood counts as not there.
#[must_use]
pub fn read(metadata: &Metadata) -> Stored {
    let user = &metadata.user;
    let number = |name: &str| user.get(name).and_then(|text| text.parse().ok());
    let mode = user
        .get(PERMISSIONS)
        .and_then(|text| u32::from_str_radix(text, 8).ok());
    Stored {
        kind: mode.and_then(kind_of_mode),
        permissions: mode.map(Permissions::from_mode),
        uid: number(OWNER),
        gid: number(GROUP),
        mtime: user.get(MTIME).and_then(|text| time(text)),
        atime: user.get(ATIME).and_then(|text| time(text)),
        xattrs: user
            .get(XATTRS)
            .map(|text| xattrs(text))
            .unwrap_or_default(),
    }
}

/// Writes the dialect over `metadata`, which keep everything else.
///
/// # Errors
/// `NoSpace` when the store would not take so much.
pub fn write(metadata: &mut Metadata, attributes: &ToStore<'_>) -> Result<()> {
    let mode = mode_of_kind(attributes.kind) | u32::from(attributes.permissions.bits());
    let user = &mut metadata.user;
    user.insert(PERMISSIONS.to_owned(), format!("{mode:07o}"));
    user.insert(OWNER.to_owned(), attributes.uid.to_string());
    user.insert(GROUP.to_owned(), attributes.gid.to_string());
    user.insert(MTIME.to_owned(), nanoseconds(attributes.mtime));
    if let Some(atime) = attributes.atime {
        user.insert(ATIME.to_owned(), nanoseconds(atime));
    }
    if attributes.xattrs.is_empty() {
        user.remove(XATTRS);
    } else {
        let pairs: Vec<String> = attributes
            .xattrs
            .iter()
            .map(|(name, value)| format!("{}={}", BASE64.encode(name), BASE64.encode(value)))
            .collect();
        user.insert(XATTRS.to_owned(), pairs.join(","));
    }
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

fn kind_of_mode(mode: u32) -> Option<NodeKind> {
    match mode & 0o170_000 {
        0o100_000 => Some(NodeKind::File),
        0o040_000 => Some(NodeKind::Directory),
        0o120_000 => Some(NodeKind::Symlink),
        _ => None,
    }
}

const fn mode_of_kind(kind: NodeKind) -> u32 {
    match kind {
        NodeKind::File => 0o100_000,
        NodeKind::Directory => 0o040_000,
        NodeKind::Symlink => 0o120_000,
    }
}

fn nanoseconds(time: Timestamp) -> String {
    let all = i128::from(time.secs()) * 1_000_000_000 + i128::from(time.nanos());
    format!("{all}ns")
}

/// Nanoseconds with `ns`, or seconds with an optional fraction.
fn time(text: &str) -> Option<Timestamp> {
    if let Some(all) = text.strip_suffix("ns") {
        let all: i128 = all.parse().ok()?;
        let secs = i64::try_from(all.div_euclid(1_000_000_000)).ok()?;
        let nanos = u32::try_from(all.rem_euclid(1_000_000_000)).ok()?;
        return Some(Timestamp::new(secs, nanos));
    }
    let (secs, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    Some(Timestamp::new(secs.parse().ok()?, digits.parse().ok()?))
}

fn xattrs(text: &str) -> Xattrs {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let name = String::from_utf8(BASE64.decode(name).ok()?).ok()?;
        // Whoever wrote that, it is not what this mount knows of its uploads.
        if name == UPLOAD {
            return None;
        }
        Some((name, Bytes::from(BASE64.decode(value).ok()?)))
    };
    text.split(',').filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn attributes_survive(
            mode in 0u32..0o10000, uid: u32, gid: u32, secs in -5_000_000_000i64..50_000_000_000,
            nanos in 0u32..1_000_000_000, value in prop::collection::vec(any::<u8>(), 0..40)
        ) {
            let mut metadata = Metadata::default();
            metadata.user.insert("foreign".to_owned(), "kept".to_owned());
            let xattrs = Xattrs::from([("user.a,b=c".to_owned(), Bytes::from(value))]);
            let mtime = Timestamp::new(secs, nanos);
            let permissions = Permissions::from_mode(mode);
            let kind = NodeKind::Symlink;
            let to_store =
                ToStore { kind, permissions, uid, gid, mtime, atime: Some(mtime), xattrs: &xattrs };
            write(&mut metadata, &to_store).unwrap();
            let expected = Stored {
                kind: Some(kind),
                permissions: Some(permissions),
                uid: Some(uid),
                gid: Some(gid),
                mtime: Some(mtime),
                atime: Some(mtime),
                xattrs,
            };
            prop_assert_eq!(read(&metadata), expected);
            prop_assert_eq!(metadata.user.get("foreign").map(String::as_str), Some("kept"));
        }
    }

    #[test]
    fn seconds_are_understood_too() {
        assert_eq!(
            time("1603909020.5"),
            Some(Timestamp::new(1_603_909_020, 500_000_000))
        );
        assert_eq!(time("7"), Some(Timestamp::new(7, 0)));
        assert_eq!(time("x"), None);
    }

    #[test]
    fn an_upload_state_of_others_is_ignored() {
        let pair = |name: &str| format!("{}={}", BASE64.encode(name), BASE64.encode("failed"));
        let text = format!("{},{}", pair(UPLOAD), pair("user.kept"));
        let metadata = Metadata {
            user: [(XATTRS.to_owned(), text)].into(),
            ..Metadata::default()
        };
        let names: Vec<_> = read(&metadata).xattrs.into_keys().collect();
        assert_eq!(names, ["user.kept"]);
    }

    #[test]
    fn too_much_is_refused() {
        let xattrs = Xattrs::from([("user.big".to_owned(), Bytes::from(vec![0; 2000]))]);
        let to_store = ToStore {
            kind: NodeKind::File,
            permissions: Permissions::from_mode(0o644),
            uid: 0,
            gid: 0,
            mtime: Timestamp::EPOCH,
            atime: None,
            xattrs: &xattrs,
        };
        let error = write(&mut Metadata::default(), &to_store).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace);
    }
}
