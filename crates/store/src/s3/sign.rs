//! Signature Version 4 in the `Authorization` header.
//!
//! The crate `object_store` has a signer, `AwsAuthorizer`; it puts the URI through a URL parser,
//! which resolves `.` and `..` parts, and so signs another path than the one that is sent. Here the
//! path is signed as it is sent. Source: Amazon S3 API reference, "Signature calculations for the
//! Authorization header".

use std::fmt;

use chrono::{DateTime, Datelike, Timelike, Utc};
use cloudmount_vfs::Timestamp;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, InvalidHeaderValue};
use http::{HeaderMap, Method};
use object_store::aws::AwsCredential;
use parking_lot::Mutex;
use ring::{digest, hmac};

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// What the signature says of the body: a SHA-256 in hex, or this word.
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Whether the signature covers the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SignedBody {
    /// It does: hashed before it is sent.
    Yes,
    /// The connection protects it.
    No,
}

/// For whom a signature is good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Scope<'a> {
    pub(super) region: &'a str,
    /// `s3`.
    pub(super) service: &'static str,
}

/// What is to be signed. `headers` must hold `host` and everything else that is to be covered.
pub(super) struct Signable<'a> {
    pub(super) method: &'a Method,
    /// As it is sent, percent-encoded.
    pub(super) path: &'a str,
    /// Names and values, not encoded, in any order.
    pub(super) query: &'a [(&'static str, String)],
    pub(super) headers: &'a mut HeaderMap,
}

/// The value of `x-amz-content-sha256` for a body in pieces.
pub(super) fn payload_hash(pieces: &[bytes::Bytes], signed: SignedBody) -> String {
    // The hash of nothing is always known, and some stores insist on it for reads.
    if signed == SignedBody::No && pieces.iter().any(|piece| !piece.is_empty()) {
        return UNSIGNED_PAYLOAD.to_owned();
    }
    let mut hash = digest::Context::new(&digest::SHA256);
    for piece in pieces {
        hash.update(piece);
    }
    hex(hash.finish().as_ref())
}

/// The signing key that was used last. One lasts for a day, and to make it takes several times as long
/// as to sign with it.
#[derive(Default)]
pub(super) struct SigningKey(Mutex<Option<Made>>);

struct Made {
    secret: String,
    day: String,
    region: String,
    service: &'static str,
    key: hmac::Key,
}

impl SigningKey {
    fn get(&self, secret: &str, day: &str, scope: Scope<'_>) -> hmac::Key {
        let Scope { region, service } = scope;
        let mut made = self.0.lock();
        if let Some(made) = &*made
            && made.secret == secret
            && made.day == day
            && made.region == region
            && made.service == service
        {
            return made.key.clone();
        }
        let key = signing_key(secret, [day, region, service, "aws4_request"]);
        *made = Some(Made {
            secret: secret.to_owned(),
            day: day.to_owned(),
            region: region.to_owned(),
            service,
            key: key.clone(),
        });
        key
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").finish_non_exhaustive()
    }
}

/// Adds the date, the hash, the token if there is one, and the signature over all headers.
pub(super) fn sign(
    request: Signable<'_>,
    credential: &AwsCredential,
    scope: Scope<'_>,
    payload_hash: &str,
    now: Timestamp,
    key: &SigningKey,
) -> Result<(), InvalidHeaderValue> {
    let stamp = stamp(&date(now));
    let headers = request.headers;
    // Of an earlier try: it is not covered itself.
    headers.remove(AUTHORIZATION);
    headers.insert(DATE, HeaderValue::from_str(&stamp)?);
    headers.insert(CONTENT_HASH, HeaderValue::from_str(payload_hash)?);
    if let Some(token) = &credential.token {
        let mut token = HeaderValue::from_str(token)?;
        token.set_sensitive(true);
        headers.insert(TOKEN, token);
    }
    let (names, lines) = canonical_headers(headers);
    let canonical = [
        request.method.as_str(),
        request.path,
        &canonical_query(request.query),
        &lines,
        &names,
        payload_hash,
    ]
    .join("\n");
    let day = &stamp[..8];
    let named = [day, scope.region, scope.service, "aws4_request"].join("/");
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let to_sign = ["AWS4-HMAC-SHA256", &stamp, &named, &hash].join("\n");
    let key = key.get(&credential.secret_key, day, scope);
    let signature = hex(hmac::sign(&key, to_sign.as_bytes()).as_ref());
    let value = [
        "AWS4-HMAC-SHA256 Credential=",
        &credential.key_id,
        "/",
        &named,
        ", SignedHeaders=",
        &names,
        ", Signature=",
        &signature,
    ]
    .concat();
    let mut value = HeaderValue::from_str(&value)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

fn date(now: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(now.secs(), now.nanos()).unwrap_or_default()
}

/// As `20130524T000000Z`.
fn stamp(at: &DateTime<Utc>) -> String {
    let year = u32::try_from(at.year()).unwrap_or_default();
    let day = [year / 100, year, at.month(), at.day()];
    let time = [at.hour(), at.minute(), at.second()];
    let digits = |out: &mut String, pairs: &[u32]| {
        let digits = pairs.iter().flat_map(|pair| [pair / 10 % 10, pair % 10]);
        out.extend(digits.filter_map(|digit| char::from_digit(digit, 10)));
    };
    let mut out = String::with_capacity(16);
    digits(&mut out, &day);
    out.push('T');
    digits(&mut out, &time);
    out.push('Z');
    out
}

fn signing_key(secret: &str, steps: [&str; 4]) -> hmac::Key {
    let first = hmac::Key::new(hmac::HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    steps.iter().fold(first, |key, step| {
        hmac::Key::new(
            hmac::HMAC_SHA256,
            hmac::sign(&key, step.as_bytes()).as_ref(),
        )
    })
}

fn canonical_query(query: &[(&str, String)]) -> String {
    let mut pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| {
            let (name, value) = (super::encode::query(name), super::encode::query(value));
            format!("{name}={value}")
        })
        .collect();
    // `=` sorts after the digits and `-`, yet no name here begins another, so pairs sort as names.
    pairs.sort_unstable();
    pairs.join("&")
}

/// The names, joined by `;`, and one line for each. Values keep their bytes; spaces are collapsed.
fn canonical_headers(headers: &HeaderMap) -> (String, String) {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    let mut lines = String::new();
    for name in &names {
        lines.push_str(name);
        for (index, value) in headers.get_all(*name).iter().enumerate() {
            lines.push(if index == 0 { ':' } else { ',' });
            let text = String::from_utf8_lossy(value.as_bytes());
            for (index, word) in text.split_ascii_whitespace().enumerate() {
                if index > 0 {
                    lines.push(' ');
                }
                lines.push_str(word);
            }
        }
        lines.push('\n');
    }
    (names.join(";"), lines)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let mut out = String::with_capacity(2 * bytes.len());
    out.extend(digits.filter_map(|digit| char::from_digit(digit.into(), 16)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of "Signature calculations for the Authorization header: transferring payload
    /// in a single chunk" in the Amazon S3 API reference.
    fn signature(
        method: Method,
        path: &str,
        query: &[(&'static str, String)],
        extra: &[(&'static str, &str)],
        body: &'static [u8],
    ) -> String {
        let scope = Scope {
            region: "us-east-1",
            service: "s3",
        };
        let host = ("host", "examplebucket.s3.amazonaws.com");
        let headers = [&[host], extra].concat();
        signed(method, (path, query), &headers, body, scope)
    }

    fn signed(
        method: Method,
        (path, query): (&str, &[(&'static str, String)]),
        named: &[(&'static str, &str)],
        body: &'static [u8],
        scope: Scope<'_>,
    ) -> String {
        let credential = AwsCredential {
            key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(),
            token: None,
        };
        let mut headers = HeaderMap::new();
        for (name, value) in named {
            headers.insert(*name, value.parse().unwrap());
        }
        let request = Signable {
            method: &method,
            path,
            query,
            headers: &mut headers,
        };
        let hash = payload_hash(&[body.into()], SignedBody::Yes);
        let now = Timestamp::new(1_369_353_600, 0);
        let key = SigningKey::default();
        sign(request, &credential, scope, &hash, now, &key).unwrap();
        let value = headers[AUTHORIZATION].to_str().unwrap();
        value.rsplit_once("Signature=").unwrap().1.to_owned()
    }

    #[test]
    fn documented_signatures() {
        assert_eq!(
            signature(
                Method::GET,
                "/test.txt",
                &[],
                &[("range", "bytes=0-9")],
                b""
            ),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        let extra = [
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ];
        assert_eq!(
            signature(
                Method::PUT,
                "/test%24file.text",
                &[],
                &extra,
                b"Welcome to Amazon S3."
            ),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
        );
        assert_eq!(
            signature(Method::GET, "/", &[("lifecycle", String::new())], &[], b""),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        let query = [("prefix", "J".to_owned()), ("max-keys", "2".to_owned())];
        assert_eq!(
            signature(Method::GET, "/", &query, &[], b""),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    /// What botocore 1.43.11 makes of the same request.
    #[test]
    fn other_services_are_signed_for_under_their_names() {
        const BODY: &[u8] =
            b"Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr\
                              &RoleSessionName=cloudmount";
        let scope = Scope {
            region: "eu-1",
            service: "sts",
        };
        let kind = "application/x-www-form-urlencoded; charset=utf-8";
        let headers = [("host", "sts.eu-1.amazonaws.com"), ("content-type", kind)];
        assert_eq!(
            signed(Method::POST, ("/", &[]), &headers, BODY, scope),
            "59e69aba8c48655cb80fee7c9e285284f3aff3ba06407f2bbe3d9c45b05f51ab"
        );
    }

    #[test]
    fn a_key_is_kept_for_its_day_secret_and_region() {
        let kept = SigningKey::default();
        let sign = |key: &hmac::Key| hex(hmac::sign(key, b"text").as_ref());
        for (secret, day, region, service) in [
            ("one", "20260101", "a", "s3"),
            ("one", "20260102", "a", "s3"),
            ("one", "20260102", "b", "s3"),
            ("two", "20260102", "b", "s3"),
            ("two", "20260102", "b", "s3"),
            ("two", "20260102", "b", "sts"),
            ("one", "20260101", "a", "s3"),
        ] {
            let made = signing_key(secret, [day, region, service, "aws4_request"]);
            let scope = Scope { region, service };
            assert_eq!(sign(&kept.get(secret, day, scope)), sign(&made));
        }
        assert!(!format!("{kept:?}").contains("one"));
    }

    #[test]
    fn dates_are_written_in_full() {
        for secs in [0, 951_782_400, 1_369_353_600, 1_798_761_599, 4_102_444_799] {
            let at = date(Timestamp::new(secs, 7));
            assert_eq!(stamp(&at), at.format("%Y%m%dT%H%M%SZ").to_string());
        }
    }

    #[test]
    fn dots_are_signed_as_they_are_sent() {
        let signed = |path| signature(Method::GET, path, &[], &[], b"");
        assert_ne!(signed("/a/../b"), signed("/b"));
        assert_ne!(signed("/a//b"), signed("/a/b"));
    }

    #[test]
    fn spaces_in_headers_are_collapsed() {
        let signed = |value| signature(Method::PUT, "/a", &[], &[("x-amz-meta-a", value)], b"");
        assert_eq!(signed("a   b"), signed("a b"));
        assert_ne!(signed("a b"), signed("ab"));
    }

    #[test]
    fn payload_hashes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(payload_hash(&[], SignedBody::No), empty);
        assert_eq!(payload_hash(&[bytes::Bytes::new()], SignedBody::Yes), empty);
        let body = [bytes::Bytes::from_static(b"x")];
        assert_eq!(payload_hash(&body, SignedBody::No), UNSIGNED_PAYLOAD);
        assert_ne!(payload_hash(&body, SignedBody::Yes), empty);
    }
}
