//! [`FakeKernel`]: plays the Linux kernel's part over any [`Vfs`], without mounting it.
//!
//! It takes paths, keeps names and attributes as long as their TTLs allow, counts lookups, cuts
//! large reads and writes into requests, follows [`Vfs::changes`], and gives everything back at
//! unmount. Where Linux would answer by itself from types alone (`mkdir` of a name that exists,
//! `rmdir` of a file) it asks the filesystem all the same, so that the filesystem's own answer is
//! what a test sees. What it answers itself: symlinks within paths, the umask, permissions if
//! [`Permissions::Checked`], and `NotEmpty` for a rename onto a directory above the source.
//!
//! # Laws that it asserts
//!
//! A call panics, with a message that starts with `law:`, when the filesystem breaks one of these:
//!
//! - a live number has one kind and one generation; attributes carry the number asked for;
//! - a handle is unique while it is open, among files and directories;
//! - `.` and `..` come first in a directory, with their cookies; no cookie comes twice in a scan;
//!   nothing is offered to a sink that was full; after a sink that was not full nothing is left; a
//!   scan of a quiet directory shows no name twice, and `readdir` and `readdirplus` show the same;
//! - a read gives no more than asked for, and less only at the end of the file;
//! - a write takes all;
//! - [`CachePolicy::Keep`](cloudmount_vfs::CachePolicy) is said only if what the cache holds is
//!   still what a read gives;
//! - `setattr` answers with what was set.
//!
//! With [`Interrupt::Sometimes`] it polls operations once, drops them and starts them again, as the
//! adapters do: the results must not show it.

mod attrs;
mod dirs;
mod fds;
mod files;
mod names;
mod pages;
mod permit;
mod state;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use cloudmount_vfs::{
    Changes, Clock, Context, ErrorKind, InodeId, Instant, Result, Timestamp, Vfs,
};
use parking_lot::Mutex;

pub use dirs::{DirStream, Kind, Listed, Scan};
pub use fds::Fd;
pub use permit::Permissions;

use state::State;

/// How the kernel behaves.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Bits that new files and directories do not get.
    pub umask: u16,
    /// Whether the kernel checks permissions (FUSE: `default_permissions`).
    pub permissions: Permissions,
    /// How many entries fit one request of a directory scan; at least 1.
    pub scan_room: usize,
    /// Largest read or write that is one request, in bytes; at least 1.
    pub request_bytes_max: u32,
    /// Whether operations are dropped and started again.
    pub interrupt: Interrupt,
    /// Whether what the page cache holds is read again when the filesystem says that it is good.
    pub page_check: PageCheck,
}

/// Whether operations that are not ready at the first poll are dropped and started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interrupt {
    /// Never.
    Never,
    /// Half of them, as the seed says.
    Sometimes {
        /// The same seed drops the same operations.
        seed: u64,
    },
    /// All of them.
    Always,
}

/// Whether [`CachePolicy::Keep`](cloudmount_vfs::CachePolicy) is believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageCheck {
    /// What was cached is read again and compared.
    Verify,
    /// It is believed: no read but those that a test asks for. For transcripts.
    Trust,
}

impl Default for Options {
    /// Umask 022, no permission checks, scans of 7 entries, requests of 1 MiB (what Linux sends
    /// over FUSE), half of the operations interrupted, pages checked.
    fn default() -> Self {
        Self {
            umask: 0o022,
            permissions: Permissions::Unchecked,
            scan_room: 7,
            request_bytes_max: 1 << 20,
            interrupt: Interrupt::Sometimes { seed: 1 },
            page_check: PageCheck::Verify,
        }
    }
}

/// The kernel's part over a [`Vfs`]; see the [module](self).
///
/// Clones share all state; [`as_user`](Self::as_user) gives one that calls as someone else.
/// Paths are absolute, `/` being the mounted root. All errors are those of the filesystem, except
/// for the few answers that the kernel gives itself.
pub struct FakeKernel<V: Vfs> {
    shared: Arc<Shared<V>>,
    cx: Context,
}

struct Shared<V: Vfs> {
    vfs: Arc<V>,
    clock: Arc<dyn Clock>,
    options: Options,
    changes: Mutex<Option<Changes>>,
    state: Mutex<State>,
}

impl<V: Vfs> Clone for FakeKernel<V> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            cx: self.cx,
        }
    }
}

impl<V: Vfs> fmt::Debug for FakeKernel<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.state.lock();
        f.debug_struct("FakeKernel")
            .field("cx", &self.cx)
            .field("options", &self.shared.options)
            .field("inodes", &state.live().count())
            .finish_non_exhaustive()
    }
}

impl<V: Vfs> FakeKernel<V> {
    /// Mounts `vfs` with default [`Options`], as root.
    ///
    /// # Errors
    /// What `getattr` of the root answers.
    pub async fn new(vfs: Arc<V>, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::with_options(vfs, clock, Options::default()).await
    }

    /// Mounts `vfs`, as root.
    ///
    /// # Errors
    /// What `getattr` of the root answers.
    pub async fn with_options(
        vfs: Arc<V>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self> {
        let (root, ttl) = vfs.getattr(&Context::ROOT, InodeId::ROOT, None).await?;
        assert!(
            root.ino == InodeId::ROOT,
            "law: the root's number is 1, not {}",
            root.ino
        );
        let seed = match options.interrupt {
            Interrupt::Sometimes { seed } => seed,
            Interrupt::Never | Interrupt::Always => 0,
        };
        let mut state = State::new(seed);
        state.mount(root, clock.now() + ttl);
        let changes = Mutex::new(vfs.changes());
        let state = Mutex::new(state);
        let shared = Shared {
            vfs,
            clock,
            options,
            changes,
            state,
        };
        Ok(Self {
            shared: Arc::new(shared),
            cx: Context::ROOT,
        })
    }

    /// The same kernel, called by a process of that user.
    #[must_use]
    pub fn as_user(&self, cx: Context) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            cx,
        }
    }

    /// The filesystem below.
    #[must_use]
    pub fn vfs(&self) -> &Arc<V> {
        &self.shared.vfs
    }

    /// Who calls.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.cx
    }

    /// The wall clock.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.shared.clock.wall()
    }

    /// How many inodes the kernel holds, the root included.
    #[must_use]
    pub fn inodes(&self) -> usize {
        self.shared.state.lock().live().count()
    }

    /// Forgets every name and attribute, and every inode that is not open: as under memory
    /// pressure, or `echo 2 > /proc/sys/vm/drop_caches`.
    pub fn drop_caches(&self) {
        self.shared.with(|state| {
            state.drop_names();
            let live: Vec<_> = state.live().collect();
            for ino in live {
                state.expire_attr(ino);
                state.node(ino).pages.clear();
            }
        });
    }

    /// Closes what is open, gives every lookup back, and checks that exactly those were counted.
    ///
    /// # Errors
    /// The first error of a flush.
    ///
    /// # Panics
    /// If a directory stream is still open, or an operation is under way.
    pub async fn unmount(self) -> Result<()> {
        let open: Vec<_> = self
            .shared
            .state
            .lock()
            .descriptors
            .keys()
            .copied()
            .collect();
        let mut result = Ok(());
        for fd in open {
            let closed = self.close(Fd(fd)).await;
            result = result.and(closed);
        }
        self.shared.with(State::unmount);
        let state = self.shared.state.lock();
        let held: Vec<_> = state.live().collect();
        assert!(held.is_empty(), "still in use at unmount: {held:?}");
        assert!(
            state.counted == state.forgotten,
            "law: what was looked up is forgotten; {} was and {} is",
            state.counted,
            state.forgotten
        );
        drop(state);
        result
    }

    fn now(&self) -> Instant {
        self.shared.clock.now()
    }

    /// Runs an operation; polls it once and starts again, if so set.
    async fn call<T, F>(&self, mut start: impl FnMut() -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        self.follow_changes();
        if self.interrupts() {
            let mut first = Box::pin(start());
            if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx))).await {
                return done;
            }
        }
        start().await
    }

    fn interrupts(&self) -> bool {
        match self.shared.options.interrupt {
            Interrupt::Never => false,
            Interrupt::Sometimes { .. } => self.shared.state.lock().roll() >> 63 == 1,
            Interrupt::Always => true,
        }
    }

    /// Does what the filesystem says must be forgotten.
    pub fn follow_changes(&self) {
        loop {
            let next = self
                .shared
                .changes
                .lock()
                .as_mut()
                .and_then(Changes::try_next);
            let Some(change) = next else {
                return;
            };
            self.shared.with(|state| state.follow(&change));
        }
    }
}

impl<V: Vfs> Shared<V> {
    /// Changes the state, then sends what is to be forgotten, with no lock held.
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let result = change(&mut state);
        let forgets = std::mem::take(&mut state.forgets);
        state.forgotten += forgets.iter().map(|(_, count)| count).sum::<u64>();
        drop(state);
        for (ino, count) in forgets {
            self.vfs.forget(ino, count);
        }
        result
    }
}

/// An inode that cannot be forgotten while this lives.
struct Held<V: Vfs> {
    shared: Arc<Shared<V>>,
    ino: InodeId,
}

impl<V: Vfs> Held<V> {
    /// Takes over a pin that was made already.
    fn of_pinned(shared: &Arc<Shared<V>>, ino: InodeId) -> Self {
        Self {
            shared: Arc::clone(shared),
            ino,
        }
    }
}

impl<V: Vfs> FakeKernel<V> {
    fn hold(&self, ino: InodeId) -> Held<V> {
        self.shared.with(|state| state.pin(ino));
        Held::of_pinned(&self.shared, ino)
    }
}

impl<V: Vfs> Drop for Held<V> {
    fn drop(&mut self) {
        self.shared.with(|state| state.unpin(self.ino));
    }
}

/// The error of an answer that the kernel gives itself.
fn refuse<T>(kind: ErrorKind) -> Result<T> {
    Err(kind.into())
}
