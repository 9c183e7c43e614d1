//! Where credentials come from, one by one: what is asked, and what is told where they cannot be had.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cloudmount_store::{
    ErrorKind, Key, Role, S3Credentials, S3Settings, S3Store, Secret, SignedIn, Store,
};
use cloudmount_testkit::loopback::{Handler, Loopback, Request, Response};
use cloudmount_vfs::{BoxFuture, SystemClock};
use parking_lot::Mutex;

/// In all that must be shown nowhere.
const MARK: &str = "planted7Qx";

fn server(answer: impl Fn(Request) -> Response + Send + Sync + 'static) -> Loopback {
    let handler: Handler = Arc::new(move |request| {
        Box::pin(std::future::ready(answer(request))) as BoxFuture<'static, Response>
    });
    Loopback::start(handler).unwrap()
}

fn bucket(server: &Loopback, credentials: S3Credentials) -> S3Store {
    let settings = S3Settings {
        endpoint: Some(server.origin()),
        credentials,
        allow_http: true,
        ..S3Settings::default()
    };
    S3Store::new("pail", &settings, Arc::new(SystemClock::new())).unwrap()
}

/// All that is told of a failure.
async fn told(store: &S3Store) -> (ErrorKind, String) {
    let error = store.head(&Key::new("a").unwrap()).await.unwrap_err();
    (error.kind(), format!("{error} {error:?}"))
}

fn program(script: &str) -> S3Credentials {
    let command = ["sh", "-c", script].map(Secret::new).to_vec();
    S3Credentials::Process { command }
}

#[tokio::test]
async fn a_program_that_prints_no_keys_is_told_without_what_it_prints() {
    let server = server(|_| Response::new(404));
    for (script, part) in [
        ("echo planted7Qx >&2; exit 3", "exit status: 3"),
        ("kill -9 $$", "signal: 9"),
        ("echo planted7Qx", "did not print Version"),
        (
            r#"echo '{"Version":"planted7Qx"}'"#,
            "did not print Version",
        ),
        (
            r#"echo '{"Version":2,"AccessKeyId":"planted7Qx","SecretAccessKey":"planted7Qx"}'"#,
            "another version",
        ),
        (
            r#"echo '{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"planted7Qx"}'"#,
            "Expiration is no time",
        ),
        ("yes planted7Qx", "it ended with"),
    ] {
        let store = bucket(&server, program(script));
        let (kind, text) = told(&store).await;
        assert_eq!(kind, ErrorKind::Unauthorized, "{script}: {text}");
        assert!(text.contains(part), "{script}: {text}");
        assert!(!text.contains(MARK), "{script}: {text}");
    }
    let command = vec![Secret::new("/no/such/planted7Qx")];
    let (_, text) = told(&bucket(&server, S3Credentials::Process { command })).await;
    assert!(
        text.contains("cannot be started") && !text.contains(MARK),
        "{text}"
    );
    let shown = format!("{:?}", program("planted7Qx"));
    assert!(!shown.contains(MARK), "{shown}");
}

#[tokio::test]
async fn keys_of_a_program_that_have_no_end_are_asked_for_once() {
    let server = server(|_| Response::new(404));
    let dir = tempfile::tempdir().unwrap();
    let count = dir.path().join("count");
    let script = format!(
        r#"echo x >> {}; echo '{{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b"}}'"#,
        count.display()
    );
    let store = bucket(&server, program(&script));
    let key = Key::new("a").unwrap();
    let all = (0..8).map(|_| store.head(&key));
    for found in futures::future::join_all(all).await {
        assert_eq!(found.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(std::fs::read_to_string(count).unwrap(), "x\n");
}

fn role(server: &Loopback, source: S3Credentials) -> S3Credentials {
    S3Credentials::Role {
        role: Role {
            arn: "arn:aws:iam::1:role/r".to_owned(),
            session_name: None,
            external_id: None,
            seconds: None,
        },
        source: Box::new(source),
        region: None,
        sts_endpoint: Some(server.origin()),
    }
}

fn keys() -> S3Credentials {
    S3Credentials::Static {
        access_key: "base".to_owned(),
        secret_key: Secret::new("planted7Qx"),
        session_token: Some(Secret::new("planted7Qx")),
    }
}

#[tokio::test]
async fn a_role_that_may_not_be_taken_is_told() {
    let statuses = Mutex::new(vec![503, 403]);
    let sts = server(move |_| {
        let status = statuses.lock().pop().unwrap_or(404);
        Response::new(status).body(
            "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>\
             <Message>you are not authorized</Message></Error></ErrorResponse>",
        )
    });
    let store = bucket(&sts, role(&sts, keys()));
    let (kind, text) = told(&store).await;
    assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
    assert!(
        text.contains("AccessDenied: you are not authorized"),
        "{text}"
    );
    assert!(
        text.contains("arn:aws:iam::1:role/r") && !text.contains(MARK),
        "{text}"
    );
    // A service that fails is another matter: it is asked again.
    let (kind, text) = told(&store).await;
    assert_eq!(kind, ErrorKind::Server, "{text}");
}

#[tokio::test]
async fn a_role_is_taken_by_a_role_by_a_program() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let sts = server(move |request| {
        let signed = request.header("authorization").unwrap_or_default();
        let key = signed
            .split(['=', '/'])
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        if request.method == "GET" {
            // Whether there is a bucket, which is asked after what `HEAD` says.
            return Response::new(403);
        }
        let count = seen.lock().len();
        seen.lock().push(key);
        if request.method == "HEAD" {
            return Response::new(404);
        }
        Response::new(200).body(format!(
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>role{count}</AccessKeyId>\
             <SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>\
             <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>\
             </AssumeRoleResult></AssumeRoleResponse>"
        ))
    });
    let printed = r#"echo '{"Version":1,"AccessKeyId":"printed","SecretAccessKey":"b"}'"#;
    let credentials = role(&sts, role(&sts, program(printed)));
    let store = bucket(&sts, credentials);
    for _ in 0..3 {
        assert_eq!(told(&store).await.0, ErrorKind::NotFound);
    }
    let asked = asked.lock().join(" ");
    assert_eq!(asked, "printed role0 role1 role1 role1");
}

/// Who signed in, as both services of `server` know it.
pub(crate) fn person(folder: &Path, server: &Loopback) -> S3Credentials {
    S3Credentials::SignIn(SignedIn {
        profile: "work".to_owned(),
        session: "corp".to_owned(),
        folder: folder.to_owned(),
        region: "eu-1".to_owned(),
        account_id: "123".to_owned(),
        role_name: "reader".to_owned(),
        endpoint: Some(server.origin()),
        oidc_endpoint: Some(server.origin()),
    })
}

#[tokio::test]
async fn a_sign_in_that_is_over_is_told_with_what_to_do() {
    let statuses = Mutex::new(vec![403, 401]);
    let portal = server(move |_| Response::new(statuses.lock().pop().unwrap_or(500)));
    let dir = tempfile::tempdir().unwrap();
    let file = dir
        .path()
        .join("ee0bfd2552fbd840c02cc48b6e823320543c450f.json");
    let store = bucket(&portal, person(dir.path(), &portal));
    let good = r#"{"accessToken":"planted7Qx","expiresAt":"2999-01-01T00:00:00UTC"}"#;
    let over = r#"{"accessToken":"planted7Qx","expiresAt":"2020-01-01T00:00:00Z"}"#;
    for (left, part) in [
        (None, "aws sso login --profile work"),
        (Some("{planted7Qx"), "aws sso login --profile work"),
        (Some(over), "aws sso login --profile work"),
        // The portal says that it is over, and that there is no such role.
        (Some(good), "aws sso login --profile work"),
        (Some(good), "no role reader in account 123"),
    ] {
        if let Some(text) = left {
            std::fs::write(&file, text).unwrap();
        }
        let (kind, text) = told(&store).await;
        assert_eq!(kind, ErrorKind::Unauthorized, "{text}");
        assert!(text.contains(part), "{left:?}: {text}");
        assert!(!text.contains(MARK), "{text}");
    }
}

/// The address at which containers ask is the same everywhere: this test gives it to a network of its own, in a process of its own.
#[test]
fn keys_of_a_container_are_asked_for_at_its_address() {
    let here = std::env::current_exe().unwrap();
    let script = "ip link set lo up && ip address add 169.254.170.2/32 dev lo && exec \"$0\" \
                  --exact --ignored sources::within_a_container";
    let mut inside = Command::new("unshare");
    inside.args(["--net", "sh", "-c", script]).arg(here);
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root may make a network");
        return;
    }
    let Ok(done) = inside.output() else {
        println!("skipped: no unshare");
        return;
    };
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{done:?}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "only within a network that has the address; keys_of_a_container_are_asked_for_at_its_address runs it"]
async fn within_a_container() {
    let service = TcpListener::bind("169.254.170.2:80").unwrap();
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = service.accept().unwrap();
        let mut asked = [0; 1024];
        let length = stream.read(&mut asked).unwrap();
        let body = r#"{"AccessKeyId":"task","SecretAccessKey":"s","Token":"planted7Qx","Expiration":"2999-01-01T00:00:00Z"}"#;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    let signed = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&signed);
    let s3 = server(move |request| {
        let header = |name| request.header(name).unwrap_or_default();
        *seen.lock() = format!(
            "{} {}",
            header("authorization"),
            header("x-amz-security-token")
        );
        Response::new(404)
    });
    let relative_uri = "/v2/credentials/me".to_owned();
    let store = bucket(&s3, S3Credentials::Task { relative_uri });
    for _ in 0..2 {
        let (kind, text) = told(&store).await;
        assert_eq!(kind, ErrorKind::NotFound, "{text}");
        assert!(!text.contains(MARK), "{text}");
    }
    let asked = answering.join().unwrap();
    assert!(
        asked.starts_with("GET /v2/credentials/me HTTP/1.1"),
        "{asked}"
    );
    let signed = signed.lock().clone();
    assert!(
        signed.contains("Credential=task/") && signed.ends_with(MARK),
        "{signed}"
    );
}
