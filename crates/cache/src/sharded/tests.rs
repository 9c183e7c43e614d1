//! The table against a plain map, under every strategy and under ones that answer nonsense.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::ObjectRef;
use crate::memory::Target;
use crate::strategy::Eviction;

const BLOCK: u64 = 4096;

/// Any answer at all, from the last thing that it heard.
#[derive(Debug, Default)]
struct Nonsense(u64);

impl EvictionStrategy for Nonsense {
    fn read(&mut self, place: Place) {
        self.0 = self.0.wrapping_mul(31) + u64::from(place.number());
    }

    fn evict(&mut self, arrival: &Arrival) -> Option<Place> {
        self.0 = self.0.wrapping_mul(31) ^ arrival.fingerprint;
        let number = u32::try_from(self.0 >> 20 & 0x1F).unwrap();
        (self.0 & 1 == 0).then_some(Place::new(number))
    }

    fn inserted(&mut self, _: Place, _: &Arrival) {}

    fn removed(&mut self, _: Place) {}
}

/// Holds a strategy against what it was told.
#[derive(Debug)]
struct Checked {
    inner: Box<dyn EvictionStrategy>,
    kept: BTreeSet<Place>,
}

impl EvictionStrategy for Checked {
    fn read(&mut self, place: Place) {
        assert!(self.kept.contains(&place));
        self.inner.read(place);
    }

    fn evict(&mut self, arrival: &Arrival) -> Option<Place> {
        assert!(!self.kept.is_empty(), "nothing is there to give up");
        let place = self.inner.evict(arrival).expect("one is there");
        assert!(self.kept.remove(&place), "gave up what was not there");
        Some(place)
    }

    fn inserted(&mut self, place: Place, arrival: &Arrival) {
        assert!(self.kept.insert(place), "the place was taken");
        self.inner.inserted(place, arrival);
    }

    fn removed(&mut self, place: Place) {
        assert!(self.kept.remove(&place));
        self.inner.removed(place);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Read(u64, u64),
    Insert(u64, u64, usize),
    Remove(u64, u64),
    Retain(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![4 => 0..5000_usize, 1 => Just(4096), 1 => 5000..100_000_usize];
    prop_oneof![
        4 => (0..4_u64, 0..16_u64).prop_map(|(file, index)| Step::Read(file, index)),
        5 => (0..4_u64, 0..16_u64, len).prop_map(|(file, index, len)| Step::Insert(file, index, len)),
        1 => (0..4_u64, 0..16_u64).prop_map(|(file, index)| Step::Remove(file, index)),
        1 => (0..4_u64).prop_map(Step::Retain),
    ]
}

/// Bytes that no other insertion has.
fn content(len: usize, turn: usize) -> Bytes {
    vec![u8::try_from(turn).unwrap(); len].into()
}

fn check(table: &Sharded, steps: &[Step], room: u64) {
    let objects: Vec<_> = (0..4)
        .map(|n| ObjectRef::new(format!("dir/{n}"), "1", 1 << 20))
        .collect();
    let target = |file: u64| Target {
        object: &objects[in_memory(file)],
        hash: file.wrapping_mul(0xD6E8_FEB8_6659_FD93),
    };
    let mut model = BTreeMap::<(u64, u64), Bytes>::new();
    for (step, turn) in steps.iter().zip(0..) {
        match *step {
            Step::Read(file, index) => {
                if let Some(block) = table.get(&BlockAt::new(target(file), index)) {
                    assert_eq!(Some(&block), model.get(&(file, index)), "not what came in");
                }
            }
            Step::Insert(file, index, len) => {
                let block = content(len, turn);
                let key = target(file).key(index);
                let fits = weight(&key, &block) <= room / table.shards.len() as u64;
                table.insert(key, block.clone());
                model.insert((file, index), block);
                let at = BlockAt::new(target(file), index);
                assert_eq!(
                    table.contains(&at),
                    fits,
                    "the last one is there if it fits"
                );
            }
            Step::Remove(file, index) => {
                let at = BlockAt::new(target(file), index);
                table.remove(&at);
                assert!(!table.contains(&at));
                model.remove(&(file, index));
            }
            Step::Retain(file) => {
                table.retain(|key| !key.is_of(target(file)));
                model.retain(|(of, _), _| *of != file);
            }
        }
        let mut bytes = 0;
        let mut blocks = 0;
        for file in 0..4 {
            for index in 0..16 {
                let at = BlockAt::new(target(file), index);
                if table.contains(&at) {
                    let block = &model[&(file, index)];
                    bytes += weight(&target(file).key(index), block);
                    blocks += 1;
                }
            }
        }
        assert_eq!((table.bytes(), table.len()), (bytes, blocks));
        for shard in &table.shards {
            let shard = shard.lock();
            assert!(shard.bytes <= room / table.shards.len() as u64);
        }
    }
}

fn room() -> impl Strategy<Value = u64> {
    prop_oneof![1 => 0..1000_u64, 6 => 4 * BLOCK..200_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_strategy_keeps_the_laws_of_the_table(
        steps in prop::collection::vec(step(), 1..120),
        room in room(),
        shards in prop_oneof![Just(1), Just(4_u64)],
    ) {
        for eviction in Eviction::all().chain([Eviction::Custom(std::sync::Arc::new(|_| Box::<Nonsense>::default()))]) {
            let blocks = (room / BLOCK).max(1);
            let whole = Room { bytes: room, blocks };
            let Some(make) = eviction.maker() else {
                continue;
            };
            let is_custom = matches!(eviction, Eviction::Custom(_));
            let table = Sharded::new(whole, shards, |room| {
                let inner = make(room);
                match is_custom {
                    true => inner,
                    false => Box::new(Checked { inner, kept: BTreeSet::new() }),
                }
            });
            check(&table, &steps, room);
        }
    }
}

#[test]
fn small_rooms_are_not_divided_and_large_ones_not_without_end() {
    assert_eq!(shards(0, BLOCK), 1);
    assert_eq!(shards(127 * BLOCK, BLOCK), 1);
    assert_eq!(shards(300 * BLOCK, BLOCK), 4);
    assert_eq!(shards(1 << 40, BLOCK), 32);
}
