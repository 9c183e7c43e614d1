//! [`Bed`]: a store to try laws on, and what it says that it cannot hold.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use cloudmount_store::{Key, ListRequest, Store};

use super::{Area, Law, Verdict};

/// A shape of keys that some store cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KeyShape {
    /// Nothing special.
    Plain,
    /// An empty part: `a//b`, `/a`.
    EmptyPart,
    /// A part `.` or `..`.
    DotPart,
    /// Control characters but NUL.
    Control,
    /// The character NUL.
    Nul,
    /// A part of more than 255 bytes.
    LongPart,
    /// 1024 bytes in all.
    LongKey,
    /// Characters beyond ASCII.
    NonAscii,
    /// Characters that URLs, XML, shells or Windows give a meaning to.
    Special,
    /// `a` beside `a/b`.
    FileAndFolder,
    /// A last `/`.
    Marker,
    /// Keys that differ only in case, or only in the composition of their characters.
    Lookalike,
    /// Names that a backend reserves for itself: `.cloudmount/x`.
    Reserved,
}

/// What a store documents that it cannot hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Shapes of keys that laws leave out.
    pub refused_keys: &'static [KeyShape],
    /// How it lists.
    pub listings: Listings,
}

/// In which order a store lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Listings {
    /// By the bytes of keys, from any key on.
    #[default]
    InOrder,
    /// In any order, from the first page on only.
    Unordered,
}

impl Limits {
    /// Whether keys of that shape can be held.
    #[must_use]
    pub fn holds(&self, shape: KeyShape) -> bool {
        !self.refused_keys.contains(&shape)
    }

    /// `request` as far as it can be asked: where nothing has an order, nothing begins after a key.
    pub(super) fn askable(&self, request: ListRequest) -> ListRequest {
        match self.listings {
            Listings::InOrder => request,
            Listings::Unordered => ListRequest {
                start_after: None,
                ..request
            },
        }
    }
}

/// A store to try laws on.
pub struct Bed {
    pub(super) store: Arc<dyn Store>,
    pub(super) root: String,
    pub(super) limits: Limits,
    pub(super) key_bytes_max: usize,
    /// Whatever must live as long as the store: a temporary folder, a server.
    _kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Bed {
    /// A store with an empty bucket of its own, which nobody else uses.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            root: String::new(),
            limits: Limits::default(),
            key_bytes_max: Key::MAX_BYTES,
            _kept: None,
        }
    }

    /// The same in a bucket that others use too: every key begins with `root`, which should end in
    /// `/` and be new for every run.
    #[must_use]
    pub fn below(mut self, root: impl Into<String>) -> Self {
        self.root = root.into();
        self
    }

    /// The same with what the store cannot hold.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same with keys of so many bytes at most, where something adds to them below.
    #[must_use]
    pub const fn with_longest_key(mut self, bytes: usize) -> Self {
        self.key_bytes_max = bytes;
        self
    }

    /// The same; `kept` is dropped with it.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self._kept = Some(Box::new(kept));
        self
    }

    /// The part of its bucket that is named so.
    #[must_use]
    pub fn area(&self, name: &str) -> Area<'_> {
        Area::new(self, name)
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Tries one law, and removes what it wrote if it held.
    ///
    /// # Errors
    /// [`Broken`](super::Broken) says why.
    pub async fn run(&self, law: Law) -> Verdict {
        let area = Area::new(self, law.name);
        let outcome = (law.run)(&area).await?;
        if !self.root.is_empty() {
            area.clean(&ListRequest::default()).await?;
        }
        Ok(outcome)
    }
}

impl fmt::Debug for Bed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bed")
            .field("store", &self.store)
            .field("root", &self.root)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
