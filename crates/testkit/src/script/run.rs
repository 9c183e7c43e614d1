//! Steps on a filesystem, and their results as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use cloudmount_vfs::{
    Access, Attr, ErrorKind, NodeKind, OpenFlags, RenameMode, Result, SyncScope, WriteMode,
    XattrMode,
};

use super::{How, Step, Word};
use crate::World;
use crate::clock::turns;
use crate::kernel::{Fd, Kind, Listed};
use crate::suite::Mounted;

/// Longest content that is shown as text, in bytes; longer ones are shown as length and checksum.
const SHOWN_BYTES_MAX: usize = 64;

/// What is open, by the numbers of the script.
#[derive(Debug, Default)]
pub(crate) struct Session {
    open: BTreeMap<u8, Fd>,
}

impl Session {
    /// Runs a step; gives what it answered, or the kind of its error after `! `.
    pub(crate) async fn run<W: World>(&mut self, m: &mut Mounted<W>, step: &Step) -> String {
        match self.answer(m, step).await {
            Ok(answer) => answer,
            Err(error) => format!("! {}", error.kind()),
        }
    }

    /// The numbers that are open.
    pub(crate) fn slots(&self) -> Vec<u8> {
        self.open.keys().copied().collect()
    }

    async fn answer<W: World>(&mut self, m: &mut Mounted<W>, step: &Step) -> Result<String> {
        match step {
            Step::Open { .. }
            | Step::Create { .. }
            | Step::Pread { .. }
            | Step::Pwrite { .. }
            | Step::Resize { .. }
            | Step::Sync { .. }
            | Step::Close { .. } => self.with_open(m, step).await,
            Step::Put { .. }
            | Step::Delete { .. }
            | Step::Settle
            | Step::Forget
            | Step::Wait { .. }
            | Step::Remount => {
                around(m, step).await;
                Ok("ok".to_owned())
            }
            _ => match read(m, step).await? {
                Some(answer) => Ok(answer),
                None => change(m, step).await.map(|()| "ok".to_owned()),
            },
        }
    }

    async fn with_open<W: World>(&mut self, m: &Mounted<W>, step: &Step) -> Result<String> {
        let k = m.kernel();
        match step {
            Step::Open { slot, path, how } => {
                self.close(m, *slot).await?;
                let fd = k.open(path, flags(*how)).await?;
                self.open.insert(*slot, fd);
            }
            Step::Create { slot, path, how } => {
                self.close(m, *slot).await?;
                let fd = k.create(path, 0o644, flags(*how)).await?;
                self.open.insert(*slot, fd);
            }
            Step::Pread { slot, offset, size } => {
                let size = usize::try_from(*size).unwrap_or(usize::MAX);
                return Ok(shown(&k.read(self.fd(*slot)?, *offset, size).await?));
            }
            Step::Pwrite { slot, offset, data } => {
                let written = k.write(self.fd(*slot)?, *offset, &data.bytes()).await?;
                return Ok(format!("{written} bytes"));
            }
            Step::Resize { slot, size } => k.ftruncate(self.fd(*slot)?, *size).await?,
            Step::Sync { slot } => {
                k.fsync(self.fd(*slot)?, SyncScope::DataAndAttributes)
                    .await?;
            }
            Step::Close { slot } => {
                self.fd(*slot)?;
                self.close(m, *slot).await?;
            }
            _ => {}
        }
        Ok("ok".to_owned())
    }

    fn fd(&self, slot: u8) -> Result<Fd> {
        self.open
            .get(&slot)
            .copied()
            .ok_or_else(|| ErrorKind::BadHandle.into())
    }

    async fn close<W: World>(&mut self, m: &Mounted<W>, slot: u8) -> Result<()> {
        match self.open.remove(&slot) {
            Some(fd) => m.kernel().close(fd).await,
            None => Ok(()),
        }
    }
}

/// The steps that look at something; `None` for the others.
async fn read<W: World>(m: &Mounted<W>, step: &Step) -> Result<Option<String>> {
    let k = m.kernel();
    Ok(Some(match step {
        Step::Cat { path } => shown(&k.read_file(path).await?),
        Step::Ls { path } => listing(&k.readdir(path).await?),
        Step::Stat { path } => attributes(&k.lstat(path).await?),
        Step::Readlink { path } => shown(&k.readlink(path).await?),
        Step::Getxattr { path, name } => shown(&k.getxattr(path, name).await?),
        Step::Listxattr { path } => {
            let names = k.listxattr(path).await?;
            words(names.iter().map(|name| Word(name).to_string()))
        }
        _ => return Ok(None),
    }))
}

/// The steps that change something by its path.
async fn change<W: World>(m: &Mounted<W>, step: &Step) -> Result<()> {
    let k = m.kernel();
    match step {
        Step::Mkdir { path, mode } => k.mkdir(path, *mode).await,
        Step::Rmdir { path } => k.rmdir(path).await,
        Step::Touch { path, mode } => k.mknod(path, *mode).await,
        Step::Write { path, data } => k.write_file(path, &data.bytes()).await,
        Step::Patch { path, offset, data } => {
            write_to(m, path, flags(How::Write), *offset, &data.bytes()).await
        }
        Step::Append { path, data } => {
            write_to(m, path, flags(How::Append), 0, &data.bytes()).await
        }
        Step::Truncate { path, size } => k.truncate(path, *size).await,
        Step::Chmod { path, mode } => k.chmod(path, *mode).await,
        Step::Rm { path } => k.unlink(path).await,
        Step::Mv { from, to } => k.rename(from, to).await,
        Step::MvNew { from, to } => k.rename_with(from, to, RenameMode::NoReplace).await,
        Step::Ln { target, path } => k.symlink(target, path).await,
        Step::Setxattr { path, name, data } => {
            k.setxattr(path, name, &data.bytes(), XattrMode::Set).await
        }
        Step::Rmxattr { path, name } => k.removexattr(path, name).await,
        _ => Ok(()),
    }
}

/// The steps that change what is around the filesystem.
async fn around<W: World>(m: &mut Mounted<W>, step: &Step) {
    match step {
        Step::Put { path, data } => {
            m.put(path, data.bytes()).await;
            m.wait_for_foreign_changes().await;
        }
        Step::Delete { path } => {
            m.delete(path).await;
            m.wait_for_foreign_changes().await;
        }
        Step::Settle => m.world().settle().await,
        Step::Forget => m.kernel().drop_caches(),
        Step::Wait { millis } => m.world().clock().pass(Duration::from_millis(*millis)).await,
        Step::Remount => m.remount().await,
        _ => turns().await,
    }
}

async fn write_to<W: World>(
    m: &Mounted<W>,
    path: &str,
    flags: OpenFlags,
    offset: u64,
    data: &[u8],
) -> Result<()> {
    let k = m.kernel();
    let fd = k.open(path, flags).await?;
    let written = k.write(fd, offset, data).await;
    k.close(fd).await?;
    written.map(|_| ())
}

const fn flags(how: How) -> OpenFlags {
    match how {
        How::Read => OpenFlags::READ,
        How::Write => OpenFlags::WRITE,
        How::ReadWrite => OpenFlags::READ_WRITE,
        How::Append => OpenFlags {
            access: Access::ReadWrite,
            write_mode: WriteMode::Append,
            ..OpenFlags::READ
        },
        How::Truncate => OpenFlags {
            truncate: true,
            ..OpenFlags::READ_WRITE
        },
    }
}

/// Bytes as text if they are short text, or else their length and checksum.
pub(crate) fn shown(data: &[u8]) -> String {
    match std::str::from_utf8(data) {
        Ok(text) if data.len() <= SHOWN_BYTES_MAX => format!("{text:?}"),
        _ => format!("{} bytes #{:016x}", data.len(), checksum(data)),
    }
}

/// FNV-1a of 64 bits (Fowler, Noll, Vo): short, and stable for ever.
fn checksum(data: &[u8]) -> u64 {
    data.iter().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

fn listing(listed: &[Listed]) -> String {
    words(listed.iter().map(|entry| {
        let mark = match entry.kind {
            Kind::File => "",
            Kind::Directory => "/",
            Kind::Symlink => "@",
        };
        format!("{}{mark}", Word(&entry.name))
    }))
}

fn words(words: impl Iterator<Item = String>) -> String {
    let words: Vec<_> = words.collect();
    if words.is_empty() {
        "nothing".to_owned()
    } else {
        words.join(" ")
    }
}

fn attributes(attr: &Attr) -> String {
    let kind = match attr.kind {
        NodeKind::File => "file",
        NodeKind::Directory => "directory",
        NodeKind::Symlink => "symlink",
    };
    let mut text = format!(
        "{kind} {:04o} {}:{}",
        attr.permissions.bits(),
        attr.uid,
        attr.gid
    );
    if attr.kind != NodeKind::Directory {
        write!(text, " {} bytes", attr.size).expect("a String takes any text");
    }
    text
}
