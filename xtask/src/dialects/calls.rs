//! Calls of programs, again and again while a fault lasts, and until one works after it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::tree::{Wanted, content};
use crate::filesystem::binary;
use crate::run::Run;
use crate::time::{now, pause};

/// The rest between two calls.
const REST: Duration = Duration::from_millis(200);
/// How long a file that is uploaded is: two parts.
const UPLOAD_BYTES: usize = 12 << 20;
/// A call that takes longer counts as one that hangs: the store tries for a minute, and its last request may be silent
/// for half of one.
pub(super) const LONGEST: Duration = Duration::from_secs(120);

/// A kind of call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Read,
    Write,
    List,
    Upload,
    Rename,
}

impl Call {
    pub(super) const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::List,
        Self::Upload,
        Self::Rename,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::Write => "writing",
            Self::List => "listing",
            Self::Upload => "uploading",
            Self::Rename => "renaming",
        }
    }

    /// Makes one, on things of that number.
    fn make(self, folder: &Path, number: usize, wanted: &Mutex<Wanted>) -> Result<()> {
        let note = |key: String, content: &[u8]| {
            let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.insert(key, content);
        };
        match self {
            Self::Read => {
                let key = format!("read/{number}");
                let found = std::fs::read(folder.join(&key))?;
                if found != content(number, found.len()) || found.is_empty() {
                    bail!("{key} is not what was written");
                }
            }
            Self::Write => {
                let key = format!("write/{number}");
                let content = content(number, 100);
                std::fs::write(folder.join(&key), &content)?;
                note(key, &content);
            }
            Self::List => {
                let entries = std::fs::read_dir(folder.join(format!("list/{number}")))?;
                let names: Vec<_> = entries.collect::<std::io::Result<_>>()?;
                if names.len() != 1 {
                    bail!("list/{number} has {} entries", names.len());
                }
            }
            Self::Upload => {
                let key = format!("upload/{number}");
                let content = content(number, UPLOAD_BYTES);
                std::fs::write(folder.join(&key), &content)?;
                note(key.clone(), &content);
                Run::new(binary("cloudmount"))
                    .args("flush --wait")
                    .arg(folder.join(&key))
                    .within(2 * LONGEST)
                    .ok()?;
            }
            Self::Rename => {
                let (from, to) = (format!("move/{number}"), format!("move/{number} moved"));
                std::fs::rename(folder.join(&from), folder.join(&to))?;
                let mut wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
                wanted.moved(&from, to);
            }
        }
        Ok(())
    }
}

/// When a fault ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    over: AtomicBool,
    at: Mutex<Option<Instant>>,
}

impl Ended {
    pub(super) fn now(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now());
        self.over.store(true, Ordering::SeqCst);
    }

    fn at(&self) -> Option<Instant> {
        let is_over = self.over.load(Ordering::SeqCst);
        let at = *self.at.lock().unwrap_or_else(PoisonError::into_inner);
        at.filter(|_| is_over)
    }
}

/// What became of the calls of a kind.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) call: Call,
    pub(super) calls: usize,
    pub(super) longest: Duration,
    /// From the end of the fault to the end of the first call that began after it.
    pub(super) recovered: Duration,
    /// The first error, and how many there were.
    pub(super) errors: (usize, String),
}

/// Calls until one that began after the fault has worked.
///
/// # Errors
/// None works for twice as long as one may take.
pub(super) fn repeat(
    call: Call,
    folder: &Path,
    wanted: &Mutex<Wanted>,
    ended: &Ended,
) -> Result<Told> {
    let mut told = Told {
        call,
        calls: 0,
        longest: Duration::ZERO,
        recovered: Duration::ZERO,
        errors: (0, String::new()),
    };
    loop {
        let (began, over) = (now(), ended.at());
        let made = call.make(folder, told.calls, wanted);
        let took = began.elapsed();
        told.calls += 1;
        told.longest = told.longest.max(took);
        match (made, over) {
            (Ok(()), Some(at)) => {
                told.recovered = at.elapsed();
                return Ok(told);
            }
            (Ok(()), None) => {}
            (Err(error), over) => {
                if told.errors.0 == 0 {
                    told.errors.1 = format!("{error:#}");
                }
                told.errors.0 += 1;
                if over.is_some_and(|at| at.elapsed() > 2 * LONGEST) {
                    return Err(error).with_context(|| format!("{} does not recover", call.name()));
                }
            }
        }
        pause(REST);
    }
}
