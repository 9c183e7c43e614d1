//! Opens a bucket of Google Cloud Storage.

use std::sync::Arc;

use cloudmount_vfs::Clock;
use object_store::gcp::GoogleCloudStorageBuilder;

use super::{Conditions, GcsCredentials, GcsSettings, MetadataNames, Remote, settings};
use crate::http::{Connector, HttpClient};
use crate::{Capabilities, Error, ErrorKind, Result};

/// Prepares to talk to `bucket`.
pub(crate) fn open(bucket: &str, settings: &GcsSettings, clock: Arc<dyn Clock>) -> Result<Remote> {
    let http = HttpClient::new(&settings.extra_ca_pem, clock)?;
    let builder = GoogleCloudStorageBuilder::new()
        .with_bucket_name(bucket)
        .with_retry(settings::tried_once())
        .with_http_connector(Connector(http.clone()));
    let builder = match &settings.credentials {
        GcsCredentials::Anonymous => builder.with_skip_signature(true),
        GcsCredentials::Machine => builder,
        GcsCredentials::ServiceAccount(json) => builder.with_service_account_key(json.expose()),
        GcsCredentials::File(path) => builder.with_application_credentials(path),
    };
    let store = builder.build().map_err(|source| {
        let context = format!("settings of gs://{bucket}");
        Error::new(ErrorKind::InvalidRequest, context).with_source(source)
    })?;
    let store = Arc::new(store);
    let remote = Remote::new(Arc::clone(&store) as Arc<_>)
        .with_pages(Arc::clone(&store) as Arc<_>)
        .with_uploads(store)
        .with_spelling(Conditions::Number, MetadataNames::Plain)
        .with_http(http);
    let capabilities = Capabilities {
        // "Cloud Storage quotas & limits": 5 TiB an object, by whatever kind of upload.
        copy_bytes_max: 5 << 40,
        ..crate::Store::capabilities(&remote)
    };
    Ok(remote.with_capabilities(capabilities))
}
