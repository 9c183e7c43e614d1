//! Laws of deletion.

use bytes::Bytes;
use cloudmount_store::{
    ErrorKind, GetOptions, Payload, Precondition, PutOptions, Removal, Version,
};

use super::verdict::{ensure, fails, same};
use super::{Area, Broken, Outcome, Verdict};

/// Law: what was deleted is gone for every way to ask.
pub async fn a_deleted_object_is_gone(area: &Area<'_>) -> Verdict {
    area.put("f/a", "x").await?;
    area.put("f/b", "y").await?;
    area.delete(&["f/a"]).await?;
    let key = area.key("f/a")?;
    fails("head", area.store().head(&key).await, ErrorKind::NotFound)?;
    let got = area.store().get(&key, GetOptions::default()).await;
    fails("get", got, ErrorKind::NotFound)?;
    same("names", &area.all_names().await?, &vec!["f/b".to_owned()])?;
    area.holds("f/b", b"y").await?;
    Ok(Outcome::Held)
}

/// Law: deleting what is not there succeeds and deletes nothing else.
pub async fn deleting_nothing_succeeds(area: &Area<'_>) -> Verdict {
    area.put("f/a", "x").await?;
    area.delete(&["none", "no/ne", "f", "f/", "f/a/", "f/a/b", "f/aa"])
        .await?;
    area.delete(&["none"]).await?;
    area.holds("f/a", b"x").await?;
    Ok(Outcome::Held)
}

/// Law: many keys get as many answers, whether they are there or not, also if one comes twice.
pub async fn many_at_once_are_answered_in_order(area: &Area<'_>) -> Verdict {
    let names = ["a", "b", "c/d", "e"];
    for name in names {
        area.put(name, "x").await?;
    }
    let asked = ["c/d", "missing", "a", "a", "b"];
    let keys = (asked.iter())
        .map(|name| area.key(name))
        .collect::<Result<Vec<_>, Broken>>()?;
    let most = usize::from(area.capabilities().delete_keys_max.max(1));
    for some in keys.chunks(most) {
        let answers = area.store().delete(some).await?;
        same("answers", &answers.len(), &some.len())?;
        for answer in answers {
            answer?;
        }
    }
    same("names", &area.all_names().await?, &vec!["e".to_owned()])?;
    Ok(Outcome::Held)
}

/// Law: a deletion leaves nothing behind that hinders a new object or shines through it.
pub async fn a_deleted_key_can_be_written_again(area: &Area<'_>) -> Verdict {
    for content in ["first", "second, longer", ""] {
        area.put("f/a", content).await?;
        area.holds("f/a", content.as_bytes()).await?;
        area.delete(&["f/a"]).await?;
    }
    area.put("f", "a file where a folder was").await?;
    same("names", &area.all_names().await?, &vec!["f".to_owned()])?;
    area.delete(&["f"]).await?;
    area.put("f/a", "a folder where a file was").await?;
    same("names", &area.all_names().await?, &vec!["f/a".to_owned()])?;
    Ok(Outcome::Held)
}

/// Rounds of a race: one alone would often be decided by who began.
const ROUNDS: usize = 10;

/// Law: a removal can insist on a version; what is there in another one stays, and what is not
/// there is removed already. A store that cannot check it refuses.
pub async fn a_removal_can_insist_on_its_version(area: &Area<'_>) -> Verdict {
    let first = area.put("a", "first").await?;
    let removal = |version: &Version| {
        let (key, version) = (area.key("a")?, version.clone());
        Ok::<_, Broken>([Removal { key, version }])
    };
    if !area.capabilities().delete_if {
        let refused = area.store().delete_if(&removal(&first)?).await;
        fails("removal of a version", refused, ErrorKind::Unsupported)?;
        area.holds("a", b"first").await?;
        return Ok(Outcome::Held);
    }
    let second = area.put("a", "second").await?;
    let late = one(area.store().delete_if(&removal(&first)?).await?)?;
    fails("removal of an old version", late, ErrorKind::Precondition)?;
    area.holds("a", b"second").await?;
    for _ in 0..2 {
        one(area.store().delete_if(&removal(&second)?).await?)??;
        let there = area.store().head(&area.key("a")?).await;
        fails("head", there, ErrorKind::NotFound)?;
    }
    Ok(Outcome::Held)
}

/// Law: of many removals in one request, each insists on its own version.
pub async fn many_removals_insist_each_on_its_own(area: &Area<'_>) -> Verdict {
    let capabilities = area.capabilities();
    if !capabilities.delete_if || capabilities.delete_keys_max < 3 {
        return Ok(Outcome::Skipped("the store checks no removals of many"));
    }
    let old = area.put("b&", "first").await?;
    area.put("b&", "second").await?;
    let versions = [
        ("a", area.put("a", "x").await?),
        ("b&", old),
        ("c/d", area.put("c/d", "x").await?),
    ];
    let removals = (versions.into_iter())
        .map(|(name, version)| {
            Ok(Removal {
                key: area.key(name)?,
                version,
            })
        })
        .collect::<Result<Vec<_>, Broken>>()?;
    let answers = area.store().delete_if(&removals).await?;
    let kinds: Vec<_> = (answers.iter())
        .map(|answer| answer.as_ref().err().map(cloudmount_store::Error::kind))
        .collect();
    same(
        "answers",
        &kinds,
        &vec![None, Some(ErrorKind::Precondition), None],
    )?;
    same("names", &area.all_names().await?, &vec!["b&".to_owned()])?;
    area.holds("b&", b"second").await?;
    Ok(Outcome::Held)
}

/// Law: of a removal and a write that both insist on the same version, one gets it.
pub async fn a_removal_and_a_write_do_not_both_win(area: &Area<'_>) -> Verdict {
    let capabilities = area.capabilities();
    if !capabilities.delete_if || !capabilities.put_if_match {
        return Ok(Outcome::Skipped("the store checks no such precondition"));
    }
    let key = area.key("a")?;
    for round in 0..ROUNDS {
        let content = Bytes::from(format!("round {round}").into_bytes());
        let version = area.put("a", content).await?;
        let options = PutOptions {
            precondition: Precondition::Matches(version.clone()),
            ..PutOptions::default()
        };
        let payload = Payload::from(Bytes::from_static(b"the other"));
        let removals = [Removal {
            key: key.clone(),
            version,
        }];
        let put = area.store().put(&key, payload, options);
        let (put, removed) = futures::join!(put, area.store().delete_if(&removals));
        match (put, one(removed?)?) {
            (Ok(_), late) => {
                area.holds("a", b"the other").await?;
                fails("the removal of a loser", late, ErrorKind::Precondition)?;
            }
            (late, removed) => {
                fails("the put of a loser", late, ErrorKind::Precondition)?;
                removed?;
                let there = area.store().head(&key).await;
                fails("head", there, ErrorKind::NotFound)?;
            }
        }
    }
    Ok(Outcome::Held)
}

/// The answer to a removal of one.
fn one(
    mut answers: Vec<cloudmount_store::Result<()>>,
) -> Result<cloudmount_store::Result<()>, Broken> {
    ensure!(
        answers.len() == 1,
        "one to remove, {} answers",
        answers.len()
    );
    answers
        .pop()
        .ok_or_else(|| Broken::new("no answer".to_owned()))
}
