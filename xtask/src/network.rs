//! A network of its own: two network namespaces and a cable between them, a program on the one side and a server on the
//! other (`ip-netns(8)`, `veth(4)`).
//!
//! Laws: nothing of it is seen outside, and it leads nowhere else, so that no packet leaves this machine; it is taken away
//! with what is held. What a thread opens on a side stays there.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use rustix::fd::AsFd as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::run::Run;
use crate::undo::{Act, Undo};
use crate::{place, tools};

/// The end of the cable, on each side.
pub(crate) const CABLE: &str = "cable";
/// Addresses that are nobody's (RFC 5737, TEST-NET-1): the client's, and the server's.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// How many bits of them name the network.
pub(crate) const BITS: &str = "24";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// One side.
#[derive(Clone, Debug)]
pub(crate) struct Side(String);

/// Both.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) client: Side,
    pub(crate) server: Side,
    // The cable goes with either of them.
    _ends: [Undo; 2],
}

/// Why there can be none on this machine; `None` if there can.
pub(crate) fn missing() -> Option<&'static str> {
    match (
        place::is_root(),
        PathBuf::from("/proc/self/ns/net").exists(),
    ) {
        (false, _) => Some("network namespaces need root"),
        (_, false) => Some("this kernel has no network namespaces"),
        _ => None,
    }
}

impl Network {
    /// Lays the cable, both ends up.
    ///
    /// # Errors
    /// The kernel does not let it.
    pub(crate) fn make() -> Result<Self> {
        tools::programs(&["ip", "nft", "nsenter"])?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |side| format!("cloudmount-{}-{number}-{side}", std::process::id());
        let (client, first) = Side::make(name("client"))?;
        let (server, second) = Side::make(name("server"))?;
        Run::new("ip")
            .args("link add name")
            .args(CABLE)
            .args("netns")
            .arg(&client.0)
            .args("type veth peer name")
            .args(CABLE)
            .args("netns")
            .arg(&server.0)
            .ok()?;
        for (side, address) in [(&client, CLIENT), (&server, SERVER)] {
            side.ip(&format!("address add {address}/{BITS} dev {CABLE}"))?;
            side.ip(&format!("link set {CABLE} up"))?;
        }
        Ok(Self {
            client,
            server,
            _ends: [first, second],
        })
    }
}

impl Side {
    fn make(name: String) -> Result<(Self, Undo)> {
        Run::new("ip").args("netns add").arg(&name).ok()?;
        let undo = Undo::new(Act::Namespace(name.clone()));
        let side = Self(name);
        side.ip("link set lo up")?;
        Ok((side, undo))
    }

    /// Runs `ip` there, with arguments that are cut at blanks.
    ///
    /// # Errors
    /// It says why.
    pub(crate) fn ip(&self, arguments: &str) -> Result<()> {
        self.run("ip").args(arguments).ok().map(drop)
    }

    /// Has `nft` do that there.
    ///
    /// # Errors
    /// It says why.
    pub(crate) fn nft(&self, commands: &str) -> Result<()> {
        self.run("nft").arg(commands).ok().map(drop)
    }

    /// A program that runs there. Folders and mounts are those of this machine.
    pub(crate) fn run(&self, program: impl AsRef<OsStr>) -> Run {
        Run::new("nsenter").arg(self.flag()).arg(program)
    }

    /// The same command, to run there. Its process is the program itself.
    pub(crate) fn command(&self, command: &Command) -> Command {
        let mut there = Command::new("nsenter");
        there.arg(self.flag()).arg(command.get_program());
        there.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }

    /// What `work` gives on a thread that is there, as are the threads that it starts.
    ///
    /// # Errors
    /// Those of `work`, or the side is gone.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let done = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = std::fs::File::open(self.file())?;
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .context("going into a network namespace")?;
                work()
            });
            thread.join()
        });
        match done {
            Ok(done) => done,
            Err(_) => bail!(anyhow!("what ran in a network namespace broke")),
        }
    }

    fn file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }

    fn flag(&self) -> String {
        format!("--net={}", self.file().display())
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;
    use crate::run::in_path;
    use crate::say::say;

    #[test]
    fn the_sides_see_each_other_and_nothing_else() {
        let why = missing().or_else(|| (!in_path("ip")).then_some("no iproute2"));
        if let Some(why) = why {
            say!("skipped: {why}");
            return;
        }
        let network = Network::make().unwrap();
        let listener = network
            .server
            .inside(|| Ok(TcpListener::bind((SERVER, 0))?))
            .unwrap();
        let place = listener.local_addr().unwrap();
        let soon = Duration::from_secs(2);
        let reach = |side: &Side| side.inside(|| Ok(TcpStream::connect_timeout(&place, soon)?));
        assert!(reach(&network.client).is_ok());
        // The same addresses, and other sides.
        let other = Network::make().unwrap();
        assert!(reach(&other.client).is_err());
        network
            .server
            .ip(&format!("link set {CABLE} down"))
            .unwrap();
        assert!(reach(&network.client).is_err());
        let name = network.client.0.clone();
        drop(network);
        let left = Run::new("ip").args("netns list").ok().unwrap();
        assert!(!left.contains(&name), "{left}");
    }
}
