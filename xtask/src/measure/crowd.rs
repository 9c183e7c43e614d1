//! Eight files of 2 GiB written at once over a link of 20 MB/s: how much memory that takes, and how long
//! others wait meanwhile.
//!
//! Sixteen GiB take a quarter of an hour on such a link, so the row ends when the writers have written all,
//! or when its time is up, or when the disk is nearly full; it says which. What is left is not uploaded.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::bed::{Bed, free_bytes};
use super::report::{Figure, Report, Target, mib};
use super::work::{Noise, PIECE};
use crate::closing::close;
use crate::filesystem::Program;
use crate::proxy::{Link, Plan, Proxy};
use crate::time::{now, pause};

const WRITERS: usize = 8;
const BYTES: u64 = 2 << 30;
/// Of the link, in bytes a second.
const RATE: u64 = 20_000_000;
/// What the disk keeps: it belongs to others, too.
const FREE_BYTES_MIN: u64 = 12 << 30;
/// What the mount may stage: far less than what is written, as on a machine with little room.
const STAGING_LIMIT: &str = "2GiB";
/// Files of others, to be looked at.
const OTHERS: usize = 100;
/// Between two rounds of the others: they are people and programs, not a benchmark.
const REST: Duration = Duration::from_millis(5);
/// Peak memory, in MiB.
const PEAK_MIB_MAX: f64 = 256.0;
/// What 99 of 100 operations take at most, in milliseconds.
const P99_MS_MAX: f64 = 20.0;

/// Times of one kind of operation, in milliseconds.
#[derive(Default)]
struct Times(Vec<f64>);

impl Times {
    fn measure<T>(&mut self, run: impl FnOnce() -> std::io::Result<T>) -> Result<T> {
        let start = now();
        let done = run()?;
        self.0.push(start.elapsed().as_secs_f64() * 1e3);
        Ok(done)
    }

    fn figure(&mut self, what: &str) -> Result<Figure> {
        self.0.sort_unstable_by(f64::total_cmp);
        let last = self.0.len().checked_sub(1).context("nothing was tried")?;
        let at = |percent: usize| self.0[last * percent / 100];
        let what = format!(
            "{what} meanwhile: p99 of {} (p50 {:.2}, max {:.1})",
            last + 1,
            at(50),
            at(100)
        );
        Ok(Figure::one(what, "ms", at(99)).target(Target::AtMost(P99_MS_MAX)))
    }
}

/// Why writing ended.
struct End<'a> {
    limit: Duration,
    disk: &'a Path,
    start: std::time::Instant,
    is_over: AtomicBool,
    written: AtomicU64,
}

impl End<'_> {
    fn go_on(&self) -> bool {
        self.written.fetch_add(PIECE as u64, Ordering::Relaxed);
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Why it is over, if it is.
    fn look(&self) -> Result<Option<&'static str>> {
        Ok(if self.start.elapsed() > self.limit {
            Some("the time was up")
        } else if free_bytes(self.disk)? < FREE_BYTES_MIN {
            Some("the disk was nearly full")
        } else {
            None
        })
    }
}

/// Runs it for `limit` at most.
pub(super) fn written(
    bed: &Bed,
    noise: &Noise,
    limit: Duration,
    report: &mut Report,
) -> Result<()> {
    let link = Link {
        in_total: Some(RATE),
        ..Link::default()
    };
    let proxy = Proxy::start(&bed.server.endpoint, link, Plan::default())?;
    let limit_flag = ["--staging-limit", STAGING_LIMIT];
    let mount = bed.mount_with(Program::Cloudmount, &proxy.endpoint(), &limit_flag)?;
    let others = mount.folder().join("others");
    std::fs::create_dir(&others)?;
    for number in 0..OTHERS {
        std::fs::write(others.join(format!("file{number}")), [b'x'; 4096])?;
    }
    let end = End {
        limit,
        disk: bed.disk(),
        start: now(),
        is_over: AtomicBool::new(false),
        written: AtomicU64::new(0),
    };
    let mut times = [Times::default(), Times::default(), Times::default()];
    let why = std::thread::scope(|scope| -> Result<&'static str> {
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| {
                let path = mount.folder().join(format!("large{number}"));
                let end = &end;
                scope.spawn(move || noise.write(&path, BYTES, || end.go_on()).map(drop))
            })
            .collect();
        let are_done = || writers.iter().all(|writer| writer.is_finished());
        let looked = watch(&end, &others, are_done, &mut times);
        end.is_over.store(true, Ordering::Relaxed);
        let (peak, cpu) = (mount.peak_bytes(), mount.cpu_seconds());
        // A writer may wait for room that the slow link frees: with the mount it is let go, and says so.
        mount.kill()?;
        for writer in writers {
            drop(writer.join());
        }
        let what = |what: &str| format!("8 × 2 GiB at 20 MB/s: {what}");
        report.figure(
            Figure::one(what("peak memory"), "MiB", mib(peak?))
                .target(Target::AtMost(PEAK_MIB_MAX)),
        );
        report.figure(Figure::one(what("processor's time"), "s", cpu?));
        looked
    })?;
    report.note(format!(
        "8 × 2 GiB at 20 MB/s: it ended because {why}, after {:.0} s, with {} MiB written and {} MiB sent",
        end.start.elapsed().as_secs_f64(),
        end.written.load(Ordering::Relaxed) >> 20,
        proxy.counts().all().up_bytes >> 20,
    ));
    let [stat, create, list] = &mut times;
    report.figure(stat.figure("stat")?);
    report.figure(create.figure("create, write and close of 4 KiB")?);
    report.figure(list.figure("list of 100 files")?);
    drop(proxy);
    bed.clear("")
}

/// Does what others do until the writers are done or the end has come, and says which.
fn watch(
    end: &End<'_>,
    others: &Path,
    are_done: impl Fn() -> bool,
    times: &mut [Times; 3],
) -> Result<&'static str> {
    let mut round = 0;
    loop {
        if are_done() {
            return Ok("all was written");
        }
        if let Some(why) = end.look()? {
            return Ok(why);
        }
        look(others, round, times)?;
        round += 1;
        pause(REST);
    }
}

/// One round of the others.
fn look(others: &Path, round: usize, [stat, create, list]: &mut [Times; 3]) -> Result<()> {
    let path = others.join(format!("file{}", round % OTHERS));
    stat.measure(|| std::fs::metadata(&path))?;
    let path = others.join(format!("new{}", round % OTHERS));
    create.measure(|| {
        let mut file = std::fs::File::create(&path)?;
        std::io::Write::write_all(&mut file, &[b'y'; 4096])?;
        close(file)
    })?;
    list.measure(|| Ok(std::fs::read_dir(others)?.count()))?;
    Ok(())
}
