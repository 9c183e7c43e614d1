//! `kill -9` in the middle: what `close` had accepted is in the bucket in the end, and at no time is
//! anything half-written under its key.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};

use super::Extent;
use super::backend::{Backend, Sums, sum};
use super::daemon::Daemon;
use crate::time::pause;

const PART: &str = "crash";

/// What was written so far, by file.
#[derive(Default)]
struct Written {
    /// The last content whose `close` succeeded.
    closed: BTreeMap<String, String>,
    /// Every content that was ever begun.
    begun: BTreeMap<String, BTreeSet<String>>,
}

/// Kills the daemon again and again.
pub(super) fn run(backend: &Backend, extent: Extent) -> Result<String> {
    if backend.sums(PART).is_ok_and(|sums| sums.is_none()) {
        return Ok("a bucket in memory ends with its process".to_owned());
    }
    let rounds = match extent {
        Extent::Quick => 3,
        Extent::Full => 12,
    };
    let written = Mutex::new(Written::default());
    for round in 0..rounds {
        let daemon = Daemon::start(backend, PART, "crash", &[])?;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| -> Result<()> {
            // By descriptor: once the mount is gone its path is an ordinary folder.
            let folder = File::open(daemon.folder())?;
            for writer in 0..3 {
                let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
                let (written, stop) = (&written, &stop);
                scope.spawn(move || write(Path::new(&folder), writer, round, written, stop));
            }
            // Different moments: before, during and after the first uploads.
            pause(Duration::from_millis(150 + 170 * round));
            let killed = daemon.kill();
            stop.store(true, Ordering::Relaxed);
            killed
        })?;
        if let Some(sums) = backend.sums(PART)? {
            nothing_torn(&sums, &locked(&written))?;
        }
    }
    Daemon::start(backend, PART, "crash", &[])?.end()?;
    let sums = backend.sums(PART)?.unwrap_or_default();
    let written = locked(&written);
    if written.closed.len() < 10 {
        bail!(
            "only {} files were closed: nothing was tried",
            written.closed.len()
        );
    }
    nothing_torn(&sums, &written)?;
    nothing_lost(&sums, &written)?;
    Ok(format!(
        "{rounds} kills, {} files of {} begun contents",
        written.closed.len(),
        written.begun.values().map(BTreeSet::len).sum::<usize>()
    ))
}

fn locked(written: &Mutex<Written>) -> std::sync::MutexGuard<'_, Written> {
    written
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes files of all sizes until the mount is gone.
fn write(folder: &Path, writer: u64, round: u64, written: &Mutex<Written>, stop: &AtomicBool) {
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // Some names again and again, most only once.
        let name = if number % 4 == 0 {
            format!("w{writer}-again{}", number % 3)
        } else {
            format!("w{writer}-r{round}-{number}")
        };
        let length = match number % 7 {
            // In parts.
            3 => 9 << 20,
            0..=2 => 3_000 + number * 11,
            _ => 200_000,
        };
        let data = content(writer ^ (round << 8) ^ (number << 16), length);
        let digest = sum(&data);
        locked(written)
            .begun
            .entry(name.clone())
            .or_default()
            .insert(digest.clone());
        if write_one(&folder.join(&name), &data).is_err() {
            return;
        }
        locked(written).closed.insert(name, digest);
    }
}

/// An error of `close` is one of `write`, for `File` does not tell it: it is asked for by hand.
fn write_one(path: &Path, data: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(data)?;
    // `close` would be silent about its error; a duplicate's `flush` is not, and `drop` closes.
    let descriptor = std::os::fd::OwnedFd::from(file);
    rustix::io::dup(&descriptor).map_err(std::io::Error::from)?;
    drop(descriptor);
    // Whether it was accepted shows in the name being there with all of its size.
    let size = std::fs::metadata(path)?.len();
    if size == data.len() as u64 {
        Ok(())
    } else {
        Err(std::io::Error::other("not all was accepted"))
    }
}

fn content(seed: u64, length: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut data = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    while (data.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data.truncate(usize::try_from(length).unwrap_or_default());
    data
}

fn nothing_torn(sums: &Sums, written: &Written) -> Result<()> {
    for (key, there) in sums {
        match written.begun.get(key) {
            Some(begun) if begun.contains(there) => {}
            Some(_) => bail!("{key}: what is in the bucket was never its content"),
            // A file that was created and not written yet, or that nobody wrote.
            None => bail!("{key}: nobody wrote it"),
        }
    }
    Ok(())
}

fn nothing_lost(sums: &Sums, written: &Written) -> Result<()> {
    for (key, closed) in &written.closed {
        let Some(there) = sums.get(key) else {
            bail!("{key}: closed, and not in the bucket");
        };
        let is_last = there == closed;
        // What was begun after the last close may have been accepted just before the kill.
        let is_later = written
            .begun
            .get(key)
            .is_some_and(|begun| begun.contains(there));
        let may_be_later = key.contains("again") && is_later;
        if !is_last && !may_be_later {
            bail!("{key}: closed with other bytes");
        }
    }
    Ok(())
}
