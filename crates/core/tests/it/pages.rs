//! Large folders are shown while their pages still come, and rightly, whatever is changed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloudmount_core::{Attributes, Core, CoreSettings, TimesToLive};
use cloudmount_store::layer::{Effect, FaultRule, Operation};
use cloudmount_testkit::kernel::{DirStream, Interrupt, Options, Scan};
use cloudmount_testkit::suite::Mounted;
use cloudmount_testkit::{World as _, transcript};
use cloudmount_vfs::Clock as _;

use crate::world::CoreWorld;

type Here = Mounted<CoreWorld>;

/// Longer than a test takes of the clock's time.
const TTL: Duration = Duration::from_secs(3600);
/// Entries of a page of the store.
const PAGE: usize = 1000;

fn name(number: usize) -> String {
    format!("file{number:05}")
}

/// A folder of so many objects, of which nothing is known, and a kernel that asks for a few entries at a time.
async fn folder(count: usize, options: Options) -> Here {
    let settings = CoreSettings {
        attributes: Attributes::Listing,
        ttl: TimesToLive::all(TTL),
        ..CoreSettings::default()
    };
    let world = CoreWorld::with_settings(settings).seen_by(options);
    let here = Mounted::new(world).await;
    for number in 0..count {
        here.put(&format!("d/{}", name(number)), "x").await;
    }
    here.wait_for_foreign_changes().await;
    drop(here.world().log.take());
    here
}

fn in_pieces(room: usize) -> Options {
    Options {
        scan_room: room,
        ..transcript::quiet()
    }
}

/// The pages of the folder that were asked for.
fn pages(here: &Here) -> usize {
    let lines = here.world().log.take();
    lines
        .iter()
        .filter(|line| line.starts_with("list d/"))
        .count()
}

async fn opened(here: &Here, scan: Scan) -> DirStream<Core> {
    here.kernel().opendir("/d", scan).await.unwrap()
}

/// Reads to the end, and meets none of `seen` again.
async fn read_on(stream: &mut DirStream<Core>, seen: &mut BTreeSet<String>) {
    loop {
        let piece = stream.next().await.unwrap();
        if piece.is_empty() {
            break;
        }
        for entry in piece {
            assert!(seen.insert(entry.name), "none twice");
        }
    }
}

#[tokio::test]
async fn the_first_names_are_shown_before_the_last_page_is_asked_for() {
    for scan in [Scan::Plain, Scan::Plus] {
        let here = folder(6 * PAGE, in_pieces(100)).await;
        let mut stream = opened(&here, scan).await;
        // Two of a hundred are `.` and `..`.
        assert_eq!(stream.next().await.unwrap().len(), 98);
        // The one that is shown, and the one behind it.
        assert!(pages(&here) <= 2);
        let mut seen = BTreeSet::new();
        stream.rewind();
        read_on(&mut stream, &mut seen).await;
        assert_eq!(seen.len(), 6 * PAGE);
        stream.close().await.unwrap();
        here.end().await;
    }
}

#[tokio::test]
async fn who_reads_no_further_has_no_more_pages_asked_for() {
    let here = folder(20 * PAGE, in_pieces(100)).await;
    let mut stream = opened(&here, Scan::Plain).await;
    assert_eq!(stream.next().await.unwrap().len(), 98);
    stream.close().await.unwrap();
    here.world().clock().pass(Duration::from_secs(1)).await;
    assert!(pages(&here) <= 2);
    // Who wants all of them gets them, and the first two not again.
    assert!(here.kernel().rmdir("/d").await.is_err());
    let rest = pages(&here);
    assert!((18..=18 + 9).contains(&rest), "{rest} pages");
    here.end().await;
}

/// After an error a scan goes on where it was.
#[tokio::test]
async fn a_page_that_fails_is_asked_for_again_by_who_reads_on() {
    let here = folder(3 * PAGE, in_pieces(100)).await;
    let mut stream = opened(&here, Scan::Plus).await;
    let fails = Effect::Fail(cloudmount_store::ErrorKind::Forbidden);
    let third = FaultRule::new(fails).on(Operation::List).nth(3);
    here.world().fault.add(third);
    let mut seen = BTreeMap::<String, usize>::new();
    let mut failed = 0;
    loop {
        match stream.next().await {
            Ok(piece) if piece.is_empty() => break,
            Ok(piece) => {
                for entry in piece {
                    *seen.entry(entry.name).or_default() += 1;
                }
            }
            Err(_) => failed += 1,
        }
    }
    assert_eq!((seen.len(), failed), (3 * PAGE, 1));
    assert!(seen.values().all(|times| *times == 1));
    stream.close().await.unwrap();
    here.end().await;
}

/// Numbers that follow no pattern (xorshift64, Marsaglia 2003).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

/// What a folder holds, and what of it was there all the time.
struct Names {
    now: BTreeSet<String>,
    throughout: BTreeSet<String>,
    made: usize,
}

impl Names {
    /// Changes something here, as the dice fall.
    async fn change(&mut self, here: &Here, dice: &mut Dice) {
        let (kernel, world) = (here.kernel(), here.world());
        let path = |name: &str| format!("/d/{name}");
        self.made += 1;
        // In front, between the others, and behind them.
        let front = ["a", "file03", "z"][dice.roll(3)];
        let new = format!("{front}-{}", self.made);
        let at = dice.roll(self.now.len());
        let old = self.now.iter().nth(at).unwrap().clone();
        match dice.roll(4) {
            0 => {
                let place = path(&new);
                let made = kernel.write_file(&place, b"new");
                world.meanwhile(made).await.unwrap();
                self.now.insert(new);
            }
            1 => {
                world
                    .meanwhile(kernel.mkdir(&path(&new), 0o755))
                    .await
                    .unwrap();
                self.now.insert(new);
            }
            2 => {
                // A folder that was made here is removed in another way.
                if world.meanwhile(kernel.unlink(&path(&old))).await.is_err() {
                    return;
                }
                self.now.remove(&old);
                self.throughout.remove(&old);
            }
            _ => {
                let (from, to) = (path(&old), path(&new));
                world.meanwhile(kernel.rename(&from, &to)).await.unwrap();
                self.now.remove(&old);
                self.throughout.remove(&old);
                self.now.insert(new);
            }
        }
    }
}

async fn scanned_while_it_changes(seed: u64) {
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let interrupt = match seed % 2 {
        0 => Interrupt::Never,
        _ => Interrupt::Sometimes { seed },
    };
    let room = 200 + dice.roll(900);
    let options = Options {
        interrupt,
        ..in_pieces(room)
    };
    let count = PAGE + dice.roll(8 * PAGE);
    let here = folder(count, options).await;
    let world = here.world();
    for nth in 1..40 {
        let late = Duration::from_millis(dice.roll(200) as u64);
        let rule = FaultRule::new(Effect::Late(late)).on(Operation::List);
        world.fault.add(rule.nth(nth));
    }
    let all: BTreeSet<_> = (0..count).map(name).collect();
    let mut names = Names {
        now: all.clone(),
        throughout: all,
        made: 0,
    };
    let mut scans = Vec::new();
    for scan in [Scan::Plain, Scan::Plus] {
        let stream = world.meanwhile(here.kernel().opendir("/d", scan)).await;
        scans.push((stream.unwrap(), BTreeSet::new()));
    }
    let mut ended = Vec::new();
    while !scans.is_empty() {
        let at = dice.roll(scans.len());
        let (stream, seen) = &mut scans[at];
        let piece = world.meanwhile(stream.next()).await.unwrap();
        // What is not full is the end; the first has `.` and `..`, too.
        let is_end = piece.len() + 2 < room;
        for entry in piece {
            let shown = &entry.name;
            assert!(names.now.contains(shown), "{shown} is there (seed {seed})");
            assert!(seen.insert(entry.name), "none twice (seed {seed})");
        }
        if is_end {
            ended.push(scans.swap_remove(at));
        }
        for _ in 0..dice.roll(3) {
            names.change(&here, &mut dice).await;
        }
    }
    for (stream, seen) in ended {
        let missed: Vec<_> = names.throughout.difference(&seen).collect();
        assert!(missed.is_empty(), "{missed:?} (seed {seed})");
        world.meanwhile(stream.close()).await.unwrap();
    }
    let left = world.meanwhile(here.kernel().scan("/d", Scan::Plus)).await;
    let left: BTreeSet<_> = left.unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(left, names.now, "seed {seed}");
    world.settle().await;
    here.end().await;
}

#[tokio::test]
async fn scans_while_pages_come_and_names_change_meet_each_name_once() {
    for seed in 1..=8 {
        scanned_while_it_changes(seed).await;
    }
}

/// Of many listings that were left, the oldest are given up with their pages. A scan that goes on has the folder listed again,
/// and meets each name once.
#[tokio::test]
async fn of_many_listings_that_were_left_the_oldest_is_given_up() {
    /// One more than may go on.
    const FOLDERS: usize = 65;
    let settings = CoreSettings {
        attributes: Attributes::Listing,
        list_ahead_after: u32::MAX,
        ttl: TimesToLive::all(TTL),
        ..CoreSettings::default()
    };
    let world = CoreWorld::with_settings(settings).seen_by(in_pieces(100));
    let here = Mounted::new(world).await;
    for folder in 0..FOLDERS {
        for number in 0..=PAGE {
            here.put(&format!("{folder}/{number:04}"), "x").await;
        }
    }
    here.wait_for_foreign_changes().await;
    let mut streams = Vec::new();
    for folder in 0..FOLDERS {
        let mut stream = here
            .kernel()
            .opendir(&format!("/{folder}"), Scan::Plain)
            .await;
        let first = stream.as_mut().unwrap().next().await.unwrap();
        streams.push((stream.unwrap(), first));
    }
    drop(here.world().log.take());
    for (folder, begins_again) in [(1, false), (0, true)] {
        let (stream, first) = &mut streams[folder];
        let mut seen: BTreeSet<_> = first.drain(..).map(|entry| entry.name).collect();
        read_on(stream, &mut seen).await;
        assert_eq!(seen.len(), PAGE + 1);
        let lists = here.world().log.take();
        let prefix = format!("list {folder}/");
        let pages = lists
            .iter()
            .filter(|line| line.starts_with(&prefix))
            .count();
        assert_eq!(pages, if begins_again { 2 } else { 1 }, "{lists:?}");
    }
    for (stream, _) in streams {
        stream.close().await.unwrap();
    }
    here.end().await;
}

/// Names whose memory was reclaimed are asked for side by side, as those that were never seen are.
#[tokio::test]
async fn names_whose_memory_was_reclaimed_are_asked_for_together() {
    const NAMES: usize = PAGE + 100;
    let settings = CoreSettings {
        idle_inodes_max: 10,
        ttl: TimesToLive::all(TTL),
        ..CoreSettings::default()
    };
    let world = CoreWorld::with_settings(settings).seen_by(in_pieces(100));
    let here = Mounted::new(world).await;
    for number in 0..NAMES {
        here.put(&format!("d/{}", name(number)), "x").await;
    }
    here.wait_for_foreign_changes().await;
    let slow = FaultRule::new(Effect::Delay(Duration::from_millis(10))).on(Operation::Head);
    here.world().fault.add(slow);
    let world = here.world();
    let before = world.clock().now();
    let mut stream = world.meanwhile(opened(&here, Scan::Plus)).await;
    let mut count = 0;
    loop {
        let piece = world.meanwhile(stream.next()).await.unwrap();
        if piece.is_empty() {
            break;
        }
        count += piece.len();
    }
    assert_eq!(count, NAMES);
    world.meanwhile(stream.close()).await.unwrap();
    let took = world.clock().now().saturating_since(before);
    let heads = world.log.take();
    let heads = heads.iter().filter(|line| line.starts_with("head d/f"));
    assert_eq!(heads.count(), NAMES);
    assert!(took < Duration::from_secs(4), "{took:?}");
    here.end().await;
}
