//! What was written but never closed before a crash, and anything else that cannot be uploaded as
//! it is: moved aside, named, never deleted.
//!
//! Beside each local file stands a description: the key, the ranges that are in the file and the
//! object that the rest comes from, so that a person can put it together.

use std::path::{Path, PathBuf};

use cloudmount_vfs::Result;
use serde::{Deserialize, Serialize};

use crate::disk::{disk_error, sync_folder};
use crate::failpoint;
use crate::journal::record::FileRecord;

/// Where they are kept, below the staging folder.
pub(crate) const FOLDER: &str = "set-aside";

/// Why a file was set aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It was being written when the process ended, and never closed or flushed.
    NeverClosed,
    /// Bytes that had been written did not get to the disk before the machine stopped.
    Incomplete,
    /// The journal does not say which key it was for.
    Unknown,
}

/// A file that was set aside.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetAside {
    /// The key that it was for.
    pub key: Option<String>,
    /// Why it is here.
    pub reason: Reason,
    /// Where its bytes are; `None`: there are none left.
    pub path: Option<PathBuf>,
    /// Its size in bytes.
    pub size: u64,
    /// Ranges (start and end) that the file has; the rest of it is in the base, or is zero. Empty
    /// if it has all.
    pub ranges: Vec<(u64, u64)>,
    /// Key and version of the object that the rest comes from.
    pub base: Option<(String, String)>,
}

/// Moves the local file `name` aside. May be repeated after a crash half-way.
pub(crate) fn set_aside(
    dir: &Path,
    name: &str,
    key: Option<&str>,
    reason: Reason,
    file: Option<&FileRecord>,
) -> Result<SetAside> {
    let folder = dir.join(FOLDER);
    let (from, to) = (dir.join("data").join(name), folder.join(name));
    let failed = |error| disk_error(error, || format!("set aside {}", from.display()));
    let size =
        (std::fs::metadata(&from).or_else(|_| std::fs::metadata(&to))).map(|data| data.len());
    let about = SetAside {
        key: key.map(str::to_owned),
        reason,
        path: size.is_ok().then(|| to.clone()),
        size: size.unwrap_or_else(|_| file.map_or(0, |file| file.size)),
        ranges: file.map(|file| file.present.clone()).unwrap_or_default(),
        base: (file.and_then(|file| file.base.as_ref()))
            .map(|base| (base.key.clone(), base.version.clone())),
    };
    let text =
        serde_json::to_vec_pretty(&about).map_err(|error| failed(std::io::Error::other(error)))?;
    std::fs::write(folder.join(format!("{name}.json")), text).map_err(failed)?;
    failpoint::pass(failpoint::ASIDE_DESCRIBED);
    match std::fs::rename(&from, &to) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    failpoint::pass(failpoint::ASIDE_MOVED);
    sync_folder(&folder).map_err(failed)?;
    Ok(about)
}

/// Everything that is set aside, by name.
pub(crate) fn list(dir: &Path) -> Result<Vec<SetAside>> {
    let folder = dir.join(FOLDER);
    let failed = |error| disk_error(error, || format!("list {}", folder.display()));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        names.push(entry.map_err(failed)?.path());
    }
    names.sort();
    let described = names
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "json"));
    Ok(described
        .filter_map(|path| serde_json::from_slice(&std::fs::read(path).ok()?).ok())
        .collect())
}
