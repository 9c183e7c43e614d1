//! Reads the answer of `ListObjectsV2`.

use chrono::DateTime;
use cloudmount_vfs::Timestamp;

use super::encode;
use super::xml::{self, Broken};
use crate::wire::version;
use crate::{Key, ListPage, ListedObject, Version};

/// An entry as far as it has been read.
#[derive(Default)]
struct Entry {
    key: Option<String>,
    size: Option<u64>,
    tag: Option<Version>,
    modified: Option<Timestamp>,
}

/// One page. An entry whose key is no [`Key`], or that has no size, is passed over.
///
/// # Errors
/// [`Broken`] if the markup is broken, or the page is cut without a word on how to go on.
pub(super) fn parse(body: &[u8]) -> Result<ListPage, Broken> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    let mut prefixes = Vec::new();
    let mut encoded = Encoded::No;
    let mut truncated = false;
    let mut next = None;
    let root = xml::walk(body, |element| {
        let text = element.text;
        let owned = || text.map(str::to_owned);
        match element.path {
            "Contents/Key" => entry.key = owned(),
            "Contents/Size" => entry.size = text.and_then(|t| t.trim().parse().ok()),
            "Contents/ETag" => entry.tag = text.filter(|t| !t.is_empty()).map(version),
            "Contents/LastModified" => entry.modified = text.and_then(time),
            "Contents" => entries.push(std::mem::take(&mut entry)),
            "CommonPrefixes/Prefix" => prefixes.extend(owned()),
            "EncodingType" if text == Some("url") => encoded = Encoded::Url,
            "IsTruncated" => truncated = text == Some("true"),
            "NextContinuationToken" => next = owned().filter(|t| !t.is_empty()),
            _ => {}
        }
    })?;
    if root != "ListBucketResult" || truncated && next.is_none() {
        return Err(Broken);
    }
    Ok(ListPage {
        objects: entries
            .into_iter()
            .filter_map(|e| object(e, encoded))
            .collect(),
        prefixes: prefixes
            .into_iter()
            .filter_map(|p| decode(p, encoded))
            .collect(),
        next: next.filter(|_| truncated),
    })
}

/// Whether keys are percent-encoded.
#[derive(Clone, Copy)]
pub(super) enum Encoded {
    No,
    Url,
}

pub(super) fn decode(text: String, encoded: Encoded) -> Option<String> {
    match encoded {
        Encoded::No => Some(text),
        Encoded::Url => encode::listed(text),
    }
}

fn object(entry: Entry, encoded: Encoded) -> Option<ListedObject> {
    Some(ListedObject {
        key: Key::new(decode(entry.key?, encoded)?).ok()?,
        size: entry.size?,
        version: entry.tag,
        modified: entry.modified.unwrap_or_default(),
    })
}

/// A time as listings have it: `2009-10-12T17:50:30.000Z`.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let time = DateTime::parse_from_rfc3339(text.trim()).ok()?;
    Some(Timestamp::new(
        time.timestamp(),
        time.timestamp_subsec_nanos(),
    ))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn page(inner: &str) -> Result<ListPage, Broken> {
        parse(format!("<ListBucketResult>{inner}</ListBucketResult>").as_bytes())
    }

    #[test]
    fn amazon_answers() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>pail</Name><Prefix></Prefix>
<NextContinuationToken>1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=</NextContinuationToken>
<KeyCount>3</KeyCount><MaxKeys>3</MaxKeys><Delimiter>/</Delimiter><EncodingType>url</EncodingType>
<IsTruncated>true</IsTruncated><Contents><Key>a+b%2Fc%0A</Key>
<LastModified>2009-10-12T17:50:30.500Z</LastModified><ETag>&quot;fba9&quot;</ETag><Size>434234</Size>
<Owner><ID>1</ID><DisplayName>me</DisplayName></Owner><StorageClass>STANDARD</StorageClass></Contents>
<Contents><Key>bare</Key><Size>0</Size></Contents>
<CommonPrefixes><Prefix>photos%2B/</Prefix></CommonPrefixes></ListBucketResult>"#;
        let page = parse(xml.as_bytes()).unwrap();
        assert_eq!(
            page.next.as_deref(),
            Some("1ueGcxLPRx1Tr/XYExHnhbYLgveDs2J/wm36Hy4vbOwM=")
        );
        assert_eq!(page.prefixes, ["photos+/"]);
        assert_eq!(
            page.objects,
            [
                ListedObject {
                    key: Key::new("a b/c\n").unwrap(),
                    size: 434_234,
                    version: Some(version("\"fba9\"")),
                    modified: Timestamp::new(1_255_369_830, 500_000_000),
                },
                ListedObject {
                    key: Key::new("bare").unwrap(),
                    size: 0,
                    version: None,
                    modified: Timestamp::EPOCH,
                }
            ]
        );
    }

    #[test]
    fn without_encoding_nothing_is_decoded() {
        let page = page("<Contents><Key>a+b%41</Key><Size>1</Size></Contents>").unwrap();
        assert_eq!(page.objects[0].key.as_str(), "a+b%41");
    }

    #[test]
    fn odd_entries_do_not_hide_others() {
        let long = "x".repeat(1025);
        for odd in [
            "<Contents><Key></Key><Size>1</Size></Contents>".to_owned(),
            format!("<Contents><Key>{long}</Key><Size>1</Size></Contents>"),
            "<Contents><Key>%FF</Key><Size>1</Size></Contents>".to_owned(),
            "<Contents><Key>&#0;</Key><Size>1</Size></Contents>".to_owned(),
            "<Contents><Key>k</Key><Size>many</Size></Contents>".to_owned(),
            "<Contents><Size>1</Size></Contents>".to_owned(),
            "<CommonPrefixes><Prefix>%FF/</Prefix></CommonPrefixes>".to_owned(),
        ] {
            let good = "<Contents><Key>good</Key><Size>7</Size></Contents>";
            let page = page(&format!("<EncodingType>url</EncodingType>{odd}{good}")).unwrap();
            assert_eq!(page.objects.len(), 1, "{odd}");
            assert_eq!(page.objects[0].key.as_str(), "good");
            assert!(page.prefixes.is_empty());
        }
    }

    #[test]
    fn useless_answers_are_told() {
        assert!(page("<IsTruncated>true</IsTruncated>").is_err());
        assert!(parse(b"<html></html>").is_err());
        assert!(parse(b"<ListBucketResult>").is_err());
    }

    proptest! {
        #[test]
        fn listings_round_trip(
            keys in proptest::collection::vec((any::<String>(), any::<u64>()), 0..20),
            plus in any::<bool>(),
        ) {
            let keys: Vec<_> = keys
                .into_iter()
                .filter_map(|(key, size)| Some((Key::new(key).ok()?, size)))
                .collect();
            let mut xml = "<ListBucketResult><EncodingType>url</EncodingType>".to_owned();
            for (key, size) in &keys {
                let mut wire = encode::query(key.as_str()).to_string();
                if plus {
                    wire = wire.replace("%20", "+");
                }
                write!(xml, "<Contents><Key>{wire}</Key><Size>{size}</Size></Contents>").unwrap();
            }
            xml.push_str("</ListBucketResult>");
            let page = parse(xml.as_bytes()).unwrap();
            let read: Vec<_> = page.objects.into_iter().map(|o| (o.key, o.size)).collect();
            prop_assert_eq!(read, keys);
        }
    }
}
