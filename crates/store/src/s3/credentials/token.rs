//! The token of a person who signed in by IAM Identity Center, as `aws sso login` leaves it in a file, and its renewal.
//!
//! Sources: "CreateToken", IAM Identity Center OIDC API Reference; the name of the file, its fields, and that it is renewed a
//! quarter of an hour before its end, are as botocore has them.
//!
//! Laws: the file is read anew each time, and never written; a token that was renewed is only in memory, and gives way to one in
//! the file that is good for longer.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use parking_lot::Mutex;
use ring::digest;
use serde::Deserialize;

use super::lease::life;
use super::service::{Service, kind_of};
use crate::http::HttpClient;
use crate::s3::settings::{Secret, SignedIn};
use crate::s3::sign;
use crate::{Error, ErrorKind, Result};

/// How long before its end it is renewed.
const BEFORE_THE_END: Duration = Duration::from_secs(900);

/// Where tokens come from.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) who: SignedIn,
    pub(super) oidc: Service,
    pub(super) http: HttpClient,
    pub(super) renewed: Mutex<Option<Token>>,
}

/// A token, until its end in seconds since 1970, and what renews it.
#[derive(Clone, Debug)]
pub(super) struct Token {
    access: Secret,
    end: i64,
    refresh: Option<Secret>,
}

/// The file that the sign-in leaves.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Left {
    access_token: String,
    expires_at: String,
    refresh_token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    registration_expires_at: Option<String>,
}

/// What the service says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    access_token: String,
    expires_in: u32,
    refresh_token: Option<String>,
}

impl Tokens {
    /// That nobody is signed in, and what to do.
    pub(super) fn sign_in(&self) -> Error {
        let context = format!(
            "nobody is signed in by {}, or no longer: run aws sso login --profile {}",
            self.who.session, self.who.profile
        );
        Error::new(ErrorKind::Unauthorized, context)
    }

    /// The portal does not know a token: what was made of it is forgotten.
    pub(super) fn forget(&self) {
        *self.renewed.lock() = None;
    }

    /// A token that has not ended.
    ///
    /// # Errors
    /// Nobody is signed in, or it ended and cannot be renewed.
    pub(super) async fn get(&self) -> Result<Secret> {
        let now = self.http.clock().wall().secs();
        let left = self.left()?;
        let token = self.newest(&left, now)?;
        let is_good = token.end > now;
        if token.end - now > i64::try_from(BEFORE_THE_END.as_secs()).unwrap_or(i64::MAX) {
            return Ok(token.access);
        }
        match self.renew(&left, &token, now).await {
            Ok(Some(renewed)) => Ok(renewed),
            // What cannot be renewed yet is good until its end.
            Ok(None) | Err(_) if is_good => Ok(token.access),
            Ok(None) => Err(self.sign_in()),
            Err(error) => Err(error),
        }
    }

    /// What the sign-in left.
    fn left(&self) -> Result<Left> {
        let text = std::fs::read(self.file()).map_err(|error| self.sign_in().with_source(error))?;
        // What the parser says of a mistake may quote it.
        serde_json::from_slice(&text).map_err(|_| self.sign_in())
    }

    fn file(&self) -> PathBuf {
        let session = self.who.session.as_bytes();
        let name = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, session);
        (self.who.folder).join(format!("{}.json", sign::hex(name.as_ref())))
    }

    /// Of the token in the file and the one that was renewed, that which is good for longer.
    fn newest(&self, left: &Left, now: i64) -> Result<Token> {
        let life = until(&left.expires_at, now).ok_or_else(|| self.sign_in())?;
        let in_file = Token {
            access: Secret::new(&left.access_token),
            end: now + life,
            refresh: left.refresh_token.as_ref().map(Secret::new),
        };
        let renewed = self.renewed.lock().clone();
        let newer = renewed.filter(|renewed| renewed.end > in_file.end);
        Ok(newer.unwrap_or(in_file))
    }

    /// Asks for the next one; `None`: that is not offered, or not any more.
    async fn renew(&self, left: &Left, token: &Token, now: i64) -> Result<Option<Secret>> {
        let is_known = (left.registration_expires_at.as_deref())
            .is_none_or(|end| until(end, now).is_some_and(|life| life > 0));
        let (Some(refresh), Some(id), Some(secret), true) = (
            &token.refresh,
            &left.client_id,
            &left.client_secret,
            is_known,
        ) else {
            return Ok(None);
        };
        let asked = serde_json::json!({
            "clientId": id,
            "clientSecret": secret,
            "grantType": "refresh_token",
            "refreshToken": refresh.expose(),
        });
        let kind = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        let (target, body) = (self.oidc.path("/token"), Bytes::from(asked.to_string()));
        let said = (self.oidc).ask(&self.http, Method::POST, &target, headers, body);
        let said = said.await?;
        if !said.status.is_success() {
            return match kind_of(said.status) {
                // It says that the person has to sign in again.
                ErrorKind::Unauthorized => Ok(None),
                kind => {
                    let status = said.status.as_u16();
                    let context =
                        format!("renew the sign-in by {}: status {status}", self.who.session);
                    Err(Error::new(kind, context))
                }
            };
        }
        let created: Created = serde_json::from_slice(&said.body).map_err(|_| {
            let context = "renew the sign-in: the answer has no token";
            Error::new(ErrorKind::Unauthorized, context)
        })?;
        let access = Secret::new(created.access_token);
        *self.renewed.lock() = Some(Token {
            access: access.clone(),
            end: now + i64::from(created.expires_in),
            refresh: created
                .refresh_token
                .map(Secret::new)
                .or_else(|| Some(refresh.clone())),
        });
        Ok(Some(access))
    }
}

/// Seconds until `end`; `None` if that is no time.
fn until(end: &str, now: i64) -> Option<i64> {
    // Older ones write `UTC` for `Z`.
    let life = life(&end.replace("UTC", "Z"), now)?;
    i64::try_from(life.as_secs()).ok()
}
