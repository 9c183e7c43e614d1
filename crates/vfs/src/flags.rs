//! Flags of our own: enums instead of libc's bits, so that no adapter's numbers reach the core.

/// What an open file may be used for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Access {
    /// Reading only.
    #[default]
    Read,
    /// Writing only.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// Whether reading is allowed.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    /// Whether writing is allowed.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// Where a write goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum WriteMode {
    /// At the offset that the call names.
    #[default]
    AtOffset,
    /// At the end of the file, whatever the call names (`O_APPEND`).
    Append,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct OpenFlags {
    /// Reading, writing or both.
    pub access: Access,
    /// Where writes go.
    pub write_mode: WriteMode,
    /// Whether the content is dropped at open (`O_TRUNC`).
    pub truncate: bool,
    /// With `create`: fail when the name exists already (`O_EXCL`).
    pub exclusive: bool,
}

impl OpenFlags {
    /// Opens for reading.
    pub const READ: Self = Self {
        access: Access::Read,
        write_mode: WriteMode::AtOffset,
        truncate: false,
        exclusive: false,
    };
    /// Opens for reading and writing.
    pub const READ_WRITE: Self = Self {
        access: Access::ReadWrite,
        ..Self::READ
    };
    /// Opens for writing.
    pub const WRITE: Self = Self {
        access: Access::Write,
        ..Self::READ
    };
}

/// What a rename may do to an existing target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum RenameMode {
    /// The target is replaced.
    #[default]
    Replace,
    /// An existing target is an error (`RENAME_NOREPLACE`).
    NoReplace,
    /// The two change places (`RENAME_EXCHANGE`).
    Exchange,
}

/// How much `fsync` covers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SyncScope {
    /// The bytes and the size (`fdatasync`).
    Data,
    /// Attributes too (`fsync`).
    DataAndAttributes,
}

/// What `lseek` looks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SeekWhence {
    /// The next byte that is not in a hole.
    Data,
    /// The next hole; the end of the file counts as one.
    Hole,
}

/// What `setxattr` may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum XattrMode {
    /// Create or replace.
    #[default]
    Set,
    /// Fail when it exists.
    Create,
    /// Fail when it does not exist.
    Replace,
}

/// What `access` asks for; all false asks for existence only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct AccessMask {
    /// May it be read?
    pub read: bool,
    /// May it be written?
    pub write: bool,
    /// May it be executed, or searched?
    pub execute: bool,
}
