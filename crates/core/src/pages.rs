//! Listings of folders that go on from page to page, as those who want the names take them along.
//!
//! Laws:
//! - A listing belongs to its folder. Whoever needs more of it has the next page asked for and applied, one at a time; the others
//!   find it applied. Nobody need bring it to its end, and nothing runs when nobody does.
//! - It holds some pages at most, however large the folder is: what was applied is the inode table's. How many listings go on is
//!   bounded, too: see `left`.
//! - A scan shows what the pages so far tell, in the order in which the table has its names: each name that is there
//!   throughout once, however the pages come and whatever is changed meanwhile. It ends when the listing has.
//! - A call that is dropped while it waits loses nothing: what came and was not applied waits for the next one.

use std::sync::Arc;

use cloudmount_inode::ListProbe;
use cloudmount_stage::Mark;
use cloudmount_store::{Ask, ErrorKind as Kind, Extent, ListPages, ListRequest};
use cloudmount_vfs::{ErrorKind, InodeId, Instant, Result};
use futures::FutureExt;

use crate::Attributes;
use crate::core::Inner;
use crate::list::{News, TRIES, restless};
use crate::node::Node;
use crate::seen::{Portion, Snapshot};
use crate::ttl::Wanted;

/// A listing that goes on.
#[derive(Debug)]
pub(crate) struct Listing {
    probe: ListProbe,
    mark: Mark,
    prefix: String,
    pages: ListPages<'static>,
    /// What came, and is not applied yet.
    came: Option<Snapshot>,
    news: News,
    begun: Instant,
    /// When it went on last.
    went: Instant,
}

impl Listing {
    /// Whether it has more than a page.
    pub(crate) fn is_long(&self) -> bool {
        self.pages.pages() > 0 && self.pages.goes_on()
    }
}

/// The listing of a folder that goes on, if one does.
pub(crate) type Going = Option<Box<Listing>>;

/// What became of a listing that should go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Went {
    /// Some more is applied.
    Further,
    /// All names are known.
    ToTheEnd,
    /// There is more than is wanted.
    TooFar,
    /// Changes that were made here meanwhile have overtaken it: it begins again.
    Refused,
}

impl Inner {
    /// Takes the next step of the folder's listing, or the first of a new one.
    pub(crate) async fn go_on(
        &self,
        dir: &Arc<Node>,
        going: &mut Going,
        (extent, wanted): (Extent, Wanted<'_>),
    ) -> Result<Went> {
        let is_whole = self.table().listing_is_valid(dir.ino, self.now());
        if self.is_answered(dir.ino, wanted) {
            if is_whole && going.take().is_some() {
                self.end_listing(dir);
            }
            return Ok(Went::ToTheEnd);
        }
        if let Some(listing) = going {
            let went = self.next_page(dir, listing, extent).await;
            if matches!(went, Ok(Went::Further)) {
                self.leave_listing(dir);
            } else {
                *going = None;
                self.end_listing(dir);
            }
            return went;
        }
        // What went wrong with it is met again below, if it concerns this folder.
        if !is_whole && matches!(self.list_ahead(dir).await, Ok(true)) {
            return Ok(Went::ToTheEnd);
        }
        let mut listing = Box::new(self.begin(dir, extent)?);
        let went = self.next_page(dir, &mut listing, extent).await?;
        if went == Went::Further {
            *going = Some(listing);
            self.leave_listing(dir);
        }
        Ok(went)
    }

    fn begin(&self, dir: &Node, extent: Extent) -> Result<Listing> {
        let now = self.now();
        let mut table = self.table();
        let mark = self.stage.mark();
        let probe = table.begin_listing(dir.ino, now)?;
        let prefix = self.prefix(&table, dir.ino)?;
        let request = ListRequest {
            prefix: prefix.clone(),
            by_folder: true,
            ..ListRequest::default()
        };
        let pages = ListPages::new(self.asking_for_pages(), &request, extent);
        let is_one_of_many =
            (table.parent_of(dir.ino)).is_some_and(|(above, _)| self.turns.lock().are_many(above));
        Ok(Listing {
            probe,
            mark,
            prefix,
            pages: if is_one_of_many {
                pages.patient()
            } else {
                pages
            },
            came: None,
            news: News::default(),
            begun: now,
            went: now,
        })
    }

    /// The first page is asked for by who waits for it. Each other one comes, and frees its place among the
    /// requests, whether or not anybody still waits for it.
    fn asking_for_pages(&self) -> Ask<'static> {
        let (store, runtime) = (Arc::clone(&self.store), self.remembered.runtime.clone());
        Box::new(move |request| {
            let store = Arc::clone(&store);
            if request.token.is_none() && request.start_after.is_none() {
                return async move { store.list(request).await }.boxed();
            }
            let page = runtime.spawn(async move { store.list(request).await });
            async move {
                let ended = |_| cloudmount_store::Error::new(Kind::Connection, "the runtime ends");
                page.await.map_err(ended)?
            }
            .boxed()
        })
    }

    async fn next_page(&self, dir: &Node, listing: &mut Listing, extent: Extent) -> Result<Went> {
        let now = self.now();
        let paused = now.saturating_since(listing.went);
        listing.news.paused = listing.news.paused.max(paused);
        if listing.came.is_none() {
            let batch = listing.pages.next().await?.unwrap_or_default();
            let goes_on = listing.pages.goes_on();
            dir.lock().is_large = listing.pages.pages() > 1 || goes_on;
            if goes_on && extent == Extent::OnePage {
                return Ok(Went::TooFar);
            }
            listing.came = Some(Snapshot {
                prefix: listing.prefix.clone(),
                objects: batch.objects,
                folders: batch.prefixes,
                portion: if goes_on {
                    Portion::Some
                } else {
                    Portion::Last
                },
                ..Snapshot::default()
            });
        }
        let Some(snapshot) = &mut listing.came else {
            return Ok(Went::Further);
        };
        let (question, news) = ((&listing.probe, listing.mark), &mut listing.news);
        if !self.apply_names(question, snapshot, news).await? {
            return Ok(Went::Refused);
        }
        let portion = snapshot.portion;
        listing.came = None;
        listing.went = self.now();
        Ok(match portion {
            Portion::Some => Went::Further,
            Portion::All | Portion::Last => Went::ToTheEnd,
        })
    }

    /// A scan begins with the names as they are now: all of them, or those of the first page.
    pub(crate) async fn begin_scan(&self, ino: InodeId, wanted: Wanted<'_>) -> Result<()> {
        // Where more than a listing must be known of what is shown, that is looked up for all at once.
        let is_shown_as_listed = self.settings.attributes == Attributes::Listing;
        if !is_shown_as_listed || self.settings.ttl.listings.is_zero() {
            return self.ensure_listed(ino, wanted).await;
        }
        let node = self.node(ino)?;
        let gate = node.gate().ok_or(ErrorKind::NotDirectory)?;
        if self.is_all_known(ino) {
            return Ok(());
        }
        let mut going = gate.lock().await;
        let ttl = self.settings.ttl.listings;
        let is_old = |listing: &Listing| self.now().saturating_since(listing.begun) >= ttl;
        if going.as_ref().is_some_and(|listing| is_old(listing)) {
            *going = None;
        }
        if going.is_none() {
            self.some_more(&node, &mut going).await?;
        }
        Ok(())
    }

    /// More of the names of a folder, for a scan that has met all that are told.
    pub(crate) async fn go_on_scanning(&self, ino: InodeId) -> Result<()> {
        let node = self.node(ino)?;
        let gate = node.gate().ok_or(ErrorKind::NotDirectory)?;
        let mut going = gate.lock().await;
        if self.is_all_known(ino) {
            return Ok(());
        }
        self.some_more(&node, &mut going).await
    }

    async fn some_more(&self, dir: &Arc<Node>, going: &mut Going) -> Result<()> {
        for _ in 0..TRIES {
            if self
                .go_on(dir, going, (Extent::Whole, Wanted::Names))
                .await?
                != Went::Refused
            {
                return Ok(());
            }
        }
        Err(restless("listing"))
    }

    fn is_all_known(&self, ino: InodeId) -> bool {
        let table = self.table();
        !table.is_linked(ino) || table.listing_is_valid(ino, self.now())
    }
}
