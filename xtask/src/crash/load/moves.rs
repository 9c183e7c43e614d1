//! The writer's calls that change names and permissions.

use std::io;

use super::{MOST_FOLDERS, Work};
use crate::crash::tree::{Change, Node};

impl Work<'_> {
    fn change_names(&mut self, change: Change) -> io::Result<()> {
        self.doing = format!("{change:?}");
        let is_folder = |path: &String| self.writer.tree.names().get(path) == Some(&Node::Folder);
        let is_folder = matches!(&change, Change::Remove(path) if is_folder(path));
        self.writer.tree.begin(change.clone());
        match &change {
            Change::Make(path) => self.calls.make_folder(path)?,
            Change::Remove(path) if is_folder => self.calls.remove_folder(path)?,
            Change::Remove(path) => self.calls.unlink(path)?,
            Change::Rename(from, to) => self.calls.rename(from, to)?,
        }
        self.writer.tree.done();
        Ok(())
    }

    /// A file, also one that is open, to a new name; or a closed one over another.
    pub(super) fn rename(&mut self) -> io::Result<()> {
        let to = self.new_path();
        if self.dice.percent(35)
            && let (Some((from, id)), Some((to, other))) = (self.closed(), self.closed())
            && id != other
        {
            return self.change_names(Change::Rename(from, to));
        }
        let all: Vec<_> = (self.writer.tree.named())
            .map(|(path, _)| path.to_owned())
            .collect();
        match self.dice.one(&all).cloned() {
            Some(from) => self.change_names(Change::Rename(from, to)),
            None => Ok(()),
        }
    }

    pub(super) fn remove(&mut self) -> io::Result<()> {
        match self.closed() {
            Some((path, _)) => self.change_names(Change::Remove(path)),
            None => Ok(()),
        }
    }

    pub(super) fn make_folder(&mut self) -> io::Result<()> {
        let folders = self.folders();
        if folders.len() >= MOST_FOLDERS {
            return Ok(());
        }
        let Some(parent) = self.dice.one(&folders).cloned() else {
            return Ok(());
        };
        self.writer.next += 1;
        let number = self.writer.next & 0xFFFF_FFFF;
        self.change_names(Change::Make(format!("{parent}/d{number}")))
    }

    pub(super) fn rename_folder(&mut self) -> io::Result<()> {
        let folders = self.folders();
        let Some(from) = self.dice.one(&folders[1..]).cloned() else {
            return Ok(());
        };
        let below = format!("{from}/");
        let parents: Vec<_> = (folders.into_iter())
            .filter(|folder| *folder != from && !folder.starts_with(&below))
            .collect();
        let Some(parent) = self.dice.one(&parents).cloned() else {
            return Ok(());
        };
        self.writer.next += 1;
        let to = format!("{parent}/d{}", self.writer.next & 0xFFFF_FFFF);
        self.change_names(Change::Rename(from, to))
    }

    pub(super) fn remove_folder(&mut self) -> io::Result<()> {
        let folders = self.folders();
        let is_empty = |folder: &&String| {
            let below = format!("{folder}/");
            !(self.writer.tree.names().keys()).any(|path| path.starts_with(&below))
        };
        let empty: Vec<_> = folders[1..].iter().filter(is_empty).cloned().collect();
        match self.dice.one(&empty).cloned() {
            Some(folder) => self.change_names(Change::Remove(folder)),
            None => Ok(()),
        }
    }

    pub(super) fn set_mode(&mut self) -> io::Result<()> {
        let Some((path, id)) = self.closed() else {
            return Ok(());
        };
        // Whoever runs this can still read it.
        let mode = 0o600 | u32::try_from(self.dice.of(0..=0o77)).unwrap_or(0);
        self.doing = format!("chmod {path}");
        self.model(id, |file| file.change_mode(mode));
        self.calls.set_mode(&path, mode)?;
        self.model(id, super::super::file::File::mode_changed);
        Ok(())
    }
}
