//! Finding a name: from what is known, by one page of its directory, or, where that is large, by
//! asking for the name alone.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloudmount_inode::{Answer, Applied, Lookup, Novelty, Probe};
use cloudmount_stage::{Desired, Mark, PendingFolder, PendingView};
use cloudmount_store::{Extent, Key, ObjectMeta};
use cloudmount_vfs::{Change, ErrorKind, InodeId, Name, NodeKind, Result};

use crate::core::{Inner, Table};
use crate::keys::to_key;
use crate::know::{Inode, kind_of};
use crate::list::{Reached, TRIES, restless};
use crate::manifest;
use crate::markers::{self, Marks, OtherMarker, says_folder};
use crate::naming::{self, Role};
use crate::node::Node;
use crate::seen::{PendingKind, Seen};
use crate::ttl::Wanted;

/// How the next answer comes.
enum Step {
    Done(Inode),
    /// The whole directory, if it is small.
    Page(Arc<Node>),
    /// The whole directory, whatever its size: only that tells what a hashed name stands for.
    Listing(Arc<Node>),
    /// The folder that it was, with those behind it: somebody goes through them.
    Walk(Arc<Node>),
    /// This name.
    One(One),
}

/// Whether a folder may be looked for by listing it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walk {
    Wanted,
    Tried,
}

/// A name that is asked for alone.
struct One {
    probe: Probe,
    key: Key,
    role: Role,
    mark: Mark,
}

/// What the store says of it.
struct Told {
    object: Option<ObjectMeta>,
    has_folder: bool,
    /// The empty object that marks a folder of this name by its suffix.
    suffixed: Option<OtherMarker>,
}

impl Told {
    /// The markers of the folder, besides its own.
    fn marks(&self) -> Marks {
        let bare = self.object.as_ref().filter(|meta| says_folder(meta));
        Marks {
            suffixed: self.suffixed.clone(),
            bare: bare.map(OtherMarker::from),
        }
    }
}

impl Inner {
    /// The inode of `name` in `parent`, with its attributes known.
    ///
    /// # Errors
    /// `NotFound`, `NotDirectory`; errors of the store.
    pub(crate) async fn find(&self, parent: InodeId, name: &Name) -> Result<Inode> {
        let inode = self.find_name(parent, name).await?;
        self.known(inode).await
    }

    /// As [`find`](Self::find); `None` if there is none.
    pub(crate) async fn find_maybe(&self, parent: InodeId, name: &Name) -> Result<Option<Inode>> {
        match self.find(parent, name).await {
            Ok(inode) => Ok(Some(inode)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The inode of `name` in `parent`; of its attributes only what a listing tells may be known.
    pub(crate) async fn find_name(&self, parent: InodeId, name: &Name) -> Result<Inode> {
        if self.is_hidden(name) {
            return Err(ErrorKind::NotFound.into());
        }
        let mut walk = Walk::Wanted;
        for _ in 0..TRIES {
            match self.step(parent, name, walk)? {
                Step::Done(inode) => return Ok(inode),
                Step::Page(dir) => {
                    if self.list(&dir, Extent::OnePage, Wanted::Name(name)).await? == Reached::Whole
                    {
                        return self.listed(parent, name);
                    }
                }
                Step::Listing(dir) => {
                    self.list(&dir, Extent::Whole, Wanted::Name(name)).await?;
                    return self.listed(parent, name);
                }
                Step::Walk(dir) => {
                    walk = Walk::Tried;
                    self.look_ahead(&dir).await;
                }
                Step::One(one) => {
                    if let Some(inode) = self.find_one(parent, name, one).await? {
                        return Ok(inode);
                    }
                }
            }
        }
        Err(restless("looking up a name"))
    }

    /// What a listing that was just applied has left under `name`.
    fn listed(&self, parent: InodeId, name: &Name) -> Result<Inode> {
        let found = self.table().peek(parent, name);
        found.ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn step(&self, parent: InodeId, name: &Name, walk: Walk) -> Result<Step> {
        let mut table = self.table();
        let probe = match table.lookup(parent, name, self.now())? {
            Lookup::Known(inode) => return Ok(Step::Done(inode)),
            Lookup::Absent => return Err(ErrorKind::NotFound.into()),
            Lookup::Ask(probe) => probe,
        };
        let dir = table.get(parent).ok_or(ErrorKind::NotFound)?.payload;
        let part = match naming::part_of(name, &self.long) {
            Ok(part) => part,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Step::Listing(dir)),
            // No key is shown under such a name.
            Err(_) => return Err(ErrorKind::NotFound.into()),
        };
        if !dir.lock().is_large {
            return Ok(Step::Page(dir));
        }
        if walk == Walk::Wanted
            && let Some(known) = table.peek(parent, name)
            && known.kind == NodeKind::Directory
            && (self.turns.lock()).is_walk(parent, self.settings.list_ahead_after)
        {
            return Ok(Step::Walk(known.payload));
        }
        let key = to_key(self.prefix(&table, parent)? + &part.text)?;
        Ok(Step::One(One {
            probe,
            key,
            role: part.role,
            mark: self.stage.mark(),
        }))
    }

    /// Asks for one name. `None`: it was changed here meanwhile.
    async fn find_one(&self, parent: InodeId, name: &Name, one: One) -> Result<Option<Inode>> {
        let below = format!("{}/", one.key.as_str());
        let (object, has_folder, suffixed) = futures::try_join!(
            self.head(&one.key),
            self.folder_exists(&below),
            self.suffixed_mark(&one.key),
        )?;
        let object = object.filter(|_| !manifest::is_key(&one.key));
        let told = Told {
            object,
            has_folder,
            suffixed,
        };
        let mut table = self.table();
        let changed = self.stage.keys_changed_since(one.mark, one.key.as_str());
        if changed.is_none_or(|keys| !keys.is_empty()) && !table.remembers(parent, name) {
            return Ok(None);
        }
        self.apply_one(&mut table, (parent, name), one, told)
    }

    /// The marker with a suffix of the folder `key`, in a bucket that has such.
    async fn suffixed_mark(&self, key: &Key) -> Result<Option<OtherMarker>> {
        if !self.has_suffixes.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let Ok(key) = markers::suffixed(key) else {
            return Ok(None);
        };
        let meta = self.head(&key).await?.filter(|meta| meta.size == 0);
        let is_going = self.is_going(&key);
        Ok(meta.filter(|_| !is_going).as_ref().map(OtherMarker::from))
    }

    fn apply_one(
        &self,
        table: &mut Table,
        (parent, name): (InodeId, &Name),
        one: One,
        told: Told,
    ) -> Result<Option<Inode>> {
        let pending = self.stage.pending(&one.key);
        let below = format!("{}/", one.key.as_str());
        let has_folder = match self.stage.pending_folder(&below) {
            Some(PendingFolder::HasContent) => true,
            Some(PendingFolder::RemovalsOnly) | None => told.has_folder || told.suffixed.is_some(),
        };
        let marks = told.marks();
        let object = told.object.as_ref().map(|meta| (&one.key, meta));
        let answer = answer_of(one.role, has_folder, object, pending.as_ref());
        let object = told.object;
        let key = one.key;
        let known = table.kind_of(parent, name).unwrap_or(NodeKind::File);
        let make = |ino| {
            Arc::new(match (answer, &pending, &object) {
                (Answer::Present(NodeKind::Directory), ..) => {
                    self.make(ino, NodeKind::Directory, &Seen::Folder(marks.clone()))
                }
                // A cold name that is kept, whatever was answered.
                (Answer::Absent, ..) | (_, None, None) => self.make_blank(ino, known, &key),
                (Answer::Present(kind), Some(view), _) if is_content(view) => {
                    self.make(ino, kind, &Seen::Pending(key.clone(), view.clone()))
                }
                (_, _, Some(meta)) => self.make_learnt(ino, kind_of(meta), &key, meta),
                (_, Some(view), None) => {
                    self.make(ino, view.kind(), &Seen::Pending(key.clone(), view.clone()))
                }
            })
        };
        match table.apply(one.probe, answer, self.names_until(), make) {
            Applied::Retry => Ok(None),
            Applied::Absent { removed } => {
                if let Some(removed) = removed {
                    self.vanished(parent, name.clone(), &removed);
                    self.found_names(table, parent);
                }
                Err(ErrorKind::NotFound.into())
            }
            Applied::Found {
                found,
                novelty,
                replaced,
            } => {
                if let Some(replaced) = replaced {
                    self.vanished(parent, name.clone(), &replaced);
                }
                let is_new_content = match (&pending, &object) {
                    (Some(view), _) if is_content(view) => {
                        self.adopt(table, parent, name, view);
                        false
                    }
                    (_, Some(meta)) => {
                        novelty == Novelty::Same
                            && kind_of(meta) == found.kind
                            && self.learn_file(&found.payload, &key, meta, self.attributes_until())
                    }
                    _ => false,
                };
                if novelty == Novelty::New && table.was_listed(parent) {
                    self.found_names(table, parent);
                }
                if object.is_some() {
                    self.learnt_below(table, parent, 1);
                }
                if is_new_content {
                    self.changes.send(Change::Content(found.ino));
                }
                Ok(Some(found))
            }
        }
    }
}

fn is_content(view: &PendingView) -> bool {
    matches!(view.desired, Desired::Content(_) | Desired::Inline { .. })
}

/// What an object is; `None` if it marks a folder of another name.
fn object_kind((key, meta): (&Key, &ObjectMeta)) -> Option<NodeKind> {
    let is_suffixed = meta.size == 0 && markers::folder_of(key.as_str()).is_some();
    (!is_suffixed).then(|| kind_of(meta))
}

/// What the store and the stage together say of a name.
fn answer_of(
    role: Role,
    has_folder: bool,
    object: Option<(&Key, &ObjectMeta)>,
    pending: Option<&PendingView>,
) -> Answer {
    let object = match pending {
        Some(view) if is_content(view) => Some(view.kind()),
        Some(view) if matches!(view.desired, Desired::Absent) => None,
        Some(_) | None => object.and_then(object_kind),
    };
    match (role, has_folder, object) {
        (Role::Plain, true, _) => Answer::Present(NodeKind::Directory),
        (Role::BesideFolder, _, Some(NodeKind::Directory)) => Answer::Absent,
        (Role::Plain, false, Some(kind)) | (Role::BesideFolder, true, Some(kind)) => {
            Answer::Present(kind)
        }
        (Role::Plain | Role::BesideFolder, _, None) | (Role::BesideFolder, false, Some(_)) => {
            Answer::Absent
        }
    }
}
