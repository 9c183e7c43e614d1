//! [`Tree`]: everything that a filesystem shows, taken down to be compared.

use std::collections::BTreeMap;

use cloudmount_vfs::{Result, Vfs};

use crate::FakeKernel;
use crate::kernel::Kind;
use crate::script::{Word, shown};

/// Everything below the root, by path.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tree(pub BTreeMap<String, Node>);

/// What one path leads to. Numbers, owners and times are left out: they may differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Bytes of content, of a symlink's target; zero of a directory.
    pub size: u64,
    /// The content, or the target, as [steps](crate::transcript) show it.
    pub content: String,
    /// Extended attributes, likewise.
    pub xattrs: BTreeMap<String, String>,
}

impl Tree {
    /// Takes down what `kernel` shows.
    ///
    /// # Errors
    /// Any of the filesystem.
    pub async fn of<V: Vfs>(kernel: &FakeKernel<V>) -> Result<Self> {
        let mut tree = Self::default();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let listed = kernel
                .readdir(if folder.is_empty() { "/" } else { &folder })
                .await?;
            for entry in listed {
                let path = format!("{folder}/{}", entry.name);
                if entry.kind == Kind::Directory {
                    folders.push(path.clone());
                }
                let node = Node::of(kernel, &path, entry.kind).await?;
                tree.0.insert(path, node);
            }
        }
        Ok(tree)
    }

    /// The directories, the root first.
    #[must_use]
    pub fn folders(&self) -> Vec<&str> {
        let below = self
            .0
            .iter()
            .filter(|(_, node)| node.kind == Kind::Directory);
        std::iter::once("")
            .chain(below.map(|(path, _)| &**path))
            .collect()
    }

    /// The files.
    #[must_use]
    pub fn files(&self) -> Vec<&str> {
        let files = self.0.iter().filter(|(_, node)| node.kind == Kind::File);
        files.map(|(path, _)| &**path).collect()
    }

    /// Everything but the root.
    #[must_use]
    pub fn entries(&self) -> Vec<&str> {
        self.0.keys().map(|path| &**path).collect()
    }

    /// Where this differs from `other`, a line for each path; `None` if nowhere.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let mut lines = String::new();
        let paths: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        for path in paths {
            let (here, there) = (self.0.get(path), other.0.get(path));
            if here != there {
                let text =
                    |node: Option<&Node>| node.map_or_else(|| "nothing".to_owned(), Node::text);
                let line = format!(
                    "  {}: {} instead of {}\n",
                    Word(path),
                    text(there),
                    text(here)
                );
                lines.push_str(&line);
            }
        }
        (!lines.is_empty()).then_some(lines)
    }
}

impl Node {
    async fn of<V: Vfs>(kernel: &FakeKernel<V>, path: &str, kind: Kind) -> Result<Self> {
        let attr = kernel.lstat(path).await?;
        let mut xattrs = BTreeMap::new();
        let (size, content) = match kind {
            Kind::Directory => (0, String::new()),
            Kind::File => (attr.size, shown(&kernel.read_file(path).await?)),
            Kind::Symlink => (attr.size, shown(&kernel.readlink(path).await?)),
        };
        // Linux offers no `user.` attributes on symlinks: whatever is there does not show.
        if kind != Kind::Symlink {
            for name in kernel.listxattr(path).await? {
                let value = shown(&kernel.getxattr(path, &name).await?);
                xattrs.insert(name, value);
            }
        }
        Ok(Self {
            kind,
            mode: attr.permissions.bits(),
            size,
            content,
            xattrs,
        })
    }

    fn text(&self) -> String {
        let Self {
            kind,
            mode,
            size,
            content,
            xattrs,
        } = self;
        format!("{kind:?} {mode:o} {size} bytes {content} {xattrs:?}")
    }
}
