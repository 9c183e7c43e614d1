//! Laws of the tags of objects.

use std::collections::BTreeMap;

use bytes::Bytes;
use cloudmount_store::{
    CopyMetadata, CopyOptions, CopySource, ErrorKind, Metadata, Payload, Precondition, PutOptions,
    Tags,
};

use super::verdict::{fails, same};
use super::{Area, Broken, Outcome, Verdict};

const NO_TAGS: Outcome = Outcome::Skipped("the store has no tags");

fn some() -> BTreeMap<String, String> {
    let pairs = [("class", "secret"), ("a b", "x/y+z=1:2@3"), ("empty", "")];
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn with(tags: Tags) -> PutOptions {
    PutOptions {
        metadata: Metadata {
            tags,
            ..Metadata::default()
        },
        ..PutOptions::default()
    }
}

async fn has(area: &Area<'_>, name: &str, wanted: &BTreeMap<String, String>) -> Result<(), Broken> {
    let count = match wanted.len() {
        0 => Tags::None,
        count => Tags::Unread(u16::try_from(count).unwrap_or(u16::MAX)),
    };
    same(name, &area.metadata(name).await?.tags, &count)?;
    same(name, &area.store().tags(&area.key(name)?).await?, wanted)
}

/// Law: a look tells how many tags there are, and reading them which; a rewrite without any drops
/// them.
pub async fn tags_are_counted_and_read(area: &Area<'_>) -> Verdict {
    if !area.capabilities().tags {
        return Ok(NO_TAGS);
    }
    area.put_with("a", "x", with(Tags::from(some()))).await?;
    has(area, "a", &some()).await?;
    area.put("a", "y").await?;
    has(area, "a", &BTreeMap::new()).await?;
    let missing = area.store().tags(&area.key("missing")?).await;
    fails("tags of nothing", missing, ErrorKind::NotFound)?;
    Ok(Outcome::Held)
}

/// Law: tags given at the start of an upload are those of the object.
pub async fn uploads_in_parts_keep_the_tags_they_were_begun_with(area: &Area<'_>) -> Verdict {
    if !area.capabilities().tags {
        return Ok(NO_TAGS);
    }
    let (store, key) = (area.store(), area.key("a")?);
    let options = with(Tags::from(some()));
    let upload = store.multipart_start(&key, &options).await?;
    let payload = Payload::from(Bytes::from_static(b"x"));
    let part = store.multipart_put(&key, &upload, 1, payload).await?;
    (store.multipart_complete(&key, &upload, &[part], Precondition::None)).await?;
    has(area, "a", &some()).await?;
    Ok(Outcome::Held)
}

/// Law: a copy has the tags of its source, whether it keeps or replaces the metadata, and onto itself
/// too.
pub async fn a_copy_has_the_tags_of_its_source(area: &Area<'_>) -> Verdict {
    if !area.capabilities().tags {
        return Ok(NO_TAGS);
    }
    area.put_with("a", "x", with(Tags::from(some()))).await?;
    let replaced = Metadata {
        content_type: Some("text/plain".to_owned()),
        tags: Tags::Unread(3),
        ..Metadata::default()
    };
    for (to, metadata) in [
        ("kept", CopyMetadata::Keep),
        ("replaced", CopyMetadata::Replace(replaced.clone())),
        ("a", CopyMetadata::Replace(replaced)),
    ] {
        let source = CopySource {
            key: area.key("a")?,
            if_match: None,
        };
        let options = CopyOptions {
            metadata,
            precondition: Precondition::None,
            source_bytes: None,
        };
        area.store().copy(source, &area.key(to)?, options).await?;
        has(area, to, &some()).await?;
    }
    Ok(Outcome::Held)
}

/// Law: a copy whose metadata are replaced has the tags that are given with them.
pub async fn a_copy_has_the_tags_that_it_is_given(area: &Area<'_>) -> Verdict {
    if !area.capabilities().tags {
        return Ok(NO_TAGS);
    }
    area.put("plain", "x").await?;
    let other = BTreeMap::from([("other".to_owned(), "one".to_owned())]);
    area.put_with("tagged", "x", with(Tags::from(other)))
        .await?;
    for (from, to) in [("plain", "a"), ("tagged", "b"), ("tagged", "tagged")] {
        let source = CopySource {
            key: area.key(from)?,
            if_match: None,
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Replace(with(Tags::from(some())).metadata),
            precondition: Precondition::None,
            source_bytes: None,
        };
        area.store().copy(source, &area.key(to)?, options).await?;
        has(area, to, &some()).await?;
    }
    Ok(Outcome::Held)
}

/// Law: a write with tags that nobody read, or that the store does not have, is refused.
pub async fn tags_that_would_be_lost_are_refused(area: &Area<'_>) -> Verdict {
    let kind = match area.capabilities().tags {
        true => ErrorKind::InvalidRequest,
        false => ErrorKind::Unsupported,
    };
    let tags = match area.capabilities().tags {
        true => Tags::Unread(1),
        false => Tags::from(some()),
    };
    let (store, key) = (area.store(), area.key("a")?);
    let payload = Payload::from(Bytes::from_static(b"x"));
    let put = store.put(&key, payload, with(tags.clone())).await;
    fails("a put", put, kind)?;
    fails("head", store.head(&key).await, ErrorKind::NotFound)?;
    let started = store.multipart_start(&key, &with(tags)).await;
    if area.capabilities().parts_max > 1 {
        fails("the start of an upload", started, kind)?;
    }
    Ok(Outcome::Held)
}
