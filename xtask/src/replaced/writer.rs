//! Somebody else who replaces the object: a plain client, which knows nothing of mounts.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::content::whole;
use crate::rival::Rival;
use crate::server::Server;

/// How it reaches the bucket.
pub(super) enum Writer {
    /// By names in a folder that is a bucket.
    Folder {
        /// The object.
        file: PathBuf,
        /// A file beside the bucket, renamed over the object.
        new: PathBuf,
    },
    /// By requests of a client that is told what to do on its input.
    Client {
        /// The object.
        key: String,
        /// A file of this machine, from which it sends.
        new: PathBuf,
        client: Rival,
    },
}

impl Writer {
    /// One that replaces a file of a folder.
    pub(super) fn of_folder(bucket: &Path, key: &str, scratch: &Path) -> Self {
        Self::Folder {
            file: bucket.join(key),
            new: scratch.join("new"),
        }
    }

    /// One that replaces an object of a server.
    ///
    /// # Errors
    /// The client does not start.
    pub(super) fn of_server(server: &Server, key: &str, scratch: &Path) -> Result<Self> {
        Ok(Self::Client {
            key: key.to_owned(),
            new: scratch.join("new"),
            client: server.rival()?,
        })
    }

    /// Makes `number` the version of the object.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn put(&mut self, number: u64) -> Result<()> {
        match self {
            Self::Folder { file, new } => {
                std::fs::write(&*new, whole(number))?;
                Ok(std::fs::rename(new, file)?)
            }
            Self::Client { key, new, client } => {
                std::fs::write(&*new, whole(number))?;
                client.put(key, new)
            }
        }
    }

    /// Takes the object away.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(&mut self) -> Result<()> {
        match self {
            Self::Folder { file, .. } => Ok(std::fs::remove_file(file)?),
            Self::Client { key, client, .. } => client.remove(key),
        }
    }
}
