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

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cloudmount_inode::ListProbe;
use cloudmount_stage::Lately;
use cloudmount_store::{Key, ListedObject, ObjectMeta, Trust};
use cloudmount_vfs::Result;
use futures::StreamExt;

use crate::core::{Inner, Table};
use crate::naming::Part;
use crate::seen::{self, Portion, Snapshot};

/// Of the keys below a folder that is not listed, how many are asked for at each listing, the last ones first: whether one of
/// them is there says whether the folder is.
const KEYS_OF_FOLDER_MAX: usize = 4;

/// What a key was left as, and whether it is still like that where a listing says otherwise.
type Asked = (Lately, Option<ObjectMeta>);

/// What of a listing may be late.
#[derive(Default)]
struct Doubts {
    /// Listed, though it was removed here, or as it was before.
    unlike: Vec<Lately>,
    /// Left in the bucket, and not listed.
    missing: Vec<Lately>,
    /// Parts of folders that are listed, below which things were removed here, and none left.
    emptied: BTreeSet<String>,
}

impl Inner {
    /// How keys that start with `prefix` were left lately, if this store's listings may be late.
    fn lately(&self, prefix: &str) -> Vec<Lately> {
        match self.store.capabilities().trust {
            Trust::Exact => Vec::new(),
            Trust::Claimed => self.stage.lately(prefix),
        }
    }

    /// Puts a listing of a folder right. It may be called again if it was dropped while it waited.
    pub(crate) async fn catch_up(&self, probe: &ListProbe, snapshot: &mut Snapshot) -> Result<()> {
        if snapshot.is_caught_up {
            return Ok(());
        }
        let lately = self.lately(&snapshot.prefix);
        if !lately.is_empty() {
            let doubts = self.doubts_of(&self.table(), probe, snapshot, lately);
            let is_late = |left: &Lately, there: Option<&ObjectMeta>| {
                let listed = snapshot.objects.iter().find(|one| one.key == left.key);
                let listed = listed.and_then(|object| object.version.as_ref());
                match there {
                    None => true,
                    Some(meta) => listed.is_some_and(|version| *version != meta.version),
                }
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

    fn doubts_of(
        &self,
        table: &Table,
        probe: &ListProbe,
        snapshot: &Snapshot,
        lately: Vec<Lately>,
    ) -> Doubts {
        let names = |part: &str| seen::names_of(part, &self.long);
        let is_told = |part: &str| {
            names(part)
                .iter()
                .any(|name| table.knows_since(probe, name))
        };
        let mut doubts = snapshot.doubts(lately);
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
        let mut lately = self.lately(prefix);
        lately.retain(|left| left.is_there && !is_listed(&left.key));
        let late = self.ask_late(lately, |_, there| there.is_some()).await?;
        let there = |(left, meta): Asked| Some((left.key, meta?));
        Ok(late.into_iter().filter_map(there).collect())
    }

    /// Whether any of `keys`, which are listed below a folder, is there; what was removed here lately is asked for.
    pub(crate) async fn is_any_there(
        &self,
        prefix: &str,
        keys: impl Iterator<Item = Key>,
    ) -> Result<bool> {
        let removed = self.lately(prefix).into_iter();
        let removed = removed.filter(|left| !left.is_there);
        let mut removed: HashMap<Key, Lately> =
            removed.map(|left| (left.key.clone(), left)).collect();
        let mut ask = Vec::new();
        for key in keys {
            match removed.remove(&key) {
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
        let mut lately = self.lately(prefix);
        lately.retain(|left| left.is_there);
        lately.sort_by_key(|left| std::cmp::Reverse(left.nth));
        lately.truncate(KEYS_OF_FOLDER_MAX);
        let there = self.ask_late(lately, |_, there| there.is_some()).await?;
        Ok(!there.is_empty())
    }

    /// Whether something was removed below a folder that may still be listed.
    pub(crate) fn may_list_removed(&self, prefix: &str) -> bool {
        self.lately(prefix).iter().any(|left| !left.is_there)
    }
}

impl Snapshot {
    /// Where it differs from how keys were left `lately`.
    fn doubts(&self, mut lately: Vec<Lately>) -> Doubts {
        let objects: HashMap<&Key, &ListedObject> = (self.objects.iter())
            .map(|object| (&object.key, object))
            .collect();
        let folders: HashSet<&str> = self.folders.iter().map(String::as_str).collect();
        let mut doubts = Doubts::default();
        // By part, whether all that was left below it is gone.
        let mut below: BTreeMap<String, bool> = BTreeMap::new();
        let mut asked_below: HashMap<String, usize> = HashMap::new();
        // Of the keys below a folder, the last ones count.
        lately.sort_by_key(|left| std::cmp::Reverse(left.nth));
        for left in lately {
            let rest = &left.key.as_str()[self.prefix.len()..];
            if let Some((part, _)) = rest.split_once('/') {
                let folder = format!("{}{part}/", self.prefix);
                if folders.contains(&*folder) {
                    *below.entry(part.to_owned()).or_insert(true) &= !left.is_there;
                } else if left.is_there {
                    let count = asked_below.entry(folder).or_default();
                    *count += 1;
                    if *count <= KEYS_OF_FOLDER_MAX {
                        doubts.missing.push(left);
                    }
                }
                continue;
            }
            match objects.get(&left.key) {
                None if left.is_there && !rest.is_empty() => doubts.missing.push(left),
                None => {}
                Some(_) if !left.is_there => doubts.unlike.push(left),
                Some(object) => {
                    let version = object.version.as_ref();
                    if version.is_some_and(|version| left.has_replaced(version)) {
                        doubts.unlike.push(left);
                    }
                }
            }
        }
        let emptied = below.into_iter().filter(|(_, is_gone)| *is_gone);
        doubts.emptied = emptied.map(|(part, _)| part).collect();
        doubts
    }

    /// Shows what is there instead of what was.
    fn put_right(&mut self, unlike: Vec<Asked>, missing: Vec<Asked>, gone: &HashSet<String>) {
        let was: HashSet<&Key> = unlike.iter().map(|(left, _)| &left.key).collect();
        self.objects.retain(|object| !was.contains(&object.key));
        self.folders.retain(|folder| !gone.contains(folder));
        for (left, there) in unlike.into_iter().chain(missing) {
            let Some(meta) = there else {
                continue;
            };
            let rest = &left.key.as_str()[self.prefix.len()..];
            match rest.split_once('/') {
                Some((part, _)) => {
                    let folder = format!("{}{part}/", self.prefix);
                    if !self.folders.contains(&folder) {
                        self.folders.push(folder);
                    }
                }
                None => self.objects.push(ListedObject {
                    key: left.key,
                    size: meta.size,
                    version: Some(meta.version),
                    modified: meta.modified,
                }),
            }
        }
    }
}
