//! [`Credentials`]: what requests are signed with. `object_store` fetches those of machines, containers and web identities, and renews
//! them before their end; roles that are taken, programs and sign-ins are below.
//!
//! Laws:
//! - Credentials of a limited life are asked for anew before their end, mostly five minutes. Where that fails, those that were had last
//!   are used on: they may be good still, and the server knows.
//! - Where the server says that they have expired all the same, as after a revocation, or by a clock that differs, they are
//!   fetched anew, once for each request. Where it only may have meant that, and new ones were of no use, that is not done again
//!   for a minute: services that give credentials refuse who asks too often.

#[cfg(feature = "keyring")]
pub mod keychain;
mod lease;
mod printed;
mod process;
mod role;
mod service;
mod sso;
mod token;
mod why;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_vfs::Instant;
use http::StatusCode;
use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey as Config, AwsCredential, AwsCredentialProvider,
};
use object_store::{RetryConfig, StaticCredentialProvider};
use parking_lot::Mutex;

use self::lease::Leased;
use self::process::Process;
use self::role::AssumeRole;
use self::service::Service;
use self::sso::Sso;
use self::token::Tokens;
pub(super) use self::why::kind_of;
use self::why::{unreadable, why};
use super::settings::{Role, S3Credentials, S3Settings, Secret, SignedIn};
use super::sign::SigningKey;
use super::time::ServerTime;
use crate::http::{Connector, HttpClient};
use crate::{Error, ErrorKind, Result};

/// Tries to fetch credentials before giving up; the layer that retries requests tries again.
const FETCH_TRIES: usize = 2;

/// How long those tries may take in all.
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// Codes by which servers refuse credentials whose time is over ("Error responses", Amazon S3 API reference).
const OVER: [&str; 3] = ["ExpiredToken", "InvalidToken", "TokenRefreshRequired"];

/// How long what may be an expiry is not taken for one, after new credentials were of no use.
const DOUBT: Duration = Duration::from_secs(60);

/// Whether a refusal says that the credentials have expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    /// It is about something else.
    No,
    /// It says nothing: to `HEAD` there is no code, and 400 is the status of `ExpiredToken`.
    Perhaps,
    /// It says so.
    Yes,
}

/// What an answer of that status, with that code, says of them.
pub(super) fn is_over(status: Option<StatusCode>, code: &str) -> Over {
    if OVER.contains(&code) {
        Over::Yes
    } else if code.is_empty() && status == Some(StatusCode::BAD_REQUEST) {
        Over::Perhaps
    } else {
        Over::No
    }
}

/// Where requests get what they are signed with.
pub(super) struct Credentials {
    /// How they are fetched; what is given once is for ever.
    source: Option<Source>,
    state: Mutex<State>,
}

struct Source {
    settings: S3Settings,
    http: HttpClient,
}

struct State {
    provider: AwsCredentialProvider,
    /// What it gave last.
    last: Option<Arc<AwsCredential>>,
    /// When new credentials were of no use against what may have been an expiry.
    in_vain: Option<Instant>,
}

/// What became of credentials that the server calls expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Renewal {
    /// The next ones are others.
    Others,
    /// There are no others.
    None,
}

impl Credentials {
    /// `None`: requests are not signed.
    pub(super) fn new(settings: &S3Settings, http: &HttpClient) -> Result<Option<Self>> {
        let Some(provider) = provider(&settings.credentials, settings, http)? else {
            return Ok(None);
        };
        let is_fetched = !matches!(settings.credentials, S3Credentials::Static { .. });
        let source = is_fetched.then(|| Source {
            settings: settings.clone(),
            http: http.clone(),
        });
        let state = Mutex::new(State {
            provider,
            last: None,
            in_vain: None,
        });
        Ok(Some(Self { source, state }))
    }

    /// Those of now.
    ///
    /// # Errors
    /// None can be had, and none were.
    pub(super) async fn get(&self) -> object_store::Result<Arc<AwsCredential>> {
        let provider = Arc::clone(&self.state.lock().provider);
        match provider.get_credential().await {
            Ok(credential) => {
                let mut state = self.state.lock();
                // One that was given up meanwhile must not come back.
                if Arc::ptr_eq(&state.provider, &provider) {
                    state.last = Some(Arc::clone(&credential));
                }
                Ok(credential)
            }
            Err(error) => self.state.lock().last.clone().ok_or(error),
        }
    }

    /// Why there are none.
    pub(super) async fn why(&self, error: &object_store::Error) -> Option<String> {
        match (why(error), &self.source) {
            (None, Some(source)) => unreadable(&source.settings.credentials).await,
            (why, _) => why,
        }
    }

    /// The server says that `used` has expired, or may have: the next are fetched.
    ///
    /// # Errors
    /// The settings do not allow it.
    pub(super) fn renew(&self, used: &Arc<AwsCredential>, over: Over) -> Result<Renewal> {
        let Some(source) = self.source.as_ref().filter(|_| over != Over::No) else {
            return Ok(Renewal::None);
        };
        let now = source.http.clock().now();
        let mut state = self.state.lock();
        let is_in_doubt = |since: Instant| now.saturating_since(since) < DOUBT;
        if over == Over::Perhaps && state.in_vain.is_some_and(is_in_doubt) {
            return Ok(Renewal::None);
        }
        let is_newest = (state.last.as_ref()).is_some_and(|last| Arc::ptr_eq(last, used));
        if is_newest
            && let Some(provider) =
                provider(&source.settings.credentials, &source.settings, &source.http)?
        {
            state.provider = provider;
            state.last = None;
        }
        Ok(Renewal::Others)
    }

    /// The credentials that came after a renewal met the same refusal.
    pub(super) fn was_in_vain(&self) {
        if let Some(source) = &self.source {
            self.state.lock().in_vain = Some(source.http.clock().now());
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Who gives `credentials`; `None`: requests are not signed.
fn provider(
    credentials: &S3Credentials,
    settings: &S3Settings,
    http: &HttpClient,
) -> Result<Option<AwsCredentialProvider>> {
    let mut options: Vec<(Config, &str)> = Vec::new();
    match credentials {
        S3Credentials::Anonymous => return Ok(None),
        S3Credentials::Static {
            access_key,
            secret_key,
            session_token,
        } => {
            let credential = AwsCredential {
                key_id: access_key.clone(),
                secret_key: secret_key.expose().to_owned(),
                token: session_token.as_ref().map(|t| t.expose().to_owned()),
            };
            return Ok(Some(Arc::new(StaticCredentialProvider::new(credential))));
        }
        S3Credentials::Instance { metadata_endpoint } => {
            options.extend(
                metadata_endpoint
                    .as_deref()
                    .map(|e| (Config::MetadataEndpoint, e)),
            );
        }
        S3Credentials::Task { relative_uri } => {
            options.push((Config::ContainerCredentialsRelativeUri, relative_uri));
        }
        S3Credentials::Pod {
            full_uri,
            token_file,
        } => {
            options.push((Config::ContainerCredentialsFullUri, full_uri));
            options.push((Config::ContainerAuthorizationTokenFile, token_file));
        }
        S3Credentials::WebIdentity {
            token_file,
            role_arn,
            session_name,
            sts_endpoint,
        } => {
            options.push((Config::WebIdentityTokenFile, token_file));
            options.push((Config::RoleArn, role_arn));
            options.extend(
                session_name
                    .as_deref()
                    .map(|n| (Config::RoleSessionName, n)),
            );
            options.extend(sts_endpoint.as_deref().map(|e| (Config::StsEndpoint, e)));
        }
        S3Credentials::Role {
            role,
            source,
            region,
            sts_endpoint,
        } => {
            let Some(source) = provider(source, settings, http)? else {
                let context = format!("take the role {}: by nobody", role.arn);
                return Err(Error::new(ErrorKind::InvalidRequest, context));
            };
            let region = region.as_deref().unwrap_or(&settings.region);
            return taken(role, source, (region, sts_endpoint.as_deref()), http).map(Some);
        }
        S3Credentials::Process { command } => return Ok(Some(printed(command, http))),
        S3Credentials::SignIn(who) => return signed_in(who, http).map(Some),
        S3Credentials::Keychain { name } => return kept(name, http).map(Some),
    }
    fetched(settings, http, options).map(Some)
}

fn taken(
    role: &Role,
    source: AwsCredentialProvider,
    (region, endpoint): (&str, Option<&str>),
    http: &HttpClient,
) -> Result<AwsCredentialProvider> {
    let clock = http.clock();
    let role = AssumeRole {
        role: role.clone(),
        source,
        region: region.to_owned(),
        service: Service::new("sts", endpoint, region)?,
        http: http.clone(),
        time: ServerTime::new(Arc::clone(clock)),
        signing_key: SigningKey::default(),
    };
    Ok(Arc::new(Leased::new(role, Arc::clone(clock))))
}

fn printed(command: &[Secret], http: &HttpClient) -> AwsCredentialProvider {
    let process = Process {
        command: command.to_vec(),
        clock: Arc::clone(http.clock()),
    };
    Arc::new(Leased::new(process, Arc::clone(http.clock())))
}

#[cfg(feature = "keyring")]
#[expect(
    clippy::unnecessary_wraps,
    reason = "a build without keychains has none to give"
)]
fn kept(name: &str, http: &HttpClient) -> Result<AwsCredentialProvider> {
    let keychain = keychain::Keychain {
        name: name.to_owned(),
        clock: Arc::clone(http.clock()),
    };
    Ok(Arc::new(Leased::new(keychain, Arc::clone(http.clock()))))
}

#[cfg(not(feature = "keyring"))]
fn kept(name: &str, _: &HttpClient) -> Result<AwsCredentialProvider> {
    let context = format!(
        "the entry {name} of the keychain: this build knows no keychains (feature keyring)"
    );
    Err(Error::new(ErrorKind::InvalidRequest, context))
}

fn signed_in(who: &SignedIn, http: &HttpClient) -> Result<AwsCredentialProvider> {
    let tokens = Tokens {
        who: who.clone(),
        oidc: Service::new("oidc", who.oidc_endpoint.as_deref(), &who.region)?,
        http: http.clone(),
        renewed: Mutex::default(),
    };
    let sso = Sso {
        tokens,
        service: Service::new("portal.sso", who.endpoint.as_deref(), &who.region)?,
        who: who.clone(),
        http: http.clone(),
    };
    Ok(Arc::new(Leased::new(sso, Arc::clone(http.clock()))))
}

fn fetched(
    settings: &S3Settings,
    http: &HttpClient,
    options: Vec<(Config, &str)>,
) -> Result<AwsCredentialProvider> {
    let mut builder = AmazonS3Builder::new()
        // Only the credentials of what is built are used; it asks for a bucket all the same.
        .with_bucket_name("unused")
        .with_region(&settings.region)
        .with_http_connector(Connector(http.clone()))
        .with_retry(RetryConfig {
            max_retries: FETCH_TRIES,
            retry_timeout: FETCH_LIMIT,
            ..RetryConfig::default()
        });
    for (key, value) in options {
        builder = builder.with_config(key, value);
    }
    let built = builder.build().map_err(|source| {
        Error::new(ErrorKind::InvalidRequest, "settings of credentials").with_source(source)
    })?;
    Ok(Arc::clone(built.credentials()))
}
