//! The operations, one file per family. Each decodes its arguments, is one call of the contract,
//! and encodes the result.

mod attributes;
mod directories;
mod files;
mod names;
mod privileges;
mod xattrs;

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use cloudmount_vfs::{Context, InodeId, Result};
use fuser::ReplyEmpty;

use crate::dispatch::{Dispatcher, Refuse};
use crate::dot_lookups::DotLookups;
use crate::indexers::Indexers;
use crate::open_files::OpenFiles;
use crate::passthrough::Passthrough;

/// What all operations share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) open_files: Arc<OpenFiles>,
    pub(crate) dots: Arc<DotLookups>,
    pub(crate) passthrough: Arc<Passthrough>,
    pub(crate) indexers: Indexers,
}

/// The same, for one who asks.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) shared: &'a Shared,
    /// The thread that waits for the answer; 0 if it is to be waited for whatever becomes of it.
    pub(crate) pid: u32,
}

impl Asked<'_> {
    /// For what must be done to its end.
    const fn to_the_end(self) -> Self {
        Self { pid: 0, ..self }
    }
}

impl Deref for Asked<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        self.shared
    }
}

/// One request: whom it asks, who asks, and about which inode.
pub(crate) struct Call<'a, V>(
    pub(crate) Asked<'a>,
    pub(crate) Arc<V>,
    pub(crate) Context,
    pub(crate) Result<InodeId>,
);

/// Runs `work` and answers with `success` or with the errno of the error.
fn answer<T: 'static, R: Refuse>(
    asked: Asked<'_>,
    operation: &'static str,
    reply: R,
    work: impl Future<Output = Result<T>> + Send + 'static,
    success: impl FnOnce(R, T) + Send + 'static,
) {
    let operation = (operation, asked.pid);
    asked.dispatcher.answer(operation, reply, work, success);
}

fn done(reply: ReplyEmpty, (): ()) {
    reply.ok();
}
