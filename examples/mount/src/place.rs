//! Where a mount's control socket and log lie, found by its mount point.
//!
//! Law: a mount point is never looked into, nor asked for its attributes: that of a dead mount
//! would hang.

use std::ffi::OsString;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Component, Path, PathBuf};

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
    let text = |text: OsString| text.into_string().ok();
    let mut variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect();
    // What is started by the system itself, as from /etc/fstab, has no home. Root's is the same wherever
    // it is root that mounts (Filesystem Hierarchy Standard 3.0), so that journals are found again.
    let has_home = variables.iter().any(|(name, _)| name == "HOME");
    if !has_home && rustix::process::geteuid().is_root() {
        variables.push(("HOME".to_owned(), "/root".to_owned()));
    }
    Environment::of(variables)
}

/// What the kernel calls our mounts.
pub(crate) const KIND: &str = "fuse.cloudmount";

/// Symlinks that are followed in one path, as the kernel does (`path_resolution(7)`).
const LINKS_MAX: usize = 40;

/// The absolute path of a mount point without symlinks.
///
/// # Errors
/// There is no folder that it could be in.
pub(crate) fn resolve(folder: &Path) -> Result<PathBuf> {
    let mut path = std::path::absolute(folder)?;
    for _ in 0..LINKS_MAX {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(path);
        };
        let parent = parent
            .canonicalize()
            .with_context(|| format!("no such folder: {}", parent.display()))?;
        path = parent.join(name);
        // Of a mount point, this asks the kernel only.
        match std::fs::read_link(&path) {
            Ok(to) => path = parent.join(to),
            Err(_) => return Ok(path),
        }
    }
    bail!("too many symlinks: {}", folder.display())
}

/// A path, as a mount and what is below it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Located {
    /// Without symlinks.
    pub(crate) mountpoint: PathBuf,
    /// With `/` between names; empty for the mount itself.
    pub(crate) below: String,
}

/// Finds the mount of ours that `path` is in. What is in no mount may be a mount point of one that
/// ends.
///
/// # Errors
/// It leads out of the mount, is no text, or there is no folder that it could be in.
pub(crate) fn locate(path: &Path) -> Result<Located> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_ours = |path: &Path| kind_in(&table, path).as_deref() == Some(KIND);
    match walk(path, is_ours)? {
        Some(located) => Ok(located),
        None => Ok(Located {
            mountpoint: resolve(path)?,
            below: String::new(),
        }),
    }
}

/// Goes from the root down, and into no mount of ours: from there on, names are only counted.
fn walk(path: &Path, is_ours: impl Fn(&Path) -> bool) -> Result<Option<Located>> {
    let mut at = PathBuf::from("/");
    let mut rest: Vec<OsString> = parts(&std::path::absolute(path)?);
    let mut links = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            at.pop();
            continue;
        }
        at.push(part);
        if is_ours(&at) {
            let below = names(rest).with_context(|| path.display().to_string())?;
            return Ok(Some(Located {
                mountpoint: at,
                below,
            }));
        }
        if let Ok(to) = std::fs::read_link(&at) {
            links += 1;
            if links > LINKS_MAX {
                bail!("too many symlinks: {}", path.display());
            }
            at.pop();
            if to.is_absolute() {
                at = PathBuf::from("/");
            }
            rest.extend(parts(&to));
        }
    }
    Ok(None)
}

/// Its names, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut parts: Vec<_> = named.collect();
    parts.reverse();
    parts
}

/// The names below a mount, the last one first, as a path.
fn names(rest: Vec<OsString>) -> Result<String> {
    let mut names: Vec<String> = Vec::new();
    for part in rest.into_iter().rev() {
        if part == ".." {
            names.pop().context("it leads out of the mount")?;
            continue;
        }
        let name = part.into_string();
        names.push(name.map_err(|_| anyhow::anyhow!("it is no UTF-8, as all names here are"))?);
    }
    Ok(names.join("/"))
}

/// Where state is kept.
pub(crate) fn state_dir(chosen: Option<&Path>, environment: &Environment) -> Result<PathBuf> {
    if let Some(folder) = chosen {
        return Ok(folder.to_owned());
    }
    let state = environment.get("XDG_STATE_HOME").map(PathBuf::from);
    let home = || Some(Path::new(environment.get("HOME")?).join(".local/state"));
    let state = state
        .or_else(home)
        .context("set HOME, or give --state-dir")?;
    Ok(state.join("cloudmount"))
}

/// Folders where control sockets may lie. A mount may have been started where another variable was
/// set than here, as by cron; so all are looked through.
fn runtime_dirs(environment: &Environment) -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let named = environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    let usual = PathBuf::from(format!("/run/user/{uid}"));
    let mut dirs: Vec<_> = (named.into_iter().chain([usual]))
        .map(|runtime| runtime.join("cloudmount"))
        .collect();
    dirs.push(PathBuf::from(format!("/tmp/cloudmount-{uid}")));
    dirs
}

/// The folder for control sockets: the user's own, and nobody else's.
fn runtime_dir(environment: &Environment) -> Result<PathBuf> {
    let dirs = runtime_dirs(environment);
    let folder = match environment.get("XDG_RUNTIME_DIR") {
        Some(_) => dirs.first(),
        None => dirs.last(),
    };
    let folder = folder.context("no folder for sockets")?;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    if !is_own(folder) {
        bail!(
            "{} is not a folder of yours alone\n  remove it, or set XDG_RUNTIME_DIR",
            folder.display()
        );
    }
    Ok(folder.clone())
}

fn is_own(folder: &Path) -> bool {
    let uid = rustix::process::geteuid().as_raw();
    std::fs::symlink_metadata(folder).is_ok_and(|metadata| {
        metadata.is_dir() && metadata.uid() == uid && metadata.mode() & 0o077 == 0
    })
}

/// Where the mount at `mountpoint`, a resolved path, is to listen.
pub(crate) fn own_socket(environment: &Environment, mountpoint: &Path) -> Result<PathBuf> {
    Ok(runtime_dir(environment)?.join(socket_name(mountpoint)))
}

/// Where the mount at `mountpoint` may listen.
pub(crate) fn sockets(environment: &Environment, mountpoint: &Path) -> Vec<PathBuf> {
    // Not what somebody else put there, who would answer in its name.
    let dirs = runtime_dirs(environment)
        .into_iter()
        .filter(|dir| is_own(dir));
    dirs.map(|dir| dir.join(socket_name(mountpoint))).collect()
}

fn socket_name(mountpoint: &Path) -> String {
    format!("{}.sock", name_of(mountpoint))
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
    use std::os::unix::fs::PermissionsExt as _;

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
    fn a_path_is_found_in_its_mount() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let mount = dir.join("mount");
        std::os::unix::fs::symlink("mount/sub", dir.join("link")).unwrap();
        std::os::unix::fs::symlink(dir.join("link/../x"), dir.join("far")).unwrap();
        let find = |path: &str| walk(&dir.join(path), |at| at == mount);
        for (path, below) in [
            ("mount", ""),
            ("mount/a/b", "a/b"),
            ("mount/./a//b/", "a/b"),
            ("other/../mount/a/../b", "b"),
            ("link/deep", "sub/deep"),
            ("far", "x"),
        ] {
            let found = find(path).unwrap().unwrap();
            assert_eq!(
                (&found.mountpoint, &*found.below),
                (&mount, below),
                "{path}"
            );
        }
        assert_eq!(find("other/a").unwrap(), None);
        let out = format!("{:#}", find("mount/a/../../b").unwrap_err());
        assert!(out.contains("leads out of the mount"), "{out}");
    }

    #[test]
    fn a_mount_point_need_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let expected = dir.path().canonicalize().unwrap().join("point");
        assert_eq!(resolve(&link.join("point")).unwrap(), expected);
        let point = dir.path().join("to-point");
        std::os::unix::fs::symlink("link/point/", &point).unwrap();
        assert_eq!(resolve(&point).unwrap(), expected);
        let round = dir.path().join("round");
        std::os::unix::fs::symlink("round", &round).unwrap();
        let error = resolve(&round).unwrap_err().to_string();
        assert!(error.contains("too many symlinks"), "{error}");
    }

    /// Who asks may have another environment than who mounted.
    #[test]
    fn sockets_are_looked_for_wherever_they_may_lie() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = dir.path().to_str().unwrap();
        let here = Environment::of([("XDG_RUNTIME_DIR", runtime)]);
        let mountpoint = Path::new("/mnt/x");
        let socket = own_socket(&here, mountpoint).unwrap();
        assert!(socket.starts_with(dir.path()));
        assert_eq!(sockets(&here, mountpoint).first(), Some(&socket));
        let elsewhere = own_socket(&Environment::default(), mountpoint).unwrap();
        assert!(elsewhere != socket);
        assert!(sockets(&here, mountpoint).contains(&elsewhere));
        std::fs::set_permissions(
            socket.parent().unwrap(),
            std::fs::Permissions::from_mode(0o755),
        )
        .unwrap();
        assert!(own_socket(&here, mountpoint).is_err());
        assert!(!sockets(&here, mountpoint).contains(&socket));
    }
}
