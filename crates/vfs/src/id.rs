//! Ids: numbers that mean one thing each, so that no two can be exchanged by accident.
//!
//! Law: an [`InodeId`] and a handle are never zero. FUSE-T's SMB backend reads handle 0 as "no
//! handle", NFS reads file id 0 as "end of directory", and FUSE reserves inode 0.

use std::num::NonZeroU64;

macro_rules! nonzero_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub struct $name(NonZeroU64);

        impl $name {
            /// The id of that number, or `None` for zero.
            #[must_use]
            pub const fn new(raw: u64) -> Option<Self> {
                match NonZeroU64::new(raw) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// The number, at least 1.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0.get()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

nonzero_id! {
    /// The number of an inode. Stable for one (parent, name) as long as a mount lives.
    InodeId
}
nonzero_id! {
    /// An open file. Unique among all files and directories open at one time.
    FileHandle
}
nonzero_id! {
    /// An open directory. Unique among all files and directories open at one time.
    DirHandle
}

impl InodeId {
    /// The root of every mount: FUSE fixes it at 1.
    pub const ROOT: Self = Self(NonZeroU64::MIN);
}

/// Tells two inodes apart that had the same number at different times.
///
/// NFS combines it with the number to detect stale file handles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Generation(pub u64);

/// A position in a directory, as given with each entry: "continue after this entry".
///
/// Cookies stay valid while the directory changes: an entry that existed when a scan began and
/// still exists is returned exactly once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Cookie(pub u64);

impl Cookie {
    /// Before the first entry.
    pub const START: Self = Self(0);
    /// After `.`
    pub const DOT: Self = Self(1);
    /// After `..`; real entries have larger cookies.
    pub const DOT_DOT: Self = Self(2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_is_zero() {
        assert_eq!(InodeId::new(0), None);
        assert_eq!(FileHandle::new(0), None);
        assert_eq!(DirHandle::new(0), None);
        assert_eq!(InodeId::ROOT.get(), 1);
    }
}
