//! Reading from far away: behind a round trip of 20 ms, and a limit for each connection.

use std::time::Duration;

use anyhow::Result;

use super::super::report::{Beside, Figure, Peer, Report, Target, mib};
use super::super::watched::{Seconds, watched};
use super::Shared;
use super::large::{BYTES, KEY, floor, peer_behind};
use crate::filesystem::Program;
use crate::proxy::{Link, Plan, Proxy};

/// Of the link, between a request and its answer.
const ROUND_TRIP: Duration = Duration::from_millis(20);
/// Of each connection, in bytes a second.
const RATE: u64 = 80_000_000;
/// Random reads of one round.
const READS: usize = 200;
/// Bytes of a random read.
const SMALL: &str = "4096";

/// The link.
fn link() -> Link {
    Link {
        round_trip: ROUND_TRIP,
        per_connection: Some(RATE),
        in_total: None,
    }
}

/// 1 GiB from its beginning to its end, cold.
pub(super) fn sequential(shared: &Shared, report: &mut Report) -> Result<()> {
    let bed = shared.bed;
    let proxy = Proxy::start(&bed.server.endpoint, link(), Plan::default())?;
    let floor = floor(shared, &proxy.endpoint(), shared.rounds)?;
    let mut cold = Vec::new();
    for _ in 0..shared.rounds {
        let mount = bed.mount(Program::Cloudmount, &proxy.endpoint())?;
        cold.push(shared.noise.read(&mount.folder().join(KEY), BYTES)?);
        mount.end()?;
    }
    let what = "1 GiB read behind 20 ms, 80 MB/s a connection: cold";
    report.figure(
        Figure::best(what, "s", &cold)
            .beside(vec![floor])
            .target(Target::Ratio(0.85)),
    );
    Ok(())
}

/// 4 KiB at random places, cold.
pub(super) fn random(shared: &Shared, report: &mut Report) -> Result<()> {
    let bed = shared.bed;
    let proxy = Proxy::start(&bed.server.endpoint, link(), Plan::default())?;
    let count = READS.to_string();
    let words = ["ranges", KEY, SMALL, &count];
    let (mut medians, mut floor) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..shared.rounds {
        floor.push(1e3 * bed.plain_seconds_at(&proxy.endpoint(), &words)?);
        let mount = bed.mount(Program::Cloudmount, &proxy.endpoint())?;
        let before = proxy.counts();
        let path = mount.folder().join(KEY);
        let mut times = shared.noise.read_at_random(&path, BYTES, READS)?;
        bytes = proxy.counts().since(&before).all().down_bytes;
        times.sort_unstable_by(f64::total_cmp);
        medians.push(1e3 * times[READS / 2]);
        mount.end()?;
    }
    let what = |what: &str| format!("{READS} × 4 KiB at random behind 20 ms: {what}");
    report.figure(
        Figure::best(what("median"), "ms", &medians)
            .beside(vec![Beside::best("one request each", &floor)])
            .target(Target::Ratio(1.0 / 1.2)),
    );
    report.figure(Figure::one(what("received"), "MiB", mib(bytes)));
    Ok(())
}

/// What the first costs `program`.
pub(super) fn peer(shared: &Shared, program: Program) -> Result<Peer> {
    let what = "1 GiB read, cold, behind 20 ms, 80 MB/s a connection";
    peer_behind(shared, program, (what, link()))
}

/// What the second costs `program`.
pub(super) fn random_peer(shared: &Shared, program: Program) -> Result<Peer> {
    let what = format!("{READS} × 4 KiB at random, cold, behind 20 ms");
    watched(
        shared.bed,
        program,
        (&what, link()),
        |_| Ok(()),
        |mount| {
            let path = mount.folder().join(KEY);
            let times = shared.noise.read_at_random(&path, BYTES, READS)?;
            Ok(Seconds {
                close: times.iter().sum(),
                bucket: None,
            })
        },
    )
}
