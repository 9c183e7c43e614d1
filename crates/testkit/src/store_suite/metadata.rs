//! Laws of what travels with an object.

use std::collections::BTreeMap;

use cloudmount_store::{GetOptions, Metadata, PutOptions};

use super::verdict::same;
use super::{Area, Outcome, Verdict};

const NO_METADATA: Outcome = Outcome::Skipped("the store keeps no user metadata");

fn with(metadata: Metadata) -> PutOptions {
    PutOptions {
        metadata,
        ..PutOptions::default()
    }
}

fn user<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    pairs.into_iter().map(owned).collect()
}

/// Law: headers and user metadata come back from head and from get.
pub async fn everything_given_comes_back(area: &Area<'_>) -> Verdict {
    if !area.capabilities().user_metadata {
        return Ok(NO_METADATA);
    }
    let metadata = Metadata {
        content_type: Some("text/x-rust; charset=utf-8".to_owned()),
        cache_control: Some("max-age=60".to_owned()),
        content_disposition: Some("attachment; filename=\"a b.txt\"".to_owned()),
        content_encoding: Some("identity".to_owned()),
        content_language: Some("en".to_owned()),
        user: user([
            ("file-mtime", "1700000000123456789ns"),
            ("file-owner", "1000"),
        ]),
        ..Metadata::default()
    };
    area.put_with("a", "x", with(metadata.clone())).await?;
    same("metadata of head", &area.metadata("a").await?, &metadata)?;
    let key = area.key("a")?;
    let result = area.store().get(&key, GetOptions::default()).await?;
    same("metadata of get", &result.meta.metadata, &metadata)?;
    Ok(Outcome::Held)
}

/// Law: a value is not trimmed of what is inside it, decoded or folded.
pub async fn values_come_back_as_they_were(area: &Area<'_>) -> Verdict {
    if !area.capabilities().user_metadata {
        return Ok(NO_METADATA);
    }
    let pairs = user([
        ("spaces", "a  b   c"),
        ("percent", "100%25 %2F"),
        ("quotes", "\"'\\"),
        ("json", "{\"a\": [1, 2], \"b\": null}"),
        ("equals", "a=b&c=d;e,f"),
        ("case", "MiXeD"),
        ("with-dash_and.dot", "1"),
    ]);
    let metadata = Metadata {
        user: pairs.clone(),
        ..Metadata::default()
    };
    area.put_with("a", "x", with(metadata)).await?;
    same("user metadata", &area.metadata("a").await?.user, &pairs)?;
    Ok(Outcome::Held)
}

/// Law: as much user metadata as S3 takes is kept.
pub async fn two_kibibytes_of_user_metadata_are_kept(area: &Area<'_>) -> Verdict {
    const NAMES: usize = 16;
    const EACH: usize = 2048 / NAMES;
    if !area.capabilities().user_metadata {
        return Ok(NO_METADATA);
    }
    let pairs: BTreeMap<String, String> = (0..NAMES)
        .map(|n| {
            let name = format!("name-{n:02}");
            let value = "v".repeat(EACH - name.len());
            (name, value)
        })
        .collect();
    let metadata = Metadata {
        user: pairs.clone(),
        ..Metadata::default()
    };
    area.put_with("a", "x", with(metadata)).await?;
    same("user metadata", &area.metadata("a").await?.user, &pairs)?;
    Ok(Outcome::Held)
}

/// Law: a write replaces metadata whole, also by none.
pub async fn a_rewrite_forgets_the_old_metadata(area: &Area<'_>) -> Verdict {
    if !area.capabilities().user_metadata {
        return Ok(NO_METADATA);
    }
    let of = |pairs| {
        with(Metadata {
            content_type: Some("text/plain".to_owned()),
            user: pairs,
            ..Metadata::default()
        })
    };
    area.put_with("a", "1", of(user([("one", "1"), ("both", "1")])))
        .await?;
    area.put_with("a", "2", of(user([("two", "2"), ("both", "2")])))
        .await?;
    let wanted = user([("two", "2"), ("both", "2")]);
    same("after a rewrite", &area.metadata("a").await?.user, &wanted)?;
    area.put("a", "3").await?;
    let found = area.metadata("a").await?;
    same("after a bare rewrite", &found.user, &BTreeMap::new())?;
    let stale = found.content_type.as_deref() == Some("text/plain");
    same("the old content type is still there", &stale, &false)?;
    Ok(Outcome::Held)
}

/// Law: no header that was not given appears, but for a default content type.
pub async fn unwanted_metadata_are_not_invented(area: &Area<'_>) -> Verdict {
    area.put("a", "x").await?;
    let mut found = area.metadata("a").await?;
    found.content_type = None;
    same("metadata", &found, &Metadata::default())?;
    Ok(Outcome::Held)
}
