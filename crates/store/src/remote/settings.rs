//! Settings of Google Cloud Storage and Azure Blob Storage, as plain data. They exist without the
//! features too, so that settings can be read and refused with a clear word.

use crate::Secret;

/// How to reach Google Cloud Storage.
#[derive(Clone, Debug, Default)]
pub struct GcsSettings {
    /// Who asks.
    pub credentials: GcsCredentials,
    /// Further certificates to trust, as PEM text.
    pub extra_ca_pem: Vec<u8>,
}

/// Credentials of Google Cloud Storage.
#[derive(Clone, Debug, Default)]
pub enum GcsCredentials {
    /// Requests are not signed: public buckets.
    Anonymous,
    /// The service account of the machine that this runs on, or the file of application default
    /// credentials at its usual place.
    #[default]
    Machine,
    /// The JSON text of a service account's key.
    ServiceAccount(Secret),
    /// The path of a file of application default credentials.
    File(String),
}

/// How to reach Azure Blob Storage.
#[derive(Clone, Debug, Default)]
pub struct AzureSettings {
    /// The storage account.
    pub account: String,
    /// Another endpoint than `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: Option<String>,
    /// Who asks.
    pub credentials: AzureCredentials,
    /// Whether `http://` endpoints are taken at all.
    pub allow_http: bool,
    /// Further certificates to trust, as PEM text.
    pub extra_ca_pem: Vec<u8>,
}

/// Credentials of Azure Blob Storage.
#[derive(Clone, Debug, Default)]
pub enum AzureCredentials {
    /// Requests are not signed: public containers.
    Anonymous,
    /// The managed identity of the machine that this runs on.
    #[default]
    Machine,
    /// The account's key.
    AccessKey(Secret),
    /// A shared access signature: the query string.
    SharedAccess(Secret),
    /// A service principal.
    Client {
        /// The tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
    },
}

/// No second tries within `object_store`: the layer above does them.
#[cfg(any(feature = "gcs", feature = "azure"))]
pub(super) fn tried_once() -> object_store::RetryConfig {
    object_store::RetryConfig {
        max_retries: 0,
        ..object_store::RetryConfig::default()
    }
}
