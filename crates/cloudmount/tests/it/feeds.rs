//! Notifications by HTTP, and a mount that believes for an hour what it was told.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cloudmount::store::Secret;
use cloudmount::vfs::SystemClock;
use cloudmount::{ChangeFeed as _, CloudMount, News, Notices, Webhook, WebhookSettings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Looks before a test gives up, 10 ms apart.
const LOOKS: u32 = 3000;

#[expect(
    clippy::disallowed_methods,
    reason = "a kernel and sockets take the machine's time"
)]
async fn rest() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// What is answered to these bytes.
async fn ask(address: &str, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be refused before it was all said.
    drop(stream.write_all(request).await);
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer).await);
    let answer = String::from_utf8(answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

fn post(headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /any HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into()
}

fn event(kind: &str, bucket: &str, key: &str) -> String {
    format!(
        r#"{{"Records": [{{"eventSource": "aws:s3", "eventName": "{kind}",
            "s3": {{"bucket": {{"name": "{bucket}"}}, "object": {{"key": "{key}"}}}}}}]}}"#
    )
}

async fn webhook(token: Option<&str>) -> Webhook {
    let settings = WebhookSettings {
        address: "127.0.0.1:0".parse().unwrap(),
        token: token.map(Secret::new),
        notices: Notices {
            bucket: Some("pail".into()),
            prefix: "data/".into(),
        },
    };
    Webhook::bind(settings, Arc::new(SystemClock::new()))
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_posted_is_told() {
    let mut webhook = webhook(None).await;
    let address = webhook.address().to_string();
    for (bucket, key) in [("other", "data/a"), ("pail", "data/a+b")] {
        let body = event("ObjectRemoved:Delete", bucket, key);
        assert_eq!(ask(&address, &post("", &body)).await, "HTTP/1.1 200 OK");
    }
    let key = "a b".to_owned();
    assert_eq!(webhook.next().await.unwrap(), [News::Gone { key }]);
}

#[tokio::test]
async fn only_who_shows_the_token_is_heard() {
    let mut webhook = webhook(Some("let-me-in")).await;
    let address = webhook.address().to_string();
    let body = event("ObjectCreated:Put", "pail", "data/a");
    for headers in [
        "",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer let-me-i\r\n",
        "Authorization: Bearer let-me-inn\r\n",
        "Authorization: let-me-in\r\n",
    ] {
        let answer = ask(&address, &post(headers, &body)).await;
        assert_eq!(answer, "HTTP/1.1 401 Unauthorized", "{headers}");
    }
    let shown = "authorization: Bearer let-me-in\r\n";
    let other = event("ObjectCreated:Put", "pail", "data/b");
    assert_eq!(ask(&address, &post(shown, &other)).await, "HTTP/1.1 200 OK");
    let (key, tag) = ("b".to_owned(), None);
    assert_eq!(webhook.next().await.unwrap(), [News::Put { key, tag }]);
}

#[tokio::test]
async fn what_is_no_notification_is_answered_and_harms_nothing() {
    let mut webhook = webhook(None).await;
    let address = webhook.address().to_string();
    let long = format!("POST / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200));
    for (request, answer) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "200 OK"),
        (b"\x00\xff\r\n\r\n", "400 Bad Request"),
        (b"DELETE / HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
        (b"POST / HTTP/1.1\r\n\r\n", "411 Length Required"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "400 Bad Request",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n",
            "413 Content Too Large",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\n{}x",
            "400 Bad Request",
        ),
        (long.as_bytes(), "431 Request Header Fields Too Large"),
        (many.as_bytes(), "431 Request Header Fields Too Large"),
    ] {
        let shown = String::from_utf8_lossy(request)
            .chars()
            .take(60)
            .collect::<String>();
        assert_eq!(
            ask(&address, request).await,
            format!("HTTP/1.1 {answer}"),
            "{shown}"
        );
    }
    let body = event("ObjectRemoved:Delete", "pail", "data/a");
    assert_eq!(ask(&address, &post("", &body)).await, "HTTP/1.1 200 OK");
    let key = "a".to_owned();
    assert_eq!(webhook.next().await.unwrap(), [News::Gone { key }]);
}

/// What nobody takes up is not piled up: all is looked at anew then.
#[tokio::test]
async fn more_than_is_taken_up_is_everything() {
    let mut webhook = webhook(None).await;
    let address = webhook.address().to_string();
    let body = event("ObjectRemoved:Delete", "pail", "data/a");
    for _ in 0..70 {
        assert_eq!(ask(&address, &post("", &body)).await, "HTTP/1.1 200 OK");
    }
    let mut told = Vec::new();
    for _ in 0..65 {
        told.extend(webhook.next().await.unwrap());
    }
    let all = |news: &&News| matches!(news, News::Below { prefix } if prefix.is_empty());
    assert_eq!(told.iter().filter(all).count(), 1);
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    let open = async |address: &str, token: Option<&str>| {
        let builder = CloudMount::builder("memory:")
            .set("webhook", address)
            .unwrap();
        let builder = match token {
            Some(text) => {
                fs::write(&file, text).unwrap();
                builder
                    .set("webhook-token-file", file.to_str().unwrap())
                    .unwrap()
            }
            None => builder,
        };
        builder.open().await
    };
    let said = open("0.0.0.0:0", None).await.unwrap_err().to_string();
    assert!(said.contains("--webhook-token-file"), "{said}");
    for text in ["", "  \n", "two words"] {
        let said = open("0.0.0.0:0", Some(text)).await.unwrap_err().to_string();
        assert!(said.contains("one word"), "{text:?}: {said}");
    }
    let files = open("0.0.0.0:0", Some("token\n")).await.unwrap();
    let feeds = files.status().feeds;
    assert!(
        feeds[0].kind.starts_with("webhook at http://0.0.0.0:"),
        "{feeds:?}"
    );
    assert!(files.close().await.is_complete());
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..LOOKS {
        if is_so().await {
            return;
        }
        rest().await;
    }
    unreachable!("never: {what}");
}

/// A bucket of files that others change, mounted by a kernel that believes everything for an hour.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_sees_at_once_what_is_posted() {
    if !Path::new("/dev/fuse").exists() {
        println!("skipped: no /dev/fuse");
        return;
    }
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pail = tempfile::tempdir().unwrap();
    let bucket = pail.path().to_owned();
    for name in ["changed", "gone"] {
        fs::write(bucket.join(name), "old").unwrap();
    }
    let mut builder = CloudMount::builder(format!("file://{}", bucket.display()));
    for (name, value) in [
        ("ttl", "1h"),
        ("webhook", "127.0.0.1:0"),
        ("state-dir", state.path().to_str().unwrap()),
    ] {
        builder = builder.set(name, value).unwrap();
    }
    let files = builder.open().await.unwrap();
    let kind = files.status().feeds[0].kind.clone();
    let address = kind.strip_prefix("webhook at http://").unwrap();
    let mounted = files
        .mount(dir.path(), cloudmount::MountSettings::default())
        .await
        .unwrap();
    let read = async |name: &str| {
        let path = dir.path().join(name);
        let read = tokio::task::spawn_blocking(move || fs::read_to_string(path).ok());
        read.await.unwrap()
    };
    for name in ["changed", "gone"] {
        assert_eq!(read(name).await.as_deref(), Some("old"));
    }
    assert_eq!(read("new").await, None);
    fs::write(bucket.join("changed"), "newer").unwrap();
    fs::write(bucket.join("new"), "new").unwrap();
    fs::remove_file(bucket.join("gone")).unwrap();
    assert_eq!(
        read("changed").await.as_deref(),
        Some("old"),
        "nobody has told it"
    );
    for (kind, key) in [
        ("ObjectCreated:Put", "changed"),
        ("ObjectCreated:Put", "new"),
        ("ObjectRemoved:Delete", "gone"),
    ] {
        let body = event(kind, "any", key);
        assert_eq!(ask(address, &post("", &body)).await, "HTTP/1.1 200 OK");
    }
    until("what is new is seen", async || {
        read("new").await.as_deref() == Some("new")
    })
    .await;
    until("what has changed is seen", async || {
        read("changed").await.as_deref() == Some("newer")
    })
    .await;
    until("what is gone is not", async || read("gone").await.is_none()).await;
    until("all three are counted", async || {
        files.status().feeds[0].news == 3
    })
    .await;
    mounted.unmount().await.unwrap();
    assert!(files.close().await.is_complete());
}

/// The same by listing, with the machine's clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_is_watched_is_seen_without_being_told() {
    let (pail, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut builder = CloudMount::builder(format!("file://{}", pail.path().display()));
    for (name, value) in [
        ("ttl", "1h"),
        ("watch-interval", "1s"),
        ("state-dir", state.path().to_str().unwrap()),
    ] {
        builder = builder.set(name, value).unwrap();
    }
    let files = builder.open().await.unwrap();
    assert_eq!(files.status().feeds[0].kind, "listing every 1 s");
    let look = async || {
        files
            .read("new")
            .await
            .ok()
            .is_some_and(|bytes| bytes == "new")
    };
    until("the first listing", async || {
        files.status().feeds[0].news == 1
    })
    .await;
    assert!(!look().await);
    fs::write(pail.path().join("new"), "new").unwrap();
    until("what is new is seen", look).await;
    assert!(files.close().await.is_complete());
}
