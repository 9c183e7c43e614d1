//! How long servers that are slow, silent or busy are waited for.

use super::*;

#[tokio::test]
async fn silence_times_out() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"e\"\r\n\r\n12345";
    let server = serve(vec![
        Canned::Silence(String::new()),
        Canned::Silence(begun.to_owned()),
    ])
    .await;
    let store = server.store();
    let error = store.head(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    let error = store
        .get_bytes(&key("a"), GetOptions::default())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert!(error.to_string().contains("stalled"), "{error}");
}

/// What a server does with each of its connections, in turn; with those after the last, nothing.
async fn serve_by(talks: Vec<fn(TcpStream) -> BoxFuture<'static, ()>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut talks = talks.into_iter();
        let mut idle = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            match talks.next() {
                Some(talk) => drop(tokio::spawn(talk(stream))),
                None => idle.push(stream),
            }
        }
    });
    Server {
        port,
        seen: Arc::default(),
    }
}

/// Tells of a megabyte, and brings a byte every ten seconds of the fast clock.
fn drip(mut stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        read_request(&mut stream).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\nETag: \"e\"\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        while stream.write_all(b"x").await.is_ok() {
            pause(Duration::from_millis(100)).await;
        }
    })
}

/// Takes nothing, says nothing.
fn hang(stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
}

fn well(mut stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        read_request(&mut stream).await.unwrap();
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
}

fn fast(settings: &S3Settings) -> S3Store {
    S3Store::new("pail", settings, Arc::new(FastClock(SystemClock::new()))).unwrap()
}

#[tokio::test]
async fn an_answer_that_drips_is_given_up() {
    let server = serve_by(vec![drip, drip]).await;
    let store = fast(&server.settings());
    let body = store.get_bytes(&key("a"), GetOptions::default()).await;
    let error = body.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert!(error.to_string().contains("bytes in"), "{error}");
    // A document too.
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
}

#[tokio::test]
async fn who_takes_no_body_is_given_up() {
    let server = serve_by(vec![hang]).await;
    let body = Bytes::from(vec![7; 64 << 20]);
    let store = fast(&server.settings());
    let put = store
        .put(&key("a"), body.into(), PutOptions::default())
        .await;
    let error = put.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
}

#[tokio::test]
async fn who_does_not_shake_hands_is_given_up() {
    let server = serve_by(vec![hang]).await;
    let settings = S3Settings {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port)),
        ..server.settings()
    };
    let error = fast(&settings).head(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
}

#[tokio::test]
async fn a_server_that_hangs_is_tried_again() {
    for body in [None, Some(Bytes::from_static(b"x"))] {
        let server = serve_by(vec![hang, well]).await;
        let store = Arc::new(fast(&server.settings()));
        let clock = Arc::new(FastClock(SystemClock::new()));
        let retry = Retry::new(store, RetrySettings::default(), clock);
        let a = key("a");
        let version = match body {
            None => retry.head(&a).await.unwrap().version,
            Some(body) => {
                let put = retry.put(&a, body.into(), PutOptions::default());
                put.await.unwrap()
            }
        };
        assert_eq!(version.as_str(), "\"e\"");
    }
}

fn parts(count: u16) -> Vec<PartTag> {
    let tag = |number| PartTag {
        number,
        tag: "\"t\"".to_owned(),
    };
    (1..=count).map(tag).collect()
}

/// Who hangs is told from who works by how much work there is: the messages say how long each was waited for.
#[tokio::test]
async fn a_server_that_has_little_to_do_is_not_waited_for_long() {
    let server = serve_by(vec![]).await;
    let clock = HastyClock(Duration::from_millis(5));
    let store = S3Store::new("pail", &server.settings(), Arc::new(clock)).unwrap();
    let (a, b, upload) = (key("a"), key("b"), UploadId("u".to_owned()));
    let source = || CopySource {
        key: a.clone(),
        if_match: None,
    };
    let copy = async |source_bytes| {
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: Precondition::None,
            source_bytes,
        };
        store.copy(source(), &b, options).await.unwrap_err()
    };
    let copy_part = async |bytes| {
        let copied = store.multipart_copy(&b, &upload, 1, source(), 0..bytes);
        copied.await.unwrap_err()
    };
    let join = async |count| {
        let parts = parts(count);
        let joined = store.multipart_complete(&b, &upload, &parts, Precondition::None);
        joined.await.unwrap_err()
    };
    let remove = async |count| {
        let keys: Vec<_> = (0..count).map(|n| key(&format!("{n}"))).collect();
        store.delete(&keys).await.unwrap_err()
    };
    let (small, large) = (1 << 10, 512 << 20);
    for (what, error, secs) in [
        ("a small copy", copy(Some(small)).await, 30),
        ("a large copy", copy(Some(large)).await, 165),
        ("a copy of who knows what", copy(None).await, 600),
        ("a small copy of a part", copy_part(small).await, 30),
        ("a large copy of a part", copy_part(large).await, 165),
        ("two parts", join(2).await, 35),
        ("a hundred parts", join(100).await, 130),
        ("all parts that there may be", join(10_000).await, 600),
        ("two objects", remove(2).await, 35),
        ("a thousand objects", remove(1000).await, 530),
    ] {
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{what}: {error:?}");
        let waited = format!(" for {secs} s:");
        assert!(error.to_string().contains(&waited), "{what}: {error}");
    }
}

/// Joins parts for 70 s of the fast clock, with white space every ten, as S3 does.
fn join_slowly(mut stream: TcpStream) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        read_request(&mut stream).await.unwrap();
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<?xml version=\"1.0\"?>";
        let end =
            "<CompleteMultipartUploadResult><ETag>\"e\"</ETag></CompleteMultipartUploadResult>";
        stream.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..7 {
            pause(Duration::from_millis(100)).await;
            if stream.write_all(b" ").await.is_err() {
                return;
            }
        }
        // Who gave up has left.
        stream.write_all(end.as_bytes()).await.unwrap_or_default();
    })
}

#[tokio::test]
async fn parts_that_are_joined_slowly_are_waited_for_if_there_are_many() {
    let server = serve_by(vec![join_slowly, join_slowly]).await;
    let store = fast(&server.settings());
    let upload = UploadId("u".to_owned());
    let join = async |count| {
        let (a, parts) = (key("a"), parts(count));
        let joined = store.multipart_complete(&a, &upload, &parts, Precondition::None);
        joined.await
    };
    assert_eq!(join(100).await.unwrap().as_str(), "\"e\"");
    let error = join(1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error:?}");
    assert!(error.to_string().contains("bytes in"), "{error}");
}

#[tokio::test]
async fn a_slow_upload_is_not_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let total: usize = 32 << 20;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        // 32 pauses of 40 ms: more in all than the clock allows for one silence.
        let mut buffer = vec![0; 1 << 20];
        for _ in 0..total >> 20 {
            stream.read_exact(&mut buffer).await.unwrap();
            pause(Duration::from_millis(40)).await;
        }
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: \"e\"\r\n\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        pause(Duration::from_secs(5)).await;
    });
    let server = Server {
        port,
        seen: Arc::default(),
    };
    let body = Bytes::from(vec![7; total]);
    let put = server
        .store()
        .put(&key("a"), body.into(), PutOptions::default())
        .await;
    assert_eq!(put.unwrap().as_str(), "\"e\"");
}
