//! The plain client that changes the bucket.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::replaced::content::whole;
use crate::rival::Rival;
use crate::server::Server;

/// A client that stays, and a file from which it sends.
pub(super) struct Client {
    rival: Rival,
    file: PathBuf,
}

impl Client {
    /// Starts it.
    ///
    /// # Errors
    /// It does not start.
    pub(super) fn start(server: &Server, scratch: &Path) -> Result<Self> {
        Ok(Self {
            rival: server.rival()?,
            file: scratch.join("sent"),
        })
    }

    /// From now on it posts what it has done.
    ///
    /// # Errors
    /// It has ended.
    pub(super) fn post_to(&mut self, address: &str) -> Result<()> {
        self.rival.say(&format!("post http://{address}/"))
    }

    /// From now on the server posts what anybody has done.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) fn have_posted_to(&mut self, address: &str) -> Result<()> {
        self.rival.say(&format!("subscribe http://{address}/"))
    }

    /// Makes `version` what is under `key`.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) fn put(&mut self, key: &str, version: u64) -> Result<()> {
        std::fs::write(&self.file, whole(version))?;
        self.rival.put(key, &self.file)
    }

    /// Takes what is under `key` away.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) fn remove(&mut self, key: &str) -> Result<()> {
        self.rival.remove(key)
    }

    /// Copies what is under `key`, and takes it away there.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) fn rename(&mut self, key: &str, to: &str) -> Result<()> {
        self.rival.say(&format!("rename {key} {to}"))
    }

    /// Gives the object another mode by a copy onto itself: its content, and with it its tag, stays.
    ///
    /// # Errors
    /// The server refuses.
    pub(super) fn set_mode(&mut self, key: &str, mode: u32) -> Result<()> {
        self.rival.say(&format!("mode {key} {mode:o}"))
    }
}
