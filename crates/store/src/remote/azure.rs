//! Opens a container of Azure Blob Storage.

use std::sync::Arc;

use cloudmount_vfs::Clock;
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};

use super::{AzureCredentials, AzureSettings, Conditions, MetadataNames, Remote, settings};
use crate::http::{Connector, HttpClient};
use crate::{Capabilities, Error, ErrorKind, Result};

/// Prepares to talk to `container`.
///
/// Uploads in parts are left out: through `object_store` they would lose their metadata.
pub(crate) fn open(
    container: &str,
    settings: &AzureSettings,
    clock: Arc<dyn Clock>,
) -> Result<Remote> {
    let http = HttpClient::new(&settings.extra_ca_pem, clock)?;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(container)
        .with_account(&settings.account)
        .with_allow_http(settings.allow_http)
        .with_retry(settings::tried_once())
        .with_http_connector(Connector(http.clone()));
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    let builder = match &settings.credentials {
        AzureCredentials::Anonymous => builder.with_skip_signature(true),
        AzureCredentials::Machine => builder,
        AzureCredentials::AccessKey(key) => builder.with_access_key(key.expose()),
        AzureCredentials::SharedAccess(query) => {
            builder.with_config(AzureConfigKey::SasKey, query.expose())
        }
        AzureCredentials::Client {
            tenant_id,
            client_id,
            client_secret,
        } => builder.with_client_secret_authorization(client_id, client_secret.expose(), tenant_id),
    };
    let store = builder.build().map_err(|source| {
        let context = format!("settings of az://{container}");
        Error::new(ErrorKind::InvalidRequest, context).with_source(source)
    })?;
    let store = Arc::new(store);
    let remote = Remote::new(Arc::clone(&store) as Arc<_>)
        .with_pages(store)
        .with_spelling(Conditions::Tag, MetadataNames::Identifiers)
        .with_http(http);
    let capabilities = Capabilities {
        // "Scalability targets for Blob storage": 5000 MiB in one put.
        part_bytes_max: 5000 << 20,
        object_bytes_max: 5000 << 20,
        ..crate::Store::capabilities(&remote)
    };
    Ok(remote.with_capabilities(capabilities))
}
