//! Credentials of a person who signed in by IAM Identity Center (`aws sso login`).
//!
//! The sign-in itself is Amazon's own tool's: it leaves a [token](super::token), which the portal takes for keys.
//!
//! Source: "GetRoleCredentials", IAM Identity Center Portal API Reference.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use object_store::aws::AwsCredential;
use serde::Deserialize;

use super::lease::{Fetch, Lease};
use super::service::{Service, kind_of};
use super::token::Tokens;
use crate::http::HttpClient;
use crate::s3::encode;
use crate::s3::settings::SignedIn;
use crate::{Error, ErrorKind, Result};

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(20);

const TOKEN: HeaderName = HeaderName::from_static("x-amz-sso_bearer_token");

/// A person's role in an account.
#[derive(Debug)]
pub(super) struct Sso {
    pub(super) who: SignedIn,
    pub(super) tokens: Tokens,
    pub(super) service: Service,
    pub(super) http: HttpClient,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    role_credentials: RoleCredentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RoleCredentials {
    access_key_id: String,
    secret_access_key: String,
    session_token: String,
    /// Milliseconds since 1970.
    expiration: i64,
}

#[async_trait]
impl Fetch for Sso {
    fn limit(&self) -> Duration {
        LIMIT
    }

    async fn fetch(&self) -> Result<Lease> {
        let token = self.tokens.get().await?;
        let mut token = HeaderValue::from_str(token.expose()).map_err(|_| self.tokens.sign_in())?;
        token.set_sensitive(true);
        let headers = HeaderMap::from_iter([(TOKEN, token)]);
        let target = format!(
            "{}?role_name={}&account_id={}",
            self.service.path("/federation/credentials"),
            encode::query(&self.who.role_name),
            encode::query(&self.who.account_id),
        );
        let asked = (self.service).ask(&self.http, Method::GET, &target, headers, Bytes::new());
        let said = asked.await?;
        match said.status {
            StatusCode::UNAUTHORIZED => {
                self.tokens.forget();
                return Err(self.tokens.sign_in());
            }
            status if !status.is_success() => {
                let context = format!(
                    "the sign-in by {} has no role {} in account {}: status {}",
                    self.who.session,
                    self.who.role_name,
                    self.who.account_id,
                    status.as_u16()
                );
                return Err(Error::new(kind_of(status), context));
            }
            _ => {}
        }
        // What the parser says of a mistake may quote it.
        let answer: Answer = serde_json::from_slice(&said.body).map_err(|_| {
            Error::new(
                ErrorKind::Unauthorized,
                "the sign-in portal: the answer has no credentials",
            )
        })?;
        let role = answer.role_credentials;
        let now = self.http.clock().wall().secs();
        let left = (role.expiration / 1000).saturating_sub(now);
        Ok(Lease {
            credential: AwsCredential {
                key_id: role.access_key_id,
                secret_key: role.secret_access_key,
                token: Some(role.session_token),
            },
            life: Some(Duration::from_secs(left.try_into().unwrap_or(0))),
        })
    }
}
