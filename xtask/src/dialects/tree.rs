//! What is in the bucket before a fault, and what must be in it after: by key, the digest of the content.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::server::Server;
use crate::sum::sum;

/// Files of each kind that are there before: more than calls come to in one fault.
const PREPARED: usize = 160;
/// How long what is read is.
const READ_BYTES: usize = 16 << 10;

/// What must be there.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(BTreeMap<String, String>);

impl Wanted {
    pub(super) fn insert(&mut self, key: String, content: &[u8]) {
        self.0.insert(key, sum(content));
    }

    /// What was under one key is under another.
    pub(super) fn moved(&mut self, from: &str, to: String) {
        if let Some(content) = self.0.remove(from) {
            self.0.insert(to, content);
        }
    }

    /// The keys whose content is not that which was accepted.
    ///
    /// # Errors
    /// Nobody can look.
    pub(super) fn lost(&self, server: &Server, prefix: &str) -> Result<Vec<String>> {
        let listed = server.client("sums", prefix).ok()?;
        let found: BTreeMap<&str, &str> = listed
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(digest, key)| (key, digest))
            .collect();
        let is_lost = |(key, digest): &(&String, &String)| {
            found.get(key.as_str()).is_none_or(|found| found != digest)
        };
        let lost = self.0.iter().filter(is_lost);
        Ok(lost.map(|(key, _)| key.clone()).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// Files to read, folders to list and files to move, in `folder` of a mount.
///
/// # Errors
/// It takes none.
pub(super) fn prepare(folder: &Path) -> Result<Wanted> {
    let mut wanted = Wanted::default();
    for name in ["read", "move", "write", "upload"] {
        std::fs::create_dir_all(folder.join(name))?;
    }
    for number in 0..PREPARED {
        let list = folder.join(format!("list/{number}"));
        std::fs::create_dir_all(&list)?;
        let small = number.to_string().into_bytes();
        for (key, content) in [
            (format!("read/{number}"), content(number, READ_BYTES)),
            (format!("move/{number}"), small.clone()),
            (format!("list/{number}/a"), small),
        ] {
            std::fs::write(folder.join(&key), &content)?;
            wanted.insert(key, &content);
        }
    }
    Ok(wanted)
}

/// Bytes that tell their number.
pub(super) fn content(number: usize, length: usize) -> Vec<u8> {
    let mut bytes = format!("{number}\n").into_bytes().repeat(1 + length / 2);
    bytes.truncate(length);
    bytes
}
