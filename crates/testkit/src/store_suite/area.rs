//! [`Area`]: the part of a bucket that one law has to itself, and what laws do there.

use std::collections::HashSet;

use bytes::Bytes;
use cloudmount_store::{
    Capabilities, GetOptions, Key, ListRequest, ListedObject, Metadata, Payload, Precondition,
    PutOptions, Store, StoreExt, Version,
};

use super::verdict::{ensure, same_bytes};
use super::{Bed, Broken, Limits, Listings};

/// Everything that a listing gave, over all its pages.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) objects: Vec<ListedObject>,
    pub(super) prefixes: Vec<String>,
}

/// The part of a bucket below one prefix.
#[derive(Debug)]
pub struct Area<'a> {
    bed: &'a Bed,
    prefix: String,
}

impl<'a> Area<'a> {
    pub(super) fn new(bed: &'a Bed, law: &str) -> Self {
        let prefix = format!("{}{law}/", bed.root);
        Self { bed, prefix }
    }

    /// The whole bucket if the law has it to itself, or else the same area: for keys that are only
    /// hard at the start.
    #[must_use]
    pub fn bare(&self) -> Self {
        let prefix = match self.bed.root.as_str() {
            "" => String::new(),
            _ => self.prefix.clone(),
        };
        Self {
            bed: self.bed,
            prefix,
        }
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &'a dyn Store {
        &*self.bed.store
    }

    /// What it offers.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.bed.store.capabilities()
    }

    /// What it cannot hold.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.bed.limits
    }

    /// Longest key that may be used, in bytes.
    #[must_use]
    pub const fn key_bytes_max(&self) -> usize {
        self.bed.key_bytes_max
    }

    /// What every key of this area begins with.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of that name.
    pub(super) fn key(&self, name: &str) -> Result<Key, Broken> {
        Key::new(format!("{}{name}", self.prefix))
            .map_err(|error| Broken::new(format!("the suite's own key {name:?}: {error}")))
    }

    /// A key without the prefix.
    pub(super) fn name<'k>(&self, key: &'k str) -> Result<&'k str, Broken> {
        key.strip_prefix(self.prefix.as_str())
            .ok_or_else(|| Broken::new(format!("listing {:?} gave {key:?}", self.prefix)))
    }

    pub(super) async fn put(&self, name: &str, bytes: impl Into<Bytes>) -> Result<Version, Broken> {
        self.put_with(name, bytes, PutOptions::default()).await
    }

    pub(super) async fn put_with(
        &self,
        name: &str,
        bytes: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<Version, Broken> {
        let payload = Payload::from(bytes.into());
        Ok(self.store().put(&self.key(name)?, payload, options).await?)
    }

    /// A put under a precondition, with the store's own error.
    pub(super) async fn put_if(
        &self,
        name: &str,
        bytes: &'static [u8],
        precondition: Precondition,
    ) -> Result<cloudmount_store::Result<Version>, Broken> {
        let options = PutOptions {
            precondition,
            ..PutOptions::default()
        };
        let payload = Payload::from(Bytes::from_static(bytes));
        Ok(self.store().put(&self.key(name)?, payload, options).await)
    }

    pub(super) async fn read(&self, name: &str) -> Result<Bytes, Broken> {
        let key = self.key(name)?;
        Ok(self.store().get_bytes(&key, GetOptions::default()).await?)
    }

    /// Breaks the law unless the object holds exactly that.
    pub(super) async fn holds(&self, name: &str, wanted: &[u8]) -> Result<(), Broken> {
        let key = self.key(name)?;
        let meta = self.store().head(&key).await?;
        ensure!(
            meta.size == wanted.len() as u64,
            "{name:?}: head tells {} bytes, wanted {}",
            meta.size,
            wanted.len()
        );
        same_bytes(&format!("{name:?}"), &self.read(name).await?, wanted)
    }

    pub(super) async fn metadata(&self, name: &str) -> Result<Metadata, Broken> {
        Ok(self.store().head(&self.key(name)?).await?.metadata)
    }

    pub(super) async fn delete(&self, names: &[&str]) -> Result<(), Broken> {
        let keys = (names.iter())
            .map(|name| self.key(name))
            .collect::<Result<Vec<_>, _>>()?;
        self.delete_keys(&keys).await
    }

    async fn delete_keys(&self, keys: &[Key]) -> Result<(), Broken> {
        let most = usize::from(self.capabilities().delete_keys_max.max(1));
        for some in keys.chunks(most) {
            let answers = self.store().delete(some).await?;
            let (found, wanted) = (answers.len(), some.len());
            ensure!(found == wanted, "{wanted} keys to delete, {found} answers");
            answers.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    /// Lists all pages of `request`, whose prefix is within the area, and checks what holds for any
    /// listing: order, the limit, that pages go on.
    pub(super) async fn list(&self, request: &ListRequest) -> Result<Listed, Broken> {
        let mut request = ListRequest {
            prefix: format!("{}{}", self.prefix, request.prefix),
            start_after: (request.start_after.as_ref())
                .map(|name| format!("{}{name}", self.prefix)),
            ..request.clone()
        };
        let mut listed = Listed::default();
        let mut tokens = HashSet::new();
        loop {
            let page = self.store().list(request.clone()).await?;
            let items = page.objects.len() + page.prefixes.len();
            let limit = usize::from(request.limit.unwrap_or(1000));
            ensure!(items <= limit, "a page of {items} items, limit {limit}");
            listed.objects.extend(page.objects);
            listed.prefixes.extend(page.prefixes);
            let Some(token) = page.next else { break };
            ensure!(
                tokens.insert(token.clone()),
                "the token {token:?} came twice"
            );
            request.token = Some(token);
        }
        if self.limits().listings == Listings::Unordered {
            listed.objects.sort_by(|a, b| a.key.cmp(&b.key));
            listed.prefixes.sort();
        }
        ensure!(
            listed.objects.is_sorted_by(|a, b| a.key < b.key),
            "keys do not come once and in byte order: {:?}",
            listed
                .objects
                .iter()
                .map(|object| &object.key)
                .collect::<Vec<_>>()
        );
        ensure!(
            listed.prefixes.is_sorted_by(|a, b| a < b),
            "folders do not come once and in byte order: {:?}",
            listed.prefixes
        );
        Ok(listed)
    }

    /// The names of the objects and of the folders that a listing gives.
    pub(super) async fn names(
        &self,
        request: &ListRequest,
    ) -> Result<(Vec<String>, Vec<String>), Broken> {
        let listed = self.list(request).await?;
        let objects = (listed.objects.iter())
            .map(|object| self.name(object.key.as_str()).map(str::to_owned))
            .collect::<Result<_, _>>()?;
        let prefixes = (listed.prefixes.iter())
            .map(|folder| self.name(folder).map(str::to_owned))
            .collect::<Result<_, _>>()?;
        Ok((objects, prefixes))
    }

    /// The names of all objects.
    pub(super) async fn all_names(&self) -> Result<Vec<String>, Broken> {
        Ok(self.names(&ListRequest::default()).await?.0)
    }

    /// Deletes what a listing gives.
    pub(super) async fn clean(&self, request: &ListRequest) -> Result<(), Broken> {
        let listed = self.list(request).await?;
        let keys: Vec<Key> = (listed.objects.into_iter())
            .map(|object| object.key)
            .collect();
        self.delete_keys(&keys).await
    }
}

/// `len` bytes of which any slice betrays where it is from: the period is the prime 251.
#[must_use]
pub fn pattern(len: usize, seed: u8) -> Bytes {
    let block: Vec<u8> = (0..251)
        .map(|n: u8| n.wrapping_mul(97).wrapping_add(seed))
        .collect();
    let mut bytes = Vec::with_capacity(len + block.len());
    while bytes.len() < len {
        bytes.extend_from_slice(&block);
    }
    bytes.truncate(len);
    bytes.into()
}
