//! `put`, `copy` and uploads in parts.

use object_store::multipart::PartId;
use object_store::{
    CopyOptions as ForeignCopy, PutMode, PutMultipartOptions, PutOptions as ForeignPut, PutPayload,
    PutResult, UpdateVersion,
};

use super::attributes::attributes;
use super::read::{head, look};
use super::{Conditions, Remote, failure, path_to_read, path_to_write};
use crate::rules::check_tags;
use crate::wire::version;
use crate::{
    CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, Key, PartTag, Payload, Precondition,
    PutOptions, Result, UploadId, Version,
};

pub(super) async fn put(
    remote: &Remote,
    key: &Key,
    payload: Payload,
    options: PutOptions,
) -> Result<Version> {
    let capabilities = remote.capabilities;
    if matches!(options.precondition, Precondition::Absent) && !capabilities.put_if_absent
        || matches!(options.precondition, Precondition::Matches(_)) && !capabilities.put_if_match
    {
        return unsupported(key, "checks no such precondition");
    }
    check_tags(&capabilities, &options.metadata)?;
    let put = ForeignPut {
        mode: mode(remote, key, options.precondition).await?,
        attributes: attributes(&options.metadata, remote.names),
        ..ForeignPut::default()
    };
    let done = remote
        .objects
        .put_opts(&path_to_write(key)?, body(payload), put)
        .await;
    written(
        done.map_err(|error| failure::error("write", key, error))?,
        key,
    )
}

/// What `object_store` calls the precondition.
async fn mode(remote: &Remote, key: &Key, precondition: Precondition) -> Result<PutMode> {
    let tag = match precondition {
        Precondition::None => return Ok(PutMode::Overwrite),
        Precondition::Absent => return Ok(PutMode::Create),
        Precondition::Matches(tag) => tag,
    };
    let number = match remote.conditions {
        Conditions::Tag => None,
        // Whoever writes between the look and the put changes the number, and the put fails.
        Conditions::Number => match look(remote, key).await {
            Ok((meta, number)) if meta.version == tag => number,
            Ok(_) => return Err(unmatched(key)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(unmatched(key)),
            Err(error) => return Err(error),
        },
    };
    Ok(PutMode::Update(UpdateVersion {
        e_tag: Some(tag.as_str().to_owned()),
        version: number,
    }))
}

fn unmatched(key: &Key) -> Error {
    let context = format!("write {key:?}: another version is there");
    Error::new(ErrorKind::Precondition, context)
}

fn written(result: PutResult, key: &Key) -> Result<Version> {
    result.e_tag.as_deref().map(version).ok_or_else(|| {
        let context = format!("write {key:?}: this store tells no ETag");
        Error::new(ErrorKind::Io, context)
    })
}

fn body(payload: Payload) -> PutPayload {
    payload.0.into_iter().collect()
}

fn unsupported<T>(key: &Key, what: &str) -> Result<T> {
    let context = format!("write {key:?}: this store {what}");
    Err(Error::new(ErrorKind::Unsupported, context))
}

/// Copies, then looks: `object_store` tells nothing of what it copied. The version of the source is
/// checked before, so that nothing is written in vain, and after, so that a copy that read another
/// one is refused, not hidden.
pub(super) async fn copy(
    remote: &Remote,
    source: CopySource,
    to: &Key,
    options: CopyOptions,
) -> Result<Version> {
    if options.precondition != Precondition::None {
        return unsupported(to, "checks no precondition on copies");
    }
    if options.metadata != CopyMetadata::Keep {
        return unsupported(to, "cannot replace metadata while copying");
    }
    check_source(remote, &source).await?;
    let (from, target) = (path_to_read(&source.key)?, path_to_write(to)?);
    let copied = remote
        .objects
        .copy_opts(&from, &target, ForeignCopy::default())
        .await;
    copied.map_err(|error| failure::error("copy", &source.key, error))?;
    check_source(remote, &source).await?;
    Ok(head(remote, to).await?.version)
}

async fn check_source(remote: &Remote, source: &CopySource) -> Result<()> {
    let Some(asked) = &source.if_match else {
        return Ok(());
    };
    let found = head(remote, &source.key).await?.version;
    if found == *asked {
        return Ok(());
    }
    let context = format!("copy {:?}: version {found} is there", source.key);
    Err(Error::new(ErrorKind::Precondition, context))
}

pub(super) async fn start(remote: &Remote, key: &Key, options: &PutOptions) -> Result<UploadId> {
    check_tags(&remote.capabilities, &options.metadata)?;
    let options = PutMultipartOptions {
        attributes: attributes(&options.metadata, remote.names),
        ..PutMultipartOptions::default()
    };
    let uploads = remote.uploads()?;
    let id = uploads
        .create_multipart_opts(&path_to_write(key)?, options)
        .await;
    let id = id.map_err(|error| failure::error("begin to write", key, error))?;
    Ok(UploadId(id))
}

pub(super) async fn part(
    remote: &Remote,
    key: &Key,
    upload: &UploadId,
    number: u16,
    payload: Payload,
) -> Result<PartTag> {
    let index = number.checked_sub(1).ok_or_else(|| wrong_parts(key))?;
    let uploads = remote.uploads()?;
    let part = uploads
        .put_part(&path_to_write(key)?, &upload.0, index.into(), body(payload))
        .await;
    let part = part.map_err(|error| failure::error("write a part of", key, error))?;
    Ok(PartTag {
        number,
        tag: part.content_id,
    })
}

pub(super) async fn complete(
    remote: &Remote,
    key: &Key,
    upload: &UploadId,
    parts: &[PartTag],
    precondition: Precondition,
) -> Result<Version> {
    if precondition != Precondition::None {
        return unsupported(key, "checks no precondition on uploads in parts");
    }
    // `object_store` numbers parts by their place, so none may be missing.
    if parts
        .iter()
        .zip(1..)
        .any(|(part, number)| part.number != number)
    {
        return Err(wrong_parts(key));
    }
    let id = |part: &PartTag| PartId {
        content_id: part.tag.clone(),
    };
    let parts = parts.iter().map(id).collect();
    let uploads = remote.uploads()?;
    let done = uploads
        .complete_multipart(&path_to_write(key)?, &upload.0, parts)
        .await;
    written(
        done.map_err(|error| failure::error("finish writing", key, error))?,
        key,
    )
}

fn wrong_parts(key: &Key) -> Error {
    let context = format!("write {key:?}: parts are numbered from 1 without a gap here");
    Error::new(ErrorKind::InvalidRequest, context)
}
