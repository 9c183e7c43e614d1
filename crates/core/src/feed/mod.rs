//! Change feeds: somebody tells what others have changed in the bucket, so that it is seen before `ttl` is over.
//!
//! Laws:
//! - A feed only says where to look: what is there is asked of the store, by the same rules as always. So what it says
//!   may be late, doubled, out of order or wrong, and costs requests at most.
//! - What was changed here and is not in the bucket yet is never touched by it ([`hear`](Core::hear)).
//! - Whoever looks into a feed waits for nobody; the kernel is told by the stream of changes.

mod events;
mod hear;
mod poll;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cloudmount_vfs::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::Core;

pub use self::events::{Malformed, Notices};
pub use self::poll::ListPoller;

/// How long a feed that failed is left alone, whatever it does itself.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What has changed. Keys are those below the mount.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// There is something new under this key.
    Put {
        /// The key.
        key: String,
        /// The ETag of what is there, with or without quotes, if it is known: what is known here already is not
        /// asked for again.
        tag: Option<String>,
    },
    /// There is nothing under this key any more.
    Gone {
        /// The key.
        key: String,
    },
    /// Something directly in this folder.
    Folder {
        /// Its prefix: empty, or ending in a slash.
        prefix: String,
    },
    /// Anything in this folder, and in those below it.
    Below {
        /// Its prefix: empty, or ending in a slash.
        prefix: String,
    },
}

/// Somebody who tells what has changed.
pub trait ChangeFeed: fmt::Debug + Send + 'static {
    /// What it is, in a word or two, for people.
    fn kind(&self) -> String;

    /// Waits for the next news. May be dropped while it waits, and called again, without losing any.
    ///
    /// # Errors
    /// Why there are none, in a line: it is called again after a second.
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<News>, String>>;
}

/// How a feed stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedStatus {
    /// What it is.
    pub kind: String,
    /// Pieces of news since the start.
    pub news: u64,
    /// Why there were none the last time, if so.
    pub error: Option<String>,
}

#[derive(Debug)]
struct Noted {
    kind: String,
    news: AtomicU64,
    error: Mutex<Option<String>>,
}

/// A feed that is followed, until this is dropped.
#[derive(Debug)]
pub struct Followed {
    noted: Arc<Noted>,
    task: JoinHandle<()>,
}

impl Followed {
    /// How it stands.
    #[must_use]
    pub fn status(&self) -> FeedStatus {
        FeedStatus {
            kind: self.noted.kind.clone(),
            news: self.noted.news.load(Ordering::Relaxed),
            error: self.noted.error.lock().clone(),
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Core {
    /// Believes what `feed` says, as [`hear`](Self::hear) does, in the background.
    #[must_use = "it is followed until this is dropped"]
    pub fn follow(&self, mut feed: Box<dyn ChangeFeed>, runtime: &Handle) -> Followed {
        let noted = Arc::new(Noted {
            kind: feed.kind(),
            news: AtomicU64::new(0),
            error: Mutex::default(),
        });
        let (told, clock) = (Arc::clone(&noted), Arc::clone(&self.inner.clock));
        let inner = Arc::downgrade(&self.inner);
        let task = runtime.spawn(async move {
            loop {
                let news = feed.next().await;
                let Some(inner) = inner.upgrade() else {
                    return;
                };
                match news {
                    Ok(news) => {
                        Self { inner }.hear(&news);
                        told.news.fetch_add(news.len() as u64, Ordering::Relaxed);
                        told.error.lock().take();
                    }
                    Err(error) => {
                        drop(inner);
                        let is_new = told.error.lock().replace(error.clone());
                        if is_new.as_ref() != Some(&error) {
                            tracing::warn!(%error, feed = told.kind, "a change feed tells nothing");
                        }
                        clock.sleep(AFTER_FAILURE).await;
                    }
                }
            }
        });
        Followed { noted, task }
    }
}
