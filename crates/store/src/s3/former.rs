//! `get_former`: `ListObjectVersions`, and `GetObject` with the id that it tells.

use std::ops::Range;

use http::Method;

use super::listing::{Encoded, decode};
use super::read;
use super::request::{Request, Sender};
use super::xml::{self, Broken};
use crate::{Error, ErrorKind, GetOptions, GetResult, Key, Result, Version};

/// Versions that are looked through: one page, the newest first. What is asked for was the current one a
/// moment ago.
const VERSIONS_MAX: &str = "1000";

/// What S3 calls the version that was written before the bucket kept any.
const NO_ID: &str = "null";

/// Reads a former version that has the tag of `version`.
pub(super) async fn get(
    sender: &Sender,
    key: &Key,
    version: &Version,
    range: Option<Range<u64>>,
) -> Result<GetResult> {
    let list = Request::new("list the versions of", Method::GET, None)
        .query("versions", String::new())
        .query("max-keys", VERSIONS_MAX)
        .query("prefix", key.as_str());
    let answer = sender.fetch(list).await?;
    let found = parse(&answer.body, key, version)
        .map_err(|_| answer.unusable("the answer is no list of versions"))?;
    let id = found.ok_or_else(|| {
        let context = format!("read a former version of {key:?}: there is none with that tag");
        Error::new(ErrorKind::NotFound, context)
    })?;
    let request = Request::new("read a former version of", Method::GET, Some(key));
    let options = GetOptions {
        range,
        if_match: Some(version.clone()),
    };
    read::send(sender, request.query("versionId", id), options).await
}

/// An entry as far as it has been read.
#[derive(Default)]
struct Entry {
    key: Option<String>,
    id: Option<String>,
    tag: Option<String>,
}

/// The id of the newest version of `key` with that tag.
///
/// # Errors
/// [`Broken`] if the markup is broken, or it is another document.
fn parse(body: &[u8], key: &Key, version: &Version) -> std::result::Result<Option<String>, Broken> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    let mut encoded = Encoded::No;
    let root = xml::walk(body, |element| {
        let text = element
            .text
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        match element.path {
            "Version/Key" => entry.key = text,
            "Version/VersionId" => entry.id = text,
            "Version/ETag" => entry.tag = text,
            "Version" => entries.push(std::mem::take(&mut entry)),
            "EncodingType" if text.as_deref() == Some("url") => encoded = Encoded::Url,
            _ => {}
        }
    })?;
    // Ceph RGW and Amazon say `ListVersionsResult`, moto and MinIO too.
    if root != "ListVersionsResult" {
        return Err(Broken);
    }
    let bare = |tag: &str| tag.trim_matches('"').to_owned();
    let is_it = |entry: &Entry| {
        let name = entry.key.clone().and_then(|name| decode(name, encoded));
        name.as_deref() == Some(key.as_str())
            && entry.tag.as_deref().map(bare) == Some(bare(version.as_str()))
    };
    Ok((entries.into_iter())
        .find(is_it)
        .map(|entry| entry.id.unwrap_or_else(|| NO_ID.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_with_that_tag_is_found() {
        let body = "<ListVersionsResult><EncodingType>url</EncodingType>\
            <Version><Key>a+b</Key><VersionId>3</VersionId><ETag>&quot;new&quot;</ETag></Version>\
            <DeleteMarker><Key>a+b</Key><VersionId>4</VersionId></DeleteMarker>\
            <Version><Key>a+bc</Key><VersionId>5</VersionId><ETag>&quot;old&quot;</ETag></Version>\
            <Version><Key>a+b</Key><VersionId>2</VersionId><ETag>&quot;old&quot;</ETag></Version>\
            <Version><Key>a+b</Key><VersionId>1</VersionId><ETag>&quot;old&quot;</ETag></Version>\
            <Version><Key>a+b</Key><ETag>bare</ETag></Version></ListVersionsResult>";
        let key = Key::new("a b").unwrap();
        let find = |tag: &str| parse(body.as_bytes(), &key, &Version::new(tag)).unwrap();
        assert_eq!(find("\"old\"").as_deref(), Some("2"));
        assert_eq!(find("\"new\"").as_deref(), Some("3"));
        assert_eq!(find("\"bare\"").as_deref(), Some("null"));
        assert_eq!(find("\"never\""), None);
        assert!(parse(b"<ListBucketResult/>", &key, &Version::new("a")).is_err());
    }
}
