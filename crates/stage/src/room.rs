//! [`Room`]: how many bytes of staged files may lie on the disk, and who waits for some of them.
//!
//! Laws:
//! - What lies there is taken before it is written, so that it never exceeds the limit but for what
//!   an earlier process left, and for what must be kept whatever it takes ([`Turn::Must`]).
//! - Who waits is served in the order of coming, and nobody who came later takes room before: no
//!   writer starves.
//! - A part of the limit is kept for small files: who writes one does not wait behind who writes
//!   large ones.
//!
//! *Invariant:* the lock in here is the innermost one of the crate: nothing is called while it is
//! held but the wakers of those who wait.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Bytes of a block: what the filesystems of Linux allocate by. Room is counted in whole blocks.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// Of the limit, what is kept for small files and for fills: a sixteenth.
const KEPT_SHARE: u64 = 16;

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// After those who wait.
    InLine,
    /// Before them, within the limit: uploads may wait for it, or it is little.
    First,
    /// Whatever the limit says.
    Must,
}

/// The budget.
#[derive(Debug)]
pub(crate) struct Room(Mutex<State>);

#[derive(Debug)]
struct State {
    limit: u64,
    used: u64,
    line: VecDeque<InLine>,
    next: u64,
    /// Raised whenever uploads got further.
    progress: u64,
}

/// Someone who waits.
#[derive(Debug)]
struct InLine {
    number: u64,
    bytes: u64,
    granted: oneshot::Sender<()>,
}

impl Room {
    /// Room for `limit` bytes.
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            limit,
            used: 0,
            line: VecDeque::new(),
            next: 0,
            progress: 0,
        })))
    }

    /// Takes room at once, if there is any.
    pub(crate) fn take(&self, bytes: u64, turn: Turn) -> bool {
        if bytes == 0 {
            return true;
        }
        let mut state = self.0.lock();
        let may = match turn {
            Turn::InLine => state.line.is_empty() && state.fits(bytes),
            Turn::First => state.used.saturating_add(bytes) <= state.limit,
            Turn::Must => true,
        };
        if may {
            state.used += bytes;
        }
        may
    }

    /// Gives room back, to those who wait first.
    pub(crate) fn give_back(&self, bytes: u64) {
        if bytes == 0 {
            return;
        }
        let mut state = self.0.lock();
        state.used = state.used.saturating_sub(bytes);
        state.progress += 1;
        state.serve();
    }

    /// Notes that an upload got further, though it has not made room yet.
    pub(crate) fn note_progress(&self) {
        self.0.lock().progress += 1;
    }

    /// Changes whenever an upload got further, or made room.
    pub(crate) fn progress(&self) -> u64 {
        self.0.lock().progress
    }

    /// Gets in line. The room is taken when the future is ready, and given back if it is dropped
    /// before.
    pub(crate) fn wait(self: &Arc<Self>, bytes: u64) -> Waiting {
        let (granted, grant) = oneshot::channel();
        let mut state = self.0.lock();
        let number = state.next;
        state.next += 1;
        state.line.push_back(InLine {
            number,
            bytes,
            granted,
        });
        state.serve();
        drop(state);
        Waiting {
            room: Arc::clone(self),
            number,
            bytes,
            grant: Some(grant),
        }
    }

    /// Bytes that lie on the disk, or are about to.
    pub(crate) fn used(&self) -> u64 {
        self.0.lock().used
    }

    /// What one who waits can have at most, in bytes.
    pub(crate) fn largest(&self) -> u64 {
        let limit = self.limit();
        limit - limit / KEPT_SHARE
    }

    /// The limit in bytes.
    pub(crate) fn limit(&self) -> u64 {
        self.0.lock().limit
    }

    /// How many bytes should be freed: so that those who wait, and the next ones, find some. None as
    /// long as less than three quarters are in use.
    pub(crate) fn lacking(&self) -> u64 {
        let state = self.0.lock();
        let waited: u64 = state.line.iter().map(|waits| waits.bytes).sum();
        let wanted = state.used.saturating_add(waited);
        wanted.saturating_sub(state.limit / 4 * 3)
    }

    /// Whether anybody waits.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.0.lock().line.is_empty()
    }

    /// How many wait.
    pub(crate) fn waiters(&self) -> usize {
        self.0.lock().line.len()
    }
}

impl State {
    /// Whether there is room for who waits in line.
    const fn fits(&self, bytes: u64) -> bool {
        self.used.saturating_add(bytes) <= self.limit - self.limit / KEPT_SHARE
    }

    /// Gives room to the first in line, as long as there is enough for them.
    fn serve(&mut self) {
        while let Some(first) = self.line.front()
            && self.fits(first.bytes)
            && let Some(first) = self.line.pop_front()
        {
            self.used += first.bytes;
            if first.granted.send(()).is_err() {
                // It left just now.
                self.used -= first.bytes;
            }
        }
    }
}

/// Someone in line.
#[derive(Debug)]
pub(crate) struct Waiting {
    room: Arc<Room>,
    number: u64,
    bytes: u64,
    grant: Option<oneshot::Receiver<()>>,
}

impl Waiting {
    /// Whether nobody is before.
    pub(crate) fn is_first(&self) -> bool {
        let state = self.room.0.lock();
        let first = state.line.front();
        first.is_some_and(|first| first.number == self.number)
    }
}

impl Future for Waiting {
    type Output = Reserved;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Reserved> {
        if let Some(grant) = &mut self.grant {
            match Pin::new(grant).poll(cx) {
                // Nobody drops the other end before it is used.
                Poll::Ready(_) => self.grant = None,
                Poll::Pending => return Poll::Pending,
            }
        }
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready(Reserved {
            room: Some(Arc::clone(&self.room)),
            bytes,
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(mut grant) = self.grant.take() else {
            return;
        };
        let mut state = self.room.0.lock();
        let in_line = (state.line.iter()).position(|waits| waits.number == self.number);
        if let Some(at) = in_line {
            state.line.remove(at);
        } else if grant.try_recv().is_ok() {
            state.used = state.used.saturating_sub(self.bytes);
        }
        state.serve();
    }
}

/// Room that is taken and not used yet; given back when it is dropped.
#[derive(Debug, Default)]
pub struct Reserved {
    room: Option<Arc<Room>>,
    bytes: u64,
}

impl Reserved {
    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// `bytes` of room: of this, and what is lacking from `room`. Without effect if there is not
    /// enough.
    pub(crate) fn split(&mut self, room: &Arc<Room>, bytes: u64, turn: Turn) -> Option<Self> {
        let lacking = bytes.saturating_sub(self.bytes);
        if !room.take(lacking, turn) {
            return None;
        }
        self.bytes -= bytes - lacking;
        Some(Self {
            room: (bytes > 0).then(|| Arc::clone(room)),
            bytes,
        })
    }

    /// It is used: something lies there now.
    pub(crate) fn spend(mut self) {
        self.bytes = 0;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(room) = &self.room {
            room.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn nobody_goes_before_who_came_first() {
        let room = Room::new(100);
        assert!(room.take(60, Turn::InLine));
        let mut large = room.wait(80);
        let mut small = room.wait(10);
        assert!((&mut large).now_or_never().is_none());
        assert!((&mut small).now_or_never().is_none(), "though it would fit");
        assert!(!room.take(10, Turn::InLine), "though it would fit");
        assert!(room.take(10, Turn::First));
        assert!(!room.take(50, Turn::First));
        room.give_back(70);
        let large = large.now_or_never().expect("its turn");
        let small = small.now_or_never().expect("it fits beside");
        assert_eq!(room.used(), 90);
        drop((large, small));
        assert_eq!(room.used(), 0);
        assert!(!room.is_awaited());
    }

    #[test]
    fn who_writes_little_does_not_wait_behind_who_writes_much() {
        let room = Room::new(1600);
        assert!(room.take(1500, Turn::InLine));
        let large = room.wait(300);
        assert!(!room.take(1, Turn::InLine));
        for _ in 0..100 {
            assert!(room.take(1, Turn::First));
        }
        assert!(!room.take(1, Turn::First), "the limit holds for all");
        room.give_back(300);
        assert!(large.now_or_never().is_none(), "what is kept is not for it");
    }

    #[test]
    fn who_leaves_the_line_lets_the_others_through() {
        let room = Room::new(100);
        assert!(room.take(60, Turn::InLine));
        let large = room.wait(80);
        let small = room.wait(30);
        drop(large);
        let small = small.now_or_never().expect("it fits");
        assert_eq!(room.used(), 90);
        // Granted, and dropped before it was looked at.
        room.give_back(60);
        let unseen = room.wait(60);
        assert_eq!(room.used(), 90);
        drop(unseen);
        assert_eq!(room.used(), 30);
        drop(small);
        assert_eq!(room.used(), 0);
    }

    #[test]
    fn what_an_earlier_process_left_may_be_over_the_limit() {
        let room = Room::new(100);
        assert!(room.take(250, Turn::Must));
        let waits = room.wait(1);
        room.give_back(150);
        assert!(!room.take(1, Turn::First));
        room.give_back(10);
        assert!(waits.now_or_never().is_some());
    }

    #[test]
    fn what_was_reserved_is_spent_once() {
        let room = Room::new(100);
        let mut reserved = room.wait(40).now_or_never().expect("there is room");
        let part = reserved
            .split(&room, 30, Turn::InLine)
            .expect("it is in it");
        assert_eq!(room.used(), 40);
        part.spend();
        let more = reserved
            .split(&room, 25, Turn::InLine)
            .expect("there is room beside");
        assert_eq!(room.used(), 55);
        assert!(reserved.split(&room, 50, Turn::InLine).is_none());
        drop((reserved, more));
        assert_eq!(room.used(), 30, "what was spent lies on the disk");
    }
}
