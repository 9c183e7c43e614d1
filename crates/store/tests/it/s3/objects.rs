//! Keys, listings, metadata, ranges and conditions.

use super::*;

fn strange_keys(server: &Server) -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "a b",
        " a",
        "a ",
        "a+b c",
        "%41",
        "%2F",
        "é/ß/日本",
        "&<>\"'",
        "a?b#c",
        "a;b=c&d",
        "~!$()*,:@[]{}|\\^`",
    ]
    .map(str::to_owned)
    .into();
    if server.has(Lack::PathKeys) {
        let more = [
            "a//b", "a/", "//", "/lead", "./x", "../y", "a/./b", "a/../b", "a/..", ".", "..",
        ];
        keys.extend(more.map(str::to_owned));
    }
    if server.has(Lack::ControlKeys) {
        keys.extend(["\u{1}", "a\tb", "\u{7f}", "\u{85}x", "\u{2028}"].map(str::to_owned));
    }
    if server.has(Lack::LineKeys) {
        keys.extend(["a\nb", "a\r\nb", "\n"].map(str::to_owned));
    }
    if server.has(Lack::NulKeys) {
        keys.push("a\0b".to_owned());
    }
    if server.has(Lack::LongKeys) {
        keys.push("x".repeat(Key::MAX_BYTES));
        keys.push("é".repeat(Key::MAX_BYTES / 2));
    }
    keys
}

#[tokio::test]
async fn strange_keys_survive_everything() {
    let Some(server) = server() else { return };
    let store = &server.store;
    let keys = strange_keys(&server);
    let mut problems = Vec::new();
    for text in &keys {
        if let Err(problem) = one_key(&server, text).await {
            problems.push(format!("{text:?}: {problem}"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");

    // All at once: none hides another, and one bulk removal takes them all.
    let mut there = Vec::new();
    for text in &keys {
        store
            .put(&key(text), payload("x"), PutOptions::default())
            .await
            .unwrap();
        there.push(key(text));
    }
    let listed: BTreeSet<String> = list_all(store, "", Some(3)).await.into_iter().collect();
    for text in &keys {
        assert!(listed.contains(text), "{text:?} is missing in {listed:?}");
    }
    for result in store.delete(&there).await.unwrap() {
        result.unwrap();
    }
    let listed = list_all(store, "", None).await;
    for text in &keys {
        assert!(!listed.contains(text), "{text:?} is still there");
    }
}

async fn one_key(server: &Server, text: &str) -> Result<(), String> {
    let store = &server.store;
    let (key, twin) = (key(text), key("strange/copy"));
    let say = |what: &str, e: cloudmount_store::Error| format!("{what}: {e:?}");
    let version = store
        .put(&key, payload("body"), PutOptions::default())
        .await;
    let version = version.map_err(|e| say("put", e))?;
    let meta = store.head(&key).await.map_err(|e| say("head", e))?;
    if (meta.size, &meta.version) != (4, &version) {
        return Err(format!("head: {meta:?}"));
    }
    let body = store.get_bytes(&key, GetOptions::default()).await;
    if body.map_err(|e| say("get", e))? != "body" {
        return Err("get: other content".to_owned());
    }
    let listed = list_all(store, text, None).await;
    if !listed.contains(&text.to_owned()) {
        return Err(format!("list: {listed:?}"));
    }
    let source = CopySource {
        key: key.clone(),
        if_match: None,
    };
    let options = CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    store
        .copy(source, &twin, options)
        .await
        .map_err(|e| say("copy", e))?;
    let body = store.get_bytes(&twin, GetOptions::default()).await;
    if body.map_err(|e| say("get the copy", e))? != "body" {
        return Err("copy: other content".to_owned());
    }
    for key in [key, twin] {
        let mut results = store
            .delete(std::slice::from_ref(&key))
            .await
            .map_err(|e| say("delete", e))?;
        results.remove(0).map_err(|e| say("delete", e))?;
        match store.head(&key).await {
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => return Err(format!("after delete: {other:?}")),
        }
    }
    Ok(())
}

#[tokio::test]
async fn folders_are_grouped_and_pages_continue() {
    let Some(server) = server() else { return };
    let store = &server.store;
    clear(store, "pages/").await;
    let names = ["a", "b/1", "b/2", "c", "d/1", "e"];
    for name in names {
        let key = key(format!("pages/{name}"));
        store
            .put(&key, payload("x"), PutOptions::default())
            .await
            .unwrap();
    }
    for limit in [1, 2, 3, 1000] {
        let mut request = ListRequest {
            prefix: "pages/".to_owned(),
            by_folder: true,
            limit: Some(limit),
            ..ListRequest::default()
        };
        let mut found = BTreeSet::new();
        loop {
            let page = store.list(request.clone()).await.unwrap();
            assert!(page.objects.len() + page.prefixes.len() <= usize::from(limit));
            found.extend(page.objects.iter().map(|o| o.key.as_str().to_owned()));
            found.extend(page.prefixes);
            match page.next {
                Some(token) => request.token = Some(token),
                None => break,
            }
        }
        let expected = ["pages/a", "pages/b/", "pages/c", "pages/d/", "pages/e"];
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "limit {limit}");
    }
    let after = ListRequest {
        prefix: "pages/".to_owned(),
        start_after: Some("pages/b/1".to_owned()),
        ..ListRequest::default()
    };
    let page = store.list(after).await.unwrap();
    let keys: Vec<_> = page.objects.iter().map(|o| o.key.as_str()).collect();
    assert_eq!(keys, ["pages/b/2", "pages/c", "pages/d/1", "pages/e"]);
    let head = store.head(&key("pages/a")).await.unwrap();
    let listed = list_one(store, "pages/a").await;
    assert_eq!(listed.version.as_ref(), Some(&head.version));
    assert_eq!(listed.modified.secs(), head.modified.secs());
    clear(store, "pages/").await;
}

async fn list_one(store: &dyn Store, text: &str) -> cloudmount_store::ListedObject {
    let request = ListRequest {
        prefix: text.to_owned(),
        ..ListRequest::default()
    };
    store.list(request).await.unwrap().objects.remove(0)
}

fn metadata() -> Metadata {
    Metadata {
        content_type: Some("text/x-test".to_owned()),
        cache_control: Some("max-age=60".to_owned()),
        expires: Some("Wed, 21 Oct 2037 07:28:00 GMT".to_owned()),
        user: [
            ("file-permissions", "0100644"),
            ("name", "naïve 日本"),
            ("gaps", " two  spaces "),
            ("lines", "a\nb\u{1}"),
            ("looks", "=?UTF-8?B?eA==?="),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        ..Metadata::default()
    }
}

#[tokio::test]
async fn metadata_survives_put_copy_and_multipart() {
    let Some(server) = server() else { return };
    if !server.has(Lack::UserMetadata) {
        return;
    }
    let store = &server.store;
    let (a, b) = (key("metadata/a"), key("metadata/b"));
    let options = PutOptions {
        metadata: metadata(),
        ..PutOptions::default()
    };
    let check = |found: Metadata| {
        let expected = metadata();
        // Some servers add names of their own.
        for (name, value) in &expected.user {
            assert_eq!(found.user.get(name), Some(value), "{name}");
        }
        assert_eq!(found.content_type, expected.content_type);
        assert_eq!(found.cache_control, expected.cache_control);
        if server.has(Lack::Expires) {
            assert_eq!(found.expires, expected.expires);
        }
    };
    store.put(&a, payload("x"), options.clone()).await.unwrap();
    check(store.head(&a).await.unwrap().metadata);
    check(
        store
            .get(&a, GetOptions::default())
            .await
            .unwrap()
            .meta
            .metadata,
    );

    let source = || CopySource {
        key: a.clone(),
        if_match: None,
    };
    let keep = CopyOptions {
        metadata: CopyMetadata::Keep,
        precondition: Precondition::None,
        source_bytes: None,
    };
    store.copy(source(), &b, keep).await.unwrap();
    check(store.head(&b).await.unwrap().metadata);
    if server.has(Lack::CopyReplace) {
        let other = Metadata {
            user: [("only".to_owned(), "this".to_owned())].into(),
            ..Metadata::default()
        };
        let replace = CopyOptions {
            metadata: CopyMetadata::Replace(other.clone()),
            precondition: Precondition::None,
            source_bytes: None,
        };
        store.copy(source(), &b, replace.clone()).await.unwrap();
        assert_eq!(store.head(&b).await.unwrap().metadata.user, other.user);
        // Onto itself too: how attributes of a file change.
        store.copy(source(), &a, replace).await.unwrap();
        assert_eq!(store.head(&a).await.unwrap().metadata.user, other.user);
    }
    let upload = store.multipart_start(&a, &options).await.unwrap();
    let part = store
        .multipart_put(&a, &upload, 1, payload("x"))
        .await
        .unwrap();
    store
        .multipart_complete(&a, &upload, &[part], Precondition::None)
        .await
        .unwrap();
    check(store.head(&a).await.unwrap().metadata);
    clear(store, "metadata/").await;
}

#[tokio::test]
async fn reads_of_ranges_and_versions() {
    let Some(server) = server() else { return };
    let store = &server.store;
    let a = key("ranges/a");
    let version = store
        .put(&a, payload("0123456789"), PutOptions::default())
        .await
        .unwrap();
    for (range, expected) in [
        (0..10, "0123456789"),
        (3..5, "34"),
        (9..10, "9"),
        (8..100, "89"),
        (0..1000, "0123456789"),
    ] {
        let options = GetOptions {
            range: Some(range.clone()),
            if_match: Some(version.clone()),
        };
        let result = store.get(&a, options.clone()).await.unwrap();
        assert_eq!(result.range, range.start..range.end.min(10));
        assert_eq!(result.meta.size, 10);
        assert_eq!(store.get_bytes(&a, options).await.unwrap(), expected);
    }
    let beyond = GetOptions {
        range: Some(10..12),
        if_match: None,
    };
    let error = store.get(&a, beyond).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Range, "{error}");
    let other = GetOptions {
        range: None,
        if_match: Some(Version::new(STRANGER)),
    };
    let error = store.get(&a, other).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Precondition, "{error}");
    store
        .put(&a, Payload::default(), PutOptions::default())
        .await
        .unwrap();
    assert_eq!(
        store.get_bytes(&a, GetOptions::default()).await.unwrap(),
        ""
    );
    clear(store, "ranges/").await;
}

#[tokio::test]
async fn conditions_hold() {
    let Some(server) = server() else { return };
    let store = &server.store;
    clear(store, "conditions/").await;
    let a = key("conditions/a");
    let put = |precondition| {
        let options = PutOptions {
            precondition,
            ..PutOptions::default()
        };
        store.put(&a, payload("x"), options)
    };
    let refused = |result: cloudmount_store::Result<Version>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Precondition, "{error:?}");
    };
    let stranger = || Precondition::Matches(Version::new(STRANGER));
    if server.has(Lack::PutIfMatch) {
        refused(put(stranger()).await);
    }
    let version = if server.has(Lack::PutIfAbsent) {
        let version = put(Precondition::Absent).await.unwrap();
        refused(put(Precondition::Absent).await);
        version
    } else {
        put(Precondition::None).await.unwrap()
    };
    if server.has(Lack::PutIfMatch) {
        refused(put(stranger()).await);
        put(Precondition::Matches(version)).await.unwrap();
    }
    if server.has(Lack::CopySourceIf) {
        let source = CopySource {
            key: a.clone(),
            if_match: Some(Version::new(STRANGER)),
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: Precondition::None,
            source_bytes: None,
        };
        refused(store.copy(source, &key("conditions/b"), options).await);
    }
    clear(store, "conditions/").await;
}
