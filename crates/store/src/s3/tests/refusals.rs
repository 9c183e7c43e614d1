//! Refusals, conditions, and what is missing.

use super::*;

#[tokio::test]
async fn success_with_an_error_inside_is_an_error() {
    let inside = "\n\n <?xml version=\"1.0\"?>\n<Error><Code>SlowDown</Code><Message>Later.</Message></Error>";
    let server = serve(vec![
        answer("200 OK", "", inside),
        answer("200 OK", "", inside),
        answer("200 OK", "", inside),
        answer("200 OK", "", "<CopyObjectResult></CopyObjectResult>"),
    ])
    .await;
    let store = server.store();
    let source = || CopySource {
        key: key("a"),
        if_match: None,
    };
    let options = || CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    let upload = UploadId("u".to_owned());
    let part = PartTag {
        number: 1,
        tag: "\"t\"".to_owned(),
    };
    let copied = store
        .copy(source(), &key("b"), options())
        .await
        .unwrap_err();
    let completed = store
        .multipart_complete(&key("b"), &upload, &[part], Precondition::None)
        .await;
    let part_copied = store
        .multipart_copy(&key("b"), &upload, 1, source(), 0..5)
        .await;
    for error in [copied, completed.unwrap_err(), part_copied.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Throttled, "{error:?}");
        assert!(error.to_string().contains("SlowDown: Later"), "{error}");
    }
    let empty = store
        .copy(source(), &key("b"), options())
        .await
        .unwrap_err();
    assert_eq!(empty.kind(), ErrorKind::Io, "{empty:?}");
    let seen = server.seen.lock();
    let document = String::from_utf8(seen[1].body.clone()).unwrap();
    assert!(
        document.contains("<PartNumber>1</PartNumber><ETag>&quot;t&quot;</ETag>"),
        "{document}"
    );
    assert_eq!(seen[2].header("x-amz-copy-source-range"), Some("bytes=0-4"));
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let region = "x-amz-bucket-region: eu-west-3\r\n";
    let document = "<Error><Code>InvalidAccessKeyId</Code><Message>Unknown key.</Message></Error>";
    let server = serve(vec![
        answer(
            "301 Moved Permanently",
            &format!("Location: http://127.0.0.1:1/\r\n{region}"),
            "",
        ),
        answer(
            "503 Slow Down",
            "Retry-After: 7\r\n",
            "<Error><Code>SlowDown</Code></Error>",
        ),
        answer("403 Forbidden", "", document),
        answer("502 Bad Gateway", "", "<html>nginx</html>"),
    ])
    .await;
    let store = server.store();
    let error = store.head(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("the bucket is in region eu-west-3"),
        "{error}"
    );
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Throttled, "{error:?}");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert!(
        error
            .to_string()
            .contains("list bucket \"pail\" at http://127.0.0.1:"),
        "{error}"
    );
    assert!(!format!("{error:?}").contains("hunter"), "{error:?}");
    let error = store.list(ListRequest::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Server, "{error:?}");
}

#[tokio::test]
async fn versions_are_not_mixed_where_conditions_are_ignored() {
    let server = serve(vec![answer("200 OK", "ETag: \"new\"\r\n", "x")]).await;
    let options = GetOptions {
        range: None,
        if_match: Some(Version::new("\"old\"")),
    };
    let error = server.store().get(&key("a"), options).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");

    let copied = "<CopyPartResult><ETag>\"p\"</ETag></CopyPartResult>";
    let server = serve(vec![
        answer("200 OK", "", copied),
        answer("200 OK", "ETag: \"new\"\r\n", ""),
    ])
    .await;
    let source = CopySource {
        key: key("a"),
        if_match: Some(Version::new("\"old\"")),
    };
    let upload = UploadId("u".to_owned());
    let part = server
        .store()
        .multipart_copy(&key("b"), &upload, 1, source, 0..5)
        .await;
    assert_eq!(part.unwrap_err().kind(), ErrorKind::Precondition);
}

#[tokio::test]
async fn unknown_conditions_are_refused_unsent() {
    let server = serve(Vec::new()).await;
    let settings = S3Settings {
        capabilities: Capabilities {
            put_if_absent: false,
            put_if_match: false,
            ..Capabilities::S3
        },
        ..server.settings()
    };
    let store = server.store_with(&settings);
    for precondition in [
        Precondition::Absent,
        Precondition::Matches(Version::new("\"e\"")),
    ] {
        let options = PutOptions {
            precondition: precondition.clone(),
            ..PutOptions::default()
        };
        let put = store
            .put(&key("a"), Payload::default(), options)
            .await
            .unwrap_err();
        let source = CopySource {
            key: key("a"),
            if_match: None,
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: precondition.clone(),
            source_bytes: None,
        };
        let copy = store.copy(source, &key("b"), options).await.unwrap_err();
        let upload = UploadId("u".to_owned());
        let complete = store
            .multipart_complete(&key("a"), &upload, &[], precondition)
            .await;
        for error in [put, copy, complete.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        }
    }
    assert!(server.lines().is_empty());
}

#[tokio::test]
async fn removals_fall_back_to_one_by_one() {
    let refused = "<Error><Code>NotImplemented</Code></Error>";
    let mut answers = vec![answer("501 Not Implemented", "", refused)];
    answers.extend((0..4).map(|_| answer("204 No Content", "", "")));
    let server = serve(answers).await;
    let store = server.store();
    let keys = [key("a"), key("b")];
    for _ in 0..2 {
        for result in store.delete(&keys).await.unwrap() {
            result.unwrap();
        }
    }
    let mut lines = server.lines();
    assert_eq!(lines.remove(0), "POST /pail/?delete");
    lines.sort();
    assert_eq!(
        lines,
        [
            "DELETE /pail/a",
            "DELETE /pail/a",
            "DELETE /pail/b",
            "DELETE /pail/b"
        ]
    );
}

#[tokio::test]
async fn removals_of_what_xml_cannot_say_go_alone() {
    let server = serve(vec![
        answer("200 OK", "", "<DeleteResult/>"),
        answer("404 Not Found", "", "<Error><Code>NoSuchKey</Code></Error>"),
    ])
    .await;
    let keys = [key("a"), key("b\n"), key("c&")];
    for result in server.store().delete(&keys).await.unwrap() {
        result.unwrap();
    }
    assert_eq!(server.lines(), ["POST /pail/?delete", "DELETE /pail/b%0A"]);
    let seen = server.seen.lock();
    let document = String::from_utf8(seen[0].body.clone()).unwrap();
    assert!(
        document.contains("<Key>a</Key>") && document.contains("<Key>c&amp;</Key>"),
        "{document}"
    );
    assert!(!document.contains("<Key>b"), "{document}");
    assert!(seen[0].header("content-md5").is_some());
}

#[tokio::test]
async fn removals_name_the_version_that_they_mean() {
    let refused = "<Error><Code>PreconditionFailed</Code></Error>";
    let many =
        "<DeleteResult><Error><Key>b</Key><Code>PreconditionFailed</Code></Error></DeleteResult>";
    let server = serve(vec![
        answer("412 Precondition Failed", "", refused),
        answer("200 OK", "", many),
    ])
    .await;
    let store = server.store();
    let removal = |name| Removal {
        key: key(name),
        version: Version::new("\"x\""),
    };
    let alone = store.delete_if(&[removal("a")]).await.unwrap().remove(0);
    assert_eq!(alone.unwrap_err().kind(), ErrorKind::Precondition);
    let both = store
        .delete_if(&[removal("a"), removal("b")])
        .await
        .unwrap();
    let kinds: Vec<_> = both
        .into_iter()
        .map(|one| one.err().map(|e| e.kind()))
        .collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Precondition)]);
    assert_eq!(server.lines(), ["DELETE /pail/a", "POST /pail/?delete"]);
    let seen = server.seen.lock();
    assert_eq!(seen[0].header("if-match"), Some("\"x\""));
    let document = String::from_utf8(seen[1].body.clone()).unwrap();
    assert_eq!(
        document.matches("<ETag>&quot;x&quot;</ETag>").count(),
        2,
        "{document}"
    );
}

#[tokio::test]
async fn a_missing_bucket_is_not_a_removal() {
    let missing = "<Error><Code>NoSuchBucket</Code></Error>";
    let server = serve(vec![answer("404 Not Found", "", missing)]).await;
    let result = server.store().delete(&[key("a")]).await.unwrap().remove(0);
    assert_eq!(result.unwrap_err().kind(), ErrorKind::NoBucket);
}

/// What is asked to `HEAD` is answered without words, so that a listing has to say whether there is a bucket.
#[tokio::test]
async fn a_missing_bucket_is_no_missing_object() {
    let gone = "<Error><Code>NoSuchBucket</Code></Error>";
    let listing = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    let silent = || answer("404 Not Found", "", "");
    let server = serve(vec![
        silent(),
        answer("404 Not Found", "", gone),
        silent(),
        silent(),
        answer("200 OK", "", listing),
        silent(),
        silent(),
        answer(
            "403 Forbidden",
            "",
            "<Error><Code>AccessDenied</Code></Error>",
        ),
        silent(),
        answer(
            "200 OK",
            &format!("{GOOD_HEAD}Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            "",
        ),
        silent(),
    ])
    .await;
    let clock = ManualClock::new();
    let store = S3Store::new("pail", &server.settings(), Arc::new(clock.clone())).unwrap();
    let looked = async || store.head(&key("a")).await.unwrap_err().kind();
    let secs = |secs| clock.advance(Duration::from_secs(secs));
    assert_eq!(looked().await, ErrorKind::NoBucket);
    assert_eq!(looked().await, ErrorKind::NoBucket, "a moment later");
    secs(1);
    assert_eq!(looked().await, ErrorKind::NotFound, "it was made again");
    secs(4);
    assert_eq!(looked().await, ErrorKind::NotFound, "it was just seen");
    secs(1);
    assert_eq!(looked().await, ErrorKind::NotFound, "nobody may list it");
    assert_eq!(looked().await, ErrorKind::NotFound, "nor a moment later");
    secs(60);
    store.head(&key("b")).await.unwrap();
    assert_eq!(
        looked().await,
        ErrorKind::NotFound,
        "an object of it was seen"
    );
    let listings = server
        .lines()
        .iter()
        .filter(|line| line.starts_with("GET"))
        .count();
    assert_eq!(
        (listings, server.lines().len()),
        (3, 11),
        "{:?}",
        server.lines()
    );
}
