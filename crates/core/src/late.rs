//! Listings that are late: put right by what this mount itself left in the bucket within the last minutes.
//!
//! A few stores make listings apart from objects, and list for a while what was there before. What this mount wrote or
//! removed lately is as it left it, unless somebody else changed it since. So where a listing says otherwise, the object
//! itself is asked for: that is answered from the object, and never late.
//!
//! Laws:
//! - Nothing is asked for where listings agree with what was done here, nor of a store that is documented to list at once.
//! - What others changed is asked for once, and is theirs from then on.
//! - What of others is not listed yet, nobody here can know of.

mod compare;

use std::collections::{BTreeSet, HashMap, HashSet};

use cloudmount_inode::ListProbe;
use cloudmount_stage::{Lately, Next};
use cloudmount_store::{Key, ObjectMeta, Trust, Version};
use cloudmount_vfs::Result;
use futures::StreamExt;

use self::compare::Latest;
use crate::core::{Inner, Table};
use crate::naming::Part;
use crate::seen::{self, Portion, Snapshot};

/// What a key was left as, and whether it is still like that where a listing says otherwise.
type Asked = (Lately, Option<ObjectMeta>);

/// What of a listing may be late.
#[derive(Default)]
struct Doubts {
    /// Listed, though it was removed here, or as it was before.
    unlike: Vec<Lately>,
    /// The versions that these are listed with.
    listed: HashMap<Key, Version>,
    /// Left in the bucket, and not listed.
    missing: Vec<Lately>,
    /// Parts of folders that are listed, below which things were removed here, and none left.
    emptied: BTreeSet<String>,
}

impl Inner {
    /// Whether this store's listings may show otherwise than things were left lately.
    fn may_list_late(&self) -> bool {
        match self.store.capabilities().trust {
            Trust::Exact => false,
            Trust::Claimed => self.stage.may_list_late(),
        }
    }

    /// Puts a listing of a folder right. It may be called again if it was dropped while it waited.
    pub(crate) async fn catch_up(&self, probe: &ListProbe, snapshot: &mut Snapshot) -> Result<()> {
        if snapshot.is_caught_up {
            return Ok(());
        }
        let here = (self.may_list_late()).then(|| snapshot.left_here(&self.stage));
        if let Some(here) = here.filter(|here| !here.is_empty()) {
            let doubts = snapshot.doubts(here);
            let doubts = self.needs_question(&self.table(), probe, snapshot, doubts);
            let listed = doubts.listed;
            let is_late = |left: &Lately, there: Option<&ObjectMeta>| match there {
                None => true,
                Some(meta) => (listed.get(&left.key)).is_some_and(|was| *was != meta.version),
            };
            let unlike = self.ask_late(doubts.unlike, is_late).await?;
            let missing = self
                .ask_late(doubts.missing, |_, there| there.is_some())
                .await?;
            let mut gone = HashSet::new();
            for part in doubts.emptied {
                let below = format!("{}{part}/", snapshot.prefix);
                if !self.folder_exists(&below).await? {
                    gone.insert(below);
                }
            }
            snapshot.put_right(unlike, missing, &gone);
        }
        snapshot.is_caught_up = true;
        Ok(())
    }

    /// Leaves out what the table knows better than any listing.
    fn needs_question(
        &self,
        table: &Table,
        probe: &ListProbe,
        snapshot: &Snapshot,
        mut doubts: Doubts,
    ) -> Doubts {
        let names = |part: &str| seen::names_of(part, &self.long);
        let is_told = |part: &str| {
            names(part)
                .iter()
                .any(|name| table.knows_since(probe, name))
        };
        match snapshot.portion {
            // What no portion shows is looked for with the last one.
            Portion::Some => doubts.missing.clear(),
            // What was met or made here since the listing was asked needs no question: it stays.
            Portion::All | Portion::Last => doubts.missing.retain(|left| {
                let rest = &left.key.as_str()[snapshot.prefix.len()..];
                !is_told(rest.split('/').next().unwrap_or(rest))
            }),
        }
        // What is known here to be there, or to be gone, needs no listing.
        doubts.emptied.retain(|part| {
            let name = self.long.show(&Part::plain(&**part));
            table.would_add_folder(probe, &name)
        });
        doubts
    }

    /// Asks for keys, the last ones first, several at a time; gives those of which the listing `is_late`. Where it is not
    /// about any of so many, it is right about what is older, too.
    async fn ask_late(
        &self,
        mut keys: Vec<Lately>,
        is_late: impl Fn(&Lately, Option<&ObjectMeta>) -> bool,
    ) -> Result<Vec<Asked>> {
        keys.sort_by_key(|left| std::cmp::Reverse(left.nth));
        let mut late = Vec::new();
        let mark = self.stage.mark();
        while !keys.is_empty() {
            let older = keys.split_off(keys.len().min(self.settings.heads_max.max(1)));
            let asked = std::mem::replace(&mut keys, older).into_iter();
            let asked = asked.map(|left| async move {
                let there = self.head(&left.key).await?;
                Ok::<_, cloudmount_vfs::Error>((left, there))
            });
            let mut asked = futures::stream::iter(asked).buffer_unordered(usize::MAX);
            let before = late.len();
            while let Some(answer) = asked.next().await {
                let (left, there) = answer?;
                if is_late(&left, there.as_ref()) {
                    late.push((left, there));
                } else {
                    self.stage.seen_otherwise(&left.key, mark);
                }
            }
            if late.len() == before {
                for left in keys.drain(..) {
                    self.stage.seen_otherwise(&left.key, mark);
                }
            }
        }
        Ok(late)
    }

    /// Keys that start with `prefix`, were left there lately and are not listed: those of them that are there.
    pub(crate) async fn not_listed(
        &self,
        prefix: &str,
        is_listed: impl Fn(&Key) -> bool,
    ) -> Result<Vec<(Key, ObjectMeta)>> {
        let mut unlisted = Vec::new();
        if self.may_list_late() {
            self.stage.each_left_lately(prefix, prefix, |left| {
                if left.is_there && !is_listed(left.key) {
                    unlisted.push(left.copied());
                }
                Next::Key
            });
        }
        let late = self.ask_late(unlisted, |_, there| there.is_some()).await?;
        let there = |(left, meta): Asked| Some((left.key, meta?));
        Ok(late.into_iter().filter_map(there).collect())
    }

    /// Whether any of `keys`, which are listed below a folder, is there; what was removed here lately is asked for.
    pub(crate) async fn is_any_there(&self, keys: impl Iterator<Item = Key>) -> Result<bool> {
        let may_be_gone = self.may_list_late();
        let mut ask = Vec::new();
        for key in keys {
            let left = (may_be_gone.then(|| self.stage.left_lately(&key))).flatten();
            match left.filter(|left| !left.is_there) {
                Some(left) => ask.push(left),
                None => return Ok(true),
            }
        }
        let asked = ask.len();
        let late = self.ask_late(ask, |_, there| there.is_none()).await?;
        Ok(late.len() < asked)
    }

    /// Whether there is anything below a folder of which nothing is listed.
    pub(crate) async fn has_unlisted(&self, prefix: &str) -> Result<bool> {
        let mut latest = Latest::default();
        if self.may_list_late() {
            self.stage.each_left_lately(prefix, prefix, |left| {
                if left.is_there {
                    latest.note(left);
                }
                Next::Key
            });
        }
        let there = self
            .ask_late(latest.into_keys(), |_, there| there.is_some())
            .await?;
        Ok(!there.is_empty())
    }

    /// Whether something was removed below a folder that may still be listed.
    pub(crate) fn may_list_removed(&self, prefix: &str) -> bool {
        let mut is_any = false;
        if self.may_list_late() {
            self.stage.each_left_lately(prefix, prefix, |left| {
                is_any = !left.is_there;
                if is_any { Next::End } else { Next::Key }
            });
        }
        is_any
    }
}
