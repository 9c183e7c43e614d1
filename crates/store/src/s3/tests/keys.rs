//! Where keys come from, and the clock that signatures name.

use super::*;

#[tokio::test]
async fn credentials_of_the_instance() {
    let json = "{\"AccessKeyId\":\"ROLE\",\"SecretAccessKey\":\"hunter4\",\"Token\":\"session\",\
                \"Expiration\":\"2999-01-01T00:00:00Z\"}";
    let metadata = serve(vec![
        answer("200 OK", "", "imds-token"),
        answer("200 OK", "", "the-role"),
        answer("200 OK", "", json),
    ])
    .await;
    let server = serve(vec![
        answer("200 OK", GOOD_HEAD, ""),
        answer("200 OK", GOOD_HEAD, ""),
    ])
    .await;
    let settings = S3Settings {
        credentials: S3Credentials::Instance {
            metadata_endpoint: Some(format!("http://127.0.0.1:{}", metadata.port)),
        },
        ..server.settings()
    };
    let store = server.store_with(&settings);
    store.head(&key("a")).await.unwrap();
    store.head(&key("a")).await.unwrap();
    let prefix = "/latest/meta-data/iam/security-credentials/";
    let expected = [
        "PUT /latest/api/token".to_owned(),
        format!("GET {prefix}"),
        format!("GET {prefix}the-role"),
    ];
    assert_eq!(metadata.lines(), expected);
    let seen = server.seen.lock();
    for request in seen.iter() {
        assert_eq!(request.header("x-amz-security-token"), Some("session"));
        assert!(
            request
                .header("authorization")
                .unwrap()
                .contains("Credential=ROLE/")
        );
    }
    assert_eq!(seen.len(), 2);
}

/// An answer to `HEAD` has no words: that the keys have expired is one of the things that 400 may mean.
#[tokio::test]
async fn who_is_refused_without_words_asks_for_new_keys_once_a_minute() {
    let json = "{\"AccessKeyId\":\"ROLE\",\"SecretAccessKey\":\"hunter4\",\"Token\":\"session\",\
                \"Expiration\":\"2999-01-01T00:00:00Z\"}";
    let fetch = || ["imds-token", "the-role", json].map(|body| answer("200 OK", "", body));
    let metadata = serve((0..3).flat_map(|_| fetch()).collect()).await;
    let refusals = (0..5).map(|_| answer("400 Bad Request", "", ""));
    let server = serve(refusals.collect()).await;
    let settings = S3Settings {
        credentials: S3Credentials::Instance {
            metadata_endpoint: Some(format!("http://127.0.0.1:{}", metadata.port)),
        },
        ..server.settings()
    };
    let clock = ManualClock::new();
    let store = S3Store::new("pail", &settings, Arc::new(clock.clone())).unwrap();
    let asked = async || {
        let error = store.head(&key("a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
        (server.lines().len(), metadata.lines().len() / 3)
    };
    assert_eq!(asked().await, (2, 2), "it may have been that");
    assert_eq!(asked().await, (3, 2), "it was not");
    clock.advance(Duration::from_secs(61));
    assert_eq!(asked().await, (5, 3), "who knows");
}

#[tokio::test]
async fn a_web_identity_without_its_token_is_told_so() {
    let server = serve(Vec::new()).await;
    let settings = S3Settings {
        credentials: S3Credentials::WebIdentity {
            token_file: "/no/such/token".to_owned(),
            role_arn: "arn".to_owned(),
            session_name: None,
            sts_endpoint: None,
        },
        ..server.settings()
    };
    let error = server.store_with(&settings).head(&key("a")).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    let words = "no credentials: cannot read the token in /no/such/token: No such file";
    assert!(error.to_string().contains(words), "{error}");
}

#[tokio::test]
async fn a_web_identity_goes_over_tls_only() {
    let server = serve(Vec::new()).await;
    let settings = S3Settings {
        credentials: S3Credentials::WebIdentity {
            token_file: concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").to_owned(),
            role_arn: "arn".to_owned(),
            session_name: None,
            sts_endpoint: Some(format!("http://127.0.0.1:{}", server.port)),
        },
        ..server.settings()
    };
    let error = server
        .store_with(&settings)
        .head(&key("a"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{error:?}");
    assert!(format!("{error:?}").contains("plain http"), "{error:?}");
    assert!(server.lines().is_empty());
}

/// A machine whose clock is nine hours behind: what is refused for that is signed by the server's clock.
#[tokio::test]
async fn who_has_a_wrong_clock_signs_by_that_of_the_server() {
    let well = || answer("200 OK", "ETag: \"e\"\r\n", "");
    let refused = |body: &str| {
        let date = "Date: Fri, 24 May 2013 09:00:00 GMT\r\n";
        answer("403 Forbidden", date, body)
    };
    let skewed = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    let server = serve(vec![refused(skewed), well(), well(), refused(skewed)]).await;
    let clock = Arc::new(HastyClock(Duration::from_millis(500)));
    let store = S3Store::new("pail", &server.settings(), clock).unwrap();
    assert_eq!(store.time().unwrap().secs(), 1_369_353_600);
    let a = key("a");
    let put = || {
        let body = Bytes::from_static(b"x").into();
        store.put(&a, body, PutOptions::default())
    };
    put().await.unwrap();
    assert_eq!(store.time().unwrap().secs(), 1_369_353_600 + 9 * 3600);
    put().await.unwrap();
    // That it is refused all the same is told: it is not the clock.
    let error = put().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{error:?}");
    let seen = server.seen.lock();
    let dates: Vec<_> = (seen.iter())
        .filter_map(|seen| seen.header("x-amz-date"))
        .collect();
    let (wrong, right) = ("20130524T000000Z", "20130524T090000Z");
    assert_eq!(dates, [wrong, right, right, right]);
    assert!(seen.iter().all(|seen| seen.body == b"x"));
    // No try covers what was the signature of another.
    for seen in seen.iter() {
        let signature = seen.header("authorization").unwrap();
        assert!(!signature.contains("authorization"), "{signature}");
    }
}
