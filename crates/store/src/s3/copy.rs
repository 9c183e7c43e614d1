//! `copy`: `CopyObject`.

use http::Method;
use http::header::{HeaderName, HeaderValue};

use super::headers;
use super::request::{Request, Sender};
use crate::wire::version;
use crate::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, Key, Precondition,
    Result, Version,
};

const SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const SOURCE_IF_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
const DIRECTIVE: HeaderName = HeaderName::from_static("x-amz-metadata-directive");

pub(super) async fn copy(
    sender: &Sender,
    capabilities: &Capabilities,
    source: CopySource,
    to: &Key,
    options: CopyOptions,
) -> Result<Version> {
    if options.precondition != Precondition::None && !capabilities.copy_if {
        let context = format!("copy to {to:?}: this endpoint checks no precondition on copies");
        return Err(Error::new(ErrorKind::Unsupported, context));
    }
    let mut request = Request::new("copy to", Method::PUT, Some(to)).patient();
    put_source(sender, &mut request, &source)?;
    let directive = match &options.metadata {
        CopyMetadata::Keep => "COPY",
        CopyMetadata::Replace(metadata) => {
            headers::put_metadata(&mut request.headers, metadata)?;
            "REPLACE"
        }
    };
    headers::put_precondition(&mut request.headers, &options.precondition)?;
    let request = request.header(DIRECTIVE, HeaderValue::from_static(directive));
    let answer = sender.fetch(request).await?;
    answer.element("ETag").map(|tag| version(&tag))
}

/// Adds the headers that say where a copy reads.
pub(super) fn put_source(
    sender: &Sender,
    request: &mut Request,
    source: &CopySource,
) -> Result<()> {
    let path = sender.endpoint.copy_source(source.key.as_str());
    let path = HeaderValue::try_from(path).map_err(|source| {
        Error::new(ErrorKind::InvalidRequest, "source of a copy").with_source(source)
    })?;
    request.headers.insert(SOURCE, path);
    if let Some(version) = &source.if_match {
        request
            .headers
            .insert(SOURCE_IF_MATCH, headers::tag(version)?);
    }
    Ok(())
}
