//! What is looked at before mounting, so that each mistake gets its own message.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::error::{MountError, MountErrorKind};
use super::options::MountOptions;
use super::{UnmountMode, device, table};

/// Dead mounts that are cleared from one path, at most: each crash leaves one, and a path with more
/// is being fought over by something else.
const DEAD_MOUNTS_MAX: usize = 8;

/// Checks `mountpoint`, clears the remains of dead mounts of ours, and gives its absolute path.
pub(super) fn prepare(mountpoint: &Path, options: &MountOptions) -> Result<PathBuf, MountError> {
    if let Err(error) = fs::metadata(device::PATH) {
        let kind = if error.kind() == io::ErrorKind::NotFound {
            MountErrorKind::NoDevice
        } else {
            MountErrorKind::DeviceForbidden
        };
        return Err(MountError::new(kind, mountpoint).with_source(error));
    }
    clear_dead_mounts(mountpoint)?;
    let failed = |kind| MountError::new(kind, mountpoint);
    let target = mountpoint
        .canonicalize()
        .map_err(|error| failed(kind_of(&error)).with_source(error))?;
    let stat = table::known_attributes(&target)
        .map_err(|error| failed(kind_of(&error)).with_source(error))?;
    if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::Directory {
        return Err(failed(MountErrorKind::NotDirectory));
    }
    if options.cover_existing {
        return Ok(target);
    }
    match table::mount_at(&target) {
        Ok(None) => {}
        Ok(Some(_)) => return Err(failed(MountErrorKind::AlreadyMounted)),
        Err(error) => return Err(failed(MountErrorKind::Io).with_source(error)),
    }
    match fs::read_dir(&target).map(|mut entries| entries.next().is_some()) {
        Ok(false) => Ok(target),
        Ok(true) => Err(failed(MountErrorKind::NotEmpty)),
        Err(error) => Err(failed(kind_of(&error)).with_source(error)),
    }
}

/// Where `mountpoint` is without symlinks, if a dead mount of ours is there, and nothing below it but the
/// folder: those above the last one are cleared. That the folder is empty was found when that was
/// mounted.
pub(super) fn last_dead_mount(mountpoint: &Path) -> Option<PathBuf> {
    let ours = format!("fuse.{}", device::SUBTYPE);
    for _ in 0..DEAD_MOUNTS_MAX {
        let mount = table::mount_at(mountpoint).ok()??;
        let kind = table::filesystem_type(&mount).ok()?;
        if !table::is_dead(mountpoint) || kind.as_deref() != Some(&*ours) {
            return None;
        }
        let target = mountpoint.canonicalize().ok()?;
        if table::count_at(&target).ok()? == 1 {
            return Some(target);
        }
        device::unmount(mountpoint, UnmountMode::Lazy).ok()?;
    }
    None
}

/// A filesystem whose process died stays mounted and answers everything with `ENOTCONN`. What has our
/// type is ours to clear; another program's remains are left to its user.
fn clear_dead_mounts(mountpoint: &Path) -> Result<(), MountError> {
    for _ in 0..DEAD_MOUNTS_MAX {
        let Ok(Some(mount)) = table::mount_at(mountpoint) else {
            return Ok(());
        };
        if !table::is_dead(mountpoint) {
            return Ok(());
        }
        let ours = format!("fuse.{}", device::SUBTYPE);
        if !matches!(table::filesystem_type(&mount), Ok(Some(found)) if found == ours) {
            return Err(MountError::new(MountErrorKind::Stale, mountpoint));
        }
        tracing::info!(mountpoint = %mountpoint.display(), "clearing a dead mount");
        device::unmount(mountpoint, UnmountMode::Lazy)?;
    }
    Err(MountError::new(MountErrorKind::Stale, mountpoint))
}

fn kind_of(error: &io::Error) -> MountErrorKind {
    match error.kind() {
        io::ErrorKind::NotFound => MountErrorKind::Missing,
        io::ErrorKind::NotADirectory => MountErrorKind::NotDirectory,
        io::ErrorKind::PermissionDenied => MountErrorKind::NotAllowed,
        io::ErrorKind::NotConnected => MountErrorKind::Stale,
        _ => MountErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path) -> MountErrorKind {
        let options = MountOptions::new("test");
        prepare(path, &options).unwrap_err().kind()
    }

    #[test]
    fn each_mistake_has_its_kind() {
        if !Path::new(device::PATH).exists() {
            println!("skipped: no /dev/fuse");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        assert_eq!(kind(&file), MountErrorKind::Missing);
        assert!(prepare(dir.path(), &MountOptions::new("test")).is_ok());
        fs::write(&file, "x").unwrap();
        assert_eq!(kind(&file), MountErrorKind::NotDirectory);
        assert_eq!(kind(&file.join("below")), MountErrorKind::NotDirectory);
        assert_eq!(kind(dir.path()), MountErrorKind::NotEmpty);
        assert_eq!(kind(Path::new("/proc")), MountErrorKind::AlreadyMounted);
        let mut covering = MountOptions::new("test");
        covering.cover_existing = true;
        assert_eq!(
            prepare(dir.path(), &covering).unwrap(),
            dir.path().canonicalize().unwrap()
        );
    }
}
