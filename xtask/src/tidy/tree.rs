//! [`Tree`]: the repository's text, in memory.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::run::Run;

/// Every text file that git tracks or would track, by its path from the root with `/`.
#[derive(Debug, Default)]
pub(super) struct Tree {
    text: BTreeMap<String, String>,
    /// Files that are no UTF-8: they exist, and that is all that is known of them.
    binary: Vec<String>,
}

impl Tree {
    /// Reads the repository at `root`.
    ///
    /// # Errors
    /// git does not list it, or a file cannot be read.
    pub(super) fn of_repository(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        let list = Run::new("git")
            .args("ls-files -z --cached --others --exclude-standard")
            .dir(root)
            .ok()?;
        for path in list.split_terminator('\0') {
            // Deleted, and not yet committed as deleted.
            let Ok(bytes) = std::fs::read(root.join(path)) else {
                continue;
            };
            match String::from_utf8(bytes) {
                Ok(text) => drop(tree.text.insert(path.to_owned(), text)),
                Err(_) => tree.binary.push(path.to_owned()),
            }
        }
        Ok(tree)
    }

    /// A tree for a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let text = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self {
            text: text.collect(),
            binary: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len() + self.binary.len()
    }

    /// All text files.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.text
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Text files whose name ends in `.extension`.
    pub(super) fn with_extension(&self, extension: &str) -> impl Iterator<Item = (&str, &str)> {
        let dotted = format!(".{extension}");
        self.files()
            .filter(move |(path, _)| path.ends_with(&dotted))
    }

    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.text.get(path).map(String::as_str)
    }

    /// Whether `path` is a file, or a folder with files in it.
    pub(super) fn exists(&self, path: &str) -> bool {
        let below = format!("{}/", path.trim_end_matches('/'));
        let all = || self.text.keys().chain(&self.binary);
        path.is_empty() || all().any(|file| file == path || file.starts_with(&below))
    }
}
