//! `delete`: `DeleteObjects`, and `DeleteObject` for what that cannot say or an endpoint lacks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{StreamExt, stream};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, IF_MATCH};
use md5::{Digest, Md5};

use super::refusal::Refusal;
use super::request::{Request, Sender};
use super::work;
use super::{headers, xml};
use crate::{Error, ErrorKind, Key, Removal, Result, Version};

/// Required by S3 for this request, and by stores that know no newer checksum.
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// Single deletes at a time: enough to hide a round trip, few enough to leave connections to others.
const SINGLE_AT_ONCE: usize = 8;

/// What is to be removed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doomed<'a> {
    key: &'a Key,
    /// Only if this is there.
    if_match: Option<&'a Version>,
}

impl<'a> From<&'a Key> for Doomed<'a> {
    fn from(key: &'a Key) -> Self {
        let if_match = None;
        Self { key, if_match }
    }
}

impl<'a> From<&'a Removal> for Doomed<'a> {
    fn from(removal: &'a Removal) -> Self {
        Self {
            key: &removal.key,
            if_match: Some(&removal.version),
        }
    }
}

/// One result for each, in order. `bulk` remembers whether the endpoint knows `DeleteObjects`.
pub(super) async fn delete(
    sender: &Sender,
    bulk: &AtomicBool,
    doomed: &[Doomed<'_>],
) -> Result<Vec<Result<()>>> {
    let mut results: Vec<Option<Result<()>>> = doomed.iter().map(|_| None).collect();
    // One key is one request either way, and the single one is known everywhere.
    let listed: Vec<usize> = match doomed {
        [_] => Vec::new(),
        _ if !bulk.load(Ordering::Relaxed) => Vec::new(),
        _ => (0..doomed.len())
            .filter(|i| xml::can_say(doomed[*i].key.as_str()))
            .collect(),
    };
    if !listed.is_empty() {
        match delete_listed(sender, doomed, &listed).await {
            Ok(answers) => {
                for (index, answer) in listed.into_iter().zip(answers) {
                    results[index] = Some(answer);
                }
            }
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                bulk.store(false, Ordering::Relaxed);
            }
            Err(error) => return Err(error),
        }
    }
    let single: Vec<usize> = (0..doomed.len())
        .filter(|i| results[*i].is_none())
        .collect();
    let mut answers = stream::iter(single)
        .map(|index| async move { (index, delete_one(sender, doomed[index]).await) })
        .buffer_unordered(SINGLE_AT_ONCE);
    while let Some((index, answer)) = answers.next().await {
        results[index] = Some(answer);
    }
    drop(answers);
    Ok(results.into_iter().flatten().collect())
}

async fn delete_one(sender: &Sender, doomed: Doomed<'_>) -> Result<()> {
    let mut request = Request::new("remove", Method::DELETE, Some(doomed.key));
    if let Some(version) = doomed.if_match {
        request = request.header(IF_MATCH, headers::tag(version)?);
    }
    match sender.fetch(request).await {
        // Some stores tell when there was nothing.
        Err(trouble) if trouble.error.kind() == ErrorKind::NotFound => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

async fn delete_listed(
    sender: &Sender,
    doomed: &[Doomed<'_>],
    listed: &[usize],
) -> Result<Vec<Result<()>>> {
    let document = document(listed.iter().map(|index| doomed[*index]));
    let md5 = BASE64.encode(Md5::digest(document.as_bytes()));
    let md5 = HeaderValue::try_from(md5).map_err(|source| {
        Error::new(ErrorKind::InvalidRequest, "checksum of a request").with_source(source)
    })?;
    let request = Request::new("remove objects of", Method::POST, None)
        .query("delete", String::new())
        .header(CONTENT_MD5, md5)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/xml"))
        .document(document)
        .patient(work::to_remove(listed.len()));
    let answer = sender.fetch(request).await?;
    let refusals = refusals(&answer.body)?;
    Ok(sort_refusals(refusals, doomed, listed))
}

fn document<'a>(doomed: impl Iterator<Item = Doomed<'a>>) -> String {
    let mut xml =
        "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>".to_owned();
    for one in doomed {
        xml.push_str("<Object><Key>");
        xml.push_str(&xml::escape(one.key.as_str()));
        xml.push_str("</Key>");
        if let Some(version) = one.if_match {
            xml.push_str("<ETag>");
            xml.push_str(&xml::escape(version.as_str()));
            xml.push_str("</ETag>");
        }
        xml.push_str("</Object>");
    }
    xml.push_str("</Delete>");
    xml
}

/// The keys that were not removed, each with why. Quiet answers name no others.
fn refusals(body: &[u8]) -> Result<Vec<(String, Refusal)>> {
    let mut found = Vec::new();
    let mut key = String::new();
    let mut refusal = Refusal::default();
    let root = xml::walk(body, |element| {
        let text = || element.text.unwrap_or_default().to_owned();
        match element.path {
            "Error/Key" => key = text(),
            "Error/Code" => refusal.code = text(),
            "Error/Message" => refusal.message = text(),
            "Error" => found.push((std::mem::take(&mut key), std::mem::take(&mut refusal))),
            _ => {}
        }
    });
    match root {
        Ok(root) if root == "DeleteResult" => Ok(found),
        _ => Err(Error::new(
            ErrorKind::Io,
            "remove objects: the answer makes no sense",
        )),
    }
}

/// Gives each key its result. A refusal that names none of the keys might be meant for any of them:
/// then none counts as removed.
fn sort_refusals(
    refusals: Vec<(String, Refusal)>,
    doomed: &[Doomed<'_>],
    listed: &[usize],
) -> Vec<Result<()>> {
    let mut by_key: HashMap<String, Refusal> = refusals.into_iter().collect();
    let mut results: Vec<_> = listed
        .iter()
        .map(|index| match by_key.remove(doomed[*index].key.as_str()) {
            Some(refusal) => refused(doomed[*index].key, &refusal),
            None => Ok(()),
        })
        .collect();
    if let Some((named, refusal)) = by_key.into_iter().next() {
        for (result, index) in results.iter_mut().zip(listed) {
            if result.is_ok() {
                *result = refused(doomed[*index].key, &refusal)
                    .map_err(|e| Error::new(e.kind(), format!("{e} (for {named:?})")));
            }
        }
    }
    results
}

fn refused(key: &Key, refusal: &Refusal) -> Result<()> {
    let kind = refusal.kind(http::StatusCode::OK, None);
    if kind == ErrorKind::NotFound {
        return Ok(());
    }
    let context = format!("remove {key:?}: {}: {}", refusal.code, refusal.message);
    Err(Error::new(kind, context))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&str]) -> Vec<Key> {
        texts.iter().map(|text| Key::new(*text).unwrap()).collect()
    }

    #[test]
    fn keys_are_escaped() {
        let keys = keys(&["a&b<c>", "\"'"]);
        let xml = document(keys.iter().map(Doomed::from));
        assert!(xml.contains("<Key>a&amp;b&lt;c&gt;</Key>"), "{xml}");
        assert!(xml.contains("<Key>&quot;&apos;</Key>"), "{xml}");
    }

    #[test]
    fn versions_are_told() {
        let key = Key::new("a").unwrap();
        let version = Version::new("\"x\"");
        let xml = document([Doomed::from(&Removal { key, version })].into_iter());
        let expected = "<Object><Key>a</Key><ETag>&quot;x&quot;</ETag></Object>";
        assert!(xml.contains(expected), "{xml}");
    }

    fn results(xml: &str, names: &[&str]) -> Vec<Option<ErrorKind>> {
        let keys = keys(names);
        let listed: Vec<usize> = (0..keys.len()).collect();
        let refusals = refusals(xml.as_bytes()).unwrap();
        let doomed: Vec<_> = keys.iter().map(Doomed::from).collect();
        sort_refusals(refusals, &doomed, &listed)
            .into_iter()
            .map(|result| result.err().map(|error| error.kind()))
            .collect()
    }

    #[test]
    fn each_key_gets_its_result() {
        let xml = "<DeleteResult><Error><Key>b&amp;</Key><Code>AccessDenied</Code><Message>No</Message></Error>\
                   <Error><Key>c</Key><Code>NoSuchKey</Code></Error>\
                   <Error><Key>d</Key><Code>InternalError</Code></Error></DeleteResult>";
        let expected = [
            None,
            Some(ErrorKind::Forbidden),
            None,
            Some(ErrorKind::Server),
        ];
        assert_eq!(results(xml, &["a", "b&", "c", "d"]), expected);
        assert_eq!(results("<DeleteResult/>", &["a", "b"]), [None, None]);
    }

    #[test]
    fn a_refusal_of_nobody_knows_what_counts_for_all() {
        let xml =
            "<DeleteResult><Error><Key>b%26</Key><Code>SlowDown</Code></Error></DeleteResult>";
        assert_eq!(results(xml, &["a", "b&"]), [Some(ErrorKind::Throttled); 2]);
    }

    #[test]
    fn nonsense_is_told() {
        for xml in ["", "<html/>", "<DeleteResult>"] {
            assert_eq!(refusals(xml.as_bytes()).unwrap_err().kind(), ErrorKind::Io);
        }
    }
}
