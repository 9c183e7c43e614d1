//! The attribute by which ours says how far an upload is (docs/semantics.md): to ask for it costs less than to start
//! `cloudmount status`, and starts no program.

use std::path::Path;

use anyhow::{Context as _, Result};

/// The attribute.
const NAME: &str = "user.cloudmount.upload";
/// What it says where nothing waits.
const CLEAN: &str = "clean";

/// Whether the bucket has a file, or all below a folder.
///
/// # Errors
/// Ours is gone.
pub(crate) fn is_uploaded(path: &Path) -> Result<bool> {
    Ok(said(path)? == CLEAN)
}

/// How many keys wait for upload below a folder.
///
/// # Errors
/// Ours is gone, or says something else.
pub(crate) fn waiting(folder: &Path) -> Result<u64> {
    let said = said(folder)?;
    if said == CLEAN {
        return Ok(0);
    }
    let pending = said.strip_suffix(" pending");
    pending
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("{NAME}: {said}"))
}

fn said(path: &Path) -> Result<String> {
    let mut state = [0; 64];
    let length = rustix::fs::getxattr(path, NAME, &mut state)?;
    Ok(std::str::from_utf8(&state[..length])?.to_owned())
}
