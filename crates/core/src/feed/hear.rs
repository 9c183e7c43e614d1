//! What is forgotten because of a piece of news.
//!
//! Law: only names, listings and what was learnt of objects: a name that is local keeps all, and what was removed here
//! stays removed.

use std::sync::Arc;

use cloudmount_inode::Found;
use cloudmount_stage::Change as Done;
use cloudmount_store::Key;
use cloudmount_vfs::{Change, Cookie, InodeId, Name, NodeKind};

use super::News;
use crate::core::{Core, Inner, Table};
use crate::markers;
use crate::naming::Part;
use crate::node::{Content, Marker, Node};
use crate::seen;

/// News of what was written here that is waited for, at most, and that came too early.
const NEWS_DUE_MAX: i8 = 16;

/// Where a key leads, as far as its folders are known.
struct Walked {
    /// The folders on the way: their parents, and their names in these.
    above: Vec<(InodeId, Name)>,
    /// The last folder.
    dir: InodeId,
}

impl Core {
    /// Believes no longer what is known of what has changed: whoever looks next asks the store. What was changed here
    /// and is not in the bucket yet stays as it is.
    ///
    /// The kernel is told by way of its changes, so it may be some milliseconds late.
    pub fn hear(&self, news: &[News]) {
        let inner = &self.inner;
        for one in news {
            match one {
                News::Put { key, tag } => inner.hear_put(key, tag.as_deref()),
                News::Gone { key } => inner.hear_gone(key),
                News::Folder { prefix } => inner.hear_folder(prefix),
                News::Below { prefix } => inner.hear_below(prefix),
            }
        }
    }
}

impl Inner {
    fn hear_put(&self, key: &str, tag: Option<&str>) {
        let mut table = self.table();
        let (folders, leaf) = split(key);
        let Some(walked) = self.walk_known(&mut table, folders) else {
            return;
        };
        let names = self.leaf_names(leaf);
        let mut known = names.iter().filter_map(|name| table.peek(walked.dir, name));
        let is_ours = |found: Found<Arc<Node>>| tag.is_some_and(|tag| tells_ours(&found, key, tag));
        if !known.any(is_ours) {
            self.forget_leaf(&mut table, walked.dir, &names);
        }
    }

    fn hear_gone(&self, key: &str) {
        let mut table = self.table();
        let (folders, leaf) = split(key);
        let Some(walked) = self.walk_known(&mut table, folders) else {
            return;
        };
        let names = self.leaf_names(leaf);
        let is_known = |name: &Name| table.peek(walked.dir, name).is_some();
        if !names.iter().any(is_known) && table.listing_is_valid(walked.dir, self.now()) {
            return;
        }
        // Folders that may be there for it alone go with it.
        let mut may_go = self.may_hold_one(&table, walked.dir);
        self.forget_leaf(&mut table, walked.dir, &names);
        for (parent, name) in walked.above.iter().rev() {
            if !may_go {
                break;
            }
            may_go = self.may_hold_one(&table, *parent);
            self.forget_leaf(&mut table, *parent, std::slice::from_ref(name));
        }
    }

    /// Whether a folder is not known to hold more than one name.
    fn may_hold_one(&self, table: &Table, dir: InodeId) -> bool {
        !table.listing_is_valid(dir, self.now()) || table.child_count(dir) <= 1
    }

    fn hear_folder(&self, prefix: &str) {
        let mut table = self.table();
        let folders = prefix.strip_suffix('/');
        let Some(walked) = self.walk_known(&mut table, folders) else {
            return;
        };
        for name in table.expire_names(walked.dir) {
            self.changed_name(walked.dir, &name);
        }
        self.doubt_attributes(&table, walked.dir);
        // Which of them are others now is told by the listing that follows; the kernel has to ask.
        let children = table.children(walked.dir, Cookie::START, usize::MAX);
        for found in children
            .into_iter()
            .flatten()
            .filter_map(|child| child.found)
        {
            self.changes.send(Change::Attributes(found.ino));
        }
    }

    fn hear_below(&self, prefix: &str) {
        let folders = prefix.strip_suffix('/');
        let parts = folders.into_iter().flat_map(|folders| folders.split('/'));
        let names: Vec<Name> = parts
            .map(|part| self.long.show(&Part::plain(part)))
            .collect();
        self.invalidate(&names);
    }

    /// Goes down the folders as far as they are known. If one is not, it may be new: then nothing is known of what
    /// is below it.
    fn walk_known(&self, table: &mut Table, folders: Option<&str>) -> Option<Walked> {
        let mut walked = Walked {
            above: Vec::new(),
            dir: InodeId::ROOT,
        };
        for part in folders.into_iter().flat_map(|folders| folders.split('/')) {
            let name = self.long.show(&Part::plain(part));
            let found = table.peek(walked.dir, &name);
            let Some(found) = found.filter(|found| found.kind == NodeKind::Directory) else {
                self.forget_leaf(table, walked.dir, &seen::names_of(part, &self.long));
                return None;
            };
            walked.above.push((walked.dir, name));
            walked.dir = found.ino;
        }
        Some(walked)
    }

    /// All names that change with a key whose last part this is.
    fn leaf_names(&self, leaf: &str) -> Vec<Name> {
        let marked = markers::folder_of(leaf);
        let parts = [Some(leaf), marked].into_iter().flatten();
        parts
            .flat_map(|part| seen::names_of(part, &self.long))
            .collect()
    }

    fn forget_leaf(&self, table: &mut Table, dir: InodeId, names: &[Name]) {
        for name in names {
            table.expire(dir, name);
            self.changed_name(dir, name);
            if let Some(found) = table.peek(dir, name) {
                self.doubt_attributes(table, found.ino);
                if found.kind == NodeKind::Directory {
                    // One that is under way may have been asked before there was a marker.
                    table.expire_listing(found.ino);
                }
            }
        }
        table.expire_listing(dir);
        self.changes.send(Change::Attributes(dir));
    }
}

impl Inner {
    /// The bucket took what was written here: a feed will tell of it.
    pub(crate) fn expects_news(&self, table: &Table, key: &Key, change: &Done) {
        let inode = match change {
            Done::Content { file, .. } => self.by_file(table, *file),
            Done::Inline | Done::Metadata | Done::Removed => None,
        };
        if let Some(inode) = inode.or_else(|| self.locate(table, key)) {
            let mut state = inode.payload.lock();
            state.news_due = (state.news_due + 1).min(NEWS_DUE_MAX);
        }
    }
}

/// The folders of a key, with slashes between, and its last part; that of a marker is its folder's.
fn split(key: &str) -> (Option<&str>, &str) {
    let key = key.strip_suffix('/').unwrap_or(key);
    key.rsplit_once('/')
        .map_or((None, key), |(folders, leaf)| (Some(folders), leaf))
}

/// Whether it is what was written here that is told of: it has the tag of what is known under `key`, and was not told of
/// yet. Other attributes of the same content have its tag, too, and so has the same content that others wrote.
fn tells_ours(found: &Found<Arc<Node>>, key: &str, tag: &str) -> bool {
    let bare = |text: &str| text.trim_matches('"').to_owned();
    let mut state = found.payload.lock();
    let known = match &state.content {
        Content::Object(object) => bare(&object.version),
        Content::Link {
            version: Some(version),
            ..
        } => bare(version.as_str()),
        Content::Folder {
            marker: Marker::There(Some(version)),
        } if key.ends_with('/') => bare(version.as_str()),
        Content::Staged(_) => {
            // It may come before the answer to the upload.
            state.news_due = (state.news_due - 1).max(-NEWS_DUE_MAX);
            return false;
        }
        Content::Link { .. } | Content::Folder { .. } => return false,
    };
    if known.is_empty() || known != bare(tag) || state.news_due <= 0 {
        return false;
    }
    state.news_due -= 1;
    true
}
