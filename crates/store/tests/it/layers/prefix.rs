//! A store below a prefix.

use super::*;

#[tokio::test]
async fn keys_lie_below_the_prefix_and_nothing_else_shows() {
    let memory = memory();
    let below = Prefix::new(memory.clone(), "p/").unwrap();
    for name in ["p/", "p/a", "p/b/c", "p", "p0", "other"] {
        let name = key(name);
        let put = memory.put(&name, payload("x"), PutOptions::default());
        put.await.unwrap();
    }
    below
        .put(&key("/d"), payload("x"), PutOptions::default())
        .await
        .unwrap();
    assert!(memory.keys().contains(&key("p//d")));
    let page = below.list(ListRequest::default()).await.unwrap();
    let names: Vec<&str> = page
        .objects
        .iter()
        .map(|object| object.key.as_str())
        .collect();
    assert_eq!(names, ["/d", "a", "b/c"]);
    below.delete(&[key("a")]).await.unwrap();
    assert!(!memory.keys().contains(&key("p/a")));
}

#[tokio::test]
async fn a_key_that_gets_too_long_is_refused() {
    let below = Prefix::new(memory(), "p/").unwrap();
    let long = key(&"x".repeat(Key::MAX_BYTES - 1));
    let error = below.head(&long).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    let answers = below.delete(&[key("a"), long, key("b")]).await.unwrap();
    let failed: Vec<bool> = answers.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
}

#[test]
fn a_prefix_leaves_room_for_a_key() {
    let of = |bytes: usize| Prefix::new(memory(), &"p".repeat(bytes));
    assert!(of(Key::MAX_BYTES - 1).is_ok());
    assert_eq!(of(Key::MAX_BYTES).unwrap_err().bytes, Key::MAX_BYTES);
}
