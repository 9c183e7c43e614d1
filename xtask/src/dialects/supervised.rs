//! `mount --supervise`, whose daemon is killed with SIGKILL while git and fio work on the mount: how soon a new call works
//! again, and whether all that was accepted is there.
//!
//! What counts as a call that works: a new file is written, closed, and read again. What counts as accepted: a commit that
//! git reported, a file that fio ended well with. What was under way at a kill may fail, and is begun anew.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::moment::Place;
use crate::filesystem::{Bucket, Filesystem};
use crate::run::Run;
use crate::say::say;
use crate::server::Server;
use crate::time::{now, pause, wait_until};
use crate::tools;

pub(super) const NAME: &str = "daemon killed";

/// The flags of the mount.
const FLAGS: &[&str] = &["--supervise"];
/// Kills, and how long the load goes on before each. Five crashes without a quiet minute would be met with waits.
const KILLS: usize = 4;
const BETWEEN: Duration = Duration::from_secs(4);
/// The rest between two tries of a call.
const REST: Duration = Duration::from_millis(5);
/// How soon calls must work again.
const AGAIN: Duration = Duration::from_secs(2);
/// When it is given up.
const LONGEST: Duration = Duration::from_secs(60);
/// Who is named in commits.
const AUTHOR: [(&str, &str); 6] = [
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_AUTHOR_NAME", "a"),
    ("GIT_AUTHOR_EMAIL", "a@example.com"),
    ("GIT_COMMITTER_NAME", "a"),
    ("GIT_COMMITTER_EMAIL", "a@example.com"),
];

/// What was accepted.
#[derive(Debug, Default)]
struct Accepted {
    commits: Vec<String>,
    files: Vec<PathBuf>,
}

/// Kills it again and again, and prints what became of it.
///
/// # Errors
/// It takes too long, or something that was accepted is not there.
pub(super) fn run(server: &Server, scratch: &Path) -> Result<()> {
    tools::programs(&["git", "fio"])?;
    let place = Place::of(Bucket::of(server, &server.endpoint));
    let place = place.with(FLAGS);
    let (took, accepted) = place.mounted(&scratch.join("mount"), |mount| {
        let done = under_load(mount, scratch)?;
        look(mount.folder(), &done.1).context("on the same mount")?;
        Ok(done)
    })?;
    place.mounted(&scratch.join("later"), |mount| {
        look(mount.folder(), &accepted).context("on a later mount, of what is in the bucket")
    })?;
    let worst = took.iter().max().copied().unwrap_or_default();
    let shown: Vec<_> = took
        .iter()
        .map(|took| format!("{:.2} s", took.as_secs_f64()))
        .collect();
    let (commits, files) = (accepted.commits.len(), accepted.files.len());
    say!(
        "| {NAME}, supervised | new calls work after | commits, all there | files of fio, all there |"
    );
    say!("|---|---|---|---|");
    say!(
        "| {} times | {} | {commits} | {files} |",
        took.len(),
        shown.join(", ")
    );
    if worst > AGAIN {
        bail!("a call worked after {:.2} s only", worst.as_secs_f64());
    }
    if commits == 0 || files == 0 {
        bail!("the load came to nothing: {commits} commits, {files} files");
    }
    Ok(())
}

/// Kills while programs work: how soon calls worked again each time, and what was accepted.
fn under_load(mount: &Filesystem, scratch: &Path) -> Result<(Vec<Duration>, Accepted)> {
    let stop = AtomicBool::new(false);
    let folder = mount.folder();
    std::thread::scope(|scope| {
        let git = scope.spawn(|| commits(&folder.join("repository"), &stop));
        let fio = scope.spawn(|| files(folder, scratch, &stop));
        let took: Result<Vec<_>> = (0..KILLS).map(|number| kill(mount, number)).collect();
        if took.is_ok() {
            // So that something comes after the last kill, too.
            pause(BETWEEN);
        }
        stop.store(true, Ordering::SeqCst);
        let broke = |_| anyhow!("a load broke");
        let (commits, files) = (git.join().map_err(broke), fio.join().map_err(broke));
        let accepted = Accepted {
            commits: commits?,
            files: files?,
        };
        Ok((took?, accepted))
    })
}

/// Kills the process that serves; how soon a new call works.
fn kill(mount: &Filesystem, number: usize) -> Result<Duration> {
    pause(BETWEEN);
    let status = mount.status()?;
    let daemon = status["pid"].as_u64().context("status tells no pid")?;
    let daemon = Pid::from_raw(i32::try_from(daemon)?).context("no process")?;
    let path = mount.folder().join(format!("probe-{number}"));
    kill_process(daemon, Signal::KILL)?;
    let began = now();
    loop {
        let done = std::fs::write(&path, "x").and_then(|()| std::fs::read(&path));
        match done {
            Ok(found) if found == b"x" => return Ok(began.elapsed()),
            done if began.elapsed() > LONGEST => bail!("no call works: {done:?}\n{}", mount.said()),
            _ => pause(REST),
        }
    }
}

/// Commits until it is told to stop: those that git reported.
fn commits(repository: &Path, stop: &AtomicBool) -> Vec<String> {
    let mut accepted = Vec::new();
    let mut number = 0_u32;
    while !stop.load(Ordering::SeqCst) {
        number += 1;
        // What a killed git left is in the way of the next one.
        drop(std::fs::remove_file(repository.join(".git/index.lock")));
        drop(std::fs::remove_file(repository.join(".git/HEAD.lock")));
        drop(std::fs::remove_file(
            repository.join(".git/refs/heads/main.lock"),
        ));
        match commit(repository, number) {
            Ok(id) => accepted.push(id),
            // It was killed under it.
            Err(_) => pause(REST),
        }
    }
    accepted
}

fn commit(repository: &Path, number: u32) -> Result<String> {
    if !repository.join(".git/HEAD").exists() {
        git("init -q -b main").arg(repository).ok()?;
    }
    let text = format!("{number}\n").repeat(1000);
    std::fs::write(repository.join(format!("file{}", number % 50)), text)?;
    git("add -A").dir(repository).ok()?;
    git("commit -q -m")
        .arg(number.to_string())
        .dir(repository)
        .ok()?;
    let id = git("rev-parse HEAD").dir(repository).ok()?;
    Ok(id.trim().to_owned())
}

fn git(arguments: &str) -> Run {
    let author = AUTHOR.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Run::new("git").args(arguments).envs(&author)
}

/// Has fio write files until it is told to stop: those that it ended well with.
fn files(folder: &Path, scratch: &Path, stop: &AtomicBool) -> Vec<PathBuf> {
    let mut accepted = Vec::new();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let path = folder.join(format!("fio-{number}"));
        let written = fio(&path, "--rw=randwrite --do_verify=0 --end_fsync=1");
        if written.dir(scratch).ok().is_ok() {
            accepted.push(path);
        } else {
            pause(REST);
        }
    }
    accepted
}

fn fio(path: &Path, how: &str) -> Run {
    Run::new("fio")
        .args("--name=load --ioengine=psync --bs=4k-64k --size=4M --verify=crc32c --verify_state_save=0 --verify_fatal=1")
        .args(how)
        .arg(format!("--filename={}", path.display()))
}

/// Holds what is there against what was accepted.
fn look(folder: &Path, accepted: &Accepted) -> Result<()> {
    let repository = folder.join("repository");
    // A git that was killed may have left what it had not come to use; what it had is checked.
    git("fsck --full --strict").dir(&repository).ok()?;
    for id in &accepted.commits {
        git("cat-file -e").arg(id).dir(&repository).ok()?;
    }
    let log = git("log --format=%H").dir(&repository).ok()?;
    let lost = accepted.commits.iter().filter(|id| !log.contains(*id));
    let lost: Vec<_> = lost.collect();
    if !lost.is_empty() {
        bail!("the history lacks {lost:?}");
    }
    for path in &accepted.files {
        let name = path.file_name().context("no name")?;
        fio(&folder.join(name), "--rw=randwrite --verify_only")
            .ok()
            .with_context(|| format!("{} is not what fio wrote", path.display()))?;
    }
    wait_until("probes", AGAIN, || {
        let are_there = (0..KILLS).all(|number| {
            std::fs::read(folder.join(format!("probe-{number}"))).is_ok_and(|found| found == b"x")
        });
        Ok(are_there.then_some(()))
    })
}
