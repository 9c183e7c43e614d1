//! Folders as other tools mark them: which objects are markers, and what is remembered of them.
//!
//! | key | who writes it | known by |
//! |---|---|---|
//! | `dir/` | this program, consoles, rclone, s3fs, gcsfuse | its name |
//! | `dir_$folder$`, empty | Hadoop's S3 native filesystem, EMRFS | its name and size, which listings tell |
//! | `dir`, empty, of a folder's content type | s3fs before 1.72, swift clients | its content type, which only a HEAD tells |
//!
//! Laws: a marker is shown as its folder, and as nothing else; an object that holds a byte is no marker; an empty
//! object without the suffix is a file until its content type says something else. So nothing that somebody wrote
//! is hidden, but for empty objects whose names end in the suffix. No such file is created here.
//!
//! Sources: Hadoop's `NativeS3FileSystem` (`FOLDER_SUFFIX`); the AWS Knowledge Center on `$folder$` of EMR; s3fs's
//! `get_object_attribute`, "Compatibility" in its manual (`compat_dir`).

use std::collections::BTreeMap;
use std::sync::Arc;

use cloudmount_inode::Found;
use cloudmount_stage::RemoteBelief;
use cloudmount_store::{Key, ObjectMeta, Version};
use cloudmount_vfs::{InodeId, Name, NodeKind, Result};

use crate::core::{Inner, Table};
use crate::keys::to_key;
use crate::naming::{self, LongNames, Part, Role};
use crate::node::Node;
use crate::seen::{Both, Seen};

/// What Hadoop puts behind the name of a folder.
const SUFFIX: &str = "_$folder$";

/// The content types that say that an empty object is a folder.
const FOLDER_TYPES: [&str; 2] = ["application/x-directory", "httpd/unix-directory"];

/// A marker, as it was seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OtherMarker {
    /// `None`: this store does not list them.
    pub(crate) version: Option<Version>,
    /// When the store took it, in seconds: a listing may tell them finer than a HEAD.
    modified: i64,
}

/// The markers of a folder besides `dir/`.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Marks {
    /// `dir_$folder$`.
    pub(crate) suffixed: Option<OtherMarker>,
    /// `dir`.
    pub(crate) bare: Option<OtherMarker>,
}

impl Marks {
    /// `None` if there are none, as most folders have it.
    pub(crate) fn boxed(&self) -> Option<Box<Self>> {
        (*self != Self::default()).then(|| Box::new(self.clone()))
    }

    /// The same markers after they were moved: their versions are others now.
    pub(crate) fn moved(&mut self) {
        for mark in [&mut self.suffixed, &mut self.bare].into_iter().flatten() {
            mark.version = None;
        }
    }

    /// The keys that go with the folder whose own marker is `key`, with what is believed to be there.
    fn keys(&self, key: &Key) -> Result<Vec<(Key, RemoteBelief)>> {
        let bare = key.as_str().strip_suffix('/').unwrap_or(key.as_str());
        let with = |mark: &Option<OtherMarker>, suffix: &str| {
            let mark = mark.as_ref()?;
            let belief = match &mark.version {
                Some(version) => RemoteBelief::Present(version.clone()),
                None => RemoteBelief::Unknown,
            };
            Some(to_key(format!("{bare}{suffix}")).map(|key| (key, belief)))
        };
        let keys = [with(&self.suffixed, SUFFIX), with(&self.bare, "")];
        keys.into_iter().flatten().collect()
    }
}

impl From<&ObjectMeta> for OtherMarker {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            version: Some(meta.version.clone()),
            modified: meta.modified.secs(),
        }
    }
}

/// The part of the folder that an empty object under this part would mark.
pub(crate) fn folder_of(part: &str) -> Option<&str> {
    part.strip_suffix(SUFFIX)
        .filter(|folder| !folder.is_empty())
}

/// The key of the marker with a suffix of the folder under `key`, which ends in no slash.
pub(crate) fn suffixed(key: &Key) -> Result<Key> {
    to_key(format!("{key}{SUFFIX}"))
}

/// Whether an object without a slash at its end says that it is a folder.
pub(crate) fn says_folder(meta: &ObjectMeta) -> bool {
    let content_type = meta.metadata.content_type.as_deref().unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    meta.size == 0
        && FOLDER_TYPES
            .iter()
            .any(|folder| essence.eq_ignore_ascii_case(folder))
}

/// Takes the objects that are markers out of the parts of `dir`, and the folders that they stand for in; says whether
/// there were any with a suffix.
pub(crate) fn take_out(
    parts: &mut BTreeMap<String, Both>,
    table: &Table,
    dir: InodeId,
    long: &LongNames,
) -> bool {
    let is_empty = |both: &Both| matches!(&both.object, Some(seen) if seen.size() == 0);
    let suffixed: Vec<String> = parts
        .iter()
        .filter(|(part, both)| folder_of(part).is_some() && is_empty(both))
        .map(|(part, _)| part.clone())
        .collect();
    for part in &suffixed {
        let Some(both) = parts.get_mut(part) else {
            continue;
        };
        let mark = both.object.take().map(|seen| seen.mark());
        if !both.folder {
            parts.remove(part);
        }
        if let Some(folder) = folder_of(part) {
            let both = parts.entry(folder.to_owned()).or_default();
            both.folder = true;
            both.marks.suffixed = mark;
        }
    }
    for (part, both) in parts.iter_mut().filter(|(_, both)| is_empty(both)) {
        let known = table.peek(dir, &long.show(&Part::plain(&**part)));
        let Some(bare) = known.and_then(|found| bare_of(&found)) else {
            continue;
        };
        if both.object.as_ref().is_some_and(|seen| seen.mark() == bare) {
            both.object = None;
            both.folder = true;
            both.marks.bare = Some(bare);
        }
    }
    !suffixed.is_empty()
}

/// The object of a folder's own name that is known to be its marker.
fn bare_of(found: &Found<Arc<Node>>) -> Option<OtherMarker> {
    let state = found.payload.lock();
    state.marks.as_ref()?.bare.clone()
}

impl Seen {
    fn size(&self) -> u64 {
        match self {
            Self::Folder(_) => 0,
            Self::Object(object) => object.size,
            Self::Pending(_, view) => view.size().unwrap_or_default(),
        }
    }

    fn mark(&self) -> OtherMarker {
        match self {
            Self::Object(object) => OtherMarker {
                version: object.version.clone(),
                modified: object.modified.secs(),
            },
            // One that is being moved along with what is around it.
            Self::Folder(_) | Self::Pending(..) => OtherMarker {
                version: None,
                modified: 0,
            },
        }
    }
}

impl Inner {
    /// The markers of others of a folder that goes, whose own has this key, go with it.
    pub(crate) fn remove_marks(&self, folder: &Node, key: &Key) -> Result<()> {
        let marks = folder.lock().marks.take();
        let Some(marks) = marks else {
            return Ok(());
        };
        for (key, belief) in marks.keys(key)? {
            self.stage.remove(&key, belief)?;
        }
        Ok(())
    }

    /// Whether the folder beside which an object is shown under `name` takes it as its marker.
    pub(crate) fn marks_beside(
        &self,
        table: &Table,
        (parent, name): (InodeId, &Name),
        meta: &ObjectMeta,
    ) -> bool {
        let Ok(part) = naming::part_of(name, &self.long) else {
            return false;
        };
        if part.role != Role::BesideFolder {
            return false;
        }
        let plain = self.long.show(&Part::plain(part.text));
        if let Some(folder) = table.peek(parent, &plain)
            && folder.kind == NodeKind::Directory
        {
            let mut state = folder.payload.lock();
            let marks = state.marks.get_or_insert_default();
            marks.bare = Some(OtherMarker::from(meta));
            // Its attributes may be those of this marker.
            state.doubt();
        }
        true
    }

    /// The key of the object that marks `node`, which is a folder of that key, by its name alone.
    pub(crate) fn bare_key(&self, node: &Node, key: &Key) -> Option<Key> {
        if node.kind != NodeKind::Directory {
            return None;
        }
        node.lock().marks.as_ref()?.bare.as_ref()?;
        let bare = key.as_str().strip_suffix('/')?;
        to_key(bare.to_owned()).ok()
    }
}
