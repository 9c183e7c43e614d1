//! [`Mounted`]: a world with a kernel in front, in which one law is tried.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use cloudmount_store::{
    Error, ErrorKind as StoreErrorKind, GetOptions, Key, ListRequest, Metadata, Payload,
    PutOptions, Store, StoreExt,
};
use cloudmount_vfs::{Error as VfsError, ErrorKind};

use super::holds::Holds;
use crate::kernel::Options;
use crate::{FakeKernel, World};

/// A world with a kernel in front. Laws take it.
pub struct Mounted<W: World> {
    /// Missing only while the world is being mounted again.
    parts: Option<(W, FakeKernel<W::Fs>)>,
}

impl<W: World> fmt::Debug for Mounted<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").finish_non_exhaustive()
    }
}

impl<W: World> Mounted<W> {
    /// Mounts the world.
    ///
    /// # Panics
    /// If the root has no attributes.
    pub async fn new(world: W) -> Self {
        let kernel = mount(&world, world.options()).await;
        Self {
            parts: Some((world, kernel)),
        }
    }

    /// The world.
    #[must_use]
    pub fn world(&self) -> &W {
        &self.parts().0
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> &FakeKernel<W::Fs> {
        &self.parts().1
    }

    fn parts(&self) -> &(W, FakeKernel<W::Fs>) {
        self.parts
            .as_ref()
            .expect("a law that mounts again holds nothing of the old mount")
    }

    /// A second kernel over the same filesystem, as another adapter would be.
    ///
    /// # Panics
    /// If the root has no attributes.
    pub async fn second_kernel(&self, options: Options) -> FakeKernel<W::Fs> {
        mount(self.world(), options).await
    }

    /// Unmounts and mounts again.
    ///
    /// # Panics
    /// If the world cannot, or the kernel does not get back what it gave.
    pub async fn remount(&mut self) {
        let (world, kernel) = self.parts.take().expect("not while mounting again");
        kernel.unmount().await.holds();
        check_returned(&world);
        let world = world.remount().await;
        let world = world.expect("this world cannot be mounted again: say `without: remount`");
        let kernel = mount(&world, world.options()).await;
        self.parts = Some((world, kernel));
    }

    /// Unmounts, and checks that every lookup was given back.
    ///
    /// # Panics
    /// If not.
    pub async fn end(mut self) {
        if let Some((world, kernel)) = self.parts.take() {
            kernel.unmount().await.holds();
            check_returned(&world);
        }
    }

    /// Lets the time pass after which a foreign change must have been noticed.
    pub async fn wait_for_foreign_changes(&self) {
        let world = self.world();
        world.clock().pass(world.staleness()).await;
        self.kernel().follow_changes();
    }

    /// The bucket.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn bucket(&self) -> Arc<dyn Store> {
        self.world()
            .store()
            .expect("this world has no bucket: say `without: bucket`")
    }

    /// The key of a path. A trailing slash is kept: the marker of a folder.
    ///
    /// # Panics
    /// If no key can say it.
    #[must_use]
    pub fn key(&self, path: &str) -> Key {
        let text = format!("{}{}", self.world().prefix(), path.trim_start_matches('/'));
        Key::new(text).expect("laws use paths that keys can say")
    }

    /// Puts an object as a foreign client does.
    ///
    /// # Panics
    /// If the bucket refuses.
    pub async fn put(&self, path: &str, data: impl Into<Bytes>) {
        self.put_with(path, data, Metadata::default()).await;
    }

    /// As [`put`](Self::put), with metadata.
    ///
    /// # Panics
    /// If the bucket refuses.
    pub async fn put_with(&self, path: &str, data: impl Into<Bytes>, metadata: Metadata) {
        let options = PutOptions {
            metadata,
            ..PutOptions::default()
        };
        let payload = Payload::from(data.into());
        self.bucket()
            .put(&self.key(path), payload, options)
            .await
            .map_err(from_store)
            .holds();
    }

    /// Removes an object as a foreign client does.
    ///
    /// # Panics
    /// If the bucket refuses.
    pub async fn delete(&self, path: &str) {
        let results = self
            .bucket()
            .delete(&[self.key(path)])
            .await
            .map_err(from_store)
            .holds();
        for result in results {
            result.map_err(from_store).holds();
        }
    }

    /// The bytes under the key of a path, as a foreign client reads them; `None` if there are none.
    ///
    /// # Panics
    /// If the bucket refuses.
    pub async fn object(&self, path: &str) -> Option<Bytes> {
        let result = self
            .bucket()
            .get_bytes(&self.key(path), GetOptions::default())
            .await;
        match result {
            Ok(data) => Some(data),
            Err(error) if error.kind() == StoreErrorKind::NotFound => None,
            Err(error) => Err(from_store(error)).holds(),
        }
    }

    /// The metadata under the key of a path.
    ///
    /// # Panics
    /// If the bucket refuses, or holds no such object.
    pub async fn metadata(&self, path: &str) -> Metadata {
        self.bucket()
            .head(&self.key(path))
            .await
            .map_err(from_store)
            .holds()
            .metadata
    }

    /// The tags of the object at `path`; `None` if the bucket has none of any object.
    ///
    /// # Panics
    /// If the bucket refuses.
    pub async fn tags(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let bucket = self.bucket();
        if !bucket.capabilities().tags {
            return None;
        }
        let tags = bucket.tags(&self.key(path)).await;
        Some(tags.map_err(from_store).holds())
    }

    /// Every key below the prefix, without it, in order; but for those that the filesystem keeps for itself.
    ///
    /// # Panics
    /// If the bucket refuses.
    pub async fn keys(&self) -> Vec<String> {
        let prefix = self.world().prefix().to_owned();
        let mut keys = Vec::new();
        let mut token = None;
        loop {
            let request = ListRequest {
                prefix: prefix.clone(),
                token,
                ..ListRequest::default()
            };
            let page = self
                .bucket()
                .list(request)
                .await
                .map_err(from_store)
                .holds();
            let objects = page.objects.into_iter();
            keys.extend(objects.map(|object| object.key.as_str()[prefix.len()..].to_owned()));
            token = page.next;
            if token.is_none() {
                // A marker of the prefix itself is the root's own.
                let is_of_itself = |key: &str| self.world().keeps_for_itself(key);
                keys.retain(|key: &String| !key.is_empty() && !is_of_itself(key));
                return keys;
            }
        }
    }
}

async fn mount<W: World>(world: &W, options: Options) -> FakeKernel<W::Fs> {
    let clock = Arc::new(world.clock());
    FakeKernel::with_options(world.vfs(), clock, options)
        .await
        .holds()
}

fn check_returned<W: World>(world: &W) {
    let lookups = world.lookups().unwrap_or_default();
    assert!(
        lookups == 0,
        "law: what was looked up is forgotten; the filesystem still counts {lookups}"
    );
    let open = world.open_handles().unwrap_or_default();
    assert!(
        open == 0,
        "law: what was opened is released; the filesystem still has {open} open"
    );
}

fn from_store(error: Error) -> VfsError {
    VfsError::new(ErrorKind::Io, "the law's own client").with_source(error)
}
