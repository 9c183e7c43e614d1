//! Tests of the module `parts`.

use proptest::prelude::*;

use super::*;

fn tag(number: u16, text: &str) -> PartTag {
    PartTag {
        number,
        tag: text.to_owned(),
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Write { at: u64, length: u64 },
    Cut(u64),
    Take,
    Arrive(proptest::sample::Index),
    Fail(proptest::sample::Index),
    Survey,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_u64..120, 1_u64..30).prop_map(|(at, length)| Step::Write { at, length }),
        1 => (0_u64..120).prop_map(Step::Cut),
        4 => Just(Step::Take),
        4 => any::<proptest::sample::Index>().prop_map(Step::Arrive),
        1 => any::<proptest::sample::Index>().prop_map(Step::Fail),
        4 => Just(Step::Survey),
    ]
}

/// A file whose bytes are the numbers of their last change, and a bucket that has copies of parts.
#[derive(Default)]
struct World {
    bytes: Vec<u32>,
    clock: u32,
    changed: RangeSet,
    kept: u64,
    /// On their way: index, and the bytes that were read.
    sending: Vec<(u16, Vec<u32>)>,
    bucket: BTreeMap<u16, Vec<u32>>,
}

impl World {
    fn write(&mut self, at: u64, length: u64) {
        self.clock += 1;
        let (start, end) = (index(at), index(at + length));
        self.bytes.resize(self.bytes.len().max(end), 0);
        self.bytes[start..end].fill(self.clock);
        self.changed.insert(at..at + length);
    }

    fn cut(&mut self, size: u64) {
        self.bytes.truncate(index(size));
        self.changed.cut(size);
        self.kept = self.kept.min(self.bytes.len() as u64);
    }

    fn survey(&mut self, parts: &mut Parts) {
        let size = self.bytes.len() as u64;
        let changed = std::mem::take(&mut self.changed);
        parts.adapt(size, self.kept.min(size), &changed);
        self.kept = size;
    }
}

proptest! {
    #[test]
    fn what_counts_as_sent_is_what_the_file_has(
        steps in proptest::collection::vec(step(), 1..120),
        grows: bool,
    ) {
        let layout = if grows { Layout::growing(10) } else { Layout::equal(10) };
        let mut world = World::default();
        let mut parts = Parts::new(layout, 0);
        for step in steps {
            match step {
                Step::Write { at, length } => world.write(at, length),
                Step::Cut(size) => world.cut(size),
                Step::Survey => world.survey(&mut parts),
                Step::Take => {
                    world.survey(&mut parts);
                    if let Some((number, range)) = parts.take(|_| true) {
                        let range = index(range.start)..index(range.end);
                        world.sending.push((number, world.bytes[range].to_vec()));
                    }
                }
                Step::Arrive(at) if !world.sending.is_empty() => {
                    let at = at.index(world.sending.len());
                    let (index, bytes) = world.sending.remove(at);
                    world.bucket.insert(index, bytes);
                    parts.arrived(index, tag(index + 1, "t"));
                }
                Step::Fail(at) if !world.sending.is_empty() => {
                    let at = at.index(world.sending.len());
                    parts.failed(world.sending.remove(at).0);
                }
                Step::Arrive(_) | Step::Fail(_) => {}
            }
        }
        // To the end: all that is missing goes, and the whole is the file.
        world.survey(&mut parts);
        for (index, bytes) in std::mem::take(&mut world.sending) {
            world.bucket.insert(index, bytes);
            parts.arrived(index, tag(index + 1, "t"));
        }
        while let Some((number, range)) = parts.take(|_| true) {
            let range = index(range.start)..index(range.end);
            world.bucket.insert(number, world.bytes[range].to_vec());
            parts.arrived(number, tag(number + 1, "t"));
        }
        let tags = parts.tags();
        prop_assert!(tags.is_some());
        let joined: Vec<u32> = (0..u16::try_from(parts.count()).unwrap())
            .flat_map(|index| world.bucket[&index].clone())
            .collect();
        prop_assert_eq!(joined, world.bytes);
        prop_assert_eq!(parts.bytes_sent(), parts.size());
    }
}

#[test]
fn a_growing_file_keeps_its_whole_parts() {
    let mut parts = Parts::new(Layout::equal(10), 25);
    while let Some((index, _)) = parts.take(|range| range.end - range.start == 10) {
        parts.arrived(index, tag(index + 1, "t"));
    }
    assert_eq!(parts.bytes_sent(), 20);
    assert_eq!(parts.next_end(), 30);
    assert_eq!(parts.adapt(41, 25, &std::iter::once(25..41).collect()), 0);
    assert_eq!(parts.take(|_| true).unwrap(), (2, 20..30));
    assert!(!parts.is_mended());
    assert_eq!(parts.adapt(41, 41, &std::iter::once(0..1).collect()), 1);
    assert!(parts.is_mended());
    assert_eq!(parts.take(|_| true).unwrap(), (0, 0..10));
}
