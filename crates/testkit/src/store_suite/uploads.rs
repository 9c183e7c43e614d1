//! Laws of uploads in parts that nobody has finished.

use bytes::Bytes;
use cloudmount_store::{ErrorKind, Key, ListedUpload, Payload, Precondition, PutOptions, UploadId};

use super::verdict::{ensure, same};
use super::{Area, Broken, Outcome, Verdict};

/// All pages of the uploads below a name; `None` if the store does not list them.
async fn listed(area: &Area<'_>, name: &str) -> Result<Option<Vec<ListedUpload>>, Broken> {
    /// More than any store needs for the few uploads of a law.
    const PAGES_MAX: usize = 20;
    let prefix = format!("{}{name}", area.prefix());
    let mut found = Vec::new();
    let mut token = None;
    for _ in 0..PAGES_MAX {
        let page = match area.store().multipart_list(&prefix, token).await {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            page => page?,
        };
        found.extend(page.uploads);
        if page.next.is_none() {
            return Ok(Some(found));
        }
        token = page.next;
    }
    Err(Broken::new(format!("{PAGES_MAX} pages and no end")))
}

async fn start(area: &Area<'_>, name: &str) -> Result<(Key, UploadId), Broken> {
    let key = area.key(name)?;
    let options = PutOptions::default();
    let upload = area.store().multipart_start(&key, &options).await?;
    Ok((key, upload))
}

/// Law: an upload is listed, with its key and when it began, from its start until it is completed or
/// aborted.
pub async fn uploads_in_progress_are_listed(area: &Area<'_>) -> Verdict {
    if listed(area, "").await?.is_none() {
        return Ok(Outcome::Skipped("the store lists no uploads"));
    }
    let store = area.store();
    let (a, first) = start(area, "a").await?;
    let (_, second) = start(area, "a").await?;
    let (odd, third) = start(area, "a b/+%41é").await?;
    let (other, fourth) = start(area, "other").await?;
    let pairs = |found: Option<Vec<ListedUpload>>| {
        let mut pairs: Vec<(Key, String)> = (found.into_iter().flatten())
            .map(|listed| (listed.key, listed.upload.0))
            .collect();
        pairs.sort();
        pairs
    };
    let mut wanted = vec![
        (a.clone(), first.0.clone()),
        (a.clone(), second.0.clone()),
        (odd.clone(), third.0.clone()),
    ];
    wanted.sort();
    let found = listed(area, "a").await?;
    let times: Vec<_> = (found.iter().flatten()).map(|one| one.started).collect();
    ensure!(
        times.iter().all(|time| time.secs() > 0),
        "uploads without a time: {times:?}"
    );
    same("below \"a\"", &pairs(found), &wanted)?;
    let payload = Payload::from(Bytes::from_static(b"x"));
    let part = store.multipart_put(&a, &first, 1, payload).await?;
    let parts = [part];
    (store.multipart_complete(&a, &first, &parts, Precondition::None)).await?;
    store.multipart_abort(&odd, &third).await?;
    let left = pairs(listed(area, "a").await?);
    same("what is left", &left, &vec![(a.clone(), second.0.clone())])?;
    store.multipart_abort(&a, &second).await?;
    store.multipart_abort(&other, &fourth).await?;
    same("at the end", &pairs(listed(area, "").await?), &Vec::new())?;
    Ok(Outcome::Held)
}
