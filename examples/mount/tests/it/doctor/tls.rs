//! Faults of certificates, each at a server of TLS.
//!
//! The certificates lie in `tests/tls`: `authority.pem` has signed the others, whose key is that of `crates/store/tests/tls`.

use std::net::TcpListener;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::fault::{self, Fault, Patient, file};
use super::way::asking;
use crate::world::World;

/// All is well with it, for who trusts the authority.
pub(super) const UNKNOWN: &[u8] = include_bytes!("../../tls/unknown.pem");
const KEY: &[u8] = include_bytes!("../../../../../crates/store/tests/tls/key.pem");
const AUTHORITY: &str = include_str!("../../tls/authority.pem");
/// Valid in 2020.
const EXPIRED: &[u8] = include_bytes!("../../tls/expired.pem");
/// Valid from 2120 on.
const FUTURE: &[u8] = include_bytes!("../../tls/future.pem");
/// Of `s3.example.com`.
const NAMED: &[u8] = include_bytes!("../../tls/named.pem");

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        words: &["no TLS with localhost", "UnknownIssuer", "AWS_CA_BUNDLE"],
        ..fault("a certificate of an authority that nobody knows", |world| {
            let port = serve(UNKNOWN);
            asking(world, &format!("https://localhost:{port}"))
        })
    },
    Fault {
        words: &["certificate expired", "must renew it"],
        ..fault("a certificate that has expired", |world| {
            trusting(world, EXPIRED)
        })
    },
    Fault {
        words: &["not valid yet", "timedatectl"],
        ..fault("a certificate that is not valid yet", |world| {
            trusting(world, FUTURE)
        })
    },
    Fault {
        words: &["s3.example.com", "another name", "--path-style always"],
        ..fault("a certificate of another name", |world| {
            trusting(world, NAMED)
        })
    },
    Fault {
        check: "settings",
        words: &["/no/such/file", "AWS_CA_BUNDLE"],
        ..fault("a file of certificates that is not there", |mut world| {
            world.set("AWS_CA_BUNDLE", "/no/such/file");
            asking(world, "https://localhost:9000")
        })
    },
];

const fn fault(name: &'static str, plant: fn(World) -> Patient) -> Fault {
    fault::fault(name, "tls", plant)
}

/// Who trusts the authority, and meets that certificate of it.
fn trusting(mut world: World, certificate: &'static [u8]) -> Patient {
    let bundle = file(&world, "authority.pem", AUTHORITY);
    world.set("AWS_CA_BUNDLE", &bundle);
    let port = serve(certificate);
    asking(world, &format!("https://localhost:{port}"))
}

/// A port that speaks TLS with that certificate, and tells whoever does not so.
pub(super) fn serve(certificate: &'static [u8]) -> u16 {
    let certificate = CertificateDer::from_pem_slice(certificate).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            while connection.is_handshaking() {
                if connection.complete_io(&mut stream).is_err() {
                    // What is wrong is told to whoever still listens.
                    let _ = connection.write_tls(&mut stream);
                    break;
                }
            }
        }
    });
    port
}
