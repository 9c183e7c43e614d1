//! Where a mount's control socket and log lie, found by its mount point.
//!
//! Law: a mount point is never looked into, nor asked for its attributes: that of a dead mount
//! would hang.

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cloudmount::Environment;
use sha2::{Digest, Sha256};

/// The variables of this process: the one place that reads them.
#[expect(
    clippy::disallowed_methods,
    reason = "the assembly reads the environment, once"
)]
pub(crate) fn environment() -> Environment {
    // What is not UTF-8 is no setting.
    let text = |text: std::ffi::OsString| text.into_string().ok();
    Environment::of(
        std::env::vars_os().filter_map(|(name, value)| Some((text(name)?, text(value)?))),
    )
}

/// The absolute path of a mount point without symlinks above it.
pub(crate) fn resolve(folder: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(folder)?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Ok(absolute);
    };
    let parent = parent
        .canonicalize()
        .with_context(|| format!("no such folder: {}", parent.display()))?;
    Ok(parent.join(name))
}

/// The folder of control sockets: the user's own.
pub(crate) fn runtime_dir(environment: &Environment) -> Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let folder = match environment.get("XDG_RUNTIME_DIR") {
        Some(runtime) => Path::new(runtime).join("cloudmount"),
        None => PathBuf::from(format!("/tmp/cloudmount-{uid}")),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let metadata = std::fs::symlink_metadata(&folder)?;
    if !metadata.is_dir() || metadata.uid() != uid || metadata.mode() & 0o077 != 0 {
        bail!(
            "{} is not a folder of yours alone\n  remove it, or set XDG_RUNTIME_DIR",
            folder.display()
        );
    }
    Ok(folder)
}

/// The control socket of the mount at `mountpoint`, a resolved path.
pub(crate) fn socket(environment: &Environment, mountpoint: &Path) -> Result<PathBuf> {
    Ok(runtime_dir(environment)?.join(format!("{}.sock", name_of(mountpoint))))
}

/// A short name for a path.
pub(crate) fn name_of(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let digest = Sha256::digest(path.as_os_str().as_bytes());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What kind of filesystem is mounted at `mountpoint`, by the kernel's table
/// (`proc_pid_mountinfo(5)`).
pub(crate) fn mounted_kind(mountpoint: &Path) -> Option<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    kind_in(&table, mountpoint)
}

fn kind_in(table: &str, mountpoint: &Path) -> Option<String> {
    let line = table.lines().rev().find(|line| {
        let point = line.split(' ').nth(4).unwrap_or_default();
        Path::new(&unescape(point)) == mountpoint
    })?;
    let (_, kind) = line.split_once(" - ")?;
    kind.split(' ').next().map(str::to_owned)
}

/// The kernel writes blank, tab, newline and backslash in octal.
fn unescape(field: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(field.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_mount_of_a_place_counts() {
        let table = "22 1 0:21 / /proc rw - proc proc rw\n\
                     36 22 0:40 / /mnt/a\\040b rw - ext4 x rw\n\
                     37 22 0:41 / /mnt/a\\040b rw - fuse.cloudmount memory: rw\n";
        let kind = |path: &str| kind_in(table, Path::new(path));
        assert_eq!(kind("/mnt/a b").as_deref(), Some("fuse.cloudmount"));
        assert_eq!(kind("/mnt"), None);
    }

    #[test]
    fn a_mount_point_need_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let expected = dir.path().canonicalize().unwrap().join("point");
        assert_eq!(resolve(&link.join("point")).unwrap(), expected);
    }
}
