//! Multipart uploads in memory.

use std::collections::BTreeMap;

use super::State;
use super::content::Content;
use crate::rules::{check_part_number, check_parts, check_precondition, check_size};
use crate::{
    Capabilities, Error, ErrorKind, Key, ListedUpload, Metadata, PartTag, Precondition, Result,
    UploadId, UploadsPage, Version,
};

use cloudmount_vfs::Timestamp;

/// Uploads on a page, as many as S3 puts there.
const PAGE_UPLOADS: usize = 1000;

/// An upload in progress.
#[derive(Debug)]
pub(super) struct Upload {
    key: Key,
    started: Timestamp,
    metadata: Metadata,
    parts: BTreeMap<u16, Part>,
}

#[derive(Debug)]
struct Part {
    content: Content,
    tag: String,
}

pub(super) fn start(state: &mut State, key: &Key, metadata: Metadata, now: Timestamp) -> UploadId {
    let id = UploadId(format!("upload-{:x}", state.next_count()));
    let upload = Upload {
        key: key.clone(),
        started: now,
        metadata,
        parts: BTreeMap::new(),
    };
    state.uploads.insert(id.0.clone(), upload);
    id
}

pub(super) fn put(
    state: &mut State,
    capabilities: &Capabilities,
    key: &Key,
    id: &UploadId,
    number: u16,
    content: Content,
) -> Result<PartTag> {
    check_part_number(capabilities, number)?;
    check_size("a part", content.size(), capabilities.part_bytes_max)?;
    let tag = state.next_version(&content).as_str().to_owned();
    let upload = find(state, key, id)?;
    let part = Part {
        content,
        tag: tag.clone(),
    };
    upload.parts.insert(number, part);
    Ok(PartTag { number, tag })
}

pub(super) fn complete(
    state: &mut State,
    capabilities: &Capabilities,
    key: &Key,
    id: &UploadId,
    parts: &[PartTag],
    precondition: &Precondition,
    now: Timestamp,
) -> Result<Version> {
    let upload = find(state, key, id)?;
    check_parts(capabilities, parts, |number| {
        let part = upload.parts.get(&number)?;
        Some((part.tag.clone(), part.content.size()))
    })?;
    let sent = parts
        .iter()
        .filter_map(|part| upload.parts.get(&part.number));
    let content = Content::concat(sent.map(|part| &part.content));
    let metadata = upload.metadata.clone();
    check_precondition(precondition, state.version(key))?;
    state.uploads.remove(&id.0);
    Ok(state.write(key, content, metadata, now))
}

pub(super) fn abort(state: &mut State, key: &Key, id: &UploadId) {
    if find(state, key, id).is_ok() {
        state.uploads.remove(&id.0);
    }
}

/// Uploads whose key starts with `prefix`, by key and number. A token is where the page before
/// ended.
pub(super) fn list(state: &State, prefix: &str, token: Option<&str>) -> UploadsPage {
    let after = token.and_then(|token| token.split_once(' '));
    let place = |upload: &ListedUpload| (upload.key.clone(), upload.upload.0.clone());
    let mut uploads: Vec<ListedUpload> = (state.uploads.iter())
        .filter(|(id, upload)| {
            let key = upload.key.as_str();
            key.starts_with(prefix)
                && after.is_none_or(|(last, from)| (key, id.as_str()) > (from, last))
        })
        .map(|(id, upload)| ListedUpload {
            key: upload.key.clone(),
            upload: UploadId(id.clone()),
            started: upload.started,
        })
        .collect();
    uploads.sort_by_key(place);
    let next = (uploads.get(PAGE_UPLOADS - 1))
        .filter(|_| uploads.len() > PAGE_UPLOADS)
        .map(|last| format!("{} {}", last.upload.0, last.key));
    uploads.truncate(PAGE_UPLOADS);
    UploadsPage { uploads, next }
}

/// The upload, if it is one of `key`.
pub(super) fn find<'a>(state: &'a mut State, key: &Key, id: &UploadId) -> Result<&'a mut Upload> {
    (state.uploads.get_mut(&id.0))
        .filter(|upload| upload.key == *key)
        .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("upload {} of {key:?}", id.0)))
}
