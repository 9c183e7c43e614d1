//! [`Service`]: where a service of AWS beside S3 is, and one question to it.
//!
//! Law: what shows a secret goes over TLS, or stays within this machine.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::http::{HttpClient, Patience};
use crate::s3::endpoint::is_loopback;
use crate::{Error, ErrorKind, Payload, Result};

/// The longest answer: some times what session tokens come to.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// A service by its address.
#[derive(Clone, Debug)]
pub(super) struct Service {
    origin: String,
    pub(super) authority: String,
    /// Without a slash at its end.
    path: String,
}

/// What it said.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Service {
    /// The service `name`: at `given`, else at Amazon's address of it in `region`.
    ///
    /// # Errors
    /// The address makes no sense, or others can read what goes there.
    pub(super) fn new(name: &str, given: Option<&str>, region: &str) -> Result<Self> {
        let domain = if region.starts_with("cn-") {
            "amazonaws.com.cn"
        } else {
            "amazonaws.com"
        };
        let text = given.map_or_else(
            || format!("https://{name}.{region}.{domain}"),
            str::to_owned,
        );
        let wrong = |why| {
            let context = format!("the address of the service {name}: {why}");
            Error::new(ErrorKind::InvalidRequest, context)
        };
        let uri: Uri = text.parse().map_err(|_| wrong("it is no URL"))?;
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user and password do not belong into it"));
        }
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            Some("http") if is_loopback(authority.host()) => "http",
            Some("http") => return Err(wrong("plain http:// would show secrets to others")),
            _ => return Err(wrong("it begins neither with https:// nor with http://")),
        };
        Ok(Self {
            origin: format!("{scheme}://{authority}"),
            authority: authority.to_string(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Its path, followed by `below`.
    pub(super) fn path(&self, below: &str) -> String {
        format!("{}{below}", self.path)
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask(
        &self,
        http: &HttpClient,
        method: Method,
        target: &str,
        mut headers: HeaderMap,
        form: Bytes,
    ) -> Result<Said> {
        let asked = format!("ask {}", self.origin);
        if method == Method::POST {
            headers.insert(CONTENT_LENGTH, form.len().into());
        }
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("{}{target}", self.origin));
        if let Some(all) = request.headers_mut() {
            *all = headers;
        }
        let request = request.body(Payload::from(form).into()).map_err(|_| {
            Error::new(
                ErrorKind::InvalidRequest,
                format!("{asked}: it does not fit HTTP"),
            )
        })?;
        let answer = http.send(request, Patience::Answer).await;
        let answer = answer.map_err(|failure| failure.into_error(&asked))?;
        let (parts, body) = answer.into_parts();
        let body = body.collect(ANSWER_BYTES_MAX).await;
        Ok(Said {
            status: parts.status,
            headers: parts.headers,
            body: body.map_err(|failure| failure.into_error(&asked))?,
        })
    }
}

/// The header of a form.
pub(super) fn form_headers() -> HeaderMap {
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    HeaderMap::from_iter([(CONTENT_TYPE, kind)])
}

/// What becomes of an answer that is no success: the service may be back later, or it knows who asks and refuses.
pub(super) fn kind_of(status: StatusCode) -> ErrorKind {
    match status {
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::Throttled,
        status if status.is_server_error() => ErrorKind::Server,
        _ => ErrorKind::Unauthorized,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_at_amazon_or_where_it_is_said() {
        let at = |given, region| Service::new("sts", given, region).map(|service| service.origin);
        assert_eq!(at(None, "eu-1").unwrap(), "https://sts.eu-1.amazonaws.com");
        assert_eq!(
            at(None, "cn-n1").unwrap(),
            "https://sts.cn-n1.amazonaws.com.cn"
        );
        let here = "http://127.0.0.1:9";
        assert_eq!(at(Some(here), "eu-1").unwrap(), here);
        let there = Service::new("sts", Some("https://host/a/"), "x").unwrap();
        assert_eq!((&*there.path("/"), &*there.path("")), ("/a/", "/a"));
        for wrong in [
            "http://example.com",
            "host",
            "https://u:p@host",
            "ftp://host",
        ] {
            let error = at(Some(wrong), "eu-1").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{wrong}");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }
}
