//! The model's files as a bucket, for the plain clients of tests.
//!
//! *Invariant:* it holds nothing of its own: every call looks at, or changes, the model's tree.

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use cloudmount_store::{
    Capabilities, CopyOptions, CopySource, Error, ErrorKind, GetOptions, GetResult, Key, ListPage,
    ListRequest, ListedObject, ObjectMeta, PartTag, Payload, Precondition, PutOptions, Result,
    Store, Trust, UploadId, Version,
};
use cloudmount_vfs::InodeId;
use futures::StreamExt;

use super::Model;
use super::foreign::Unsayable;
use super::tree::{Body, Tree};

/// Most entries of one page, the limit of S3.
const PAGE_MAX: u16 = 1000;

#[derive(Debug)]
pub(super) struct Bucket {
    model: Model,
}

impl Bucket {
    pub(super) const fn new(model: Model) -> Self {
        Self { model }
    }
}

fn object(tree: &Tree, key: &Key) -> Option<InodeId> {
    let ino = tree.find(key.as_str())?;
    match &tree.node(ino).ok()?.body {
        Body::Directory(directory) => (key.is_marker() && directory.marker).then_some(ino),
        Body::File(_) | Body::Symlink(_) => (!key.is_marker()).then_some(ino),
    }
}

fn meta(tree: &Tree, ino: InodeId) -> Option<ObjectMeta> {
    let node = tree.node(ino).ok()?;
    Some(ObjectMeta {
        size: node.attr.size,
        version: Version::new(format!("\"{ino}-{}\"", node.version)),
        modified: node.attr.mtime,
        metadata: node.metadata.clone(),
    })
}

fn bytes(tree: &Tree, ino: InodeId) -> Bytes {
    match tree.node(ino).map(|node| &node.body) {
        Ok(Body::File(content)) => content.read(0, content.size()).into(),
        Ok(Body::Symlink(target)) => target.clone(),
        Ok(Body::Directory(_)) | Err(_) => Bytes::new(),
    }
}

fn missing(key: &Key) -> Error {
    Error::new(ErrorKind::NotFound, format!("object {key}"))
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the model's bucket")
}

#[async_trait]
impl Store for Bucket {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            trust: Trust::Exact,
            tags: false,
            copy_if: false,
            delete_if: false,
            part_copy: false,
            ..Capabilities::S3
        }
    }

    async fn head(&self, key: &Key) -> Result<ObjectMeta> {
        let tree = self.model.tree();
        object(&tree, key)
            .and_then(|ino| meta(&tree, ino))
            .ok_or_else(|| missing(key))
    }

    async fn get(&self, key: &Key, options: GetOptions) -> Result<GetResult> {
        let tree = self.model.tree();
        let ino = object(&tree, key).ok_or_else(|| missing(key))?;
        let meta = meta(&tree, ino).ok_or_else(|| missing(key))?;
        if options
            .if_match
            .is_some_and(|version| version != meta.version)
        {
            return Err(Error::new(ErrorKind::Precondition, format!("object {key}")));
        }
        let all = bytes(&tree, ino);
        let range = cut(options.range, all.len() as u64)
            .ok_or_else(|| Error::new(ErrorKind::Range, format!("object {key}")))?;
        let narrow = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let body = all.slice(narrow(range.start)..narrow(range.end));
        let body = futures::stream::iter([Ok(body)]).boxed();
        Ok(GetResult { meta, range, body })
    }

    async fn list(&self, request: ListRequest) -> Result<ListPage> {
        let tree = self.model.tree();
        let limit = usize::from(request.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX));
        let after = request.token.as_ref().or(request.start_after.as_ref());
        let mut page = ListPage::default();
        let mut last = None;
        for (key, ino) in tree.objects() {
            let Some(rest) = key.strip_prefix(&request.prefix) else {
                continue;
            };
            let folder = rest.find('/').filter(|_| request.by_folder);
            let shown = folder.map_or(&*key, |at| &key[..request.prefix.len() + at + 1]);
            if after.is_some_and(|after| shown <= after.as_str()) || last.as_deref() == Some(shown)
            {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == limit {
                page.next = last;
                break;
            }
            last = Some(shown.to_owned());
            if folder.is_some() {
                page.prefixes.push(shown.to_owned());
            } else if let (Some(meta), Ok(key)) = (meta(&tree, ino), Key::new(key.clone())) {
                let ObjectMeta {
                    size,
                    version,
                    modified,
                    ..
                } = meta;
                page.objects.push(ListedObject {
                    key,
                    size,
                    version: Some(version),
                    modified,
                });
            }
        }
        Ok(page)
    }

    async fn put(&self, key: &Key, payload: Payload, options: PutOptions) -> Result<Version> {
        let mut tree = self.model.tree();
        let there = object(&tree, key).and_then(|ino| meta(&tree, ino));
        let admitted = match (&options.precondition, &there) {
            (Precondition::None, _) | (Precondition::Absent, None) => true,
            (Precondition::Matches(wanted), Some(meta)) => *wanted == meta.version,
            (Precondition::Absent, Some(_)) | (Precondition::Matches(_), None) => false,
        };
        if !admitted {
            return Err(Error::new(ErrorKind::Precondition, format!("object {key}")));
        }
        let bytes = payload.0.concat();
        let ino = tree
            .foreign_put(key.as_str(), &bytes, options.metadata)
            .map_err(|why| {
                let why = match why {
                    Unsayable::Name => "no path can say this key",
                    Unsayable::Kind => "a folder and a file of one name",
                };
                Error::new(ErrorKind::InvalidRequest, why)
            })?;
        meta(&tree, ino)
            .map(|meta| meta.version)
            .ok_or_else(|| missing(key))
    }

    async fn copy(&self, _: CopySource, _: &Key, _: CopyOptions) -> Result<Version> {
        Err(unsupported())
    }

    async fn delete(&self, keys: &[Key]) -> Result<Vec<Result<()>>> {
        let mut tree = self.model.tree();
        let done = keys.iter().map(|key| {
            tree.foreign_delete(key.as_str());
            Ok(())
        });
        Ok(done.collect())
    }

    async fn multipart_start(&self, _: &Key, _: &PutOptions) -> Result<UploadId> {
        Err(unsupported())
    }

    async fn multipart_put(&self, _: &Key, _: &UploadId, _: u16, _: Payload) -> Result<PartTag> {
        Err(unsupported())
    }

    async fn multipart_copy(
        &self,
        _: &Key,
        _: &UploadId,
        _: u16,
        _: CopySource,
        _: Range<u64>,
    ) -> Result<PartTag> {
        Err(unsupported())
    }

    async fn multipart_complete(
        &self,
        _: &Key,
        _: &UploadId,
        _: &[PartTag],
        _: Precondition,
    ) -> Result<Version> {
        Err(unsupported())
    }

    async fn multipart_abort(&self, _: &Key, _: &UploadId) -> Result<()> {
        Ok(())
    }
}

/// What of `range` lies in `size` bytes; `None` if it starts at or after the end.
fn cut(range: Option<Range<u64>>, size: u64) -> Option<Range<u64>> {
    match range {
        None => Some(0..size),
        Some(range) if range.start < size => Some(range.start..range.end.min(size)),
        Some(_) => None,
    }
}
