//! What is in the bucket after unmounting: every file under its own key, byte for byte; and a second
//! mount, with nothing of the first, shows the same tree with the same attributes.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::backend::{Backend, Sums};
use super::daemon::Daemon;
use crate::sum::sum;

/// What is compared of one entry.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    mode: u32,
    owner: (u32, u32),
    size: u64,
    /// Of files and symlinks; those of folders move with each entry.
    modified: Option<(i64, i64)>,
    content: String,
}

type Tree = BTreeMap<String, Seen>;

/// Checks the bucket that `daemon` shows.
pub(super) fn check(backend: &Backend, part: &str, daemon: Daemon) -> Result<String> {
    let before = tree(daemon.folder())?;
    daemon.end()?;
    let Some(sums) = backend.sums(part)? else {
        return Ok(format!("{} entries; nobody else can look", before.len()));
    };
    let keys = compare_keys(&before, &sums)?;
    if !backend.keeps_attributes() {
        return Ok(format!(
            "{keys} keys as written; this server keeps no attributes"
        ));
    }
    let again = Daemon::start(backend, part, "again", &["--read-only"])?;
    let after = tree(again.folder())?;
    again.end()?;
    compare_trees(&before, &after)?;
    Ok(format!(
        "{keys} keys as written, {} entries the same again",
        after.len()
    ))
}

fn compare_keys(tree: &Tree, sums: &Sums) -> Result<usize> {
    let mut wrong = Vec::new();
    let wanted: Sums = tree
        .iter()
        .map(|(path, seen)| (path.clone(), seen.content.clone()))
        .collect();
    for (key, content) in &wanted {
        match sums.get(key) {
            Some(there) if there == content => {}
            Some(_) => wrong.push(format!("{key}: other bytes")),
            // A folder needs no marker as long as it holds something.
            None if key.ends_with('/') => {}
            None => wrong.push(format!("{key}: missing")),
        }
    }
    let surplus = sums.keys().filter(|key| !wanted.contains_key(*key));
    wrong.extend(surplus.map(|key| format!("{key}: should not be there")));
    if wrong.is_empty() {
        Ok(sums.len())
    } else {
        bail!("{} keys are wrong:\n{}", wrong.len(), first(&wrong))
    }
}

fn compare_trees(before: &Tree, after: &Tree) -> Result<()> {
    let names: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let wrong: Vec<_> = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| {
            format!(
                "{name}: {:?} and then {:?}",
                before.get(name),
                after.get(name)
            )
        })
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        bail!(
            "{} entries differ in the second mount:\n{}",
            wrong.len(),
            first(&wrong)
        )
    }
}

fn first(lines: &[String]) -> String {
    lines[..lines.len().min(10)].join("\n")
}

/// Everything below `root`; the paths of folders end in `/`.
fn tree(root: &Path) -> Result<Tree> {
    let mut tree = Tree::new();
    add(&mut tree, root, "")?;
    Ok(tree)
}

fn add(tree: &mut Tree, folder: &Path, prefix: &str) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("list {prefix}"))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let metadata = std::fs::symlink_metadata(&path)?;
        let mut name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let is_dir = metadata.is_dir();
        let content = if is_dir {
            name.push('/');
            sum(b"")
        } else if metadata.is_symlink() {
            sum(std::os::unix::ffi::OsStrExt::as_bytes(
                std::fs::read_link(&path)?.as_os_str(),
            ))
        } else {
            sum(&std::fs::read(&path)?)
        };
        let seen = Seen {
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            size: if is_dir { 0 } else { metadata.size() },
            modified: (!is_dir).then(|| (metadata.mtime(), metadata.mtime_nsec())),
            content,
        };
        tree.insert(name.clone(), seen);
        if is_dir {
            add(tree, &path, &name)?;
        }
    }
    Ok(())
}
