//! Credentials of a role that others may take (`AssumeRole` of STS).
//!
//! Source: "AssumeRole", AWS Security Token Service API Reference.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use http::header::{HOST, HeaderValue};
use object_store::aws::{AwsCredential, AwsCredentialProvider};

use super::lease::{Fetch, Lease, life};
use super::service::{Said, Service, form_headers, kind_of};
use crate::http::HttpClient;
use crate::s3::settings::Role;
use crate::s3::sign::{Scope, Signable, SignedBody, SigningKey, payload_hash, sign};
use crate::s3::time::ServerTime;
use crate::s3::{encode, xml};
use crate::{Error, ErrorKind, Result};

/// How long all of it may take, with what the source takes.
const LIMIT: Duration = Duration::from_secs(90);

/// What the session is called where nobody said.
const SESSION: &str = "cloudmount";

/// A role that is taken.
#[derive(Debug)]
pub(super) struct AssumeRole {
    pub(super) role: Role,
    /// Who takes it.
    pub(super) source: AwsCredentialProvider,
    pub(super) region: String,
    pub(super) service: Service,
    pub(super) http: HttpClient,
    pub(super) time: ServerTime,
    pub(super) signing_key: SigningKey,
}

#[async_trait]
impl Fetch for AssumeRole {
    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn fetch(&self) -> Result<Lease> {
        let source = self.source.get_credential().await.map_err(|error| {
            let context = format!("take the role {}: no credentials to do so", self.role.arn);
            Error::new(ErrorKind::Unauthorized, context).with_source(error)
        })?;
        let signed = self.time.to_sign();
        let said = self.ask(&source, signed).await?;
        let said = match self.time.is_corrected(signed, said.status) {
            true => self.ask(&source, self.time.to_sign()).await?,
            false => said,
        };
        self.read(&said)
    }
}

impl AssumeRole {
    async fn ask(&self, source: &AwsCredential, now: cloudmount_vfs::Timestamp) -> Result<Said> {
        let form = bytes::Bytes::from(self.form());
        let path = self.service.path("/");
        let unfit = || {
            let context = format!("take the role {}: it is no header", self.role.arn);
            Error::new(ErrorKind::InvalidRequest, context)
        };
        let mut headers = form_headers();
        let host = HeaderValue::from_str(&self.service.authority).map_err(|_| unfit())?;
        headers.insert(HOST, host);
        let hash = payload_hash(std::slice::from_ref(&form), SignedBody::Yes);
        let signable = Signable {
            method: &Method::POST,
            path: &path,
            query: &[],
            headers: &mut headers,
        };
        let scope = Scope {
            region: &self.region,
            service: "sts",
        };
        sign(signable, source, scope, &hash, now, &self.signing_key).map_err(|_| unfit())?;
        let asked = self
            .service
            .ask(&self.http, Method::POST, &path, headers, form);
        let said = asked.await?;
        self.time.hear(&said.headers);
        Ok(said)
    }

    fn form(&self) -> String {
        let role = &self.role;
        let seconds = role.seconds.map(|seconds| seconds.to_string());
        let pairs = [
            ("Action", Some("AssumeRole")),
            ("Version", Some("2011-06-15")),
            ("RoleArn", Some(&*role.arn)),
            (
                "RoleSessionName",
                Some(role.session_name.as_deref().unwrap_or(SESSION)),
            ),
            ("ExternalId", role.external_id.as_deref()),
            ("DurationSeconds", seconds.as_deref()),
        ];
        let pair = |(name, value): (&str, Option<&str>)| {
            value.map(|value| format!("{name}={}", encode::query(value)))
        };
        let pairs: Vec<String> = pairs.into_iter().filter_map(pair).collect();
        pairs.join("&")
    }

    fn read(&self, said: &Said) -> Result<Lease> {
        let arn = &self.role.arn;
        let mut texts = std::collections::BTreeMap::new();
        let walked = xml::walk(&said.body, |element| {
            let name = element.path.rsplit('/').next().unwrap_or_default();
            if let Some(text) = element.text.filter(|text| !text.is_empty()) {
                texts.insert(name.to_owned(), text.to_owned());
            }
        });
        if !said.status.is_success() {
            let told = |name: &str| texts.get(name).map(String::as_str).unwrap_or_default();
            let context = format!(
                "take the role {arn}: status {} {}: {}",
                said.status.as_u16(),
                told("Code"),
                told("Message"),
            );
            return Err(Error::new(kind_of(said.status), context));
        }
        let unusable = || {
            let context = format!("take the role {arn}: the answer has no credentials");
            Error::new(ErrorKind::Unauthorized, context)
        };
        walked.map_err(|_| unusable())?;
        let mut take = |name: &str| texts.remove(name).ok_or_else(unusable);
        let end = take("Expiration")?;
        Ok(Lease {
            credential: AwsCredential {
                key_id: take("AccessKeyId")?,
                secret_key: take("SecretAccessKey")?,
                token: Some(take("SessionToken")?),
            },
            life: Some(life(&end, self.time.now().secs()).ok_or_else(unusable)?),
        })
    }
}
