//! [`DiskWork`]: what reads and writes the staging folder beside the callers, on threads that may
//! block.
//!
//! Law: once [`DiskWork::end`] has returned, none of it runs any more. A task that is given up leaves
//! its thread at work; the folder must not have another owner before that is done.

use std::sync::Arc;

use cloudmount_vfs::{Error, ErrorKind, Result};
use tokio::sync::Semaphore;

/// Threads at once: as many as there are parts of the usual number of files; a disk is not faster
/// with more.
const THREADS_MAX: u32 = 48;

/// Work on the staging folder.
#[derive(Debug)]
pub(crate) struct DiskWork(Arc<Semaphore>);

impl DiskWork {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(THREADS_MAX as usize)))
    }

    /// Runs `work` on a thread of its own.
    ///
    /// # Errors
    /// Those of `work`; `Interrupted` after the end.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let room = Arc::clone(&self.0).acquire_owned().await;
        let room = room.map_err(|_| Error::from(ErrorKind::Interrupted))?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(room);
            done
        });
        done.await.map_err(|error| {
            Error::new(ErrorKind::Interrupted, "work on the staging folder").with_source(error)
        })?
    }

    /// Starts no more work, and waits for what runs.
    pub(crate) async fn end(&self) {
        let all = self.0.acquire_many(THREADS_MAX).await;
        self.0.close();
        drop(all);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_work_that_was_given_up() {
        let disk = Arc::new(DiskWork::new());
        let done = Arc::new(AtomicBool::new(false));
        let (go, wait) = mpsc::channel::<()>();
        let task = tokio::spawn({
            let (disk, done) = (Arc::clone(&disk), Arc::clone(&done));
            async move {
                let work = move || {
                    let _ = wait.recv();
                    done.store(true, Ordering::Release);
                    Ok(())
                };
                disk.run(work).await
            }
        });
        tokio::task::yield_now().await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        let end = tokio::spawn({
            let disk = Arc::clone(&disk);
            async move { disk.end().await }
        });
        tokio::task::yield_now().await;
        assert!(!end.is_finished());
        go.send(()).unwrap();
        end.await.unwrap();
        assert!(done.load(Ordering::Acquire));
        assert!(disk.run(|| Ok(())).await.is_err());
    }
}
