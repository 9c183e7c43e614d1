//! How an operation runs: polled once where the request arrived, and only then elsewhere.
//!
//! Laws: a dispatch thread never waits for an operation; it answers what is ready at once, without
//! a hop, and hands the rest to the runtime. A panic in an operation costs that request (`EIO`),
//! not the mount.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cloudmount_vfs::Result;
use fuser::Errno;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::Handle;

use crate::callers::Callers;
use crate::errno::told;

/// Bytes of pending writes that may be held as copies (see [`Dispatcher::run_write`]).
///
/// A write pends only while staging is throttled. The kernel sends one buffered write per file at
/// a time, of at most 1 MiB, so this is reached by 128 programs that write at full size into a full
/// staging area. Then the dispatch thread waits for room: the requests that it would have read
/// stay in the kernel's queue, which is where a throttled writer belongs.
pub(crate) const COPIED_WRITE_BYTES_MAX: usize = 128 << 20;

/// An answer that can be "no".
pub(crate) trait Refuse: Send + 'static {
    fn refuse(self, errno: Errno);
}

macro_rules! refuse {
    ($($reply:ident),* $(,)?) => {
        $(impl Refuse for fuser::$reply {
            fn refuse(self, errno: Errno) {
                self.error(errno);
            }
        })*
    };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr,
);

/// Runs operations.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    runtime: Handle,
    copies: Arc<CopyBudget>,
    callers: Arc<Callers>,
}

impl Dispatcher {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            copies: Arc::new(CopyBudget::new(COPIED_WRITE_BYTES_MAX)),
            callers: Arc::default(),
        }
    }

    /// Those who wait for an answer.
    pub(crate) fn callers(&self) -> Arc<Callers> {
        Arc::clone(&self.callers)
    }

    /// Runs `work`, which answers by itself.
    ///
    /// The box is what allows to move it to the runtime after the first poll; its cost is one
    /// allocation per request, about a hundredth of the two switches to and from the kernel.
    pub(crate) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(work);
        let _entered = self.runtime.enter();
        if poll_once(work.as_mut()).is_pending() {
            drop(self.runtime.spawn(work));
        }
    }

    /// Runs `work` and turns its result into the answer. If the thread `pid` is killed while it waits,
    /// `work` is given up; nobody is looked at if it is 0.
    pub(crate) fn answer<T: 'static, R: Refuse>(
        &self,
        (operation, pid): (&'static str, u32),
        reply: R,
        work: impl Future<Output = Result<T>> + Send + 'static,
        success: impl FnOnce(R, T) + Send + 'static,
    ) {
        let callers = self.callers();
        self.run(async move {
            match callers.unless_killed(pid, work).await {
                Ok(value) => success(reply, value),
                Err(error) => reply.refuse(told(operation, &error)),
            }
        });
    }

    /// Runs a write. `first` works on the request's own buffer, which lives only as long as this
    /// call; if it is not ready it is dropped, and `again` starts over with a copy. By the law of
    /// the trait `Vfs`, a future that is dropped before it is ready has applied nothing.
    pub(crate) fn run_write<R, F>(
        &self,
        reply: R,
        (data, pid): (&[u8], u32),
        first: impl Future<Output = Result<u32>>,
        again: impl FnOnce(Box<[u8]>) -> F,
        success: impl FnOnce(R, u32) + Send + 'static,
    ) where
        R: Refuse,
        F: Future<Output = Result<u32>> + Send + 'static,
    {
        let _entered = self.runtime.enter();
        // In a block of its own: `first` must be gone before `again` starts.
        let polled = {
            let first = pin!(first);
            poll_once(first)
        };
        match polled {
            Ready::Done(Ok(written)) => success(reply, written),
            Ready::Done(Err(error)) => reply.refuse(told("write", &error)),
            Ready::Panicked => reply.refuse(Errno::EIO),
            Ready::Pending => {
                let room = self.copies.take(data.len());
                let work = again(data.into());
                let callers = self.callers();
                drop(self.runtime.spawn(async move {
                    match callers.unless_killed(pid, work).await {
                        Ok(written) => success(reply, written),
                        Err(error) => reply.refuse(told("write", &error)),
                    }
                    drop(room);
                }));
            }
        }
    }
}

/// What one poll gave.
enum Ready<T> {
    Done(T),
    Panicked,
    Pending,
}

impl<T> Ready<T> {
    const fn is_pending(&self) -> bool {
        matches!(self, Self::Pending)
    }
}

/// Polls without a waker that wakes: what is pending is polled again by the runtime, which
/// registers its own.
fn poll_once<F: Future + ?Sized>(work: Pin<&mut F>) -> Ready<F::Output> {
    let mut context = Context::from_waker(Waker::noop());
    match guarded(|| work.poll(&mut context)) {
        Some(Poll::Ready(value)) => Ready::Done(value),
        Some(Poll::Pending) => Ready::Pending,
        None => Ready::Panicked,
    }
}

/// Runs `work` so that its panic does not take the dispatch thread with it; none if it panicked.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    let result = catch_unwind(AssertUnwindSafe(work));
    if result.is_err() {
        tracing::error!("an operation panicked; its request is answered with EIO");
    }
    result.ok()
}

/// How many bytes are copied at present; waits at the limit.
#[derive(Debug)]
struct CopyBudget {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A part of the budget, given back on drop.
struct Room {
    budget: Arc<CopyBudget>,
    bytes: usize,
}

impl CopyBudget {
    fn new(bytes: usize) -> Self {
        Self {
            free: Mutex::new(bytes),
            freed: Condvar::new(),
        }
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Room {
        let mut free = self.free.lock();
        self.freed.wait_while(&mut free, |free| *free < bytes);
        *free -= bytes;
        Room {
            budget: Arc::clone(self),
            bytes,
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        *self.budget.free.lock() += self.bytes;
        self.budget.freed.notify_all();
    }
}

#[cfg(test)]
mod tests;
