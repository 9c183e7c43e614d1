//! Which certificates are trusted: the machine's own, plus those in the settings.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::{Error, ErrorKind, Result};

/// The TLS settings. `extra_ca_pem` holds further trusted certificates as PEM text, or nothing.
///
/// The machine's certificates are found by `rustls-native-certs`, which also honours the customary
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`. A machine without any is no error here: plain `http://`
/// needs none, and a TLS handshake without them fails by name.
pub(super) fn client_config(extra_ca_pem: &[u8]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    for certificate in CertificateDer::pem_slice_iter(extra_ca_pem) {
        let invalid = || {
            Error::new(
                ErrorKind::InvalidRequest,
                "extra CA certificates in the settings",
            )
        };
        let certificate = certificate.map_err(|e| invalid().with_source(e))?;
        roots
            .add(certificate)
            .map_err(|e| invalid().with_source(e))?;
    }
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring's suites cover TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}
