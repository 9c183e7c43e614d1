//! Laws of folder markers: objects whose key ends in `/`.

use cloudmount_store::{ErrorKind, ListRequest, Metadata, Precondition, PutOptions};

use super::verdict::{ensure, fails, same};
use super::{Area, Broken, Outcome, Verdict};

const NO_MARKERS: Outcome = Outcome::Skipped("the store holds no folder markers");

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn folder(prefix: &str) -> ListRequest {
    ListRequest {
        prefix: prefix.to_owned(),
        by_folder: true,
        ..ListRequest::default()
    }
}

async fn names_are(area: &Area<'_>, when: &str, wanted: &[&str]) -> Result<(), Broken> {
    same(when, &area.all_names().await?, &strings(wanted))
}

/// Law: a marker has a head, a body and a place in listings: as a folder from outside, as an object
/// from inside. The key without the `/` is another.
pub async fn a_marker_is_an_object(area: &Area<'_>) -> Verdict {
    if !area.capabilities().folder_markers {
        return Ok(NO_MARKERS);
    }
    area.put("d/", "").await?;
    area.holds("d/", b"").await?;
    let file = area.store().head(&area.key("d")?).await;
    fails("head without the slash", file, ErrorKind::NotFound)?;
    names_are(area, "flat", &["d/"]).await?;
    let outside = area.names(&folder("")).await?;
    same("from outside", &outside, &(strings(&[]), strings(&["d/"])))?;
    let inside = area.names(&folder("d/")).await?;
    same("from inside", &inside, &(strings(&["d/"]), strings(&[])))?;
    area.delete(&["d/"]).await?;
    names_are(area, "after the delete", &[]).await?;
    Ok(Outcome::Held)
}

/// Law: a marker keeps metadata, whatever is written beside it.
pub async fn a_marker_keeps_metadata(area: &Area<'_>) -> Verdict {
    let capabilities = area.capabilities();
    if !capabilities.folder_markers || !capabilities.user_metadata {
        return Ok(NO_MARKERS);
    }
    let metadata = Metadata {
        content_type: Some("application/x-directory".to_owned()),
        user: [("file-permissions".to_owned(), "040755".to_owned())].into(),
        ..Metadata::default()
    };
    let options = PutOptions {
        metadata: metadata.clone(),
        ..PutOptions::default()
    };
    let version = area.put_with("d/", "", options).await?;
    area.put("d/file", "x").await?;
    area.put("d/sub/file", "x").await?;
    area.delete(&["d/file"]).await?;
    let head = area.store().head(&area.key("d/")?).await?;
    same("metadata", &head.metadata, &metadata)?;
    same("version", &head.version, &version)?;
    area.put("d/", "").await?;
    same(
        "after a rewrite",
        &area.metadata("d/").await?.user,
        &Metadata::default().user,
    )?;
    Ok(Outcome::Held)
}

/// Law: some tools write content into markers: it is not lost.
pub async fn a_marker_with_content_opens_to_it(area: &Area<'_>) -> Verdict {
    if !area.capabilities().folder_markers {
        return Ok(NO_MARKERS);
    }
    area.put("d/", "content of a folder").await?;
    area.put("d/file", "content of a file").await?;
    area.holds("d/", b"content of a folder").await?;
    names_are(area, "with content", &["d/", "d/file"]).await?;
    area.put("d/", "").await?;
    area.holds("d/", b"").await?;
    area.holds("d/file", b"content of a file").await?;
    area.put("d/", "again").await?;
    area.holds("d/", b"again").await?;
    area.delete(&["d/"]).await?;
    names_are(area, "after the delete", &["d/file"]).await?;
    Ok(Outcome::Held)
}

/// Law: markers have versions, and preconditions hold for them.
pub async fn a_marker_can_be_rewritten_and_checked(area: &Area<'_>) -> Verdict {
    let capabilities = area.capabilities();
    if !capabilities.folder_markers || !capabilities.put_if_absent || !capabilities.put_if_match {
        return Ok(NO_MARKERS);
    }
    area.put_if("d/", b"", Precondition::Absent).await??;
    let twice = area.put_if("d/", b"", Precondition::Absent).await?;
    fails("a second marker", twice, ErrorKind::Precondition)?;
    let first = area.store().head(&area.key("d/")?).await?.version;
    let second = area
        .put_if("d/", b"x", Precondition::Matches(first.clone()))
        .await??;
    ensure!(first != second, "both have the version {first}");
    let late = area
        .put_if("d/", b"y", Precondition::Matches(first))
        .await?;
    fails("over an old version", late, ErrorKind::Precondition)?;
    area.put_if("d/", b"", Precondition::Matches(second))
        .await??;
    area.holds("d/", b"").await?;
    Ok(Outcome::Held)
}

/// Law: keys below a marker come and go without it; it stays when they are gone.
pub async fn a_marker_lives_apart_from_the_keys_below(area: &Area<'_>) -> Verdict {
    if !area.capabilities().folder_markers {
        return Ok(NO_MARKERS);
    }
    area.put("d/", "").await?;
    area.put("d/a", "x").await?;
    area.put("e/b", "x").await?;
    area.put("e/", "").await?;
    names_are(area, "with keys below", &["d/", "d/a", "e/", "e/b"]).await?;
    area.delete(&["d/a", "e/b"]).await?;
    names_are(area, "without", &["d/", "e/"]).await?;
    area.holds("d/", b"").await?;
    area.holds("e/", b"").await?;
    Ok(Outcome::Held)
}

/// Law: a deleted marker takes nothing with it; the folder goes with its last key.
pub async fn keys_below_outlive_their_marker(area: &Area<'_>) -> Verdict {
    if !area.capabilities().folder_markers {
        return Ok(NO_MARKERS);
    }
    area.put("d/", "").await?;
    area.put("d/a", "x").await?;
    area.put("d/e/b", "y").await?;
    area.delete(&["d/"]).await?;
    let head = area.store().head(&area.key("d/")?).await;
    fails("head of a deleted marker", head, ErrorKind::NotFound)?;
    names_are(area, "without the marker", &["d/a", "d/e/b"]).await?;
    area.holds("d/a", b"x").await?;
    area.delete(&["d/a"]).await?;
    names_are(area, "with one key", &["d/e/b"]).await?;
    area.delete(&["d/e/b"]).await?;
    names_are(area, "without keys", &[]).await?;
    let outside = area.names(&folder("")).await?;
    same("from outside", &outside, &(strings(&[]), strings(&[])))?;
    Ok(Outcome::Held)
}

/// Law: markers nest; each is there for itself alone.
pub async fn nested_markers(area: &Area<'_>) -> Verdict {
    if !area.capabilities().folder_markers {
        return Ok(NO_MARKERS);
    }
    area.put("a/b/c/", "").await?;
    names_are(area, "one", &["a/b/c/"]).await?;
    for name in ["a/", "a/b/"] {
        let head = area.store().head(&area.key(name)?).await;
        fails("a parent that nobody made", head, ErrorKind::NotFound)?;
    }
    let inside = area.names(&folder("a/")).await?;
    same("from inside", &inside, &(strings(&[]), strings(&["a/b/"])))?;
    area.put("a/", "").await?;
    names_are(area, "two", &["a/", "a/b/c/"]).await?;
    area.delete(&["a/b/c/"]).await?;
    names_are(area, "the parent alone", &["a/"]).await?;
    let inside = area.names(&folder("a/")).await?;
    same("from inside", &inside, &(strings(&["a/"]), strings(&[])))?;
    area.put("a/b/", "").await?;
    area.delete(&["a/"]).await?;
    names_are(area, "the child alone", &["a/b/"]).await?;
    Ok(Outcome::Held)
}
