//! A proxy of HTTP/1.1 on loopback in front of an S3 server: it makes a link slow, requests fail, and
//! counts both. It lives as long as [`Proxy`] is held.
//!
//! Laws: what is forwarded is forwarded byte for byte, so that signatures hold, but for what an answer says of its connection
//! where those are to stay; which request fails is
//! decided by the plan's seed and the request's number among its kind, not by the time of day; every
//! wait is bounded; when the proxy is dropped its threads are gone.

mod count;
mod exchange;
mod head;
mod kind;
mod link;
mod pipe;
mod plan;
mod skew;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, Result};

use crate::time::pause;

use count::Counters;
pub(crate) use count::Counts;
pub(crate) use kind::Kind;
pub(crate) use link::Link;
use link::Shaper;
pub(crate) use plan::{Fault, Plan, Refusal, Rule};

/// Any port of this machine.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Clients here use some dozens of connections; each costs a thread.
const MOST_CONNECTIONS: usize = 512;
/// How long the receive buffer of a limited link is: with the usual megabytes a small upload would be gone
/// from its sender's sight before the limit is felt.
const LIMITED_BUFFER: usize = 64 << 10;
/// How long a full proxy rests before it looks for a free connection again.
const FULL: std::time::Duration = std::time::Duration::from_millis(5);

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    shaper: Shaper,
    plan: Plan,
    /// What requests of these kinds meet now, whatever the plan says.
    mood: Mutex<Option<(Vec<Kind>, Fault)>>,
    /// Whether connections stay that the server would end.
    keeps_open: AtomicBool,
    counters: Counters,
    stopping: AtomicBool,
    next: AtomicU64,
    /// Both ends of each exchange, so that a stop can wake who reads. Held, not duplicated: a reset is only
    /// sent when the last holder lets go.
    open: Mutex<HashMap<u64, Arc<TcpStream>>>,
}

impl Proxy {
    /// Starts one in front of `upstream`, as `http://127.0.0.1:9000`.
    ///
    /// # Errors
    /// `upstream` is no `http://` address, or nothing can be bound.
    pub(crate) fn start(upstream: &str, link: Link, plan: Plan) -> Result<Self> {
        Self::start_at(ANY_PORT, upstream, link, plan)
    }

    /// The same at that address, as where one was before.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn start_at(
        address: SocketAddr,
        upstream: &str,
        link: Link,
        plan: Plan,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address)?;
        if link.is_limited() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&listener, LIMITED_BUFFER)?;
        }
        let shared = Arc::new(Shared {
            upstream: address_of(upstream)?,
            shaper: Shaper::new(link),
            plan,
            mood: Mutex::default(),
            keeps_open: AtomicBool::new(false),
            counters: Counters::default(),
            stopping: AtomicBool::new(false),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let address = listener.local_addr()?;
        let listener = Arc::new(listener);
        let (for_threads, doorbell) = (Arc::clone(&shared), Arc::clone(&listener));
        let accept = std::thread::Builder::new()
            .name("proxy".into())
            .spawn(move || accept(&doorbell, &for_threads))?;
        Ok(Self {
            address,
            listener,
            shared,
            accept: Some(accept),
        })
    }

    /// Where clients reach it, as `http://127.0.0.1:40001`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on every request meets that; `None`: what the plan says.
    pub(crate) fn all_meet(&self, fault: Option<Fault>) {
        self.meet(&Kind::ALL, fault);
    }

    /// The same of requests of these kinds only.
    pub(crate) fn meet(&self, kinds: &[Kind], fault: Option<Fault>) {
        let mood = fault.map(|fault| (kinds.to_vec(), fault));
        *self
            .shared
            .mood
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// From now on connections of clients stay, as at most servers, also where the server behind ends its own after each answer.
    pub(crate) fn keep_open(&self) {
        self.shared.keeps_open.store(true, Ordering::SeqCst);
    }

    /// What passed so far.
    pub(crate) fn counts(&self) -> Counts {
        self.shared.counters.look()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // It sleeps in `accept` until somebody comes, or nobody can any more (shutdown(2); not by a connection: the proxy
        // may be on a side of a network where this thread is not).
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(accept) = self.accept.take() {
            drop(accept.join());
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<TcpStream>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keeps_open(&self) -> bool {
        self.keeps_open.load(Ordering::SeqCst)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// The fault of the request that is the `number`-th of its kind.
    fn fault(&self, kind: Kind, number: u64) -> Option<Fault> {
        let mood = self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        let met = mood.as_ref().filter(|(kinds, _)| kinds.contains(&kind));
        met.map(|(_, fault)| *fault)
            .or_else(|| self.plan.fault(kind, number))
    }

    /// Keeps `stream` in sight until the result is dropped.
    fn watch(self: &Arc<Self>, stream: TcpStream) -> Watched {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let stream = Arc::new(stream);
        self.open().insert(id, Arc::clone(&stream));
        if self.is_stopping() {
            drop(stream.shutdown(Shutdown::Both));
        }
        Watched {
            id,
            stream,
            shared: Arc::clone(self),
        }
    }
}

/// A connection that a stop ends.
#[derive(Debug)]
struct Watched {
    id: u64,
    stream: Arc<TcpStream>,
    shared: Arc<Shared>,
}

impl Watched {
    /// Ends it so that the other side gets a reset (`SO_LINGER` of zero: socket(7), tcp(7)).
    fn reset(self) {
        let at_once = Some(std::time::Duration::ZERO);
        // Without it the other side sees an ordinary end, which is a failure, too.
        let _ = rustix::net::sockopt::set_socket_linger(&*self.stream, at_once);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.shared.open().remove(&self.id);
    }
}

/// Takes connections until the proxy stops, and then ends and awaits them all.
fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        while threads.len() >= MOST_CONNECTIONS && !shared.is_stopping() {
            pause(FULL);
            threads.retain(|thread| !thread.is_finished());
        }
        if shared.is_stopping() {
            break;
        }
        threads.retain(|thread| !thread.is_finished());
        shared.counters.connected();
        let client = shared.watch(stream);
        // Without a thread the connection is closed, as by a server that is full.
        if let Ok(thread) = std::thread::Builder::new()
            .name("proxied".into())
            .spawn(move || exchange::serve(client))
        {
            threads.push(thread);
        }
    }
    for stream in shared.open().values() {
        drop(stream.shutdown(Shutdown::Both));
    }
    for thread in threads {
        drop(thread.join());
    }
}

/// The address in `http://ADDRESS:PORT`.
fn address_of(upstream: &str) -> Result<SocketAddr> {
    let place = upstream
        .strip_prefix("http://")
        .with_context(|| format!("{upstream}: the proxy speaks http:// only"))?;
    std::net::ToSocketAddrs::to_socket_addrs(place.trim_end_matches('/'))
        .with_context(|| format!("{upstream}: needs a host and a port"))?
        .next()
        .with_context(|| format!("{upstream}: has no address"))
}
