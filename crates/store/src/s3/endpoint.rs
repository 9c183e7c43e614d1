//! [`Endpoint`]: where requests go, and how a key becomes a path there.

use std::net::IpAddr;

use http::Uri;

use super::encode;
use super::settings::{PathStyle, S3Settings};
use super::sign::SignedBody;
use crate::{Error, ErrorKind, Result};

/// Host, bucket and style, settled once.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// Scheme and authority, for requests and for messages.
    origin: String,
    /// The authority alone: the value of `Host`.
    authority: String,
    /// Encoded, with a slash in front and none at the end.
    base_path: String,
    bucket: String,
    signed_body: SignedBody,
    amazon: bool,
}

impl Endpoint {
    /// # Errors
    /// `InvalidRequest` says which setting is wrong and what to write instead.
    pub(super) fn new(bucket: &str, settings: &S3Settings) -> Result<Self> {
        check_bucket(bucket)?;
        let default;
        let text = match &settings.endpoint {
            Some(text) => text.as_str(),
            None => {
                default = amazon_url(&settings.region);
                &default
            }
        };
        let (scheme, host, port, path) = parse(text)?;
        if scheme == "http" && !settings.allow_http {
            return Err(invalid(format!(
                "endpoint {text:?} is plain http, which others can read and alter: \
                 use https://, or allow http explicitly"
            )));
        }
        let loopback = is_loopback(&host);
        let amazon = is_amazon(&host);
        let by_path = match settings.path_style {
            PathStyle::Always => true,
            PathStyle::Never => false,
            PathStyle::Auto => !amazon || !fits_host(bucket),
        };
        let host = if by_path {
            host
        } else {
            format!("{bucket}.{host}")
        };
        let authority = match port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        let bucket_path = if by_path {
            format!("/{}", encode::path(bucket))
        } else {
            String::new()
        };
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            authority,
            base_path: format!("{path}{bucket_path}"),
            bucket: bucket.to_owned(),
            // Over TLS, or within this machine, nobody can change a body on the way; hashing it
            // would cost as much processor time as sending it.
            signed_body: if scheme == "https" || loopback {
                SignedBody::No
            } else {
                SignedBody::Yes
            },
            amazon,
        })
    }

    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Scheme, host and port, for messages.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether this is S3 itself, which does all that its documentation says.
    pub(super) fn is_amazon(&self) -> bool {
        self.amazon
    }

    pub(super) fn signed_body(&self) -> SignedBody {
        self.signed_body
    }

    /// The encoded path of the bucket (no key) or of an object.
    pub(super) fn path(&self, key: Option<&str>) -> String {
        format!(
            "{}/{}",
            self.base_path,
            encode::path(key.unwrap_or_default())
        )
    }

    /// The value of `x-amz-copy-source` for a key of this bucket.
    pub(super) fn copy_source(&self, key: &str) -> String {
        format!("/{}/{}", encode::path(&self.bucket), encode::path(key))
    }
}

fn invalid(context: String) -> Error {
    Error::new(ErrorKind::InvalidRequest, context)
}

fn amazon_url(region: &str) -> String {
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    format!("https://s3.{region}.{domain}")
}

fn is_amazon(host: &str) -> bool {
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

pub(super) fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether a bucket's name can be one label of a host name that a wildcard certificate covers.
fn fits_host(bucket: &str) -> bool {
    let label = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (3..=63).contains(&bucket.len())
        && bucket.bytes().all(label)
        && !bucket.starts_with('-')
        && !bucket.ends_with('-')
}

/// Refuses what no store takes and what would change the meaning of a path; the rest is left to the
/// server, for old buckets have capitals and underscores in their names.
fn check_bucket(bucket: &str) -> Result<()> {
    let character = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if bucket.is_empty() || bucket.len() > 255 || !bucket.chars().all(character) {
        return Err(invalid(format!(
            "bucket name {bucket:?}: letters, digits, '-', '_' and '.' are allowed"
        )));
    }
    if bucket.chars().all(|c| c == '.') {
        return Err(invalid(format!("bucket name {bucket:?} is not one")));
    }
    Ok(())
}

/// Scheme, host, port if it is not the scheme's own, and path without a slash at the end.
fn parse(text: &str) -> Result<(&'static str, String, Option<u16>, String)> {
    let wrong = |why: &str| {
        invalid(format!(
            "endpoint {:?}: {why}; write it as https://s3.example.com or https://host:9000",
            without_user(text)
        ))
    };
    if !text.contains("://") {
        return Err(wrong("no http:// or https:// in front"));
    }
    let uri: Uri = text.parse().map_err(|_| wrong("not a URL"))?;
    let (scheme, own_port) = match uri.scheme_str() {
        Some("https") => ("https", 443),
        Some("http") => ("http", 80),
        _ => return Err(wrong("neither http:// nor https://")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("user and password do not belong into the URL"));
    }
    if authority.host().is_empty() {
        return Err(wrong("no host"));
    }
    if uri.query().is_some() {
        return Err(wrong("a query does not belong into it"));
    }
    let port = authority.port_u16().filter(|port| *port != own_port);
    let path = uri.path().trim_end_matches('/').to_owned();
    Ok((scheme, authority.host().to_ascii_lowercase(), port, path))
}

fn without_user(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(start), Some(end)) if start < end => {
            format!("{}[hidden]{}", &text[..start + 3], &text[end..])
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(bucket: &str, url: Option<&str>, path_style: PathStyle) -> Result<Endpoint> {
        let settings = S3Settings {
            endpoint: url.map(str::to_owned),
            region: "eu-central-1".to_owned(),
            path_style,
            allow_http: true,
            ..S3Settings::default()
        };
        Endpoint::new(bucket, &settings)
    }

    #[test]
    fn where_requests_go() {
        use PathStyle::{Always, Auto, Never};
        let amazon = "https://s3.eu-central-1.amazonaws.com";
        for (bucket, url, style, expected) in [
            (
                "pail",
                None,
                Auto,
                "https://pail.s3.eu-central-1.amazonaws.com/a//b",
            ),
            (
                "my.pail",
                None,
                Auto,
                "https://s3.eu-central-1.amazonaws.com/my.pail/a//b",
            ),
            (
                "Old_Pail",
                None,
                Auto,
                "https://s3.eu-central-1.amazonaws.com/Old_Pail/a//b",
            ),
            (
                "pail",
                None,
                Always,
                "https://s3.eu-central-1.amazonaws.com/pail/a//b",
            ),
            (
                "pail",
                Some(amazon),
                Auto,
                "https://pail.s3.eu-central-1.amazonaws.com/a//b",
            ),
            (
                "pail",
                Some("http://127.0.0.1:9000"),
                Auto,
                "http://127.0.0.1:9000/pail/a//b",
            ),
            (
                "pail",
                Some("http://[::1]:9000/"),
                Auto,
                "http://[::1]:9000/pail/a//b",
            ),
            (
                "pail",
                Some("https://host/deep/s3/"),
                Auto,
                "https://host/deep/s3/pail/a//b",
            ),
            (
                "pail",
                Some("https://Host:443"),
                Never,
                "https://pail.host/a//b",
            ),
            (
                "pail",
                Some("http://host:80"),
                Auto,
                "http://host/pail/a//b",
            ),
        ] {
            let endpoint = endpoint(bucket, url, style).unwrap();
            let shown = format!("{}{}", endpoint.origin(), endpoint.path(Some("a//b")));
            assert_eq!(shown, expected);
            assert!(shown.contains(&format!("://{}/", endpoint.authority())));
        }
    }

    #[test]
    fn paths_of_bucket_and_keys() {
        let endpoint = endpoint("pail", Some("http://host"), PathStyle::Auto).unwrap();
        assert_eq!(endpoint.path(None), "/pail/");
        assert_eq!(endpoint.path(Some("/x")), "/pail//x");
        assert_eq!(endpoint.path(Some("../x")), "/pail/../x");
        assert_eq!(endpoint.copy_source("a/é +"), "/pail/a/%C3%A9%20%2B");
    }

    #[test]
    fn bodies_are_signed_where_the_line_is_open() {
        for (url, expected) in [
            ("https://host", SignedBody::No),
            ("http://host", SignedBody::Yes),
            ("http://localhost:1", SignedBody::No),
            ("http://127.0.0.9:1", SignedBody::No),
            ("http://[::1]:1", SignedBody::No),
            ("http://10.0.0.1", SignedBody::Yes),
        ] {
            let endpoint = endpoint("pail", Some(url), PathStyle::Auto).unwrap();
            assert_eq!(endpoint.signed_body(), expected, "{url}");
        }
    }

    #[test]
    fn wrong_settings_are_named() {
        for (bucket, url, hint) in [
            ("", "https://h", "bucket name"),
            ("a/b", "https://h", "bucket name"),
            ("..", "https://h", "bucket name"),
            ("pail", "host:9000", "in front"),
            ("pail", "ftp://host", "neither"),
            ("pail", "https://me:hunter2@host", "do not belong"),
            ("pail", "https://host?x=1", "query"),
            ("pail", "https://", "endpoint"),
        ] {
            let error = endpoint(bucket, Some(url), PathStyle::Auto).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest);
            let shown = error.to_string();
            assert!(shown.contains(hint), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let plain = S3Settings {
            endpoint: Some("http://127.0.0.1:1".to_owned()),
            ..S3Settings::default()
        };
        let error = Endpoint::new("pail", &plain).unwrap_err();
        assert!(error.to_string().contains("plain http"), "{error}");
    }
}
