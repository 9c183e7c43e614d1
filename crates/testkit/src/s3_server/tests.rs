//! What only HTTP can say.

use cloudmount_store::MemoryStore;
use cloudmount_vfs::SystemClock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

fn server(dialect: Dialect) -> S3Server {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let bucket = Arc::new(MemoryStore::new(Arc::clone(&clock)));
    S3Server::start(bucket, dialect, clock).unwrap()
}

/// The whole answer.
async fn ask(server: &S3Server, head: &str, body: &str) -> String {
    let endpoint = server.endpoint();
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const REMOVAL: &str = "<Delete><Object><Key>a</Key></Object></Delete>";

#[tokio::test]
async fn removals_of_many_need_their_checksum() {
    let server = server(Dialect::NeedsMd5);
    let head = "POST /pail?delete HTTP/1.1";
    let without = ask(&server, head, REMOVAL).await;
    assert!(without.starts_with("HTTP/1.1 400"), "{without}");
    assert!(without.contains("Content-MD5 is missing"), "{without}");
    let wrong = format!("{head}\r\nContent-MD5: 1B2M2Y8AsgTpgAmY7PhCfg==");
    let wrong = ask(&server, &wrong, REMOVAL).await;
    assert!(wrong.contains("BadDigest"), "{wrong}");
}

#[tokio::test]
async fn one_of_seven_is_told_to_wait() {
    let server = server(Dialect::Throttles403);
    let mut refused = 0;
    for _ in 0..14 {
        let answer = ask(&server, "HEAD /pail/a HTTP/1.1", "").await;
        if answer.starts_with("HTTP/1.1 403") {
            assert!(answer.contains("Retry-After: 0"), "{answer}");
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
            refused += 1;
        } else {
            assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
        }
    }
    assert_eq!((refused, server.requests()), (2, 14));
}

#[tokio::test]
async fn what_it_does_not_know_it_says() {
    let server = server(Dialect::Plain);
    for (head, status) in [
        ("GET /other/a HTTP/1.1", 404),
        ("GET /pail?acl HTTP/1.1", 501),
        ("PATCH /pail/a HTTP/1.1", 501),
        ("GET /pail/%ff HTTP/1.1", 400),
    ] {
        let answer = ask(&server, head, "").await;
        let status = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&status), "{head}: {answer}");
        assert!(answer.contains("\r\nDate: "), "{answer}");
    }
}

/// Some clients ask for the last piece of an object without its end.
#[tokio::test]
async fn a_range_may_have_no_end() {
    let server = server(Dialect::Plain);
    ask(&server, "PUT /pail/a HTTP/1.1", "0123456789").await;
    let asked = |range| format!("GET /pail/a HTTP/1.1\r\nRange: bytes={range}");
    for (range, told, body) in [("7-", "7-9/10", "789"), ("2-3", "2-3/10", "23")] {
        let answer = ask(&server, &asked(range), "").await;
        assert!(answer.starts_with("HTTP/1.1 206"), "{answer}");
        assert!(answer.contains(&format!("bytes {told}")), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
}
