//! Conformance: what a filesystem promises, one law at a time, by theme.
//!
//! A law is an async function over a [`Mounted`] world, named as a sentence. It panics, with the
//! place and a message that starts with `law:`, if the filesystem breaks it. After each law the
//! filesystem is unmounted and must have been given back every lookup that it counted; and all the
//! while the [kernel](crate::kernel) watches the laws of the protocol.
//!
//! [`vfs_tests!`](crate::vfs_tests) turns all laws into tests. [`laws`] gives them as a table, for those who want to
//! run them otherwise.
//!
//! *Invariant:* laws know paths and the bucket, and nothing of what is under test.

pub mod attributes;
pub mod concurrency;
pub mod data;
pub mod dirs;
pub mod durability;
pub mod handles;
mod holds;
mod laws;
mod mounted;
pub mod names;
pub mod remote;
pub mod rename;
pub mod sparse;
pub mod symlinks;
pub mod unlinked;
pub mod xattrs;

use std::fmt;
use std::future::Future;

use cloudmount_vfs::BoxFuture;

use crate::World;

pub(crate) use holds::pattern;
pub use mounted::Mounted;

/// How a law is tried: it borrows the world as long as it runs.
pub type Check<W> = for<'a> fn(&'a mut Mounted<W>) -> BoxFuture<'a, ()>;

/// One law, as [`laws`] lists it.
pub struct Law<W: World> {
    /// The theme that it belongs to: its module.
    pub theme: &'static str,
    /// Its name: its function.
    pub name: &'static str,
    /// What a world must have for it.
    pub needs: Needs,
    /// Tries it.
    pub check: Check<W>,
}

impl<W: World> fmt::Debug for Law<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}::{}", self.theme, self.name)
    }
}

/// What a world must have for a law.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Needs {
    /// Nothing but a filesystem.
    Nothing,
    /// [`World::store`].
    Bucket,
    /// [`World::remount`].
    Remount,
}

/// All laws, in the order of their themes.
#[must_use]
pub fn laws<W: World>() -> Vec<Law<W>> {
    crate::__for_each_law!(__law_table, W, [])
}

/// What became of a law.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It was tried and held.
    Held,
    /// The world says that it is known not to hold: see [`World::unsupported`].
    Skipped,
}

/// Tries one law on a fresh world.
///
/// # Panics
/// If it does not hold.
pub async fn try_law<W: World>(world: W, law: &str, check: Check<W>) -> Verdict {
    if world.unsupported().contains(&law) {
        return Verdict::Skipped;
    }
    let mut mounted = Mounted::new(world).await;
    check(&mut mounted).await;
    mounted.end().await;
    Verdict::Held
}

/// The body of a test: makes a world, tries a law on it, on a runtime of one thread.
///
/// # Panics
/// If the law does not hold, or there is no runtime.
pub fn run<W, F>(make: impl FnOnce() -> F, law: &str, check: Check<W>)
where
    W: World,
    F: Future<Output = W>,
{
    let verdict = on_runtime(async { try_law(make().await, law, check).await });
    if verdict == Verdict::Skipped {
        say_skipped(law);
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a skipped law must be seen in the output of its test"
)]
fn say_skipped(law: &str) {
    eprintln!("skipped: this world does not support {law}");
}

/// Runs a future on a runtime of its own: one thread, so that the same test takes the same steps.
pub(crate) fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime of one thread needs nothing that could be missing")
        .block_on(future)
}
