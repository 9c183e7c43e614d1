//! The operations, one file per family. Each decodes its arguments, is one call of the contract,
//! and encodes the result.

mod attributes;
mod directories;
mod files;
mod names;
mod privileges;
mod xattrs;

use std::future::Future;
use std::sync::Arc;

use cloudmount_vfs::{Context, InodeId, Result};
use fuser::ReplyEmpty;

use crate::adapter::Shared;
use crate::dispatch::Refuse;

/// One request: whom it asks, who asks, and about which inode.
pub(crate) struct Call<'a, V>(
    pub(crate) &'a Shared,
    pub(crate) Arc<V>,
    pub(crate) Context,
    pub(crate) Result<InodeId>,
);

/// Runs `work` and answers with `success` or with the errno of the error.
fn answer<T: 'static, R: Refuse>(
    shared: &Shared,
    operation: &'static str,
    reply: R,
    work: impl Future<Output = Result<T>> + Send + 'static,
    success: impl FnOnce(R, T) + Send + 'static,
) {
    shared.dispatcher.answer(operation, reply, work, success);
}

fn done(reply: ReplyEmpty, (): ()) {
    reply.ok();
}
