//! The store with all its layers, and a first look at it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::layer::{Limit, LimitSettings, Link, Meter, Retry, RetrySettings};
use cloudmount_store::{
    Capabilities, ErrorKind, ListRequest, Location, OpenSettings, PathStyle, Provider,
    S3Credentials, S3Settings, Store,
};
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use crate::address::{is_amazon, is_loopback, without_user};
use crate::settings::{S3Dialect, UrlStyle};
use crate::{Environment, Error, Result, Settings, clouds};

/// How long the first look may take: a person waits for it.
const FIRST_LOOK: Duration = Duration::from_secs(20);

/// The wait before another first look at a store that is busy, not wrong.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Failures that may pass before the first look is given up.
const LOOK_FAILURES: u32 = 2;

/// A store in its layers.
pub(crate) struct Stack {
    pub(crate) store: Arc<Retry>,
    pub(crate) link: Arc<Link>,
    pub(crate) meter: Arc<Meter>,
    /// The endpoint in use, if not the usual one of its provider.
    pub(crate) endpoint: Option<String>,
}

/// Opens the store, looks whether it is there, and puts the layers over it: retry over limit over
/// link over meter, so that each try counts and waits its turn.
pub(crate) async fn open(
    location: &Location,
    settings: &Settings,
    environment: &Environment,
    clock: &Arc<dyn Clock>,
) -> Result<Stack> {
    let options = options(location, settings, environment)?;
    let endpoint = place(location, &options);
    let bare = cloudmount_store::open(location, &options, Arc::clone(clock), Handle::current())
        .map_err(|error| {
            let remedy = remedy(location, error.kind());
            Error::new(format!("cannot open {location}"))
                .because(error)
                .or(remedy)
        })?;
    look(&*bare, location, endpoint.as_deref(), &**clock).await?;
    let meter = Arc::new(Meter::new(bare, Arc::clone(clock)));
    let link = Arc::new(Link::new(Arc::clone(&meter) as _, Arc::clone(clock)));
    let limited = Limit::new(
        Arc::clone(&link) as _,
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
        link,
        meter,
        endpoint,
    })
}

fn zero(name: &str) -> Error {
    Error::new(format!("setting {name}: 0 is out of range")).or("write a value from 1 to 1024")
}

/// How the store is to be opened.
///
/// # Errors
/// What is wrong with the settings, the environment or the files that it names.
pub(crate) fn options(
    location: &Location,
    settings: &Settings,
    environment: &Environment,
) -> Result<OpenSettings> {
    let mut options = OpenSettings::default();
    match location {
        Location::S3 { .. } => {}
        Location::Gcs { .. } => {
            options.gcs = clouds::google(settings, environment);
            return Ok(options);
        }
        Location::Azure { .. } => {
            options.azure = clouds::azure(settings, environment)?;
            return Ok(options);
        }
        Location::Folder { .. } | Location::Memory => return Ok(options),
    }
    let aws = environment.aws(settings.profile.as_deref())?;
    let (provider, endpoint) = endpoint(aws.endpoint.as_deref(), aws.region.as_deref(), settings)?;
    let region = settings.region.clone().or(aws.region);
    let region = region.or_else(|| provider.region(endpoint.as_deref()?));
    options.s3 = S3Settings {
        allow_http: allow_http(endpoint.as_deref(), settings)?,
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        credentials: credentials(aws.credentials, endpoint.as_deref(), settings)?,
        endpoint,
        path_style: match settings.path_style {
            UrlStyle::Auto => PathStyle::Auto,
            UrlStyle::Always => PathStyle::Always,
            UrlStyle::Never => PathStyle::Never,
        },
        extra_ca_pem: match aws.ca_bundle {
            Some(path) => certificates(&path)?,
            None => Vec::new(),
        },
        capabilities: match settings.s3_dialect {
            // Newer than most servers, but Amazon answers what it does not know, and any other is
            // asked before it is relied on.
            S3Dialect::Full => Capabilities {
                copy_if: true,
                ..provider.capabilities()
            },
            S3Dialect::Minimal => Capabilities {
                put_if_absent: false,
                put_if_match: false,
                delete_if: false,
                part_copy: false,
                folder_markers: false,
                ..provider.capabilities()
            },
        },
    };
    Ok(options)
}

/// Where the bucket is, if not at the usual place: buckets of one name in two places are two.
pub(crate) fn place(location: &Location, options: &OpenSettings) -> Option<String> {
    match location {
        Location::Azure { .. } => Some(clouds::place_of(&options.azure)),
        _ => options.s3.endpoint.clone(),
    }
}

/// Who offers the service, and where it is: by the settings, else by the environment, else where that
/// provider is in that region. `None`: Amazon's own.
///
/// # Errors
/// The address has a user in it, or it is of a provider that has none by itself.
pub(crate) fn endpoint(
    of_environment: Option<&str>,
    region: Option<&str>,
    settings: &Settings,
) -> Result<(Provider, Option<String>)> {
    let said = settings.endpoint.as_deref().or(of_environment);
    if let Some(endpoint) = said {
        without_user(endpoint, "endpoint")?;
        let provider = settings.provider;
        let provider = provider.unwrap_or_else(|| Provider::of_endpoint(endpoint));
        return Ok((provider, Some(endpoint.to_owned())));
    }
    let provider = settings.provider.unwrap_or(Provider::Amazon);
    let region = settings.region.as_deref().or(region);
    match (provider.endpoint(region), provider.endpoint_form()) {
        (None, Some(form)) => Err(Error::new("the address of the S3 service is not known").or(
            match form.contains("REGION") {
                true => format!("give its --region, or --endpoint {form}"),
                false => format!("give --endpoint {form}"),
            },
        )),
        (endpoint, _) => Ok((provider, endpoint)),
    }
}

/// Who asks.
///
/// # Errors
/// Nobody is known, for an endpoint that does not ask Amazon's machines for their role.
pub(crate) fn credentials(
    found: S3Credentials,
    endpoint: Option<&str>,
    settings: &Settings,
) -> Result<S3Credentials> {
    if let (false, Some(name)) = (settings.anonymous, &settings.keychain) {
        return kept(name);
    }
    match (settings.anonymous, found, endpoint) {
        (true, ..) => Ok(S3Credentials::Anonymous),
        // A metadata service that somebody named is meant to be asked.
        (false, S3Credentials::Instance { metadata_endpoint: None }, Some(endpoint))
            if !is_amazon(endpoint) =>
        {
            Err(Error::new(format!("no keys are known for {endpoint}")).or(
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, or use --anonymous for a public bucket",
            ))
        }
        (false, found, _) => Ok(found),
    }
}

/// What the keychain keeps under that name.
fn kept(name: &str) -> Result<S3Credentials> {
    if !cfg!(feature = "keyring") {
        return Err(Error::new("this build of cloudmount knows no keychains")
            .or("build it with the cargo feature keyring, or leave keychain out"));
    }
    Ok(S3Credentials::Keychain {
        name: name.to_owned(),
    })
}

fn certificates(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::new(format!(
            "cannot read the certificates in {}",
            path.display()
        ))
        .because(error)
        .or("AWS_CA_BUNDLE or ca_bundle names them: correct it, or unset it")
    })
}

/// Whether the endpoint may be plain `http://`.
///
/// # Errors
/// It is, and nobody allowed it.
pub(crate) fn allow_http(endpoint: Option<&str>, settings: &Settings) -> Result<bool> {
    match endpoint {
        Some(endpoint) if endpoint.starts_with("http://") => {
            if settings.allow_http || is_loopback(endpoint) {
                return Ok(true);
            }
            Err(Error::new(format!(
                "{endpoint} is not encrypted: others can read and alter what goes there"
            ))
            .or("use https://, or allow it with --allow-http"))
        }
        _ => Ok(false),
    }
}

/// Says that nothing is encrypted on the way to `endpoint`, if that is so.
#[cfg_attr(
    not(all(feature = "fuse", target_os = "linux")),
    expect(dead_code, reason = "it is told once it is mounted")
)]
pub(crate) fn tell_of_plain_http(endpoint: Option<&str>) {
    match endpoint.filter(|endpoint| endpoint.starts_with("http://")) {
        Some(endpoint) if is_loopback(endpoint) => {
            tracing::info!(endpoint, "plain http, on this machine only");
        }
        Some(endpoint) => {
            tracing::warn!(
                endpoint,
                "plain http: others can read and alter what goes there"
            );
        }
        None => {}
    }
}

/// Lists one key: what is wrong with the address, the bucket or the credentials shows here. A
/// server that is only busy is asked again, as long as a person would wait; one that fails or
/// cannot be reached, a few times: a packet that was lost must not keep a machine from starting.
async fn look(
    store: &dyn Store,
    location: &Location,
    endpoint: Option<&str>,
    clock: &dyn Clock,
) -> Result<()> {
    let passes = |kind| matches!(kind, ErrorKind::Server | ErrorKind::Connection);
    let mut failures = 0;
    let asked = async {
        loop {
            let request = ListRequest {
                limit: Some(1),
                ..ListRequest::default()
            };
            match store.list(request).await {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Throttled => {
                    let wait = error.retry_after().unwrap_or(LOOK_AGAIN);
                    clock.sleep(wait).await;
                }
                Err(error) if passes(error.kind()) && failures < LOOK_FAILURES => {
                    failures += 1;
                    clock.sleep(LOOK_AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    };
    let error = tokio::select! {
        answer = asked => match answer {
            Ok(()) => return Ok(()),
            Err(error) => error,
        },
        () = clock.sleep(FIRST_LOOK) => cloudmount_store::Error::new(
            ErrorKind::TimedOut,
            format!("no answer within {} s", FIRST_LOOK.as_secs()),
        ),
    };
    let place = match (location, endpoint) {
        (_, Some(endpoint)) => format!("{location} at {endpoint}"),
        (Location::S3 { .. }, None) => format!("{location} at Amazon S3"),
        _ => location.to_string(),
    };
    let remedy = remedy(location, error.kind());
    Err(Error::new(format!("cannot use {place}"))
        .because(error)
        .or(remedy))
}

/// What to do about a store that answers so.
pub(crate) fn remedy(location: &Location, kind: ErrorKind) -> &'static str {
    let is_s3 = matches!(location, Location::S3 { .. });
    match kind {
        ErrorKind::NotFound | ErrorKind::NoBucket if is_s3 => {
            "check the bucket's name and the endpoint (--endpoint), or create the bucket first"
        }
        ErrorKind::NotFound if matches!(location, Location::Folder { .. }) => {
            "check the path, or create the folder first"
        }
        ErrorKind::NotFound | ErrorKind::NoBucket => "check the name, or create the bucket first",
        ErrorKind::Unauthorized if is_s3 => {
            "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose a profile with AWS_PROFILE"
        }
        ErrorKind::Forbidden if is_s3 => {
            "check the keys (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), or allow them s3:ListBucket"
        }
        ErrorKind::Forbidden => "check the permissions of what is to be mounted",
        ErrorKind::Connection | ErrorKind::TimedOut => {
            "check the endpoint's address (--endpoint), that it runs, and the network"
        }
        ErrorKind::InvalidRequest if is_s3 => {
            "check the endpoint (--endpoint), the region (--region) and --path-style"
        }
        ErrorKind::Unauthorized => "check the credentials",
        ErrorKind::Unsupported => "it takes another server: this one lacks what a mount needs",
        ErrorKind::Quota => "remove what is not needed, or have the quota raised",
        _ => "try again; if it stays so, ask whoever runs the store",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_gets() {
        let aws = Environment::of([
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9000"),
            ("AWS_REGION", "eu-1"),
        ]);
        let location = "s3://pail/a".parse().unwrap();
        let mut settings = Settings::default();
        let s3 = options(&location, &settings, &aws).unwrap().s3;
        assert_eq!(s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(s3.region, "eu-1");
        assert!(s3.allow_http, "loopback needs no permission");
        assert!(matches!(s3.credentials, S3Credentials::Static { .. }));
        assert!(!format!("{s3:?}").contains("hunter2"));
        settings.set_text("endpoint", "http://example.com").unwrap();
        settings.set_text("region", "us-2").unwrap();
        settings.set_text("anonymous", "true").unwrap();
        let refused = options(&location, &settings, &aws).unwrap_err().to_string();
        assert!(refused.contains("--allow-http"), "{refused}");
        settings.set_text("allow-http", "true").unwrap();
        let s3 = options(&location, &settings, &aws).unwrap().s3;
        assert_eq!(s3.endpoint.as_deref(), Some("http://example.com"));
        assert_eq!(s3.region, "us-2");
        assert!(matches!(s3.credentials, S3Credentials::Anonymous));
        // The role of a machine of Amazon's is for Amazon, or for whoever is named to know it.
        let bare = Environment::default();
        let with = |endpoint: &str, environment: &Environment| {
            let mut settings = Settings::default();
            settings.set_text("endpoint", endpoint).unwrap();
            options(&location, &settings, environment).map(|options| options.s3.credentials)
        };
        let vpc = "https://vpce-1.s3.eu-1.vpce.amazonaws.com";
        assert!(matches!(
            with(vpc, &bare),
            Ok(S3Credentials::Instance { .. })
        ));
        let fooled = with("https://x.amazonaws.com.example.com", &bare).unwrap_err();
        assert!(fooled.to_string().contains("no keys are known"), "{fooled}");
        let named = Environment::of([("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:2")]);
        assert!(with("https://example.com", &named).is_ok());
        let lost = Environment::of([("AWS_CA_BUNDLE", "/no/such/file")]);
        let unread = options(&location, &settings, &lost)
            .unwrap_err()
            .to_string();
        assert!(unread.contains("AWS_CA_BUNDLE"), "{unread}");
    }

    #[test]
    fn what_a_provider_is_known_for_holds_until_something_else_is_said() {
        let (location, bare) = ("s3://pail".parse().unwrap(), Environment::default());
        let preset = |pairs: &[(&str, &str)]| {
            let mut settings = Settings::default();
            for (name, text) in pairs.iter().chain(&[("anonymous", "true")]) {
                settings.set_text(name, text).unwrap();
            }
            options(&location, &settings, &bare).map(|options| options.s3)
        };
        let b2 = preset(&[("provider", "b2"), ("region", "us-west-004")]).unwrap();
        assert_eq!(
            b2.endpoint.as_deref(),
            Some("https://s3.us-west-004.backblazeb2.com")
        );
        assert_eq!((&*b2.region, b2.capabilities.tags), ("us-west-004", false));
        let b2 = "https://s3.us-west-004.backblazeb2.com";
        let s3 = preset(&[("endpoint", b2)]).unwrap();
        assert_eq!((&*s3.region, s3.capabilities.tags), ("us-west-004", false));
        let s3 = preset(&[("endpoint", b2), ("provider", "other"), ("region", "x")]).unwrap();
        assert_eq!((&*s3.region, s3.capabilities.tags), ("x", true));
        let s3 = preset(&[("endpoint", "http://127.0.0.1:1"), ("provider", "r2")]).unwrap();
        assert_eq!((&*s3.region, s3.capabilities.tags), ("auto", false));
        let garage = [("endpoint", "http://127.0.0.1:1"), ("provider", "garage")];
        let s3 = preset(&garage).unwrap();
        assert_eq!((&*s3.region, s3.capabilities.tags), ("garage", false));
        let s3 = preset(&[garage[0], garage[1], ("region", "home")]).unwrap();
        assert_eq!(&*s3.region, "home");
        let s3 = preset(&[]).unwrap();
        assert_eq!(
            (s3.endpoint, &*s3.region, s3.capabilities.tags),
            (None, "us-east-1", true)
        );
        for (provider, words) in [
            ("r2", "ACCOUNT.r2"),
            ("wasabi", "--region"),
            ("other", "--endpoint"),
            ("minio", "--endpoint https://minio.example.com:9000"),
            ("ceph", "--endpoint"),
            ("garage", "--endpoint https://garage.example.com:3900"),
        ] {
            let lost = preset(&[("provider", provider)]).unwrap_err().to_string();
            assert!(lost.contains(words), "{lost}");
        }
    }
}
