//! Whether readers of several files wait for each other: `futex` calls of the daemon, which a lock makes only when
//! somebody has to wait for it (`futex(2)`), while all that is read lies in its memory.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::super::report::{Figure, Report};
use super::super::work::Noise;
use super::Shared;
use crate::filesystem::{Filesystem, Program};
use crate::run;
use crate::time::wait_until;
use crate::tools;
use crate::undo::{Act, Undo};

/// Readers at once, each with an open file of its own.
const READERS: usize = 8;
/// Bytes of a file: all of them fit into the memory for blocks.
const BYTES: u64 = 4 << 20;
/// Reads of 4 KiB by each.
const READS: usize = 10_000;
/// How long strace may take to attach, and to end.
const ATTACHING: Duration = Duration::from_secs(20);
/// Where the files are in the bucket.
const PREFIX: &str = "locks";

/// strace at work: what it says is counted when it has ended.
struct Traced {
    strace: Child,
    said: PathBuf,
    _kill: Undo,
}

impl Traced {
    fn begin(process: u32, said: PathBuf) -> Result<Self> {
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=futex", "-o"])
            .arg(&said)
            .args(["-p", &process.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("strace")?;
        let kill = Undo::new(Act::KillGroup(Pid::from_child(&strace)));
        wait_until(
            "strace",
            ATTACHING,
            || Ok(is_traced(process)?.then_some(())),
        )?;
        Ok(Self {
            strace,
            said,
            _kill: kill,
        })
    }

    /// How many calls there were.
    fn end(mut self) -> Result<usize> {
        kill_process(Pid::from_child(&self.strace), Signal::INT)?;
        run::wait(&mut self.strace, ATTACHING)?.context("strace does not end")?;
        let said = fs::read_to_string(&self.said)?;
        Ok(said.lines().filter(|line| line.contains("futex(")).count())
    }
}

/// Whether every thread is looked at.
fn is_traced(process: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may have ended since.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        if status.lines().any(|line| line == "TracerPid:\t0") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// All readers at once, `file` telling which file each has.
fn read(noise: &Noise, root: &Path, file: impl Fn(usize) -> usize) -> Result<()> {
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| root.join(file(reader).to_string()))
            .map(|path| scope.spawn(move || noise.read_at_random(&path, BYTES, READS)))
            .collect();
        for reader in readers {
            let times = reader.join();
            times.map_err(|_| anyhow::anyhow!("a reader broke"))??;
        }
        Ok(())
    })
}

fn counted(
    shared: &Shared,
    mount: &Filesystem,
    file: impl Fn(usize) -> usize + Copy,
) -> Result<f64> {
    let root = mount.folder().join(PREFIX);
    // What is not in memory yet comes now.
    for number in 0..READERS {
        shared.noise.read(&root.join(number.to_string()), BYTES)?;
    }
    read(shared.noise, &root, file)?;
    let traced = Traced::begin(mount.process(), shared.bed.folder("strace")?.join("said"))?;
    read(shared.noise, &root, file)?;
    let calls = traced.end()?;
    Ok(f64::from(u32::try_from(calls)?))
}

/// Eight who read files of their own, and eight who read the same.
pub(super) fn rows(shared: &Shared, report: &mut Report) -> Result<()> {
    tools::programs(&["strace"])?;
    let bed = shared.bed;
    let mount = bed.mount(Program::Cloudmount, &bed.server.endpoint)?;
    let root = mount.folder().join(PREFIX);
    fs::create_dir(&root)?;
    for number in 0..READERS {
        let path = root.join(number.to_string());
        shared.noise.write(&path, BYTES, || true)?;
    }
    mount.end()?;
    // Past the page cache, so that every read comes to the daemon.
    let past = ["--direct-io", "*"];
    let mount = bed.mount_with(Program::Cloudmount, &bed.server.endpoint, &past)?;
    let own = counted(shared, &mount, |reader| reader)?;
    let same = counted(shared, &mount, |_| 0)?;
    mount.end()?;
    bed.clear("locks/")?;
    let what = |of: &str| {
        let reads = READERS * READS;
        format!(
            "{reads} reads from memory by {READERS} readers of {of}: waits for locks, and wakes"
        )
    };
    report.figure(Figure::one(what("files of their own"), "calls", own));
    report.figure(Figure::one(what("one file"), "calls", same));
    Ok(())
}
