//! Attributes, extended attributes, and whether a caller may.

use bytes::Bytes;
use cloudmount_vfs::{
    AccessMask, Attr, Context, ErrorKind, InodeId, NodeKind, Result, SetAttr, SetTime, XattrMode,
};

use super::Flaw;
use super::tree::Tree;

/// The only namespace: the others belong to the kernel or need privileges.
const USER: &str = "user.";

impl Tree {
    pub(super) fn setattr(&mut self, ino: InodeId, set: &SetAttr) -> Result<Attr> {
        let before = self.node(ino)?.attr;
        if let Some(size) = set.size {
            match set.handle {
                Some(handle) => self.resize_through(ino, handle, size)?,
                None => self.resize(ino, size)?,
            }
        }
        let now = self.time();
        let whole_seconds = self.has(Flaw::ForgetsNanoseconds);
        let forgets_mode = self.has(Flaw::ForgetsMode);
        let attr = &mut self.node_mut(ino)?.attr;
        let time = |set: SetTime| match set {
            SetTime::Now => now,
            SetTime::At(at) if whole_seconds => cloudmount_vfs::Timestamp::new(at.secs(), 0),
            SetTime::At(at) => at,
        };
        attr.atime = set.atime.map_or(attr.atime, time);
        attr.mtime = set.mtime.map_or(attr.mtime, time);
        attr.uid = set.uid.unwrap_or(attr.uid);
        attr.gid = set.gid.unwrap_or(attr.gid);
        attr.ctime = now;
        let mut told = *attr;
        told.permissions = set.permissions.unwrap_or(attr.permissions);
        if !forgets_mode {
            *attr = told;
        }
        Ok(if self.has(Flaw::SetattrAnswersOld) {
            before
        } else {
            told
        })
    }

    pub(super) fn setxattr(
        &mut self,
        ino: InodeId,
        name: &str,
        value: &[u8],
        mode: XattrMode,
    ) -> Result<()> {
        self.check_namespace(ino, name)?;
        let room = self.settings.limits.xattr_bytes_max;
        let drops = self.has(Flaw::DropsXattrs);
        let now = self.time();
        let node = self.node_mut(ino)?;
        match (mode, node.xattrs.contains_key(name)) {
            (XattrMode::Create, true) => return Err(ErrorKind::Exists.into()),
            (XattrMode::Replace, false) => return Err(ErrorKind::NoAttribute.into()),
            _ => {}
        }
        let others = node.xattrs.iter().filter(|(other, _)| *other != name);
        let used: usize = others.map(|(name, value)| name.len() + value.len()).sum();
        if used + name.len() + value.len() > room {
            return Err(ErrorKind::NoSpace.into());
        }
        if !drops {
            node.xattrs
                .insert(name.to_owned(), Bytes::copy_from_slice(value));
        }
        node.attr.ctime = now;
        Ok(())
    }

    pub(super) fn getxattr(&self, ino: InodeId, name: &str) -> Result<Bytes> {
        let node = self.node(ino)?;
        let spaces = ["security.", "system.", "trusted."];
        if spaces.iter().any(|space| name.starts_with(space)) {
            return Err(ErrorKind::Unsupported.into());
        }
        node.xattrs
            .get(name)
            .cloned()
            .ok_or_else(|| ErrorKind::NoAttribute.into())
    }

    pub(super) fn listxattr(&self, ino: InodeId) -> Result<Vec<String>> {
        Ok(self.node(ino)?.xattrs.keys().cloned().collect())
    }

    pub(super) fn removexattr(&mut self, ino: InodeId, name: &str) -> Result<()> {
        let now = self.time();
        let node = self.node_mut(ino)?;
        node.xattrs.remove(name).ok_or(ErrorKind::NoAttribute)?;
        node.attr.ctime = now;
        Ok(())
    }

    fn check_namespace(&self, ino: InodeId, name: &str) -> Result<()> {
        self.node(ino)?;
        match name.strip_prefix(USER) {
            Some(rest) if !rest.is_empty() => Ok(()),
            _ => Err(ErrorKind::Unsupported.into()),
        }
    }

    pub(super) fn access(&self, cx: &Context, ino: InodeId, mask: AccessMask) -> Result<()> {
        let attr = self.node(ino)?.attr;
        let bits = attr.permissions.bits();
        let executable = bits & 0o111 != 0 || attr.kind == NodeKind::Directory;
        let granted = match cx {
            cx if cx.uid == 0 => 0o6 | u16::from(executable),
            cx if cx.uid == attr.uid => bits >> 6,
            cx if cx.gid == attr.gid => bits >> 3,
            _ => bits,
        };
        let asked =
            u16::from(mask.read) << 2 | u16::from(mask.write) << 1 | u16::from(mask.execute);
        if granted & asked == asked {
            Ok(())
        } else {
            Err(ErrorKind::PermissionDenied.into())
        }
    }
}
