//! One file of 1 GiB, written from start to end; and 4 KiB changed in the middle of such an object.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::bed::{Bed, number, requests};
use super::report::{Beside, Figure, Peer, Report, Target, mib};
use super::watched::{Seconds, watched};
use super::work::{Noise, Took};
use crate::closing::close;
use crate::filesystem::{Filesystem, Program};
use crate::proxy::Link;
use crate::time::{now, pause, wait_until};

/// Bytes of the large file.
const BYTES: u64 = 1 << 30;
/// Bytes of a part of the plain upload, as ours has them.
const PART_BYTES: &str = "8388608";
/// Parts at once that the plain upload tries: the fastest is the floor.
const IN_FLIGHT: [&str; 4] = ["4", "8", "12", "16"];
/// Bytes that are changed.
const CHANGE: usize = 4096;
/// How long a change may take to arrive.
const ARRIVING: Duration = Duration::from_secs(600);
/// Between two looks whether it arrived.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that a change of 4 KiB may send, in MiB.
const SENT_MIB_MAX: f64 = 16.0;

/// What ours does with the page cache, and how that is called.
const WAYS: [(&str, &[&str]); 2] = [
    ("1 GiB written", &[]),
    (
        "1 GiB written through the page cache",
        &["--write-cache", "keep"],
    ),
];

/// The runs of one way.
#[derive(Default)]
struct Runs {
    closed: Vec<f64>,
    closing: Vec<f64>,
    bucket: Vec<f64>,
    cpu: Vec<f64>,
    peak: Vec<f64>,
}

/// Writes the file `rounds` times in each way, in turns with the plain upload.
pub(super) fn written(bed: &Bed, noise: &Noise, rounds: usize, report: &mut Report) -> Result<()> {
    let source = bed.folder("source")?.join("large");
    let local = noise.write(&source, BYTES, || true)?;
    let path = source.to_string_lossy();
    let upload = |in_flight: &str| -> Result<f64> {
        let words = ["parts", &path, "floor/large", PART_BYTES, in_flight];
        // The one who looks is there, too, as with ours: the server has to answer it.
        bed.at_rest()?;
        let (said, _) = bed.seen("floor/large", BYTES, || bed.plain(&words))?;
        let seconds = number(&said, "seconds")?;
        bed.clear("floor/")?;
        Ok(seconds)
    };
    let mut best = (f64::INFINITY, IN_FLIGHT[0]);
    for in_flight in IN_FLIGHT {
        let seconds = upload(in_flight)?;
        if seconds < best.0 {
            best = (seconds, in_flight);
        }
    }
    let mut floor = vec![best.0];
    let mut ways = WAYS.map(|way| (way, Runs::default()));
    for round in 0..rounds {
        floor.push(upload(best.1)?);
        for ((what, more), runs) in &mut ways {
            let name = format!("large{round}");
            let requests = runs.add(bed, noise, &name, more)?;
            if round + 1 == rounds {
                report.note(format!("requests for {what}: {requests}"));
            }
        }
    }
    let upload = format!("plain upload, {} parts at once", best.1);
    for ((what, _), runs) in &ways {
        let disk = Beside::best("local disk", &[local.closed()]);
        runs.report(what, disk, Beside::best(&*upload, &floor), report);
    }
    Ok(())
}

impl Runs {
    /// One more; gives the requests that it took.
    fn add(&mut self, bed: &Bed, noise: &Noise, name: &str, more: &[&str]) -> Result<String> {
        let mount = bed.mount_with(Program::Cloudmount, &bed.server.endpoint, more)?;
        let first = format!("first-{name}");
        bed.know_endpoint(&mount, &first)?;
        let before = mount.cpu_seconds()?;
        let (took, seconds) = write(bed, noise, &mount, name)?;
        self.closed.push(took.closed());
        self.closing.push(took.close);
        self.bucket.push(seconds);
        self.cpu.push(mount.cpu_seconds()? - before);
        self.peak.push(mib(mount.peak_bytes()?));
        let requests = requests(&mount)?;
        mount.end()?;
        bed.clear(name)?;
        bed.clear(&first)?;
        Ok(requests)
    }

    fn report(&self, what: &str, disk: Beside, upload: Beside, report: &mut Report) {
        let what = |figure: &str| format!("{what}: {figure}");
        report.figure(
            Figure::best(what("until close returned"), "s", &self.closed).beside(vec![disk]),
        );
        report.figure(Figure::best(what("the close alone"), "s", &self.closing));
        report.figure(
            Figure::best(what("until it is in the bucket"), "s", &self.bucket)
                .beside(vec![upload])
                .target(Target::Ratio(0.85)),
        );
        report.figure(Figure::best(what("processor's time"), "s", &self.cpu));
        report.figure(Figure::best(what("peak memory"), "MiB", &self.peak));
    }
}

/// Writes a large file; gives how long that took, and seconds until others saw it.
fn write(bed: &Bed, noise: &Noise, mount: &Filesystem, name: &str) -> Result<(Took, f64)> {
    let path = mount.folder().join(name);
    let (took, seen) = bed.seen(name, BYTES, || noise.write(&path, BYTES, || true))?;
    let seconds = seen - took.began;
    Ok((took, seconds))
}

/// What a large file costs `program`, by the count of a proxy.
pub(super) fn peer(bed: &Bed, noise: &Noise, program: Program) -> Result<Peer> {
    let nothing = |_: &Filesystem| Ok(());
    let peer = watched(
        bed,
        program,
        ("1 GiB written", Link::default()),
        nothing,
        |mount| {
            let (took, bucket) = write(bed, noise, mount, "large")?;
            Ok(Seconds {
                close: took.closed(),
                bucket: Some(bucket),
            })
        },
    )?;
    bed.clear("large")?;
    Ok(peer)
}

/// Changes 4 KiB in the middle of an object of 1 GiB that `program` has not read.
pub(super) fn changed(bed: &Bed, noise: &Noise, program: Program) -> Result<Peer> {
    let source = bed.folder("source")?.join("large");
    noise.write(&source, BYTES, || true)?;
    let path = source.to_string_lossy();
    bed.plain(&["parts", &path, "changed", PART_BYTES, "8"])?;
    std::fs::remove_file(&source)?;
    let nothing = |_: &Filesystem| Ok(());
    let peer = watched(
        bed,
        program,
        ("4 KiB changed in 1 GiB", Link::default()),
        nothing,
        |mount| {
            let old = bed.list("changed")?.last;
            let start = now();
            let path = mount.folder().join("changed");
            let file = File::options().write(true).open(path).context("open")?;
            let place = BYTES / 2 + 12_345;
            file.write_all_at(&[0x5A; CHANGE], place).context("write")?;
            close(file).context("close")?;
            let close = start.elapsed().as_secs_f64();
            let new = wait_until("the change in the bucket", ARRIVING, || {
                pause(LOOK);
                let listed = bed.list("changed")?;
                Ok((listed.last > old).then_some(listed))
            })?;
            let bucket = start.elapsed().as_secs_f64();
            if new.bytes != BYTES {
                bail!("{} bytes after the change", new.bytes);
            }
            Ok(Seconds {
                close,
                bucket: Some(bucket),
            })
        },
    )?;
    bed.clear("changed")?;
    Ok(peer)
}

/// The same for ours alone, with its target.
pub(super) fn change(bed: &Bed, noise: &Noise, report: &mut Report) -> Result<()> {
    let ours = changed(bed, noise, Program::Cloudmount)?;
    let what = |what: &str| format!("{}: {what}", ours.what);
    report.figure(
        Figure::one(what("sent"), "MiB", mib(ours.sent_bytes)).target(Target::AtMost(SENT_MIB_MAX)),
    );
    report.figure(Figure::one(
        what("received"),
        "MiB",
        mib(ours.received_bytes),
    ));
    report.figure(Figure::one(
        what("until it is in the bucket"),
        "s",
        ours.bucket_seconds.unwrap_or(f64::NAN),
    ));
    #[expect(clippy::cast_precision_loss, reason = "some dozens")]
    let requests = ours.requests as f64;
    report.figure(Figure::one(what("requests"), "", requests));
    report.note(format!(
        "requests for 4 KiB changed in 1 GiB: {}",
        ours.kinds
    ));
    Ok(())
}
