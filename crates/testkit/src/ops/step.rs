//! From an operation to the steps that it means on the tree that there is.

use super::{Op, Pick, Tree};
use crate::kernel::Kind;
use crate::script::{Data, How, Step};

/// Few names, so that operations meet; two that need care on the way to a key.
const NAMES: [&str; 6] = ["a", "b", "c", "dd", "%2F", "é x"];

/// Modes that a file or directory may get: never without access for its owner.
const MODES: [u32; 5] = [0o755, 0o644, 0o600, 0o777, 0o750];

/// Offsets and lengths around the edges of pages and blocks. Bytes.
const SIZES: [u64; 12] = [
    0, 1, 5, 100, 511, 512, 4095, 4096, 4097, 10_000, 65_536, 100_001,
];

const XATTRS: [&str; 3] = ["user.a", "user.B", "user.c d"];

const WAITS_MS: [u64; 4] = [0, 500, 1_100, 5_000];

/// Numbers of open files.
const SLOTS: [u8; 4] = [1, 2, 3, 4];

const HOWS: [How; 5] = [
    How::Read,
    How::Write,
    How::ReadWrite,
    How::Append,
    How::Truncate,
];

impl Op {
    /// The steps; `open` are the slots in use.
    pub(super) fn steps(self, tree: &Tree, open: &[u8]) -> Vec<Step> {
        let on = On { tree, open };
        match self {
            Self::Put {
                dir,
                name,
                length,
                seed,
            } => {
                let path = on.place(dir, name);
                match tree.0.get(&path).map(|node| node.kind) {
                    Some(Kind::Directory | Kind::Symlink) => vec![Step::Stat { path }],
                    Some(Kind::File) | None => on.alone(Step::Put {
                        path,
                        data: data(length, seed),
                    }),
                }
            }
            Self::Delete { file } => match file.of(&tree.files()) {
                Some(path) => on.alone(Step::Delete {
                    path: (*path).to_owned(),
                }),
                None => vec![Step::Ls {
                    path: "/".to_owned(),
                }],
            },
            Self::Remount => on.alone(Step::Remount),
            _ if open.is_empty() && self.wants_open() => vec![on.open_something(self)],
            _ => vec![self.step(&on)],
        }
    }

    /// Whether it is about an open file.
    const fn wants_open(self) -> bool {
        matches!(
            self,
            Self::Pread { .. }
                | Self::Pwrite { .. }
                | Self::Resize { .. }
                | Self::Sync { .. }
                | Self::Close { .. }
        )
    }

    fn step(self, on: &On<'_>) -> Step {
        match self {
            Self::Mkdir { dir, name, mode } => Step::Mkdir {
                path: on.place(dir, name),
                mode: number(mode, &MODES),
            },
            Self::Rmdir { dir } => Step::Rmdir {
                path: on.folder_below_root(dir),
            },
            Self::Touch { dir, name, mode } => Step::Touch {
                path: on.place(dir, name),
                mode: number(mode, &MODES),
            },
            Self::Write {
                dir,
                name,
                length,
                seed,
            } => Step::Write {
                path: on.place(dir, name),
                data: data(length, seed),
            },
            Self::Patch {
                file,
                offset,
                length,
                seed,
            } => Step::Patch {
                path: on.file(file),
                offset: number(offset, &SIZES),
                data: data(length, seed),
            },
            Self::Append { file, length, seed } => Step::Append {
                path: on.file(file),
                data: data(length, seed),
            },
            Self::Truncate { file, length } => Step::Truncate {
                path: on.file(file),
                size: number(length, &SIZES),
            },
            Self::Chmod { entry, mode } => Step::Chmod {
                path: on.entry(entry),
                mode: number(mode, &MODES),
            },
            Self::Rm { entry } => Step::Rm {
                path: on.entry(entry),
            },
            Self::Mv { entry, dir, name } => Step::Mv {
                from: on.entry(entry),
                to: on.place(dir, name),
            },
            Self::MvOnto { entry, onto } => Step::Mv {
                from: on.entry(entry),
                to: on.entry(onto),
            },
            Self::MvNew { entry, dir, name } => Step::MvNew {
                from: on.entry(entry),
                to: on.place(dir, name),
            },
            Self::Ln { dir, name, to } => Step::Ln {
                target: NAMES[usize::from(to.0) % NAMES.len()].to_owned(),
                path: on.place(dir, name),
            },
            _ => self.step_on_attributes_or_open(on),
        }
    }

    fn step_on_attributes_or_open(self, on: &On<'_>) -> Step {
        match self {
            Self::Setxattr {
                entry,
                name,
                length,
                seed,
            } => Step::Setxattr {
                path: on.entry(entry),
                name: text(name, &XATTRS),
                // Metadata of objects are small.
                data: data(Pick(length.0 % 4), seed),
            },
            Self::Rmxattr { entry, name } => on.xattr(entry, name),
            Self::Open { slot, file, how } => Step::Open {
                slot: number(slot, &SLOTS),
                path: on.file(file),
                how: pick_how(how),
            },
            Self::Create {
                slot,
                dir,
                name,
                how,
            } => Step::Create {
                slot: number(slot, &SLOTS),
                path: on.place(dir, name),
                how: pick_how(how),
            },
            Self::Pread {
                slot,
                offset,
                length,
            } => Step::Pread {
                slot: on.slot(slot),
                offset: number(offset, &SIZES),
                size: number(length, &SIZES),
            },
            Self::Pwrite {
                slot,
                offset,
                length,
                seed,
            } => Step::Pwrite {
                slot: on.slot(slot),
                offset: number(offset, &SIZES),
                data: data(length, seed),
            },
            Self::Resize { slot, length } => Step::Resize {
                slot: on.slot(slot),
                size: number(length, &SIZES),
            },
            Self::Sync { slot } => Step::Sync {
                slot: on.slot(slot),
            },
            Self::Close { slot } => Step::Close {
                slot: on.slot(slot),
            },
            Self::Stat { dir, name } => Step::Stat {
                path: on.place(dir, name),
            },
            Self::Forget => Step::Forget,
            Self::Wait { millis } => Step::Wait {
                millis: number(millis, &WAITS_MS),
            },
            _ => Step::Settle,
        }
    }
}

/// What there is to do something on.
struct On<'a> {
    tree: &'a Tree,
    open: &'a [u8],
}

impl On<'_> {
    fn place(&self, dir: Pick, name: Pick) -> String {
        let folders = self.tree.folders();
        format!("{}/{}", dir.of(&folders).unwrap_or(&""), text(name, &NAMES))
    }

    fn entry(&self, entry: Pick) -> String {
        existing(entry, &self.tree.entries())
    }

    fn file(&self, file: Pick) -> String {
        existing(file, &self.tree.files())
    }

    fn folder_below_root(&self, dir: Pick) -> String {
        existing(dir, &self.tree.folders()[1..])
    }

    /// Takes away an attribute that is there, if there is any.
    fn xattr(&self, entry: Pick, name: Pick) -> Step {
        let all: Vec<_> = self
            .tree
            .0
            .iter()
            .filter(|(_, node)| !node.xattrs.is_empty())
            .collect();
        match entry.of(&all) {
            Some((path, node)) => {
                let names: Vec<_> = node.xattrs.keys().map(|name| &**name).collect();
                Step::Rmxattr {
                    path: (*path).clone(),
                    name: text(name, &names),
                }
            }
            None => Step::Rmxattr {
                path: self.entry(entry),
                name: text(name, &XATTRS),
            },
        }
    }

    /// Nothing is open yet: something is opened instead, by the numbers of `op`.
    fn open_something(&self, op: Op) -> Step {
        let (slot, name) = match op {
            Op::Pread { slot, offset, .. } | Op::Pwrite { slot, offset, .. } => (slot, offset),
            Op::Resize { slot, length } => (slot, length),
            Op::Sync { slot } | Op::Close { slot } => (slot, slot),
            _ => (Pick(0), Pick(0)),
        };
        let path = match name.of(&self.tree.files()) {
            Some(path) => (*path).to_owned(),
            None => self.place(slot, name),
        };
        Step::Create {
            slot: number(slot, &SLOTS),
            path,
            how: How::ReadWrite,
        }
    }

    fn slot(&self, slot: Pick) -> u8 {
        slot.of(self.open).copied().unwrap_or(SLOTS[0])
    }

    /// `step` with nothing open and nothing on its way to the bucket.
    fn alone(&self, step: Step) -> Vec<Step> {
        let close = self.open.iter().map(|slot| Step::Close { slot: *slot });
        close.chain([Step::Settle, step]).collect()
    }
}

/// One of `paths`, or one that does not exist.
fn existing(pick: Pick, paths: &[&str]) -> String {
    pick.of(paths).map_or("/missing", |path| path).to_owned()
}

fn number<T: Copy + Default>(pick: Pick, choices: &[T]) -> T {
    pick.of(choices).copied().unwrap_or_default()
}

fn text(pick: Pick, choices: &[&str]) -> String {
    pick.of(choices).copied().unwrap_or_default().to_owned()
}

fn pick_how(pick: Pick) -> How {
    pick.of(&HOWS).copied().unwrap_or(How::Read)
}

fn data(length: Pick, seed: u8) -> Data {
    let length = u32::try_from(number(length, &SIZES)).unwrap_or(u32::MAX);
    Data::Pattern { length, seed }
}
