//! [`Operation`]: the methods of a store, as data.

use std::fmt;

use serde::{Serialize, Serializer};

/// One method of [`Store`](crate::Store).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operation {
    /// `head`.
    Head,
    /// `get`.
    Get,
    /// `list`.
    List,
    /// `put`.
    Put,
    /// `copy`.
    Copy,
    /// `delete`.
    Delete,
    /// `multipart_start`.
    MultipartStart,
    /// `multipart_put`.
    MultipartPut,
    /// `multipart_copy`.
    MultipartCopy,
    /// `multipart_complete`.
    MultipartComplete,
    /// `multipart_abort`.
    MultipartAbort,
    /// `multipart_list`.
    MultipartList,
    /// `tags`.
    Tags,
}

impl Operation {
    /// Every operation, in the order of their declaration.
    pub const ALL: [Self; 13] = [
        Self::Head,
        Self::Get,
        Self::List,
        Self::Put,
        Self::Copy,
        Self::Delete,
        Self::MultipartStart,
        Self::MultipartPut,
        Self::MultipartCopy,
        Self::MultipartComplete,
        Self::MultipartAbort,
        Self::MultipartList,
        Self::Tags,
    ];

    /// Its name: that of the method.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Get => "get",
            Self::List => "list",
            Self::Put => "put",
            Self::Copy => "copy",
            Self::Delete => "delete",
            Self::MultipartStart => "multipart_start",
            Self::MultipartPut => "multipart_put",
            Self::MultipartCopy => "multipart_copy",
            Self::MultipartComplete => "multipart_complete",
            Self::MultipartAbort => "multipart_abort",
            Self::MultipartList => "multipart_list",
            Self::Tags => "tags",
        }
    }

    /// Whether it only reads.
    #[must_use]
    pub const fn is_read(self) -> bool {
        matches!(
            self,
            Self::Head | Self::Get | Self::List | Self::MultipartList | Self::Tags
        )
    }
}

/// What providers count a request as. All of those that count requests have two prices, and take removals for nothing;
/// what is dear and what is cheap is the same with Amazon S3 ("PUT, COPY, POST, LIST" and "GET, SELECT, and all
/// other"), Cloudflare R2 and Google Cloud Storage ("Class A" and "Class B").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum PriceClass {
    /// Writes, copies and listings.
    Put,
    /// Reads of one object.
    Get,
    /// Removals.
    Free,
}

impl Operation {
    /// What it is counted as.
    #[must_use]
    pub const fn price_class(self) -> PriceClass {
        match self {
            Self::Head | Self::Get | Self::Tags => PriceClass::Get,
            Self::List
            | Self::Put
            | Self::Copy
            | Self::MultipartStart
            | Self::MultipartPut
            | Self::MultipartCopy
            | Self::MultipartComplete
            | Self::MultipartList => PriceClass::Put,
            Self::Delete | Self::MultipartAbort => PriceClass::Free,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
