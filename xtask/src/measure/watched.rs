//! A filesystem at work behind a proxy that counts, and what that work cost.

use anyhow::{Context, Result};

use super::bed::Bed;
use super::report::Peer;
use crate::filesystem::{Filesystem, Program};
use crate::proxy::{Link, Plan, Proxy};

/// Seconds of some work.
pub(super) struct Seconds {
    /// Until the last call returned.
    pub(super) close: f64,
    /// Until all was in the bucket, of what was written.
    pub(super) bucket: Option<f64>,
}

/// Mounts `program` behind a `link`, has it do `work`, and tells what that cost. `prepare` is not counted.
///
/// # Errors
/// Those of the work, with what the program said last.
pub(super) fn watched(
    bed: &Bed,
    program: Program,
    (what, link): (&str, Link),
    prepare: impl FnOnce(&Filesystem) -> Result<()>,
    work: impl FnOnce(&Filesystem) -> Result<Seconds>,
) -> Result<Peer> {
    let proxy = Proxy::start(&bed.server.endpoint, link, Plan::default())?;
    let mount = bed.mount(program, &proxy.endpoint())?;
    let failed = || format!("{what}; it said: {}", mount.said());
    prepare(&mount).with_context(failed)?;
    let (counts, cpu) = (proxy.counts(), mount.cpu_seconds()?);
    let seconds = work(&mount).with_context(failed)?;
    let made = proxy.counts().since(&counts);
    let all = made.all();
    let peer = Peer {
        what: what.to_owned(),
        program: program.name(),
        seconds: seconds.close,
        bucket_seconds: seconds.bucket,
        requests: all.requests,
        kinds: made.to_string(),
        sent_bytes: all.up_bytes,
        received_bytes: all.down_bytes,
        peak_bytes: mount.peak_bytes()?,
        cpu_seconds: mount.cpu_seconds()? - cpu,
    };
    mount.end()?;
    Ok(peer)
}
