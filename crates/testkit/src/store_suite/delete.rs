//! Laws of deletion.

use cloudmount_store::{ErrorKind, GetOptions};

use super::verdict::{fails, same};
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
