//! Listings of many pages against what the pages in sequence give.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::Key;

fn object(key: &str) -> ListedObject {
    ListedObject {
        key: Key::new(key).unwrap(),
        size: 1,
        version: None,
        modified: cloudmount_vfs::Timestamp::EPOCH,
    }
}

fn request(by_folder: bool) -> ListRequest {
    ListRequest {
        prefix: "p/".to_owned(),
        by_folder,
        ..ListRequest::default()
    }
}

/// What a store with `keys` answers with pages of `most`; a token says behind what it goes on.
fn page(
    keys: &BTreeSet<String>,
    request: &ListRequest,
    question: &Question,
    most: usize,
) -> ListPage {
    let prefix = request.prefix.as_str();
    let after = question.token.as_ref().or(question.start_after.as_ref());
    let is_first = after.is_none();
    let after = after.map_or(prefix, String::as_str);
    let mut page = ListPage::default();
    let mut last = String::new();
    let below = keys.range(after.to_owned()..);
    for key in below.take_while(|key| key.starts_with(prefix)) {
        let slash = key[prefix.len()..].find('/').filter(|_| request.by_folder);
        let folder = slash.map(|at| key[..=prefix.len() + at].to_owned());
        let is_behind = match &folder {
            // A token that names a folder is behind all of it.
            Some(folder) if question.token.is_some() => folder.as_str() > after,
            // From the beginning, the marker of the folder itself.
            _ => key.as_str() > after || is_first && key == prefix,
        };
        let is_known = folder.is_some() && page.prefixes.last() == folder.as_ref();
        if !is_behind || is_known {
            continue;
        }
        if page.objects.len() + page.prefixes.len() == most {
            page.next = Some(last);
            break;
        }
        last = folder.clone().unwrap_or_else(|| key.clone());
        match folder {
            Some(folder) => page.prefixes.push(folder),
            None => page.objects.push(object(key)),
        }
    }
    page
}

/// Lists with splits at the moments that `dice` chooses, and answers in an order that it chooses.
fn list(
    keys: &BTreeSet<String>,
    request: &ListRequest,
    most: usize,
    dice: &[u8],
) -> (Vec<ListedObject>, Vec<String>) {
    let mut spans = Spans::new(request);
    let mut all = Together::default();
    let mut asked = Vec::new();
    let mut dice = dice.iter().copied().chain(std::iter::repeat(0));
    loop {
        match dice.next().unwrap() % 3 {
            0 => asked.extend(spans.ask()),
            1 => spans.split_anywhere(dice.next().unwrap()),
            _ => drop(spans.split()),
        }
        if asked.is_empty() {
            match spans.ask() {
                Some(question) => asked.push(question),
                None => break,
            }
        }
        let at = usize::from(dice.next().unwrap()) % asked.len();
        let question: Question = asked.swap_remove(at);
        let page = page(keys, request, &question, most);
        all.add(spans.answered(&question.span, page).unwrap());
    }
    all.add(spans.rest());
    all.sorted()
}

/// Batches, of which what belongs together must lie in one.
#[derive(Default)]
struct Together {
    all: Batch,
    /// In which batch each base came.
    bases: BTreeMap<String, usize>,
    batches: usize,
}

impl Together {
    fn add(&mut self, batch: Batch) {
        self.batches += 1;
        let objects = batch.objects.iter().map(|object| object.key.as_str());
        for one in objects.chain(batch.prefixes.iter().map(String::as_str)) {
            let before = (self.bases).insert(spans::base(one).to_owned(), self.batches);
            assert!(before.is_none_or(|before| before == self.batches), "{one}");
        }
        self.all.objects.extend(batch.objects);
        self.all.prefixes.extend(batch.prefixes);
    }

    fn sorted(mut self) -> (Vec<ListedObject>, Vec<String>) {
        self.all
            .objects
            .sort_by(|one, other| one.key.cmp(&other.key));
        self.all.prefixes.sort();
        (self.all.objects, self.all.prefixes)
    }
}

/// All batches of a listing, and the pages that it took; the objects in order.
async fn all_of(mut listing: ListPages<'_>) -> Result<(Batch, u64)> {
    let mut all = Batch::default();
    while let Some(batch) = listing.next().await? {
        all.objects.extend(batch.objects);
        all.prefixes.extend(batch.prefixes);
    }
    all.objects.sort_by(|one, other| one.key.cmp(&other.key));
    all.objects.dedup();
    Ok((all, listing.pages()))
}

proptest! {
    #[test]
    fn whatever_is_split_all_is_listed_once(
        keys in prop::collection::btree_set("p/([-.0ab]{1,3}(/[0a]{0,2}|_\\$folder\\$)?)?", 0..40),
        most in 1..5_usize,
        by_folder: bool,
        dice in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let request = request(by_folder);
        let (objects, folders) = list(&keys, &request, most, &dice);
        let first = Question { span: request.prefix.clone(), start_after: None, token: None };
        let all = page(&keys, &request, &first, usize::MAX);
        prop_assert_eq!(objects, all.objects);
        prop_assert_eq!(folders, all.prefixes);
    }
}

#[test]
fn what_is_not_in_order_is_noticed() {
    let answer = |keys: &[&str]| ListPage {
        objects: keys.iter().map(|key| object(key)).collect(),
        ..ListPage::default()
    };
    let mut spans = Spans::new(&request(true));
    let question = spans.ask().unwrap();
    let found = spans.answered(&question.span, answer(&["p/b", "p/a"]));
    assert_eq!(found, Err(OutOfOrder));
    // One that begins elsewhere than it was told.
    let mut spans = Spans::new(&request(true));
    let question = spans.ask().unwrap();
    let mut first = answer(&["p/", "p/a1", "p/a2"]);
    first.next = Some("on".to_owned());
    spans.answered(&question.span, first).unwrap();
    assert!(spans.split());
    let (front, back) = (spans.ask().unwrap(), spans.ask().unwrap());
    assert_eq!(front.token.as_deref(), Some("on"));
    assert!(back.start_after.unwrap().as_str() > "p/a2");
    let found = spans.answered(&back.span, answer(&["p/a1"]));
    assert_eq!(found, Err(OutOfOrder));
}

/// How a store takes being told where to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beginning {
    Known,
    /// It begins at the beginning.
    Ignored,
    Refused(ErrorKind),
    /// The network fails.
    Fails,
}

async fn list_from(beginning: Beginning, keys: &BTreeSet<String>) -> Result<(Batch, u64)> {
    let ask = move |request: ListRequest| async move {
        let mut question = Question {
            span: String::new(),
            start_after: request.start_after.clone(),
            token: request.token.clone(),
        };
        match beginning {
            Beginning::Ignored => question.start_after = None,
            Beginning::Refused(kind) if question.start_after.is_some() => {
                return Err(crate::Error::new(kind, "begin in the middle"));
            }
            Beginning::Fails if question.start_after.is_some() => {
                return Err(crate::Error::new(ErrorKind::Connection, "list"));
            }
            _ => {}
        }
        Ok(page(keys, &request, &question, 10))
    };
    let ask = Box::new(move |request| ask(request).boxed());
    all_of(ListPages::new(ask, &request(true), Extent::Whole)).await
}

#[tokio::test]
async fn a_store_that_cannot_begin_in_the_middle_is_listed_in_sequence() {
    let keys: BTreeSet<_> = (0..3_000).map(|n| format!("p/f{n:06}")).collect();
    let all: Vec<_> = keys.iter().map(|key| object(key)).collect();
    for beginning in [
        Beginning::Known,
        Beginning::Ignored,
        Beginning::Refused(ErrorKind::Unsupported),
        Beginning::Refused(ErrorKind::InvalidRequest),
    ] {
        let (listed, pages) = list_from(beginning, &keys).await.unwrap();
        assert!(listed.objects == all, "{beginning:?}");
        assert!(pages <= 350, "{beginning:?}: {pages}");
    }
    let error = list_from(Beginning::Fails, &keys).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connection);
}

#[tokio::test]
async fn more_than_one_page_is_told_by_the_first() {
    let keys: BTreeSet<_> = (0..11).map(|n| format!("p/f{n:06}")).collect();
    let asked = std::sync::atomic::AtomicU32::new(0);
    let ask = |request: ListRequest| {
        asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let question = Question {
            span: String::new(),
            start_after: None,
            token: request.token.clone(),
        };
        let page = page(&keys, &request, &question, 10);
        async move { Ok(page) }.boxed()
    };
    let mut listing = ListPages::new(Box::new(ask), &request(true), Extent::OnePage);
    let first = listing.next().await.unwrap().unwrap();
    // The last may be the beginning of others.
    assert_eq!((first.len(), listing.goes_on()), (9, true));
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    let (rest, pages) = all_of(listing).await.unwrap();
    assert_eq!((rest.len(), pages), (2, 2));
}

/// As the driver does it, where all requests take as long: how often it waits, and how many pages it takes.
fn rounds(keys: &BTreeSet<String>, by_folder: bool, most: usize) -> (usize, u64) {
    let request = request(by_folder);
    let mut spans = Spans::new(&request);
    let (mut rounds, mut pages, mut seen) = (0, 0, 0);
    loop {
        let mut asked = Vec::new();
        let at_once = if pages == 0 { 1 } else { AT_ONCE_MAX };
        while asked.len() < at_once {
            match spans.ask() {
                Some(question) => asked.push(question),
                None if pages > 0 && spans.split() => {}
                None => break,
            }
        }
        if asked.is_empty() {
            assert_eq!(seen + spans.rest().len(), keys.len());
            return (rounds, pages);
        }
        rounds += 1;
        for question in asked {
            pages += 1;
            let page = page(keys, &request, &question, most);
            seen += spans.answered(&question.span, page).unwrap().len();
        }
    }
}

/// A kind of names: what it is called, whether it is listed by folder, the name of each number, and the most
/// rounds that 300 pages of them may take.
type Kind = (&'static str, bool, fn(u32) -> String, usize);

const KINDS: [Kind; 11] = [
    ("counted", true, |n| format!("p/f{n:06}"), 40),
    ("many digits", true, |n| format!("p/file-{n:010}.dat"), 40),
    ("without zeros", true, |n| format!("p/{n}"), 40),
    (
        "hashed",
        true,
        |n| format!("p/{:08x}", n.wrapping_mul(2_654_435_761)),
        40,
    ),
    (
        "seconds",
        true,
        |n| format!("p/{}", 1_700_000_000 + n * 37),
        40,
    ),
    ("folders", true, |n| format!("p/d{n:06}/x"), 40),
    (
        "two kinds",
        true,
        |n| format!("p/{}-{n:05}", if n % 2 == 0 { "left" } else { "right" }),
        40,
    ),
    (
        "chinese",
        true,
        |n| {
            format!(
                "p/{}{n:04}",
                ['\u{4e2d}', '\u{6587}', '\u{5b57}'][n as usize % 3]
            )
        },
        40,
    ),
    (
        "a tree",
        false,
        |n| format!("p/d{:04}/f{:02}", n / 100, n % 100),
        50,
    ),
    (
        "a deep tree",
        false,
        |n| format!("p/{}/{}/f{:02}", n / 1000, n / 100 % 10, n % 100),
        50,
    ),
    // Most numbers are no days.
    (
        "days",
        true,
        |n| format!("p/IMG_2024{:02}{:02}_{n:06}", n % 12 + 1, n % 28 + 1),
        100,
    ),
];

#[test]
fn many_pages_take_few_rounds_and_few_requests_more() {
    for (name, by_folder, make, most_rounds) in KINDS {
        // As 300 pages of 1,000.
        let keys: BTreeSet<_> = (0..3_000).map(make).collect();
        let (rounds, pages) = rounds(&keys, by_folder, 10);
        println!("{name}: {rounds} rounds, {pages} pages");
        assert!(rounds <= most_rounds, "{name}: {rounds} rounds");
        assert!(pages <= 300 * 7 / 6, "{name}: {pages} pages");
    }
}

#[test]
fn a_few_pages_cost_what_they_cost_in_sequence() {
    for (name, by_folder, make, _) in KINDS {
        for most in 1..=20 {
            let keys: BTreeSet<_> = (0..most * 10).map(make).collect();
            let (_, pages) = rounds(&keys, by_folder, 10);
            let most = u64::from(most);
            let guesses = match most {
                1 => 0,
                _ => (5 + most.div_ceil(7)).min(most),
            };
            assert!(pages <= most + guesses, "{name}: {pages} pages of {most}");
        }
    }
}
