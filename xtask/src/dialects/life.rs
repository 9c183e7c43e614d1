//! What befalls a mount in its life, with each kind of call: the machine sleeps, the bucket is full, or is not
//! found, or the keys are not known, for a while; and beside these, a bucket that is deleted ([`gone`]), and a daemon that
//! is killed ([`supervised`]).
//!
//! Laws: what a call accepted is in the bucket afterwards; `status` names what is wrong while it is; it goes on by itself when
//! the cause is gone. No call ends in an error, but that who asks for an upload to be waited for is told why there is none, and
//! where the bucket itself is away, or the keys are not known any more.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::calls::{Call, Told};
use super::clock::WallClock;
use super::moment::{Allowed, Place, Table, during, lost};
use super::{gone, supervised};
use crate::filesystem::{Bucket, Filesystem, Program};
use crate::proxy::{Fault, Kind, Link, Plan, Proxy, Refusal};
use crate::server::{self, Server};
use crate::time::{now, pause, wait_until};
use crate::undo::Undo;

/// How long the bucket is not as it should be.
const LASTING: Duration = Duration::from_secs(10);
/// How soon `status` must name it.
const NAMED: Duration = Duration::from_secs(30);
/// What takes room in a bucket.
const WRITES: &[Kind] = &[
    Kind::Put,
    Kind::Copy,
    Kind::Create,
    Kind::Part,
    Kind::PartCopy,
    Kind::Complete,
];

/// What befalls it.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// The daemon is stopped for so long, as by the sleep of the machine, while its peers go on.
    Stopped(Duration),
    /// These requests are refused, and `status` says these words.
    Refused(&'static [Kind], Refusal, &'static str),
    /// Its wall clock jumps, and the server refuses requests whose date is not its own.
    Jumps,
}

impl Trouble {
    /// Whose calls may end in an error.
    fn allowed(self) -> Allowed {
        let errors: &[Call] = match self {
            // A daemon that does not answer for a minute is told of as such.
            Self::Stopped(_) => &[Call::Upload],
            Self::Refused(_, Refusal::NoBucket | Refusal::Revoked, _) => &Call::ALL,
            Self::Refused(..) => &[Call::Upload],
            Self::Jumps => &[],
        };
        Allowed {
            errors,
            ..Allowed::default()
        }
    }
}

const TROUBLES: &[(&str, Trouble)] = &[
    (
        "stopped for 30 s",
        Trouble::Stopped(Duration::from_secs(30)),
    ),
    // More than any limit of a request that asks for little, and than all of its tries.
    (
        "stopped for 100 s",
        Trouble::Stopped(Duration::from_secs(100)),
    ),
    (
        "quota exceeded (403) for 10 s",
        Trouble::Refused(WRITES, Refusal::Quota, "over quota"),
    ),
    (
        "storage full (507) for 10 s",
        Trouble::Refused(WRITES, Refusal::Full, "over quota"),
    ),
    (
        "no such bucket (404) for 10 s",
        Trouble::Refused(&Kind::ALL, Refusal::NoBucket, "no such bucket"),
    ),
    (
        "keys revoked (403) for 10 s",
        Trouble::Refused(&Kind::ALL, Refusal::Revoked, "credentials"),
    ),
    (
        "its clock 1 h ahead for 10 s, and 1 h behind for 10 s",
        Trouble::Jumps,
    ),
];

/// Runs them, and prints what became of each.
///
/// # Errors
/// Something is lost, ends in an error that it must not end in, hangs, or is not named by `status`.
pub(super) fn run(only: &[String]) -> Result<()> {
    Program::Cloudmount.install()?;
    let (scratch, _remove) = Undo::scratch()?;
    let is_wanted =
        |name: &str| only.is_empty() || only.iter().any(|one| name.contains(one.as_str()));
    // Of numbers, so that no word of a row comes to be shown for another reason.
    let place = |number: usize| -> Result<_> {
        let place = scratch.join(number.to_string());
        std::fs::create_dir(&place)?;
        Ok(place)
    };
    let server = Server::start(server::Kind::Moto)?;
    let mut table = Table::begin("a mount");
    for (number, (name, trouble)) in TROUBLES
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| is_wanted(name))
    {
        let (all, lost) = once(&server, *trouble, &place(number)?).context(*name)?;
        table.rows(name, &all, &lost, trouble.allowed());
    }
    if is_wanted(gone::NAME) {
        table.told(gone::run(&place(TROUBLES.len())?).context(gone::NAME));
    }
    if is_wanted(supervised::NAME) {
        let done = supervised::run(&server, &place(TROUBLES.len() + 1)?);
        table.told(done.context(supervised::NAME));
    }
    table.verdict()
}

/// One trouble: what became of each kind of call, and what was lost.
fn once(server: &Server, trouble: Trouble, scratch: &Path) -> Result<(Vec<Told>, Vec<String>)> {
    let part = scratch.file_name().context("no name")?.to_string_lossy();
    let direct = Place::of(Bucket::of(server, &server.endpoint));
    let content = direct.prepared(&part, &scratch.join("before"))?;
    let proxy = Proxy::start(&server.endpoint, Link::default(), Plan::default())?;
    proxy.keep_open();
    let bucket = Bucket::of(server, &proxy.endpoint());
    let clock = match trouble {
        Trouble::Jumps => Some(WallClock::new(scratch)?),
        _ => None,
    };
    let place = match &clock {
        Some(clock) => {
            clock.shows()?;
            // The server's own clock is right, and it looks at the dates of requests, which moto does not.
            proxy.all_meet(Some(Fault::Ahead(0)));
            Place::of(clock.given_to(bucket))
        }
        None => Place::of(bucket),
    };
    let (told, ()) = place.mounted(&scratch.join("after"), |mount| {
        let folder = mount.folder().join(&*part);
        during(&folder, &content, || match &clock {
            Some(clock) => clock.jump(),
            None => suffer(&proxy, trouble, mount),
        })
    })?;
    let lost = lost(content, server, &format!("{part}/"))?;
    Ok((told, lost))
}

fn suffer(proxy: &Proxy, trouble: Trouble, mount: &Filesystem) -> Result<()> {
    match trouble {
        Trouble::Stopped(lasting) => {
            let _stopped = mount.stop()?;
            pause(lasting);
            Ok(())
        }
        Trouble::Refused(kinds, refusal, word) => {
            proxy.meet(kinds, Some(Fault::Refused(refusal)));
            let began = now();
            let named = names(mount, word);
            pause(LASTING.saturating_sub(began.elapsed()));
            proxy.meet(kinds, None);
            named
        }
        Trouble::Jumps => Ok(()),
    }
}

/// Waits until what `status` shows has that word.
///
/// # Errors
/// It does not come, with what is shown instead.
pub(super) fn names(mount: &Filesystem, word: &str) -> Result<()> {
    let mut shown = String::new();
    wait_until("status names what is wrong", NAMED, || {
        shown = mount.shown()?;
        Ok(shown.contains(word).then_some(()))
    })
    .with_context(|| format!("status said:\n{shown}"))
}
