//! Renames: local ones of what is staged, and copies within the store of what is not.

use std::sync::Arc;

use cloudmount_store::{Key, Metadata};
use cloudmount_vfs::{Error, ErrorKind, Instant, Result};

use super::{Inner, Stage};
use crate::desired::Desired;
use crate::edit::Edit;
use crate::journal::record::Change;
use crate::key_state::{Former, KeyState};
use crate::{Base, RemoteBelief, StagedFile};

/// One of many keys that are renamed together.
#[derive(Clone, Debug)]
pub enum RenameItem {
    /// What is pending under `from` (content or inline), or a file that is all in the bucket and
    /// still open.
    Pending {
        /// The key it has.
        from: Key,
        /// The key it gets.
        to: Key,
        /// What the caller saw under `to`.
        to_remote: RemoteBelief,
    },
    /// An object that nothing is pending for (but metadata).
    Object {
        /// The object, under the key it has.
        base: Base,
        /// The key it gets.
        to: Key,
        /// What the caller saw under `to`.
        to_remote: RemoteBelief,
        /// The metadata it gets there.
        metadata: Metadata,
    },
}

impl Stage {
    /// Moves what is pending under `from` to `to`; an open file follows its name.
    ///
    /// # Errors
    /// `NotFound` if nothing that could move is pending there; `NoSpace`, `Io`.
    pub fn rename(&self, from: &Key, to: &Key, to_remote: RemoteBelief) -> Result<()> {
        let inner = &self.inner;
        inner
            .edit(|edit, now| inner.rename_pending(edit, now, from, to, to_remote))
            .map(drop)
    }

    /// Moves an object that is not staged: gives a staged file that consists of it. The copy is
    /// made within the store, in the background; the old object stays until then.
    ///
    /// # Errors
    /// `NotFound` if it is to be removed; `NoSpace`, `Io`.
    pub fn rename_object(
        &self,
        base: Base,
        to: &Key,
        to_remote: RemoteBelief,
        metadata: Metadata,
    ) -> Result<Arc<StagedFile>> {
        let inner = &self.inner;
        inner.edit(|edit, now| inner.rename_base(edit, now, base, to, to_remote, metadata))
    }

    /// Renames all of `items`, or none: one record of the journal. Gives the staged file of each
    /// item, where there is one.
    ///
    /// # Errors
    /// As [`rename`](Self::rename) and [`rename_object`](Self::rename_object).
    pub fn rename_many(&self, items: Vec<RenameItem>) -> Result<Vec<Option<Arc<StagedFile>>>> {
        let inner = &self.inner;
        inner.edit(|edit, now| inner.rename_all(edit, now, items))
    }

    /// As [`rename_many`](Self::rename_many), for all that is below the folder whose marker is
    /// `from`: the status shows it as one.
    ///
    /// # Errors
    /// As [`rename_many`](Self::rename_many).
    pub fn rename_folder(
        &self,
        (from, to): (&Key, &Key),
        items: Vec<RenameItem>,
    ) -> Result<Vec<Option<Arc<StagedFile>>>> {
        let inner = &self.inner;
        let keys = items.len();
        let (files, seqs) = inner.edit(|edit, now| {
            let first = edit.next_seq();
            let files = inner.rename_all(edit, now, items)?;
            Ok((files, first..=edit.next_seq()))
        })?;
        inner.groups.lock().renamed(from, to, seqs, keys);
        Ok(files)
    }
}

impl Inner {
    fn rename_all(
        &self,
        edit: &mut Edit<'_>,
        now: Instant,
        items: Vec<RenameItem>,
    ) -> Result<Vec<Option<Arc<StagedFile>>>> {
        let rename = |item| match item {
            RenameItem::Pending {
                from,
                to,
                to_remote,
            } => self.rename_pending(edit, now, &from, &to, to_remote),
            RenameItem::Object {
                base,
                to,
                to_remote,
                metadata,
            } => (self.rename_base(edit, now, base, &to, to_remote, metadata)).map(Some),
        };
        items.into_iter().map(rename).collect()
    }

    fn rename_pending(
        &self,
        edit: &mut Edit<'_>,
        now: Instant,
        from: &Key,
        to: &Key,
        to_remote: RemoteBelief,
    ) -> Result<Option<Arc<StagedFile>>> {
        let nothing = || {
            Error::new(
                ErrorKind::NotFound,
                format!("rename {from}: nothing pending"),
            )
        };
        if from == to {
            return Ok(None);
        }
        let due = now + self.settings.close_delay;
        let Some(state) = edit.get(from) else {
            let file = edit.settled(from).ok_or_else(nothing)?;
            self.rename_file(
                edit,
                due,
                &file,
                from,
                to,
                to_remote,
                Some(file.generation()),
            )?;
            return Ok(Some(file));
        };
        let submitted = state.submitted;
        match state.desired.clone() {
            Desired::Content(file) => {
                self.rename_file(edit, due, &file, from, to, to_remote, submitted)?;
                Ok(Some(file))
            }
            desired @ Desired::Inline { .. } => {
                if self.is_unsupported_marker(to) {
                    edit.want_absent(to, to_remote, due);
                } else {
                    edit.want(to, to_remote, desired, Some(0), due);
                }
                edit.want_absent(from, RemoteBelief::Unknown, due);
                Ok(None)
            }
            Desired::Metadata(_) | Desired::Absent => Err(nothing()),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one rename, used in three places"
    )]
    fn rename_file(
        &self,
        edit: &mut Edit<'_>,
        due: Instant,
        file: &Arc<StagedFile>,
        from: &Key,
        to: &Key,
        to_remote: RemoteBelief,
        submitted: Option<u64>,
    ) -> Result<()> {
        let is_away = {
            let mut files = edit.get(from).into_iter().flat_map(KeyState::files);
            file.is_away() || files.any(|file| file.is_away())
        };
        if is_away {
            // The upload that alone has them is bound to its key. The caller recalls them.
            return Err(Error::new(
                ErrorKind::Busy,
                format!("part of {from} is only in its upload"),
            ));
        }
        // First, so that neither key takes the file's name for its own to end.
        edit.move_file(file, to);
        // Metadata that were to be changed are those of the file by now.
        let former = edit
            .take_former(from)
            .filter(|former| !matches!(former.desired, Desired::Metadata(_)));
        let former = match former {
            None if submitted.is_none() => self.copy_of_origin(edit, file, from, to),
            former => former,
        };
        edit.tell(Change::File(file.lock().record(file.id())));
        edit.want(
            to,
            to_remote,
            Desired::Content(Arc::clone(file)),
            submitted,
            due,
        );
        let is_there =
            (edit.get(from)).is_some_and(|state| matches!(state.remote, RemoteBelief::Present(_)));
        // What is there is the last version in the bucket of what was written anew and closed since.
        let closed = match &former {
            Some(Former {
                desired: Desired::Content(former),
                ..
            }) => Some(Arc::clone(former)),
            Some(_) => None,
            None => submitted.is_some().then(|| Arc::clone(file)),
        };
        if let Some(former) = former {
            self.move_former(edit, former, to);
        }
        if let Some(closed) = closed.filter(|_| is_there) {
            edit.replace(&closed, from.clone());
        }
        let version = file
            .base()
            .filter(|base| base.key == *from)
            .map(|base| base.version);
        edit.want_absent(from, RemoteBelief::from(version), due);
        Ok(())
    }

    /// What is in the bucket of a file that is changed and not closed yet: it goes along, so that
    /// it is not lost with a crash before the close.
    fn copy_of_origin(
        &self,
        edit: &mut Edit<'_>,
        file: &Arc<StagedFile>,
        from: &Key,
        to: &Key,
    ) -> Option<Former> {
        let remote = edit.get(from)?.remote.clone();
        let (base, metadata) = {
            let state = file.lock();
            (state.origin(from, &remote)?, state.metadata.clone())
        };
        let copy = self.new_file(to, Some(base), metadata);
        Some(Former {
            desired: Desired::Content(copy),
            seq: edit.next_seq(),
        })
    }

    /// What was closed before a file was opened to be written anew goes where that one goes.
    fn move_former(&self, edit: &mut Edit<'_>, former: Former, to: &Key) {
        match &former.desired {
            Desired::Content(file) => {
                edit.move_file(file, to);
                edit.tell(Change::File(file.lock().record(file.id())));
            }
            Desired::Inline { .. } => {}
            // They are about the key that is left.
            Desired::Metadata(_) | Desired::Absent => return,
        }
        edit.update(to, |state| state.former = Some(former));
    }

    fn rename_base(
        &self,
        edit: &mut Edit<'_>,
        now: Instant,
        base: Base,
        to: &Key,
        to_remote: RemoteBelief,
        metadata: Metadata,
    ) -> Result<Arc<StagedFile>> {
        let from = base.key.clone();
        let wanted = edit
            .get(&from)
            .map(|state| (state.desired.clone(), state.submitted));
        let due = now + self.settings.close_delay;
        let (file, submitted) = match wanted {
            Some((Desired::Content(file), submitted)) => (file, submitted),
            Some((Desired::Absent, _)) => {
                return Err(Error::new(ErrorKind::NotFound, format!("rename {from}")));
            }
            // A body given as bytes is small: its owner renames it as pending.
            Some((Desired::Inline { .. }, _)) => {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!("rename {from}"),
                ));
            }
            Some((Desired::Metadata(_), _)) | None => {
                let file = edit.settled(&from).unwrap_or_else(|| {
                    let base = edit.correct_base(base);
                    self.new_file(&from, Some(base), metadata.clone())
                });
                let generation = file.generation();
                (file, Some(generation))
            }
        };
        if from == *to {
            return Ok(file);
        }
        self.rename_file(edit, due, &file, &from, to, to_remote, submitted)?;
        edit.set_metadata(&file, metadata);
        Ok(file)
    }
}
