//! Readers: each opens the file again and again, and holds what it gets against what versions are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Result as IoResult;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use super::content::{BLOCK, size, version};
use super::mapping::Mapping;
use crate::dice::Dice;
use crate::time::pause;

/// Bytes of one read of who reads all.
const PIECE: usize = 128 * 1024;
/// Reads through one handle of who reads here and there.
const RANGES: u64 = 12;
/// Most blocks of such a read.
const RANGE_BLOCKS: u64 = 40;
/// Longest rest between two of them, in milliseconds: the object changes meanwhile.
const REST_MS_MAX: u64 = 20;
/// Looks at a mapping.
const LOOKS: u64 = 24;
/// What is wrong is kept up to so many times.
const WRONG_MAX: usize = 20;

/// How a reader reads.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// All of the file, from its beginning.
    Whole,
    /// Ranges at random, through a handle that stays open.
    Ranges,
    /// Pages of a mapping, at random.
    Mapped,
}

/// One reader.
pub(super) struct Reader {
    path: PathBuf,
    way: Way,
    dice: Dice,
    pub(super) seen: Seen,
}

/// What a reader saw.
#[derive(Default)]
pub(super) struct Seen {
    /// Handles through which all was read.
    pub(super) handles: u64,
    /// Reads that told their version.
    pub(super) reads: u64,
    /// Different versions that were seen, at most.
    pub(super) versions: u64,
    /// Errors that are allowed, how often.
    pub(super) refused: BTreeMap<String, u64>,
    /// What must not be.
    pub(super) wrong: Vec<String>,
    newest: u64,
}

/// Why a handle was given up.
enum End {
    /// With an error that is allowed.
    Refused(std::io::Error),
    /// With one that is not, or with bytes that must not be.
    Wrong(String),
}

/// A handle, and what was found through it.
struct Handle {
    file: File,
    /// What `fstat` said.
    size: u64,
    version: Option<u64>,
}

impl Reader {
    pub(super) fn new(number: u64, path: &Path, seed: u64) -> Self {
        Self {
            path: path.to_owned(),
            // Half of them read all: that is what most programs do.
            way: match number % 4 {
                0 | 1 => Way::Whole,
                2 => Way::Ranges,
                _ => Way::Mapped,
            },
            dice: Dice::new(&[seed, number]),
            seen: Seen::default(),
        }
    }

    /// Reads until it is over.
    pub(super) fn work(&mut self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::Relaxed) {
            match self.once() {
                Ok(()) => self.seen.handles += 1,
                Err(End::Refused(error)) => {
                    *self.seen.refused.entry(error.to_string()).or_default() += 1;
                }
                Err(End::Wrong(what)) => {
                    if self.seen.wrong.len() < WRONG_MAX {
                        self.seen.wrong.push(format!("{:?}: {what}", self.way));
                    }
                }
            }
        }
    }

    fn once(&mut self) -> Result<(), End> {
        let file = allowed(File::open(&self.path))?;
        let size = allowed(file.metadata())?.len();
        let mut handle = Handle {
            file,
            size,
            version: None,
        };
        match self.way {
            Way::Whole => self.whole(&mut handle),
            Way::Ranges => self.ranges(&mut handle),
            Way::Mapped => self.mapped(&mut handle),
        }?;
        if let Some(version) = handle.version {
            self.seen.versions += u64::from(version > self.seen.newest);
            // An older one may come back: from a handle that was opened before.
            self.seen.newest = self.seen.newest.max(version);
        }
        Ok(())
    }

    fn whole(&mut self, handle: &mut Handle) -> Result<(), End> {
        let mut all = Vec::new();
        let mut piece = vec![0; PIECE];
        loop {
            let read = allowed(handle.file.read_at(&mut piece, all.len() as u64))?;
            if read == 0 {
                break;
            }
            all.extend_from_slice(&piece[..read]);
        }
        self.take(handle, &all, 0)?;
        // What was open is what is read: all of it, and no more.
        let right = handle.version.map_or(0, size);
        if all.len() as u64 != right {
            let (version, stat) = (handle.version, handle.size);
            let what = format!(
                "{} bytes of version {version:?}, which has {right}; fstat said {stat}",
                all.len()
            );
            return Err(End::Wrong(what));
        }
        Ok(())
    }

    fn ranges(&mut self, handle: &mut Handle) -> Result<(), End> {
        for _ in 0..RANGES {
            let blocks = handle.size.div_ceil(BLOCK as u64);
            let first = self.dice.of(0..=blocks);
            let count = self.dice.of(1..=RANGE_BLOCKS);
            let mut bytes = vec![0; usize::try_from(count).unwrap_or(1) * BLOCK];
            let read = allowed(handle.file.read_at(&mut bytes, first * BLOCK as u64))?;
            self.take(handle, &bytes[..read], first)?;
            if let Some(version) = handle.version {
                let place = first * BLOCK as u64;
                let right = size(version).saturating_sub(place).min(bytes.len() as u64);
                if read as u64 != right {
                    let what = format!(
                        "{read} bytes at {place} of version {version}, which has {right} there"
                    );
                    return Err(End::Wrong(what));
                }
            }
            pause(Duration::from_millis(self.dice.of(0..=REST_MS_MAX)));
        }
        Ok(())
    }

    fn mapped(&mut self, handle: &mut Handle) -> Result<(), End> {
        if handle.size == 0 {
            return Ok(());
        }
        let mapping = allowed(Mapping::of(&handle.file, handle.size))?;
        for _ in 0..LOOKS {
            let last = (handle.size - 1) / BLOCK as u64;
            let block = self.dice.of(0..=last);
            let page = allowed(mapping.page(block * BLOCK as u64))?;
            // The last page of a mapping is filled up with zeros (`mmap(2)`).
            let length = (handle.size - block * BLOCK as u64).min(BLOCK as u64);
            let length = usize::try_from(length).unwrap_or(BLOCK);
            self.take(handle, &page[..length], block)?;
            if self.dice.percent(20) {
                pause(Duration::from_millis(self.dice.of(0..=REST_MS_MAX)));
            }
        }
        Ok(())
    }

    /// Holds what was read against what this handle showed before.
    fn take(&mut self, handle: &mut Handle, bytes: &[u8], first: u64) -> Result<(), End> {
        let found = version(bytes, first).map_err(|error| End::Wrong(format!("{error:#}")))?;
        self.seen.reads += u64::from(found.is_some());
        match (handle.version, found) {
            (Some(before), Some(now)) if before != now => {
                let what = format!(
                    "block {first} is of version {now}, and one handle showed {before} before"
                );
                Err(End::Wrong(what))
            }
            (_, found) => {
                handle.version = found.or(handle.version);
                Ok(())
            }
        }
    }
}

/// What may be answered to who reads a file that others replace and remove: that its version is gone, or the
/// name; through a mapping, that the page cannot be had.
fn allowed<T>(done: IoResult<T>) -> Result<T, End> {
    done.map_err(|error| {
        let is_allowed = [Errno::STALE, Errno::NOENT, Errno::FAULT];
        if is_allowed
            .iter()
            .any(|one| error.raw_os_error() == Some(one.raw_os_error()))
        {
            End::Refused(error)
        } else {
            End::Wrong(format!("{error}"))
        }
    })
}
