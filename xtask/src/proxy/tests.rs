//! The proxy in front of a tiny server that remembers what it was asked.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::*;
use crate::time::{now, wait_until};

/// Answers each request with what it asked: 200, and the body that it had, or as many bytes as `GET /pail/N`
/// says.
struct Echo {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let for_thread = Arc::clone(&seen);
        // It goes with the process; nothing of it outlives a test's sight.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let seen = Arc::clone(&for_thread);
                std::thread::spawn(move || answer_all(stream, &seen));
            }
        });
        Self { address, seen }
    }

    fn proxy(&self, link: Link, rules: &[&str]) -> Proxy {
        let rules = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        let plan = Plan { seed: 1, rules };
        Proxy::start(&format!("http://{}", self.address), link, plan).unwrap()
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn answer_all(mut stream: TcpStream, seen: &Mutex<Vec<String>>) {
    let mut pipe = pipe::Pipe::new(stream.try_clone().unwrap());
    while let Ok(Some(head)) = pipe.head() {
        assert!(!head.expects_continue(), "the proxy has answered that");
        let mut body = Vec::new();
        let whole = pipe.body(head.request_body().unwrap(), 1000, &mut |bytes| {
            body.extend_from_slice(bytes);
            Ok(())
        });
        if whole.is_err() {
            return;
        }
        let line = format!("{} {}", head.method(), head.target());
        seen.lock().unwrap().push(format!("{line} {}", body.len()));
        let number = head
            .target()
            .strip_prefix("/pail/")
            .and_then(|n| n.parse().ok());
        if let (b"", Some(number)) = (&*body, number) {
            body = vec![b'y'; number];
        }
        let answer = if head.target().contains("chunked") {
            let size = body.len();
            let mut answer =
                format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size:x}\r\n")
                    .into_bytes();
            answer.extend_from_slice(&body);
            answer.extend_from_slice(b"\r\n0\r\n\r\n");
            answer
        } else {
            let closing = if head.target().contains("closing") {
                "Connection: close\r\n"
            } else {
                ""
            };
            let length = body.len();
            let mut answer =
                format!("HTTP/1.1 200 OK\r\n{closing}Content-Length: {length}\r\n\r\n")
                    .into_bytes();
            if head.method() != "HEAD" {
                answer.extend_from_slice(&body);
            }
            answer
        };
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// A client with one connection.
struct Client {
    stream: TcpStream,
    pipe: pipe::Pipe<TcpStream>,
}

impl Client {
    fn of(proxy: &Proxy) -> Self {
        let stream = TcpStream::connect(proxy.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let pipe = pipe::Pipe::new(stream.try_clone().unwrap());
        Self { stream, pipe }
    }

    /// The status and the body, or why there is none.
    fn ask(&mut self, line: &str, headers: &str, body: &[u8]) -> std::io::Result<(u16, Vec<u8>)> {
        let head = format!("{line} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        self.stream.write_all(head.as_bytes())?;
        if headers.contains("100-continue") {
            let invited = self.pipe.head()?.unwrap();
            if invited.status() != 100 {
                return Ok((invited.status(), Vec::new()));
            }
        }
        self.stream.write_all(body)?;
        let Some(head) = self.pipe.head()? else {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let mut got = Vec::new();
        let length = head.answer_body(line.split(' ').next().unwrap())?;
        let read = self.pipe.body(length, 1000, &mut |bytes| {
            got.extend_from_slice(bytes);
            Ok(())
        });
        match read {
            Ok(()) => Ok((head.status(), got)),
            Err(pipe::Broken::Reading(error) | pipe::Broken::Writing(error)) => Err(error),
        }
    }

    fn put(&mut self, key: &str, length: usize) -> std::io::Result<(u16, Vec<u8>)> {
        let headers = format!("Content-Length: {length}\r\n");
        self.ask(&format!("PUT /pail/{key}"), &headers, &vec![b'x'; length])
    }
}

#[test]
fn requests_of_all_framings_pass_on_one_connection() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &[]);
    let mut client = Client::of(&proxy);
    assert_eq!(
        client.put("a", 100_000).unwrap(),
        (200, vec![b'x'; 100_000])
    );
    let chunked = "Transfer-Encoding: chunked\r\n";
    let body = b"3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(
        client.ask("PUT /pail/chunked", chunked, body).unwrap().0,
        200
    );
    let invited = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    assert_eq!(
        client.ask("PUT /pail/b", invited, b"abc").unwrap(),
        (200, b"abc".to_vec())
    );
    assert_eq!(
        client.ask("HEAD /pail/7", "", b"").unwrap(),
        (200, Vec::new())
    );
    assert_eq!(
        client.ask("GET /pail/70000", "", b"").unwrap().1.len(),
        70_000
    );
    let seen = echo.seen();
    assert_eq!(seen.first().unwrap(), "PUT /pail/a 100000");
    assert_eq!(seen.len(), 5);
    let counts = proxy.counts();
    assert_eq!((counts.connections, counts.all().requests), (1, 5));
    let puts = counts.of(Kind::Put);
    assert_eq!((puts.requests, puts.up_bytes), (3, 100_000 + 13 + 3));
    assert_eq!(counts.of(Kind::Get).down_bytes, 70_000);
    client.put("c", 5).unwrap();
    let later = proxy.counts().since(&counts);
    assert_eq!(
        later.to_string(),
        "put 1; 5 bytes up, 5 down, 0 connections"
    );
}

#[test]
fn connections_stay_open_if_they_are_to() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &[]);
    let mut client = Client::of(&proxy);
    assert_eq!(client.put("closing", 3).unwrap().0, 200);
    assert!(client.put("closing", 3).is_err(), "the server ended it");
    proxy.keep_open();
    let mut client = Client::of(&proxy);
    for _ in 0..3 {
        assert_eq!(client.put("closing", 3).unwrap(), (200, b"xxx".to_vec()));
    }
}

#[test]
fn some_kinds_can_meet_a_fault_now() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &[]);
    let mut client = Client::of(&proxy);
    proxy.meet(&[Kind::Put], Some(Fault::Refused(Refusal::Full)));
    let (status, words) = client.put("a", 3).unwrap();
    assert_eq!(status, 507);
    assert!(
        String::from_utf8(words)
            .unwrap()
            .contains("<Code>InsufficientStorage<")
    );
    assert_eq!(client.ask("GET /pail/7", "", b"").unwrap().0, 200);
    proxy.meet(&[Kind::Put], None);
    assert_eq!(client.put("a", 3).unwrap().0, 200);
}

#[test]
fn faults_come_as_planned_and_the_server_sees_what_they_say() {
    let check = |fault: &str, carried_out: bool, first: Result<u16, ()>| {
        let echo = Echo::start();
        let proxy = echo.proxy(Link::default(), &[&format!("put:#1:{fault}")]);
        let mut client = Client::of(&proxy);
        let answer = client
            .put("a", 50_000)
            .map(|(status, _)| status)
            .map_err(drop);
        assert_eq!(answer, first, "{fault}");
        let seen = echo.seen();
        assert_eq!(!seen.is_empty(), carried_out, "{fault}: {seen:?}");
        assert_eq!(proxy.counts().of(Kind::Put).faults, 1, "{fault}");
        // The next one is served, on the same connection where there still is one.
        let mut client = if first.is_ok() {
            client
        } else {
            Client::of(&proxy)
        };
        assert_eq!(client.put("a", 3).unwrap().0, 200, "{fault}");
    };
    check("500", false, Ok(500));
    check("503", false, Ok(503));
    check("reset-request", false, Err(()));
    check("reset-reply", true, Err(()));
    check("lost", true, Err(()));
    check("delay=30ms", true, Ok(200));
}

#[test]
fn slow_down_names_the_seconds_and_does_not_invite() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &["put:100%:503+7"]);
    let mut client = Client::of(&proxy);
    let invited = "Expect: 100-continue\r\nContent-Length: 3\r\n";
    assert_eq!(client.ask("PUT /pail/b", invited, b"abc").unwrap().0, 503);
    let mut stream = TcpStream::connect(proxy.address).unwrap();
    let request = "PUT /pail/b HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(
        text.contains("Retry-After: 7\r\n") && text.contains("<Code>SlowDown</Code>"),
        "{text}"
    );
}

#[test]
fn a_late_request_arrives_after_its_client_gave_up() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &["put:#1:late"]);
    assert!(Client::of(&proxy).put("late", 5).is_err());
    assert_eq!(Client::of(&proxy).put("again", 6).unwrap().0, 200);
    wait_until("the late request", Duration::from_secs(10), || {
        Ok((echo.seen().len() == 2).then_some(()))
    })
    .unwrap();
    assert_eq!(echo.seen(), ["PUT /pail/again 6", "PUT /pail/late 5"]);
}

#[test]
fn a_request_hangs_until_the_client_gives_up() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &["get:#1:hang"]);
    let mut client = Client::of(&proxy);
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(client.ask("GET /pail/5", "", b"").is_err());
    drop(client);
    let start = now();
    // Dropping awaits the thread that hung.
    drop(proxy);
    assert!(start.elapsed() < Duration::from_secs(5) && echo.seen().is_empty());
}

#[test]
fn half_of_an_answer_comes_before_the_reset() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &["get:100%:reset-reply"]);
    let mut client = Client::of(&proxy);
    assert!(client.ask("GET /pail/100000", "", b"").is_err());
    assert_eq!(proxy.counts().of(Kind::Get).down_bytes, 50_000);
}

#[test]
fn a_link_has_its_rate_and_its_round_trip() {
    let echo = Echo::start();
    let link = Link {
        round_trip: Duration::from_millis(40),
        per_connection: Some(2 << 20),
        in_total: None,
    };
    let proxy = echo.proxy(link, &[]);
    let mut client = Client::of(&proxy);
    let start = now();
    client.put("a", 1 << 20).unwrap();
    // Half a second up and half a second down, less two bursts of 1/32 s, and two round trips.
    let one = start.elapsed();
    assert!(one >= Duration::from_millis(1017), "{one:?}");
    assert!(one < Duration::from_millis(4000), "{one:?}");
    let start = now();
    client.ask("HEAD /pail/1", "", b"").unwrap();
    assert!(start.elapsed() >= Duration::from_millis(40));
}

#[test]
fn stopping_ends_every_connection() {
    let echo = Echo::start();
    let proxy = echo.proxy(Link::default(), &[]);
    let mut client = Client::of(&proxy);
    client.put("a", 10).unwrap();
    let address = proxy.address;
    let start = now();
    drop(proxy);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert!(client.put("a", 10).is_err());
    assert!(TcpStream::connect(address).is_err());
}
