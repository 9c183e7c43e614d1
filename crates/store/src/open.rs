//! [`open`]: from a [`Location`] and settings to a store that shows what is below the prefix.

use std::sync::Arc;

use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use crate::layer::Prefix;
#[cfg(unix)]
use crate::local::{LocalSettings, LocalStore};
use crate::{
    AzureSettings, Error, ErrorKind, GcsSettings, Location, MemoryStore, Result, S3Settings,
    S3Store, Store,
};

/// Settings of every kind of store; a location uses those of its own kind.
#[derive(Clone, Debug, Default)]
pub struct OpenSettings {
    /// For `s3://`.
    pub s3: S3Settings,
    /// For `gs://`.
    pub gcs: GcsSettings,
    /// For `az://`.
    pub azure: AzureSettings,
    /// For `file://`.
    #[cfg(unix)]
    pub local: LocalSettings,
}

/// Opens the store at `location`, without the layers that retry, limit and count. Nothing is sent
/// over the network yet, so a missing bucket shows at the first operation.
///
/// `clock` tells the time to the store. `runtime` runs what blocks, for folders; remote stores run
/// within the runtime that calls them.
///
/// # Errors
/// `InvalidRequest` says which setting is wrong, `Unsupported` which feature of the crate is left
/// out; a folder also fails as opening it does.
pub fn open(
    location: &Location,
    settings: &OpenSettings,
    clock: Arc<dyn Clock>,
    runtime: Handle,
) -> Result<Arc<dyn Store>> {
    match location {
        Location::S3 { bucket, prefix } => {
            below(prefix, Arc::new(S3Store::new(bucket, &settings.s3, clock)?))
        }
        Location::Gcs { bucket, prefix } => below(prefix, gcs(bucket, &settings.gcs, clock)?),
        Location::Azure { container, prefix } => {
            below(prefix, azure(container, &settings.azure, clock)?)
        }
        #[cfg(unix)]
        Location::Folder { path } => {
            let store = LocalStore::open(path, settings.local, clock, runtime)?;
            Ok(Arc::new(store))
        }
        #[cfg(not(unix))]
        Location::Folder { path } => {
            drop(runtime);
            let context = format!("file://{}: folders need a Unix system", path.display());
            Err(Error::new(ErrorKind::Unsupported, context))
        }
        Location::Memory => Ok(Arc::new(MemoryStore::new(clock))),
    }
}

fn below(prefix: &str, store: Arc<dyn Store>) -> Result<Arc<dyn Store>> {
    if prefix.is_empty() {
        return Ok(store);
    }
    let store = Prefix::new(store, prefix).map_err(|source| {
        let context = format!("prefix {prefix:?}");
        Error::new(ErrorKind::InvalidRequest, context).with_source(source)
    })?;
    Ok(Arc::new(store))
}

#[cfg(feature = "gcs")]
fn gcs(bucket: &str, settings: &GcsSettings, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::remote::open_gcs(bucket, settings, clock)?))
}

#[cfg(not(feature = "gcs"))]
fn gcs(bucket: &str, _settings: &GcsSettings, _clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>> {
    let context = format!(
        "gs://{bucket}: build cloudmount-store with the cargo feature \"gcs\", or use \
         s3://{bucket} with HMAC keys at the endpoint https://storage.googleapis.com"
    );
    Err(Error::new(ErrorKind::Unsupported, context))
}

#[cfg(feature = "azure")]
fn azure(name: &str, settings: &AzureSettings, clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(crate::remote::open_azure(name, settings, clock)?))
}

#[cfg(not(feature = "azure"))]
fn azure(name: &str, _settings: &AzureSettings, _clock: Arc<dyn Clock>) -> Result<Arc<dyn Store>> {
    let context = format!("az://{name}: build cloudmount-store with the cargo feature \"azure\"");
    Err(Error::new(ErrorKind::Unsupported, context))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cloudmount_vfs::SystemClock;

    use super::*;
    use crate::{GetOptions, Key, PutOptions, S3Credentials, StoreExt};

    fn open_at(text: &str, settings: &OpenSettings) -> Result<Arc<dyn Store>> {
        let clock = Arc::new(SystemClock::new());
        open(&text.parse()?, settings, clock, Handle::current())
    }

    #[tokio::test]
    async fn memory_and_folders_work() {
        let folder = tempfile::tempdir().unwrap();
        let file = format!("file://{}", folder.path().display());
        for location in ["memory:", &file] {
            let store = open_at(location, &OpenSettings::default()).unwrap();
            let key = Key::new("a/b").unwrap();
            let body = Bytes::from_static(b"body");
            let put = store.put(&key, body.into(), PutOptions::default());
            put.await.unwrap();
            let read = store.get_bytes(&key, GetOptions::default()).await;
            assert_eq!(read.unwrap(), "body", "{location}");
        }
        assert_eq!(std::fs::read(folder.path().join("a/b")).unwrap(), b"body");
    }

    #[tokio::test]
    async fn buckets_are_shown_below_their_prefix() {
        let settings = OpenSettings {
            s3: S3Settings {
                credentials: S3Credentials::Anonymous,
                ..S3Settings::default()
            },
            ..OpenSettings::default()
        };
        let whole = open_at("s3://pail", &settings).unwrap();
        assert!(format!("{whole:?}").starts_with("S3Store"), "{whole:?}");
        let below = open_at("s3://pail/a/b", &settings).unwrap();
        let shown = format!("{below:?}");
        assert!(
            shown.contains("Prefix") && shown.contains("a/b/"),
            "{shown}"
        );
        let plain = OpenSettings {
            s3: S3Settings {
                endpoint: Some("http://127.0.0.1:1".to_owned()),
                ..S3Settings::default()
            },
            ..OpenSettings::default()
        };
        let error = open_at("s3://pail", &plain).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    }

    #[cfg(not(any(feature = "gcs", feature = "azure")))]
    #[tokio::test]
    async fn features_that_are_left_out_are_named() {
        for (text, feature) in [("gs://pail/a", "\"gcs\""), ("az://box", "\"azure\"")] {
            let error = open_at(text, &OpenSettings::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(feature), "{error}");
        }
    }

    #[cfg(all(feature = "gcs", feature = "azure"))]
    #[tokio::test]
    async fn features_open_their_stores() {
        use crate::{AzureCredentials, GcsCredentials};
        let settings = OpenSettings {
            gcs: GcsSettings {
                credentials: GcsCredentials::Anonymous,
                ..GcsSettings::default()
            },
            azure: AzureSettings {
                account: "account".to_owned(),
                credentials: AzureCredentials::Anonymous,
                ..AzureSettings::default()
            },
            ..OpenSettings::default()
        };
        for (text, name) in [
            ("gs://pail/a", "GoogleCloudStorage"),
            ("az://box", "MicrosoftAzure"),
        ] {
            let store = open_at(text, &settings).unwrap();
            assert!(format!("{store:?}").contains(name), "{store:?}");
        }
    }
}
