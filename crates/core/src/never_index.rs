//! The file `.metadata_never_index`: Spotlight goes through no volume whose root has it.
//!
//! Nobody asked Spotlight to list a bucket and to read it, so where indexers are kept away the root has this file, which is
//! empty, in no listing, and not in the bucket.
//!
//! Laws: it costs no request; nothing makes, changes, renames or removes it; below the root, the name is like any other.

use std::time::Duration;

use cloudmount_vfs::{
    AccessMask, Attr, CachePolicy, ContentNumber, Entry, Error, ErrorKind, Generation, InodeId,
    Name, NodeKind, OpenFlags, Opened, Permissions, Result, Timestamp,
};

use crate::core::Inner;

const NAME: &str = ".metadata_never_index";

/// The table counts up from 1 and adapters may count on from 2^62: no mount lives long enough to come to this one.
const NUMBER: u64 = (1 << 62) - 1;

impl Inner {
    /// Whether a name is that of the file.
    pub(crate) fn names_never_index(&self, parent: InodeId, name: &Name) -> bool {
        self.settings.never_index && parent == InodeId::ROOT && name.as_str() == NAME
    }

    /// Whether a number is that of the file.
    pub(crate) const fn is_never_index(&self, ino: InodeId) -> bool {
        self.settings.never_index && ino.get() == NUMBER
    }

    /// # Errors
    /// `PermissionDenied` for the name of the file.
    pub(crate) fn may_change_name(&self, parent: InodeId, name: &Name) -> Result<()> {
        if self.names_never_index(parent, name) {
            return Err(refused());
        }
        Ok(())
    }

    /// # Errors
    /// `PermissionDenied` for the file.
    pub(crate) fn may_change(&self, ino: InodeId) -> Result<()> {
        if self.is_never_index(ino) {
            return Err(refused());
        }
        Ok(())
    }

    /// What a lookup of the file answers. It is not counted, for nothing is freed when it is forgotten.
    pub(crate) fn never_index_entry(&self) -> Entry {
        let (attr, ttl) = self.never_index_attr();
        Entry {
            attr,
            generation: Generation::default(),
            entry_ttl: ttl,
            attr_ttl: ttl,
        }
    }

    pub(crate) fn never_index_attr(&self) -> (Attr, Duration) {
        let attr = Attr {
            ino: InodeId::new(NUMBER).expect("it is no zero"),
            kind: NodeKind::File,
            size: 0,
            permissions: Permissions::from_mode(0o444),
            links: 1,
            uid: self.settings.uid,
            gid: self.settings.gid,
            atime: Timestamp::EPOCH,
            mtime: Timestamp::EPOCH,
            ctime: Timestamp::EPOCH,
            content: ContentNumber::default(),
        };
        (attr, self.settings.ttl.attributes)
    }

    /// # Errors
    /// `PermissionDenied` for who would write.
    pub(crate) fn open_never_index(&self, flags: OpenFlags) -> Result<Opened> {
        if flags.access.writes() || flags.truncate {
            return Err(refused());
        }
        Ok(Opened {
            handle: self.handles.of_nothing(),
            cache: CachePolicy::Keep,
            content: ContentNumber::default(),
        })
    }

    /// # Errors
    /// `PermissionDenied` for who would do more than read.
    pub(crate) fn access_never_index(&self, mask: AccessMask) -> Result<()> {
        if mask.write || mask.execute {
            return Err(refused());
        }
        Ok(())
    }
}

fn refused() -> Error {
    let why = "the mount shows this file to keep Spotlight away";
    Error::new(ErrorKind::PermissionDenied, why)
}
