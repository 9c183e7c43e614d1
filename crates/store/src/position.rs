//! Where a listing goes on: shared by the backends that page through keys they hold themselves.
//!
//! Law: a position is a place in the byte order of keys, not in a snapshot. It stays meaningful
//! whatever is written or removed between two pages.

use std::ops::Bound;

use crate::{Error, ErrorKind, ListRequest, Result};

/// Most objects and prefixes of one page: the limit of S3 ("`ListObjectsV2`", `max-keys`).
pub(crate) const PAGE_ITEMS_MAX: u16 = 1000;

/// A place in the order of keys.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Position {
    /// Before the first key.
    Start,
    /// After that key.
    AfterKey(String),
    /// After every key that starts with this; it ends in `/`.
    AfterFolder(String),
}

impl Position {
    /// Where `request` begins: its token, or else its `start_after`.
    pub(crate) fn of(request: &ListRequest) -> Result<Self> {
        match (&request.token, &request.start_after) {
            (Some(token), _) => Self::from_token(token),
            (None, Some(key)) => Ok(Self::AfterKey(key.clone())),
            (None, None) => Ok(Self::Start),
        }
    }

    fn from_token(token: &str) -> Result<Self> {
        if let Some(key) = token.strip_prefix("k:") {
            return Ok(Self::AfterKey(key.to_owned()));
        }
        match token.strip_prefix("f:") {
            Some(folder) if folder.ends_with('/') => Ok(Self::AfterFolder(folder.to_owned())),
            _ => Err(Error::new(
                ErrorKind::InvalidRequest,
                "list: the token is not one that this store gave",
            )),
        }
    }

    /// The token that leads back here; none for [`Self::Start`].
    pub(crate) fn token(&self) -> Option<String> {
        match self {
            Self::Start => None,
            Self::AfterKey(key) => Some(format!("k:{key}")),
            Self::AfterFolder(folder) => Some(format!("f:{folder}")),
        }
    }

    /// The lowest key that comes now.
    pub(crate) fn lower_bound(&self) -> Bound<String> {
        match self {
            Self::Start => Bound::Unbounded,
            Self::AfterKey(key) => Bound::Excluded(key.clone()),
            Self::AfterFolder(folder) => Bound::Included(after_folder(folder)),
        }
    }
}

/// The least text above every text that starts with `folder`, which ends in `/`: the next
/// character after `/` is `0`.
pub(crate) fn after_folder(folder: &str) -> String {
    debug_assert!(folder.ends_with('/'));
    let mut bound = folder.to_owned();
    bound.pop();
    bound.push('0');
    bound
}

/// How many items a page of `request` may hold.
pub(crate) fn page_limit(request: &ListRequest) -> usize {
    usize::from(
        request
            .limit
            .unwrap_or(PAGE_ITEMS_MAX)
            .clamp(1, PAGE_ITEMS_MAX),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back() {
        for position in [
            Position::AfterKey("a/b".to_owned()),
            Position::AfterKey("f:x".to_owned()),
            Position::AfterFolder("a//".to_owned()),
        ] {
            let request = ListRequest {
                token: position.token(),
                start_after: Some("ignored".to_owned()),
                ..ListRequest::default()
            };
            assert_eq!(Position::of(&request).unwrap(), position);
        }
    }

    #[test]
    fn a_foreign_token_is_refused() {
        for token in ["", "x", "f:no-slash", "K:a"] {
            let error = Position::from_token(token).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{token:?}");
        }
    }

    #[test]
    fn the_bound_after_a_folder_is_tight() {
        let bound = after_folder("a/");
        assert!("a/\u{10FFFF}" < bound.as_str());
        assert!("a0" >= bound.as_str());
        assert!("a." < bound.as_str());
    }
}
