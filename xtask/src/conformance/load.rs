//! Under load: how long others wait while a large file goes up, and how much memory a huge one takes.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::Extent;
use super::backend::Backend;
use super::daemon::Daemon;
use crate::time::now;

const PIECE: usize = 1 << 20;

/// Memory that the daemon may take, whatever the size of files.
const MEMORY_MAX: u64 = 512 << 20;

/// Others' files.
const FILES: usize = 100;

/// Writes a large file and measures how long its close takes, and, while it uploads, how long stat,
/// open and read of others take.
pub(super) fn latency(backend: &Backend, extent: Extent) -> Result<String> {
    let size = match extent {
        Extent::Quick => 256 << 20,
        Extent::Full => 1 << 30,
    };
    let daemon = Daemon::start(backend, "latency", "latency", &[])?;
    let folder = daemon.folder().to_owned();
    for number in 0..FILES {
        std::fs::write(folder.join(format!("small{number}")), [b'x'; 4000])?;
    }
    let mut large = File::create(folder.join("large"))?;
    fill(&mut large, size)?;
    let start = now();
    drop(large);
    let close = start.elapsed();
    let mut times = Vec::new();
    let mut uploading = true;
    while uploading && times.len() < 1_000_000 {
        for number in 0..FILES {
            let path = folder.join(format!("small{number}"));
            let start = now();
            touch(&path)?;
            times.push(start.elapsed());
        }
        uploading = is_uploading(&daemon)?;
    }
    daemon.end()?;
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    Ok(format!(
        "{} MiB: close {} µs; {} × stat+open+read meanwhile: p50 {} µs, p99 {} µs, max {} µs",
        size >> 20,
        close.as_micros(),
        times.len(),
        at(50).as_micros(),
        at(99).as_micros(),
        at(100).as_micros()
    ))
}

fn fill(file: &mut File, size: u64) -> Result<()> {
    let piece: Vec<u8> = (0..PIECE).map(|at| at.to_le_bytes()[0]).collect();
    for _ in 0..size / PIECE as u64 {
        file.write_all(&piece)?;
    }
    Ok(())
}

fn touch(path: &Path) -> Result<()> {
    std::fs::metadata(path)?;
    let mut byte = [0];
    File::open(path)?.read_exact(&mut byte)?;
    Ok(())
}

fn is_uploading(daemon: &Daemon) -> Result<bool> {
    let status = daemon.status()?;
    let keys = status
        .pointer("/uploads/keys")
        .context("no uploads in the status")?;
    let is_large = |key: &serde_json::Value| key.get("key").is_some_and(|name| name == "large");
    Ok(keys
        .as_array()
        .is_some_and(|keys| keys.iter().any(is_large)))
}

/// Writes and reads a huge file, and prints the most memory that the daemon had.
pub(super) fn memory(backend: &Backend, extent: Extent) -> Result<String> {
    let size: u64 = match (extent, backend.name) {
        (_, "memory") => return Ok("a bucket in memory takes what it holds".to_owned()),
        // The server itself holds every byte in memory, more than once.
        (_, "moto") | (Extent::Quick, _) => 1 << 30,
        (Extent::Full, _) => 10 << 30,
    };
    let daemon = Daemon::start(backend, "memory", "memory", &[])?;
    let path = daemon.folder().join("huge");
    let mut file = File::create(&path)?;
    fill(&mut file, size)?;
    drop(file);
    let written = daemon.peak_bytes()?;
    daemon.end()?;
    let daemon = Daemon::start(backend, "memory", "memory-again", &[])?;
    let mut file = File::open(&path)?;
    let (mut piece, mut read) = (vec![0; PIECE], 0);
    let start = now();
    loop {
        match file.read(&mut piece)? {
            0 => break,
            count => read += count as u64,
        }
    }
    let speed = read
        / 1_000_000
        / start
            .elapsed()
            .max(Duration::from_millis(1))
            .as_secs()
            .max(1);
    drop(file);
    let peak = daemon.peak_bytes()?.max(written);
    std::fs::remove_file(&path)?;
    daemon.end()?;
    if read != size {
        bail!("read {read} of {size} bytes");
    }
    if peak > MEMORY_MAX {
        bail!("the daemon took {} MiB", peak >> 20);
    }
    Ok(format!(
        "{} MiB written and read ({speed} MB/s): peak memory {} MiB",
        size >> 20,
        peak >> 20
    ))
}
