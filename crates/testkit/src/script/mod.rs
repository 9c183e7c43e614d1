//! Steps: what one does with a filesystem, as lines of text.
//!
//! The table of all lines is in `steps.md`.

mod parse;
mod run;

use std::fmt;

pub use parse::ParseError;
pub(crate) use run::{Session, shown};

/// One step; see the table in the documentation of [`transcript`](crate::transcript).
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the table of lines says what each is")]
pub enum Step {
    Mkdir {
        path: String,
        mode: u32,
    },
    Rmdir {
        path: String,
    },
    Touch {
        path: String,
        mode: u32,
    },
    Write {
        path: String,
        data: Data,
    },
    Patch {
        path: String,
        offset: u64,
        data: Data,
    },
    Append {
        path: String,
        data: Data,
    },
    Cat {
        path: String,
    },
    Ls {
        path: String,
    },
    Stat {
        path: String,
    },
    Truncate {
        path: String,
        size: u64,
    },
    Chmod {
        path: String,
        mode: u32,
    },
    Rm {
        path: String,
    },
    Mv {
        from: String,
        to: String,
    },
    MvNew {
        from: String,
        to: String,
    },
    Ln {
        target: String,
        path: String,
    },
    Readlink {
        path: String,
    },
    Setxattr {
        path: String,
        name: String,
        data: Data,
    },
    Getxattr {
        path: String,
        name: String,
    },
    Listxattr {
        path: String,
    },
    Rmxattr {
        path: String,
        name: String,
    },
    Open {
        slot: u8,
        path: String,
        how: How,
    },
    Create {
        slot: u8,
        path: String,
        how: How,
    },
    Pread {
        slot: u8,
        offset: u64,
        size: u64,
    },
    Pwrite {
        slot: u8,
        offset: u64,
        data: Data,
    },
    Resize {
        slot: u8,
        size: u64,
    },
    Sync {
        slot: u8,
    },
    Close {
        slot: u8,
    },
    Put {
        path: String,
        data: Data,
    },
    Delete {
        path: String,
    },
    Settle,
    Forget,
    Wait {
        millis: u64,
    },
    Remount,
}

/// Bytes, as a line says them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data {
    /// Text.
    Text(String),
    /// So many bytes of a pattern.
    Pattern {
        /// How many.
        length: u32,
        /// Which pattern.
        seed: u8,
    },
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// `r`
    Read,
    /// `w`
    Write,
    /// `rw`
    ReadWrite,
    /// `a`: reading, and writing at the end.
    Append,
    /// `t`: reading and writing, and the content is dropped.
    Truncate,
}

impl Data {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Pattern { length, seed } => {
                crate::suite::pattern(usize::try_from(*length).unwrap_or(usize::MAX), *seed)
            }
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Pattern { length, seed } => write!(f, "{length}*{seed}"),
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "r",
            Self::Write => "w",
            Self::ReadWrite => "rw",
            Self::Append => "a",
            Self::Truncate => "t",
        })
    }
}

/// A word of a line: as it is, or quoted.
pub(crate) struct Word<'a>(pub(crate) &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |c: char| c.is_whitespace() || c.is_control() || c == '"';
        if self.0.is_empty() || self.0.chars().any(special) {
            write!(f, "{:?}", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let w = |text| Word(text);
        match self {
            Self::Mkdir { path, mode } => write!(f, "mkdir {} {mode:o}", w(path)),
            Self::Rmdir { path } => write!(f, "rmdir {}", w(path)),
            Self::Touch { path, mode } => write!(f, "touch {} {mode:o}", w(path)),
            Self::Write { path, data } => write!(f, "write {} {data}", w(path)),
            Self::Patch { path, offset, data } => write!(f, "patch {} {offset} {data}", w(path)),
            Self::Append { path, data } => write!(f, "append {} {data}", w(path)),
            Self::Cat { path } => write!(f, "cat {}", w(path)),
            Self::Ls { path } => write!(f, "ls {}", w(path)),
            Self::Stat { path } => write!(f, "stat {}", w(path)),
            Self::Truncate { path, size } => write!(f, "truncate {} {size}", w(path)),
            Self::Chmod { path, mode } => write!(f, "chmod {} {mode:o}", w(path)),
            Self::Rm { path } => write!(f, "rm {}", w(path)),
            Self::Mv { from, to } => write!(f, "mv {} {}", w(from), w(to)),
            Self::MvNew { from, to } => write!(f, "mv-new {} {}", w(from), w(to)),
            Self::Ln { target, path } => write!(f, "ln {} {}", w(target), w(path)),
            Self::Readlink { path } => write!(f, "readlink {}", w(path)),
            Self::Setxattr { path, name, data } => {
                write!(f, "setxattr {} {} {data}", w(path), w(name))
            }
            Self::Getxattr { path, name } => write!(f, "getxattr {} {}", w(path), w(name)),
            Self::Listxattr { path } => write!(f, "listxattr {}", w(path)),
            Self::Rmxattr { path, name } => write!(f, "rmxattr {} {}", w(path), w(name)),
            Self::Open { slot, path, how } => write!(f, "open {slot} {} {how}", w(path)),
            Self::Create { slot, path, how } => write!(f, "create {slot} {} {how}", w(path)),
            Self::Pread { slot, offset, size } => write!(f, "pread {slot} {offset} {size}"),
            Self::Pwrite { slot, offset, data } => write!(f, "pwrite {slot} {offset} {data}"),
            Self::Resize { slot, size } => write!(f, "resize {slot} {size}"),
            Self::Sync { slot } => write!(f, "sync {slot}"),
            Self::Close { slot } => write!(f, "close {slot}"),
            Self::Put { path, data } => write!(f, "put {} {data}", w(path)),
            Self::Delete { path } => write!(f, "delete {}", w(path)),
            Self::Settle => f.write_str("settle"),
            Self::Forget => f.write_str("forget"),
            Self::Wait { millis } => write!(f, "wait {millis}"),
            Self::Remount => f.write_str("remount"),
        }
    }
}
