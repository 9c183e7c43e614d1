//! Multipart uploads.

use std::fmt::Write as _;
use std::ops::Range;

use http::Method;
use http::header::HeaderName;

use super::copy::put_source;
use super::read::range_header;
use super::request::{Request, Sender};
use super::write::{check_precondition, nothing_to_match};
use super::{headers, read, work, xml};
use crate::rules::check_tags;
use crate::wire::version;
use crate::{
    Capabilities, CopySource, Error, ErrorKind, Key, PartTag, Payload, Precondition, PutOptions,
    Result, UploadId, Version,
};

const SOURCE_RANGE: HeaderName = HeaderName::from_static("x-amz-copy-source-range");

/// `CreateMultipartUpload`.
pub(super) async fn start(
    sender: &Sender,
    capabilities: &Capabilities,
    key: &Key,
    options: &PutOptions,
) -> Result<UploadId> {
    check_tags(capabilities, &options.metadata)?;
    let mut request =
        Request::new("begin to write", Method::POST, Some(key)).query("uploads", String::new());
    headers::put_metadata(&mut request.headers, &options.metadata)?;
    headers::put_tags(&mut request.headers, &options.metadata.tags)?;
    let answer = sender.fetch(request).await?;
    answer.element("UploadId").map(UploadId)
}

/// `UploadPart`.
pub(super) async fn put_part(
    sender: &Sender,
    key: &Key,
    upload: &UploadId,
    number: u16,
    payload: Payload,
) -> Result<PartTag> {
    let request = part("write a part of", Method::PUT, key, upload, number).content(payload);
    let tag = sender.fetch(request).await?.tag()?;
    Ok(PartTag { number, tag })
}

/// `UploadPartCopy`.
pub(super) async fn copy_part(
    sender: &Sender,
    key: &Key,
    upload: &UploadId,
    number: u16,
    source: CopySource,
    range: Range<u64>,
) -> Result<PartTag> {
    let work = work::to_copy(Some(range.end.saturating_sub(range.start)));
    let mut request = part("copy a part of", Method::PUT, key, upload, number).patient(work);
    put_source(sender, &mut request, &source)?;
    let value = range_header(&range).ok_or_else(|| {
        let context = format!("copy a part of {key:?}: the range {range:?} is empty");
        Error::new(ErrorKind::InvalidRequest, context)
    })?;
    let request = request.header(SOURCE_RANGE, value);
    let tag = sender.fetch(request).await?.element("ETag")?;
    check_source(sender, &source).await?;
    Ok(PartTag { number, tag })
}

/// Makes sure that the source of a copied part was the version asked for.
///
/// Several stores (Ceph RGW 20 among them) pass over `x-amz-copy-source-if-match` on
/// `UploadPartCopy`, so that a file could be joined from two versions. If the version asked for is
/// still there after the copy, the copy read that version.
async fn check_source(sender: &Sender, source: &CopySource) -> Result<()> {
    let Some(asked) = source
        .if_match
        .as_ref()
        .filter(|_| !sender.endpoint.is_amazon())
    else {
        return Ok(());
    };
    let found = read::head(sender, &source.key).await;
    match found.map(|meta| meta.version) {
        Ok(version) if version == *asked => Ok(()),
        Ok(version) => {
            let context = format!(
                "copy a part of {:?}: version {version} is there",
                source.key
            );
            Err(Error::new(ErrorKind::Precondition, context))
        }
        Err(error) => Err(error),
    }
}

/// `CompleteMultipartUpload`.
pub(super) async fn complete(
    sender: &Sender,
    capabilities: &Capabilities,
    key: &Key,
    upload: &UploadId,
    parts: &[PartTag],
    precondition: Precondition,
) -> Result<Version> {
    check_precondition(capabilities, &precondition, key)?;
    let mut request = Request::new("finish writing", Method::POST, Some(key))
        .query("uploadId", upload.0.clone())
        .document(parts_document(parts))
        .patient(work::to_join(parts.len()));
    headers::put_precondition(&mut request.headers, &precondition)?;
    let answer = sender.fetch(request).await;
    let answer = answer.map_err(|trouble| nothing_to_match(trouble, &precondition, key))?;
    answer.element("ETag").map(|tag| version(&tag))
}

/// `AbortMultipartUpload`.
pub(super) async fn abort(sender: &Sender, key: &Key, upload: &UploadId) -> Result<()> {
    let request = Request::new("give up writing", Method::DELETE, Some(key))
        .query("uploadId", upload.0.clone());
    match sender.fetch(request).await {
        Err(trouble) if trouble.error.kind() != ErrorKind::NotFound => Err(trouble.error),
        _ => Ok(()),
    }
}

fn part(
    action: &'static str,
    method: Method,
    key: &Key,
    upload: &UploadId,
    number: u16,
) -> Request {
    Request::new(action, method, Some(key))
        .query("partNumber", number.to_string())
        .query("uploadId", upload.0.clone())
}

fn parts_document(parts: &[PartTag]) -> String {
    let mut xml =
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">".to_owned();
    for part in parts {
        let (number, tag) = (part.number, xml::escape(&part.tag));
        let _ = write!(
            xml,
            "<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
        );
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml
}
