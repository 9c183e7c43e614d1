//! The store with all its layers, and a first look at it.

use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::layer::{Limit, LimitSettings, Meter, Retry, RetrySettings};
use cloudmount_store::{
    Capabilities, ErrorKind, ListRequest, Location, OpenSettings, PathStyle, S3Settings, Store,
};
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use crate::settings::{S3Dialect, UrlStyle};
use crate::{Environment, Error, Result, Settings};

/// How long the first look may take: a person waits for it.
const FIRST_LOOK: Duration = Duration::from_secs(20);

/// A store in its layers.
pub(crate) struct Stack {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) meter: Arc<Meter>,
}

/// Opens the store, looks whether it is there, and puts the layers over it: retry over limit over
/// meter, so that each try counts and waits its turn.
pub(crate) async fn open(
    location: &Location,
    settings: &Settings,
    environment: &Environment,
    clock: &Arc<dyn Clock>,
) -> Result<Stack> {
    let options = options(location, settings, environment)?;
    let endpoint = options.s3.endpoint.clone();
    let bare = cloudmount_store::open(location, &options, Arc::clone(clock), Handle::current())
        .map_err(|error| {
            let remedy = remedy(location, error.kind());
            Error::new(format!("cannot open {location}"))
                .because(error)
                .or(remedy)
        })?;
    look(&*bare, location, endpoint.as_deref(), &**clock).await?;
    let meter = Arc::new(Meter::new(bare, Arc::clone(clock)));
    let limited = Limit::new(
        Arc::clone(&meter) as _,
        LimitSettings {
            reads: settings
                .downloads
                .try_into()
                .map_err(|_| zero("downloads"))?,
            writes: settings.uploads.try_into().map_err(|_| zero("uploads"))?,
        },
    );
    let retry = RetrySettings {
        seed: u64::from(std::process::id()) ^ u64::from(clock.wall().nanos()),
        ..RetrySettings::default()
    };
    let store = Retry::new(Arc::new(limited), retry, Arc::clone(clock));
    Ok(Stack {
        store: Arc::new(store),
        meter,
    })
}

fn zero(name: &str) -> Error {
    Error::new(format!("setting {name}: 0 is out of range")).or("write a value from 1 to 1024")
}

fn options(
    location: &Location,
    settings: &Settings,
    environment: &Environment,
) -> Result<OpenSettings> {
    let mut options = OpenSettings::default();
    if !matches!(location, Location::S3 { .. }) {
        return Ok(options);
    }
    let aws = environment.aws(settings.profile.as_deref())?;
    let endpoint = settings.endpoint.clone().or(aws.endpoint);
    let region = settings.region.clone().or(aws.region);
    options.s3 = S3Settings {
        allow_http: settings.allow_http || endpoint.as_deref().is_some_and(is_loopback),
        endpoint,
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        credentials: aws.credentials,
        path_style: match settings.path_style {
            UrlStyle::Auto => PathStyle::Auto,
            UrlStyle::Always => PathStyle::Always,
            UrlStyle::Never => PathStyle::Never,
        },
        capabilities: match settings.s3_dialect {
            S3Dialect::Full => Capabilities::S3,
            S3Dialect::Minimal => Capabilities {
                put_if_absent: false,
                put_if_match: false,
                part_copy: false,
                folder_markers: false,
                ..Capabilities::S3
            },
        },
        ..S3Settings::default()
    };
    Ok(options)
}

/// Whether an endpoint is this machine: then nobody else can read or alter what is sent.
fn is_loopback(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else {
        return false;
    };
    let host = rest.split('/').next().unwrap_or_default();
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Lists one key: what is wrong with the address, the bucket or the credentials shows here.
async fn look(
    store: &dyn Store,
    location: &Location,
    endpoint: Option<&str>,
    clock: &dyn Clock,
) -> Result<()> {
    let request = ListRequest {
        limit: Some(1),
        ..ListRequest::default()
    };
    let error = tokio::select! {
        listed = store.list(request) => match listed {
            Ok(_) => return Ok(()),
            Err(error) => error,
        },
        () = clock.sleep(FIRST_LOOK) => cloudmount_store::Error::new(
            ErrorKind::TimedOut,
            format!("no answer within {} s", FIRST_LOOK.as_secs()),
        ),
    };
    let place = match (location, endpoint) {
        (Location::S3 { .. }, Some(endpoint)) => format!("{location} at {endpoint}"),
        (Location::S3 { .. }, None) => format!("{location} at Amazon S3"),
        _ => location.to_string(),
    };
    let remedy = remedy(location, error.kind());
    Err(Error::new(format!("cannot use {place}"))
        .because(error)
        .or(remedy))
}

fn remedy(location: &Location, kind: ErrorKind) -> &'static str {
    let is_s3 = matches!(location, Location::S3 { .. });
    match kind {
        ErrorKind::NotFound if is_s3 => {
            "check the bucket's name and the endpoint (--endpoint), or create the bucket first"
        }
        ErrorKind::NotFound => "check the path, or create the folder first",
        ErrorKind::Unauthorized => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose a profile with AWS_PROFILE"
        }
        ErrorKind::Forbidden if is_s3 => {
            "check the keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or allow them s3:ListBucket"
        }
        ErrorKind::Forbidden => "check the permissions of the folder",
        ErrorKind::Connection | ErrorKind::TimedOut => {
            "check the endpoint's address (--endpoint), that it runs, and the network"
        }
        ErrorKind::InvalidRequest => {
            "check the endpoint (--endpoint), the region (--region) and --path-style"
        }
        _ => "try again; if it stays so, ask whoever runs the store",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
