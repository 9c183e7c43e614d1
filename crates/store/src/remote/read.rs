//! `head` and `get`.

use futures::StreamExt;
use object_store::{GetOptions as ForeignOptions, GetRange};

use super::attributes::object_meta;
use super::{Remote, failure, path_to_read};
use crate::{Error, ErrorKind, GetOptions, GetResult, Key, ObjectMeta, Result};

pub(super) async fn head(remote: &Remote, key: &Key) -> Result<ObjectMeta> {
    let (meta, _) = look(remote, key).await?;
    Ok(meta)
}

/// What a look tells, and the number by which the store knows the version, if it has one.
pub(super) async fn look(remote: &Remote, key: &Key) -> Result<(ObjectMeta, Option<String>)> {
    let options = ForeignOptions {
        head: true,
        ..ForeignOptions::default()
    };
    let found = remote.objects.get_opts(&path_to_read(key)?, options).await;
    let found = found.map_err(|error| failure::error("look at", key, error))?;
    let meta = object_meta(&found.meta, &found.attributes, remote.names)?;
    Ok((meta, found.meta.version))
}

pub(super) async fn get(remote: &Remote, key: &Key, options: GetOptions) -> Result<GetResult> {
    let wanted = ForeignOptions {
        if_match: options.if_match.as_ref().map(|v| v.as_str().to_owned()),
        range: options.range.clone().map(GetRange::Bounded),
        ..ForeignOptions::default()
    };
    let found = match remote.objects.get_opts(&path_to_read(key)?, wanted).await {
        Ok(found) => found,
        Err(error) => {
            let error = failure::error("read", key, error);
            return Err(beyond_the_end(remote, key, &options, error).await);
        }
    };
    let meta = object_meta(&found.meta, &found.attributes, remote.names)?;
    if options.if_match.is_some_and(|asked| asked != meta.version) {
        let context = format!("read {key:?}: version {} is there", meta.version);
        return Err(Error::new(ErrorKind::Precondition, context));
    }
    let (range, key) = (found.range.clone(), key.clone());
    let mut left = range.end - range.start;
    let body = found.into_stream().map(move |piece| {
        let piece = piece.map_err(|error| failure::error("read", &key, error))?;
        let context = || format!("read {key:?}: the answer is longer than promised");
        let rest = left.checked_sub(piece.len() as u64);
        left = rest.ok_or_else(|| Error::new(ErrorKind::Io, context()))?;
        Ok(piece)
    });
    Ok(GetResult {
        meta,
        range,
        body: body.boxed(),
    })
}

/// `object_store` has no error of its own for a range behind the end: a look tells.
async fn beyond_the_end(remote: &Remote, key: &Key, options: &GetOptions, error: Error) -> Error {
    let Some(range) = &options.range else {
        return error;
    };
    if error.kind() != ErrorKind::Server {
        return error;
    }
    match head(remote, key).await {
        Ok(meta) if range.start >= meta.size => {
            let context = format!("read {key:?}: the object has {} bytes", meta.size);
            Error::new(ErrorKind::Range, context).with_source(error)
        }
        _ => error,
    }
}
