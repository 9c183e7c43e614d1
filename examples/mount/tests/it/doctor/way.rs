//! Faults of the way to the endpoint, and of what is there.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

use super::fault::{Fault, Needs, Patient, SECRET, Verdict, fault};
use super::tls;
use crate::server::{Mood, Server};
use crate::world::World;

pub(super) const FAULTS: &[Fault] = &[
    Fault {
        words: &[
            "no-such-host.invalid has no address",
            "--endpoint",
            "name server",
        ],
        ..fault("the name is not resolved", "name", |world| {
            asking(world, "https://no-such-host.invalid")
        })
    },
    Fault {
        words: &["nobody answers", "refused", "check the port"],
        ..fault("the port is closed", "connection", |world| {
            let closed = TcpListener::bind("127.0.0.1:0").unwrap();
            let place = closed.local_addr().unwrap();
            drop(closed);
            asking(world, &format!("http://{place}"))
        })
    },
    Fault {
        words: &["nobody answers", "nothing for 10 s", "the firewall"],
        ..fault("packets are dropped", "connection", |world| {
            let full = Full::new();
            asking(world, &format!("http://{}", full.place)).keeping(full)
        })
    },
    Fault {
        words: &["nobody answers", "nreachable", "check the port"],
        needs: Needs::Root,
        ..fault("there is no network", "connection", |world| {
            let alone = |world: &World| {
                let mut command = world.command("unshare");
                command.arg("--net").arg(env!("CARGO_BIN_EXE_cloudmount"));
                command
            };
            asking(world, "http://127.0.0.1:9000").by(alone)
        })
    },
    Fault {
        words: &[
            "gives no answer of HTTP",
            "nothing for 10 s",
            "something else listens there",
        ],
        ..fault(
            "the server takes connections and says nothing",
            "answer",
            |world| {
                let silent = TcpListener::bind("127.0.0.1:0").unwrap();
                let place = silent.local_addr().unwrap();
                asking(world, &format!("http://{place}")).keeping(silent)
            },
        )
    },
    Fault {
        words: &[
            "gives no answer of HTTP",
            "broke",
            "something else listens there",
        ],
        ..fault("something else listens there", "answer", |world| {
            let place = talking(|mut stream| {
                // Who asks may have left.
                let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n");
                let _ = stream.read(&mut [0; 1024]);
            });
            asking(world, &format!("http://{place}"))
        })
    },
    Fault {
        words: &["speaks plain http, not TLS", "write http://"],
        ..fault("https:// where plain http is spoken", "tls", |world| {
            let server = Server::start(Mood::Kind);
            asking(world, &server.address.replacen("http", "https", 1)).keeping(server)
        })
    },
    Fault {
        words: &["speaks TLS, not plain http", "write https://"],
        ..fault("http:// where TLS is spoken", "tls", |world| {
            let port = tls::serve(tls::UNKNOWN);
            asking(world, &format!("http://127.0.0.1:{port}"))
        })
    },
    Fault {
        words: &["not encrypted", "--allow-http"],
        ..fault("http:// to another machine", "settings", |world| {
            asking(world, "http://example.com")
        })
    },
    Fault {
        words: &["a query", "https://s3.example.com"],
        ..fault("an address that is none", "endpoint", |world| {
            asking(world, "https://host?x")
        })
    },
    Fault {
        verdict: Verdict::Warn,
        words: &[
            "ahead of the server's: requests",
            "timedatectl set-ntp true",
        ],
        ..fault("the clocks are an hour apart", "clock", |world| {
            let ago = Command::new("date")
                .env("LC_ALL", "C")
                .args(["-u", "-d", "1 hour ago", "+%a, %d %b %Y %H:%M:%S GMT"])
                .output()
                .unwrap();
            let server = Server::start(Mood::Kind);
            server.date(String::from_utf8(ago.stdout).unwrap().trim());
            asking(world, &server.address).keeping(server)
        })
    },
];

/// The doctor, asked about a bucket at that endpoint, with keys.
pub(super) fn asking(world: World, endpoint: &str) -> Patient {
    with_keys(world, &["s3://pail", "--endpoint", endpoint])
}

/// The doctor with keys in the environment.
pub(super) fn with_keys(mut world: World, arguments: &[&str]) -> Patient {
    world.set("AWS_ACCESS_KEY_ID", "id");
    world.set("AWS_SECRET_ACCESS_KEY", SECRET);
    Patient::new(world, arguments)
}

/// A port at which `talk` meets each connection.
fn talking(talk: fn(TcpStream)) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(talk));
    place
}

/// A port whose queue is full: the kernel drops whoever else wants to connect, as a firewall does.
struct Full {
    place: std::net::SocketAddr,
    _queue: rustix::fd::OwnedFd,
    _queued: Vec<TcpStream>,
}

impl Full {
    fn new() -> Self {
        let queue = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&queue, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        listen(&queue, 0).unwrap();
        let place = std::net::SocketAddr::try_from(getsockname(&queue).unwrap()).unwrap();
        let enter = || TcpStream::connect_timeout(&place, Duration::from_millis(500));
        let queued = std::iter::from_fn(|| enter().ok()).take(16).collect();
        Self {
            place,
            _queue: queue,
            _queued: queued,
        }
    }
}
