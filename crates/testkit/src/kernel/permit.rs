//! Permissions, as the kernel checks them with `default_permissions`.

use cloudmount_vfs::{AccessMask, Attr, ErrorKind, Name, NodeKind, Result, Vfs};

use super::{FakeKernel, Held, refuse};

/// The sticky bit: in such a directory one removes only what one owns.
const STICKY: u16 = 0o1000;

/// Whether the kernel checks permissions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permissions {
    /// Everyone may do everything that the filesystem lets them do.
    Unchecked,
    /// By owner, group and mode, before the filesystem is asked.
    Checked,
}

impl<V: Vfs> FakeKernel<V> {
    fn checks(&self) -> bool {
        self.shared.options.permissions == Permissions::Checked && self.cx.uid != 0
    }

    /// Whether the caller may use `held` so.
    pub(super) async fn permit(&self, held: &Held<V>, mask: AccessMask) -> Result<()> {
        if !self.checks() || self.grants(&self.attr(held).await?, mask) {
            return Ok(());
        }
        refuse(ErrorKind::PermissionDenied)
    }

    /// Whether the caller may add entries to a directory.
    pub(super) async fn permit_entries(&self, parent: &Held<V>) -> Result<()> {
        self.permit(
            parent,
            AccessMask {
                read: false,
                write: true,
                execute: true,
            },
        )
        .await
    }

    /// Whether the caller may take an entry out of a directory.
    pub(super) async fn permit_removal(&self, parent: &Held<V>, name: &Name) -> Result<()> {
        self.permit_entries(parent).await?;
        if !self.checks() {
            return Ok(());
        }
        let above = self.attr(parent).await?;
        if !above.permissions.contains(STICKY) || above.uid == self.cx.uid {
            return Ok(());
        }
        let child = self.child(parent, name).await?;
        self.permit_owner(&child).await
    }

    /// Whether the caller owns it.
    pub(super) async fn permit_owner(&self, held: &Held<V>) -> Result<()> {
        if !self.checks() || self.attr(held).await?.uid == self.cx.uid {
            return Ok(());
        }
        refuse(ErrorKind::NotPermitted)
    }

    /// Whether the caller is the superuser, who alone may give files away.
    pub(super) fn permit_superuser(&self) -> Result<()> {
        if self.checks() {
            refuse(ErrorKind::NotPermitted)
        } else {
            Ok(())
        }
    }

    fn grants(&self, attr: &Attr, mask: AccessMask) -> bool {
        let bits = attr.permissions.bits();
        let granted = match self.cx {
            cx if cx.uid == attr.uid => bits >> 6,
            cx if cx.gid == attr.gid => bits >> 3,
            _ if attr.kind == NodeKind::Symlink => 0o7,
            _ => bits,
        };
        let asked =
            u16::from(mask.read) << 2 | u16::from(mask.write) << 1 | u16::from(mask.execute);
        granted & asked == asked
    }
}
