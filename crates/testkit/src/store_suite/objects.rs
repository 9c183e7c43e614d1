//! Laws of whole objects.

use bytes::Bytes;
use cloudmount_store::{ErrorKind, GetOptions, Payload, PutOptions};
use futures::StreamExt;
use futures::future::join_all;

use super::verdict::{ensure, fails, same, same_bytes};
use super::{Area, Broken, Outcome, Verdict, pattern};

/// Larger than one piece of any backend's stream, and than one network buffer.
const LARGE: usize = (3 << 20) + 17;

/// Law: what was put is what is read.
pub async fn a_put_object_opens_to_its_bytes(area: &Area<'_>) -> Verdict {
    area.put("a", "hello").await?;
    area.put("b/c", "there").await?;
    area.holds("a", b"hello").await?;
    area.holds("b/c", b"there").await?;
    Ok(Outcome::Held)
}

/// Law: no bytes are content too.
pub async fn an_empty_object_is_an_object(area: &Area<'_>) -> Verdict {
    area.put("empty", "").await?;
    area.holds("empty", b"").await?;
    let key = area.key("empty")?;
    let range = area.store().get(&key, GetOptions::default()).await?.range;
    same("range of an empty object", &range, &(0..0))?;
    same("names", &area.all_names().await?, &vec!["empty".to_owned()])?;
    Ok(Outcome::Held)
}

/// Law: a payload in pieces is the same as one in a row.
pub async fn pieces_are_joined(area: &Area<'_>) -> Verdict {
    let pieces = ["one ", "", "two ", "three"].map(|piece| Bytes::from_static(piece.as_bytes()));
    let payload = Payload(pieces.to_vec());
    let key = area.key("pieces")?;
    area.store()
        .put(&key, payload, PutOptions::default())
        .await?;
    area.holds("pieces", b"one two three").await?;
    Ok(Outcome::Held)
}

/// Law: what takes many pieces to send and to receive arrives whole.
pub async fn a_large_object_arrives_whole(area: &Area<'_>) -> Verdict {
    let bytes = pattern(LARGE, 1);
    let payload = Payload(vec![bytes.slice(..100_000), bytes.slice(100_000..)]);
    let key = area.key("large")?;
    area.store()
        .put(&key, payload, PutOptions::default())
        .await?;
    area.holds("large", &bytes).await?;
    Ok(Outcome::Held)
}

/// Law: put, head and get agree on version, size and time.
pub async fn head_and_get_tell_the_same(area: &Area<'_>) -> Verdict {
    let version = area.put("a", "hello").await?;
    let key = area.key("a")?;
    let head = area.store().head(&key).await?;
    same("version of head", &head.version, &version)?;
    let result = area.store().get(&key, GetOptions::default()).await?;
    same("what get tells", &result.meta, &head)?;
    same("range", &result.range, &(0..5))?;
    // A body that is held may hold a place in a queue.
    drop(result);
    let part = GetOptions {
        range: Some(1..3),
        ..GetOptions::default()
    };
    let result = area.store().get(&key, part).await?;
    same("what get tells with a range", &result.meta, &head)?;
    Ok(Outcome::Held)
}

/// Law: there is nothing under a key that was not written, nor under parts and extensions of one
/// that was.
pub async fn what_is_missing_is_not_found(area: &Area<'_>) -> Verdict {
    area.put("folder/file", "x").await?;
    for name in [
        "folder",
        "folder/",
        "folder/fil",
        "folder/file/",
        "folder/file/x",
        "none",
        "no/ne",
    ] {
        let key = area.key(name)?;
        let what = format!("head of {name:?}");
        fails(&what, area.store().head(&key).await, ErrorKind::NotFound)?;
        let what = format!("get of {name:?}");
        let got = area.store().get(&key, GetOptions::default()).await;
        fails(&what, got, ErrorKind::NotFound)?;
    }
    Ok(Outcome::Held)
}

/// Law: other content has another version, also if its size is the same.
pub async fn a_rewrite_replaces_content_and_version(area: &Area<'_>) -> Verdict {
    let mut versions = Vec::new();
    for content in ["first", "other", "", "longer than before", "short"] {
        let version = area.put("a", content).await?;
        area.holds("a", content.as_bytes()).await?;
        ensure!(!versions.contains(&version), "version {version} came twice");
        versions.push(version);
    }
    Ok(Outcome::Held)
}

/// Law: a body that is being read while its object is replaced gives the old bytes, or an error
/// before it gives a new one.
pub async fn an_old_reader_never_gets_a_mixture(area: &Area<'_>) -> Verdict {
    let (old, new) = (pattern(LARGE, 1), pattern(LARGE, 2));
    area.put("a", old.clone()).await?;
    let key = area.key("a")?;
    let mut body = area.store().get(&key, GetOptions::default()).await?.body;
    let mut read = Vec::new();
    if let Some(piece) = body.next().await {
        read.extend_from_slice(&piece?);
    }
    area.put("a", new.clone()).await?;
    while let Some(piece) = body.next().await {
        match piece {
            Ok(piece) => read.extend_from_slice(&piece),
            Err(_) => break,
        }
    }
    drop(body);
    ensure!(
        read.len() <= old.len(),
        "{} bytes of {}",
        read.len(),
        old.len()
    );
    same_bytes("the old reader", &read, &old[..read.len()])?;
    area.holds("a", &new).await?;
    Ok(Outcome::Held)
}

/// Law: whoever is last among writers of one key, all of what it wrote is there.
pub async fn concurrent_writers_leave_one_whole_object(area: &Area<'_>) -> Verdict {
    const WRITERS: u8 = 8;
    let contents: Vec<Bytes> = (0..WRITERS)
        .map(|writer| pattern(100_000 + usize::from(writer), writer))
        .collect();
    let writes = contents
        .iter()
        .map(|content| area.put("a", content.clone()));
    let versions = (join_all(writes).await.into_iter()).collect::<Result<Vec<_>, Broken>>()?;
    let found = area.read("a").await?;
    let winner = contents.iter().position(|content| *content == found);
    let Some(winner) = winner else {
        return Err(Broken::new(format!(
            "{} bytes that nobody wrote",
            found.len()
        )));
    };
    let head = area.store().head(&area.key("a")?).await?;
    same("version of the winner", &head.version, &versions[winner])?;
    Ok(Outcome::Held)
}
