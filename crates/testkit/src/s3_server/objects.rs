//! Objects: one at a time, and removals of many.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use cloudmount_store::{
    CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, GetOptions, Key, Metadata, PutOptions,
    Removal, Tags, Version,
};
use futures::StreamExt;
use md5::{Digest, Md5};

use super::{Answer, BUCKET, Inner, Refusal, document, headers, xml};
use crate::Dialect;
use crate::loopback::{Request, Response, decoded};

pub(super) async fn head(server: &Inner, key: &Key) -> Answer {
    let meta = server.store.head(key).await?;
    let response = Response::new(200).header("Content-Length", meta.size.to_string());
    Ok(headers::tell(response, &meta))
}

pub(super) async fn get(server: &Inner, key: &Key, request: &Request) -> Answer {
    let range = request.header("range").and_then(headers::range_to_read);
    let options = GetOptions {
        range: range.clone(),
        if_match: headers::version(request, "if-match"),
    };
    let mut found = server.store.get(key, options).await?;
    let mut body = BytesMut::new();
    while let Some(piece) = found.body.next().await {
        body.extend_from_slice(&piece?);
    }
    let response = if range.is_some() {
        let (first, last) = (found.range.start, found.range.end.saturating_sub(1));
        let told = format!("bytes {first}-{last}/{}", found.meta.size);
        Response::new(206).header("Content-Range", told)
    } else {
        Response::new(200)
    };
    Ok(headers::tell(response, &found.meta).body(body.freeze()))
}

pub(super) async fn tags(server: &Inner, key: &Key) -> Answer {
    let mut inner = String::new();
    for (name, value) in server.store.tags(key).await? {
        let mut tag = String::new();
        xml::element(&mut tag, "Key", &name);
        xml::element(&mut tag, "Value", &value);
        inner.push_str(&format!("<Tag>{tag}</Tag>"));
    }
    let inner = format!("<TagSet>{inner}</TagSet>");
    Ok(document(xml::document("Tagging", &inner)))
}

pub(super) async fn put(server: &Inner, key: &Key, request: &Request) -> Answer {
    if let Some(source) = source(request)? {
        return copy(server, source, key, request).await;
    }
    let options = PutOptions {
        precondition: headers::precondition(request)?,
        metadata: headers::metadata(request)?,
    };
    let version = (server.store)
        .put(key, request.body.clone().into(), options)
        .await?;
    Ok(Response::new(200).header("ETag", version.as_str()))
}

async fn copy(server: &Inner, source: CopySource, to: &Key, request: &Request) -> Answer {
    let replaces = |header: &str| request.header(header) == Some("REPLACE");
    let mut given = headers::metadata(request)?;
    if replaces("x-amz-tagging-directive") {
        given.tags = match given.tags {
            Tags::None => Tags::These(Box::default()),
            tags => tags,
        };
    } else {
        given.tags = Tags::None;
    }
    let metadata = if replaces("x-amz-metadata-directive") {
        CopyMetadata::Replace(given)
    } else if given.tags == Tags::None {
        CopyMetadata::Keep
    } else {
        // Other tags and the metadata of the source.
        let there = server.store.head(&source.key).await?;
        CopyMetadata::Replace(Metadata {
            tags: given.tags,
            ..there.metadata
        })
    };
    let options = CopyOptions {
        metadata,
        precondition: headers::precondition(request)?,
        source_bytes: None,
    };
    let version = server.store.copy(source, to, options).await?;
    Ok(document(copied("CopyObjectResult", version.as_str())))
}

/// What a copy answers with.
pub(super) fn copied(root: &str, tag: &str) -> String {
    let mut inner = String::new();
    xml::element(&mut inner, "ETag", tag);
    xml::document(root, &inner)
}

/// Where a copy is to come from; `None`: it is none.
pub(super) fn source(request: &Request) -> Result<Option<CopySource>, Refusal> {
    let Some(path) = request.header("x-amz-copy-source") else {
        return Ok(None);
    };
    let unfit = || Refusal::new(400, "InvalidArgument", "the source of a copy");
    let path = path.strip_prefix('/').unwrap_or(path);
    let key = path
        .strip_prefix(BUCKET)
        .and_then(|rest| rest.strip_prefix('/'));
    let key = key.and_then(decoded).and_then(|key| Key::new(key).ok());
    Ok(Some(CopySource {
        key: key.ok_or_else(unfit)?,
        if_match: headers::version(request, "x-amz-copy-source-if-match"),
    }))
}

pub(super) async fn delete(server: &Inner, key: &Key, request: &Request) -> Answer {
    let answers = match headers::version(request, "if-match") {
        None => server.store.delete(std::slice::from_ref(key)).await?,
        Some(version) => {
            let key = key.clone();
            server.store.delete_if(&[Removal { key, version }]).await?
        }
    };
    for answer in answers {
        answer?;
    }
    Ok(Response::new(204))
}

pub(super) async fn delete_many(server: &Inner, request: &Request) -> Answer {
    if server.dialect == Dialect::NeedsMd5 {
        server.met.fetch_add(1, Ordering::Relaxed);
        let wanted = BASE64.encode(Md5::digest(&request.body));
        match request.header("content-md5") {
            Some(told) if told == wanted => {}
            Some(_) => return Err(Refusal::new(400, "BadDigest", "Content-MD5 is another")),
            None => {
                return Err(Refusal::new(
                    400,
                    "InvalidRequest",
                    "Content-MD5 is missing",
                ));
            }
        }
    }
    let malformed = || Refusal::new(400, "MalformedXML", "no list of objects");
    let text = std::str::from_utf8(&request.body).map_err(|_| malformed())?;
    let mut errors = String::new();
    for object in xml::all_of(text, "Object") {
        let key = xml::text_of(object, "Key").ok_or_else(malformed)?;
        let key = Key::new(key).map_err(|_| malformed())?;
        let tag = xml::text_of(object, "ETag");
        if let Err(error) = delete_one(server, &key, tag).await {
            let refusal = Refusal::from(error);
            let mut inner = String::new();
            xml::element(&mut inner, "Key", key.as_str());
            xml::element(&mut inner, "Code", refusal.code);
            xml::element(&mut inner, "Message", &refusal.message);
            errors.push_str(&format!("<Error>{inner}</Error>"));
        }
    }
    Ok(document(xml::document("DeleteResult", &errors)))
}

async fn delete_one(server: &Inner, key: &Key, tag: Option<String>) -> Result<(), Error> {
    let answers = match tag {
        None => server.store.delete(std::slice::from_ref(key)).await?,
        Some(tag) => {
            let (key, version) = (key.clone(), Version::new(tag));
            server.store.delete_if(&[Removal { key, version }]).await?
        }
    };
    let none = || Err(Error::new(ErrorKind::Io, "a removal without an answer"));
    answers.into_iter().next().unwrap_or_else(none)
}
