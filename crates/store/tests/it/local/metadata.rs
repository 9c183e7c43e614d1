//! Metadata beside the content.

use super::*;

#[tokio::test]
async fn metadata_outlive_the_store_and_a_write_in_place() {
    for settings in [
        LocalSettings::default(),
        LocalSettings {
            metadata: MetadataPlace::Sidecar,
            ..LocalSettings::default()
        },
    ] {
        let folder = tempfile::tempdir().unwrap();
        let wanted = labelled();
        {
            let store = open_with(folder.path(), settings);
            let put = put_with(&store, "a", Payload::default(), wanted.clone());
            put.await.unwrap();
            let put = put_with(&store, "d/", Payload::default(), wanted.clone());
            put.await.unwrap();
        }
        let store = open_with(folder.path(), settings);
        let meta = async |name| store.head(&key(name)).await.unwrap().metadata;
        assert_eq!(meta("a").await, wanted.metadata);
        assert_eq!(meta("d/").await, wanted.metadata);
        fs::write(folder.path().join("a"), "in place").unwrap();
        assert_eq!(meta("a").await, wanted.metadata);
        // A new file is a new object, which never had them.
        fs::write(folder.path().join("new"), "new").unwrap();
        fs::rename(folder.path().join("new"), folder.path().join("a")).unwrap();
        assert_eq!(meta("a").await, Metadata::default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn content_and_metadata_are_replaced_together() {
    for metadata in [MetadataPlace::Auto, MetadataPlace::Sidecar] {
        let folder = tempfile::tempdir().unwrap();
        let settings = LocalSettings {
            metadata,
            ..LocalSettings::default()
        };
        let store = Arc::new(open_with(folder.path(), settings));
        let write = async |number: u32| {
            let text = number.to_string();
            let options = PutOptions {
                metadata: Metadata {
                    user: [("number".to_owned(), text.clone())].into(),
                    ..Metadata::default()
                },
                ..PutOptions::default()
            };
            let payload = Payload::from(Bytes::from(text.into_bytes()));
            put_with(&store, "a", payload, options).await.unwrap();
        };
        write(0).await;
        let reader = {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..5000 {
                    let result = store.get(&key("a"), GetOptions::default()).await.unwrap();
                    let mut body = result.body;
                    let text = body.next().await.unwrap().unwrap();
                    let number = result
                        .meta
                        .metadata
                        .user
                        .get("number")
                        .map(String::as_bytes);
                    assert_eq!(number, Some(&text[..]));
                }
            })
        };
        let mut number = 1;
        while !reader.is_finished() {
            write(number).await;
            number += 1;
        }
        reader.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_folders_appear_with_what_is_in_them() {
    let (_folder, store) = store();
    let store = Arc::new(store);
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for n in 0..300 {
                put(&store, &format!("{n}/b/c"), "x").await;
            }
        })
    };
    while !writer.is_finished() {
        for name in keys(&store).await {
            assert!(
                name.ends_with("/b/c"),
                "{name:?} is a folder that nobody made"
            );
        }
    }
    writer.await.unwrap();
    assert_eq!(keys(&store).await.len(), 300);
}

#[tokio::test]
async fn sidecars_do_not_pile_up() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LocalSettings {
        metadata: MetadataPlace::Sidecar,
        ..LocalSettings::default()
    };
    let store = open_with(folder.path(), settings);
    for _ in 0..5 {
        for name in ["a", "d/", "x//y"] {
            let put = put_with(&store, name, Payload::default(), labelled());
            put.await.unwrap();
        }
    }
    let meta = folder.path().join(".cloudmount/meta");
    assert_eq!(names(&meta).len(), 3);
    let options = PutOptions {
        precondition: Precondition::Absent,
        ..labelled()
    };
    let refused = store.put(&key("a"), Payload::default(), options).await;
    assert_eq!(kind(refused), Some(ErrorKind::Precondition));
    assert_eq!(names(&meta).len(), 3);
    for name in ["a", "d/", "x//y"] {
        delete(&store, name).await;
    }
    assert!(names(&meta).is_empty());
}

#[tokio::test]
async fn metadata_too_large_for_an_attribute_are_kept() {
    let (folder, store) = store();
    // Six bytes of JSON for each of these characters: more than one block of ext4.
    let options = PutOptions {
        metadata: Metadata {
            user: [("control".to_owned(), "\u{1}".repeat(2000))].into(),
            ..Metadata::default()
        },
        ..PutOptions::default()
    };
    for name in ["a", "d/"] {
        let put = put_with(&store, name, Payload::default(), options.clone());
        put.await.unwrap();
        let found = store.head(&key(name)).await.unwrap().metadata;
        assert_eq!(found, options.metadata, "{name}");
    }
    for name in ["a", "d/"] {
        delete(&store, name).await;
    }
    let meta = folder.path().join(".cloudmount/meta");
    assert!(!meta.exists() || names(&meta).is_empty());
}
