//! What passed the proxy: requests, bytes of bodies, answers and faults, by kind of request.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::kind::Kind;
use super::link::Way;

const KINDS: usize = Kind::ALL.len();

/// Counters that all connections add to.
#[derive(Debug, Default)]
pub(super) struct Counters {
    connections: AtomicU64,
    kinds: [Cells; KINDS],
}

#[derive(Debug, Default)]
struct Cells {
    requests: AtomicU64,
    faults: AtomicU64,
    refused: AtomicU64,
    up_bytes: AtomicU64,
    down_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A request begins; the answer is its number among its kind, from 1 on.
    pub(super) fn begin(&self, kind: Kind) -> u64 {
        let cell = &self.kinds[kind as usize].requests;
        cell.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn fault(&self, kind: Kind) {
        let cell = &self.kinds[kind as usize].faults;
        cell.fetch_add(1, Ordering::Relaxed);
    }

    /// The server itself answered with `status`.
    pub(super) fn answered(&self, kind: Kind, status: u16) {
        if status >= 400 {
            let cell = &self.kinds[kind as usize].refused;
            cell.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Bytes of a body went one way.
    pub(super) fn passed(&self, kind: Kind, way: Way, bytes: usize) {
        let cells = &self.kinds[kind as usize];
        let cell = match way {
            Way::Up => &cells.up_bytes,
            Way::Down => &cells.down_bytes,
        };
        cell.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What they say now.
    pub(super) fn look(&self) -> Counts {
        let read = |cell: &AtomicU64| cell.load(Ordering::Relaxed);
        Counts {
            connections: read(&self.connections),
            kinds: std::array::from_fn(|at| Count {
                requests: read(&self.kinds[at].requests),
                faults: read(&self.kinds[at].faults),
                refused: read(&self.kinds[at].refused),
                up_bytes: read(&self.kinds[at].up_bytes),
                down_bytes: read(&self.kinds[at].down_bytes),
            }),
        }
    }
}

/// Counts of one kind of request, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    /// Requests whose head came, failed ones too.
    pub(crate) requests: u64,
    /// Those that were made to fail.
    pub(crate) faults: u64,
    /// Those that the server itself answered with 400 or above.
    pub(crate) refused: u64,
    /// Bytes of bodies to the server, framing of chunks included.
    pub(crate) up_bytes: u64,
    /// Bytes of bodies to the client.
    pub(crate) down_bytes: u64,
}

/// What passed, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// How many connections were opened.
    pub(crate) connections: u64,
    kinds: [Count; KINDS],
}

impl Counts {
    /// Of one kind.
    pub(crate) fn of(&self, kind: Kind) -> Count {
        self.kinds[kind as usize]
    }

    /// Of all kinds together.
    pub(crate) fn all(&self) -> Count {
        self.kinds.iter().fold(Count::default(), |sum, one| Count {
            requests: sum.requests + one.requests,
            faults: sum.faults + one.faults,
            refused: sum.refused + one.refused,
            up_bytes: sum.up_bytes + one.up_bytes,
            down_bytes: sum.down_bytes + one.down_bytes,
        })
    }

    /// What passed since `earlier`, which the same proxy said.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self {
            connections: self.connections - earlier.connections,
            kinds: std::array::from_fn(|at| {
                let (now, then) = (self.kinds[at], earlier.kinds[at]);
                Count {
                    requests: now.requests - then.requests,
                    faults: now.faults - then.faults,
                    refused: now.refused - then.refused,
                    up_bytes: now.up_bytes - then.up_bytes,
                    down_bytes: now.down_bytes - then.down_bytes,
                }
            }),
        }
    }
}

/// As `put 12 (3 faults), list 2; 40960 bytes up, 512 down, 3 connections`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for kind in Kind::ALL {
            let count = self.of(kind);
            if count.requests == 0 {
                continue;
            }
            let comma = if first { "" } else { ", " };
            first = false;
            write!(f, "{comma}{} {}", kind.name(), count.requests)?;
            match (count.faults, count.refused) {
                (0, 0) => {}
                (faults, 0) => write!(f, " ({faults} faults)")?,
                (0, refused) => write!(f, " ({refused} refused)")?,
                (faults, refused) => write!(f, " ({faults} faults, {refused} refused)")?,
            }
        }
        let all = self.all();
        write!(
            f,
            "; {} bytes up, {} down, {} connections",
            all.up_bytes, all.down_bytes, self.connections
        )
    }
}
