//! Laws of uploads in parts.

use bytes::Bytes;
use cloudmount_store::{
    CopySource, ErrorKind, Key, Metadata, PartTag, Payload, Precondition, PutOptions, UploadId,
    Version,
};

use super::verdict::{ensure, fails, fails_with, same};
use super::{Area, Broken, Outcome, Verdict, pattern};

const NO_PART_COPY: Outcome = Outcome::Skipped("the store copies no parts");

/// An upload in progress.
struct Upload<'a> {
    area: &'a Area<'a>,
    key: Key,
    id: UploadId,
}

impl<'a> Upload<'a> {
    async fn start(area: &'a Area<'a>, name: &str) -> Result<Self, Broken> {
        Self::start_with(area, name, Metadata::default()).await
    }

    async fn start_with(
        area: &'a Area<'a>,
        name: &str,
        metadata: Metadata,
    ) -> Result<Self, Broken> {
        let key = area.key(name)?;
        let options = PutOptions {
            metadata,
            ..PutOptions::default()
        };
        let id = area.store().multipart_start(&key, &options).await?;
        Ok(Self { area, key, id })
    }

    async fn part(&self, number: u16, bytes: Bytes) -> cloudmount_store::Result<PartTag> {
        let payload = Payload::from(bytes);
        (self.area.store())
            .multipart_put(&self.key, &self.id, number, payload)
            .await
    }

    async fn complete(&self, parts: &[PartTag]) -> cloudmount_store::Result<Version> {
        self.complete_if(parts, Precondition::None).await
    }

    async fn complete_if(
        &self,
        parts: &[PartTag],
        precondition: Precondition,
    ) -> cloudmount_store::Result<Version> {
        (self.area.store())
            .multipart_complete(&self.key, &self.id, parts, precondition)
            .await
    }

    async fn abort(&self) -> cloudmount_store::Result<()> {
        self.area.store().multipart_abort(&self.key, &self.id).await
    }

    async fn copy(
        &self,
        number: u16,
        source: CopySource,
        range: std::ops::Range<u64>,
    ) -> cloudmount_store::Result<PartTag> {
        (self.area.store())
            .multipart_copy(&self.key, &self.id, number, source, range)
            .await
    }
}

/// The least bytes of a part that is not the last.
fn least(area: &Area<'_>) -> usize {
    usize::try_from(area.capabilities().part_bytes_min.max(1)).unwrap_or(usize::MAX)
}

fn joined(parts: &[&Bytes]) -> Vec<u8> {
    parts
        .iter()
        .map(|part| &part[..])
        .collect::<Vec<_>>()
        .concat()
}

/// Law: parts are joined by number, in whatever order they arrived; numbers may have gaps.
pub async fn parts_are_joined_by_number(area: &Area<'_>) -> Verdict {
    let least = least(area);
    let (first, second, last) = (pattern(least, 1), pattern(least + 1, 2), pattern(9, 3));
    let upload = Upload::start(area, "a").await?;
    let nine = upload.part(9, last.clone()).await?;
    let one = upload.part(1, first.clone()).await?;
    let four = upload.part(4, second.clone()).await?;
    same("number of the tag", &nine.number, &9)?;
    let version = upload.complete(&[one, four, nine]).await?;
    area.holds("a", &joined(&[&first, &second, &last])).await?;
    let head = area.store().head(&upload.key).await?;
    same("version", &head.version, &version)?;
    Ok(Outcome::Held)
}

/// Law: the last part has no least size, also if it is the only one.
pub async fn a_single_part_may_be_small(area: &Area<'_>) -> Verdict {
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"tiny")).await?;
    upload.complete(&[part]).await?;
    area.holds("a", b"tiny").await?;
    Ok(Outcome::Held)
}

/// Law: a second upload of a part replaces the first.
pub async fn a_part_sent_again_replaces_the_first(area: &Area<'_>) -> Verdict {
    let upload = Upload::start(area, "a").await?;
    let one = pattern(least(area), 1);
    let first = upload.part(1, one.clone()).await?;
    let old = upload.part(2, Bytes::from_static(b"old")).await?;
    let new = upload.part(2, Bytes::from_static(b"newer")).await?;
    ensure!(old.tag != new.tag, "both have the tag {}", old.tag);
    let stale = upload.complete(&[first.clone(), old]).await;
    fails(
        "completion with a replaced part",
        stale,
        ErrorKind::InvalidRequest,
    )?;
    upload.complete(&[first, new]).await?;
    area.holds("a", &joined(&[&one, &Bytes::from_static(b"newer")]))
        .await?;
    Ok(Outcome::Held)
}

/// Law: until it is complete an upload shows nowhere.
pub async fn nothing_shows_before_completion(area: &Area<'_>) -> Verdict {
    let upload = Upload::start(area, "folder/a").await?;
    let part = upload.part(1, Bytes::from_static(b"x")).await?;
    let head = area.store().head(&upload.key).await;
    fails("head of an upload in progress", head, ErrorKind::NotFound)?;
    same("names", &area.all_names().await?, &Vec::new())?;
    upload.complete(&[part]).await?;
    same(
        "names",
        &area.all_names().await?,
        &vec!["folder/a".to_owned()],
    )?;
    Ok(Outcome::Held)
}

/// Law: completion replaces the object, its version and its metadata; before that the old one stays.
pub async fn completion_replaces_what_is_there(area: &Area<'_>) -> Verdict {
    let before = area.put("a", "before").await?;
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"after")).await?;
    area.holds("a", b"before").await?;
    let after = upload.complete(&[part]).await?;
    ensure!(before != after, "both have the version {after}");
    area.holds("a", b"after").await?;
    Ok(Outcome::Held)
}

/// Law: the object gets the metadata that the upload was started with.
pub async fn metadata_of_the_start_are_kept(area: &Area<'_>) -> Verdict {
    if !area.capabilities().user_metadata {
        return Ok(Outcome::Skipped("the store keeps no user metadata"));
    }
    let metadata = Metadata {
        content_type: Some("video/mp4".to_owned()),
        user: [("file-mtime".to_owned(), "7".to_owned())].into(),
        ..Metadata::default()
    };
    let upload = Upload::start_with(area, "a", metadata.clone()).await?;
    let part = upload.part(1, Bytes::from_static(b"x")).await?;
    upload.complete(&[part]).await?;
    same("metadata", &area.metadata("a").await?, &metadata)?;
    Ok(Outcome::Held)
}

/// Law: an aborted upload takes no parts and completes no more; aborting again succeeds.
pub async fn an_aborted_upload_is_gone(area: &Area<'_>) -> Verdict {
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"x")).await?;
    upload.abort().await?;
    upload.abort().await?;
    let late = upload.part(2, Bytes::from_static(b"x")).await;
    fails("a part of an aborted upload", late, ErrorKind::NotFound)?;
    let late = upload.complete(&[part]).await;
    fails("completion of an aborted upload", late, ErrorKind::NotFound)?;
    let head = area.store().head(&upload.key).await;
    fails("head", head, ErrorKind::NotFound)?;
    Ok(Outcome::Held)
}

/// Law: a completed upload takes no parts; an abort that comes too late succeeds and harms nothing.
pub async fn a_completed_upload_is_gone(area: &Area<'_>) -> Verdict {
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"x")).await?;
    upload.complete(&[part]).await?;
    let late = upload.part(2, Bytes::from_static(b"y")).await;
    fails("a part of a completed upload", late, ErrorKind::NotFound)?;
    upload.abort().await?;
    area.holds("a", b"x").await?;
    Ok(Outcome::Held)
}

/// Law: two uploads of one key are two, and an upload is none of another key.
pub async fn an_upload_belongs_to_its_key(area: &Area<'_>) -> Verdict {
    let one = Upload::start(area, "a").await?;
    let two = Upload::start(area, "a").await?;
    ensure!(one.id != two.id, "both uploads are {:?}", one.id);
    let stray = Upload {
        area,
        key: area.key("b")?,
        id: one.id.clone(),
    };
    let part = stray.part(1, Bytes::from_static(b"x")).await;
    fails("a part under another key", part, ErrorKind::NotFound)?;
    let first = one.part(1, Bytes::from_static(b"one")).await?;
    let second = two.part(1, Bytes::from_static(b"two")).await?;
    two.complete(&[second]).await?;
    area.holds("a", b"two").await?;
    one.complete(&[first]).await?;
    area.holds("a", b"one").await?;
    Ok(Outcome::Held)
}

/// Law: a list that is empty, out of order, of unknown parts or of parts too small is refused; the
/// upload lives on.
pub async fn a_wrong_list_of_parts_is_refused(area: &Area<'_>) -> Verdict {
    let least = least(area);
    let upload = Upload::start(area, "a").await?;
    let one = upload.part(1, pattern(least, 1)).await?;
    let two = upload.part(2, pattern(least, 2)).await?;
    let three = upload.part(3, Bytes::from_static(b"end")).await?;
    let unknown = PartTag {
        number: 7,
        ..three.clone()
    };
    let mistagged = PartTag {
        number: 2,
        tag: "\"00000000000000000000000000000000\"".to_owned(),
    };
    let lists = [
        ("no part", vec![]),
        ("a falling order", vec![two.clone(), one.clone()]),
        ("a part twice", vec![one.clone(), one.clone()]),
        ("a part that was not sent", vec![one.clone(), unknown]),
        ("a wrong tag", vec![one.clone(), mistagged]),
    ];
    for (what, parts) in lists {
        let result = upload.complete(&parts).await;
        fails(what, result, ErrorKind::InvalidRequest)?;
    }
    if least > 1 {
        let small = upload.part(2, Bytes::from_static(b"small")).await?;
        let result = upload.complete(&[one.clone(), small, three.clone()]).await;
        fails(
            "a small part in the middle",
            result,
            ErrorKind::InvalidRequest,
        )?;
    }
    let two = upload.part(2, pattern(least, 2)).await?;
    upload.complete(&[one, two, three]).await?;
    same("names", &area.all_names().await?, &vec!["a".to_owned()])?;
    Ok(Outcome::Held)
}

/// Law: completion can ask that nothing be there, at the moment of completion.
pub async fn completion_can_insist_on_absence(area: &Area<'_>) -> Verdict {
    if !area.capabilities().put_if_absent {
        return Ok(Outcome::Skipped("the store has no put-if-absent"));
    }
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"parts")).await?;
    area.put("a", "meanwhile").await?;
    let parts = [part];
    let late = upload.complete_if(&parts, Precondition::Absent).await;
    fails("completion on top", late, ErrorKind::Precondition)?;
    area.holds("a", b"meanwhile").await?;
    area.delete(&["a"]).await?;
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"again")).await?;
    upload.complete_if(&[part], Precondition::Absent).await?;
    area.holds("a", b"again").await?;
    Ok(Outcome::Held)
}

/// Law: completion can ask for the version to replace.
pub async fn completion_can_insist_on_a_version(area: &Area<'_>) -> Verdict {
    if !area.capabilities().put_if_match {
        return Ok(Outcome::Skipped("the store has no put-if-match"));
    }
    let first = area.put("a", "first").await?;
    let second = area.put("a", "second").await?;
    let matches = |version: Version| Precondition::Matches(version);
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"parts")).await?;
    let late = upload.complete_if(&[part], matches(first)).await;
    fails(
        "completion over an old version",
        late,
        ErrorKind::Precondition,
    )?;
    area.holds("a", b"second").await?;
    let upload = Upload::start(area, "a").await?;
    let part = upload.part(1, Bytes::from_static(b"parts")).await?;
    upload.complete_if(&[part], matches(second)).await?;
    area.holds("a", b"parts").await?;
    Ok(Outcome::Held)
}

/// Law: a part can be a range of an object, also of the one that is being replaced.
pub async fn a_part_can_be_copied(area: &Area<'_>) -> Verdict {
    if !area.capabilities().part_copy {
        return Ok(NO_PART_COPY);
    }
    let least = least(area);
    let old = pattern(2 * least + 100, 1);
    area.put("a", old.clone()).await?;
    let source = CopySource {
        key: area.key("a")?,
        if_match: None,
    };
    let upload = Upload::start(area, "a").await?;
    let from = 50_u64;
    let to = from + least as u64;
    let one = upload.copy(1, source.clone(), from..to).await?;
    let middle = pattern(least, 9);
    let two = upload.part(2, middle.clone()).await?;
    let size = old.len() as u64;
    let three = upload.copy(3, source.clone(), size - 7..size).await?;
    upload.complete(&[one, two, three]).await?;
    let wanted = joined(&[
        &old.slice(50..50 + least),
        &middle,
        &old.slice(old.len() - 7..),
    ]);
    area.holds("a", &wanted).await?;
    let upload = Upload::start(area, "b").await?;
    let missing = CopySource {
        key: area.key("missing")?,
        if_match: None,
    };
    let result = upload.copy(1, missing, 0..1).await;
    fails("a copy of a part of nothing", result, ErrorKind::NotFound)?;
    let result = upload.copy(1, source, 0..1 << 40).await;
    let kinds = [ErrorKind::InvalidRequest, ErrorKind::Range];
    fails_with("a copy over the end", result, &kinds)?;
    upload.abort().await?;
    Ok(Outcome::Held)
}

/// Law: a part copy can ask for the version it reads.
pub async fn a_part_copy_can_insist_on_a_version(area: &Area<'_>) -> Verdict {
    if !area.capabilities().part_copy {
        return Ok(NO_PART_COPY);
    }
    let first = area.put("source", "first").await?;
    let second = area.put("source", "second").await?;
    let of = |version: Version| -> Result<CopySource, Broken> {
        Ok(CopySource {
            key: area.key("source")?,
            if_match: Some(version),
        })
    };
    let upload = Upload::start(area, "a").await?;
    let late = upload.copy(1, of(first)?, 0..5).await;
    fails("a part of an old version", late, ErrorKind::Precondition)?;
    let part = upload.copy(1, of(second)?, 1..4).await?;
    upload.complete(&[part]).await?;
    area.holds("a", b"eco").await?;
    Ok(Outcome::Held)
}

/// Law: parts do not get mixed up when there are many, sent at a time.
pub async fn many_parts(area: &Area<'_>) -> Verdict {
    /// Enough for numbers of one and of two digits; few, as each may need 5 MiB.
    const PARTS: u16 = 11;
    let least = least(area);
    let upload = Upload::start(area, "a").await?;
    let contents: Vec<Bytes> = (1..=PARTS)
        .map(|number| pattern(least + usize::from(number), number.to_le_bytes()[0]))
        .collect();
    let sent = (1..=PARTS)
        .zip(&contents)
        .rev()
        .map(|(number, content)| upload.part(number, content.clone()));
    let mut parts = futures::future::try_join_all(sent).await?;
    parts.reverse();
    upload.complete(&parts).await?;
    area.holds("a", &joined(&contents.iter().collect::<Vec<_>>()))
        .await?;
    Ok(Outcome::Held)
}
