//! Listing: pages over a walk in the order of keys.
//!
//! A token is a place in the order of keys, so it stays good whatever happens to the folder. A walk
//! that was cut by the end of a page is also parked for a while, so that the next page of a large
//! folder need not read it again; it goes on only if nothing changed since.

mod walk;

use std::time::Duration;

use cloudmount_vfs::Instant;

use self::walk::Item;
pub(super) use self::walk::Walk;
use super::inner::Inner;
use crate::position::{Position, page_limit};
use crate::{ListPage, ListRequest, Result};

/// Walks that are parked at a time; more listings than that at once read folders again.
const PARKED_MAX: usize = 8;

/// Names that all parked walks hold together: about 64 MiB.
const PARKED_NAMES_MAX: usize = 500_000;

/// How long a walk is parked. Who pages through a listing asks again at once.
const PARKED_FOR: Duration = Duration::from_secs(30);

/// A walk that stands at a token.
#[derive(Debug)]
pub(super) struct Parked {
    token: String,
    prefix: String,
    by_folder: bool,
    since: Instant,
    walk: Walk,
}

impl Inner {
    pub(super) fn list(&self, request: &ListRequest) -> Result<ListPage> {
        let limit = page_limit(request);
        let mut walk = match self.unpark(request)? {
            Some(walk) => walk,
            None => Walk::new(self, request, Position::of(request)?.lower_bound())?,
        };
        let mut page = ListPage::default();
        let mut reached = Position::Start;
        while page.objects.len() + page.prefixes.len() < limit {
            match walk.next(self)? {
                None => return Ok(page),
                Some(Item::Object(object)) => {
                    reached = Position::AfterKey(object.key.as_str().to_owned());
                    page.objects.push(object);
                }
                Some(Item::Folder(folder)) => {
                    reached = Position::AfterFolder(folder.clone());
                    page.prefixes.push(folder);
                }
            }
        }
        if walk.has_more(self)? {
            page.next = reached.token();
            if let Some(token) = reached.token() {
                self.park(request, token, walk);
            }
        }
        Ok(page)
    }

    fn park(&self, request: &ListRequest, token: String, mut walk: Walk) {
        if !walk.rest() {
            return;
        }
        let since = self.clock.now();
        let mut parked = self.parked.lock();
        parked.retain(|other| since.saturating_since(other.since) < PARKED_FOR);
        parked.push(Parked {
            token,
            prefix: request.prefix.clone(),
            by_folder: request.by_folder,
            since,
            walk,
        });
        let names = |parked: &[Parked]| parked.iter().map(|one| one.walk.names()).sum::<usize>();
        while parked.len() > PARKED_MAX || names(&parked) > PARKED_NAMES_MAX {
            parked.remove(0);
        }
    }

    fn unpark(&self, request: &ListRequest) -> Result<Option<Walk>> {
        let Some(token) = &request.token else {
            return Ok(None);
        };
        let walk = {
            let mut parked = self.parked.lock();
            let same = |one: &Parked| {
                (&one.token, &one.prefix, one.by_folder)
                    == (token, &request.prefix, request.by_folder)
            };
            parked
                .iter()
                .position(same)
                .map(|at| parked.remove(at).walk)
        };
        match walk {
            Some(walk) if walk.is_fresh(self)? => Ok(Some(walk)),
            _ => Ok(None),
        }
    }
}
