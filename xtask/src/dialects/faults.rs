//! Each fault with each kind of call, on a real mount of moto behind the faulty proxy: the longest call, what was lost,
//! and how soon calls work again.
//!
//! Laws: a fault takes every request while it lasts; what a call accepted is in the bucket after the mount has ended. A call
//! that ends in an error, as where a server refuses at once for longer than requests are tried again, is told, and fails
//! the run.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::calls::{Call, Ended, LONGEST, Told, repeat};
use super::tree::{Wanted as Content, prepare};
use crate::filesystem::{Bucket, Program, Wanted};
use crate::proxy::{Fault, Link, Plan, Proxy};
use crate::say::say;
use crate::server::{Kind, Server};
use crate::time::pause;
use crate::undo::{Act, Undo};

/// Before the fault.
const CALM: Duration = Duration::from_secs(1);
/// How long it lasts: some tries of a request.
const LASTING: Duration = Duration::from_secs(10);
/// What servers ask to wait, in seconds.
const RETRY_AFTER: u64 = 2;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trouble {
    /// Nobody listens.
    Down,
    /// Every request meets this.
    Answers(Fault),
}

const TROUBLES: [(&str, Trouble); 7] = [
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
];

/// Runs them, and prints the table.
///
/// # Errors
/// Something is lost, ends in an error, or hangs.
pub(super) fn run(only: &[String]) -> Result<()> {
    Program::Cloudmount.install()?;
    let server = Server::start(Kind::Moto)?;
    let scratch = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
    let scratch = scratch.keep();
    let _remove = Undo::new(Act::Remove(scratch.clone()));
    say!(
        "| every request for {} s | call | calls | longest | data lost | errors | works again after |",
        LASTING.as_secs()
    );
    say!("|---|---|---|---|---|---|---|");
    let mut wrong = Vec::new();
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
        for told in all {
            let errors = told.errors.0;
            say!(
                "| {name} | {} | {} | {:.1} s | {} | {errors} | {:.1} s |",
                told.call.name(),
                told.calls,
                told.longest.as_secs_f64(),
                lost.len(),
                told.recovered.as_secs_f64(),
            );
            if errors > 0 || told.longest > LONGEST {
                wrong.push(format!("{name}, {}: {}", told.call.name(), told.errors.1));
            }
        }
        if !lost.is_empty() {
            wrong.push(format!("{name}: lost {lost:?}"));
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}

/// One fault: what became of each kind of call, and what was lost.
fn once(
    server: &Server,
    number: usize,
    trouble: Trouble,
    scratch: &Path,
) -> Result<(Vec<Told>, Vec<String>)> {
    let part = format!("fault-{number}");
    let content = mounted(
        server,
        &server.endpoint,
        &scratch.join("before"),
        |folder| {
            let folder = folder.join(&part);
            std::fs::create_dir(&folder)?;
            prepare(&folder)
        },
    )?;
    let content = Mutex::new(content);
    let proxy = Proxy::start(&server.endpoint, Link::default(), Plan::default())?;
    let endpoint = proxy.endpoint();
    let told = mounted(server, &endpoint, &scratch.join("after"), |folder| {
        during(server, proxy, trouble, &folder.join(&part), &content)
    })?;
    let content = content.into_inner().unwrap_or_else(PoisonError::into_inner);
    let lost = content.lost(server, &format!("{part}/"))?;
    say!("<!-- {} objects compared -->", content.len());
    Ok((told.0, lost))
}

/// What `work` gives on a mount of the bucket at `endpoint`, which has ended in good order afterwards.
fn mounted<T>(
    server: &Server,
    endpoint: &str,
    scratch: &Path,
    work: impl FnOnce(&Path) -> Result<T>,
) -> Result<T> {
    std::fs::create_dir(scratch)?;
    let folder = tempfile::Builder::new().prefix("cloudmount-").tempdir()?;
    let bucket = Bucket::of(server, endpoint);
    let wanted = Wanted {
        program: Program::Cloudmount,
        bucket: Some(&bucket),
        folder: folder.path(),
        scratch,
        more: &[],
    };
    let mount = wanted.mount()?;
    let done = work(mount.folder()).with_context(|| format!("the mount said: {}", mount.said()))?;
    mount.end()?;
    Ok(done)
}

/// Calls before, during and after the fault. The proxy is given back: the end of the mount needs it.
fn during(
    server: &Server,
    proxy: Proxy,
    trouble: Trouble,
    folder: &Path,
    content: &Mutex<Content>,
) -> Result<(Vec<Told>, Proxy)> {
    let ended = Ended::default();
    std::thread::scope(|scope| {
        let callers: Vec<_> = Call::ALL
            .into_iter()
            .map(|call| {
                let ended = &ended;
                scope.spawn(move || repeat(call, folder, content, ended))
            })
            .collect();
        pause(CALM);
        let proxy = suffer(server, proxy, trouble);
        // Also where that failed: the callers wait for it.
        ended.now();
        let told = callers.into_iter().map(|caller| {
            let told = caller.join().map_err(|_| anyhow!("a caller broke"));
            told.and_then(|told| told)
        });
        let told = told.collect::<Result<Vec<_>>>()?;
        Ok((told, proxy?))
    })
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
