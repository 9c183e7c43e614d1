//! `copy`: `CopyObject`.

use http::Method;
use http::header::{HeaderName, HeaderValue};

use super::request::{Request, Sender};
use super::{headers, work};
use crate::rules::check_tags;
use crate::wire::version;
use crate::{
    Capabilities, CopyMetadata, CopyOptions, CopySource, Error, ErrorKind, Key, Precondition,
    Result, Tags, Version,
};

const SOURCE: HeaderName = HeaderName::from_static("x-amz-copy-source");
const SOURCE_IF_MATCH: HeaderName = HeaderName::from_static("x-amz-copy-source-if-match");
const TAGS_DIRECTIVE: HeaderName = HeaderName::from_static("x-amz-tagging-directive");
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
    let work = work::to_copy(options.source_bytes);
    let mut request = Request::new("copy to", Method::PUT, Some(to)).patient(work);
    put_source(sender, &mut request, &source)?;
    let directive = match &options.metadata {
        CopyMetadata::Keep => "COPY",
        CopyMetadata::Replace(metadata) => {
            headers::put_metadata(&mut request.headers, metadata)?;
            if matches!(metadata.tags, Tags::These(_)) {
                check_tags(capabilities, metadata)?;
                headers::put_tags(&mut request.headers, &metadata.tags)?;
                let directive = HeaderValue::from_static("REPLACE");
                request.headers.insert(TAGS_DIRECTIVE, directive);
            }
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
