//! From settings to a provider of credentials. Fetching and renewing is `object_store`'s.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{
    AmazonS3Builder, AmazonS3ConfigKey as Config, AwsCredential, AwsCredentialProvider,
};
use object_store::{RetryConfig, StaticCredentialProvider};

use super::settings::{S3Credentials, S3Settings};
use crate::http::{Connector, HttpClient};
use crate::{Error, ErrorKind, Result};

/// Tries to fetch credentials before giving up; the layer that retries requests tries again.
const FETCH_TRIES: usize = 2;

/// How long those tries may take in all.
const FETCH_LIMIT: Duration = Duration::from_secs(10);

/// `None`: requests are not signed.
pub(super) fn provider(
    settings: &S3Settings,
    http: &HttpClient,
) -> Result<Option<AwsCredentialProvider>> {
    let mut options: Vec<(Config, &str)> = Vec::new();
    match &settings.credentials {
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
    }
    fetched(settings, http, options).map(Some)
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
