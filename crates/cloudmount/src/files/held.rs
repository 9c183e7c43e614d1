//! [`Held`]: an inode that was looked up, until it is dropped.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cloudmount_core::Core;
use cloudmount_vfs::{Attr, InodeId, Vfs as _};

/// An inode. If its lookup was counted, it is given back when this is dropped.
pub(super) struct Held {
    core: Arc<Core>,
    pub(super) attr: Attr,
    lookups: u64,
}

impl Held {
    /// Of an entry that a call has returned.
    pub(super) fn counted(core: &Arc<Core>, attr: Attr) -> Self {
        let mut held = Self::not_counted(core, attr);
        held.count();
        held
    }

    /// Of an inode that nobody looked up, as the root.
    pub(super) fn not_counted(core: &Arc<Core>, attr: Attr) -> Self {
        let core = Arc::clone(core);
        Self {
            core,
            attr,
            lookups: 0,
        }
    }

    /// A lookup has been counted for it.
    pub(super) const fn count(&mut self) {
        self.lookups += 1;
    }

    pub(super) const fn ino(&self) -> InodeId {
        self.attr.ino
    }

    pub(super) const fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The same inode, for as long as this one is held.
    pub(super) fn again(&self) -> Self {
        Self::not_counted(&self.core, self.attr)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.lookups > 0 {
            self.core.forget(self.attr.ino, self.lookups);
        }
    }
}

/// Carries out a call that never waits, as releases are.
pub(super) fn at_once<T>(call: impl Future<Output = T>) -> Option<T> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
