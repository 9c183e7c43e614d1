//! Set-uid and set-gid bits go when a file is written, cut or given away, as on any Linux
//! filesystem.
//!
//! The kernel leaves it to us (`FUSE_HANDLE_KILLPRIV_V2`): doing it itself, it would ask for the
//! attribute `security.capability` before each write, which nearly doubles the price of a small one.
//! For writes it tells who lacks the capability to keep the bits; for cuts `fuser` does not pass that
//! on, and all users but root are taken to lack it.

use cloudmount_vfs::{
    Context, FileHandle, InodeId, NodeKind, OpenFlags, Opened, Permissions, Result, SetAttr, Vfs,
};

const SET_UID: u16 = 0o4000;
const SET_GID: u16 = 0o2000;
const GROUP_EXECUTE: u16 = 0o0010;

/// The permissions without what makes the file run as its owner or group; none if there is nothing
/// to take away. Set-gid without group execution meant mandatory locking once, and stays.
fn unprivileged(permissions: Permissions) -> Option<Permissions> {
    let mut kept = permissions.bits() & !SET_UID;
    if permissions.contains(GROUP_EXECUTE) {
        kept &= !SET_GID;
    }
    (kept != permissions.bits()).then(|| Permissions::from_mode(kept.into()))
}

async fn to_take_away<V: Vfs>(
    vfs: &V,
    cx: &Context,
    ino: InodeId,
    handle: Option<FileHandle>,
) -> Result<Option<Permissions>> {
    let (attr, _) = vfs.getattr(cx, ino, handle).await?;
    Ok(match attr.kind {
        NodeKind::File => unprivileged(attr.permissions),
        NodeKind::Directory | NodeKind::Symlink => None,
    })
}

async fn take_away<V: Vfs>(vfs: &V, cx: &Context, ino: InodeId, handle: FileHandle) -> Result<()> {
    let handle = Some(handle);
    if let Some(permissions) = to_take_away(vfs, cx, ino, handle).await? {
        let set = SetAttr {
            permissions: Some(permissions),
            handle,
            ..SetAttr::default()
        };
        vfs.setattr(cx, ino, &set).await?;
    }
    Ok(())
}

/// A write by somebody who may not keep the bits. Repeating it is as good as doing it once.
pub(super) async fn write<V: Vfs>(
    vfs: &V,
    cx: &Context,
    (ino, handle, offset): (InodeId, FileHandle, u64),
    data: &[u8],
) -> Result<u32> {
    take_away(vfs, cx, ino, handle).await?;
    vfs.write(cx, ino, handle, offset, data).await
}

/// An open, which may cut the file.
pub(super) async fn open<V: Vfs>(
    vfs: &V,
    cx: &Context,
    ino: InodeId,
    flags: OpenFlags,
) -> Result<Opened> {
    let opened = vfs.open(cx, ino, flags).await?;
    if flags.truncate && cx.uid != 0 {
        take_away(vfs, cx, ino, opened.handle).await?;
    }
    Ok(opened)
}

/// What `set` becomes: who gives a file away or cuts it does not keep the bits, unless the same
/// call sets them.
pub(super) async fn adjusted<V: Vfs>(
    vfs: &V,
    cx: &Context,
    ino: InodeId,
    mut set: SetAttr,
) -> Result<SetAttr> {
    let given_away = set.uid.is_some() || set.gid.is_some();
    let cut = set.size.is_some() && cx.uid != 0;
    if (given_away || cut) && set.permissions.is_none() {
        set.permissions = to_take_away(vfs, cx, ino, set.handle).await?;
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_that_go_and_bits_that_stay() {
        for (mode, kept) in [
            (0o0755, None),
            (0o4755, Some(0o0755)),
            (0o6755, Some(0o0755)),
            (0o2755, Some(0o0755)),
            (0o2745, None),
            (0o6745, Some(0o2745)),
            (0o1644, None),
        ] {
            let found = unprivileged(Permissions::from_mode(mode));
            assert_eq!(found.map(Permissions::bits), kept, "{mode:o}");
        }
    }
}
