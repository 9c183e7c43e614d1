//! [`ListPages`]: a listing from its first page to its last, several pages at once where there are many.
//!
//! Laws:
//! - It gives what the pages in sequence give: the ranges that it asks for are cut by guesses, but cover all keys
//!   once (see `spans`).
//! - A folder of one page costs that page. Of more, guesses that find nothing cost at most a request in seven, and
//!   five, and never more than there are pages; none, where they are not wanted, up to four pages.
//! - A store that does not list in order, or not from where it is told, is asked again in sequence, and what it gives
//!   is put in order.
//! - It holds the pages that are asked for, and what waits for what belongs to it: nothing that it has given.

mod spans;
mod split;

use std::fmt;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};

use self::spans::{OutOfOrder, Question, Spans};
use crate::{ErrorKind, ListPage, ListRequest, ListedObject, Result};

/// Pages that are asked for in sequence first where guesses are not wanted: most folders have fewer.
const IN_SEQUENCE: u64 = 4;

/// Entries to ask for in one page, behind the first: stores with larger pages than S3 has give them with less work for
/// each, and fewer waits. The first is asked for as all clients do: most folders have no second.
const PAGE_ENTRIES: u16 = 5000;

/// Pages of S3 at once: 16 hide 20 ms behind 800,000 keys per second, more than is made of them here.
const AT_ONCE_MAX: usize = 16;

/// Pages at once, however large they are.
const AT_ONCE_MIN: usize = 4;

/// Entries at once, so that large pages take no more memory than many.
const ENTRIES_AT_ONCE: usize = AT_ONCE_MAX * 1000;

/// Some entries of a listing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Batch {
    /// Objects.
    pub objects: Vec<ListedObject>,
    /// With `by_folder`, what several keys have in common.
    pub prefixes: Vec<String>,
}

/// How much is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// All of it.
    Whole,
    /// All of it if that is one page.
    OnePage,
}

/// Asks for a page.
pub type Ask<'a> = Box<dyn Fn(ListRequest) -> BoxFuture<'a, Result<ListPage>> + Send + Sync + 'a>;

type Answer = (Question, Result<ListPage>);

/// A listing that goes on.
pub struct ListPages<'a> {
    list: Ask<'a>,
    request: ListRequest,
    extent: Extent,
    /// Pages that come before anything is guessed.
    before_guesses: u64,
    spans: Spans,
    asked: FuturesUnordered<BoxFuture<'a, Answer>>,
    pages: u64,
    /// Entries of the largest page.
    largest: usize,
    course: Course,
}

/// Whether a range may be split, of which nobody knows whether it holds anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    Allowed,
    Never,
}

/// How it goes on.
#[derive(Debug)]
enum Course {
    InRanges,
    /// One after the other, from the beginning: what came, and the next token.
    InSequence(Batch, Option<String>),
    Ended,
}

impl fmt::Debug for ListPages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListPages")
            .field("request", &self.request)
            .field("pages", &self.pages)
            .finish_non_exhaustive()
    }
}

impl<'a> ListPages<'a> {
    /// Begins to list what `request` means, of which only the prefix and `by_folder` count. `list` asks the store for
    /// a page; it is called when that may begin, and its answer may be awaited much later. With [`Extent::OnePage`]
    /// nothing is asked for ahead of who takes the pages.
    #[must_use]
    pub fn new(list: Ask<'a>, request: &ListRequest, extent: Extent) -> Self {
        Self {
            list,
            request: request.clone(),
            extent,
            before_guesses: 1,
            spans: Spans::new(request),
            asked: FuturesUnordered::new(),
            pages: 0,
            largest: 0,
            course: Course::InRanges,
        }
    }

    /// The same without guesses about a folder of few pages: for one of many that are listed in turn, where a request
    /// more for each is too much.
    #[must_use]
    pub const fn patient(mut self) -> Self {
        self.before_guesses = IN_SEQUENCE;
        self
    }

    /// Pages that came so far.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.pages
    }

    /// Whether there are more pages than came so far.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        match &self.course {
            Course::InRanges => self.spans.is_open(),
            Course::InSequence(..) => true,
            Course::Ended => false,
        }
    }

    /// Some more entries, in no order, and perhaps none; `None` at the end. An entry may come twice where the store
    /// lists out of order. May be dropped while it waits, and called again. After an error it is over.
    ///
    /// # Errors
    /// Those of [`Store::list`](crate::Store::list).
    pub async fn next(&mut self) -> Result<Option<Batch>> {
        loop {
            match self.course {
                Course::InRanges => {}
                Course::InSequence(..) => return self.in_sequence().await.map(Some),
                Course::Ended => return Ok(None),
            }
            self.ask(Guess::Allowed);
            let Some((question, page)) = self.asked.next().await else {
                self.course = Course::Ended;
                return Ok(None);
            };
            self.pages += 1;
            let page = match page {
                Ok(page) => page,
                // What begins in the middle may be what it does not do.
                Err(error) if question.start_after.is_some() && is_refusal(error.kind()) => {
                    self.begin_again();
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.largest = self.largest.max(page.objects.len() + page.prefixes.len());
            if self.pages == 1 && page.next.is_none() {
                self.course = Course::Ended;
                return Ok(Some(Batch::of(page).in_order()));
            }
            match self.spans.answered(&question.span, page) {
                Ok(mut batch) => {
                    if !self.spans.is_open() {
                        self.course = Course::Ended;
                        batch.extend(self.spans.rest());
                    } else if self.extent == Extent::Whole {
                        // Who wants no more than the first names has one page more asked for, and no guess.
                        let is_first = self.pages == 1;
                        self.ask(if is_first {
                            Guess::Never
                        } else {
                            Guess::Allowed
                        });
                    }
                    return Ok(Some(batch));
                }
                Err(OutOfOrder) => self.begin_again(),
            }
        }
    }

    /// Makes as many requests as there is place for.
    fn ask(&mut self, guess: Guess) {
        let may_guess = guess == Guess::Allowed
            && self.extent == Extent::Whole
            && self.pages >= self.before_guesses;
        let at_once = match self.pages {
            0 => 1,
            _ => (ENTRIES_AT_ONCE / self.largest.max(1)).clamp(AT_ONCE_MIN, AT_ONCE_MAX),
        };
        while self.asked.len() < at_once {
            let Some(question) = self.spans.ask() else {
                if may_guess && self.spans.split() {
                    continue;
                }
                break;
            };
            let page = (self.list)(asking(&self.request, &question));
            self.asked
                .push(async move { (question, page.await) }.boxed());
        }
    }

    fn begin_again(&mut self) {
        self.asked.clear();
        self.course = Course::InSequence(Batch::default(), None);
    }

    /// All pages one after the other: what belongs together may lie in any of them.
    async fn in_sequence(&mut self) -> Result<Batch> {
        loop {
            let Course::InSequence(batch, token) = &mut self.course else {
                return Ok(Batch::default());
            };
            let request = ListRequest {
                prefix: self.request.prefix.clone(),
                by_folder: self.request.by_folder,
                token: token.clone(),
                limit: token.as_ref().map(|_| PAGE_ENTRIES),
                start_after: None,
            };
            let page = (self.list)(request).await?;
            self.pages += 1;
            *token = page.next.clone();
            batch.extend(Batch::of(page));
            if token.is_none() {
                let batch = std::mem::take(batch);
                self.course = Course::Ended;
                return Ok(batch.in_order());
            }
        }
    }
}

impl Batch {
    fn of(page: ListPage) -> Self {
        Self {
            objects: page.objects,
            prefixes: page.prefixes,
        }
    }

    /// The same in the order of keys, each once: where a listing has no order, what keys have in common may be told by
    /// several pages.
    fn in_order(mut self) -> Self {
        self.objects.sort_by(|a, b| a.key.cmp(&b.key));
        self.objects.dedup_by(|a, b| a.key == b.key);
        self.prefixes.sort();
        self.prefixes.dedup();
        self
    }

    fn extend(&mut self, other: Self) {
        self.objects.extend(other.objects);
        self.prefixes.extend(other.prefixes);
    }

    /// How many entries these are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.objects.len() + self.prefixes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

const fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::InvalidRequest)
}

fn asking(request: &ListRequest, question: &Question) -> ListRequest {
    let is_first = question.token.is_none() && question.start_after.is_none();
    ListRequest {
        prefix: request.prefix.clone(),
        by_folder: request.by_folder,
        start_after: question.start_after.clone(),
        token: question.token.clone(),
        limit: (!is_first).then_some(PAGE_ENTRIES),
    }
}

#[cfg(test)]
mod tests;
