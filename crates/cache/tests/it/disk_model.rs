//! The tier on disk against what it must be: random reads, restarts, evictions and damage give the
//! object's bytes, and the cache itself never takes more than the limit.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cloudmount_cache::disk::{DiskStats, check_folder, clear_folder};
use proptest::prelude::*;
use rustix::fs::{SeekFrom, seek};

use crate::disk::{Bed, SMALL, disk_bytes, files, version};
use crate::source::MIB;

/// The smallest limit that there is, so that much is evicted.
const LIMIT: u64 = 4 * MIB;

/// Bytes that others have written into holes of the files, which the cache may not know of yet: its
/// limit is for what it takes itself, until it counts the files anew.
#[derive(Debug, Default)]
struct Added {
    bytes: u64,
    /// The next block that is kept comes after a count.
    is_count_due: bool,
}

impl Added {
    /// After blocks were read: what the cache had kept and evicted, before and since.
    fn after_read(&mut self, before: &DiskStats, since: &DiskStats) {
        let is_kept = since.kept_bytes > before.kept_bytes;
        if (self.is_count_due && is_kept) || since.evicted_bytes > before.evicted_bytes {
            self.bytes = 0;
        }
        // If it was not counted now, for a block to be kept, then perhaps for one that was damaged.
        self.is_count_due = false;
    }
}

/// Something done to a file of the folder, chosen by number.
#[derive(Clone, Debug)]
pub(crate) enum Harm {
    Flip {
        at: u64,
        bit: u8,
    },
    Zero {
        at: u64,
        len: u64,
    },
    Cut {
        to: u64,
    },
    Grow {
        by: u64,
    },
    Remove,
    /// It takes the place of another one.
    Swap {
        with: usize,
    },
    /// A piece of it is where another one was.
    Move {
        from: u64,
        to: u64,
    },
}

#[derive(Clone, Debug)]
enum Step {
    Read { object: u64, at: u64, len: u64 },
    Pass(u64),
    Restart,
    Harm(usize, Harm),
    LoseLedger,
    Check,
    Clear,
}

/// Places are parts of a file in 65,536ths, so that they lie in it however long it is.
fn place(part: u64, len: u64) -> u64 {
    (len * part) >> 16
}

pub(crate) fn harm(file: &Path, all: &[PathBuf], harm: &Harm) {
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .open(file)
        .unwrap();
    let len = open.metadata().unwrap().len();
    match *harm {
        Harm::Flip { at, bit } if len > 0 => {
            let mut byte = [0];
            open.read_exact_at(&mut byte, place(at, len)).unwrap();
            open.write_all_at(&[byte[0] ^ (1 << bit)], place(at, len))
                .unwrap();
        }
        Harm::Zero { at, len: part } => {
            let at = place(at, len);
            let zeros = vec![0; usize::try_from(place(part, len - at)).unwrap()];
            open.write_all_at(&zeros, at).unwrap();
        }
        Harm::Cut { to } => open.set_len(place(to, len)).unwrap(),
        Harm::Grow { by } => open.set_len(len + by).unwrap(),
        Harm::Remove => std::fs::remove_file(file).unwrap(),
        Harm::Swap { with } => {
            let other = &all[with % all.len()];
            let draft = file.with_extension("draft");
            std::fs::rename(file, &draft).unwrap();
            if other != file {
                std::fs::rename(other, file).unwrap();
            }
            std::fs::rename(&draft, other).unwrap();
        }
        Harm::Move { from, to } => {
            let mut piece = vec![0; 20.min(usize::try_from(len).unwrap())];
            let most = len - piece.len() as u64;
            open.read_exact_at(&mut piece, place(from, most)).unwrap();
            open.write_all_at(&piece, place(to, most)).unwrap();
        }
        Harm::Flip { .. } => {}
    }
}

pub(crate) fn any_harm() -> impl Strategy<Value = Harm> {
    let part = || 0_u64..1 << 16;
    prop_oneof![
        4 => (part(), 0_u8..8).prop_map(|(at, bit)| Harm::Flip { at, bit }),
        1 => (part(), part()).prop_map(|(at, len)| Harm::Zero { at, len }),
        2 => part().prop_map(|to| Harm::Cut { to }),
        1 => (1_u64..100_000).prop_map(|by| Harm::Grow { by }),
        1 => Just(Harm::Remove),
        1 => any::<usize>().prop_map(|with| Harm::Swap { with }),
        1 => (part(), part()).prop_map(|(from, to)| Harm::Move { from, to }),
    ]
}

/// Together they are twice the limit.
const SIZES: [u64; 7] = [
    1,
    4096,
    SMALL,
    5 * SMALL + 77,
    MIB,
    3 * MIB + 1,
    4 * MIB + 5000,
];

fn size(object: u64) -> u64 {
    SIZES[usize::try_from(object).unwrap()]
}

fn step() -> impl Strategy<Value = Step> {
    let read = (0..SIZES.len() as u64, 0_u64..1 << 16, 0_u64..1 << 16);
    prop_oneof![
        12 => read.prop_map(|(object, at, len)| Step::Read { object, at, len }),
        2 => (0_u64..100).prop_map(Step::Pass),
        1 => Just(Step::Restart),
        4 => (any::<usize>(), any_harm()).prop_map(|(file, harm)| Step::Harm(file, harm)),
        1 => Just(Step::LoseLedger),
        1 => Just(Step::Check),
        1 => Just(Step::Clear),
    ]
}

/// Bytes of the pages below `folder` that are no holes. What [`disk_bytes`] reads is too little for a
/// moment while ext4 writes back.
fn pages(folder: &Path) -> u64 {
    let mut sum = 0;
    for file in files(folder) {
        let file = std::fs::File::open(file).unwrap();
        let mut at = 0;
        while let Ok(start) = seek(&file, SeekFrom::Data(at)) {
            let end = seek(&file, SeekFrom::Hole(start)).unwrap();
            at = end.next_multiple_of(4096);
            sum += at - start;
        }
    }
    sum
}

/// Takes the steps, and gives how much of what others added is not counted at the end.
async fn run(steps: Vec<Step>) -> u64 {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(dir.path(), LIMIT);
    let mut added = Added::default();
    for step in steps {
        match step {
            Step::Read { object, at, len } => {
                let object = version(object, size(object));
                let at = place(at, object.size);
                let len = place(len, object.size - at).max(1);
                let before = bed.disk.stats();
                bed.right(&object, at..at + len).await;
                added.after_read(&before, &bed.disk.stats());
            }
            Step::Pass(seconds) => bed.hands.pass(seconds),
            Step::Restart => {
                bed = bed.restart().await;
                added.is_count_due = true;
            }
            Step::Harm(file, how) => {
                let all = files(dir.path());
                if !all.is_empty() {
                    let before = pages(dir.path());
                    harm(&all[file % all.len()], &all, &how);
                    added.bytes += pages(dir.path()).saturating_sub(before);
                }
            }
            Step::LoseLedger => {
                std::fs::remove_file(dir.path().join("ledger")).ok();
                added.is_count_due = true;
            }
            Step::Check => {
                if check_folder(dir.path()).is_ok() {
                    let again = check_folder(dir.path()).unwrap();
                    assert_eq!((again.damaged, again.useless), (0, 0), "it was dropped");
                }
                // It may have noted a count, so that the ledger is there again.
                added.is_count_due = false;
            }
            Step::Clear => {
                if clear_folder(dir.path()).is_ok() {
                    added = Added::default();
                }
            }
        }
        let used = disk_bytes(dir.path());
        assert!(used <= LIMIT + added.bytes, "{used}, {added:?}");
    }
    assert_eq!(bed.disk.stats().off, None);
    added.bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_happens_to_the_folder_reads_are_right(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .build()
            .unwrap()
            .block_on(run(steps));
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_a_shorter_one_is_cut_and_takes_no_more_room() {
    let read = |object, at, len| Step::Read { object, at, len };
    // The data of the largest object becomes that of the smallest. The restart's count cuts it off, so
    // that there are no holes in which the zeros could take room.
    let added = run(vec![
        read(0, 4, 0),
        read(5, 0, 23_552),
        Step::Harm(0, Harm::Swap { with: 2 }),
        Step::Restart,
        read(5, 16_479, 42_047),
        read(4, 20_497, 12_297),
        Step::Harm(
            4,
            Harm::Zero {
                at: 34_091,
                len: 59_715,
            },
        ),
        read(5, 59_250, 15_961),
        Step::LoseLedger,
    ])
    .await;
    assert_eq!(added, 0);
}
