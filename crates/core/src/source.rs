//! Where the cache's blocks come from: ranges of one version of an object in the store.
//!
//! Law: the bytes are of the version that was asked for, or the answer is `Stale`. The version goes
//! with the request, so the store itself refuses; what it answers is compared all the same, because
//! some servers ignore conditions.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use cloudmount_cache::{BlockSource, ByteStream, ObjectRef};
use cloudmount_store::{GetOptions, Key, Store, Version};
use cloudmount_vfs::{Error, ErrorKind, Result, ResultExt};
use futures::StreamExt;

use crate::told::Told;

/// Reads blocks from a store.
#[derive(Clone, Debug)]
pub struct StoreSource {
    store: Arc<dyn Store>,
    told: Arc<Told>,
}

impl StoreSource {
    /// A source over `store`. Retries, limits and deadlines are the business of its layers.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::telling(store, Arc::default())
    }

    /// The same, whose answers are told to who waits for them.
    pub(crate) fn telling(store: Arc<dyn Store>, told: Arc<Told>) -> Self {
        Self { store, told }
    }
}

#[async_trait]
impl BlockSource for StoreSource {
    async fn fetch(&self, object: &ObjectRef, range: Range<u64>) -> Result<ByteStream> {
        let key = Key::new(Arc::clone(&object.key))
            .or_kind(ErrorKind::InvalidArgument, || "key of a cached object")?;
        let version = Version::new(Arc::clone(&object.version));
        let options = GetOptions {
            range: Some(range.clone()),
            if_match: Some(version.clone()),
        };
        let result = self.store.get(&key, options).await.map_err(gone_is_stale)?;
        if result.meta.version != version || result.range != range {
            return Err(Error::new(
                ErrorKind::Stale,
                format!("{key} is not the object that was opened"),
            ));
        }
        self.told.tell(object, &result.meta);
        Ok(result
            .body
            .map(|piece| piece.map_err(gone_is_stale))
            .boxed())
    }
}

/// An object that vanished since it was opened was replaced, as far as its reader is concerned.
fn gone_is_stale(error: cloudmount_store::Error) -> Error {
    match error.kind() {
        cloudmount_store::ErrorKind::NotFound => {
            Error::new(ErrorKind::Stale, "the object was removed").with_source(error)
        }
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cloudmount_store::{MemoryStore, PutOptions, StoreExt as _};
    use cloudmount_vfs::SystemClock;

    use super::*;

    async fn fetched(
        source: &StoreSource,
        object: &ObjectRef,
        range: Range<u64>,
    ) -> Result<Vec<u8>> {
        let mut body = source.fetch(object, range).await?;
        let mut all = Vec::new();
        while let Some(piece) = body.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn a_replaced_or_removed_object_is_stale_and_never_mixed() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Arc::new(SystemClock::new())));
        let source = StoreSource::new(Arc::clone(&store));
        let key = Key::new("a//b").unwrap();
        let put = |text: &'static str| {
            let (store, key) = (Arc::clone(&store), key.clone());
            async move {
                let payload = Bytes::from_static(text.as_bytes()).into();
                store
                    .put(&key, payload, PutOptions::default())
                    .await
                    .unwrap()
            }
        };
        let first = put("first").await;
        let object = ObjectRef::new("a//b", first.as_str(), 5);
        assert_eq!(fetched(&source, &object, 1..4).await.unwrap(), b"irs");
        let second = put("second").await;
        let stale = fetched(&source, &object, 1..4).await.unwrap_err();
        assert_eq!(stale.kind(), ErrorKind::Stale);
        let object = ObjectRef::new("a//b", second.as_str(), 6);
        assert_eq!(fetched(&source, &object, 0..6).await.unwrap(), b"second");
        assert_eq!(
            store.get_bytes(&key, GetOptions::default()).await.unwrap(),
            "second"
        );
        store.delete(std::slice::from_ref(&key)).await.unwrap();
        let removed = fetched(&source, &object, 0..6).await.unwrap_err();
        assert_eq!(removed.kind(), ErrorKind::Stale);
    }
}
