//! A program that changes files of its own on the mount, in the folders in which others change theirs, and holds each
//! of them against what it did: at once, and again and again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::FOLDERS;
use crate::dice::Dice;
use crate::time::pause;

/// Names in each folder.
const NAMES: u64 = 5;
/// Longest content of one write.
const BYTES_MAX: u64 = 20_000;
/// Longest rest between two changes, in milliseconds: uploads end in between, or do not.
const REST_MS_MAX: u64 = 150;
/// What is wrong is kept up to so many times.
const WRONG_MAX: usize = 20;

/// A file, as the program left it.
#[derive(Clone, Debug)]
struct Own {
    content: Vec<u8>,
    mode: u32,
    number: u64,
}

/// One program.
pub(super) struct Program {
    /// What the names of its files begin with.
    prefix: String,
    folder: PathBuf,
    dice: Dice,
    files: BTreeMap<String, Own>,
    pub(super) done: u64,
    pub(super) wrong: Vec<String>,
}

impl Program {
    pub(super) fn new(number: u64, folder: &Path, seed: u64) -> Self {
        Self {
            prefix: format!("p{number}-"),
            folder: folder.to_owned(),
            dice: Dice::new(&[seed, number]),
            files: BTreeMap::new(),
            done: 0,
            wrong: Vec::new(),
        }
    }

    /// Works until it is over.
    pub(super) fn work(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) && self.wrong.len() < WRONG_MAX {
            let name = self.name();
            let done = self.change(&name).and_then(|()| self.look(&name));
            let looked = done.and_then(|()| {
                let other = self.name();
                self.look(&other)?;
                self.list()
            });
            if let Err(error) = looked {
                self.wrong.push(format!("{name}: {error:#}"));
            }
            self.done += 1;
            pause(Duration::from_millis(self.dice.of(0..=REST_MS_MAX)));
        }
    }

    /// What it left, by key.
    pub(super) fn files(self) -> BTreeMap<String, Vec<u8>> {
        let files = self.files.into_iter();
        files.map(|(name, own)| (name, own.content)).collect()
    }

    fn folder_name(&mut self) -> &'static str {
        let at = self.dice.of(0..=FOLDERS.len() as u64 - 1);
        FOLDERS[usize::try_from(at).unwrap_or_default()]
    }

    fn name(&mut self) -> String {
        let folder = self.folder_name();
        let number = self.dice.of(0..=NAMES - 1);
        format!("{folder}/{}{number}", self.prefix)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let text = format!("{}{} ", self.prefix, self.done);
        let length = usize::try_from(self.dice.of(1..=BYTES_MAX)).unwrap_or_default();
        text.bytes().cycle().take(length).collect()
    }

    fn change(&mut self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        let Some(own) = self.files.get(name).cloned() else {
            return self.write(name);
        };
        match self.dice.of(0..=9) {
            0..=2 => self.write(name),
            3..=4 => {
                let more = self.bytes();
                let mut file = OpenOptions::new()
                    .append(true)
                    .open(&path)
                    .context("append")?;
                file.write_all(&more).context("append")?;
                self.own(name)?.content.extend_from_slice(&more);
                Ok(())
            }
            5..=6 => {
                std::fs::remove_file(&path).context("remove")?;
                self.files.remove(name);
                Ok(())
            }
            7 => {
                let mode = if own.mode == 0o600 { 0o644 } else { 0o600 };
                std::fs::set_permissions(&path, Permissions::from_mode(mode)).context("chmod")?;
                self.own(name)?.mode = mode;
                Ok(())
            }
            _ => {
                let to = self.name();
                std::fs::rename(&path, self.folder.join(&to)).context("rename")?;
                self.files.remove(name);
                self.files.insert(to.clone(), own);
                self.look(&to).context("after a rename")
            }
        }
    }

    fn own(&mut self, name: &str) -> Result<&mut Own> {
        self.files.get_mut(name).context("not of this program")
    }

    /// Writes it anew, from nothing.
    fn write(&mut self, name: &str) -> Result<()> {
        let content = self.bytes();
        let path = self.folder.join(name);
        let mut file = File::create(&path).context("create")?;
        file.write_all(&content).context("write")?;
        let about = file.metadata().context("fstat")?;
        drop(file);
        if let Some(own) = self.files.get_mut(name) {
            own.content = content;
            return Ok(());
        }
        let own = Own {
            content,
            mode: about.mode() & 0o777,
            number: about.ino(),
        };
        self.files.insert(name.to_owned(), own);
        Ok(())
    }

    /// A name shows what was done to it last.
    fn look(&self, name: &str) -> Result<()> {
        let path = self.folder.join(name);
        let Some(own) = self.files.get(name) else {
            let found = path.symlink_metadata();
            let is_gone = matches!(&found, Err(error) if error.kind() == ErrorKind::NotFound);
            ensure!(is_gone, "{name} is there again: {found:?}");
            return Ok(());
        };
        let about = path.metadata().with_context(|| format!("stat of {name}"))?;
        ensure!(
            about.mode() & 0o777 == own.mode,
            "{name} has mode {:o}, and was given {:o}",
            about.mode(),
            own.mode
        );
        ensure!(
            about.ino() == own.number,
            "{name} has number {}, and had {}",
            about.ino(),
            own.number
        );
        let read = std::fs::read(&path).with_context(|| format!("reading {name}"))?;
        ensure!(read == own.content, "{name} has another content");
        Ok(())
    }

    /// A folder has the names that are its own, and no other of its kind.
    fn list(&mut self) -> Result<()> {
        let folder = self.folder_name();
        let mut shown = Vec::new();
        for entry in std::fs::read_dir(self.folder.join(folder)).context("listing")? {
            let name = entry.context("listing")?.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&self.prefix) {
                shown.push(format!("{folder}/{name}"));
            }
        }
        shown.sort();
        let inside = format!("{folder}/");
        let own = self.files.keys().filter(|name| name.starts_with(&inside));
        ensure!(own.eq(shown.iter()), "{folder} shows {shown:?}");
        Ok(())
    }
}
