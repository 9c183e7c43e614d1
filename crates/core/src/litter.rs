//! What platforms leave in every folder (`.DS_Store`, `Thumbs.db`): whether it is kept, shown, or refused. The one place.
//!
//! | policy | found in the bucket | made here: `create`, `mknod`, `mkdir`, `symlink`, the new name of a `rename` |
//! |---|---|---|
//! | `Store` | shown | as any name |
//! | `Hide` | not shown; goes with its folder | `PermissionDenied` |
//! | `Refuse` | shown, and can be removed and renamed | `PermissionDenied` |
//!
//! Laws: nothing is made that is not shown; nothing is removed that is shown, but by who asks for that. Hard links are
//! refused of all names.

use cloudmount_stage::RemoteBelief;
use cloudmount_store::{Key, ListRequest};
use cloudmount_vfs::{Error, ErrorKind, InodeId, Name, Result};

use crate::Globs;
use crate::core::Inner;
use crate::naming;

/// Hidden keys that a folder may have to be removed with them: one page of a listing.
const HIDDEN_MAX: usize = 1000;

/// What becomes of litter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum LitterPolicy {
    /// It is like any other name.
    #[default]
    Store,
    /// None is shown, and none is made.
    Hide,
    /// None is made.
    Refuse,
}

/// Which names are litter, and what becomes of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Litter {
    policy: LitterPolicy,
    names: Globs,
}

impl Litter {
    /// The names that macOS, Windows and desktops of Linux leave behind.
    pub const NAMES: &str = ".DS_Store,._*,.Spotlight-V100,.Trashes,.fseventsd,.TemporaryItems,.apdisk,.localized,\
        Thumbs.db,thumbs.db,ehthumbs.db,desktop.ini,Desktop.ini,$RECYCLE.BIN,.directory,.Trash-*";

    /// Treats what `names` match so. Patterns are compared with names, and have no slashes.
    #[must_use]
    pub const fn new(policy: LitterPolicy, names: Globs) -> Self {
        Self { policy, names }
    }

    /// Whether what has this part of a key is not shown.
    pub(crate) fn hides(&self, part: &str) -> bool {
        self.policy == LitterPolicy::Hide && self.names.match_path(part)
    }

    /// Whether nothing is made under this part of a key.
    fn refuses(&self, part: &str) -> bool {
        self.policy != LitterPolicy::Store && self.names.match_path(part)
    }

    /// # Errors
    /// `PermissionDenied` for what is not to be made.
    pub(crate) fn check_new(&self, part: &str) -> Result<()> {
        if self.refuses(part) {
            let why = "litter of a platform, which this mount does not take";
            return Err(Error::new(ErrorKind::PermissionDenied, why));
        }
        Ok(())
    }
}

impl Inner {
    /// Whether a name is not shown, whatever the bucket has.
    pub(crate) fn is_hidden(&self, name: &Name) -> bool {
        let litter = &self.settings.litter;
        litter.policy == LitterPolicy::Hide
            && naming::part_of(name, &self.long).is_ok_and(|part| litter.hides(&part.text))
    }

    /// The keys below a folder that are not shown, with what is believed to be there: they go with it.
    ///
    /// # Errors
    /// `NotEmpty` if there are more than one page of a listing has; errors of the store.
    pub(crate) async fn hidden_below(&self, dir: InodeId) -> Result<Vec<(Key, RemoteBelief)>> {
        let litter = &self.settings.litter;
        if litter.policy != LitterPolicy::Hide {
            return Ok(Vec::new());
        }
        let prefix = self.prefix(&self.table(), dir)?;
        let request = ListRequest {
            prefix: prefix.clone(),
            ..ListRequest::default()
        };
        let page = self.store.list(request).await?;
        let is_litter = |key: &Key| {
            let rest = &key.as_str()[prefix.len()..];
            rest.split('/')
                .next()
                .is_some_and(|part| litter.hides(part))
        };
        let hidden: Vec<_> = (page.objects.into_iter())
            .filter(|object| is_litter(&object.key) && !self.is_going(&object.key))
            .map(|object| {
                let belief = object
                    .version
                    .map_or(RemoteBelief::Unknown, RemoteBelief::Present);
                (object.key, belief)
            })
            .collect();
        if page.next.is_some() || hidden.len() > HIDDEN_MAX {
            let why = "it holds more that is hidden than can go with it";
            return Err(Error::new(ErrorKind::NotEmpty, why));
        }
        Ok(hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_platforms_leave_is_litter_and_nothing_like_it() {
        let litter = Litter::new(LitterPolicy::Hide, Globs::parse(Litter::NAMES).unwrap());
        for name in [
            ".DS_Store",
            "._photo.jpg",
            ".Spotlight-V100",
            ".Trashes",
            ".fseventsd",
            "Thumbs.db",
            "desktop.ini",
            ".directory",
            ".Trash-1000",
        ] {
            assert!(litter.hides(name) && litter.refuses(name), "{name}");
        }
        for name in [
            "DS_Store",
            ".DS_Store2",
            "_.x",
            "Thumbs.db.txt",
            "my desktop.ini",
            ".Trash",
            "directory",
        ] {
            assert!(!litter.hides(name) && !litter.refuses(name), "{name}");
        }
    }
}
