//! Each bad day of a network with each kind of call: the server on one side of a cable, the mount on the other, and real
//! packets dropped, refused, answered by nobody; names that are not resolved; system calls that fail.
//!
//! Laws: each trouble has a network, a server and a bucket of its own; the server is looked at from its own side, which no
//! trouble touches; what was to be hit is shown to have been hit.

mod cuts;
mod injected;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::calls::{Call, Told};
use super::moment::{Allowed, Place, Table, during, lost};
use crate::filesystem::{Bucket, Filesystem, Program};
use crate::names::{Names, Says};
use crate::network::{Network, SERVER};
use crate::proxy::{Link, Plan, Proxy};
use crate::server::{Kind, Server};
use crate::time::pause;
use crate::tools;
use crate::undo::Undo;

use cuts::{Cut, SECOND};
use injected::Injected;

/// How long a trouble lasts that passes: some tries of a request.
const LASTING: Duration = Duration::from_secs(10);
/// How much longer a call may take while a trouble lasts that no request outlasts: a call is some questions of the kernel,
/// and each is tried for a minute.
const LONG: Duration = Duration::from_secs(180);
/// How long the machine sleeps.
const ASLEEP: Duration = Duration::from_secs(40);
/// Where the server listens on its side, as most do.
const PORT: u16 = 80;
/// What it is called where names are asked for (RFC 6761, `.test`).
const NAME: &str = "s3.test";
/// The folder of the bucket.
const PART: &str = "network";
/// The endpoint is not on the client's own side.
const FLAGS: &[&str] = &["--allow-http"];

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Packets, addresses or the cable.
    Cut(&'static Cut),
    /// The daemon's system calls.
    Injected(&'static Injected),
    /// The same for so long that calls have to give up.
    Long(&'static Cut, Duration),
    /// The daemon is stopped, as by the sleep of the machine, and meanwhile this befalls it.
    Asleep(&'static Cut),
    /// What the name server says, while the connections that were there are refused.
    Names(Says),
}

impl Trouble {
    fn allowed(self) -> Allowed {
        match self {
            Self::Long(..) => Allowed {
                errors: &Call::ALL,
                away: LONG,
            },
            _ => Allowed::default(),
        }
    }
}

const WOKEN: (&str, Trouble) = (
    "asleep for 40 s, and woken with another address",
    Trouble::Asleep(&cuts::MOVED_HERE),
);

const NAMES: [(&str, Says); 4] = [
    ("names: no answer", Says::Nothing),
    ("names: the resolver fails", Says::Fails),
    ("names: no such name", Says::NoSuchName),
    ("names: the address changed", Says::Address(SECOND)),
];

/// Runs them, and prints the table. The longest of them lasts as long as `long`.
///
/// # Errors
/// Something is lost, ends in an error, or hangs.
pub(super) fn run(only: &[String], long: Duration) -> Result<()> {
    Program::Cloudmount.install()?;
    tools::programs(&["strace"])?;
    let (scratch, _remove) = Undo::scratch()?;
    let mut table = Table::begin(&format!("network, for {} s", LASTING.as_secs()));
    let cuts = cuts::ALL.iter().map(|cut| (cut.name, Trouble::Cut(cut)));
    let injected = injected::ALL.iter();
    let injected = injected.map(|one| (one.name, Trouble::Injected(one)));
    let names = NAMES.map(|(name, says)| (name, Trouble::Names(says)));
    let away = format!("packets dropped for {} s", long.as_secs());
    let others = [(&*away, Trouble::Long(&cuts::DROPPED, long)), WOKEN];
    let is_wanted =
        |name: &str| only.is_empty() || only.iter().any(|one| name.contains(one.as_str()));
    let all = cuts.chain(others).chain(injected).chain(names);
    for (number, (name, trouble)) in all.filter(|(name, _)| is_wanted(name)).enumerate() {
        let scratch = scratch.join(number.to_string());
        std::fs::create_dir(&scratch)?;
        let (all, lost) = once(trouble, &scratch).with_context(|| name.to_owned())?;
        table.rows(name, &all, &lost, trouble.allowed());
    }
    table.verdict()
}

/// One trouble: what became of each kind of call, and what was lost.
fn once(trouble: Trouble, scratch: &Path) -> Result<(Vec<Told>, Vec<String>)> {
    let network = Network::make()?;
    let server = Server::start_on(Kind::Moto, Some(&network.server))?;
    // moto ends each connection after an answer; others do not, and what befalls those that stay is the question here.
    let proxy = network.server.inside(|| {
        let anywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT));
        let (link, plan) = (Link::default(), Plan::default());
        Proxy::start_at(anywhere, &server.endpoint, link, plan)
    })?;
    proxy.keep_open();
    let names = match trouble {
        Trouble::Names(_) => Some(Names::start(&network.client, Says::Address(SERVER))?),
        _ => None,
    };
    let host = names
        .as_ref()
        .map_or_else(|| SERVER.to_string(), |_| NAME.to_owned());
    let bucket = Bucket::of(&server, &format!("http://{host}:{PORT}"));
    let place = Place::of(bucket.from(&network.client)).with(FLAGS);
    let content = place.prepared(PART, &scratch.join("before"))?;
    let (told, ()) = place.mounted(&scratch.join("after"), |mount| {
        let folder = mount.folder().join(PART);
        during(&folder, &content, || {
            suffer(trouble, &network, names.as_ref(), mount, scratch)
        })
    })?;
    let lost = lost(content, &server, &format!("{PART}/"))?;
    Ok((told, lost))
}

/// Lets it go wrong for a while.
fn suffer(
    trouble: Trouble,
    network: &Network,
    names: Option<&Names>,
    mount: &Filesystem,
    scratch: &Path,
) -> Result<()> {
    match trouble {
        Trouble::Cut(cut) => {
            cut.begin(network)?;
            pause(LASTING);
            cut.end(network)
        }
        Trouble::Long(cut, lasting) => {
            cut.begin(network)?;
            pause(lasting);
            cut.end(network)
        }
        Trouble::Asleep(cut) => {
            let process = mount.stop()?;
            cut.begin(network)?;
            pause(ASLEEP);
            drop(process);
            Ok(())
        }
        Trouble::Injected(injected) => {
            injected.inject(mount.process(), &scratch.join("strace"), || pause(LASTING))
        }
        Trouble::Names(says) => {
            let names = names.context("no name server")?;
            names.say(says);
            if says == Says::Address(SECOND) {
                cuts::MOVED.begin(network)?;
                pause(LASTING);
                return Ok(());
            }
            // Who keeps a connection asks for no name.
            cuts::REFUSED_OLD.begin(network)?;
            pause(LASTING);
            names.say(Says::Address(SERVER));
            Ok(())
        }
    }
}
