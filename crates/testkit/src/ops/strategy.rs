//! Rows of operations, for proptest.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Op, Pick};

/// Which operations a row may hold. Each includes the ones before.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Include {
    /// Those of one mount.
    Local,
    /// And changes of the bucket behind its back. Both worlds need a bucket.
    Remote,
    /// And mounting again. Both worlds must be able to.
    Remount,
}

/// Up to `count` operations.
pub fn ops(count: usize, include: Include) -> impl Strategy<Value = Vec<Op>> {
    vec(op(include), 1..=count.max(1))
}

fn pick() -> impl Strategy<Value = Pick> {
    any::<u8>().prop_map(Pick)
}

fn op(include: Include) -> BoxedStrategy<Op> {
    let remote = u32::from(include >= Include::Remote);
    let remount = u32::from(include >= Include::Remount);
    // A weight of zero is refused by proptest, so what is left out is replaced.
    let outside = if remote == 1 {
        outside().boxed()
    } else {
        names().boxed()
    };
    let again = if remount == 1 {
        Just(Op::Remount).boxed()
    } else {
        Just(Op::Forget).boxed()
    };
    prop_oneof![
        10 => names(),
        10 => contents(),
        12 => open_files(),
        3 => around(),
        2 => outside,
        1 => again,
    ]
    .boxed()
}

fn names() -> impl Strategy<Value = Op> {
    let (p, q, r) = (pick, pick, pick);
    prop_oneof![
        3 => (p(), q(), r()).prop_map(|(dir, name, mode)| Op::Mkdir { dir, name, mode }),
        1 => p().prop_map(|dir| Op::Rmdir { dir }),
        1 => (p(), q(), r()).prop_map(|(dir, name, mode)| Op::Touch { dir, name, mode }),
        2 => p().prop_map(|entry| Op::Rm { entry }),
        3 => (p(), q(), r()).prop_map(|(entry, dir, name)| Op::Mv { entry, dir, name }),
        3 => (p(), q()).prop_map(|(entry, onto)| Op::MvOnto { entry, onto }),
        1 => (p(), q(), r()).prop_map(|(entry, dir, name)| Op::MvNew { entry, dir, name }),
        1 => (p(), q(), r()).prop_map(|(dir, name, to)| Op::Ln { dir, name, to }),
        1 => (p(), q()).prop_map(|(dir, name)| Op::Stat { dir, name }),
    ]
}

fn contents() -> impl Strategy<Value = Op> {
    let seed = any::<u8>;
    let write = (pick(), pick(), pick(), seed());
    let patch = (pick(), pick(), pick(), seed());
    let set = (pick(), pick(), pick(), seed());
    prop_oneof![
        4 => write.prop_map(|(dir, name, length, seed)| Op::Write { dir, name, length, seed }),
        2 => patch
            .prop_map(|(file, offset, length, seed)| Op::Patch { file, offset, length, seed }),
        1 => (pick(), pick(), seed())
            .prop_map(|(file, length, seed)| Op::Append { file, length, seed }),
        2 => (pick(), pick()).prop_map(|(file, length)| Op::Truncate { file, length }),
        1 => (pick(), pick()).prop_map(|(entry, mode)| Op::Chmod { entry, mode }),
        1 => set
            .prop_map(|(entry, name, length, seed)| Op::Setxattr { entry, name, length, seed }),
        1 => (pick(), pick()).prop_map(|(entry, name)| Op::Rmxattr { entry, name }),
    ]
}

fn open_files() -> impl Strategy<Value = Op> {
    let create = (pick(), pick(), pick(), pick());
    let write = (pick(), pick(), pick(), any::<u8>());
    prop_oneof![
        2 => (pick(), pick(), pick()).prop_map(|(slot, file, how)| Op::Open { slot, file, how }),
        2 => create.prop_map(|(slot, dir, name, how)| Op::Create { slot, dir, name, how }),
        2 => (pick(), pick(), pick())
            .prop_map(|(slot, offset, length)| Op::Pread { slot, offset, length }),
        4 => write
            .prop_map(|(slot, offset, length, seed)| Op::Pwrite { slot, offset, length, seed }),
        1 => (pick(), pick()).prop_map(|(slot, length)| Op::Resize { slot, length }),
        1 => pick().prop_map(|slot| Op::Sync { slot }),
        1 => pick().prop_map(|slot| Op::Close { slot }),
    ]
}

fn around() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => Just(Op::Settle),
        1 => Just(Op::Forget),
        2 => pick().prop_map(|millis| Op::Wait { millis }),
    ]
}

fn outside() -> impl Strategy<Value = Op> {
    let put = (pick(), pick(), pick(), any::<u8>());
    prop_oneof![
        2 => put.prop_map(|(dir, name, length, seed)| Op::Put { dir, name, length, seed }),
        1 => pick().prop_map(|file| Op::Delete { file }),
    ]
}
