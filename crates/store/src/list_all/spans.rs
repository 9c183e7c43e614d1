//! [`Spans`]: the ranges that a listing was split into, and what came of them. Pure.
//!
//! Laws:
//! - The ranges cover all keys, and no key lies in two of them; what a page shows beyond the end of its range is
//!   left to the next.
//! - A range is split only where that may pay: what guesses have cost, and may yet cost, is bounded.
//! - What begins with the same text is given together, as far as one of it is that text: `a`, `a/` and `a_$folder$`
//!   say together what `a` is. Where a page ends between them they wait for the next, where a range does, for the end.
//! - A store that does not begin where it was told, or gives keys out of order, is noticed.

use std::collections::BTreeMap;

use super::split::{Alphabet, Slashes};
use super::{Batch, PAGE_ENTRIES};
use crate::{ListPage, ListRequest, ListedObject};

/// What Hadoop puts behind the name of a folder (`NativeS3FileSystem`, `FOLDER_SUFFIX`).
const SUFFIX: &str = "_$folder$";

/// Keys of a page that are learnt from: one in so many.
const LEARN_EVERY: usize = 50;

/// Pages that a range must probably have left before it is split: each split costs half a page.
const SPLIT_PAGES: f64 = 3.0;

/// More pages in one range than are believed to be there.
const FAR_PAGES: f64 = 512.0;

/// Beyond all ranges: it has only to be finite.
const PAGES_MAX: f64 = 1e200;

/// How far ahead the end of a listing is sought at least, in pages: as many as are one where a store has large ones.
const STEP_PAGES: u64 = 5;

/// A range that nobody has seen a page of may hold nothing: it counts as one of a few times fewer pages.
const UNSEEN_COUNTS: f64 = 0.25;

/// What guesses may cost, in pages, however few were listed: but no more than came.
const WASTE_MIN: f64 = 4.0;

/// The same, for each page that was listed.
const WASTE_PER_PAGE: f64 = 0.125;

/// What a range that ends within the listing costs when it ends: half of its last page is the next one's.
const END_COSTS: f64 = 0.5;

/// A range, named by what it begins after.
#[derive(Debug)]
struct Span {
    /// Its last key at most; `None`: up to the end.
    end: Option<String>,
    /// What was seen of it last.
    seen: String,
    /// First and last of a page of it, or of the range that it was cut from.
    page: Option<(String, String)>,
    /// How many entries that page has.
    page_entries: u64,
    /// Whether it had an answer.
    is_known: bool,
    token: Option<String>,
    state: State,
    /// Pages that are probably left of it.
    left: f64,
    /// Whether no place for a split was found since its last page.
    is_whole: bool,
    /// What waits for what may follow in the next page.
    held: Batch,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// To be asked for.
    Idle,
    Asked,
    Done,
}

/// What to ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// The name of the range.
    pub(super) span: String,
    pub(super) start_after: Option<String>,
    pub(super) token: Option<String>,
}

/// The store does not list in order, or not from where it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct OutOfOrder;

/// The ranges of one listing.
#[derive(Debug)]
pub(super) struct Spans {
    prefix: String,
    spans: BTreeMap<String, Span>,
    alphabet: Alphabet,
    /// Pages that came.
    pages: u32,
    /// Entries of the largest one behind the first; before it came, as many as are asked for.
    largest: u64,
    /// Entries that they have brought.
    listed: u64,
    /// How much of these showed nothing new, in pages.
    wasted: f64,
    /// What may lie in several ranges together.
    apart: Batch,
}

/// Where an entry goes.
enum Way {
    Out,
    Held,
    Apart,
}

impl Spans {
    /// One range: all that `request` means.
    pub(super) fn new(request: &ListRequest) -> Self {
        let prefix = request.prefix.clone();
        let all = Span::new(prefix.clone(), None);
        let slashes = if request.by_folder {
            Slashes::Avoided
        } else {
            Slashes::Allowed
        };
        Self {
            spans: [(prefix.clone(), all)].into(),
            prefix,
            alphabet: Alphabet::new(slashes),
            pages: 0,
            largest: 0,
            listed: 0,
            wasted: 0.0,
            apart: Batch::default(),
        }
    }

    /// Whether any range has not come to its end.
    pub(super) fn is_open(&self) -> bool {
        (self.spans.values()).any(|span| span.state != State::Done)
    }

    /// The next page of a range that nobody asks for now.
    pub(super) fn ask(&mut self) -> Option<Question> {
        let (name, span) = (self.spans.iter_mut()).find(|(_, span)| span.state == State::Idle)?;
        span.state = State::Asked;
        let is_first = span.token.is_none() && *name != self.prefix;
        Some(Question {
            span: name.clone(),
            start_after: is_first.then(|| name.clone()),
            token: span.token.clone(),
        })
    }

    /// Splits the range of which most seems to be left, if that may pay; says whether it did.
    pub(super) fn split(&mut self) -> bool {
        let pages = f64::from(self.pages);
        let allowed = WASTE_MIN.min(pages) + pages * WASTE_PER_PAGE;
        while self.risked() + 1.0 <= allowed {
            let candidates = self.spans.iter().filter(|(_, span)| span.can_be_split());
            let counts = candidates.map(|(name, span)| {
                let chance = if span.is_known { 1.0 } else { UNSEEN_COUNTS };
                let left = span.left - as_pages(self.under_way(span));
                (left.min(FAR_PAGES) * chance, span.left, name)
            });
            let most = counts.max_by(|one, other| one.0.total_cmp(&other.0));
            let Some((_, left, name)) = most.filter(|(counts, ..)| *counts >= SPLIT_PAGES) else {
                return false;
            };
            let name = name.clone();
            if self.split_one(&name, left) {
                return true;
            }
        }
        false
    }

    /// What guesses have cost, and may yet.
    fn risked(&self) -> f64 {
        let open = (self.spans.values()).filter(|span| span.state != State::Done);
        let risks = open.map(|span| match (span.is_known, &span.end) {
            (false, _) => 1.0,
            (true, Some(_)) => END_COSTS,
            (true, None) => 0.0,
        });
        self.wasted + risks.sum::<f64>()
    }

    /// Says anew how many pages are probably left of a range.
    fn estimate(&mut self, name: &str) {
        let left = self.spans.get(name).map(|span| self.left(span));
        if let (Some(span), Some(left)) = (self.spans.get_mut(name), left) {
            span.left = left;
        }
    }

    fn left(&self, span: &Span) -> f64 {
        let Some((first, last)) = &span.page else {
            return 0.0;
        };
        let log_size = |after, end: Option<&str>| {
            let end = end.map(|end| self.inside(end));
            self.alphabet.log_size(self.inside(after), end)
        };
        let (all, page) = (
            log_size(&span.seen, span.end.as_deref()),
            log_size(first, Some(last)),
        );
        (all - page).exp()
    }

    /// Without the prefix.
    fn inside<'a>(&self, text: &'a str) -> &'a str {
        text.strip_prefix(&*self.prefix).unwrap_or_default()
    }

    fn split_one(&mut self, name: &str, left: f64) -> bool {
        let Some(span) = self.spans.get(name) else {
            return false;
        };
        let at = self.place_to_split(span, left);
        let at = at.map(|at| format!("{}{at}", self.prefix));
        let Some(span) = self.spans.get_mut(name) else {
            return false;
        };
        let Some(at) = at else {
            span.is_whole = true;
            return false;
        };
        let mut behind = Span::new(at.clone(), span.end.replace(at.clone()));
        behind.page.clone_from(&span.page);
        behind.page_entries = span.page_entries;
        self.spans.insert(at.clone(), behind);
        self.estimate(name);
        self.estimate(&at);
        true
    }

    /// Where a range is probably worth to be split. Nobody knows where the last one ends: that is sought as far ahead as
    /// what was listed so far is long.
    fn place_to_split(&self, span: &Span, left: f64) -> Option<String> {
        let (seen, end) = (self.inside(&span.seen), span.end.as_deref());
        if let (None, Some((first, last)), true) = (end, &span.page, left > FAR_PAGES) {
            let step = (self.listed / span.page_entries.max(1)).max(STEP_PAGES);
            let page = (self.inside(first), self.inside(last));
            if let Some(at) = self.alphabet.ahead(page, seen, step) {
                return Some(at);
            }
        }
        let end = end.map(|end| self.inside(end));
        let under_way = self.under_way(span);
        let page = span.page.as_ref().filter(|_| under_way > 0);
        // What is asked for now is not cut.
        let reached = page.and_then(|(first, last)| {
            let page = (self.inside(first), self.inside(last));
            self.alphabet.ahead(page, seen, under_way)
        });
        let is_inside = |reached: &String| end.is_none_or(|end| reached.as_str() < end);
        let from = reached.filter(is_inside);
        let from = from.as_deref().unwrap_or(seen);
        self.alphabet.split(from, end, halvings(left))
    }

    /// How many pages of a range, as large as the one that is known, are asked for now.
    const fn under_way(&self, span: &Span) -> u64 {
        match span.state {
            State::Asked if span.page_entries > 0 => self.largest / span.page_entries,
            State::Idle | State::Asked | State::Done => 0,
        }
    }

    /// Takes a page, and gives what can be told of it.
    pub(super) fn answered(&mut self, name: &str, page: ListPage) -> Result<Batch, OutOfOrder> {
        let Some(span) = self.spans.get_mut(name) else {
            return Ok(Batch::default());
        };
        let keys = || page.objects.iter().map(|object| object.key.as_str());
        let folders = || page.prefixes.iter().map(String::as_str);
        let (seen, prefix) = (&span.seen, &self.prefix);
        if !is_in_order(keys(), seen, prefix) || !is_in_order(folders(), seen, prefix) {
            return Err(OutOfOrder);
        }
        let all = || keys().chain(folders());
        let first = all().min().map(str::to_owned);
        let last = all().max().map(str::to_owned);
        for one in all().step_by(LEARN_EVERY).chain(last.as_deref()) {
            let inside = one.strip_prefix(&*self.prefix);
            self.alphabet.learn(inside.unwrap_or_default());
        }
        let shown = page.objects.len() + page.prefixes.len();
        self.largest = match self.pages {
            0 => PAGE_ENTRIES.into(),
            1 => shown as u64,
            _ => self.largest.max(shown as u64),
        };
        let end = span.end.clone();
        let is_inside = |one: &str| end.as_deref().is_none_or(|end| one <= end);
        let goes_on = page.next.is_some() && last.as_deref().is_none_or(is_inside);
        let mut found = std::mem::take(&mut span.held);
        let before = found.len();
        let inside = |one: &ListedObject| is_inside(one.key.as_str());
        (found.objects).extend(page.objects.into_iter().filter(inside));
        let inside = |one: &String| is_inside(one);
        (found.prefixes).extend(page.prefixes.into_iter().filter(inside));
        let new = found.len() - before;
        self.pages += 1;
        self.listed += new as u64;
        self.wasted += wasted(shown, new);
        if let (Some(first), Some(last)) = (first, last) {
            span.seen = last.clone().max(std::mem::take(&mut span.seen));
            span.page = Some((first, last));
            span.page_entries = shown as u64;
        }
        (span.is_known, span.is_whole) = (true, false);
        span.token = page.next;
        span.state = if goes_on { State::Idle } else { State::Done };
        let mut out = Batch::default();
        for object in found.objects {
            match span.way(name, object.key.as_str()) {
                Way::Out => out.objects.push(object),
                Way::Held => span.held.objects.push(object),
                Way::Apart => self.apart.objects.push(object),
            }
        }
        for folder in found.prefixes {
            match span.way(name, &folder) {
                Way::Out => out.prefixes.push(folder),
                Way::Held => span.held.prefixes.push(folder),
                Way::Apart => self.apart.prefixes.push(folder),
            }
        }
        if goes_on {
            self.estimate(name);
        }
        Ok(out)
    }

    /// What is left when all ranges have come to their ends.
    pub(super) fn rest(&mut self) -> Batch {
        std::mem::take(&mut self.apart)
    }
}

/// The key that an entry is a folder of, or stands beside.
pub(super) fn base(entry: &str) -> &str {
    let mut base = entry.strip_suffix('/').unwrap_or(entry);
    while let Some(shorter) = base.strip_suffix(SUFFIX) {
        base = shorter;
    }
    base
}

/// How often a range that seems to have so many pages is halved, to be split there. Of very many, most are
/// probably not there: where they end is sought from the front, in steps that grow.
fn halvings(pages: f64) -> u32 {
    if pages <= FAR_PAGES {
        return 1;
    }
    // The square root of the pages is where the search goes on.
    let (mut left, mut halvings) = (pages.min(PAGES_MAX), 0);
    while left > 4.0 {
        left /= 4.0;
        halvings += 1;
    }
    halvings
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a request brings some thousand pages at most"
)]
const fn as_pages(count: u64) -> f64 {
    count as f64
}

/// How much of a page showed nothing new.
#[expect(
    clippy::cast_precision_loss,
    reason = "a page has some thousand entries at most"
)]
fn wasted(shown: usize, new: usize) -> f64 {
    if shown == 0 {
        return 1.0;
    }
    (shown - new) as f64 / shown as f64
}

/// Whether `all` come one after the other, behind `seen`. The marker of the folder that is listed is the prefix
/// itself.
fn is_in_order<'a>(all: impl Iterator<Item = &'a str>, seen: &'a str, prefix: &str) -> bool {
    let mut before = seen;
    for one in all {
        if one <= before && one != prefix {
            return false;
        }
        before = one;
    }
    true
}

impl Span {
    fn new(after: String, end: Option<String>) -> Self {
        Self {
            end,
            seen: after,
            page: None,
            page_entries: 0,
            is_known: false,
            token: None,
            state: State::Idle,
            left: 0.0,
            is_whole: false,
            held: Batch::default(),
        }
    }

    /// Whether all that begins as this entry does was seen, without what says that it is a folder: those keys lie
    /// side by side.
    fn way(&self, after: &str, entry: &str) -> Way {
        let base = base(entry);
        let reaches_out = |bound: &str| bound.starts_with(base);
        match self.state {
            _ if reaches_out(after) => Way::Apart,
            State::Done if self.end.as_deref().is_some_and(reaches_out) => Way::Apart,
            State::Done => Way::Out,
            State::Idle | State::Asked if reaches_out(&self.seen) => Way::Held,
            State::Idle | State::Asked => Way::Out,
        }
    }

    fn can_be_split(&self) -> bool {
        self.state != State::Done && !self.is_whole
    }
}

#[cfg(test)]
impl Spans {
    /// Splits a range at a place that nobody would choose.
    pub(super) fn split_anywhere(&mut self, dice: u8) {
        let open = self.spans.iter().filter(|(_, span)| span.can_be_split());
        let names: Vec<_> = open.map(|(name, _)| name.clone()).collect();
        if !names.is_empty() {
            let pages = if dice.is_multiple_of(2) { 1.0 } else { 1e9 };
            self.split_one(&names[usize::from(dice) % names.len()], pages);
        }
    }
}
