//! Uploads in parts.

use cloudmount_store::{ErrorKind, Key, PartTag, PutOptions, UploadId};

use super::objects::{copied, source};
use super::{Answer, BUCKET, Inner, Refusal, document, headers, xml};
use crate::loopback::{Request, Response};

pub(super) async fn start(server: &Inner, key: &Key, request: &Request) -> Answer {
    let options = PutOptions {
        metadata: headers::metadata(request)?,
        ..PutOptions::default()
    };
    let upload = server.store.multipart_start(key, &options).await?;
    let mut inner = String::new();
    xml::element(&mut inner, "Bucket", BUCKET);
    xml::element(&mut inner, "UploadId", &upload.0);
    let xml = xml::document("InitiateMultipartUploadResult", &inner);
    Ok(document(xml))
}

pub(super) async fn put_part(server: &Inner, key: &Key, upload: &str, request: &Request) -> Answer {
    let number = request.parameter("partNumber");
    let number: u16 = number
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Refusal::new(400, "InvalidArgument", "no number of a part"))?;
    let upload = UploadId(upload.to_owned());
    let Some(source) = source(request)? else {
        let payload = request.body.clone().into();
        let part = (server.store)
            .multipart_put(key, &upload, number, payload)
            .await
            .map_err(of_upload)?;
        return Ok(Response::new(200).header("ETag", part.tag));
    };
    let range = match request.header("x-amz-copy-source-range") {
        Some(text) => headers::range(text)
            .ok_or_else(|| Refusal::new(400, "InvalidArgument", "no range of the source"))?,
        None => 0..server.store.head(&source.key).await?.size,
    };
    let part = (server.store)
        .multipart_copy(key, &upload, number, source, range)
        .await?;
    Ok(document(copied("CopyPartResult", &part.tag)))
}

pub(super) async fn complete(server: &Inner, key: &Key, upload: &str, request: &Request) -> Answer {
    let malformed = || Refusal::new(400, "MalformedXML", "no list of parts");
    let text = std::str::from_utf8(&request.body).map_err(|_| malformed())?;
    let part = |part: &&str| {
        Some(PartTag {
            number: xml::text_of(part, "PartNumber")?.parse().ok()?,
            tag: xml::text_of(part, "ETag")?,
        })
    };
    let parts: Option<Vec<PartTag>> = xml::all_of(text, "Part").iter().map(part).collect();
    let precondition = headers::precondition(request)?;
    let upload = UploadId(upload.to_owned());
    let version = (server.store)
        .multipart_complete(key, &upload, &parts.ok_or_else(malformed)?, precondition)
        .await
        .map_err(of_upload)?;
    Ok(document(copied(
        "CompleteMultipartUploadResult",
        version.as_str(),
    )))
}

pub(super) async fn abort(server: &Inner, key: &Key, upload: &str) -> Answer {
    let upload = UploadId(upload.to_owned());
    server.store.multipart_abort(key, &upload).await?;
    Ok(Response::new(204))
}

/// What is not found is the upload.
fn of_upload(error: cloudmount_store::Error) -> Refusal {
    if error.kind() == ErrorKind::NotFound {
        return Refusal::new(404, "NoSuchUpload", error.to_string());
    }
    error.into()
}
