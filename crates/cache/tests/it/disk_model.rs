//! The tier on disk against what it must be: random reads, restarts, evictions and damage give the
//! object's bytes, below the limit.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use cloudmount_cache::disk::{check_folder, clear_folder};
use proptest::prelude::*;

use crate::disk::{Bed, SMALL, disk_bytes, files, version};
use crate::source::MIB;

/// The smallest limit that there is, so that much is evicted.
const LIMIT: u64 = 4 * MIB;

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

fn size(object: u64) -> u64 {
    [1, 4096, SMALL, 5 * SMALL + 77, MIB, 3 * MIB + 1][usize::try_from(object).unwrap()]
}

fn step() -> impl Strategy<Value = Step> {
    let read = (0_u64..6, 0_u64..1 << 16, 0_u64..1 << 16);
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

async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(dir.path(), LIMIT);
    for step in steps {
        match step {
            Step::Read { object, at, len } => {
                let object = version(object, size(object));
                let at = place(at, object.size);
                let len = place(len, object.size - at).max(1);
                bed.right(&object, at..at + len).await;
                // What a person makes of the files may be too much until the next block is kept.
            }
            Step::Pass(seconds) => bed.hands.pass(seconds),
            Step::Restart => bed = bed.restart().await,
            Step::Harm(file, how) => {
                let all = files(dir.path());
                if !all.is_empty() {
                    harm(&all[file % all.len()], &all, &how);
                }
            }
            Step::LoseLedger => {
                std::fs::remove_file(dir.path().join("ledger")).ok();
            }
            Step::Check => {
                if check_folder(dir.path()).is_ok() {
                    let again = check_folder(dir.path()).unwrap();
                    assert_eq!((again.damaged, again.useless), (0, 0), "it was dropped");
                }
            }
            Step::Clear => {
                clear_folder(dir.path()).ok();
            }
        }
        let used = disk_bytes(dir.path());
        assert!(used <= LIMIT, "{used}");
    }
    assert_eq!(bed.disk.stats().off, None);
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
