//! [`Walk`]: the keys of the store, in order.
//!
//! Laws: keys come in the order of their bytes. A folder `a` stands in that order as `a/`, between
//! the files `a-` and `a0`, since all keys in it begin so. Both trees are walked at once; a key that
//! lies in both comes once.

use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, statat};

use crate::local::folder::{Kind, entries, open_folder};
use crate::local::inner::Inner;
use crate::local::object::{fits, stat};
use crate::local::place::{self, HiddenName, STATE, hidden_name, unescape};
use crate::local::stamp::Stamp;
use crate::{Key, ListRequest, ListedObject, Result};

/// A folder that changed later than this before it was read may change again without its time
/// telling: the kernel's clock ticks every 1 to 10 ms, that of some network filesystems each second.
const SETTLED: Duration = Duration::from_secs(2);

/// What a walk meets.
#[derive(Debug)]
pub(super) enum Item {
    Object(ListedObject),
    Folder(String),
}

/// A walk under way.
#[derive(Debug)]
pub(in crate::local) struct Walk {
    by_folder: bool,
    /// Where it begins.
    from: Bound<String>,
    /// The folders from the top down to where it is.
    frames: Vec<Frame>,
}

/// A folder that is being walked.
#[derive(Debug)]
struct Frame {
    /// What its keys begin with: empty, or with a last `/`.
    folder: String,
    /// What is in it and yet to come, the next one last.
    entries: Vec<Entry>,
    /// The folder in the shown tree as it was when it was read; `None` if there was none.
    shown: Option<Stamp>,
    /// Whether its time will tell if it changes.
    settled: bool,
    /// Whether the hidden tree has it too.
    hidden: bool,
    /// The folder in the shown tree, open while it is being walked itself.
    open: Option<OwnedFd>,
}

/// Something in a folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    /// Its key after the folder's: empty for the marker, with a last `/` for a folder.
    text: String,
    source: Source,
}

/// Where it lies. Of two with the same text the lesser one counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Source {
    Shown,
    Hidden,
    Marker,
    Folder,
}

/// How a folder lies to where a walk begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Side {
    /// All of it comes before.
    Before,
    /// It begins within it.
    Within,
    /// All of it comes after.
    After,
}

impl Walk {
    /// A walk of what `request` asks for, from a place in the order of keys.
    pub(in crate::local) fn new(
        inner: &Inner,
        request: &ListRequest,
        from: Bound<String>,
    ) -> Result<Self> {
        let prefix = request.prefix.as_str();
        let (folder, rest) = prefix.split_at(prefix.rfind('/').map_or(0, |slash| slash + 1));
        let mut walk = Self {
            by_folder: request.by_folder,
            from,
            frames: Vec::new(),
        };
        walk.enter(inner, folder.to_owned(), rest)?;
        Ok(walk)
    }

    /// The next key or folder.
    pub(super) fn next(&mut self, inner: &Inner) -> Result<Option<Item>> {
        Ok(self.step(inner)?.map(|(_, item)| item))
    }

    /// Whether a next one is there; it is met again.
    pub(super) fn has_more(&mut self, inner: &Inner) -> Result<bool> {
        let Some((entry, _)) = self.step(inner)? else {
            return Ok(false);
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.entries.push(entry);
        }
        Ok(true)
    }

    /// Names that it holds.
    pub(super) fn names(&self) -> usize {
        self.frames.iter().map(|frame| frame.entries.len()).sum()
    }

    /// Gives its descriptors back; tells whether it can be found fresh later.
    pub(super) fn rest(&mut self) -> bool {
        for frame in &mut self.frames {
            frame.open = None;
        }
        (self.frames.iter()).all(|frame| frame.settled && !frame.hidden && frame.shown.is_some())
    }

    /// Whether a walk that rested would meet the same if it began again.
    pub(super) fn is_fresh(&self, inner: &Inner) -> Result<bool> {
        for frame in &self.frames {
            let hidden = inner.hidden_folder(&place::hidden_folder(&frame.folder))?;
            let shown = match place::shown_folder(&frame.folder) {
                Some(names) => inner.shown_folder(&names)?,
                None => None,
            };
            let now = shown.map(stat).transpose()?;
            if hidden.is_some() || now.as_ref().map(Stamp::of) != frame.shown {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn step(&mut self, inner: &Inner) -> Result<Option<(Entry, Item)>> {
        loop {
            let Some(frame) = self.frames.last_mut() else {
                return Ok(None);
            };
            let Some(entry) = frame.entries.pop() else {
                self.frames.pop();
                continue;
            };
            let text = format!("{}{}", frame.folder, entry.text);
            if entry.source != Source::Folder {
                if let Some(object) = frame.look_at(inner, &entry, text)? {
                    return Ok(Some((entry, Item::Object(object))));
                }
            } else if !self.by_folder {
                let child = frame.child(inner, &entry)?;
                frame.open = None;
                self.enter_open(inner, text, "", child)?;
            } else if self.shows(inner, &text)? {
                return Ok(Some((entry, Item::Folder(text))));
            }
        }
    }

    /// Whether any key of a folder comes after where the walk begins.
    fn shows(&self, inner: &Inner, folder: &str) -> Result<bool> {
        if side(&self.from, folder) == Side::After {
            return Ok(true);
        }
        let below = ListRequest {
            prefix: folder.to_owned(),
            ..ListRequest::default()
        };
        let first = Self::new(inner, &below, self.from.clone())?.next(inner)?;
        Ok(first.is_some())
    }

    fn enter(&mut self, inner: &Inner, folder: String, rest: &str) -> Result<()> {
        let open = match place::shown_folder(&folder) {
            Some(names) => inner.shown_folder(&names)?,
            None => None,
        };
        self.enter_open(inner, folder, rest, open)
    }

    /// Reads a folder, whose shown part is `open`; only names that start with `rest` count.
    fn enter_open(
        &mut self,
        inner: &Inner,
        folder: String,
        rest: &str,
        open: Option<OwnedFd>,
    ) -> Result<()> {
        let mut entries = Vec::new();
        let (mut shown, mut settled) = (None, false);
        if let Some(open) = &open {
            let stamp = Stamp::of(&stat(open)?);
            let age = inner.clock.wall().saturating_since(stamp.modified());
            (shown, settled) = (Some(stamp), age > SETTLED);
            read_shown(inner, &folder, rest, open, &mut entries)?;
        }
        let hidden = inner.hidden_folder(&place::hidden_folder(&folder))?;
        if let Some(hidden) = &hidden {
            let check = match self.by_folder {
                true => Alive::Check,
                false => Alive::Assume,
            };
            read_hidden(hidden, "", rest, check, &mut entries)?;
        }
        entries.retain(|entry| {
            let text = format!("{folder}{}", entry.text);
            match entry.source {
                Source::Folder => side(&self.from, &text) != Side::Before,
                _ => passes(&self.from, &text),
            }
        });
        entries.sort_unstable();
        entries.dedup_by(|later, earlier| later.text == earlier.text);
        entries.reverse();
        self.frames.push(Frame {
            folder,
            entries,
            shown,
            settled,
            hidden: hidden.is_some(),
            open,
        });
        Ok(())
    }
}

impl Frame {
    /// The folder in the shown tree, opened again if need be.
    fn shown(&mut self, inner: &Inner) -> Result<Option<&OwnedFd>> {
        if self.open.is_none()
            && self.shown.is_some()
            && let Some(names) = place::shown_folder(&self.folder)
        {
            self.open = inner.shown_folder(&names)?;
        }
        Ok(self.open.as_ref())
    }

    /// The shown part of a folder in this one.
    fn child(&mut self, inner: &Inner, entry: &Entry) -> Result<Option<OwnedFd>> {
        let prefix = format!("{}{}", self.folder, entry.text);
        if place::shown_folder(&prefix).is_none() {
            return Ok(None);
        }
        let Some(parent) = self.shown(inner)? else {
            return Ok(None);
        };
        Ok(open_folder(parent, entry.text.trim_end_matches('/')).ok())
    }

    /// The object of an entry as it is now; `None` if it is gone.
    fn look_at(
        &mut self,
        inner: &Inner,
        entry: &Entry,
        text: String,
    ) -> Result<Option<ListedObject>> {
        let Ok(key) = Key::new(text) else {
            return Ok(None);
        };
        if entry.source == Source::Shown {
            let Some(folder) = self.shown(inner)? else {
                return Ok(None);
            };
            let Ok(stat) = statat(folder, &entry.text, AtFlags::SYMLINK_NOFOLLOW) else {
                return Ok(None);
            };
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                return Ok(None);
            }
            let stamp = Stamp::of(&stat);
            return Ok(Some(ListedObject {
                key,
                size: stamp.size,
                version: Some(stamp.version()),
                modified: stamp.modified(),
            }));
        }
        let found = inner.find(&key)?;
        Ok(found.map(|found| ListedObject {
            key,
            size: found.size(),
            version: Some(found.version()),
            modified: found.modified(),
        }))
    }
}

/// Reads the names of a folder of the shown tree.
fn read_shown(
    inner: &Inner,
    folder: &str,
    rest: &str,
    open: &OwnedFd,
    into: &mut Vec<Entry>,
) -> Result<()> {
    let mut empty = true;
    for entry in entries(open)? {
        let (mut text, kind) = entry?;
        let reserved = folder.is_empty() && text == STATE;
        if reserved || !fits(folder, &text, kind) {
            continue;
        }
        empty = false;
        if !text.starts_with(rest) {
            continue;
        }
        let source = match kind {
            Kind::File => Source::Shown,
            Kind::Folder => {
                text.push('/');
                Source::Folder
            }
        };
        into.push(Entry { text, source });
    }
    if folder.is_empty() || !rest.is_empty() {
        return Ok(());
    }
    let inode = stat(open)?.st_ino;
    let is_marker =
        !inner.record(open, inode, folder)?.implicit || empty && stays_empty(inner, folder, inode)?;
    if is_marker {
        into.push(Entry {
            text: String::new(),
            source: Source::Marker,
        });
    }
    Ok(())
}

/// Whether an empty folder that nobody asked for was emptied by another program. One that a removal
/// emptied just now goes before that gives the right to change names back.
fn stays_empty(inner: &Inner, folder: &str, inode: u64) -> Result<bool> {
    // Where nothing can be changed, nothing is being removed.
    let _commit = inner.commit().ok();
    let there = match place::shown_folder(folder) {
        Some(names) => inner.shown_folder(&names)?,
        None => None,
    };
    let Some(there) = there else { return Ok(false) };
    Ok(stat(&there)?.st_ino == inode && entries(&there)?.next().is_none())
}

/// Reads the names of a folder of the hidden tree; `part` is the escaped beginning of all of them.
/// A crash can leave folders without a file below them, which no listing may show.
fn read_hidden(
    open: &OwnedFd,
    part: &str,
    rest: &str,
    check: Alive,
    into: &mut Vec<Entry>,
) -> Result<()> {
    for entry in entries(open)? {
        let (name, _) = entry?;
        let found = match hidden_name(&name) {
            None => continue,
            Some(HiddenName::Piece(piece)) => {
                if let Ok(more) = open_folder(open, &name) {
                    read_hidden(&more, &format!("{part}{piece}"), rest, check, into)?;
                }
                continue;
            }
            Some(HiddenName::File(end)) => (end, "", Source::Hidden),
            Some(HiddenName::Folder(end)) => (end, "/", Source::Folder),
        };
        let (end, slash, source) = found;
        let Some(text) = unescape(&format!("{part}{end}")) else {
            continue;
        };
        if !text.starts_with(rest) {
            continue;
        }
        if source == Source::Folder && check == Alive::Check {
            match open_folder(open, &name) {
                Ok(folder) if holds_file(&folder, LEVELS_CHECKED)? => {}
                _ => continue,
            }
        }
        let text = text + slash;
        into.push(Entry { text, source });
    }
    Ok(())
}

/// Whether folders of the hidden tree must hold a file to count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Alive {
    /// They are about to be shown.
    Check,
    /// They are about to be walked.
    Assume,
}

/// Levels of the hidden tree that are searched for a file. A key of a thousand parts is no reason to
/// search a thousand folders for each of them; so deep, a folder is taken to hold one.
const LEVELS_CHECKED: u32 = 8;

/// Whether a file lies below a folder of the hidden tree.
fn holds_file(folder: &OwnedFd, levels: u32) -> Result<bool> {
    if levels == 0 {
        return Ok(true);
    }
    for entry in entries(folder)? {
        let (name, kind) = entry?;
        if kind == Kind::File {
            return Ok(true);
        }
        if let Ok(below) = open_folder(folder, &name)
            && holds_file(&below, levels - 1)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a key comes after where a walk begins.
fn passes(from: &Bound<String>, key: &str) -> bool {
    match from {
        Bound::Unbounded => true,
        Bound::Included(least) => key >= least.as_str(),
        Bound::Excluded(before) => key > before.as_str(),
    }
}

/// How the keys of a folder, given with its last `/`, lie to where a walk begins.
fn side(from: &Bound<String>, folder: &str) -> Side {
    let (Bound::Included(at) | Bound::Excluded(at)) = from else {
        return Side::After;
    };
    if at.starts_with(folder) {
        Side::Within
    } else if at.as_str() > folder {
        Side::Before
    } else {
        Side::After
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_lie_before_within_or_after() {
        let check = |at: &str, folder: &str, wanted: Side| {
            assert_eq!(
                side(&Bound::Excluded(at.to_owned()), folder),
                wanted,
                "{folder} at {at}"
            );
            assert_eq!(
                side(&Bound::Included(at.to_owned()), folder),
                wanted,
                "{folder} at {at}"
            );
        };
        check("a", "a/", Side::After);
        check("a.", "a/", Side::After);
        check("a/", "a/", Side::Within);
        check("a/b", "a/", Side::Within);
        check("a/b", "a/b/", Side::After);
        check("a0", "a/", Side::Before);
        check("b", "a/", Side::Before);
        check("", "a/", Side::After);
        assert_eq!(side(&Bound::Unbounded, "a/"), Side::After);
    }
}
