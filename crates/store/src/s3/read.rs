//! `head` and `get`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{HeaderValue, IF_MATCH, RANGE};
use http::{Method, StatusCode};

use super::request::{Answer, Request, Sender};
use super::{headers, xml};
use crate::http::ResponseBody;
use crate::{Error, ErrorKind, GetOptions, GetResult, Key, ObjectMeta, Result};

/// `HeadObject`.
pub(super) async fn head(sender: &Sender, key: &Key) -> Result<ObjectMeta> {
    let request = Request::new("look at", Method::HEAD, Some(key));
    let answer = sender.send(request).await?;
    let meta = headers::content_length(&answer.headers)
        .and_then(|size| headers::object_meta(&answer.headers, size));
    meta.ok_or_else(|| answer.unusable("the answer has no size or no ETag"))
}

/// `GetObjectTagging`.
pub(super) async fn tags(sender: &Sender, key: &Key) -> Result<BTreeMap<String, String>> {
    let request = Request::new("read the tags of", Method::GET, Some(key)).query("tagging", "");
    let answer = sender.fetch(request).await?;
    let mut tags = BTreeMap::new();
    let (mut name, mut value) = (None, None);
    let root = xml::walk(&answer.body, |element| {
        let text = element.text.map(str::to_owned);
        match element.path {
            "TagSet/Tag/Key" => name = text,
            "TagSet/Tag/Value" => value = text,
            "TagSet/Tag" => tags.extend(name.take().zip(value.take())),
            _ => {}
        }
    });
    match root {
        Ok(root) if root == "Tagging" => Ok(tags),
        _ => Err(answer.unusable("the answer has no tags")),
    }
}

/// `GetObject`.
pub(super) async fn get(sender: &Sender, key: &Key, options: GetOptions) -> Result<GetResult> {
    let request = Request::new("read", Method::GET, Some(key));
    send(sender, request, options).await
}

/// Sends a request for content.
pub(super) async fn send(
    sender: &Sender,
    mut request: Request,
    options: GetOptions,
) -> Result<GetResult> {
    if let Some(range) = &options.range {
        let value = range_header(range).ok_or_else(|| {
            let context = format!("read: the range {range:?} is empty");
            Error::new(ErrorKind::InvalidRequest, context)
        })?;
        request = request.header(RANGE, value);
    }
    if let Some(version) = &options.if_match {
        request = request.header(IF_MATCH, headers::tag(version)?);
    }
    let answer = sender.send(request).await?;
    let (range, size) = what_arrives(&answer, options.range.as_ref())?;
    let meta = headers::object_meta(&answer.headers, size)
        .ok_or_else(|| answer.unusable("the answer has no ETag"))?;
    if options.if_match.is_some_and(|asked| asked != meta.version) {
        // A store that does not know `If-Match` must not mix two versions into one read.
        let context = format!("{}: version {} is there", answer.asked, meta.version);
        return Err(Error::new(ErrorKind::Precondition, context));
    }
    let body = ExactBody {
        left: range.end - range.start,
        body: Some(answer.body),
        asked: answer.asked,
    };
    Ok(GetResult {
        meta,
        range,
        body: body.boxed(),
    })
}

/// `bytes=0-9` for `0..10`; `None` for an empty range, which HTTP cannot ask for.
pub(super) fn range_header(range: &Range<u64>) -> Option<HeaderValue> {
    let last = range
        .end
        .checked_sub(1)
        .filter(|last| *last >= range.start)?;
    HeaderValue::try_from(format!("bytes={}-{last}", range.start)).ok()
}

/// Which bytes the answer brings, and the size of the whole.
fn what_arrives(answer: &Answer, asked: Option<&Range<u64>>) -> Result<(Range<u64>, u64)> {
    // Some stores answer a range with status 200; the header is what tells.
    if let Some((range, size)) = headers::content_range(&answer.headers) {
        let expected = asked.map(|asked| asked.start..asked.end.min(size));
        return if expected.as_ref() == Some(&range) {
            Ok((range, size))
        } else {
            Err(answer.unusable("the answer is another range than asked for"))
        };
    }
    if answer.status == StatusCode::PARTIAL_CONTENT {
        return Err(answer.unusable("the answer does not say which range it is"));
    }
    let size = headers::content_length(&answer.headers)
        .ok_or_else(|| answer.unusable("the answer has no size"))?;
    match asked {
        None => Ok((0..size, size)),
        Some(asked) if asked.start >= size => {
            let context = format!("{}: the object has {size} bytes", answer.asked);
            Err(Error::new(ErrorKind::Range, context))
        }
        Some(asked) if asked.start == 0 && asked.end >= size => Ok((0..size, size)),
        Some(_) => {
            let context = format!("{}: the store does not read ranges", answer.asked);
            Err(Error::new(ErrorKind::Unsupported, context))
        }
    }
}

/// A body that ends after exactly the promised bytes, or with an error.
struct ExactBody {
    left: u64,
    /// `None` after the end or an error.
    body: Option<ResponseBody>,
    asked: String,
}

impl ExactBody {
    fn fail(&mut self, kind: ErrorKind, what: &str) -> Poll<Option<Result<Bytes>>> {
        self.body = None;
        let context = format!("{}: {what}", self.asked);
        Poll::Ready(Some(Err(Error::new(kind, context))))
    }
}

impl Stream for ExactBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let data = match body.poll_data(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(data)) => data,
            Poll::Ready(Err(failure)) => {
                self.body = None;
                return Poll::Ready(Some(Err(failure.into_error(&self.asked))));
            }
        };
        match data {
            None if self.left == 0 => {
                self.body = None;
                Poll::Ready(None)
            }
            None => {
                let missing = format!("the answer ended {} bytes early", self.left);
                self.fail(ErrorKind::Connection, &missing)
            }
            Some(data) => match self.left.checked_sub(data.len() as u64) {
                Some(left) => {
                    self.left = left;
                    Poll::Ready(Some(Ok(data)))
                }
                None => self.fail(ErrorKind::Io, "the answer is longer than promised"),
            },
        }
    }
}
