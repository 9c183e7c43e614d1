//! Where things lie: the workspace, its target folder, the cache of tools, the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::say::say;

/// A variable of the environment. xtask is an assembly of its own, so it may look.
#[expect(
    clippy::disallowed_methods,
    reason = "a program's entry may read its environment"
)]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the repository")
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    variable("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs this xtask, or the one in the path.
pub(crate) fn cargo() -> OsString {
    variable("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A folder of the user's cache, where tools outlive `cargo clean` and serve several clones.
///
/// # Errors
/// Neither XDG_CACHE_HOME nor HOME is set, or the folder cannot be made.
pub(crate) fn cache(name: &str) -> Result<PathBuf> {
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("set HOME or XDG_CACHE_HOME: xtask keeps its tools there")?;
    let place = cache.join("cloudmount-xtask").join(name);
    std::fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
    Ok(place)
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this machine lets us mount; says so if what needs that is skipped.
pub(crate) fn can_mount() -> bool {
    let has_fuse = has_fuse();
    if !has_fuse {
        say!("SKIPPED: mounts need /dev/fuse, and this machine has none");
    }
    has_fuse
}

/// Whether this machine lets us mount.
pub(crate) fn has_fuse() -> bool {
    std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/fuse")
        .is_ok()
}
