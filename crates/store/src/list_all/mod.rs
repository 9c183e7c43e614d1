//! [`list_all`]: a listing from its first page to its last, several pages at once where there are many.
//!
//! Laws:
//! - It gives what the pages in sequence give: the ranges that it asks for are cut by guesses, but cover all keys
//!   once (see `spans`).
//! - A folder of few pages costs these pages, and nothing more. Behind them, guesses that find nothing cost at most
//!   a request in seven, and five.
//! - A store that does not list in order, or not from where it is told, is asked again in sequence.

mod spans;
mod split;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use self::spans::{OutOfOrder, Question, Spans};
use crate::{ErrorKind, ListPage, ListRequest, ListedObject, Result, Store};

/// Pages that are asked for in sequence before the rest is split: most folders have fewer.
const IN_SEQUENCE: u64 = 4;

/// Pages at once: 16 hide 20 ms behind 800,000 keys per second, more than is made of them here.
const AT_ONCE_MAX: usize = 16;

/// All of a listing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listed {
    /// Objects, by key.
    pub objects: Vec<ListedObject>,
    /// With `by_folder`, what several keys have in common, in order.
    pub prefixes: Vec<String>,
    /// Pages that were asked for.
    pub pages: u64,
}

/// How much is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Extent {
    /// All of it.
    Whole,
    /// All of it if that is one page.
    OnePage,
}

/// All that `request` means, of which only the prefix and `by_folder` count; `None` if that is more than wanted.
///
/// # Errors
/// Those of [`Store::list`].
pub async fn list_all(
    store: &dyn Store,
    request: &ListRequest,
    extent: Extent,
) -> Result<Option<Listed>> {
    list_by(&|request| store.list(request), request, extent).await
}

async fn list_by<F: Future<Output = Result<ListPage>>>(
    list: &impl Fn(ListRequest) -> F,
    request: &ListRequest,
    extent: Extent,
) -> Result<Option<Listed>> {
    let mut spans = Spans::new(request);
    let mut pages = 0;
    while pages < IN_SEQUENCE
        && let Some(question) = spans.ask()
    {
        let page = list(asking(request, &question)).await?;
        pages += 1;
        if extent == Extent::OnePage && page.next.is_some() {
            return Ok(None);
        }
        if spans.answered(&question.span, page) == Err(OutOfOrder) {
            return in_sequence(list, request, pages).await.map(Some);
        }
    }
    match at_once(list, request, &mut spans, &mut pages).await? {
        Ok(()) => {
            let (objects, prefixes) = spans.into_all();
            Ok(Some(Listed {
                objects,
                prefixes,
                pages,
            }))
        }
        Err(OutOfOrder) => in_sequence(list, request, pages).await.map(Some),
    }
}

/// The pages that are left, several at a time; `pages` counts them.
async fn at_once<F: Future<Output = Result<ListPage>>>(
    list: &impl Fn(ListRequest) -> F,
    request: &ListRequest,
    spans: &mut Spans,
    pages: &mut u64,
) -> Result<std::result::Result<(), OutOfOrder>> {
    let mut asked = FuturesUnordered::new();
    loop {
        while asked.len() < AT_ONCE_MAX {
            let Some(question) = spans.ask() else {
                if spans.split() {
                    continue;
                }
                break;
            };
            let page = list(asking(request, &question));
            asked.push(async move { (question, page.await) });
        }
        let Some((question, page)) = asked.next().await else {
            return Ok(Ok(()));
        };
        *pages += 1;
        let page = match page {
            Ok(page) => page,
            // What begins in the middle may be what it does not do.
            Err(error) if question.start_after.is_some() && is_refusal(error.kind()) => {
                return Ok(Err(OutOfOrder));
            }
            Err(error) => return Err(error),
        };
        if spans.answered(&question.span, page) == Err(OutOfOrder) {
            return Ok(Err(OutOfOrder));
        }
    }
}

const fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Unsupported | ErrorKind::InvalidRequest)
}

fn asking(request: &ListRequest, question: &Question) -> ListRequest {
    ListRequest {
        prefix: request.prefix.clone(),
        by_folder: request.by_folder,
        start_after: question.start_after.clone(),
        token: question.token.clone(),
        limit: None,
    }
}

/// The pages one after the other, after `pages` that were of no use.
async fn in_sequence<F: Future<Output = Result<ListPage>>>(
    list: &impl Fn(ListRequest) -> F,
    request: &ListRequest,
    pages: u64,
) -> Result<Listed> {
    let mut listed = Listed {
        pages,
        ..Listed::default()
    };
    let mut token = None;
    loop {
        let request = ListRequest {
            prefix: request.prefix.clone(),
            by_folder: request.by_folder,
            token,
            ..ListRequest::default()
        };
        let page = list(request).await?;
        listed.pages += 1;
        listed.objects.extend(page.objects);
        listed.prefixes.extend(page.prefixes);
        token = page.next;
        if token.is_none() {
            return Ok(listed);
        }
    }
}

#[cfg(test)]
mod tests;
