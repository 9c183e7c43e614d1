//! Random operations on the table and on the model, every answer and the whole state compared after
//! each; questions are held for a while and answered in any order.
//!
//! Beside the model, four laws are checked in their own words: an answer asked before a local change
//! of a name leaves that name as it is; no answer removes what is local; a number is given once; a
//! scan meets each name that exists throughout exactly once.

mod compare;
mod world;

use cloudmount_inode::{Answer, Expect, Locality};
use cloudmount_vfs::{NodeKind, RenameMode};
use proptest::prelude::*;

use world::World;

/// Chooses one of what there is, when the operation is run.
type Pick = u8;

/// A directory and a name in it.
type At = (Pick, Pick);

/// How long an answer is believed, in seconds: that a name is there, that one is not, that these are all.
type Ttl = [u64; 3];

#[derive(Clone, Debug)]
enum Op {
    Lookup(At),
    /// Answers a held question about a name.
    Answer(Pick, Answer, Ttl),
    BeginListing(Pick),
    Page(Pick, Vec<(Pick, NodeKind)>, Ttl),
    ApplyListing(Pick, Vec<(Pick, NodeKind)>, Ttl),
    FinishListing(Pick, Ttl),
    MarkListed(Pick, Ttl),
    ExpireListing(Pick),
    Expire(At),
    Validate(Pick, Ttl),
    Create(At, NodeKind),
    Remove(At, Expect),
    Confirm(At),
    Cancel(At),
    Rename(At, At, RenameMode),
    SetLocal(Pick, Locality),
    Remember(Pick),
    Forget(Pick, u64),
    Pin(Pick),
    Unpin(Pick),
    Reclaim(usize, usize),
    Scan(Pick, usize),
    Wait(u64),
}

fn kind() -> impl Strategy<Value = NodeKind> {
    prop_oneof![
        3 => Just(NodeKind::File),
        3 => Just(NodeKind::Directory),
        1 => Just(NodeKind::Symlink),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![2 => Just(Answer::Absent), 5 => kind().prop_map(Answer::Present)]
}

fn entries() -> impl Strategy<Value = Vec<(Pick, NodeKind)>> {
    prop::collection::vec((any::<Pick>(), kind()), 0..5)
}

fn ttl() -> impl Strategy<Value = Ttl> {
    let one = || prop_oneof![1 => Just(0), 3 => 1_u64..8, 1 => Just(1000)];
    [one(), one(), one()]
}

fn op() -> impl Strategy<Value = Op> {
    let at = || any::<At>();
    let pick = || any::<Pick>();
    let mode = prop_oneof![
        4 => Just(RenameMode::Replace),
        1 => Just(RenameMode::NoReplace),
        1 => Just(RenameMode::Exchange),
    ];
    let expect = prop_oneof![3 => Just(Expect::NotDirectory), 2 => Just(Expect::Directory)];
    let locality = prop_oneof![1 => Just(Locality::Local), 4 => Just(Locality::Remote)];
    let asking = prop_oneof![
        8 => at().prop_map(Op::Lookup),
        8 => (pick(), answer(), ttl()).prop_map(|(p, a, t)| Op::Answer(p, a, t)),
        4 => pick().prop_map(Op::BeginListing),
        2 => (pick(), entries(), ttl()).prop_map(|(p, e, t)| Op::Page(p, e, t)),
        3 => (pick(), entries(), ttl()).prop_map(|(p, e, t)| Op::ApplyListing(p, e, t)),
        1 => (pick(), ttl()).prop_map(|(p, t)| Op::FinishListing(p, t)),
        1 => (pick(), ttl()).prop_map(|(p, t)| Op::MarkListed(p, t)),
        1 => pick().prop_map(Op::ExpireListing),
        1 => at().prop_map(Op::Expire),
        1 => (pick(), ttl()).prop_map(|(p, t)| Op::Validate(p, t)),
    ];
    let changing = prop_oneof![
        5 => (at(), kind()).prop_map(|(a, k)| Op::Create(a, k)),
        4 => (at(), expect).prop_map(|(a, e)| Op::Remove(a, e)),
        3 => at().prop_map(Op::Confirm),
        1 => at().prop_map(Op::Cancel),
        5 => (at(), at(), mode).prop_map(|(a, b, m)| Op::Rename(a, b, m)),
        5 => (pick(), locality).prop_map(|(p, l)| Op::SetLocal(p, l)),
    ];
    let holding = prop_oneof![
        2 => pick().prop_map(Op::Remember),
        3 => (pick(), 0_u64..3).prop_map(|(p, n)| Op::Forget(p, n)),
        1 => pick().prop_map(Op::Pin),
        1 => pick().prop_map(Op::Unpin),
        2 => (0_usize..3, 0_usize..5).prop_map(|(k, m)| Op::Reclaim(k, m)),
        3 => (pick(), 1_usize..3).prop_map(|(p, m)| Op::Scan(p, m)),
        3 => (0_u64..6).prop_map(Op::Wait),
        1 => Just(Op::Wait(15)),
    ];
    prop_oneof![6 => asking, 5 => changing, 3 => holding]
}

proptest! {
    // A failure prints the operations: they become a named test of the rule, not a file of seeds.
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn behaves_as_the_model(
        cooldown in prop_oneof![2 => Just(0_u64), 1 => Just(4)],
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let mut world = World::new(cooldown);
        for op in &ops {
            world.run(op);
        }
    }
}
