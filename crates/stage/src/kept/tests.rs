//! Tests of the module `kept`.

use super::*;

fn object(key: &str, version: &str) -> (Key, Version) {
    (Key::new(key).unwrap(), Version::new(version))
}

struct World {
    kept: Kept,
    freed: Arc<Freed>,
    next: u64,
}

impl World {
    fn new(limit: u64) -> Self {
        Self {
            kept: Kept::new(limit),
            freed: Arc::default(),
            next: 1,
        }
    }

    /// Keeps a file of so many bytes; gives its number.
    fn keep(&mut self, key: &str, version: &str, bytes: u64) -> u64 {
        let id = FileId::new(self.next);
        self.next += 1;
        let (key, version) = object(key, version);
        let leaving = Leaving {
            id,
            local: LocalFile::new(id),
            bytes,
            key,
            version,
            size: bytes,
        };
        self.kept.keep(leaving, &self.freed);
        id.get()
    }

    fn has(&self, key: &str, version: &str) -> bool {
        self.kept.get(key, version).is_some()
    }

    /// The numbers of the files that are to be deleted since the last look.
    fn freed(&self) -> Vec<u64> {
        let files = self.freed.take_files();
        files.iter().map(|local| local.file.get()).collect()
    }
}

#[test]
fn a_copy_is_of_one_version() {
    let mut world = World::new(100);
    world.keep("a", "1", 10);
    assert!(world.has("a", "1"));
    assert!(!world.has("a", "2"));
    assert!(!world.has("b", "1"));
    let first = world.next - 1;
    world.keep("a", "2", 10);
    assert!(world.has("a", "2") && !world.has("a", "1"));
    assert_eq!(world.freed(), [first]);
    assert_eq!(world.kept.bytes(), 10);
}

#[test]
fn the_oldest_go_first_beyond_the_limit_and_when_asked_to() {
    let mut world = World::new(100);
    let a = world.keep("a", "1", 40);
    let b = world.keep("b", "1", 40);
    let c = world.keep("c", "1", 40);
    assert_eq!(world.freed(), [a]);
    let large = world.keep("large", "1", 101);
    assert_eq!(world.freed(), [large], "the others stay");
    assert!(world.has("b", "1") && world.has("c", "1"));
    world.kept.give_way(1);
    assert_eq!(world.freed(), [b]);
    world.kept.give_way(u64::MAX);
    assert_eq!((world.freed(), world.kept.bytes()), (vec![c], 0));
    let mut none = World::new(0);
    let empty = none.keep("a", "1", 0);
    assert_eq!(none.freed(), [empty]);
}

#[test]
fn their_number_is_bounded() {
    let mut world = World::new(u64::MAX);
    for n in 0..COPIES_MAX + 3 {
        world.keep(&n.to_string(), "1", 1);
    }
    assert_eq!(world.freed(), [1, 2, 3]);
    assert_eq!(world.kept.bytes(), COPIES_MAX as u64);
}

#[test]
fn who_reads_a_copy_has_it_until_he_lets_go() {
    let mut world = World::new(100);
    let id = world.keep("a", "1", 10);
    let reader = world.kept.get("a", "1").unwrap();
    world.kept.give_way(u64::MAX);
    assert!(!world.has("a", "1"));
    assert!(world.freed().is_empty());
    drop(reader);
    assert_eq!(world.freed(), [id]);
}

#[test]
fn a_copy_follows_its_content_and_no_other() {
    let mut world = World::new(100);
    let id = world.keep("a", "1", 10);
    let stays = world.keep("other", "1", 10);
    let ((a, one), (b, two)) = (object("a", "1"), object("b", "2"));
    world.kept.moved((&a, &two), (&b, &two));
    assert!(world.has("a", "1"), "another version moved");
    world.kept.moved((&a, &one), (&a, &two));
    assert!(world.has("a", "2") && !world.has("a", "1"), "new metadata");
    world.kept.moved((&a, &two), (&b, &one));
    assert!(world.has("b", "1") && !world.has("a", "2"), "a new name");
    assert_eq!((world.freed(), world.kept.bytes()), (vec![], 20));
    world.kept.replaced(&b, Some(&one));
    assert!(world.has("b", "1"), "it is what is there");
    world.kept.replaced(&b, Some(&two));
    assert_eq!(world.freed(), [id]);
    let other = object("other", "1").0;
    world.kept.replaced(&other, None);
    assert_eq!(world.freed(), [stays]);
    assert_eq!(world.kept.bytes(), 0);
    assert!(world.kept.state.lock().order.is_empty());
}

#[test]
fn what_moves_takes_the_place_of_what_was_there() {
    let mut world = World::new(100);
    let a = world.keep("a", "1", 10);
    let b = world.keep("b", "1", 20);
    let ((from, one), (to, two)) = (object("a", "1"), object("b", "2"));
    world.kept.moved((&from, &one), (&to, &two));
    assert_eq!((world.freed(), world.kept.bytes()), (vec![b], 10));
    world.kept.give_way(1);
    assert_eq!(world.freed(), [a]);
}

#[test]
fn a_start_can_tell_what_is_done_until_it_is_deleted() {
    let mut world = World::new(100);
    world.keep("a", "1", 10);
    world.keep("b", "1", 10);
    assert_eq!(world.freed.done(), [(1, 3)]);
    world.kept.give_way(1);
    let files = world.freed.take_files();
    assert_eq!(world.freed.done(), [(1, 3)], "the first is still there");
    assert_eq!(world.freed.bytes(), 10);
    assert_eq!(world.freed.deleted(&files), 10);
    assert_eq!((world.freed.done(), world.freed.bytes()), (vec![(2, 3)], 0));
}

#[test]
fn a_default_limit_leaves_room_for_what_is_staged_and_for_others() {
    const GIB: u64 = 1 << 30;
    assert_eq!(default_limit(40 * GIB, 60 * GIB), 10 * GIB);
    assert_eq!(default_limit(40 * GIB, 2 * GIB), GIB / 2);
}
