//! Who looks at an entry, and what is asked of the store for him and ahead of him.
//!
//! Law: attributes that somebody asks for already are waited for, not asked for again.

use cloudmount_cache::{ObjectRef, WholeFetch};
use cloudmount_store::ObjectMeta;
use cloudmount_vfs::{Cookie, ErrorKind, InodeId, NodeKind, Result};
use futures::future::{Either, select};

use super::{Guess, Job, Join};
use crate::core::{Inner, Table};
use crate::know::Inode;
use crate::node::Node;
use crate::walk::{Look, Plan};

impl Inner {
    /// Somebody looks at an entry: asks ahead for what comes next, if this is a walk. Says what is best asked for
    /// of the entry itself.
    pub(crate) fn looked(&self, ino: InodeId, look: Look) -> Look {
        let max = self.settings.files_ahead;
        if self.settings.ttl.attributes.is_zero() {
            return look;
        }
        let guesses = {
            let table = self.table();
            let Some((dir, cookie)) = table.place_of(ino) else {
                return look;
            };
            let plan = self.ahead.note((dir, cookie.0), ino, look, max as u64);
            let Some(plan) = plan.filter(|_| max > 0) else {
                return look;
            };
            let guesses = self.guesses(&table, dir, &plan);
            if guesses.is_empty() {
                return plan.what;
            }
            drop(table);
            (plan.what, guesses)
        };
        self.ahead.begin(guesses.1);
        guesses.0
    }

    /// What of the planned entries is not known or not here.
    fn guesses(&self, table: &Table, dir: InodeId, plan: &Plan) -> Vec<Guess> {
        let count = plan.positions.end.saturating_sub(plan.positions.start);
        if count == 0 {
            return Vec::new();
        }
        let after = Cookie(plan.positions.start.saturating_sub(1));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let children = table.children(dir, after, count).unwrap_or_default();
        let guess = |child: cloudmount_inode::Child<_>| {
            let inode: Inode = child.found?;
            // What a listing tells is enough for who only looks.
            let is_known = match plan.what {
                Look::Content => self.is_told(&inode.payload),
                Look::Attributes => self.can_show(&inode.payload),
            };
            let bytes = match plan.what {
                Look::Content => self.lacks(&inode.payload).map(|object| object.size),
                Look::Attributes => None,
            };
            let what = match bytes {
                Some(_) => Look::Content,
                None if is_known => return None,
                None => Look::Attributes,
            };
            Some(Guess {
                dir,
                inode,
                what,
                position: child.cookie.0,
                bytes: bytes.unwrap_or(0),
            })
        };
        // Who lists one folder after the other learns most of them from what lists the next ones ahead.
        let is_told_so = |child: &cloudmount_inode::Child<_>| {
            child.kind == NodeKind::Directory
                && !table.listing_is_valid(child.ino, self.now())
                && self.is_gone_through(dir)
        };
        let is_planned = |cookie: Cookie| cookie.0 < plan.positions.end;
        let children = children.into_iter();
        (children.take_while(|child| is_planned(child.cookie)))
            .filter(|child| !is_told_so(child))
            .filter_map(guess)
            .collect()
    }

    /// The object of a small file whose bytes neither the cache nor the kernel has.
    fn lacks(&self, node: &Node) -> Option<ObjectRef> {
        if node.kind != NodeKind::File {
            return None;
        }
        let object = {
            let state = node.lock();
            if state.was_read && state.seen_changes == Some(state.changes()) {
                return None;
            }
            state
                .content
                .small(self.cache.whole_object_bytes())?
                .clone()
        };
        (!self.cache.holds_any(&object)).then_some(object)
    }

    /// The attributes of an inode that somebody looks at. What is being asked is waited for.
    ///
    /// # Errors
    /// As [`known`](Self::known).
    pub(crate) async fn known_to_show(&self, inode: Inode, want: Look) -> Result<Inode> {
        // Where no answer is believed for a moment, each asks for himself.
        let is_asked_once = !self.settings.ttl.attributes.is_zero();
        let _own = if self.is_known(&inode.payload) || !is_asked_once {
            None
        } else {
            match self.ahead.join(inode.ino) {
                Join::Own(job) => Some(job),
                Join::Others(ended) => {
                    // Whatever came of it, it has ended.
                    drop(ended.await);
                    None
                }
            }
        };
        self.known_by(inode, want, &mut None).await
    }

    pub(super) async fn ask_ahead(&self, guess: Guess, job: Job<'_>) {
        let Guess {
            dir, inode, what, ..
        } = guess;
        let mut fetch = None;
        let known = self.known_by(inode, what, &mut fetch).await;
        drop(job);
        let result = match known {
            Ok(inode) if what == Look::Content => {
                if fetch.is_none() {
                    let object = self.lacks(&inode.payload);
                    fetch = object.and_then(|object| self.cache.fetch_whole(&object));
                }
                match fetch {
                    Some(fetch) => fetch.arrived().await,
                    None => Ok(()),
                }
            }
            known => known.map(drop),
        };
        match result {
            Ok(()) => {}
            // It was removed or replaced: nothing that says anything of the others.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Stale) => {}
            Err(error) => {
                // Who wants it will ask, and be told. Until then the store is left alone.
                tracing::debug!(%error, "a file of a folder that is read through cannot be fetched ahead");
                self.ahead.state.lock().give_up(dir);
            }
        }
    }

    /// The attributes of a small file by a request for all of it, which is given to `fetch`. `None` if they must
    /// be asked for alone.
    ///
    /// # Errors
    /// `TimedOut`, `Unreachable`: to ask again would take as long again.
    pub(crate) async fn ask_by_reading(
        &self,
        node: &Node,
        fetch: &mut Option<WholeFetch>,
    ) -> Result<Option<ObjectMeta>> {
        let object = (node.lock().content)
            .small(self.cache.whole_object_bytes())
            .cloned();
        let Some(object) = object else {
            return Ok(None);
        };
        let Some(mut expected) = self.told.expect(&object) else {
            return Ok(None);
        };
        let Some(sent) = self.cache.fetch_whole(&object) else {
            return Ok(None);
        };
        let first = {
            let heard = std::pin::pin!(expected.heard());
            let arrived = std::pin::pin!(sent.arrived());
            match select(heard, arrived).await {
                Either::Left((meta, _)) => Ok(meta),
                Either::Right((arrived, _)) => Err(arrived),
            }
        };
        *fetch = Some(sent);
        match first {
            Ok(meta) => Ok(Some(meta)),
            Err(Err(error))
                if matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Unreachable) =>
            {
                Err(error)
            }
            // From a disk, or refused: a version that is gone, or bytes that may not be read.
            Err(_) => Ok(expected.already()),
        }
    }
}
