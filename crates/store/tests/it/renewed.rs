//! The sign-in of a person whose token ends: it is renewed, and only here.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cloudmount_store::{ErrorKind, Key, S3Settings, S3Store, Store as _};
use cloudmount_testkit::loopback::{Handler, Loopback, Request, Response};
use cloudmount_vfs::{BoxFuture, Clock as _, SystemClock};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::sources::person;

/// In all that must be shown nowhere.
const MARK: &str = "planted7Qx";

/// What the service that renews tokens does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Oidc {
    Renews,
    Refuses,
    Fails,
}

/// The portal, the service that renews tokens, and the bucket, in one.
struct Services {
    /// What was asked of the second, and with which tokens the first.
    asked: Arc<Mutex<(Vec<Value>, Vec<String>)>>,
    loopback: Loopback,
}

impl Services {
    fn start(oidc: Oidc) -> Self {
        let asked: Arc<Mutex<(Vec<Value>, Vec<String>)>> = Arc::default();
        let seen = Arc::clone(&asked);
        let answer = move |request: Request| {
            if request.path.starts_with("/token") {
                let mut seen = seen.lock();
                seen.0.push(serde_json::from_slice(&request.body).unwrap());
                let number = seen.0.len();
                return match oidc {
                    Oidc::Renews => Response::new(200).body(format!(
                        r#"{{"accessToken":"{MARK}renewed{number}","expiresIn":3600,"refreshToken":"{MARK}next{number}","tokenType":"Bearer"}}"#
                    )),
                    Oidc::Refuses => Response::new(400).body(format!(r#"{{"error":"{MARK}"}}"#)),
                    Oidc::Fails => Response::new(500),
                };
            }
            if request.path.starts_with("/federation/credentials") {
                let token = request.header("x-amz-sso_bearer_token").unwrap_or_default();
                seen.lock().1.push(token.to_owned());
                // They are over at once, so that they are asked for again and again.
                return Response::new(200).body(
                    r#"{"roleCredentials":{"accessKeyId":"id","secretAccessKey":"s","sessionToken":"t","expiration":1}}"#
                        .to_owned(),
                );
            }
            Response::new(if request.method == "HEAD" { 404 } else { 403 })
        };
        let handler: Handler = Arc::new(move |request| {
            Box::pin(std::future::ready(answer(request))) as BoxFuture<'static, Response>
        });
        let loopback = Loopback::start(handler).unwrap();
        Self { asked, loopback }
    }

    fn store(&self, folder: &Path) -> S3Store {
        let settings = S3Settings {
            endpoint: Some(self.loopback.origin()),
            credentials: person(folder, &self.loopback),
            allow_http: true,
            ..S3Settings::default()
        };
        S3Store::new("pail", &settings, Arc::new(SystemClock::new())).unwrap()
    }

    /// How often a token was renewed, and with which the portal was asked.
    fn asked(&self) -> (usize, Vec<String>) {
        let asked = self.asked.lock();
        let tokens = asked.1.iter().map(|token| token.replace(MARK, ""));
        (asked.0.len(), tokens.collect())
    }
}

fn file(folder: &Path) -> PathBuf {
    folder.join("ee0bfd2552fbd840c02cc48b6e823320543c450f.json")
}

/// What a sign-in leaves whose token ends in so many seconds.
fn leave(folder: &Path, token: &str, seconds: i64) -> String {
    let end = |seconds: i64| {
        let at = SystemClock::new().wall().secs() + seconds;
        let end = chrono::DateTime::from_timestamp(at, 0).unwrap();
        end.format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let left = json!({
        "startUrl": "https://start", "region": "eu-1",
        "accessToken": format!("{MARK}{token}"), "expiresAt": end(seconds),
        "clientId": "client", "clientSecret": format!("{MARK}client"),
        "registrationExpiresAt": end(1_000_000), "refreshToken": format!("{MARK}first"),
    });
    let text = left.to_string();
    std::fs::write(file(folder), &text).unwrap();
    text
}

async fn look(store: &S3Store) -> (ErrorKind, String) {
    let error = store.head(&Key::new("a").unwrap()).await.unwrap_err();
    let text = format!("{error} {error:?} {store:?}");
    assert!(!text.contains(MARK), "{text}");
    (error.kind(), text)
}

async fn past_the_keys() {
    // Keys are used for a second at least.
    SystemClock::new().sleep(Duration::from_millis(1200)).await;
}

#[tokio::test]
async fn a_token_is_renewed_before_its_end_and_only_in_memory() {
    // One that has ended, and one that ends soon.
    for seconds in [-60, 600] {
        let services = Services::start(Oidc::Renews);
        let folder = tempfile::tempdir().unwrap();
        let left = leave(folder.path(), "file", seconds);
        let store = services.store(folder.path());
        for _ in 0..2 {
            assert_eq!(look(&store).await.0, ErrorKind::NotFound, "{seconds}");
            past_the_keys().await;
        }
        let tokens = ["renewed1", "renewed1"].map(str::to_owned).to_vec();
        assert_eq!(services.asked(), (1, tokens), "{seconds}");
        let form = json!({
            "clientId": "client", "clientSecret": format!("{MARK}client"),
            "grantType": "refresh_token", "refreshToken": format!("{MARK}first"),
        });
        assert_eq!(services.asked.lock().0, [form]);
        assert_eq!(std::fs::read_to_string(file(folder.path())).unwrap(), left);
        // Somebody signs in again: what is good for longer counts.
        leave(folder.path(), "again", 100_000);
        assert_eq!(look(&store).await.0, ErrorKind::NotFound);
        assert_eq!(services.asked().1.last().unwrap(), "again");
    }
}

#[tokio::test]
async fn a_token_that_is_good_for_long_is_left_alone() {
    let services = Services::start(Oidc::Renews);
    let folder = tempfile::tempdir().unwrap();
    leave(folder.path(), "file", 3600);
    let store = services.store(folder.path());
    assert_eq!(look(&store).await.0, ErrorKind::NotFound);
    assert_eq!(services.asked(), (0, vec!["file".to_owned()]));
}

#[tokio::test]
async fn one_that_cannot_be_renewed_is_good_until_its_end() {
    for (oidc, over) in [
        (Oidc::Refuses, ErrorKind::Unauthorized),
        (Oidc::Fails, ErrorKind::Server),
    ] {
        let services = Services::start(oidc);
        let folder = tempfile::tempdir().unwrap();
        leave(folder.path(), "file", 600);
        let store = services.store(folder.path());
        assert_eq!(look(&store).await.0, ErrorKind::NotFound, "{oidc:?}");
        assert_eq!(services.asked(), (1, vec!["file".to_owned()]), "{oidc:?}");
        leave(folder.path(), "file", -1);
        let (kind, text) = look(&services.store(folder.path())).await;
        assert_eq!(kind, over, "{oidc:?}: {text}");
        if oidc == Oidc::Refuses {
            assert!(text.contains("aws sso login --profile work"), "{text}");
        }
    }
}
