//! Laws of conditional reads and writes.

use bytes::Bytes;
use cloudmount_store::{
    ErrorKind, GetOptions, Payload, Precondition, PutOptions, StoreExt, Version,
};
use futures::future::join_all;

use super::verdict::{ensure, fails, same, same_bytes};
use super::{Area, Outcome, Verdict};

const NO_ABSENT: Outcome = Outcome::Skipped("the store has no put-if-absent");
const NO_MATCH: Outcome = Outcome::Skipped("the store has no put-if-match");

/// Writers that race for one key.
const RACERS: usize = 8;

fn put_if(precondition: Precondition) -> PutOptions {
    PutOptions {
        precondition,
        ..PutOptions::default()
    }
}

/// Law: `Absent` creates, and never replaces.
pub async fn absent_creates_and_never_replaces(area: &Area<'_>) -> Verdict {
    if !area.capabilities().put_if_absent {
        return Ok(NO_ABSENT);
    }
    let version = area.put_if("a", b"first", Precondition::Absent).await??;
    let second = area.put_if("a", b"second", Precondition::Absent).await?;
    fails("put on top", second, ErrorKind::Precondition)?;
    area.holds("a", b"first").await?;
    let head = area.store().head(&area.key("a")?).await?;
    same("version", &head.version, &version)?;
    area.put("empty", "").await?;
    let over_empty = area.put_if("empty", b"x", Precondition::Absent).await?;
    fails(
        "put on an empty object",
        over_empty,
        ErrorKind::Precondition,
    )?;
    Ok(Outcome::Held)
}

/// Law: `Matches` replaces that version and no other.
pub async fn matches_replaces_only_that_version(area: &Area<'_>) -> Verdict {
    if !area.capabilities().put_if_match {
        return Ok(NO_MATCH);
    }
    let first = area.put("a", "first").await?;
    let matches = |version: &Version| Precondition::Matches(version.clone());
    let second = area.put_if("a", b"second", matches(&first)).await??;
    area.holds("a", b"second").await?;
    let late = area.put_if("a", b"late", matches(&first)).await?;
    fails("put over an old version", late, ErrorKind::Precondition)?;
    area.holds("a", b"second").await?;
    area.put_if("a", b"third", matches(&second)).await??;
    area.holds("a", b"third").await?;
    Ok(Outcome::Held)
}

/// Law: `Matches` creates nothing.
pub async fn matches_needs_an_object(area: &Area<'_>) -> Verdict {
    if !area.capabilities().put_if_match {
        return Ok(NO_MATCH);
    }
    let version = area.put("other", "x").await?;
    let missing = area
        .put_if("a", b"x", Precondition::Matches(version))
        .await?;
    fails("put over nothing", missing, ErrorKind::Precondition)?;
    fails(
        "head",
        area.store().head(&area.key("a")?).await,
        ErrorKind::NotFound,
    )?;
    Ok(Outcome::Held)
}

/// Law: a deletion leaves nothing to match, and room to create.
pub async fn a_deleted_key_is_absent(area: &Area<'_>) -> Verdict {
    let capabilities = area.capabilities();
    if !capabilities.put_if_absent {
        return Ok(NO_ABSENT);
    }
    let version = area.put("a", "first").await?;
    area.delete(&["a"]).await?;
    if capabilities.put_if_match {
        let late = area
            .put_if("a", b"late", Precondition::Matches(version))
            .await?;
        fails("put over a deleted version", late, ErrorKind::Precondition)?;
    }
    area.put_if("a", b"second", Precondition::Absent).await??;
    area.holds("a", b"second").await?;
    Ok(Outcome::Held)
}

/// Law: a read for a version gives that version or fails.
pub async fn a_read_can_insist_on_a_version(area: &Area<'_>) -> Verdict {
    let first = area.put("a", "first").await?;
    let key = area.key("a")?;
    let of = |version: &Version| GetOptions {
        if_match: Some(version.clone()),
        ..GetOptions::default()
    };
    let found = area.store().get_bytes(&key, of(&first)).await?;
    same_bytes("the first version", &found, b"first")?;
    let second = area.put("a", "second").await?;
    let late = area.store().get(&key, of(&first)).await;
    fails("a read of the old version", late, ErrorKind::Precondition)?;
    let found = area.store().get_bytes(&key, of(&second)).await?;
    same_bytes("the second version", &found, b"second")?;
    Ok(Outcome::Held)
}

/// Law: of many that create one key at a time, one wins, and its bytes stay.
pub async fn one_of_many_creators_wins(area: &Area<'_>) -> Verdict {
    if !area.capabilities().put_if_absent {
        return Ok(NO_ABSENT);
    }
    race(area, Precondition::Absent).await
}

/// Law: of many that replace one version at a time, one wins, and its bytes stay.
pub async fn one_of_many_replacers_wins(area: &Area<'_>) -> Verdict {
    if !area.capabilities().put_if_match {
        return Ok(NO_MATCH);
    }
    let version = area.put("a", "before").await?;
    race(area, Precondition::Matches(version)).await
}

async fn race(area: &Area<'_>, precondition: Precondition) -> Verdict {
    let key = area.key("a")?;
    let contents: Vec<Bytes> = (0..RACERS)
        .map(|racer| Bytes::from(format!("racer {racer}").into_bytes()))
        .collect();
    let writes = contents.iter().map(|content| {
        let payload = Payload::from(content.clone());
        area.store()
            .put(&key, payload, put_if(precondition.clone()))
    });
    let mut winner = None;
    for (racer, result) in join_all(writes).await.into_iter().enumerate() {
        match result {
            Ok(version) => {
                ensure!(winner.is_none(), "two of {RACERS} writers won");
                winner = Some((racer, version));
            }
            lost => fails("the put of a loser", lost, ErrorKind::Precondition)?,
        }
    }
    ensure!(winner.is_some(), "none of {RACERS} writers won");
    if let Some((racer, version)) = winner {
        area.holds("a", &contents[racer]).await?;
        same("version", &area.store().head(&key).await?.version, &version)?;
    }
    Ok(Outcome::Held)
}

/// Law: a precondition that the store cannot check is refused, never ignored.
pub async fn what_cannot_be_checked_is_refused(area: &Area<'_>) -> Verdict {
    let capabilities = area.capabilities();
    if capabilities.put_if_absent && capabilities.put_if_match {
        return Ok(Outcome::Skipped("the store checks every precondition"));
    }
    let version = area.put("a", "first").await?;
    if !capabilities.put_if_absent {
        let put = area.put_if("new", b"x", Precondition::Absent).await?;
        fails("put-if-absent", put, ErrorKind::Unsupported)?;
    }
    if !capabilities.put_if_match {
        let put = area
            .put_if("a", b"x", Precondition::Matches(version))
            .await?;
        fails("put-if-match", put, ErrorKind::Unsupported)?;
    }
    area.holds("a", b"first").await?;
    Ok(Outcome::Held)
}
