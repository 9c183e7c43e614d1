//! How far one gets towards an endpoint, with something planted in the way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use cloudmount_store::reach::{Distrust, Obstacle, Reach, reach};
use cloudmount_store::{ErrorKind, S3Credentials, S3Settings, Secret};
use cloudmount_vfs::{BoxFuture, Clock, Instant, SystemClock, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub(crate) const CERTIFICATE: &[u8] = include_bytes!("../tls/certificate.pem");
const KEY: &[u8] = include_bytes!("../tls/key.pem");

/// 1,369,353,600 s.
const ANSWER: &[u8] =
    b"HTTP/1.1 403 No\r\nDate: Fri, 24 May 2013 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";

/// A clock that shows an hour more than [`ANSWER`] does.
#[derive(Debug)]
struct LateClock(SystemClock);

impl Clock for LateClock {
    fn wall(&self) -> Timestamp {
        Timestamp::new(1_369_353_600 + 3600, 0)
    }

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep(&self, duration: std::time::Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}

/// Serves each connection by `serve` on a thread of its own, and gives the port. What was sent to it
/// is of no concern but where a test looks.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            serve(stream);
        }
    });
    port
}

/// One request, one answer.
fn answer(mut stream: impl Read + Write, answer: &[u8]) {
    let mut asked = Vec::new();
    let mut byte = [0];
    while !asked.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        asked.push(byte[0]);
        // The first byte of TLS is no letter: servers answer that they do not understand.
        if asked[0] == 0x16 {
            let _ = stream.write_all(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
            return;
        }
    }
    let asked = String::from_utf8_lossy(&asked).to_ascii_lowercase();
    assert!(!asked.contains("authorization"), "{asked}");
    if asked.starts_with("get /") {
        stream.write_all(answer).unwrap();
    }
}

fn plain(bytes: &'static [u8]) -> u16 {
    server(move |stream| answer(stream, bytes))
}

/// A server of TLS with a certificate that nobody trusts by itself.
pub(crate) fn tls_config() -> Arc<rustls::ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}

/// TLS with that certificate. Who does not speak TLS gets what rustls says to them: an alert.
fn tls() -> u16 {
    let config = tls_config();
    server(move |mut stream| {
        let mut connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        while connection.is_handshaking() {
            if connection.complete_io(&mut stream).is_err() {
                // As far as there is somebody to tell it to.
                let _ = connection.write_tls(&mut stream);
                return;
            }
        }
        answer(rustls::StreamOwned::new(connection, stream), ANSWER);
    })
}

async fn go(endpoint: &str, extra_ca_pem: &[u8]) -> Reach {
    let settings = S3Settings {
        endpoint: Some(endpoint.to_owned()),
        allow_http: true,
        extra_ca_pem: extra_ca_pem.to_vec(),
        credentials: S3Credentials::Static {
            access_key: "id".to_owned(),
            secret_key: Secret::new("hunter2"),
            session_token: None,
        },
        ..S3Settings::default()
    };
    let clock = Arc::new(LateClock(SystemClock::new()));
    reach("pail", &settings, clock).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_tells_the_time() {
    for (endpoint, ca) in [
        (format!("http://127.0.0.1:{}", plain(ANSWER)), &[][..]),
        (format!("https://localhost:{}", tls()), CERTIFICATE),
    ] {
        let reach = go(&endpoint, ca).await;
        assert_eq!(reach.obstacle, None, "{reach:?}");
        assert_eq!((reach.status, reach.ahead_secs), (Some(403), Some(-3600)));
        assert_eq!(reach.origin, endpoint);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_obstacle_has_its_name() {
    let reach = go("http://no-such-host.invalid", &[]).await;
    assert!(
        matches!(reach.obstacle, Some(Obstacle::Name(_))),
        "{reach:?}"
    );
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let reach = go(&format!("http://127.0.0.1:{refused}"), &[]).await;
    let Some(Obstacle::Tcp(why)) = &reach.obstacle else {
        unreachable!("{reach:?}");
    };
    assert!(why.contains(&refused.to_string()), "{why}");
    let reach = go(&format!("https://localhost:{}", tls()), &[]).await;
    let Some(Obstacle::Certificate(Distrust::Authority, why)) = &reach.obstacle else {
        unreachable!("{reach:?}");
    };
    assert!(
        why.contains("localhost") && why.contains("certificate"),
        "{why}"
    );
    let port = plain(ANSWER);
    let reach = go(&format!("https://127.0.0.1:{port}"), &[]).await;
    assert_eq!(reach.obstacle, Some(Obstacle::OnlyPlain));
    let reach = go(&format!("http://127.0.0.1:{}", tls()), &[]).await;
    assert_eq!(reach.obstacle, Some(Obstacle::OnlyTls));
    let port = server(drop);
    let reach = go(&format!("http://127.0.0.1:{port}"), &[]).await;
    assert!(
        matches!(reach.obstacle, Some(Obstacle::Answer(_))),
        "{reach:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_make_no_sense_are_refused() {
    let settings = S3Settings {
        endpoint: Some("https://me:hunter2@host".to_owned()),
        ..S3Settings::default()
    };
    let refused = reach("pail", &settings, Arc::new(SystemClock::new())).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidRequest);
    assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
}
