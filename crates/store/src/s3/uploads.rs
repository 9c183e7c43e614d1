//! `multipart_list`: `ListMultipartUploads`, and how its answer is read.

use cloudmount_vfs::Timestamp;
use http::Method;

use super::listing::{Encoded, decode, time};
use super::request::{Request, Sender};
use super::xml::{self, Broken};
use crate::{Key, ListedUpload, Result, UploadId, UploadsPage};

/// The most uploads that S3 puts on one page.
const PAGE_UPLOADS_MAX: &str = "1000";

/// Between the two markers of a token: no upload is called so.
const MARKERS_APART: char = '\n';

/// One page of uploads in progress.
pub(super) async fn list(
    sender: &Sender,
    prefix: &str,
    token: Option<String>,
) -> Result<UploadsPage> {
    // Without `encoding-type`: Ceph RGW 20 encodes the keys then, and does not say so. A key that XML
    // cannot say is passed over.
    let mut wire = Request::new("list the uploads to", Method::GET, None)
        .query("uploads", String::new())
        .query("max-uploads", PAGE_UPLOADS_MAX)
        .query("prefix", prefix);
    if let Some((upload, key)) = token.as_deref().and_then(|t| t.split_once(MARKERS_APART)) {
        wire = wire.query("key-marker", key);
        if !upload.is_empty() {
            wire = wire.query("upload-id-marker", upload);
        }
    }
    let answer = sender.fetch(wire).await?;
    parse(&answer.body).map_err(|_| answer.unusable("the answer is no list of uploads"))
}

/// An entry as far as it has been read.
#[derive(Default)]
struct Entry {
    key: Option<String>,
    upload: Option<String>,
    started: Option<Timestamp>,
}

impl Entry {
    fn listed(self, encoded: Encoded) -> Option<ListedUpload> {
        Some(ListedUpload {
            key: Key::new(decode(self.key?, encoded)?).ok()?,
            upload: UploadId(self.upload?),
            started: self.started?,
        })
    }
}

/// One page. An entry without a key, an id or a time is passed over: nobody could tell whose it is.
///
/// # Errors
/// [`Broken`] if the markup is broken, or the page is cut without a word on how to go on.
fn parse(body: &[u8]) -> std::result::Result<UploadsPage, Broken> {
    let mut entries = Vec::new();
    let mut entry = Entry::default();
    let mut encoded = Encoded::No;
    let mut truncated = false;
    let (mut next_key, mut next_upload) = (None, String::new());
    let root = xml::walk(body, |element| {
        let text = element
            .text
            .filter(|text| !text.is_empty())
            .map(str::to_owned);
        match element.path {
            "Upload/Key" => entry.key = text,
            "Upload/UploadId" => entry.upload = text,
            "Upload/Initiated" => entry.started = text.and_then(|t| time(&t)),
            "Upload" => entries.push(std::mem::take(&mut entry)),
            "EncodingType" if text.as_deref() == Some("url") => encoded = Encoded::Url,
            "IsTruncated" => truncated = text.as_deref() == Some("true"),
            "NextKeyMarker" => next_key = text,
            "NextUploadIdMarker" => next_upload = text.unwrap_or_default(),
            _ => {}
        }
    })?;
    let next = next_key.and_then(|key| decode(key, encoded));
    if root != "ListMultipartUploadsResult" || truncated && next.is_none() {
        return Err(Broken);
    }
    Ok(UploadsPage {
        uploads: entries
            .into_iter()
            .filter_map(|entry| entry.listed(encoded))
            .collect(),
        next: next
            .filter(|_| truncated)
            .map(|key| format!("{next_upload}{MARKERS_APART}{key}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(inner: &str) -> std::result::Result<UploadsPage, Broken> {
        let text = format!("<ListMultipartUploadsResult>{inner}</ListMultipartUploadsResult>");
        parse(text.as_bytes())
    }

    const ONE: &str = "<Upload><Key>a+b%2Fc%0A</Key><UploadId>u&amp;1</UploadId>\
        <Initiator><ID>1</ID></Initiator><Initiated>2010-11-10T20:48:33.500Z</Initiated></Upload>";

    #[test]
    fn amazon_answers() {
        let found = page(&format!(
            "<Bucket>pail</Bucket><KeyMarker></KeyMarker><NextKeyMarker>a+b%2Fc%0A</NextKeyMarker>\
             <NextUploadIdMarker>u&amp;1</NextUploadIdMarker><EncodingType>url</EncodingType>\
             <IsTruncated>true</IsTruncated>{ONE}"
        ));
        let wanted = ListedUpload {
            key: Key::new("a b/c\n").unwrap(),
            upload: UploadId("u&1".to_owned()),
            started: Timestamp::new(1_289_422_113, 500_000_000),
        };
        let found = found.unwrap();
        assert_eq!(found.uploads, [wanted]);
        assert_eq!(found.next.as_deref(), Some("u&1\na b/c\n"));
    }

    #[test]
    fn the_last_page_has_no_next() {
        let markers = "<NextKeyMarker>k</NextKeyMarker><IsTruncated>false</IsTruncated>";
        assert_eq!(page(markers).unwrap(), UploadsPage::default());
    }

    #[test]
    fn odd_entries_do_not_hide_others() {
        for odd in [
            "<Upload><UploadId>u</UploadId><Initiated>2010-11-10T20:48:33Z</Initiated></Upload>",
            "<Upload><Key>k</Key><Initiated>2010-11-10T20:48:33Z</Initiated></Upload>",
            "<Upload><Key>k</Key><UploadId>u</UploadId></Upload>",
            "<Upload><Key>k</Key><UploadId>u</UploadId><Initiated>soon</Initiated></Upload>",
        ] {
            let found = page(&format!("{odd}{ONE}")).unwrap();
            assert_eq!(found.uploads.len(), 1, "{odd}");
            assert_eq!(found.uploads[0].key.as_str(), "a+b%2Fc%0A");
        }
    }

    #[test]
    fn useless_answers_are_told() {
        assert!(page("<IsTruncated>true</IsTruncated>").is_err());
        assert!(parse(b"<ListBucketResult/>").is_err());
        assert!(parse(b"<ListMultipartUploadsResult>").is_err());
    }
}
