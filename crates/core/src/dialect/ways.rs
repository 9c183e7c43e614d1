//! The ways in which programs say mode, owner and times, as tables.
//!
//! Sources: AWS, "POSIX metadata support" in the `FSx` for Lustre user guide. s3fs 1.90 and rclone 1.75: what
//! they write to a server and read from it (`cargo xtask interop`).
//! Google, `gsutil cp -P` and gcsfuse: their documentation of `goog-reserved-…` and `gcsfuse_mtime`.
//! s3sync: the names that s3fs says it reads for it.

use std::collections::BTreeMap;

use cloudmount_vfs::{NodeKind, Timestamp};

use super::ToStore;
use super::time::{self, Form, Grain};

/// User metadata of an object.
pub(super) type User = BTreeMap<String, String>;

const KIND_BITS: u32 = 0o170_000;

/// File type and permissions.
const MODE_MAX: u32 = 0o177_777;

/// How a mode is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ModeForm {
    /// Octal with seven digits, with the file type.
    OctalPadded,
    /// Octal, with the file type.
    Octal,
    /// Decimal, with the file type.
    Decimal,
    /// Octal, the permissions alone.
    Permissions,
}

/// Which time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimeField {
    Modified,
    Accessed,
}

/// What it means that a name is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Names {
    /// Nobody else calls anything so.
    Own,
    /// Others may mean anything by these words: they count only if mode, owner and group are all there
    /// and all are numbers, and for what nobody else says.
    Common,
}

/// The names and forms of one program, or of several that agree.
#[derive(Debug)]
pub(super) struct Ways {
    names: Names,
    mode: Option<(&'static str, ModeForm)>,
    uid: Option<&'static str>,
    gid: Option<&'static str>,
    mtime: Option<(&'static str, Form)>,
    atime: Option<(&'static str, Form)>,
}

pub(super) const AWS: Ways = Ways {
    names: Names::Own,
    mode: Some(("file-permissions", ModeForm::OctalPadded)),
    uid: Some("file-owner"),
    gid: Some("file-group"),
    mtime: Some(("file-mtime", Form::Nanoseconds)),
    atime: Some(("file-atime", Form::Nanoseconds)),
};

pub(super) const S3FS: Ways = Ways {
    names: Names::Own,
    mode: Some(("mode", ModeForm::Decimal)),
    uid: Some("uid"),
    gid: Some("gid"),
    mtime: Some(("mtime", Form::Decimal)),
    atime: Some(("atime", Form::Decimal)),
};

pub(super) const RCLONE: Ways = Ways {
    mode: Some(("mode", ModeForm::Octal)),
    atime: Some(("atime", Form::Date)),
    ..S3FS
};

const GOOGLE: Ways = Ways {
    names: Names::Own,
    mode: Some(("goog-reserved-posix-mode", ModeForm::Permissions)),
    uid: Some("goog-reserved-posix-uid"),
    gid: Some("goog-reserved-posix-gid"),
    mtime: Some(("goog-reserved-file-mtime", Form::Seconds)),
    atime: Some(("goog-reserved-file-atime", Form::Seconds)),
};

const GCSFUSE: Ways = Ways {
    names: Names::Own,
    mode: None,
    uid: None,
    gid: None,
    mtime: Some(("gcsfuse_mtime", Form::Date)),
    atime: None,
};

const S3SYNC: Ways = Ways {
    names: Names::Common,
    mode: Some(("permissions", ModeForm::Decimal)),
    uid: Some("owner"),
    gid: Some("group"),
    mtime: None,
    atime: None,
};

/// All of them, in the order in which they are believed. rclone has the names of s3fs, and what is
/// read tells which of the two wrote it.
pub(super) const ALL: [&Ways; 5] = [&AWS, &S3FS, &GOOGLE, &GCSFUSE, &S3SYNC];

impl Ways {
    /// Whether it counts only for what nobody else says.
    pub(super) fn is_last_word(&self) -> bool {
        self.names == Names::Common
    }

    /// Whether what is there under its names was meant in this way.
    fn is_meant(&self, user: &User) -> bool {
        let is_number = |name: Option<&str>| number(user, name).is_some();
        match self.names {
            Names::Own => true,
            Names::Common => {
                self.mode_said(user).is_some() && is_number(self.uid) && is_number(self.gid)
            }
        }
    }

    fn mode_said(&self, user: &User) -> Option<u32> {
        let (name, form) = self.mode?;
        form.read(user.get(name)?).map(|(mode, _)| mode)
    }

    /// The mode, with the file type if that is said.
    pub(super) fn mode(&self, user: &User) -> Option<u32> {
        self.mode_said(user).filter(|_| self.is_meant(user))
    }

    pub(super) fn uid(&self, user: &User) -> Option<u32> {
        number(user, self.uid).filter(|_| self.is_meant(user))
    }

    pub(super) fn gid(&self, user: &User) -> Option<u32> {
        number(user, self.gid).filter(|_| self.is_meant(user))
    }

    pub(super) fn time(&self, field: TimeField, user: &User) -> Option<(Timestamp, Grain)> {
        let (name, form) = match field {
            TimeField::Modified => self.mtime?,
            TimeField::Accessed => self.atime?,
        };
        Some((time::read(user.get(name)?)?, form.grain()))
    }

    /// Says in this way what is not said in it yet.
    pub(super) fn complete(&self, user: &mut User, attributes: &ToStore<'_>) {
        let mut put = |name: &str, text: String| {
            user.entry(name.to_owned()).or_insert(text);
        };
        if let Some((name, form)) = self.mode {
            put(name, form.write(mode_of(attributes)));
        }
        if let Some(name) = self.uid {
            put(name, attributes.uid.to_string());
        }
        if let Some(name) = self.gid {
            put(name, attributes.gid.to_string());
        }
        if let Some((name, form)) = self.mtime {
            put(name, form.write(attributes.mtime));
        }
        if let (Some((name, form)), Some(atime)) = (self.atime, attributes.atime) {
            put(name, form.write(atime));
        }
    }

    /// Says the attributes anew where they are said in this way already, and in the same form.
    pub(super) fn renew(&self, user: &mut User, attributes: &ToStore<'_>) {
        if !self.is_meant(user) {
            return;
        }
        if let Some((text, form)) = self
            .mode
            .and_then(|(name, form)| Some((user.get_mut(name)?, form)))
        {
            let form = form.read(text).map_or(form, |(_, form)| form);
            *text = form.write(mode_of(attributes));
        }
        let numbers = [(self.uid, attributes.uid), (self.gid, attributes.gid)];
        for (name, number) in numbers {
            if let Some(text) = name.and_then(|name| user.get_mut(name)) {
                *text = number.to_string();
            }
        }
        let times = [
            (self.mtime, Some(attributes.mtime)),
            (self.atime, attributes.atime),
        ];
        for (way, time) in times {
            if let (Some((name, form)), Some(time)) = (way, time)
                && let Some(text) = user.get_mut(name)
            {
                *text = Form::of(text, form).write(time);
            }
        }
    }
}

fn number(user: &User, name: Option<&str>) -> Option<u32> {
    user.get(name?)?.parse().ok()
}

impl ModeForm {
    /// The mode that `text` says, and the form that it has. s3fs writes `mode` in decimal, rclone in
    /// octal: of two meanings, the one that has a file type is meant.
    fn read(self, text: &str) -> Option<(u32, Self)> {
        let octal = u32::from_str_radix(text, 8).ok();
        if self != Self::Decimal {
            return octal.map(|mode| (mode, self));
        }
        let decimal = text.parse().ok();
        let has_kind = |mode: &u32| *mode <= MODE_MAX && kind_of_mode(*mode).is_some();
        match (decimal.filter(has_kind), octal.filter(has_kind)) {
            _ if text.starts_with('0') => octal.map(|mode| (mode, Self::Octal)),
            (Some(mode), _) => Some((mode, Self::Decimal)),
            (None, Some(mode)) => Some((mode, Self::Octal)),
            // Permissions without a type.
            (None, None) => decimal.map(|mode| (mode & 0o7777, Self::Decimal)),
        }
    }

    fn write(self, mode: u32) -> String {
        match self {
            Self::OctalPadded => format!("{mode:07o}"),
            Self::Octal => format!("{mode:o}"),
            Self::Decimal => mode.to_string(),
            Self::Permissions => format!("{:o}", mode & !KIND_BITS),
        }
    }
}

/// Whether two modes may say the same: not everyone says the file type.
pub(super) const fn is_same_mode(a: u32, b: u32) -> bool {
    let either_has_none = a & KIND_BITS == 0 || b & KIND_BITS == 0;
    (a ^ b) & !KIND_BITS == 0 && (either_has_none || a == b)
}

/// Whether two times may say the same.
pub(super) fn is_same_time(a: (Timestamp, Grain), b: (Timestamp, Grain)) -> bool {
    let both_exact = a.1 == Grain::Nanosecond && b.1 == Grain::Nanosecond;
    if both_exact {
        a.0 == b.0
    } else {
        a.0.secs() == b.0.secs()
    }
}

/// The file type in a mode.
pub(super) fn kind_of_mode(mode: u32) -> Option<NodeKind> {
    match mode & KIND_BITS {
        0o100_000 => Some(NodeKind::File),
        0o040_000 => Some(NodeKind::Directory),
        0o120_000 => Some(NodeKind::Symlink),
        _ => None,
    }
}

fn mode_of(attributes: &ToStore<'_>) -> u32 {
    let kind = match attributes.kind {
        NodeKind::File => 0o100_000,
        NodeKind::Directory => 0o040_000,
        NodeKind::Symlink => 0o120_000,
    };
    kind | u32::from(attributes.permissions.bits())
}
