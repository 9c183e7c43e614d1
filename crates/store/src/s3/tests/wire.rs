//! What requests look like, and what becomes of answers that are too long, too short or odd.

use super::*;

#[tokio::test]
async fn keys_go_out_byte_for_byte() {
    let keys = [
        ("a//b", "a//b"),
        ("a/", "a/"),
        ("/a", "/a"),
        ("./x", "./x"),
        ("../../y", "../../y"),
        ("a/./b/..", "a/./b/.."),
        ("%2e%2E", "%252e%252E"),
        ("a?b#c", "a%3Fb%23c"),
        ("\u{1}\n", "%01%0A"),
        ("é +", "%C3%A9%20%2B"),
    ];
    let server = serve(
        keys.iter()
            .map(|_| answer("200 OK", GOOD_HEAD, ""))
            .collect(),
    )
    .await;
    let store = server.store();
    for (text, _) in keys {
        store.head(&key(text)).await.unwrap();
    }
    let expected = keys.map(|(_, path)| format!("HEAD /pail/{path}"));
    assert_eq!(server.lines(), expected);
}

#[tokio::test]
async fn requests_are_signed_and_dated() {
    let server = serve(vec![
        answer("200 OK", GOOD_HEAD, ""),
        answer("200 OK", GOOD_HEAD, ""),
    ])
    .await;
    server.store().head(&key("a")).await.unwrap();
    let anonymous = S3Settings {
        credentials: S3Credentials::Anonymous,
        ..server.settings()
    };
    server.store_with(&anonymous).head(&key("a")).await.unwrap();
    let seen = server.seen.lock();
    let value = seen[0].header("authorization").unwrap();
    let start = "AWS4-HMAC-SHA256 Credential=AKIA/20130524/us-east-1/s3/aws4_request, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token, Signature=";
    assert!(value.starts_with(start), "{value}");
    assert_eq!(seen[0].header("x-amz-security-token"), Some("hunter3"));
    assert_eq!(seen[0].header("x-amz-date"), Some("20130524T000000Z"));
    assert_eq!(
        seen[0].header("host"),
        Some(format!("127.0.0.1:{}", server.port).as_str())
    );
    assert_eq!(seen[1].header("authorization"), None);
}

#[tokio::test]
async fn a_short_body_is_an_error() {
    let short = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"e\"\r\n\r\n12345";
    let no_length = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 0-9/20\r\n\
                     ETag: \"e\"\r\n\r\n12345";
    for (text, range) in [(short, None), (no_length, Some(0..10))] {
        let server = serve(vec![Canned::Bytes(text.to_owned())]).await;
        let options = GetOptions {
            range,
            if_match: None,
        };
        let result = server.store().get(&key("a"), options).await.unwrap();
        let pieces: Vec<_> = result.body.collect().await;
        assert_eq!(pieces[0].as_ref().unwrap(), "12345");
        let error = pieces[1].as_ref().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Connection, "{error:?}");
        assert_eq!(pieces.len(), 2);
    }
}

#[tokio::test]
async fn a_long_body_is_an_error() {
    let text = "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Range: bytes 0-3/20\r\n\
                ETag: \"e\"\r\n\r\n12345";
    let server = serve(vec![Canned::Bytes(text.to_owned())]).await;
    let options = GetOptions {
        range: Some(0..4),
        if_match: None,
    };
    let error = server
        .store()
        .get_bytes(&key("a"), options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
}

#[tokio::test]
async fn pages_of_uploads_go_on_where_the_last_ended() {
    let first = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a b</NextKeyMarker>\
                 <NextUploadIdMarker>u&amp;1</NextUploadIdMarker></ListMultipartUploadsResult>";
    let last = "<ListMultipartUploadsResult></ListMultipartUploadsResult>";
    let server = serve(vec![
        answer("200 OK", "", first),
        answer("200 OK", "", last),
    ])
    .await;
    let store = server.store();
    let page = store.multipart_list("a", None).await.unwrap();
    let page = store.multipart_list("a", page.next).await.unwrap();
    assert_eq!(page.next, None);
    let expected = [
        "GET /pail/?uploads&max-uploads=1000&prefix=a",
        "GET /pail/?uploads&max-uploads=1000&prefix=a&key-marker=a%20b&upload-id-marker=u%261",
    ];
    assert_eq!(server.lines(), expected);
}

#[tokio::test]
async fn long_pages_are_asked_for_until_they_are_refused() {
    let refused = "<Error><Code>InvalidArgument</Code></Error>";
    let empty = "<ListBucketResult></ListBucketResult>";
    let answers = [
        ("200 OK", empty),
        ("500 Internal Server Error", ""),
        ("400 Bad Request", refused),
        ("400 Bad Request", refused),
        ("400 Bad Request", refused),
        ("200 OK", empty),
        ("200 OK", empty),
    ];
    let server = serve((answers.map(|(status, body)| answer(status, "", body))).into()).await;
    let store = server.store();
    let list = async |limit| {
        let request = ListRequest {
            limit,
            ..ListRequest::default()
        };
        store.list(request).await.map_err(|error| error.kind())
    };
    list(Some(5000)).await.unwrap();
    assert_eq!(list(Some(5000)).await.unwrap_err(), ErrorKind::Server);
    // What is refused with any number says nothing of the number.
    let refused = list(Some(5000)).await.unwrap_err();
    assert_eq!(refused, ErrorKind::InvalidRequest);
    list(Some(5000)).await.unwrap();
    list(Some(5000)).await.unwrap();
    let lines = server.lines();
    let numbers = lines.iter().map(|line| {
        let (_, rest) = line.split_once("max-keys=").unwrap();
        rest.split('&').next().unwrap()
    });
    let numbers: Vec<_> = numbers.collect();
    assert_eq!(
        numbers,
        ["5000", "5000", "5000", "1000", "5000", "1000", "1000"]
    );
}

#[tokio::test]
async fn what_is_not_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        seen: Arc::default(),
    };
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let plain = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        stream.write_all(plain).await.unwrap();
    });
    let settings = S3Settings {
        endpoint: Some(format!("https://127.0.0.1:{}", server.port)),
        ..server.settings()
    };
    let error = server
        .store_with(&settings)
        .head(&key("a"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
    assert!(
        error.to_string().contains("TLS with https://127.0.0.1"),
        "{error}"
    );
}

#[tokio::test]
async fn connections_are_used_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server {
        port: listener.local_addr().unwrap().port(),
        seen: Arc::default(),
    };
    let seen = Arc::clone(&server.seen);
    // One connection is all that is ever accepted. The answers end with a chunk of their own, as
    // those of Ceph do: who does not read it cannot go on.
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while let Some(request) = read_request(&mut stream).await {
            seen.lock().push(request);
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: \"e\"\r\n\r\n";
            stream.write_all(head).await.unwrap();
            pause(Duration::from_millis(5)).await;
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
    });
    let store = server.store();
    for _ in 0..3 {
        let a = key("a");
        let put = store.put(&a, Payload::default(), PutOptions::default());
        put.await.unwrap();
        store.delete(&[a]).await.unwrap().remove(0).unwrap();
    }
    assert_eq!(server.lines().len(), 6);
}

#[tokio::test]
async fn many_headers_are_read() {
    let headers: String = (0..300)
        .map(|n| format!("x-amz-meta-k{n}: v\r\n"))
        .collect();
    let server = serve(vec![answer("200 OK", &format!("{GOOD_HEAD}{headers}"), "")]).await;
    let meta = server.store().head(&key("a")).await.unwrap();
    assert_eq!(meta.metadata.user.len(), 300);
}
