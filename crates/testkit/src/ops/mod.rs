//! Random operations on two filesystems at once: a reference and a subject.
//!
//! An [`Op`] holds small numbers, and takes them modulo what there is: directories, names, open
//! files. So every row of operations makes sense on every tree, shrinking keeps it so, and most
//! operations meet something. After each, the results and the whole trees are compared: names,
//! kinds, sizes, contents, modes, symlink targets, extended attributes.
//!
//! A difference is a [`Divergence`]: its text ends in the steps so far, which can be pasted into a
//! test of [`transcript`](crate::transcript) as they are.
//!
//! ```
//! use cloudmount_testkit::model::ModelWorld;
//! use cloudmount_testkit::ops::{Op, Pick, check};
//!
//! let reference = || async { ModelWorld::default() };
//! let subject = || async { ModelWorld::default() };
//! let (here, name) = (Pick(0), Pick(1));
//! check(reference, subject, &[Op::Mkdir { dir: here, name, mode: Pick(2) }]).unwrap();
//! ```
//!
//! With proptest: `proptest!(|(ops in ops(40, Include::Remote))| check(a, b, &ops).unwrap())`.

mod run;
mod step;
mod strategy;
mod tree;

pub use run::{Divergence, check, check_steps, compare};
pub use strategy::{Include, ops};
pub use tree::{Node, Tree};

/// A number that is taken modulo however many there are to pick from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Pick(pub u8);

impl Pick {
    /// One of `choices`; `None` if there is none.
    #[must_use]
    pub fn of<T>(self, choices: &[T]) -> Option<&T> {
        choices.get(usize::from(self.0).checked_rem(choices.len())?)
    }
}

/// One operation, before it is known what there is to do it on.
///
/// `dir` picks a directory, `name` a name of a small alphabet in it, `entry` anything that exists,
/// `file` a file that exists, `slot` one of a few open files, `offset` and `length` one of a few
/// numbers around the edges of blocks, `seed` the bytes, `mode` one of a few modes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(
    missing_docs,
    reason = "each is the step of its name; the type says what the fields are"
)]
pub enum Op {
    Mkdir {
        dir: Pick,
        name: Pick,
        mode: Pick,
    },
    Rmdir {
        dir: Pick,
    },
    Touch {
        dir: Pick,
        name: Pick,
        mode: Pick,
    },
    Write {
        dir: Pick,
        name: Pick,
        length: Pick,
        seed: u8,
    },
    Patch {
        file: Pick,
        offset: Pick,
        length: Pick,
        seed: u8,
    },
    Append {
        file: Pick,
        length: Pick,
        seed: u8,
    },
    Truncate {
        file: Pick,
        length: Pick,
    },
    Chmod {
        entry: Pick,
        mode: Pick,
    },
    Rm {
        entry: Pick,
    },
    Mv {
        entry: Pick,
        dir: Pick,
        name: Pick,
    },
    MvOnto {
        entry: Pick,
        onto: Pick,
    },
    MvNew {
        entry: Pick,
        dir: Pick,
        name: Pick,
    },
    Ln {
        dir: Pick,
        name: Pick,
        to: Pick,
    },
    Setxattr {
        entry: Pick,
        name: Pick,
        length: Pick,
        seed: u8,
    },
    Rmxattr {
        entry: Pick,
        name: Pick,
    },
    Open {
        slot: Pick,
        file: Pick,
        how: Pick,
    },
    Create {
        slot: Pick,
        dir: Pick,
        name: Pick,
        how: Pick,
    },
    Pread {
        slot: Pick,
        offset: Pick,
        length: Pick,
    },
    Pwrite {
        slot: Pick,
        offset: Pick,
        length: Pick,
        seed: u8,
    },
    Resize {
        slot: Pick,
        length: Pick,
    },
    Sync {
        slot: Pick,
    },
    Close {
        slot: Pick,
    },
    /// Looks for a name, there or not.
    Stat {
        dir: Pick,
        name: Pick,
    },
    Settle,
    Forget,
    Wait {
        millis: Pick,
    },
    /// Someone puts an object over a file or beside others. Closes what is open first and settles:
    /// who wins such a race is not the same everywhere.
    Put {
        dir: Pick,
        name: Pick,
        length: Pick,
        seed: u8,
    },
    /// Someone removes the object of a file; likewise.
    Delete {
        file: Pick,
    },
    /// Unmounts and mounts again.
    Remount,
}
