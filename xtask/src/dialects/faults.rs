//! Each fault with each kind of call, on a real mount of moto behind the faulty proxy: the longest call, what was lost,
//! and how soon calls work again.
//!
//! Laws: a fault takes every request while it lasts; what a call accepted is in the bucket after the mount has ended. A call
//! that ends in an error, as where a server refuses at once for longer than requests are tried again, is told, and fails
//! the run.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::calls::Told;
use super::moment::{Allowed, Place, Table, during, lost};
use crate::filesystem::{Bucket, Program};
use crate::proxy::{Fault, Link, Plan, Proxy};
use crate::server::{Kind, Server};
use crate::time::pause;
use crate::undo::Undo;

/// How long it lasts: some tries of a request.
const LASTING: Duration = Duration::from_secs(10);
/// What servers ask to wait, in seconds.
const RETRY_AFTER: u64 = 2;

/// How far the server's clock jumps, in seconds: more than servers take.
const SKEW_SECS: i64 = 1200;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// Nobody listens.
    Down,
    /// Every request meets this.
    Answers(Fault),
}

const TROUBLES: [(&str, Trouble); 8] = [
    ("server down", Trouble::Down),
    ("hang before the first byte", Trouble::Answers(Fault::Hang)),
    ("stalled body", Trouble::Answers(Fault::Stall)),
    ("reset in the body", Trouble::Answers(Fault::ResetReply)),
    ("500", Trouble::Answers(Fault::Error)),
    (
        "503 SlowDown, Retry-After",
        Trouble::Answers(Fault::SlowDown(Some(RETRY_AFTER))),
    ),
    (
        "403 as throttling",
        Trouble::Answers(Fault::Throttle(RETRY_AFTER)),
    ),
    (
        "the server's clock 20 min ahead",
        Trouble::Answers(Fault::Ahead(SKEW_SECS)),
    ),
];

/// Runs them, and prints the table.
///
/// # Errors
/// Something is lost, ends in an error, or hangs.
pub(super) fn run(only: &[String]) -> Result<()> {
    Program::Cloudmount.install()?;
    let server = Server::start(Kind::Moto)?;
    let (scratch, _remove) = Undo::scratch()?;
    let mut table = Table::begin(&format!("every request for {} s", LASTING.as_secs()));
    let is_wanted =
        |name: &str| only.is_empty() || only.iter().any(|one| name.contains(one.as_str()));
    for (number, (name, trouble)) in TROUBLES
        .iter()
        .enumerate()
        .filter(|(_, (name, _))| is_wanted(name))
    {
        let scratch = scratch.join(number.to_string());
        std::fs::create_dir(&scratch)?;
        let (all, lost) =
            once(&server, number, *trouble, &scratch).with_context(|| (*name).to_owned())?;
        table.rows(name, &all, &lost, Allowed::default());
    }
    table.verdict()
}

/// One fault: what became of each kind of call, and what was lost.
fn once(
    server: &Server,
    number: usize,
    trouble: Trouble,
    scratch: &Path,
) -> Result<(Vec<Told>, Vec<String>)> {
    let part = format!("fault-{number}");
    let direct = Place::of(Bucket::of(server, &server.endpoint));
    let content = direct.prepared(&part, &scratch.join("before"))?;
    let proxy = Proxy::start(&server.endpoint, Link::default(), Plan::default())?;
    let place = Place::of(Bucket::of(server, &proxy.endpoint()));
    // The proxy is given back: the end of the mount needs it.
    let (told, _proxy) = place.mounted(&scratch.join("after"), |mount| {
        let folder = mount.folder().join(&part);
        during(&folder, &content, || suffer(server, proxy, trouble))
    })?;
    let lost = lost(content, server, &format!("{part}/"))?;
    Ok((told, lost))
}

/// Lets it go wrong for a while.
fn suffer(server: &Server, proxy: Proxy, trouble: Trouble) -> Result<Proxy> {
    match trouble {
        Trouble::Answers(fault) => {
            proxy.all_meet(Some(fault));
            pause(LASTING);
            proxy.all_meet(None);
            Ok(proxy)
        }
        Trouble::Down => {
            let place = proxy.address();
            drop(proxy);
            pause(LASTING);
            Proxy::start_at(place, &server.endpoint, Link::default(), Plan::default())
        }
    }
}
