//! What becomes of litter, as it is written in settings.

use cloudmount_core::Globs;
use serde::Deserialize;

/// What becomes of what platforms leave in folders, as `.DS_Store` and `Thumbs.db`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LitterPolicy {
    /// It is like any other name.
    Store,
    /// None is shown, and none is made.
    Hide,
    /// None is made.
    Refuse,
}

impl Default for LitterPolicy {
    fn default() -> Self {
        // The Finder writes into every folder that it shows.
        if cfg!(target_os = "macos") {
            Self::Refuse
        } else {
            Self::Store
        }
    }
}

impl LitterPolicy {
    pub(crate) const fn policy(self) -> cloudmount_core::LitterPolicy {
        match self {
            Self::Store => cloudmount_core::LitterPolicy::Store,
            Self::Hide => cloudmount_core::LitterPolicy::Hide,
            Self::Refuse => cloudmount_core::LitterPolicy::Refuse,
        }
    }
}

/// Patterns of names, in the form of [`Globs::parse`], without slashes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct LitterNames(pub(crate) Globs);

impl TryFrom<String> for LitterNames {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names = Globs::parse(&text)?;
        if !names.are_of_names() {
            return Err("a pattern with a slash".to_owned());
        }
        Ok(Self(names))
    }
}

#[cfg(test)]
mod tests {
    use cloudmount_core::Litter;

    use super::*;

    #[test]
    fn names_have_no_slashes() {
        assert!(LitterNames::try_from(Litter::NAMES.to_owned()).is_ok());
        assert!(LitterNames::try_from("a*,b/c".to_owned()).is_err());
    }
}
