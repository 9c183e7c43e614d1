//! Why the table refuses an operation.

use std::fmt;

use cloudmount_vfs::{Error, ErrorKind, InodeId};

/// Why an operation was refused. A refused operation has changed nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TableError {
    /// The inode or the name is not known here, or the directory was removed.
    NotFound,
    /// The name leads to that inode already.
    Exists(InodeId),
    /// A directory was needed.
    NotDirectory,
    /// Something other than a directory was needed.
    IsDirectory,
    /// The directory has known children.
    NotEmpty,
    /// A directory cannot move below itself.
    InvalidArgument,
    /// The name is known but its payload was reclaimed: look it up, apply the answer, try again.
    Cold(InodeId),
}

impl TableError {
    const fn kind(self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Exists(_) => ErrorKind::Exists,
            Self::NotDirectory => ErrorKind::NotDirectory,
            Self::IsDirectory => ErrorKind::IsDirectory,
            Self::NotEmpty => ErrorKind::NotEmpty,
            Self::InvalidArgument => ErrorKind::InvalidArgument,
            Self::Cold(_) => ErrorKind::Busy,
        }
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(ino) => write!(f, "the name leads to inode {ino} already"),
            Self::Cold(ino) => write!(f, "inode {ino} was reclaimed and must be looked up again"),
            Self::InvalidArgument => f.write_str("a directory cannot move below itself"),
            Self::NotFound | Self::NotDirectory | Self::IsDirectory | Self::NotEmpty => {
                self.kind().fmt(f)
            }
        }
    }
}

impl std::error::Error for TableError {}

impl From<TableError> for Error {
    fn from(error: TableError) -> Self {
        Self::from(error.kind()).with_source(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_becomes_the_kind_of_its_reaction() {
        for (error, kind) in [
            (TableError::NotFound, ErrorKind::NotFound),
            (TableError::Exists(InodeId::ROOT), ErrorKind::Exists),
            (TableError::NotDirectory, ErrorKind::NotDirectory),
            (TableError::IsDirectory, ErrorKind::IsDirectory),
            (TableError::NotEmpty, ErrorKind::NotEmpty),
            (TableError::InvalidArgument, ErrorKind::InvalidArgument),
            (TableError::Cold(InodeId::ROOT), ErrorKind::Busy),
        ] {
            assert_eq!(Error::from(error).kind(), kind);
        }
    }
}
