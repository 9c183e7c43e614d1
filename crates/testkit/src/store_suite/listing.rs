//! Laws of listings.

use std::collections::BTreeSet;

use cloudmount_store::ListRequest;
use futures::future::try_join_all;

use super::verdict::{ensure, same};
use super::{Area, Broken, Listings, Outcome, Verdict};

/// Keys that tell wrong orders apart: by part rather than by byte, by UTF-16 unit, by locale, by case.
const TREE: [&str; 16] = [
    "B",
    "a",
    "a!/x",
    "a-",
    "a-/y",
    "a.b/c",
    "a/b",
    "a/b!",
    "a/b/c",
    "a/b/d",
    "a/b0",
    "a0",
    "b",
    "z",
    "\u{ff5e}",
    "\u{10000}",
];

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Writes the tree; `a` beside `a/b` only where the store can hold that.
async fn write_tree(area: &Area<'_>) -> Result<Vec<&'static str>, Broken> {
    use super::KeyShape::{FileAndFolder, NonAscii};
    let both = area.limits().holds(FileAndFolder);
    let unicode = area.limits().holds(NonAscii);
    let wanted = |name: &&str| {
        (both || !matches!(*name, "a" | "a-" | "a/b")) && (unicode || name.is_ascii())
    };
    let names: Vec<&str> = TREE.into_iter().filter(wanted).collect();
    try_join_all(names.iter().map(|name| area.put(name, *name))).await?;
    Ok(names)
}

/// What a listing must give, by the definition of prefix, folder and start.
fn model(names: &[&str], request: &ListRequest) -> (Vec<String>, Vec<String>) {
    let mut folders = BTreeSet::new();
    let mut objects = BTreeSet::new();
    for &name in names {
        let Some(rest) = name.strip_prefix(request.prefix.as_str()) else {
            continue;
        };
        if request
            .start_after
            .as_deref()
            .is_some_and(|after| name <= after)
        {
            continue;
        }
        match rest.find('/') {
            Some(slash) if request.by_folder => {
                folders.insert(name[..=request.prefix.len() + slash].to_owned());
            }
            _ => {
                objects.insert(name.to_owned());
            }
        }
    }
    (objects.into_iter().collect(), folders.into_iter().collect())
}

async fn check(area: &Area<'_>, names: &[&str], request: &ListRequest) -> Result<(), Broken> {
    let request = area.limits().askable(request.clone());
    let found = area.names(&request).await?;
    same(&format!("{request:?}"), &found, &model(names, &request))
}

/// Whether listings can begin after a key; why not, as an outcome.
fn begins_after_keys(area: &Area<'_>) -> Result<(), Outcome> {
    match area.limits().listings {
        Listings::InOrder => Ok(()),
        Listings::Unordered => Err(Outcome::Skipped("it lists in no order")),
    }
}

fn flat(prefix: &str) -> ListRequest {
    ListRequest {
        prefix: prefix.to_owned(),
        ..ListRequest::default()
    }
}

fn folder(prefix: &str) -> ListRequest {
    ListRequest {
        by_folder: true,
        ..flat(prefix)
    }
}

/// Law: where there is nothing, a listing is one page with nothing, not an error.
pub async fn an_empty_listing_is_one_empty_page(area: &Area<'_>) -> Verdict {
    for request in [flat(""), folder(""), flat("none/"), folder("none")] {
        check(area, &[], &request).await?;
    }
    Ok(Outcome::Held)
}

/// Law: every key comes once, in the order of its UTF-8 bytes.
pub async fn keys_come_once_and_in_byte_order(area: &Area<'_>) -> Verdict {
    let names = write_tree(area).await?;
    same("names", &area.all_names().await?, &strings(&names))?;
    Ok(Outcome::Held)
}

/// Law: by folder, keys are grouped by the first `/` after the prefix.
pub async fn folders_group_what_is_below_them(area: &Area<'_>) -> Verdict {
    let names = write_tree(area).await?;
    for prefix in ["", "a/", "a/b/", "a-/", "a/b/c", "none/"] {
        check(area, &names, &folder(prefix)).await?;
    }
    Ok(Outcome::Held)
}

/// Law: a prefix is a beginning of keys, not a folder.
pub async fn a_prefix_may_end_anywhere(area: &Area<'_>) -> Verdict {
    let names = write_tree(area).await?;
    for prefix in [
        "a", "a/b", "a/b/", "a.", "a/b/c", "a/b/cc", "\u{ff5e}", "A", "/",
    ] {
        check(area, &names, &flat(prefix)).await?;
        check(area, &names, &folder(prefix)).await?;
    }
    Ok(Outcome::Held)
}

/// Law: a listing tells the size, the version and the second that head tells.
pub async fn a_listing_tells_what_head_tells(area: &Area<'_>) -> Verdict {
    for (name, content) in [("a", "1"), ("b/c", ""), ("d", "four")] {
        area.put(name, content).await?;
    }
    let listed = area.list(&flat("")).await?;
    same("objects", &listed.objects.len(), &3)?;
    for object in listed.objects {
        let head = area.store().head(&object.key).await?;
        let what = format!("{:?}", object.key);
        same(&format!("size of {what}"), &object.size, &head.size)?;
        let (listed, headed) = (object.modified.secs(), head.modified.secs());
        same(&format!("second of {what}"), &listed, &headed)?;
        if let Some(version) = object.version {
            same(&format!("version of {what}"), &version, &head.version)?;
        }
    }
    Ok(Outcome::Held)
}

/// Law: a listing that starts after a key gives what is greater, whether that key exists or not.
pub async fn start_after_skips(area: &Area<'_>) -> Verdict {
    if let Err(outcome) = begins_after_keys(area) {
        return Ok(outcome);
    }
    let names = write_tree(area).await?;
    for after in [
        "0",
        "B",
        "a",
        "a-",
        "a/",
        "a/b",
        "a/b/c",
        "a/zz",
        "b",
        "bb",
        "z",
        "\u{10ffff}",
    ] {
        let request = ListRequest {
            start_after: Some(after.to_owned()),
            ..flat("")
        };
        check(area, &names, &request).await?;
        let request = ListRequest {
            start_after: Some(after.to_owned()),
            ..flat("a/")
        };
        check(area, &names, &request).await?;
    }
    Ok(Outcome::Held)
}

/// Law: by folder, a folder shows if any of its keys is greater than where the listing starts.
pub async fn start_after_inside_a_folder(area: &Area<'_>) -> Verdict {
    if let Err(outcome) = begins_after_keys(area) {
        return Ok(outcome);
    }
    let names = write_tree(area).await?;
    for after in ["a!/x", "a-/", "a/b", "a/b/c", "a/b/d", "a/b0", "a/zz", "a0"] {
        let request = ListRequest {
            start_after: Some(after.to_owned()),
            ..folder("")
        };
        check(area, &names, &request).await?;
    }
    Ok(Outcome::Held)
}

/// Law: the size of pages changes nothing but their number.
pub async fn every_page_size_gives_the_same(area: &Area<'_>) -> Verdict {
    let names = write_tree(area).await?;
    for limit in [1, 2, 3, 7, 16, 1000] {
        for request in [flat(""), folder(""), flat("a/"), folder("a/")] {
            let request = ListRequest {
                limit: Some(limit),
                ..request
            };
            check(area, &names, &request).await?;
            let request = ListRequest {
                start_after: Some("a-/y".to_owned()),
                ..request
            };
            check(area, &names, &request).await?;
        }
    }
    Ok(Outcome::Held)
}

/// Law: what does not fit the largest page comes on the next.
pub async fn more_than_one_full_page(area: &Area<'_>) -> Verdict {
    const KEYS: usize = 1005;
    const AT_ONCE: usize = 32;
    let mut names: Vec<String> = (0..KEYS).map(|n| format!("many/{n:04}")).collect();
    for some in names.chunks(AT_ONCE) {
        try_join_all(some.iter().map(|name| area.put(name, "x"))).await?;
    }
    for request in [flat(""), folder("many/")] {
        same("names", &area.names(&request).await?.0, &names)?;
    }
    let request = ListRequest {
        prefix: format!("{}many/", area.prefix()),
        ..ListRequest::default()
    };
    let page = area.store().list(request).await?;
    ensure!(
        page.objects.len() <= 1000,
        "a page of {} objects",
        page.objects.len()
    );
    ensure!(page.next.is_some(), "the first page is not the last");
    names.push("z".to_owned());
    area.put("z", "x").await?;
    let (objects, folders) = area.names(&folder("")).await?;
    same("objects", &objects, &strings(&["z"]))?;
    same("folders", &folders, &strings(&["many/"]))?;
    Ok(Outcome::Held)
}

/// Law: once a write or a deletion is answered, every listing shows it.
pub async fn a_listing_shows_writes_and_deletes_at_once(area: &Area<'_>) -> Verdict {
    for round in 0..5 {
        let name = format!("f/{round}");
        area.put(&name, "x").await?;
        same(
            "after the put",
            &area.all_names().await?,
            &vec![name.clone()],
        )?;
        area.delete(&[&name]).await?;
        same("after the delete", &area.all_names().await?, &Vec::new())?;
    }
    Ok(Outcome::Held)
}

/// Law: a folder without a marker is there as long as any key is below it.
pub async fn a_folder_goes_with_its_last_key(area: &Area<'_>) -> Verdict {
    for name in ["a/b/c/one", "a/b/two", "a/three"] {
        area.put(name, "x").await?;
    }
    area.delete(&["a/b/c/one"]).await?;
    check(area, &["a/b/two", "a/three"], &folder("a/b/")).await?;
    area.delete(&["a/three"]).await?;
    check(area, &["a/b/two"], &folder("a/")).await?;
    area.delete(&["a/b/two"]).await?;
    check(area, &[], &folder("")).await?;
    check(area, &[], &flat("")).await?;
    Ok(Outcome::Held)
}

/// Law: what is neither written nor deleted while pages go by comes once.
pub async fn pages_go_on_while_keys_come_and_go(area: &Area<'_>) -> Verdict {
    for name in ["a", "b", "c", "d/x", "e", "f"] {
        area.put(name, "x").await?;
    }
    let mut request = ListRequest {
        prefix: area.prefix().to_owned(),
        by_folder: true,
        limit: Some(2),
        ..ListRequest::default()
    };
    let mut seen = Vec::new();
    let mut page = area.store().list(request.clone()).await?;
    area.delete(&["b", "c"]).await?;
    area.put("aa", "x").await?;
    loop {
        for object in &page.objects {
            seen.push(area.name(object.key.as_str())?.to_owned());
        }
        for prefix in &page.prefixes {
            seen.push(area.name(prefix)?.to_owned());
        }
        request.token = page.next;
        if request.token.is_none() {
            break;
        }
        page = area.store().list(request.clone()).await?;
    }
    for name in ["a", "d/", "e", "f"] {
        let times = seen.iter().filter(|&seen| seen == name).count();
        ensure!(times == 1, "{name:?} came {times} times, of {seen:?}");
    }
    Ok(Outcome::Held)
}
