//! Laws of keys that no path can say, or that some layer is tempted to tidy up: each is a key of its
//! own, listed exactly once, and opens to its own bytes.

use std::collections::BTreeSet;

use cloudmount_store::{
    CopyMetadata, CopyOptions, CopySource, GetOptions, ListRequest, Payload, Precondition,
    PutOptions, StoreExt,
};
use futures::future::try_join_all;

use super::verdict::{same, same_bytes};
use super::{Area, Broken, KeyShape, Listings, Outcome, Verdict};

/// Page sizes that cut a listing at every place.
const LIMITS: [u16; 4] = [1, 2, 7, 1000];

/// Hard keys, with what is hard about them. They are all in one bucket at a time.
const HARD: [(KeyShape, &str); 74] = [
    (KeyShape::Plain, "b"),
    (KeyShape::Plain, "b.txt"),
    (KeyShape::Plain, "c/d"),
    (KeyShape::Plain, "..."),
    (KeyShape::Plain, ".hidden/.file"),
    (KeyShape::FileAndFolder, "a"),
    (KeyShape::FileAndFolder, "a-"),
    (KeyShape::FileAndFolder, "a.b"),
    (KeyShape::FileAndFolder, "a/b"),
    (KeyShape::FileAndFolder, "a/b/c"),
    (KeyShape::FileAndFolder, "a/b0"),
    (KeyShape::FileAndFolder, "a0"),
    (KeyShape::Marker, "a/"),
    (KeyShape::Marker, "c/"),
    (KeyShape::Marker, "e/"),
    (KeyShape::Marker, "f/g/"),
    (KeyShape::EmptyPart, "a//"),
    (KeyShape::EmptyPart, "a//b"),
    (KeyShape::EmptyPart, "a///b"),
    (KeyShape::EmptyPart, "/"),
    (KeyShape::EmptyPart, "//"),
    (KeyShape::EmptyPart, "/lead"),
    (KeyShape::EmptyPart, "//lead"),
    (KeyShape::EmptyPart, "c//d"),
    (KeyShape::DotPart, "."),
    (KeyShape::DotPart, ".."),
    (KeyShape::DotPart, "./"),
    (KeyShape::DotPart, "../"),
    (KeyShape::DotPart, "./x"),
    (KeyShape::DotPart, "../y"),
    (KeyShape::DotPart, "../../etc/passwd"),
    (KeyShape::DotPart, "c/./d"),
    (KeyShape::DotPart, "c/../d"),
    (KeyShape::DotPart, "c/."),
    (KeyShape::DotPart, "c/.."),
    (KeyShape::Control, "ctl\u{1}"),
    (KeyShape::Control, "ctl\t\n\r"),
    (KeyShape::Control, "ctl\u{7f}\u{1b}[31m"),
    (KeyShape::Control, "\u{1f}/\u{1e}"),
    (KeyShape::Control, "line\u{85}\u{2028}"),
    (KeyShape::Control, "noncharacter\u{fffe}\u{ffff}"),
    (KeyShape::Nul, "nul\0"),
    (KeyShape::Nul, "\0/\0"),
    (KeyShape::Special, "<xml>&amp;\"'"),
    (KeyShape::Special, "&#47;"),
    (KeyShape::Special, "]]>"),
    (KeyShape::Special, "100%"),
    (KeyShape::Special, "%2F"),
    (KeyShape::Special, "%2e%2e/%2E"),
    (KeyShape::Special, "a+b c"),
    (KeyShape::Special, "a%20b%2Bc"),
    (KeyShape::Special, " lead and trail "),
    (KeyShape::Special, "q?versionId=1&x#frag"),
    (KeyShape::Special, "?list-type=2"),
    (KeyShape::Special, "back\\slash"),
    (KeyShape::Special, "..\\up"),
    (KeyShape::Special, "*?[x]{y}$HOME`~"),
    (KeyShape::Special, "C:\\con|nul<>"),
    (KeyShape::Special, "dot."),
    (KeyShape::Special, "-rf"),
    (KeyShape::Special, "a=b;c,d:e@f!g"),
    (KeyShape::NonAscii, "stra\u{df}e/\u{65e5}\u{672c}"),
    (KeyShape::NonAscii, "\u{ff5e}"),
    (KeyShape::NonAscii, "\u{1f600}"),
    (KeyShape::NonAscii, "\u{10ffff}"),
    (KeyShape::NonAscii, "\u{feff}bom\u{200b}"),
    (KeyShape::NonAscii, "\u{202e}rtl"),
    (KeyShape::Lookalike, "B"),
    (KeyShape::Lookalike, "caf\u{e9}"),
    (KeyShape::Lookalike, "cafe\u{301}"),
    (KeyShape::Reserved, ".cloudmount"),
    (KeyShape::Reserved, ".cloudmount/"),
    (KeyShape::Reserved, ".cloudmount/keys/fb"),
    (KeyShape::Reserved, ".cloudmount/../.cloudmount/tmp/x"),
];

/// Long keys, which depend on how much of the longest key the prefix takes.
fn long(area: &Area<'_>) -> Vec<(KeyShape, String)> {
    let room = area.key_bytes_max() - area.prefix().len();
    let folders = "0123456789/".repeat(room / 11);
    vec![
        (KeyShape::Plain, "p".repeat(255)),
        (
            KeyShape::Plain,
            format!("{}/{}", "q".repeat(255), "r".repeat(255)),
        ),
        (KeyShape::LongPart, "s".repeat(256)),
        (KeyShape::LongPart, format!("{}/t", "t".repeat(300))),
        (KeyShape::LongPart, "\u{e4}".repeat(128)),
        (KeyShape::LongPart, "%".repeat(256)),
        (KeyShape::LongPart, "x".repeat(room)),
        (
            KeyShape::LongKey,
            format!("{folders}{}", "y".repeat(room - folders.len())),
        ),
    ]
}

/// Whether the store says that it can hold a key of that shape.
fn holds(area: &Area<'_>, shape: KeyShape, name: &str) -> bool {
    let markers = area.capabilities().folder_markers;
    area.limits().holds(shape) && (markers || !name.ends_with('/'))
}

/// The hard keys of the area, in order, each with its own content.
async fn write(area: &Area<'_>) -> Result<Vec<String>, Broken> {
    const AT_ONCE: usize = 16;
    let fixed = HARD.iter().map(|&(shape, name)| (shape, name.to_owned()));
    let mut names: Vec<String> = (fixed.chain(long(area)))
        .filter(|(shape, name)| holds(area, *shape, name))
        .map(|(_, name)| name)
        .collect();
    names.sort();
    for some in names.chunks(AT_ONCE) {
        try_join_all(some.iter().map(|name| area.put(name, content(name)))).await?;
    }
    Ok(names)
}

/// Content that no other key has.
fn content(name: &str) -> Vec<u8> {
    format!("content of {name:?}").into_bytes()
}

/// Says which shapes were left out, if any.
fn outcome(area: &Area<'_>) -> Outcome {
    match (
        area.limits().refused_keys,
        area.capabilities().folder_markers,
    ) {
        ([], true) => Outcome::Held,
        ([], false) => Outcome::Skipped("markers only; all other hard keys held"),
        _ => Outcome::Skipped("only the shapes in its limits; all other hard keys held"),
    }
}

/// Law: each hard key opens to its own bytes, all of them being there.
pub async fn hard_keys_open_to_their_own_bytes(area: &Area<'_>) -> Verdict {
    let area = &area.bare();
    for name in write(area).await? {
        area.holds(&name, &content(&name)).await?;
    }
    Ok(outcome(area))
}

/// Law: a flat listing shows each hard key once and none else, whatever the size of its pages.
pub async fn hard_keys_are_listed_once_flat(area: &Area<'_>) -> Verdict {
    let area = &area.bare();
    let names = write(area).await?;
    for limit in LIMITS {
        let request = ListRequest {
            limit: Some(limit),
            ..ListRequest::default()
        };
        let found = area.names(&request).await?;
        same(
            &format!("pages of {limit}"),
            &found,
            &(names.clone(), Vec::new()),
        )?;
    }
    let begins = area.limits().listings == Listings::InOrder;
    for after in names.iter().filter(|_| begins) {
        let request = ListRequest {
            start_after: Some(after.clone()),
            limit: Some(1),
            prefix: String::new(),
            ..ListRequest::default()
        };
        let page = first_page(area, request).await?;
        let wanted = (names.iter()).find(|name| *name > after).cloned();
        same(&format!("the key after {after:?}"), &page, &wanted)?;
    }
    Ok(outcome(area))
}

/// The first name of the first page.
async fn first_page(area: &Area<'_>, request: ListRequest) -> Result<Option<String>, Broken> {
    let request = ListRequest {
        prefix: area.prefix().to_owned(),
        start_after: (request.start_after).map(|name| format!("{}{name}", area.prefix())),
        ..request
    };
    let page = area.store().list(request).await?;
    let first = page
        .objects
        .first()
        .map(|object| area.name(object.key.as_str()));
    Ok(first.transpose()?.map(str::to_owned))
}

/// Law: who walks from folder to folder meets each hard key once and none else.
pub async fn hard_keys_are_listed_once_by_folder(area: &Area<'_>) -> Verdict {
    let area = &area.bare();
    let names = write(area).await?;
    for limit in LIMITS {
        let mut met = Vec::new();
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let request = ListRequest {
                prefix: folder.clone(),
                by_folder: true,
                limit: Some(limit),
                ..ListRequest::default()
            };
            let (objects, below) = area.names(&request).await?;
            let wanted = below_of(&names, &folder);
            same(
                &format!("folders of {folder:?} in pages of {limit}"),
                &below,
                &wanted,
            )?;
            met.extend(objects);
            folders.extend(below);
        }
        met.sort();
        same(&format!("keys met in pages of {limit}"), &met, &names)?;
    }
    Ok(outcome(area))
}

/// The folders directly below one, by definition.
fn below_of(names: &[String], folder: &str) -> Vec<String> {
    let below = names.iter().filter_map(|name| {
        let rest = name.strip_prefix(folder)?;
        Some(name[..=folder.len() + rest.find('/')?].to_owned())
    });
    below.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Law: a hard key is deleted, and none other with it.
pub async fn hard_keys_are_deleted_one_by_one(area: &Area<'_>) -> Verdict {
    let area = &area.bare();
    let mut names = write(area).await?;
    // From the middle outwards: parents before and after their children.
    while !names.is_empty() {
        let name = names.remove(names.len() / 2);
        area.delete(&[&name]).await?;
        let what = format!("after the delete of {name:?}");
        same(&what, &area.all_names().await?, &names)?;
    }
    Ok(outcome(area))
}

/// Law: hard keys are as good as others as source and target of a copy, and for uploads in parts.
pub async fn hard_keys_can_be_copied_and_uploaded_in_parts(area: &Area<'_>) -> Verdict {
    let area = &area.bare();
    let names = write(area).await?;
    for pair in names.windows(2) {
        let [from, to] = pair else { continue };
        let source = CopySource {
            key: area.key(from)?,
            if_match: None,
        };
        let options = CopyOptions {
            metadata: CopyMetadata::Keep,
            precondition: Precondition::None,
            source_bytes: None,
        };
        let saved = area.read(to).await?;
        area.store().copy(source, &area.key(to)?, options).await?;
        area.holds(to, &content(from)).await?;
        upload(area, to, saved.to_vec()).await?;
        area.holds(to, &content(to)).await?;
        area.holds(from, &content(from)).await?;
    }
    same("names", &area.all_names().await?, &names)?;
    Ok(outcome(area))
}

async fn upload(area: &Area<'_>, name: &str, bytes: Vec<u8>) -> Result<(), Broken> {
    let key = area.key(name)?;
    let store = area.store();
    let upload = store.multipart_start(&key, &PutOptions::default()).await?;
    let payload = Payload::from(bytes::Bytes::from(bytes));
    let part = store.multipart_put(&key, &upload, 1, payload).await?;
    (store.multipart_complete(&key, &upload, &[part], Precondition::None)).await?;
    Ok(())
}

/// Law: a thousand empty parts are parts.
pub async fn a_key_of_little_but_slashes(area: &Area<'_>) -> Verdict {
    if !area.limits().holds(KeyShape::EmptyPart) {
        return Ok(Outcome::Skipped("the store holds no empty parts"));
    }
    let room = area.key_bytes_max() - area.prefix().len();
    let name = format!("a{}b", "/".repeat(room - 2));
    area.put(&name, content(&name)).await?;
    area.put("a/b", "near").await?;
    area.holds(&name, &content(&name)).await?;
    let all = vec![name.clone(), "a/b".to_owned()];
    same("names", &area.all_names().await?, &all)?;
    let middle = ListRequest {
        prefix: name[..room / 2].to_owned(),
        by_folder: true,
        ..ListRequest::default()
    };
    let below = name[..=room / 2].to_owned();
    let found = area.names(&middle).await?;
    same("from the middle", &found, &(Vec::new(), vec![below]))?;
    area.delete(&[&name]).await?;
    same("names", &area.all_names().await?, &all[1..].to_vec())?;
    Ok(Outcome::Held)
}

/// Law: `a`, `a/` and `a/b` come and go in any order, and none takes another with it.
pub async fn a_file_beside_a_folder_of_its_name(area: &Area<'_>) -> Verdict {
    if !area.limits().holds(KeyShape::FileAndFolder) {
        return Ok(Outcome::Skipped("the store holds no file beside a folder"));
    }
    let all: &[&str] = match area.capabilities().folder_markers {
        true => &["a", "a/", "a/b"],
        false => &["a", "a/b"],
    };
    for order in permutations(all) {
        for deleted in permutations(all) {
            for name in &order {
                area.put(name, content(name)).await?;
            }
            let mut left: Vec<String> = all.iter().map(|&name| name.to_owned()).collect();
            let what = format!("written as {order:?}, deleted as {deleted:?}");
            for name in &deleted {
                for name in &left {
                    area.holds(name, &content(name)).await?;
                }
                same(&what, &area.all_names().await?, &left)?;
                area.delete(&[name]).await?;
                left.retain(|other| other != name);
            }
            same(&what, &area.all_names().await?, &left)?;
        }
    }
    Ok(Outcome::Held)
}

fn permutations<'n>(names: &[&'n str]) -> Vec<Vec<&'n str>> {
    if names.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in names.iter().enumerate() {
        let mut rest = names.to_vec();
        rest.remove(index);
        for mut order in permutations(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

/// Law: keys are compared byte by byte: no case, composition, blank or encoding is folded.
pub async fn names_that_differ_little_are_different(area: &Area<'_>) -> Verdict {
    use KeyShape::{Control, EmptyPart, Lookalike, NonAscii, Special};
    let alike = [
        (Lookalike, "name"),
        (Lookalike, "Name"),
        (Lookalike, "NAME"),
        (Special, "name "),
        (Special, " name"),
        (Special, "name."),
        (Special, "n%61me"),
        (Special, "n%2561me"),
        (NonAscii, "name\u{200b}"),
        (NonAscii, "n\u{430}me"),
        (Lookalike, "\u{e5}"),
        (Lookalike, "a\u{30a}"),
        (Lookalike, "\u{212b}"),
        (Control, "name\n"),
        (EmptyPart, "/name"),
        (EmptyPart, "x/name"),
        (EmptyPart, "x//name"),
    ];
    let names: Vec<&str> = (alike.into_iter())
        .filter(|(shape, _)| area.limits().holds(*shape))
        .map(|(_, name)| name)
        .collect();
    for name in &names {
        area.put(name, content(name)).await?;
    }
    for name in &names {
        let found = (area.store())
            .get_bytes(&area.key(name)?, GetOptions::default())
            .await?;
        same_bytes(&format!("{name:?}"), &found, &content(name))?;
    }
    let mut sorted: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    sorted.sort();
    same("names", &area.all_names().await?, &sorted)?;
    Ok(outcome(area))
}
