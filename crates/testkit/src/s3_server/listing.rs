//! Listings of objects, and of uploads in parts.

use cloudmount_store::ListRequest;

use super::{Answer, Inner, Refusal, document, headers, xml};
use crate::loopback::{Request, decoded, encoded};

/// Between the number of an upload and its key, in what the store gives to go on with.
const MARKERS_APART: char = ' ';

pub(super) async fn list(server: &Inner, request: &Request) -> Answer {
    let of = |name: &str| request.parameter(name).map(str::to_owned);
    let limit = match request.parameter("max-keys").map(str::parse) {
        None => None,
        Some(Ok(limit)) => Some(limit),
        Some(Err(_)) => return Err(Refusal::new(400, "InvalidArgument", "max-keys")),
    };
    let page = (server.store)
        .list(ListRequest {
            prefix: of("prefix").unwrap_or_default(),
            by_folder: request.parameter("delimiter") == Some("/"),
            start_after: of("start-after"),
            token: (request.parameter("continuation-token")).and_then(decoded),
            limit,
        })
        .await?;
    let mut inner = String::new();
    for object in &page.objects {
        let mut entry = String::new();
        xml::element(&mut entry, "Key", &encoded(object.key.as_str()));
        let modified = headers::document_date(object.modified);
        xml::element(&mut entry, "LastModified", &modified);
        if let Some(version) = &object.version {
            xml::element(&mut entry, "ETag", version.as_str());
        }
        xml::element(&mut entry, "Size", &object.size.to_string());
        inner.push_str(&format!("<Contents>{entry}</Contents>"));
    }
    for prefix in &page.prefixes {
        let mut entry = String::new();
        xml::element(&mut entry, "Prefix", &encoded(prefix));
        inner.push_str(&format!("<CommonPrefixes>{entry}</CommonPrefixes>"));
    }
    xml::element(&mut inner, "EncodingType", "url");
    xml::element(&mut inner, "IsTruncated", &page.next.is_some().to_string());
    if let Some(next) = &page.next {
        // The store's tokens may hold what XML cannot say.
        xml::element(&mut inner, "NextContinuationToken", &encoded(next));
    }
    Ok(document(xml::document("ListBucketResult", &inner)))
}

pub(super) async fn uploads(server: &Inner, request: &Request) -> Answer {
    let of = |name: &str| request.parameter(name).unwrap_or_default();
    let token = request
        .parameter("key-marker")
        .map(|key| format!("{}{MARKERS_APART}{key}", of("upload-id-marker")));
    let page = server.store.multipart_list(of("prefix"), token).await?;
    let mut inner = String::new();
    for upload in &page.uploads {
        let mut entry = String::new();
        xml::element(&mut entry, "Key", &encoded(upload.key.as_str()));
        xml::element(&mut entry, "UploadId", &upload.upload.0);
        let started = headers::document_date(upload.started);
        xml::element(&mut entry, "Initiated", &started);
        inner.push_str(&format!("<Upload>{entry}</Upload>"));
    }
    xml::element(&mut inner, "EncodingType", "url");
    xml::element(&mut inner, "IsTruncated", &page.next.is_some().to_string());
    if let Some((upload, key)) = page
        .next
        .as_deref()
        .and_then(|n| n.split_once(MARKERS_APART))
    {
        xml::element(&mut inner, "NextKeyMarker", &encoded(key));
        xml::element(&mut inner, "NextUploadIdMarker", upload);
    }
    Ok(document(xml::document(
        "ListMultipartUploadsResult",
        &inner,
    )))
}
