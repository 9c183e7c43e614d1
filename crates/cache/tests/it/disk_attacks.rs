//! The folder of the cache attacked: no wrong byte is ever given, and nothing fails.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use cloudmount_cache::disk::{DiskCache, OFF_FOR, check_folder};
use cloudmount_cache::{BlockCache, BlockSource, CacheSettings};
use cloudmount_vfs::Clock;
use tokio::runtime::Handle;

use crate::disk::{Bed, Hands, SMALL, disk_bytes, files, settings, version};
use crate::source::{FakeSource, MIB, content, span};

/// Six whole blocks, and a short one.
const SIZE: u64 = 6 * SMALL + 1000;

async fn filled(folder: &Path) -> Bed {
    let bed = Bed::new(folder, 64 * MIB);
    let object = version(1, SIZE);
    bed.right(&object, 0..SIZE).await;
    assert_eq!(bed.right(&object, 0..SIZE).await, []);
    bed
}

/// A file of the folder by what its name ends with, and its length.
fn file(folder: &Path, end: &str) -> (std::fs::File, u64) {
    let path = files(folder)
        .into_iter()
        .find(|path| path.to_string_lossy().ends_with(end));
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.unwrap())
        .unwrap();
    let len = file.metadata().unwrap().len();
    (file, len)
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_found_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = filled(dir.path()).await;
    let object = version(1, SIZE);
    let (_, map) = file(dir.path(), ".map");
    let (_, data) = file(dir.path(), ".data");
    // Each region: every byte of the map, and of each block the first, a middle and the last one.
    let in_map = (0..map).map(|at| (".map", at));
    let edges = (0..7).flat_map(|block| [0, 5000, SMALL - 1].map(|at| block * SMALL + at));
    let in_data = edges.map(|at| (".data", at.min(data - 1)));
    for (turn, (end, at)) in in_map.chain(in_data).enumerate() {
        let (file, _) = file(dir.path(), end);
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << (turn % 8))], at)
            .unwrap();
        if turn % 2 == 0 {
            bed = bed.restart().await;
        }
        let before = bed.disk.stats().damaged;
        let asked = bed.right(&object, 0..SIZE).await;
        if end == ".data" {
            let block = at / SMALL * SMALL;
            assert_eq!(
                asked,
                [span(block, (block + SMALL).min(SIZE))],
                "{at}: one block is fetched"
            );
            assert_eq!(bed.disk.stats().damaged, before + 1);
        }
        assert_eq!(
            bed.right(&object, 0..SIZE).await,
            [],
            "{end} {at}: and kept"
        );
    }
}

#[tokio::test]
async fn files_cut_off_or_gone_are_filled_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = filled(dir.path()).await;
    let object = version(1, SIZE);
    let cuts = |len: u64| {
        [
            0,
            1,
            7,
            8,
            100,
            len / 2,
            len - 20,
            len - 1,
            len + 1,
            len + 5000,
        ]
    };
    for end in [".map", ".data"] {
        let (_, len) = file(dir.path(), end);
        for restarts in [false, true] {
            for to in cuts(len) {
                file(dir.path(), end).0.set_len(to).unwrap();
                if restarts {
                    bed = bed.restart().await;
                }
                bed.right(&object, 0..SIZE).await;
                // Where what is open is of no use any more, a restart shows what is kept.
                bed = bed.restart().await;
                bed.right(&object, 0..SIZE).await;
                assert_eq!(bed.right(&object, 0..SIZE).await, [], "{end} cut to {to}");
            }
        }
    }
    for end in [".map", ".data", "ledger"] {
        let mut all = files(dir.path());
        all.push(dir.path().join("ledger"));
        let path = all
            .iter()
            .find(|path| path.to_string_lossy().ends_with(end))
            .unwrap();
        std::fs::remove_file(path).unwrap();
        bed.right(&object, 0..SIZE).await;
        bed = bed.restart().await;
        bed.right(&object, 0..SIZE).await;
        assert_eq!(bed.right(&object, 0..SIZE).await, [], "without {end}");
    }
    std::fs::remove_dir_all(dir.path()).unwrap();
    bed.right(&object, 0..SIZE).await;
    bed = bed.restart().await;
    bed.right(&object, 0..SIZE).await;
    assert_eq!(bed.right(&object, 0..SIZE).await, [], "without the folder");
}

#[tokio::test]
async fn a_replica_in_the_place_of_another_is_not_taken_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    let (one, two) = (version(1, SIZE), version(2, SIZE));
    bed.right(&one, 0..SIZE).await;
    let names = files(dir.path());
    bed.right(&two, 0..SIZE).await;
    let others: Vec<_> = (files(dir.path()).into_iter())
        .filter(|path| !names.contains(path))
        .collect();
    let bed = bed.restart().await;
    for (name, other) in names.iter().zip(&others) {
        std::fs::copy(other, name).unwrap();
    }
    assert_ne!(bed.right(&one, 0..SIZE).await, []);
    // Only the data of the other one, below a map that is right.
    let bed = bed.restart().await;
    let data = |all: &[std::path::PathBuf]| {
        let is_data =
            |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "data");
        all.iter().find(is_data).cloned().unwrap()
    };
    std::fs::copy(data(&others), data(&names)).unwrap();
    let bed = bed.restart().await;
    assert_ne!(bed.right(&one, 0..SIZE).await, []);
    assert_eq!(bed.right(&two, 0..SIZE).await, []);
}

#[tokio::test]
async fn links_lead_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), "precious").unwrap();
    let mut bed = filled(dir.path()).await;
    for path in files(dir.path()) {
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(outside.path(), &path).unwrap();
    }
    bed = bed.restart().await;
    let object = version(1, SIZE);
    bed.right(&object, 0..SIZE).await;
    bed.right(&object, 0..SIZE).await;
    assert_eq!(bed.right(&object, 0..SIZE).await, []);
    assert_eq!(std::fs::read(outside.path()).unwrap(), b"precious");
}

#[tokio::test]
async fn a_check_from_outside_finds_and_drops_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let bed = filled(dir.path()).await;
    let (data, _) = file(dir.path(), ".data");
    for block in [1, 4] {
        data.write_all_at(b"damage", block * SMALL + 77).unwrap();
    }
    let check = check_folder(dir.path()).unwrap();
    assert_eq!(
        (check.objects, check.right, check.damaged, check.useless),
        (1, 5, 2, 0)
    );
    assert_eq!(check_folder(dir.path()).unwrap().damaged, 0);
    let asked = bed.right(&version(1, SIZE), 0..SIZE).await;
    assert_eq!(asked, [span(SMALL, 5 * SMALL)]);
    let (map, _) = file(dir.path(), ".map");
    map.write_all_at(b"?", 9).unwrap();
    assert_eq!(check_folder(dir.path()).unwrap().useless, 1);
    assert_eq!(files(dir.path()).len(), 0);
}

/// Where a child of these tests fills a folder; nothing in a usual run.
const FOLDER: &str = "CLOUDMOUNT_TEST_CACHE";

/// How many objects it reads; without, it goes on until it is killed.
const TURNS: &str = "CLOUDMOUNT_TEST_CACHE_TURNS";

/// Not a test, but what a second process does: fills the folder. Says at the end how it went.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it is told by its parent where to work"
)]
fn child_that_fills() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let turns = std::env::var(TURNS).map_or(u64::MAX, |turns| turns.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let bed = Bed::new(Path::new(&folder), LIMIT);
        for turn in 0..turns {
            let object = version(turn * 7 % OBJECTS, SIZE + MIB);
            let read = bed.read(&object, 0..object.size).await.unwrap();
            assert!(read == content(&object, 0..object.size), "wrong bytes");
            bed.hands.pass(1);
        }
        bed.disk.settle().await;
        let stats = bed.disk.stats();
        let used = disk_bytes(Path::new(&folder));
        println!("kept {} used {used} off {:?}", stats.kept_bytes, stats.off);
    });
}

/// More objects than there is room for.
const OBJECTS: u64 = 20;
const LIMIT: u64 = 8 * MIB;

struct Filler(Child);

impl Filler {
    /// A process that fills the folder.
    fn start(folder: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "disk_attacks::child_that_fills", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Kills it, and says what it complained of.
    fn kill(mut self) -> String {
        self.0.kill().unwrap();
        let mut said = String::new();
        let mut errors = self.0.stderr.take().unwrap();
        std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
        self.0.wait().unwrap();
        said
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_fill_one_folder_and_one_is_killed_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(dir.path(), LIMIT);
    let mut most = 0;
    for round in 0..5_u64 {
        let filler = Filler::start(dir.path());
        for turn in 0..20 {
            let object = version((round + turn * 11) % OBJECTS, SIZE + MIB);
            bed.right(&object, 0..object.size).await;
            bed.hands.pass(1);
            // Between two looks at files, others come and go: the sum may be off by what one batch
            // brings, and no more.
            let used = disk_bytes_now(dir.path());
            most = most.max(used);
        }
        let said = filler.kill();
        assert_eq!(said, "", "the other process");
        bed.disk.settle().await;
        let used = disk_bytes(dir.path());
        assert!(used <= LIMIT, "round {round}: {used}");
        if round % 3 == 2 {
            bed = bed.restart().await;
        }
    }
    assert!(most > LIMIT / 2, "it was never filled: {most}");
    let check = check_folder(dir.path()).unwrap();
    assert!(check.right > 0 && check.damaged <= 8, "{check:?}");
}

/// The bytes in files that come and go.
fn disk_bytes_now(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let folder = folder.join("bucket");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let metas = files.filter_map(|file| file.metadata().ok());
    metas.map(|meta| meta.blocks() * 512).sum()
}

/// What a child says that reads twenty objects after a shell did `before`, in a namespace of its own.
fn run_after(folder: &Path, before: &str) -> String {
    let script = format!("{before} exec \"$0\" --exact disk_attacks::child_that_fills --nocapture");
    let ran = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-ec", &script])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, folder)
        // Fewer seconds than keeping is off after an error.
        .env(TURNS, "20")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}{complaint}");
    let line = said
        .lines()
        .find_map(|line| Some(line.split_once("kept ")?.1));
    line.expect("it says so at the end").to_owned()
}

#[test]
fn what_cannot_be_written_is_read_all_the_same() {
    let may = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "true"])
        .status();
    if !may.is_ok_and(|status| status.success()) {
        println!("SKIPPED: it needs a mount namespace, and may not have one here");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    std::fs::create_dir(&folder).unwrap();
    let disk = |options: &str| format!("mount -t tmpfs -o {options} none {};", folder.display());
    // No file of more than 256 KiB, and no signal for trying.
    let said = run_after(&folder, "trap '' XFSZ; ulimit -f 512;");
    assert!(
        said.starts_with("0 used 0 off Some(\"File too large"),
        "{said}"
    );
    // Four files, and the disk is full in the middle of an object's first block.
    let said = run_after(&folder, &disk("size=64m,nr_inodes=7"));
    assert!(said.contains("off Some(\"No space left"), "{said}");
    assert!(!said.starts_with("0 "), "{said}");
    // A disk smaller than the limit: less is kept, a twentieth stays free, and nothing is wrong.
    let said = run_after(&folder, &disk("size=4m"));
    let used = said.split(' ').nth(2).unwrap().parse::<u64>().unwrap();
    assert!(said.ends_with("off None"), "{said}");
    assert!(used > MIB && used <= 4 * MIB - 4 * MIB / 20, "{said}");
    // One that may not be written at all.
    let said = run_after(&folder, &disk("ro,size=4m"));
    assert!(said.contains("off Some(\"Read-only"), "{said}");
}

#[tokio::test]
async fn an_error_turns_keeping_off_for_a_while_and_reading_never() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("cache");
    let bed = filled(&root).await;
    // A folder in the place of the lock: nothing can be written, even by root.
    std::fs::remove_file(root.join("ledger")).unwrap();
    std::fs::create_dir(root.join("ledger")).unwrap();
    let (old, new) = (version(1, SIZE), version(2, SIZE));
    assert_eq!(bed.right(&old, 0..SIZE).await, [], "what is there is read");
    bed.right(&new, 0..SIZE).await;
    let stats = bed.disk.stats();
    assert!(stats.off.is_some());
    assert_ne!(bed.right(&new, 0..SIZE).await, []);
    std::fs::remove_dir(root.join("ledger")).unwrap();
    assert_ne!(bed.right(&new, 0..SIZE).await, [], "it is off still");
    bed.hands.pass(OFF_FOR.as_secs());
    assert_eq!(bed.disk.stats().off, None);
    bed.right(&new, 0..SIZE).await;
    assert_eq!(bed.right(&new, 0..SIZE).await, []);
    assert!(bed.disk.stats().skipped > stats.skipped);
}

#[tokio::test]
async fn below_the_memory_it_gives_what_the_memory_lost() {
    let dir = tempfile::tempdir().unwrap();
    let below = FakeSource::new(40_000).faults([]);
    let clock: Arc<dyn Clock> = Arc::new(Hands::default());
    let object = version(1, 3 * MIB);
    for turn in 0..2 {
        let disk = DiskCache::new(
            settings(dir.path(), 64 * MIB),
            Arc::clone(&clock),
            Handle::current(),
        );
        let source: Arc<dyn BlockSource> = disk.over(Arc::clone(&below) as _);
        let cache = BlockCache::new(source, CacheSettings::default(), Handle::current());
        let reader = cache.reader();
        for at in (0..object.size).step_by(100_000) {
            let read = reader.read(&object, at, 100_000).await.unwrap();
            assert!(read == content(&object, at..(at + 100_000).min(object.size)));
        }
        disk.settle().await;
        let fetched: u64 = below
            .log()
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        assert_eq!(fetched, object.size, "turn {turn}: once for both");
    }
}

#[tokio::test]
async fn few_files_are_open_however_many_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let bed = Bed::new(dir.path(), 64 * MIB);
    for number in 0..400 {
        bed.right(&version(number, 5000), 0..5000).await;
        bed.right(&version(number, 5000), 0..5000).await;
    }
    let root = dir.path().canonicalize().unwrap();
    let ours =
        |fd: &std::path::PathBuf| std::fs::read_link(fd).is_ok_and(|to| to.starts_with(&root));
    let fds: Vec<_> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .map(|fd| fd.path())
        .collect();
    let open: Vec<_> = fds.into_iter().filter(ours).collect();
    assert!(!open.is_empty() && open.len() <= 160, "{}", open.len());
    for fd in open {
        let number = fd.file_name().unwrap().to_str().unwrap();
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap();
        let flags = info
            .lines()
            .find_map(|line| line.strip_prefix("flags:"))
            .unwrap();
        let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
        assert_ne!(flags & 0o2_000_000, 0, "{number} is not closed on exec");
    }
}
