//! [`Connector`]: lends our client to the crate `object_store`, which fetches temporary
//! credentials and talks to other stores than S3. So there is one pool and one TLS stack.

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::client::{
    HttpClient as RemoteClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{ClientConfigKey, ClientOptions};

use super::{Failure, HttpClient, Patience};
use crate::{ErrorKind, Payload};

/// Gives our client to whatever asks. Of the options it honours `allow_http`, which
/// `object_store` sets for metadata services; proxies, certificates and time limits are ours.
#[derive(Clone, Debug)]
pub(crate) struct Connector(pub(crate) HttpClient);

#[derive(Debug)]
struct Service {
    client: HttpClient,
    plain_http: PlainHttp,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum PlainHttp {
    Allowed,
    Refused,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<RemoteClient> {
        let allowed = options.get_config_value(&ClientConfigKey::AllowHttp);
        Ok(RemoteClient::new(Service {
            client: self.0.clone(),
            plain_http: match allowed.as_deref() {
                Some("true") => PlainHttp::Allowed,
                _ => PlainHttp::Refused,
            },
        }))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        if self.plain_http == PlainHttp::Refused && parts.uri.scheme_str() != Some("https") {
            let detail = "plain http is not allowed here: credentials could be read on the way";
            return Err(foreign(Failure::new(ErrorKind::InvalidRequest, detail)));
        }
        let body = Payload::from(body.collect().await?.to_bytes()).into();
        let request = http::Request::from_parts(parts, body);
        let answer = self.client.send(request, Patience::Answer).await;
        let answer = answer.map_err(foreign)?;
        Ok(answer.map(|body| HttpResponseBody::new(body.map_err(foreign))))
    }
}

fn foreign(failure: Failure) -> HttpError {
    let kind = match failure.kind {
        ErrorKind::TimedOut => HttpErrorKind::Timeout,
        ErrorKind::Connection => HttpErrorKind::Interrupted,
        _ => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, failure)
}
