//! The dialects of S3: how servers that somebody has met differ from Amazon's, one deviation each.
//!
//! | part | what it is |
//! |---|---|
//! | [`Dialect`] | which deviation |
//! | [`DialectStore`] | a store that speaks it, for suites whose time is a test's |
//! | [`S3Server`](crate::S3Server) | the same behind HTTP on loopback, for the real client |
//!
//! Law: a dialect is no fault. Whoever speaks it does so always, and everything else as S3 does; what is
//! there is never lost by it.

mod listing;
mod store;

use std::time::Duration;

pub use self::store::DialectStore;

/// How far the listings of [`Dialect::Lags`] are behind: longer than any request takes, shorter than what a mount
/// believes by default.
pub const LAG: Duration = Duration::from_millis(100);

/// A way of speaking S3. Each is named after what it does; who does so stands in `docs/stores.md`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Dialect {
    /// All as Amazon documents it.
    Plain,
    /// Conditions are passed over, with success.
    PassesOver,
    /// Conditions are answered with "not implemented".
    NoConditions,
    /// A condition on a version holds only if the tag has no quotes.
    BareTags,
    /// Copies of parts are answered with "not implemented".
    NoPartCopies,
    /// All parts of an upload but the last must be equally long.
    EqualParts,
    /// Where a key is, none may begin with it and a slash, and the other way round.
    NoPrefixObjects,
    /// Listings come in no order, and begin only where a former page ended.
    Unordered,
    /// Removals of many objects need `Content-MD5`.
    NeedsMd5,
    /// Who asks too much gets 403, with a wait.
    Throttles403,
    /// Listings show the bucket as it was [`LAG`] ago.
    Lags,
}

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 11] = [
        Self::Plain,
        Self::PassesOver,
        Self::NoConditions,
        Self::BareTags,
        Self::NoPartCopies,
        Self::EqualParts,
        Self::NoPrefixObjects,
        Self::Unordered,
        Self::NeedsMd5,
        Self::Throttles403,
        Self::Lags,
    ];

    /// Whether its ways are those of HTTP, which a [`DialectStore`] does not speak.
    #[must_use]
    pub const fn is_of_http(self) -> bool {
        matches!(self, Self::NeedsMd5 | Self::Throttles403)
    }

    /// Its name in tables and tests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::PassesOver => "passes_over",
            Self::NoConditions => "no_conditions",
            Self::BareTags => "bare_tags",
            Self::NoPartCopies => "no_part_copies",
            Self::EqualParts => "equal_parts",
            Self::NoPrefixObjects => "no_prefix_objects",
            Self::Unordered => "unordered",
            Self::NeedsMd5 => "needs_md5",
            Self::Throttles403 => "throttles_403",
            Self::Lags => "lags",
        }
    }
}

/// Calls `$callback!` with a list of `name: Variant`, one for each dialect.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_dialect {
    ($callback:ident) => {
        $callback! {
            plain: Plain,
            passes_over: PassesOver,
            no_conditions: NoConditions,
            bare_tags: BareTags,
            no_part_copies: NoPartCopies,
            equal_parts: EqualParts,
            no_prefix_objects: NoPrefixObjects,
            unordered: Unordered,
            needs_md5: NeedsMd5,
            throttles_403: Throttles403,
            lags: Lags,
        }
    };
}

#[cfg(test)]
mod tests;
