//! The names of one writer: what its calls promised, with at most one call under way.
//!
//! Law: only one writer ever changes what is below its own folder, one call after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use super::file::{File, May};

/// `ESTALE`.
const STALE: i32 = rustix::io::Errno::STALE.raw_os_error();

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    /// With the file's number.
    File(u64),
}

/// Names, from the root of the mount.
pub(super) type Names = BTreeMap<String, Node>;

/// Reads the bytes and the permissions of a file.
pub(super) type Read<'a> = dyn FnMut(&str) -> io::Result<(Vec<u8>, u32)> + 'a;

/// A call that changes names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Make(String),
    Remove(String),
    /// Of a file, which may replace another, or of a folder to a new name.
    Rename(String, String),
}

impl Change {
    /// Does it to `names`.
    fn apply(&self, names: &mut Names) {
        match self {
            Self::Make(path) => drop(names.insert(path.clone(), Node::Folder)),
            Self::Remove(path) => drop(names.remove(path)),
            Self::Rename(from, to) => {
                let below = format!("{from}/");
                let moved: Vec<_> = (names.keys())
                    .filter(|path| *path == from || path.starts_with(&below))
                    .cloned()
                    .collect();
                for path in moved {
                    if let Some(node) = names.remove(&path) {
                        names.insert(format!("{to}{}", &path[from.len()..]), node);
                    }
                }
            }
        }
    }
}

/// A writer's names and files.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    names: Names,
    under_way: Option<Change>,
    files: HashMap<u64, File>,
    /// Which files a key was ever the name of.
    had: BTreeMap<String, BTreeSet<u64>>,
    /// Every folder that there ever was.
    folders: BTreeSet<String>,
}

/// A path at which the next mount shows something else than it may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) path: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Tree {
    /// One folder, which is there.
    pub(super) fn new(folder: &str) -> Self {
        Self {
            names: Names::from([(folder.to_owned(), Node::Folder)]),
            under_way: None,
            files: HashMap::new(),
            had: BTreeMap::new(),
            folders: BTreeSet::from([folder.to_owned()]),
        }
    }

    /// All names.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// The file of that number.
    pub(super) fn file(&mut self, id: u64) -> Option<&mut File> {
        self.files.get_mut(&id)
    }

    /// The same, to look at.
    pub(super) fn look(&self, id: u64) -> Option<&File> {
        self.files.get(&id)
    }

    /// A file is about to be made.
    pub(super) fn make_file(&mut self, path: &str, id: u64) {
        self.names.insert(path.to_owned(), Node::File(id));
        self.files.insert(id, File::new(id));
        self.note();
    }

    /// A call is about to be made.
    pub(super) fn begin(&mut self, change: Change) {
        let mut after = self.names.clone();
        change.apply(&mut after);
        for (path, node) in &after {
            if let Node::File(id) = node
                && self.names.get(path) != Some(node)
                && let Some(file) = self.files.get_mut(id)
            {
                file.note(format!("rename to {path}"));
            }
        }
        std::mem::swap(&mut after, &mut self.names);
        self.note();
        self.names = after;
        self.under_way = Some(change);
    }

    /// It was acknowledged.
    pub(super) fn done(&mut self) {
        if let Some(change) = self.under_way.take() {
            change.apply(&mut self.names);
        }
    }

    fn note(&mut self) {
        for (path, node) in &self.names {
            match node {
                Node::Folder => drop(self.folders.insert(path.clone())),
                Node::File(id) => {
                    let had = self.had.entry(path.clone()).or_default();
                    had.insert(*id);
                }
            }
        }
    }

    /// Whether there ever was a folder of this path.
    pub(super) fn had_folder(&self, path: &str) -> bool {
        self.folders.contains(path)
    }

    /// The files that ever had this path.
    pub(super) fn had(&self, path: &str) -> impl Iterator<Item = &File> {
        let ids = self.had.get(path).into_iter().flatten();
        ids.filter_map(|id| self.files.get(id))
    }

    /// All paths that a file ever had.
    pub(super) fn paths_of(&self, id: u64) -> Vec<&str> {
        let had = self.had.iter().filter(|(_, ids)| ids.contains(&id));
        had.map(|(path, _)| &**path).collect()
    }

    /// The path that a call under way may be taking from its file.
    pub(super) fn doomed(&self) -> Option<&str> {
        match self.under_way.as_ref()? {
            Change::Make(_) => None,
            Change::Remove(path) | Change::Rename(_, path) => Some(path),
        }
    }

    /// Files that now have a name.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &File)> {
        self.names.iter().filter_map(|(path, node)| match node {
            Node::Folder => None,
            Node::File(id) => Some((&**path, self.files.get(id)?)),
        })
    }

    /// Takes over what the mount shows after the last one died or ended: `shown` are its names, with `/` at the
    /// end of folders; `read` reads a file.
    ///
    /// # Errors
    /// What it may not show; or `read`'s own.
    pub(super) fn settle(
        &mut self,
        shown: &BTreeSet<String>,
        read: &mut Read<'_>,
    ) -> io::Result<Vec<Wrong>> {
        let mut after = self.names.clone();
        if let Some(change) = self.under_way.take() {
            change.apply(&mut after);
        }
        let before = self.differences(&self.names, shown);
        if !before.is_empty() {
            if !self.differences(&after, shown).is_empty() {
                return Ok(before);
            }
            self.names = after;
        }
        self.note();
        let mut wrong = Vec::new();
        let names: Vec<_> = (self.names.iter())
            .filter_map(|(path, node)| match node {
                Node::Folder => None,
                Node::File(id) => Some((path.clone(), *id)),
            })
            .collect();
        for (path, id) in names {
            let Some(file) = self.files.get_mut(&id) else {
                continue;
            };
            if !shown.contains(&path) {
                self.names.remove(&path);
                continue;
            }
            match read(&path) {
                Ok((bytes, mode)) => {
                    wrong.extend(settle_mode(file, &path, mode));
                    wrong.extend(settle_file(file, path, &bytes));
                }
                // That somebody else replaced it, and nobody did.
                Err(error) if error.raw_os_error() == Some(STALE) => wrong.push(Wrong {
                    path,
                    expected: format!("to be read ({})", file.story()),
                    found: error.to_string(),
                }),
                Err(error) => return Err(error),
            }
        }
        Ok(wrong)
    }

    /// How `shown` is not what `names` allow.
    fn differences(&self, names: &Names, shown: &BTreeSet<String>) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let mut note = |path: &str, expected: &str, found: &str| {
            wrong.push(Wrong {
                path: path.to_owned(),
                expected: expected.to_owned(),
                found: found.to_owned(),
            });
        };
        for (path, node) in names {
            let (text, may_be_missing) = match node {
                Node::Folder => (format!("{path}/"), false),
                Node::File(id) => (path.clone(), self.may_be_missing(*id)),
            };
            if !shown.contains(&text) && !may_be_missing {
                let story = match node {
                    Node::File(id) => self.files.get(id).map(File::story),
                    Node::Folder => None,
                };
                let story = story.unwrap_or_default();
                note(&text, &format!("to be there ({story})"), "nothing");
            }
        }
        for text in shown {
            let is_right = match text.strip_suffix('/') {
                Some(folder) => names.get(folder) == Some(&Node::Folder),
                None => matches!(names.get(text), Some(Node::File(_))),
            };
            if !is_right {
                note(text, "nothing", "something");
            }
        }
        wrong
    }

    fn may_be_missing(&self, id: u64) -> bool {
        self.files.get(&id).is_some_and(|file| {
            let all = file.after_a_kill();
            all.iter().any(|may| matches!(may, May::BeMissing))
        })
    }

    /// Forgets files without a name, former names and former versions: nothing waits for the bucket.
    pub(super) fn forget_former(&mut self) {
        let named: BTreeSet<u64> = self.named().map(|(_, file)| file.id).collect();
        self.files.retain(|id, _| named.contains(id));
        for file in self.files.values_mut() {
            file.forget_former();
        }
        self.had.clear();
        self.folders.clear();
        self.note();
    }
}

/// Holds `mode` against what the calls set, and takes it over.
fn settle_mode(file: &mut File, path: &str, mode: u32) -> Option<Wrong> {
    let expected = file.settle_mode(mode)?;
    Some(Wrong {
        path: path.to_owned(),
        expected: format!("permissions {expected} ({})", file.story()),
        found: format!("{mode:o}"),
    })
}

/// Holds `bytes` against what the file may be, and takes them over.
fn settle_file(file: &mut File, path: String, bytes: &[u8]) -> Option<Wrong> {
    let mut expected = Vec::new();
    for may in file.after_a_kill() {
        match may {
            May::BeMissing => expected.push("nothing".to_owned()),
            May::Be(content) => match content.mismatch(file.id, bytes) {
                None => {
                    file.settle(&content, bytes.len() as u64);
                    return None;
                }
                Some(mismatch) => {
                    expected.push(format!("{} at {}", mismatch.expected, mismatch.at));
                }
            },
        }
    }
    Some(Wrong {
        path,
        expected: expected.join(", or "),
        found: format!(
            "{} other bytes (file {}: {})",
            bytes.len(),
            file.id,
            file.story()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::content::make;
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new("w");
        tree.make_file("w/a", 1);
        let file = tree.file(1).unwrap();
        file.write(0, 10);
        file.closed(super::super::mode::Waits::Local);
        file.change_mode(0o640);
        tree
    }

    fn settle(tree: &mut Tree, shown: &[&str]) -> Vec<String> {
        let shown = shown.iter().map(|name| (*name).to_owned()).collect();
        let read = &mut |_: &str| Ok((make(1, 1, 0, 10), 0o640));
        let wrong = tree.settle(&shown, read).unwrap();
        wrong.into_iter().map(|wrong| wrong.path).collect()
    }

    #[test]
    fn a_rename_under_way_is_done_or_not() {
        for (shown, path) in [(["w/", "w/a"], "w/a"), (["w/", "w/b"], "w/b")] {
            let mut tree = tree();
            tree.begin(Change::Rename("w/a".into(), "w/b".into()));
            assert!(settle(&mut tree, &shown).is_empty());
            assert_eq!(tree.names().get(path), Some(&Node::File(1)));
        }
        for shown in [&["w/", "w/a", "w/b"][..], &["w/"], &["w/a"]] {
            let mut tree = tree();
            tree.begin(Change::Rename("w/a".into(), "w/b".into()));
            assert!(!settle(&mut tree, shown).is_empty(), "{shown:?}");
        }
    }

    #[test]
    fn a_folder_moves_with_all_below_it() {
        let mut tree = Tree::new("w");
        for change in [
            Change::Make("w/d".into()),
            Change::Make("w/d/e".into()),
            Change::Make("w/dd".into()),
            Change::Rename("w/d".into(), "w/n".into()),
        ] {
            tree.begin(change);
            tree.done();
        }
        let names: Vec<_> = tree.names().keys().cloned().collect();
        assert_eq!(names, ["w", "w/dd", "w/n", "w/n/e"]);
        assert!(tree.had_folder("w/d/e"));
    }

    #[test]
    fn a_folder_that_is_no_more_is_told() {
        let shown = ["w/", "w/a", "w/left/", "w/left/below/"];
        assert_eq!(settle(&mut tree(), &shown), ["w/left/", "w/left/below/"]);
    }

    #[test]
    fn what_was_acknowledged_must_be_there() {
        let mut removed = tree();
        removed.begin(Change::Remove("w/a".into()));
        removed.done();
        assert_eq!(settle(&mut removed, &["w/", "w/a"]), ["w/a"]);
        let mut kept = tree();
        assert_eq!(settle(&mut kept, &["w/"]), ["w/a"]);
        let mut other_mode = tree();
        other_mode.file(1).unwrap().mode_changed();
        other_mode.file(1).unwrap().change_mode(0o600);
        assert!(settle(&mut other_mode, &["w/", "w/a"]).is_empty());
        other_mode.file(1).unwrap().change_mode(0o600);
        other_mode.file(1).unwrap().mode_changed();
        assert_eq!(settle(&mut other_mode, &["w/", "w/a"]), ["w/a"]);
        let mut other = tree();
        other
            .file(1)
            .unwrap()
            .settle(&super::super::content::Content::empty(), 0);
        assert_eq!(settle(&mut other, &["w/", "w/a"]), ["w/a"]);
    }
}
