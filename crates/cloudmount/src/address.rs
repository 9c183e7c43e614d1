//! Addresses: of an endpoint, what of it may be shown and whom it belongs to; of a bucket, whose it is.
//!
//! Law: a user and a password within an address reach no message, no setting and no file.

use std::borrow::Cow;
use std::net::IpAddr;

use cloudmount_store::Provider;

use crate::{Error, Result, Settings};

/// The providers that addresses of buckets can name: `b2://BUCKET/PREFIX`. `gs://` and `az://` speak languages of their own, and
/// `s3://` is Amazon's, or whose the settings say.
const SCHEMES: [(&str, Provider); 9] = [
    ("b2", Provider::B2),
    ("r2", Provider::R2),
    ("wasabi", Provider::Wasabi),
    ("scaleway", Provider::Scaleway),
    ("digitalocean", Provider::Digitalocean),
    ("tigris", Provider::Tigris),
    ("minio", Provider::Minio),
    ("ceph", Provider::Ceph),
    ("garage", Provider::Garage),
];

/// The address of a bucket as `s3://` where it names a provider, who is noted in `settings`; any other as it is.
///
/// # Errors
/// The settings name somebody else.
pub(crate) fn of_bucket<'a>(text: &'a str, settings: &mut Settings) -> Result<Cow<'a, str>> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok(text.into());
    };
    let Some((_, provider)) = SCHEMES.iter().find(|(name, _)| *name == scheme) else {
        return Ok(text.into());
    };
    match settings.provider {
        Some(other) if other != *provider => Err(Error::new(format!(
            "{scheme}:// and the setting provider name different services"
        ))
        .or("write s3://BUCKET/PREFIX, or leave provider out")),
        _ => {
            settings.provider = Some(*provider);
            Ok(format!("s3:{rest}").into())
        }
    }
}

/// Refuses an address with a user or a password in it: it would be shown wherever the address is.
///
/// # Errors
/// It has one. `named` says where it was written.
pub(crate) fn without_user(address: &str, named: &str) -> Result<()> {
    if !address.contains('@') {
        return Ok(());
    }
    Err(Error::new(format!(
        "{named}: user and password do not belong into an address"
    ))
    .or("write it as https://s3.example.com, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"))
}

/// The host of an address.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether an endpoint is Amazon's own, in a region, a network of theirs, or China.
pub(crate) fn is_amazon(endpoint: &str) -> bool {
    let host = host(endpoint);
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}

/// Whether an endpoint is this machine: then nobody else can read or alter what is sent.
pub(crate) fn is_loopback(endpoint: &str) -> bool {
    let host = host(endpoint);
    let is_loopback = || {
        host.parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
    };
    endpoint.starts_with("http://") && (host == "localhost" || is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_can_name_its_provider() {
        let mut settings = Settings::default();
        for same in ["s3://pail/a", "memory:", "gs://pail", "ftp://x", "pail"] {
            assert_eq!(of_bucket(same, &mut settings).unwrap(), same);
            assert_eq!(settings.provider, None);
        }
        assert_eq!(
            of_bucket("b2://pail/a b", &mut settings).unwrap(),
            "s3://pail/a b"
        );
        assert_eq!(settings.provider, Some(Provider::B2));
        assert_eq!(of_bucket("b2:pail", &mut settings).unwrap(), "s3:pail");
        let other = of_bucket("r2://pail", &mut settings)
            .unwrap_err()
            .to_string();
        assert!(other.contains("r2:// and the setting provider"), "{other}");
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for yes in [
            "http://127.0.0.1:9000",
            "http://localhost",
            "http://[::1]:1/x",
            "http://127.3.2.1/",
        ] {
            assert!(is_loopback(yes), "{yes}");
        }
        for no in [
            "https://127.0.0.1",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
        ] {
            assert!(!is_loopback(no), "{no}");
        }
    }

    #[test]
    fn users_are_refused_and_not_shown() {
        for address in [
            "https://me:hunter2@host",
            "http://hunter2@host:9000/x",
            "https://me:hunt/hunter2@host",
            "me:hunter2@host",
        ] {
            let refused = without_user(address, "--endpoint").unwrap_err().to_string();
            assert!(
                refused.contains("--endpoint: user and password"),
                "{refused}"
            );
            assert!(!refused.contains("hunt"), "{refused}");
        }
        for address in ["https://host", "http://[::1]:9000/a/b", "host"] {
            assert!(without_user(address, "x").is_ok(), "{address}");
        }
    }
}
