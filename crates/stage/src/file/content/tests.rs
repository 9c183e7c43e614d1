//! Tests of the module `content`.

use cloudmount_store::{Key, Version};
use proptest::prelude::*;

use super::*;

/// A byte, and the world in which it was written: enough to compare contents.
type Bytes = Vec<u8>;

/// The plainest thing that behaves as a staged file: all bytes, and what the bucket has.
#[derive(Clone, Debug, Default)]
struct Model {
    bytes: Bytes,
    bucket: Bytes,
    local: Bytes,
    upload: Option<(u64, Bytes)>,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Range<u64>, u8),
    Resize(u64),
    Fill(Range<u64>),
    Begin,
    Commit,
    /// The store has it, and it is dropped here.
    SendAway(Range<u64>),
    /// What the base has, too, is dropped here.
    ForgetCopies,
}

const SIZE_MAX: u64 = 40;

fn range() -> impl Strategy<Value = Range<u64>> {
    (0..SIZE_MAX, 1..10_u64).prop_map(|(start, len)| start..start + len)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (range(), 1..=255_u8).prop_map(|(range, value)| Step::Write(range, value)),
        3 => (0..SIZE_MAX).prop_map(Step::Resize),
        2 => range().prop_map(Step::Fill),
        2 => Just(Step::Begin),
        2 => Just(Step::Commit),
        3 => range().prop_map(Step::SendAway),
        1 => Just(Step::ForgetCopies),
    ]
}

fn index(at: u64) -> usize {
    usize::try_from(at).unwrap()
}

fn base(bytes: &[u8]) -> Base {
    Base {
        key: Key::new("k").unwrap(),
        version: Version::new("v"),
        size: bytes.len() as u64,
    }
}

impl Model {
    fn apply(&mut self, content: &mut Content, step: Step) {
        match step {
            // What is away is recalled first.
            Step::Write(range, _) if content.away().intersects(&range) => {}
            Step::Resize(size)
                if content
                    .away()
                    .iter()
                    .any(|away| away.start < size && size < away.end) => {}
            Step::Begin if !content.away().is_empty() => {}
            Step::SendAway(range) => {
                if content.may_send_away(content.upload_number(), &range) {
                    self.local[index(range.start)..index(range.end)].fill(0);
                    content.send_away(range);
                }
            }
            Step::ForgetCopies => {
                for copy in content.forget_copies().iter() {
                    self.local[index(copy.start)..index(copy.end)].fill(0);
                }
            }
            Step::Write(range, value) => {
                let end = index(range.end);
                let long = self.bytes.len().max(end);
                self.bytes.resize(long, 0);
                self.local.resize(long, 0);
                for at in range.clone() {
                    self.bytes[index(at)] = value;
                    self.local[index(at)] = value;
                }
                content.wrote(range);
            }
            Step::Resize(size) => {
                self.bytes.resize(index(size), 0);
                self.local.resize(index(size), 0);
                content.resized(size);
            }
            Step::Fill(range) => {
                let missing: Vec<_> = content.missing_in(range).collect();
                for part in missing {
                    for at in part.clone() {
                        self.local[index(at)] = self.bucket[index(at)];
                    }
                    content.filled(part);
                }
            }
            Step::Begin => {
                self.upload = Some((content.begin_upload(), self.bytes.clone()));
            }
            Step::Commit => {
                if let Some((generation, sent)) = self.upload.take() {
                    content.committed_as(generation, base(&sent));
                    self.bucket = sent;
                }
            }
        }
    }

    /// The content as the segments say.
    fn assembled(&self, content: &Content, range: Range<u64>) -> Bytes {
        let mut bytes = Bytes::new();
        for segment in content.segments(range) {
            match segment {
                Segment::Local(r) => bytes.extend(&self.local[index(r.start)..index(r.end)]),
                Segment::Base(r) => bytes.extend(&self.bucket[index(r.start)..index(r.end)]),
                Segment::Zero(r) => bytes.extend(r.map(|_| 0)),
                Segment::Away(r) => {
                    let (_, sent) = self.upload.as_ref().unwrap();
                    bytes.extend(&sent[index(r.start)..index(r.end)]);
                }
            }
        }
        bytes
    }
}

proptest! {
    #[test]
    fn segments_make_up_the_content(
        first in prop::collection::vec(any::<u8>(), 0..30),
        steps in prop::collection::vec(step(), 1..40),
        probe in range(),
    ) {
        let mut content = Content::new(Some(base(&first)));
        let mut model = Model {
            bytes: first.clone(),
            bucket: first.clone(),
            local: vec![0; first.len()],
            upload: None,
        };
        for step in steps {
            model.apply(&mut content, step);
            prop_assert_eq!(content.size(), model.bytes.len() as u64);
            let all = model.assembled(&content, 0..u64::MAX);
            prop_assert_eq!(&all, &model.bytes);
            let size = model.bytes.len() as u64;
            let cut = probe.start.min(size)..probe.end.min(size);
            let part = model.assembled(&content, probe.clone());
            prop_assert_eq!(&part[..], &model.bytes[index(cut.start)..index(cut.end)]);
            for at in 0..size {
                if content.is_base(&(at..at + 1)) {
                    prop_assert_eq!(model.bucket[index(at)], model.bytes[index(at)]);
                }
            }
            if content.is_committed() {
                prop_assert_eq!(&model.bucket, &model.bytes);
            }
            prop_assert!(content.dirty().iter().all(|range| content.present().contains(&range)));
            prop_assert!(content.dirty().iter().all(|range| range.end <= size));
        }
    }
}

#[test]
fn a_rewrite_under_an_upload_is_caught() {
    let mut content = Content::new(None);
    content.wrote(0..100);
    content.begin_upload();
    let number = content.upload_number();
    content.wrote(10..20);
    let caught = content.catch_up(number).unwrap();
    assert_eq!(caught.changed, std::iter::once(10..20).collect());
    let generation = content.generation();
    let caught = content.catch_up(number).unwrap();
    assert!(caught.changed.is_empty());
    assert_eq!(
        (caught.generation, caught.size, caught.kept),
        (generation, 100, 100)
    );
    content.wrote(30..40);
    content.committed_as(generation, base(&[0; 100]));
    assert!(!content.is_committed());
    assert_eq!(*content.dirty(), std::iter::once(30..40).collect());
    assert_eq!(content.catch_up(number), None);
}

#[test]
fn what_was_cut_off_meanwhile_is_told() {
    let mut content = Content::new(None);
    content.wrote(0..100);
    content.begin_upload();
    let number = content.upload_number();
    content.resized(50);
    content.resized(120);
    let caught = content.catch_up(number).unwrap();
    assert_eq!((caught.size, caught.kept), (120, 50));
    content.begin_upload();
    assert_eq!(content.catch_up(number), None, "another upload began");
}

#[test]
fn data_and_holes() {
    let mut content = Content::new(Some(base(&[7; 10])));
    content.resized(4);
    content.resized(20);
    content.wrote(30..40);
    let check = |offset, data, hole| {
        assert_eq!(content.next_data(offset), data, "data from {offset}");
        assert_eq!(content.next_hole(offset), hole, "hole from {offset}");
    };
    check(0, Some(0), Some(4));
    check(3, Some(3), Some(4));
    check(4, Some(30), Some(4));
    check(30, Some(30), Some(40));
    check(39, Some(39), Some(40));
    check(40, None, None);
    let empty_end = Content::new(None);
    assert_eq!(empty_end.next_hole(0), None);
}

#[test]
fn what_the_journal_must_know() {
    let mut content = Content::new(Some(base(&[7; 10])));
    assert!(content.is_news(&(2..5)));
    content.wrote(2..5);
    assert!(!content.is_news(&(2..5)));
    assert!(!content.is_news(&(10..50)));
    assert!(content.is_news(&(4..50)));
    assert!(!Content::new(None).is_news(&(0..9)));
}
