//! The folder manifest: what is known of the entries of a folder, in an object of the folder, for other mounts.
//!
//! Laws:
//! - Objects are the truth. What a manifest says is shown only of an object that a listing, believed at that
//!   moment, shows with the same version, size and date; and it is never written: whoever changes attributes
//!   asks for them first. Nothing else depends on a manifest.
//! - It is written by mounts that may write, on a condition, when a folder has come to rest; what others know
//!   stays in it. What is not a manifest, or is a newer one, is left alone.
//! - It is no child of its folder: no listing shows it, and it goes with the folder. None is written into a
//!   folder that is being removed or renamed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloudmount_stage::{PendingChild, RemoteBelief};
use cloudmount_store::{
    ErrorKind, Extent, GetOptions, Key, ListedObject, Metadata, Payload, Precondition, PutOptions,
    StoreExt, Version,
};
use cloudmount_vfs::{InodeId, Result, Timestamp};

use crate::core::{Inner, Table};
use crate::keys::to_key;
use crate::know::Inode;
use crate::manifest::merge::{Listing, merge};
use crate::manifest::{self, BYTES_MAX, Manifest, NAME, Outcome, Unreadable};
use crate::node::Node;
use crate::ops::Move;
use crate::ttl::Wanted;
use crate::{ManifestUse, Mode};

/// Entries of a folder that only a listing has told of, from which on its manifest is read: for one, a question
/// for that one costs as much.
const READ_WORTH: usize = 2;

/// Such entries from which on one is read that was read before: some may have been forgotten since.
const AGAIN_WORTH: usize = 16;

/// How often a manifest is written that others write at the same time. What is left out then costs questions.
const TRIES: usize = 3;

/// By how much clocks that are kept right differ at most, with what it takes a request to arrive.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);

/// What is in the bucket where a folder's manifest would be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Seen {
    /// Nothing, or nothing was listed yet.
    #[default]
    Nothing,
    /// An object of so many bytes.
    There(Version, u64),
    /// There may be one: a request for it did not end well.
    Unknown,
}

/// How writing a manifest went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Published {
    /// It is there, or there is nothing to write.
    Done,
    /// Something in the folder is on its way to the bucket.
    Busy,
}

/// What was found where a manifest would be.
enum Found {
    Nothing,
    /// Under that version; without entries, if it was damaged.
    There(Version, Manifest),
    /// What is not to be replaced.
    NotOurs,
}

/// The key of the manifest of the folder with that prefix.
fn key_in(prefix: &str) -> Result<Key> {
    to_key(format!("{prefix}{NAME}"))
}

impl Inner {
    pub(crate) fn reads_manifests(&self) -> bool {
        self.settings.manifest != ManifestUse::Off
    }

    pub(crate) fn writes_manifests(&self) -> bool {
        self.settings.manifest == ManifestUse::Write && self.settings.mode == Mode::ReadWrite
    }

    /// A listing of a folder has shown this, or nothing, where its manifest would be.
    pub(crate) fn saw_manifest(&self, folder: &Node, object: Option<&ListedObject>) {
        let Some(recollection) = folder.recollection() else {
            return;
        };
        let object = object.filter(|object| !self.is_going(&object.key));
        recollection.lock().manifest = match object {
            None => Seen::Nothing,
            Some(object) => match &object.version {
                Some(version) => Seen::There(version.clone(), object.size),
                None => Seen::Unknown,
            },
        };
    }

    /// What the manifest of a folder says, for so many entries that nothing is known of, if it is worth its
    /// reading. Nothing, if that cannot be had.
    pub(crate) async fn read_manifest(
        &self,
        folder: &Node,
        prefix: &str,
        wanted: usize,
    ) -> Option<Manifest> {
        if !self.reads_manifests() || wanted < READ_WORTH {
            return None;
        }
        let recollection = folder.recollection()?;
        let version = {
            let mut recollection = recollection.lock();
            let Seen::There(version, size) = recollection.manifest.clone() else {
                return None;
            };
            let was_read = recollection.read.as_ref() == Some(&version);
            if size > BYTES_MAX as u64 || was_read && wanted < AGAIN_WORTH {
                return None;
            }
            recollection.read = Some(version.clone());
            version
        };
        let options = GetOptions {
            range: None,
            if_match: Some(version),
        };
        let key = key_in(prefix).ok()?;
        match self.store.get_bytes(&key, options).await {
            Ok(bytes) => match self.decode(bytes).await {
                Ok(manifest) => Some(manifest),
                Err(why) => {
                    tracing::warn!(%key, ?why, "the manifest of a folder is of no use");
                    None
                }
            },
            Err(error) => {
                tracing::debug!(%key, %error, "the manifest of a folder cannot be read");
                None
            }
        }
    }

    /// On a thread of its own: it may be long.
    async fn decode(&self, bytes: Bytes) -> std::result::Result<Manifest, Unreadable> {
        let decoding = (self.remembered.runtime).spawn_blocking(move || manifest::decode(&bytes));
        decoding.await.unwrap_or(Err(Unreadable::Damaged))
    }

    /// Writes what is known of the entries of a folder into its manifest.
    pub(crate) async fn publish(&self, dir: InodeId) -> Result<Published> {
        let node = self.node(dir)?;
        let prefix = self.prefix(&self.table(), dir)?;
        let is_key = |child: &PendingChild| matches!(child, PendingChild::Key(..));
        if self.stage.pending_children(&prefix).iter().any(is_key) {
            return Ok(Published::Busy);
        }
        let asked = self.dated(dir, &node).await?;
        let mut listing = Listing {
            objects: std::collections::BTreeMap::new(),
            asked,
        };
        let mut ours = Manifest::default();
        self.each_object(dir, |_, part, node| {
            let state = node.lock();
            listing
                .objects
                .extend(state.binding().map(|binding| (part.clone(), binding)));
            ours.entries
                .extend(state.known().map(|known| (part, known)));
        });
        if ours.entries.is_empty() {
            return Ok(Published::Done);
        }
        for _ in 0..TRIES {
            if self.put_manifest(&node, &prefix, &ours, &listing).await? {
                break;
            }
        }
        Ok(Published::Done)
    }

    /// Sees to it that all that is known of a folder's entries has the dates of a listing; gives when that was
    /// asked for, at the latest.
    async fn dated(&self, dir: InodeId, node: &Arc<Node>) -> Result<Timestamp> {
        let mut lacks_dates = false;
        self.each_object(dir, |_, _, node| lacks_dates |= node.lock().lacks_date());
        if lacks_dates {
            self.table().expire_listing(dir);
        }
        let now = self.clock.wall();
        self.list(node, Extent::Whole, Wanted::Names).await?;
        // One that was believed is at most as old as that.
        let age = self.settings.ttl.listings + CLOCKS_DIFFER;
        let secs = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        Ok(Timestamp::new(
            now.secs().saturating_sub(secs).saturating_sub(1),
            0,
        ))
    }

    /// Puts what is known with what others know; says whether nobody else was faster.
    async fn put_manifest(
        &self,
        folder: &Node,
        prefix: &str,
        ours: &Manifest,
        listing: &Listing,
    ) -> Result<bool> {
        let (Some(recollection), key) = (folder.recollection(), key_in(prefix)?) else {
            return Ok(true);
        };
        let seen = recollection.lock().manifest.clone();
        let (version, theirs) = match self.find_manifest(&key, &seen).await? {
            Found::Nothing => (None, Manifest::default()),
            Found::There(version, theirs) => (Some(version), theirs),
            Found::NotOurs => return Ok(true),
        };
        let (merged, outcome) = merge(ours, theirs, listing);
        if version.is_some() && outcome == Outcome::Same {
            return Ok(true);
        }
        let encoding =
            (self.remembered.runtime).spawn_blocking(move || manifest::encode(&merged, BYTES_MAX));
        let Ok(bytes) = encoding.await else {
            // The runtime ends.
            return Ok(true);
        };
        // Who removes or renames the folder waits until this is there, and finds it.
        let _here = self.remembered.publishing.read().await;
        let is_there = {
            let table = self.table();
            table.is_linked(folder.ino) && self.prefix(&table, folder.ino)? == prefix
        };
        if !is_there {
            return Ok(true);
        }
        recollection.lock().manifest = Seen::Unknown;
        let (size, options) = (bytes.len() as u64, self.manifest_options(version));
        match self
            .store
            .put(&key, Payload::from(Bytes::from(bytes)), options)
            .await
        {
            Ok(version) => {
                let mut recollection = recollection.lock();
                recollection.read = Some(version.clone());
                recollection.manifest = Seen::There(version, size);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Precondition => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn manifest_options(&self, version: Option<Version>) -> PutOptions {
        let can = self.store.capabilities();
        PutOptions {
            precondition: match version {
                Some(version) if can.put_if_match => Precondition::Matches(version),
                None if can.put_if_absent => Precondition::Absent,
                // Who is later wins: what the other one knew costs questions.
                Some(_) | None => Precondition::None,
            },
            metadata: Metadata {
                content_type: Some("application/x-ndjson".to_owned()),
                ..Metadata::default()
            },
        }
    }

    async fn find_manifest(&self, key: &Key, seen: &Seen) -> Result<Found> {
        match seen {
            Seen::Nothing => return Ok(Found::Nothing),
            Seen::There(_, size) if *size > BYTES_MAX as u64 => return Ok(Found::NotOurs),
            Seen::There(..) | Seen::Unknown => {}
        }
        let found = match self.store.get(key, GetOptions::default()).await {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(error.into()),
        };
        let version = found.meta.version.clone();
        if found.meta.size > BYTES_MAX as u64 {
            return Ok(Found::NotOurs);
        }
        let bytes = found.bytes().await?;
        Ok(match self.decode(bytes).await {
            Ok(theirs) => Found::There(version, theirs),
            Err(Unreadable::Damaged) => Found::There(version, Manifest::default()),
            Err(Unreadable::Newer | Unreadable::Foreign | Unreadable::TooLarge) => Found::NotOurs,
        })
    }

    /// Nobody writes a manifest while what this gives is held: to be held while a folder is removed or renamed.
    pub(crate) async fn no_publishing(&self) -> tokio::sync::RwLockWriteGuard<'_, ()> {
        self.remembered.publishing.write().await
    }

    /// A folder without children is removed: its manifest goes, too.
    pub(crate) fn remove_manifest(&self, table: &Table, folder: &Inode) -> Result<()> {
        let Some(recollection) = folder.payload.recollection() else {
            return Ok(());
        };
        if recollection.lock().manifest == Seen::Nothing {
            return Ok(());
        }
        let key = key_in(&self.prefix(table, folder.ino)?)?;
        self.stage.remove(&key, RemoteBelief::Unknown)?;
        recollection.lock().manifest = Seen::Nothing;
        Ok(())
    }

    /// A folder has another name, and so have those in it: their manifests stayed behind. Under its new name there
    /// may be one of the folder that it took the place of.
    pub(crate) fn moved_manifests(&self, change: &Move) {
        change.source.payload.forget_manifest();
        let target = change.target.as_ref();
        let of_target = target.and_then(|target| target.payload.recollection());
        let was_there = of_target.is_some_and(|target| target.lock().manifest != Seen::Nothing);
        if let Some(recollection) = change.source.payload.recollection().filter(|_| was_there) {
            recollection.lock().manifest = Seen::Unknown;
        }
    }
}

impl Node {
    /// It has no manifest, as far as is known.
    pub(crate) fn forget_manifest(&self) {
        if let Some(recollection) = self.recollection() {
            let mut recollection = recollection.lock();
            (recollection.manifest, recollection.read) = (Seen::Nothing, None);
        }
    }
}
