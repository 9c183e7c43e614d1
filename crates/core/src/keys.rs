//! From inodes to keys and back, along the table's names.
//!
//! Law: a key is computed under the table's lock, where it is used: a rename of a folder above
//! changes it.

use std::sync::Arc;

use cloudmount_inode::Found;
use cloudmount_store::{Key, KeyError};
use cloudmount_vfs::{Error, ErrorKind, InodeId, Name, NodeKind, Result};

use crate::core::{Inner, Table};
use crate::naming::{self, Part, Role};
use crate::node::Node;

/// Where a key is, in names.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) parent: InodeId,
    pub(crate) name: Name,
}

impl Inner {
    /// What the keys below `dir` begin with: empty for the root, else ending in `/`.
    pub(crate) fn prefix(&self, table: &Table, dir: InodeId) -> Result<String> {
        let path = table
            .path(dir)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("inode {dir} has no name")))?;
        let mut prefix = String::new();
        for name in &path {
            prefix.push_str(&naming::part_of(name, &self.long)?.text);
            prefix.push('/');
        }
        Ok(prefix)
    }

    /// The key of `name` in `parent`; of a folder, its marker's.
    pub(crate) fn child_key(
        &self,
        table: &Table,
        parent: InodeId,
        name: &Name,
        kind: NodeKind,
    ) -> Result<Key> {
        let mut text = self.prefix(table, parent)?;
        text.push_str(&naming::part_of(name, &self.long)?.text);
        if kind == NodeKind::Directory {
            text.push('/');
        }
        to_key(text)
    }

    /// The key of a linked inode; `None` for the root, which has none.
    pub(crate) fn key(&self, table: &Table, node: &Node) -> Result<Option<Key>> {
        if node.ino == InodeId::ROOT {
            return Ok(None);
        }
        let (parent, name) = table.parent_of(node.ino).ok_or_else(|| {
            Error::new(
                ErrorKind::NotFound,
                format!("inode {} has no name", node.ino),
            )
        })?;
        self.child_key(table, parent, &name, node.kind).map(Some)
    }

    /// The places that `key` may have: as a plain name, and beside a folder of the same name.
    /// Empty if a folder on the way is not known.
    pub(crate) fn places(&self, table: &Table, key: &Key) -> Vec<Place> {
        let text = key.as_str();
        let is_marker = key.is_marker();
        let text = if is_marker {
            &text[..text.len() - 1]
        } else {
            text
        };
        let (folders, last) = text
            .rsplit_once('/')
            .map_or((None, text), |(f, l)| (Some(f), l));
        let mut parent = InodeId::ROOT;
        for part in folders.into_iter().flat_map(|folders| folders.split('/')) {
            let Some(found) = table.peek(parent, &self.long.show(&Part::plain(part))) else {
                return Vec::new();
            };
            parent = found.ino;
        }
        let roles: &[Role] = if is_marker {
            &[Role::Plain]
        } else {
            &[Role::Plain, Role::BesideFolder]
        };
        let place = |role: &Role| Place {
            parent,
            name: self.long.show(&Part {
                text: last.to_owned(),
                role: *role,
            }),
        };
        roles.iter().map(place).collect()
    }

    /// The inode that `key` belongs to, as far as it is known: a folder for a marker, else a file
    /// or symlink.
    pub(crate) fn locate(&self, table: &Table, key: &Key) -> Option<Found<Arc<Node>>> {
        self.places(table, key)
            .iter()
            .filter_map(|place| table.peek(place.parent, &place.name))
            .find(|found| (found.kind == NodeKind::Directory) == key.is_marker())
    }
}

/// A key of that text.
pub(crate) fn to_key(text: String) -> Result<Key> {
    Key::new(text).map_err(|error| {
        let kind = match error {
            KeyError::TooLong => ErrorKind::NameTooLong,
            _ => ErrorKind::InvalidArgument,
        };
        Error::new(kind, "path as a key").with_source(error)
    })
}
