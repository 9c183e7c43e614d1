//! Laws of copies within the store.

use cloudmount_store::{
    CopyMetadata, CopyOptions, CopySource, ErrorKind, Metadata, Precondition, PutOptions, Version,
};

use super::verdict::{ensure, fails, same};
use super::{Area, Broken, Outcome, Verdict};

fn labelled(label: &str) -> Metadata {
    Metadata {
        content_type: Some(format!("text/{label}")),
        user: [("label".to_owned(), label.to_owned())].into(),
        ..Metadata::default()
    }
}

fn source(area: &Area<'_>, name: &str, if_match: Option<Version>) -> Result<CopySource, Broken> {
    Ok(CopySource {
        key: area.key(name)?,
        if_match,
    })
}

fn plain(metadata: CopyMetadata) -> CopyOptions {
    CopyOptions {
        metadata,
        precondition: Precondition::None,
        source_bytes: None,
    }
}

async fn put_labelled(
    area: &Area<'_>,
    name: &str,
    content: &'static str,
) -> Result<Version, Broken> {
    let options = PutOptions {
        metadata: labelled("source"),
        ..PutOptions::default()
    };
    area.put_with(name, content, options).await
}

/// Law: a copy gets the source's metadata, or exactly those given instead.
pub async fn a_copy_keeps_or_replaces_metadata(area: &Area<'_>) -> Verdict {
    if !area.capabilities().user_metadata {
        return Ok(Outcome::Skipped("the store keeps no user metadata"));
    }
    put_labelled(area, "a", "content").await?;
    let (from, keep) = (source(area, "a", None)?, plain(CopyMetadata::Keep));
    let version = area.store().copy(from, &area.key("kept")?, keep).await?;
    area.holds("kept", b"content").await?;
    same("kept", &area.metadata("kept").await?, &labelled("source"))?;
    let head = area.store().head(&area.key("kept")?).await?;
    same("version", &head.version, &version)?;
    let replace = plain(CopyMetadata::Replace(labelled("new")));
    let to = area.key("replaced")?;
    area.store()
        .copy(source(area, "a", None)?, &to, replace)
        .await?;
    area.holds("replaced", b"content").await?;
    same(
        "replaced",
        &area.metadata("replaced").await?,
        &labelled("new"),
    )?;
    same(
        "the source's",
        &area.metadata("a").await?,
        &labelled("source"),
    )?;
    Ok(Outcome::Held)
}

/// Law: a copy onto itself changes metadata and nothing else.
pub async fn a_copy_onto_itself_replaces_metadata(area: &Area<'_>) -> Verdict {
    if !area.capabilities().user_metadata {
        return Ok(Outcome::Skipped("the store keeps no user metadata"));
    }
    let version = put_labelled(area, "a", "content").await?;
    let replace = plain(CopyMetadata::Replace(labelled("new")));
    let from = source(area, "a", Some(version))?;
    let version = area.store().copy(from, &area.key("a")?, replace).await?;
    area.holds("a", b"content").await?;
    same("metadata", &area.metadata("a").await?, &labelled("new"))?;
    let head = area.store().head(&area.key("a")?).await?;
    same("version", &head.version, &version)?;
    Ok(Outcome::Held)
}

/// Law: a copy replaces what is there, and does not depend on its source afterwards.
pub async fn a_copy_replaces_its_target_and_outlives_its_source(area: &Area<'_>) -> Verdict {
    area.put("a", "content").await?;
    let before = area.put("b", "a longer target").await?;
    let (from, keep) = (source(area, "a", None)?, plain(CopyMetadata::Keep));
    let after = area.store().copy(from, &area.key("b")?, keep).await?;
    ensure!(before != after, "both have the version {after}");
    area.put("a", "changed").await?;
    area.holds("b", b"content").await?;
    area.delete(&["a"]).await?;
    area.holds("b", b"content").await?;
    same("names", &area.all_names().await?, &vec!["b".to_owned()])?;
    Ok(Outcome::Held)
}

/// Law: nothing cannot be copied, and leaves the target alone.
pub async fn a_copy_of_nothing_is_not_found(area: &Area<'_>) -> Verdict {
    area.put("b", "target").await?;
    let (from, keep) = (source(area, "a", None)?, plain(CopyMetadata::Keep));
    let result = area.store().copy(from, &area.key("b")?, keep).await;
    fails("copy of nothing", result, ErrorKind::NotFound)?;
    area.holds("b", b"target").await?;
    Ok(Outcome::Held)
}

/// Law: a copy for a version copies that version or fails.
pub async fn a_copy_can_insist_on_its_source(area: &Area<'_>) -> Verdict {
    let first = area.put("a", "first").await?;
    let second = area.put("a", "second").await?;
    let (to, keep) = (area.key("b")?, plain(CopyMetadata::Keep));
    let from = source(area, "a", Some(first))?;
    let late = area.store().copy(from, &to, keep.clone()).await;
    fails("copy of an old version", late, ErrorKind::Precondition)?;
    fails("head", area.store().head(&to).await, ErrorKind::NotFound)?;
    area.store()
        .copy(source(area, "a", Some(second))?, &to, keep)
        .await?;
    area.holds("b", b"second").await?;
    Ok(Outcome::Held)
}

/// Law: a precondition on the target is checked, or refused by a store that cannot.
pub async fn a_copy_can_insist_on_its_target(area: &Area<'_>) -> Verdict {
    area.put("a", "source").await?;
    let to = area.key("b")?;
    let version = area.put("b", "target").await?;
    let onto = |precondition| CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition,
        source_bytes: None,
    };
    let absent = onto(Precondition::Absent);
    let late = area
        .store()
        .copy(source(area, "a", None)?, &to, absent.clone())
        .await;
    if !area.capabilities().copy_if {
        fails("copy with a precondition", late, ErrorKind::Unsupported)?;
        area.holds("b", b"target").await?;
        return Ok(Outcome::Held);
    }
    fails("copy on top", late, ErrorKind::Precondition)?;
    area.holds("b", b"target").await?;
    let matches = onto(Precondition::Matches(version));
    area.store()
        .copy(source(area, "a", None)?, &to, matches.clone())
        .await?;
    area.holds("b", b"source").await?;
    let late = area
        .store()
        .copy(source(area, "a", None)?, &to, matches)
        .await;
    fails("copy over an old version", late, ErrorKind::Precondition)?;
    area.delete(&["b"]).await?;
    area.store()
        .copy(source(area, "a", None)?, &to, absent)
        .await?;
    area.holds("b", b"source").await?;
    Ok(Outcome::Held)
}
