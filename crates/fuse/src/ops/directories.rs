//! Open directories and their listings.

use std::sync::Arc;

use cloudmount_vfs::{Cookie, Error, ErrorKind, InodeId, OpenedDir, Vfs};
use fuser::{FileHandle, FopenFlags, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyOpen};

use super::{Call, answer, done};
use crate::decode;
use crate::errno::told;
use crate::listing::Listing;

/// How often a listing is begun whose first entry is overtaken by what the kernel learns meanwhile: each time needs somebody
/// who replaces the file and somebody who opens it, within one answer.
const TRIES: usize = 16;

impl<V: Vfs> Call<'_, V> {
    /// Without `FOPEN_CACHE_DIR`: the kernel would keep a listing until it is told otherwise, and
    /// serve it without attributes; the contract's `opendir` does not say whether the listing is
    /// still the one of the last open, as `open` does for files.
    pub(crate) fn opendir(self, reply: ReplyOpen) {
        let Self(shared, vfs, cx, ino) = self;
        let open = Arc::clone(&shared.open_files);
        let is_root = matches!(ino, Ok(InodeId::ROOT));
        let is_turned_away = is_root && shared.indexers.turns_away(shared.pid);
        let work = async move {
            let ino = ino?;
            if is_turned_away {
                let text = "programs that index all files are kept away";
                return Err(Error::new(ErrorKind::PermissionDenied, text));
            }
            let opened: OpenedDir = vfs.opendir(&cx, ino).await?;
            open.opened_dir(ino, opened.handle);
            Ok(opened)
        };
        answer(
            shared,
            "opendir",
            reply,
            work,
            |reply: ReplyOpen, opened| {
                reply.opened(FileHandle(opened.handle.get()), FopenFlags::empty());
            },
        );
    }

    pub(crate) fn readdir(self, handle: FileHandle, offset: u64, reply: ReplyDirectory) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::dir_handle(handle);
        let files = Arc::clone(&shared.open_files);
        let (callers, pid) = (shared.dispatcher.callers(), shared.pid);
        shared.dispatcher.run(async move {
            let mut listing = Listing::new(reply, files);
            let listed = async {
                let from = Cookie(offset);
                vfs.readdir(&cx, ino?, handle?, from, &mut listing).await
            };
            match callers.unless_killed(pid, listed).await {
                Err(error) if listing.taken == 0 => listing.reply.error(told("readdir", &error)),
                _ => listing.reply.ok(),
            }
        });
    }

    pub(crate) fn readdirplus(self, handle: FileHandle, offset: u64, reply: ReplyDirectoryPlus) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::dir_handle(handle);
        let files = Arc::clone(&shared.open_files);
        let (callers, pid) = (shared.dispatcher.callers(), shared.pid);
        shared.dispatcher.run(async move {
            let mut listing = Listing::new(reply, files);
            let listed = async {
                let (from, ino, handle) = (Cookie(offset), ino?, handle?);
                for tries_left in (0..TRIES).rev() {
                    vfs.readdirplus(&cx, ino, handle, from, &mut listing)
                        .await?;
                    if !listing.is_overtaken() {
                        break;
                    }
                    listing.again(tries_left == 1);
                }
                Ok(())
            };
            let listed = callers.unless_killed(pid, listed).await;
            for ino in listing.uncounted.drain(..) {
                vfs.forget(ino, 1);
            }
            match listed {
                Err(error) if listing.taken == 0 => {
                    listing.reply.error(told("readdirplus", &error));
                }
                _ => listing.reply.ok(),
            }
        });
    }

    pub(crate) fn releasedir(self, handle: FileHandle, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::dir_handle(handle);
        let open = Arc::clone(&shared.open_files);
        let work = async move {
            let handle = handle?;
            open.released_dir(handle);
            vfs.releasedir(&cx, ino?, handle).await
        };
        answer(shared.to_the_end(), "releasedir", reply, work, done);
    }

    pub(crate) fn fsyncdir(self, handle: FileHandle, data_only: bool, reply: ReplyEmpty) {
        let Self(shared, vfs, cx, ino) = self;
        let handle = decode::dir_handle(handle);
        let scope = decode::sync_scope(data_only);
        let work = async move { vfs.fsyncdir(&cx, ino?, handle?, scope).await };
        answer(shared, "fsyncdir", reply, work, done);
    }
}
