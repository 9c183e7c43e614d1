//! All keys below a folder, to be renamed together.
//!
//! Law: a key is moved as it is when the table is locked: what the store listed counts only where
//! neither the table nor the stage know better.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cloudmount_stage::{Base, Desired, Mark, RemoteBelief, RenameItem, StagedFile};
use cloudmount_store::{Key, ListRequest, Metadata, ObjectMeta, Version};
use cloudmount_vfs::{InodeId, NodeKind, RenameMode, Result};
use futures::StreamExt;

use super::rename::{Move, Place};
use crate::core::{Inner, Table};
use crate::dialect::Dialect;
use crate::keys::to_key;
use crate::manifest;
use crate::node::{Content, Marker, Node, Standing};

/// What the store has told of a folder.
pub(crate) struct Tree {
    /// The folder's marker, which all keys below begin with.
    pub(crate) prefix: String,
    mark: Mark,
    /// All keys, in order, but for those of manifests; what is known of the object, where it was asked for.
    listed: BTreeSet<Key>,
    /// Manifests of folders, which do not come along: what they say is bound to the former dates.
    manifests: Vec<Key>,
    told: HashMap<Key, Told>,
    /// What was left there lately, and is not listed yet.
    late: BTreeSet<Key>,
}

/// What a HEAD said of an object.
struct Told {
    since: Mark,
    meta: Option<ObjectMeta>,
}

/// What is to be renamed.
pub(crate) struct Items {
    items: Vec<RenameItem>,
    /// Which item is of which key.
    places: HashMap<Key, usize>,
    /// What goes.
    manifests: Vec<Key>,
}

/// One key, as it is to be renamed.
enum Item {
    Rename(Box<RenameItem>),
    /// It is not there.
    Nothing,
    /// Its object must be asked for first.
    Ask,
}

impl Inner {
    /// Lists everything below a folder, and asks for what is not known of it.
    pub(crate) async fn ask_tree(&self, folder: &crate::know::Inode) -> Result<Tree> {
        let (prefix, mark) = {
            let table = self.table();
            let key = self.key(&table, &folder.payload)?;
            let prefix = key.map(|key| key.as_str().to_owned()).unwrap_or_default();
            (prefix, self.stage.mark())
        };
        let mut tree = Tree {
            prefix,
            mark,
            listed: BTreeSet::new(),
            manifests: Vec::new(),
            told: HashMap::new(),
            late: BTreeSet::new(),
        };
        let mut token = None;
        loop {
            let request = ListRequest {
                prefix: tree.prefix.clone(),
                token,
                ..ListRequest::default()
            };
            let page = self.store.list(request).await?;
            let keys = page.objects.into_iter().map(|object| object.key);
            for key in keys {
                if manifest::is_key(&key) {
                    tree.manifests.push(key);
                } else {
                    tree.listed.insert(key);
                }
            }
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        let listed = |key: &Key| tree.listed.contains(key) || manifest::is_key(key);
        let since = self.stage.mark();
        for (key, meta) in self.not_listed(&tree.prefix, listed).await? {
            let meta = Some(meta);
            tree.told.insert(key.clone(), Told { since, meta });
            tree.late.insert(key);
        }
        let unknown = {
            let table = self.table();
            let is_unknown =
                |key: &&Key| matches!(self.tree_item(&table, &tree, key, key), Ok(Item::Ask));
            let keys = tree.listed.iter().chain(&tree.late);
            keys.filter(is_unknown).cloned().collect()
        };
        self.ask_objects(&mut tree, unknown).await?;
        Ok(tree)
    }

    /// Asks for objects, several at a time.
    pub(crate) async fn ask_objects(&self, tree: &mut Tree, keys: Vec<Key>) -> Result<()> {
        let ask = |key: Key| async move {
            let since = self.stage.mark();
            let meta = match self.store.head(&key).await {
                Ok(meta) => Some(meta),
                Err(error) if error.kind() == cloudmount_store::ErrorKind::NotFound => None,
                Err(error) => return Err(cloudmount_vfs::Error::from(error)),
            };
            Ok((key, Told { since, meta }))
        };
        let asked = futures::stream::iter(keys.into_iter().map(ask));
        let mut asked = asked.buffer_unordered(self.settings.heads_max.max(1));
        while let Some(answer) = asked.next().await {
            let (key, told) = answer?;
            tree.told.insert(key, told);
        }
        Ok(())
    }

    /// All that is to be renamed, or the keys that must be asked for first.
    pub(crate) fn tree_items(
        &self,
        table: &Table,
        tree: &Tree,
        change: &Move,
    ) -> Result<std::result::Result<Items, Vec<Key>>> {
        let pending = self.stage.pending_under(&tree.prefix);
        let changed = self.stage.keys_changed_since(tree.mark, &tree.prefix);
        let mut keys = tree.listed.clone();
        keys.extend(tree.late.iter().cloned());
        keys.extend(pending.into_iter().map(|(key, _)| key));
        keys.extend(changed.unwrap_or_default());
        keys.retain(|key| !manifest::is_key(key));
        let mut items = Items {
            items: Vec::with_capacity(keys.len()),
            places: HashMap::new(),
            manifests: tree.manifests.clone(),
        };
        let mut missing = Vec::new();
        for key in keys {
            let below = &key.as_str()[tree.prefix.len()..];
            let to = to_key(format!("{}{below}", change.to.as_str()))?;
            match self.tree_item(table, tree, &key, &to)? {
                Item::Nothing => {}
                Item::Ask => missing.push(key),
                Item::Rename(item) => {
                    let item = match &change.target {
                        Some(target) if below.is_empty() => {
                            believing(*item, target.payload.lock().belief())
                        }
                        _ => *item,
                    };
                    items.places.insert(key, items.items.len());
                    items.items.push(item);
                }
            }
        }
        Ok(if missing.is_empty() {
            Ok(items)
        } else {
            Err(missing)
        })
    }

    fn tree_item(&self, table: &Table, tree: &Tree, key: &Key, to: &Key) -> Result<Item> {
        let pending = self.stage.pending(key).map(|view| view.desired);
        let renamed = || {
            Item::Rename(Box::new(RenameItem::Pending {
                from: key.clone(),
                to: to.clone(),
                to_remote: RemoteBelief::Absent,
            }))
        };
        let metadata = match pending {
            Some(Desired::Content(_) | Desired::Inline { .. }) => return Ok(renamed()),
            Some(Desired::Absent) => return Ok(Item::Nothing),
            Some(Desired::Metadata(metadata)) => Some(metadata),
            None => None,
        };
        if let Some(inode) = self.locate(table, key) {
            if let Content::Staged(_) = inode.payload.lock().content {
                return Ok(renamed());
            }
            if let Some((version, size, own)) = object_of(&inode.payload, self.settings.dialect)? {
                return Ok(object_item(key, to, version, size, metadata.unwrap_or(own)));
            }
        } else if !tree.listed.contains(key) && self.was_removed_here(table, key) {
            return Ok(Item::Nothing);
        }
        let Some(told) = tree
            .told
            .get(key)
            .filter(|told| self.still_holds(told, key))
        else {
            return Ok(Item::Ask);
        };
        Ok(match &told.meta {
            Some(meta) => {
                let metadata = metadata.unwrap_or_else(|| meta.metadata.clone());
                object_item(key, to, meta.version.clone(), meta.size, metadata)
            }
            None => Item::Nothing,
        })
    }

    fn was_removed_here(&self, table: &Table, key: &Key) -> bool {
        let places = self.places(table, key);
        let mut places = places.iter();
        places.any(|place| table.remembers(place.parent, &place.name))
    }

    /// Whether the stage has not changed the key since.
    fn still_holds(&self, told: &Told, key: &Key) -> bool {
        let changed = self.stage.keys_changed_since(told.since, key.as_str());
        changed.is_some_and(|keys| !keys.contains(key))
    }

    /// Tells the stage, then moves the name and all that is known below it.
    pub(crate) fn apply_tree(
        &self,
        table: &mut Table,
        (from, to, mode): (Place<'_>, Place<'_>, RenameMode),
        change: &Move,
        items: Items,
    ) -> Result<()> {
        let below: Vec<(InodeId, Arc<Node>, Option<Key>)> = table
            .walk(change.source.ino)
            .into_iter()
            .map(|(ino, node)| {
                let key = self.key(table, &node).ok().flatten();
                (ino, node, key)
            })
            .collect();
        let has_marker = items.places.contains_key(&change.from);
        let files = (self.stage).rename_folder((&change.from, &change.to), items.items)?;
        self.remove_marks(&change.source.payload, &change.from)?;
        for key in &items.manifests {
            self.stage.remove(key, RemoteBelief::Unknown)?;
        }
        let file_of = |key: Option<&Key>| {
            let at = *items.places.get(key?)?;
            Some(files.get(at)?.clone())
        };
        table.rename(from, to, mode)?;
        let source = &change.source;
        // The stage will tell of removals under the old path, where nobody is found any more.
        table.confirm_removed_below(source.ino, self.now());
        {
            let mut state = source.payload.lock();
            state.ctime = self.clock.wall();
            if has_marker {
                let marker = Marker::There(None);
                state.content = Content::Folder { marker };
                self.own(table, source.ino, &mut state);
            } else {
                // So that the new name stays when what is below it goes.
                self.put_marker(table, &source.payload, &mut state, &change.to)?;
            }
        }
        self.moved_manifests(change);
        for (ino, node, key) in below {
            node.forget_manifest();
            if let Some(file) = file_of(key.as_ref()) {
                self.moved_below(table, ino, &node, file.as_ref());
            }
        }
        self.end_move(table, from, to, change);
        Ok(())
    }

    /// An inode whose key has moved along with a folder above it.
    fn moved_below(
        &self,
        table: &mut Table,
        ino: InodeId,
        node: &Arc<Node>,
        file: Option<&Arc<StagedFile>>,
    ) {
        let mut state = node.lock();
        match (&mut state.content, file) {
            (Content::Folder { marker }, _) => {
                *marker = Marker::There(None);
                if let Some(marks) = &mut state.marks {
                    marks.moved();
                }
            }
            (Content::Link { version, .. }, _) => *version = None,
            (Content::Object(_) | Content::Staged(_), Some(file)) => {
                self.staged(table, ino, &mut state, file);
                return;
            }
            (Content::Object(_) | Content::Staged(_), None) => {}
        }
        self.own(table, ino, &mut state);
    }
}

/// The object of a node of which everything is known, with its metadata.
fn object_of(node: &Node, dialect: Dialect) -> Result<Option<(Version, u64, Metadata)>> {
    let state = node.lock();
    if let Standing::Listed | Standing::Told(_) = state.standing {
        return Ok(None);
    }
    let (version, size) = match &state.content {
        Content::Object(object) if !object.version.is_empty() => {
            (Version::new(Arc::clone(&object.version)), object.size)
        }
        Content::Link {
            version: Some(version),
            size,
            ..
        } => (version.clone(), *size),
        Content::Folder { .. } | Content::Staged(_) | Content::Object(_) | Content::Link { .. } => {
            return Ok(None);
        }
    };
    let kind = match &state.content {
        Content::Link { .. } => NodeKind::Symlink,
        _ => NodeKind::File,
    };
    Ok(Some((version, size, state.to_store(kind, dialect)?)))
}

fn object_item(key: &Key, to: &Key, version: Version, size: u64, metadata: Metadata) -> Item {
    let base = Base {
        key: key.clone(),
        version,
        size,
    };
    Item::Rename(Box::new(RenameItem::Object {
        base,
        to: to.clone(),
        to_remote: RemoteBelief::Absent,
        metadata,
    }))
}

/// The same item, where something is believed to be under its new key.
fn believing(item: RenameItem, belief: RemoteBelief) -> RenameItem {
    match item {
        RenameItem::Pending { from, to, .. } => RenameItem::Pending {
            from,
            to,
            to_remote: belief,
        },
        RenameItem::Object {
            base, to, metadata, ..
        } => RenameItem::Object {
            base,
            to,
            to_remote: belief,
            metadata,
        },
    }
}
