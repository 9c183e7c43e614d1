//! Reading directories.

use std::ops::Bound;

use cloudmount_vfs::{
    Cookie, DirEntry, DirHandle, DirPlusEntry, DirPlusSink, DirSink, Entry, ErrorKind, InodeId,
    Name, NodeKind, Result, SinkState, Unknown,
};

use super::Flaw;
use super::tree::Tree;

/// One step of a scan.
struct Step {
    ino: InodeId,
    kind: NodeKind,
    /// `None` for `.` and `..`.
    name: Option<Name>,
    cookie: Cookie,
}

impl Step {
    fn plain(&self) -> DirEntry<'_> {
        let dot = if self.cookie == Cookie::DOT {
            "."
        } else {
            ".."
        };
        DirEntry {
            ino: self.ino,
            kind: self.kind,
            name: self.name.as_ref().map_or(dot, Name::as_str),
            cookie: self.cookie,
        }
    }
}

impl Tree {
    pub(super) fn readdir(
        &self,
        ino: InodeId,
        handle: DirHandle,
        from: Cookie,
        sink: &mut dyn DirSink,
    ) -> Result<()> {
        let mut steps = self.steps(ino, handle, from)?;
        if self.has(Flaw::PlainHidesLast) {
            steps.truncate(steps.len().saturating_sub(1).max(2));
        }
        for step in steps {
            if sink.add(&step.plain()) == SinkState::Full {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn readdirplus(
        &mut self,
        ino: InodeId,
        handle: DirHandle,
        from: Cookie,
        sink: &mut dyn DirPlusSink,
    ) -> Result<()> {
        for step in self.steps(ino, handle, from)? {
            if self.offer(&step, sink)? == SinkState::Full && !self.has(Flaw::OffersAfterFull) {
                break;
            }
        }
        Ok(())
    }

    fn offer(&mut self, step: &Step, sink: &mut dyn DirPlusSink) -> Result<SinkState> {
        let counts_refused = self.has(Flaw::CountsRefused);
        let forgets_bare = self.has(Flaw::ForgetsBare);
        let (ttl, untold) = (self.settings.ttl, self.settings.untold);
        let node = self.node_mut(step.ino)?;
        let Some(name) = &step.name else {
            let dot = DirPlusEntry::Dot {
                entry: step.plain(),
                attr: &node.attr,
            };
            return Ok(sink.add(&dot));
        };
        let entry = Entry {
            attr: node.attr,
            generation: cloudmount_vfs::Generation(1),
            entry_ttl: ttl,
            attr_ttl: ttl,
        };
        let is_bare = sink.unknown() == Unknown::Bare && untold.is_it(step.cookie);
        let (entry, cookie) = (&entry, step.cookie);
        let state = sink.add(&if is_bare {
            DirPlusEntry::Bare {
                name,
                entry,
                cookie,
            }
        } else {
            DirPlusEntry::Child {
                name,
                entry,
                cookie,
            }
        });
        let is_counted = state == SinkState::Taken && !(is_bare && forgets_bare);
        if is_counted || counts_refused {
            node.lookups += 1;
        }
        Ok(state)
    }

    fn steps(&self, ino: InodeId, handle: DirHandle, from: Cookie) -> Result<Vec<Step>> {
        let directory = self.directory(ino)?;
        let known = match self.dirs.get(&handle) {
            Some(of) => *of == ino,
            None => self.was_given(handle.get()),
        };
        if !known {
            return Err(ErrorKind::BadHandle.into());
        }
        let above = self
            .node(ino)?
            .place
            .as_ref()
            .map_or(ino, |(parent, _)| *parent);
        let kind = NodeKind::Directory;
        let dot = Step {
            ino,
            kind,
            name: None,
            cookie: Cookie::DOT,
        };
        let dot_dot = Step {
            ino: above,
            kind,
            name: None,
            cookie: Cookie::DOT_DOT,
        };
        let mut steps: Vec<_> = [dot, dot_dot]
            .into_iter()
            .filter(|step| step.cookie > from)
            .collect();
        let after = match from {
            cookie if self.has(Flaw::RepeatsEntry) => Bound::Included(cookie),
            cookie if self.has(Flaw::LosesEntry) && cookie > Cookie::DOT_DOT => {
                Bound::Excluded(Cookie(cookie.0 + 1))
            }
            cookie => Bound::Excluded(cookie),
        };
        for (cookie, name) in directory.by_cookie.range((after, Bound::Unbounded)) {
            let Some((child, _)) = directory.by_name.get(name) else {
                continue;
            };
            let kind = self.node(*child)?.attr.kind;
            steps.push(Step {
                ino: *child,
                kind,
                name: Some(name.clone()),
                cookie: *cookie,
            });
        }
        if self.has(Flaw::DotsMissing) {
            steps.retain(|step| step.name.is_some());
        }
        if self.has(Flaw::EndsEarly) {
            steps.truncate(3);
        }
        Ok(steps)
    }
}
