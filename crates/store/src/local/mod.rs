//! [`LocalStore`]: a local folder as a bucket. Ordinary files in it are the objects.
//!
//! # What is where
//!
//! The object `photos/a.jpg` is the file `photos/a.jpg`: what any program puts into the folder is an
//! object at once, under its path, and what is written here any program finds as a file. The folder
//! `.cloudmount` at the top is the store's own: `tmp` (content on its way), `uploads` (multipart
//! uploads in progress), `keys` (the hidden tree, see below), `meta` (metadata where the filesystem
//! has no extended attributes), `lock`. It is never listed.
//!
//! Keys that no path can say lie in the hidden tree `.cloudmount/keys/`, under an escape that
//! `place.rs` defines: those with an empty part, `.`, `..`, NUL, a part over 255 bytes, or that lie in
//! `.cloudmount`; and those whose place is taken: `a` while `a/b` is there, `a/b` while `a` is. Every
//! key of 1 to 1024 bytes can be held. If a file appears where such a key would lie, the file counts.
//!
//! No object: symbolic links, which are never followed either; pipes, sockets and devices; files
//! whose name is not UTF-8; files whose path is longer than 1024 bytes. None of them is overwritten:
//! an object of that key goes to the hidden tree.
//!
//! # Folders and markers
//!
//! A marker `a/` without content is the folder `a`, its metadata those of the folder; one with
//! content lies in the hidden tree. A folder that another program made is a marker. A folder that was
//! made only because `a/b` needed it is none and goes with the last key in it, as a prefix does on
//! S3; should another program have emptied it, it counts as a marker, so that every folder that can
//! be seen is listed. Should the process end between two steps of a deletion, the folder goes when the
//! store is opened again.
//!
//! # Versions and preconditions
//!
//! A version is made of inode number, size, and the times of the last write and the last change, so
//! it changes with every write, also by other programs, unless one writes in place twice within a
//! tick of the kernel's clock (some milliseconds) and leaves the size as it is. It changes with
//! permissions and names too. Of a folder, the version changes when the marker is written.
//!
//! Preconditions are checked and the file is moved into place under a lock that all stores on the
//! folder share, in this process and in others (`flock`): among them preconditions are exact. Another
//! program does not take the lock: what it writes in the microseconds between check and move is
//! overwritten.
//!
//! # Atomicity and durability
//!
//! A file is written aside and moved into place whole. It keeps the permissions of the file that it
//! replaces. What survives what, [`Durability`] says. Leftovers of a crash are removed when the store
//! is opened: temporary files after a day, uploads after a week.
//!
//! # Limits
//!
//! The filesystem must tell upper from lower case ([`LocalStore::open`] refuses others), and all of
//! the folder must be on one filesystem to be written to. A filesystem that takes two Unicode forms
//! of a name for the same (APFS) makes one object of them.
//!
//! *Invariant:* every step goes from an open folder to a single name in it and follows no link, so
//! neither a key nor a race leads out of the folder.

mod blocking;
mod clean;
mod folder;
mod inner;
mod list;
mod make;
mod note;
mod object;
mod place;
mod read;
mod record;
mod remove;
mod settings;
mod stamp;
mod temp;
mod upload;
mod write;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use self::inner::Inner;
pub use self::settings::{Durability, LocalSettings, MetadataPlace};
use crate::rules::{check_delete, check_size};
use crate::{
    Capabilities, CopyOptions, CopySource, GetOptions, GetResult, Key, ListPage, ListRequest,
    ObjectMeta, PartTag, Payload, Precondition, PutOptions, Removal, Result, Store, Trust,
    UploadId, UploadsPage, Version,
};

/// A local folder as a bucket. See the module's documentation for what is where.
pub struct LocalStore {
    inner: Arc<Inner>,
    path: PathBuf,
    handle: Handle,
}

impl LocalStore {
    /// What it offers.
    pub const CAPABILITIES: Capabilities = Capabilities {
        trust: Trust::Exact,
        tags: false,
        copy_if: true,
        delete_if: true,
        // Nothing is gained by larger parts here; an empty one is refused as on S3.
        part_bytes_min: 1,
        copy_bytes_max: i64::MAX as u64,
        object_bytes_max: i64::MAX as u64,
        ..Capabilities::S3
    };

    /// Opens the folder `path`, which must exist; a link there is followed. What blocks afterwards
    /// runs on the blocking threads of `handle`; this call itself blocks for some system calls.
    ///
    /// # Errors
    /// `NotFound`; `Forbidden` if it cannot be read (one that can only be read is a bucket that can
    /// only be read); `Unsupported` on a filesystem that does not tell upper from lower case.
    pub fn open(
        path: impl Into<PathBuf>,
        settings: LocalSettings,
        clock: Arc<dyn Clock>,
        handle: Handle,
    ) -> Result<Self> {
        let path = path.into();
        let inner = Arc::new(Inner::open(&path, settings, clock)?);
        inner.clean();
        Ok(Self {
            inner,
            path,
            handle,
        })
    }

    /// Runs `work` where it may block.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        blocking::run(&self.handle, &self.inner, work).await
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for LocalStore {
    fn capabilities(&self) -> Capabilities {
        Self::CAPABILITIES
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let key = key.clone();
        self.run(move |inner| Ok(inner.look_up(&key)?.1)).await
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let key = key.clone();
        let open = move |inner: &Inner| inner.open_to_read(&key, &options);
        Ok(self.run(open).await?.into_result(self.handle.clone()))
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        self.run(move |inner| inner.list(&request)).await
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        check_size("a put", payload.len(), Self::CAPABILITIES.part_bytes_max)?;
        let key = key.clone();
        self.run(move |inner| inner.put(&key, &payload, &options))
            .await
    }

    async fn copy(&self, source: CopySource, to: &Key, options: CopyOptions) -> Result<Version> {
        let to = to.clone();
        self.run(move |inner| inner.copy(&source, &to, &options))
            .await
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        check_delete(&Self::CAPABILITIES, keys.len())?;
        let keys = keys.to_vec();
        let remove = move |inner: &Inner| Ok(keys.iter().map(|key| inner.remove(key)).collect());
        self.run(remove).await
    }

    async fn delete_if(&self, removals: &[Removal]) -> Result<Vec<Result<()>>> {
        check_delete(&Self::CAPABILITIES, removals.len())?;
        let removals = removals.to_vec();
        let remove = move |inner: &Inner| {
            let results = removals.iter().map(|removal| inner.remove_if(removal));
            Ok(results.collect())
        };
        self.run(remove).await
    }

    async fn multipart_start(&self, key: &Key, options: &PutOptions) -> Result<UploadId> {
        let (key, metadata) = (key.clone(), options.metadata.clone());
        self.run(move |inner| inner.upload_start(&key, &metadata))
            .await
    }

    async fn multipart_put(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        payload: Payload,
    ) -> Result<PartTag> {
        check_size("a part", payload.len(), Self::CAPABILITIES.part_bytes_max)?;
        let (key, upload) = (key.clone(), upload.clone());
        self.run(move |inner| inner.upload_part(&key, &upload, number, &payload))
            .await
    }

    async fn multipart_copy(
        &self,
        key: &Key,
        upload: &UploadId,
        number: u16,
        source: CopySource,
        range: Range<u64>,
    ) -> Result<PartTag> {
        let (key, upload) = (key.clone(), upload.clone());
        self.run(move |inner| inner.upload_copy(&key, &upload, number, &source, &range))
            .await
    }

    async fn multipart_complete(
        &self,
        key: &Key,
        upload: &UploadId,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> Result<Version> {
        let (key, upload, parts) = (key.clone(), upload.clone(), parts.to_vec());
        self.run(move |inner| inner.upload_complete(&key, &upload, &parts, &precondition))
            .await
    }

    async fn multipart_abort(&self, key: &Key, upload: &UploadId) -> Result<()> {
        let (key, upload) = (key.clone(), upload.clone());
        self.run(move |inner| inner.upload_abort(&key, &upload))
            .await
    }

    async fn multipart_list(&self, prefix: &str, _token: Option<String>) -> Result<UploadsPage> {
        let prefix = prefix.to_owned();
        let uploads = self.run(move |inner| inner.uploads(&prefix)).await?;
        Ok(UploadsPage {
            uploads,
            next: None,
        })
    }
}
