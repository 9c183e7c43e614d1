//! The setting `attributes`: which attributes a mount shows.

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
