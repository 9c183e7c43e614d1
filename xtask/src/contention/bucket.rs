//! The bucket that both mounts show, and what a plain client finds in it in the end.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::verdict::Found;
use super::{On, versions};
use crate::filesystem::Bucket;
use crate::place;
use crate::server::{Kind, Server};
use crate::undo::Undo;

/// A bucket that is shown twice.
pub(super) struct Shared {
    pub(super) bucket: Bucket,
    server: Option<Server>,
    /// Nothing is mounted in it.
    scratch: PathBuf,
    mounts: TempDir,
    /// Tells its reports from those of other runs.
    run: String,
    _remove: Undo,
}

impl Shared {
    /// One whose reports are named after what it is and `run`.
    pub(super) fn start(on: On, run: String) -> Result<Self> {
        let (scratch, remove) = Undo::scratch()?;
        let server = match on {
            On::Folder => None,
            On::Moto => Some(Server::start(Kind::Moto)?),
            On::Rclone => Some(Server::start(Kind::Rclone)?),
            On::Rgw => Some(Server::start(Kind::Rgw)?),
        };
        let bucket = match &server {
            Some(server) => Bucket::of(server, &server.endpoint),
            None => {
                let folder = scratch.join("bucket");
                std::fs::create_dir(&folder)?;
                Bucket::folder(&folder)
            }
        };
        Ok(Self {
            bucket,
            server,
            scratch,
            mounts: tempfile::Builder::new().prefix("cloudmount-").tempdir()?,
            run,
            _remove: remove,
        })
    }

    /// What the program is to be told of it.
    pub(super) fn flags(&self) -> &'static [&'static str] {
        match &self.server {
            Some(server) if server.kind == Kind::Rclone => &["--s3-dialect", "minimal"],
            _ => &[],
        }
    }

    /// Where a mount is shown, and where it keeps what is its own.
    pub(super) fn places(&self, number: u8) -> Result<(PathBuf, PathBuf)> {
        let folder = self.mounts.path().join(number.to_string());
        let scratch = self.scratch.join(number.to_string());
        std::fs::create_dir(&folder)?;
        std::fs::create_dir(&scratch)?;
        Ok((folder, scratch))
    }

    /// The objects, and what is wrong with those that are no row of whole records.
    pub(super) fn read(&self) -> Result<(Vec<Found>, Vec<String>)> {
        let mut files = Vec::new();
        match &self.server {
            None => add(&mut files, &self.scratch.join("bucket"))?,
            Some(server) => {
                let folder = self.scratch.join("objects");
                std::fs::create_dir(&folder)?;
                let listed = server.client("save", &folder.to_string_lossy()).ok()?;
                for line in listed.lines() {
                    let (number, key) = line.split_once(' ').context("no such line")?;
                    files.push((key.to_owned(), folder.join(number)));
                }
            }
        }
        let (mut found, mut strange) = (Vec::new(), Vec::new());
        for (key, file) in files {
            match versions(&file) {
                Ok(versions) => found.push(Found { key, versions }),
                Err(error) => strange.push(format!("{key} in the bucket: {error:#}")),
            }
        }
        Ok((found, strange))
    }

    /// Keeps what the mounts said.
    pub(super) fn keep_logs(&self) -> Result<()> {
        for number in [1, 2] {
            let log = self.scratch.join(format!("{number}/log"));
            std::fs::copy(log, self.kept(&format!("-mount{number}"))?)?;
        }
        Ok(())
    }

    /// Where the report goes.
    pub(super) fn report(&self) -> Result<PathBuf> {
        self.kept("")
    }

    fn kept(&self, what: &str) -> Result<PathBuf> {
        let folder = place::target().join("contention");
        std::fs::create_dir_all(&folder)?;
        let name = self
            .server
            .as_ref()
            .map_or("folder", |server| server.kind.name());
        Ok(folder.join(format!("{name}-{}{what}.log", self.run)))
    }
}

/// The files of a folder that is a bucket.
fn add(files: &mut Vec<(String, PathBuf)>, folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        // The store's own: metadata where the filesystem has no attributes, and uploads.
        if entry.file_type()?.is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((name, entry.path()));
        }
    }
    Ok(())
}
