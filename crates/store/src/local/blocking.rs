//! Work on blocking threads.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinError;

use super::inner::Inner;
use crate::{Error, ErrorKind, Result};

/// Runs `work` where it may block. If the caller goes away it is still done to its end.
pub(super) async fn run<T: Send + 'static>(
    handle: &Handle,
    inner: &Arc<Inner>,
    work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
) -> Result<T> {
    let inner = Arc::clone(inner);
    joined(handle.spawn_blocking(move || work(&inner)).await)
}

/// The result of work on a blocking thread.
pub(super) fn joined<T>(result: std::result::Result<Result<T>, JoinError>) -> Result<T> {
    result.unwrap_or_else(|error| {
        // The runtime is shutting down, or the work panicked.
        Err(Error::new(ErrorKind::Io, "work on a blocking thread").with_source(error))
    })
}
