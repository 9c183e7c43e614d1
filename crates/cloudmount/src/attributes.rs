//! The settings `attributes` and `manifest`: which attributes a mount shows, and whether they lie in manifests, too.

use serde::Deserialize;

/// Which attributes are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attributes {
    /// All that objects say, which costs a request for each.
    #[default]
    Full,
    /// What listings tell: size and date.
    Listing,
}

impl Attributes {
    pub(crate) const fn shown(self) -> cloudmount_core::Attributes {
        match self {
            Self::Full => cloudmount_core::Attributes::Full,
            Self::Listing => cloudmount_core::Attributes::Listing,
        }
    }
}

/// What is made of the manifests of folders: objects that hold what is known of a folder's entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManifestUse {
    /// Nothing. They are not shown all the same.
    #[default]
    Off,
    /// They are read where that saves requests.
    Read,
    /// They are written, too, unless the mount is read-only.
    Write,
}

impl ManifestUse {
    pub(crate) const fn used(self) -> cloudmount_core::ManifestUse {
        match self {
            Self::Off => cloudmount_core::ManifestUse::Off,
            Self::Read => cloudmount_core::ManifestUse::Read,
            Self::Write => cloudmount_core::ManifestUse::Write,
        }
    }
}
