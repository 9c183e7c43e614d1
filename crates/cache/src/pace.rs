//! How large requests are and how far ahead they go: what the link itself says is best.
//!
//! What is right for one link is wrong for another. Behind a limit for each connection many small requests
//! bring more; where the server's work for each request counts, few large ones do. So it is tried: the rate at
//! which bytes arrive is measured over an *epoch*, then one of the two sizes is doubled or halved for the next
//! one, and stays so if the rate says so. Of equal rates, larger requests are better, for they cost the server
//! less, and a shorter window, for it costs less memory and less when the reader stops.
//!
//! A trial of what is worse costs half an epoch, so what cannot pay is not tried: a shorter window where the link
//! empties it at once, and, far away, requests that would bring less even if each were as quick as the quickest.
//!
//! # Laws
//!
//! - It is a pure function of samples, and their times are part of them.
//! - Only requests that somebody had to wait for count: with a reader that is slower than the link, the rate is
//!   the reader's, and says nothing of sizes.
//! - What it says lies within the bounds. A request is not made larger than a [`PARALLEL_MIN`]th of the window.

use std::time::Duration;

use cloudmount_vfs::Instant;

/// Requests of a window at least: while the first brings bytes, the next ones wait for their first.
pub const PARALLEL_MIN: u64 = 4;

const MEBIBYTE: u64 = 1 << 20;

/// What a request holds before anything is known: 26 ms at 80 MB/s, longer than the usual round trip.
const REQUEST_BYTES_INITIAL: u64 = 2 << 20;
/// The least: below, the round trip is most of a request on any link.
pub(crate) const REQUEST_BYTES_MIN: u64 = 512 << 10;
/// The shortest window: what a link of 80 MB/s brings in 100 ms.
const WINDOW_BYTES_MIN: u64 = 8 << 20;

/// An epoch: more than a full window, so that what was under way before it hardly counts.
const EPOCH_BYTES: u64 = 64 << 20;
/// On a slow link it ends sooner, after this and so many requests.
const EPOCH_TIME: Duration = Duration::from_secs(2);
const EPOCH_REQUESTS: u32 = 8;
/// A request that is sent so long after the last answer was sent by a reader that paused: the epoch begins
/// anew.
const PAUSE: Duration = Duration::from_millis(250);

/// Of 64: a rate as good as another one, 3 % less. What is measured differs by more from one epoch to the next.
const AS_GOOD: u64 = 62;
/// Of 64: a better one, by 6 %.
const BETTER: u64 = 68;
/// Trials that failed in a row until there is nothing to be had: each size in both directions.
const FAILURES_MAX: u32 = 4;
/// Epochs without a trial then, before each single one. A trial may cost half of an epoch: so at most a
/// thirtieth is lost.
const REST_EPOCHS: u32 = 16;

/// A window that the link empties sooner is not made smaller: who reads elsewhere hardly waits for what is under
/// way, and a trial costs a link that needs the window half of what it brings.
const EMPTIED_LATE: Duration = Duration::from_millis(500);

/// From this time to the first byte on a link is far: there a window has to open sooner. Three times what a
/// server in the same town takes.
const FAR: Duration = Duration::from_millis(10);
/// The window of a run beside what it has read, near and far. What a reader that stops early has cost is at
/// most this many times what was of use; far, each doubling saved is a round trip.
const GROWTH_NEAR: u64 = 2;
const GROWTH_FAR: u64 = 8;

/// The quickest that requests were, each part for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Quickest {
    /// Until the first byte, in nanoseconds.
    first: u64,
    /// Of a mebibyte, from the first byte on, in nanoseconds.
    mebibyte: u64,
}

impl Quickest {
    const UNKNOWN: Self = Self {
        first: u64::MAX,
        mebibyte: u64::MAX,
    };

    fn hear(&mut self, sample: &Sample) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let first = nanos(sample.first_byte.saturating_since(sample.sent));
        self.first = self.first.min(first);
        // Smaller ones come in one piece, which says nothing of a rate.
        if sample.bytes >= REQUEST_BYTES_MIN {
            // Of all of its time: bytes that had waited to be received say nothing of the line.
            let whole = nanos(sample.done.saturating_since(sample.sent));
            let rest = whole.saturating_sub(self.first);
            let mebibyte = u128::from(rest) * u128::from(MEBIBYTE) / u128::from(sample.bytes);
            self.mebibyte = (self.mebibyte).min(u64::try_from(mebibyte).unwrap_or(u64::MAX));
        }
    }

    /// The bytes per second that a full window of such requests brings at most (Little's law).
    fn rate_max(&self, sizes: Sizes) -> u64 {
        if self.mebibyte == u64::MAX {
            return u64::MAX;
        }
        let rest =
            u128::from(self.mebibyte) * u128::from(sizes.request_bytes) / u128::from(MEBIBYTE);
        let nanos = (u128::from(self.first) + rest).max(1);
        let rate = u128::from(sizes.window_bytes) * 1_000_000_000 / nanos;
        u64::try_from(rate).unwrap_or(u64::MAX)
    }
}

/// The bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Bytes of a block; a request holds at least one.
    pub block_bytes: u64,
    /// Bytes of a request at most.
    pub request_bytes_max: u64,
    /// Bytes ahead of a reader at most.
    pub window_bytes_max: u64,
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sizes {
    /// Bytes of one request at most: a multiple of the block.
    pub request_bytes: u64,
    /// Bytes ahead of one reader at most.
    pub window_bytes: u64,
    /// How many times what a run has read its window is, until it is that.
    pub growth: u64,
}

/// Whether anyone had to wait for the bytes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Awaited {
    /// Somebody did.
    Yes,
    /// All of it was there before it was asked for.
    No,
}

/// A request that was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// When it was sent.
    pub sent: Instant,
    /// When its first byte came.
    pub first_byte: Instant,
    /// When its last byte came.
    pub done: Instant,
    /// Its bytes.
    pub bytes: u64,
    /// Whether anybody waited for it.
    pub awaited: Awaited,
}

/// Which of equal rates is better.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Direction {
    Up,
    Down,
}

impl Direction {
    const fn other(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// How long the first byte takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Distance {
    Near,
    Far,
}

/// One of the two sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Size {
    bytes: u64,
    min: u64,
    max: u64,
    prefers: Direction,
    /// Where the next trial goes.
    next: Direction,
}

impl Size {
    fn new(initial: u64, min: u64, max: u64, prefers: Direction) -> Self {
        let min = min.min(max);
        Self {
            bytes: initial.clamp(min, max),
            min,
            max,
            prefers,
            next: prefers,
        }
    }

    /// What a trial makes of it.
    fn tried(self) -> u64 {
        let tried = match self.next {
            Direction::Up => self.bytes.saturating_mul(2),
            Direction::Down => self.bytes / 2,
        };
        tried.clamp(self.min, self.max)
    }

    /// Whether a trial with the rate `tried` is to stay, where it was `before`.
    fn accepts(self, before: u64, tried: u64, distance: Distance) -> bool {
        // From far, what a request costs the server is nothing beside the way, and fewer of them are a risk.
        let has_preference = self.prefers == Direction::Down || distance == Distance::Near;
        let needed = if has_preference && self.next == self.prefers {
            AS_GOOD
        } else {
            BETTER
        };
        u128::from(tried) * 64 >= u128::from(before) * u128::from(needed)
    }
}

/// What an epoch is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Epoch {
    /// To know the rate of the sizes as they are.
    Known,
    /// To know that of another one of the sizes, which is `size` of `Pace::sizes`, where it was `before`.
    Trial { size: usize, before: u64 },
    /// To rest: so many more.
    Rest(u32),
}

/// What the requests so far have said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    bounds: Bounds,
    /// Of a request, and of the window.
    sizes: [Size; 2],
    epoch: Epoch,
    /// Which size was tried last.
    turn: usize,
    failures: u32,
    /// Requests sent before belong to a former epoch.
    since: Instant,
    /// The first request of the epoch, from whose end its bytes count.
    start: Option<Instant>,
    /// Bytes that are still to come before an epoch begins: a reader that has just begun has no full window.
    warming: u64,
    quickest: Quickest,
    last: Instant,
    /// When the round began that goes on.
    round: Instant,
    bytes: u64,
    requests: u32,
    awaited: u32,
}

const REQUEST: usize = 0;
const WINDOW: usize = 1;

impl Pace {
    /// Of a link of which nothing is known.
    #[must_use]
    pub fn new(bounds: Bounds) -> Self {
        let request_min = REQUEST_BYTES_MIN.max(bounds.block_bytes);
        let request = Size::new(
            REQUEST_BYTES_INITIAL,
            request_min,
            bounds.request_bytes_max.max(bounds.block_bytes),
            Direction::Up,
        );
        let window = Size::new(
            bounds.window_bytes_max,
            WINDOW_BYTES_MIN,
            bounds.window_bytes_max,
            Direction::Down,
        );
        Self {
            bounds,
            sizes: [request, window],
            epoch: Epoch::Known,
            turn: WINDOW,
            failures: 0,
            since: Instant::default(),
            start: None,
            warming: bounds.window_bytes_max,
            quickest: Quickest::UNKNOWN,
            last: Instant::default(),
            round: Instant::default(),
            bytes: 0,
            requests: 0,
            awaited: 0,
        }
    }

    /// What is to be done now.
    #[must_use]
    pub fn sizes(&self) -> Sizes {
        let mut bytes = [self.sizes[REQUEST].bytes, self.sizes[WINDOW].bytes];
        if let Epoch::Trial { size, .. } = self.epoch {
            bytes[size] = self.sizes[size].tried();
        }
        let block = self.bounds.block_bytes;
        let most = (bytes[WINDOW] / PARALLEL_MIN)
            .max(REQUEST_BYTES_INITIAL)
            .max(block);
        Sizes {
            request_bytes: bytes[REQUEST].min(most) / block * block,
            window_bytes: bytes[WINDOW],
            growth: match self.distance() {
                Distance::Near => GROWTH_NEAR,
                Distance::Far => GROWTH_FAR,
            },
        }
    }

    /// By the quickest: a server that is busy answers late, however near it is.
    fn distance(&self) -> Distance {
        let first = self.quickest.first;
        if first != u64::MAX && u128::from(first) >= FAR.as_nanos() {
            Distance::Far
        } else {
            Distance::Near
        }
    }

    /// Hears of a request that was answered.
    pub fn heard(&mut self, sample: Sample) {
        self.quickest.hear(&sample);
        // What is small was no part of a stream.
        if sample.sent < self.since || sample.bytes < self.sizes[REQUEST].min {
            return;
        }
        if sample.sent.saturating_since(self.last) > PAUSE {
            self.warming = self.sizes().window_bytes;
            self.begin(sample.sent);
        }
        let Some(start) = self.start else {
            self.last = self.last.max(sample.done);
            if self.warming > 0 {
                self.warming = self.warming.saturating_sub(sample.bytes);
                return;
            }
            self.start = Some(sample.done);
            self.round = sample.done;
            return;
        };
        self.last = self.last.max(sample.done);
        self.bytes += sample.bytes;
        self.requests += 1;
        self.awaited += u32::from(sample.awaited == Awaited::Yes);
        // Requests that begin together end together, so that bytes come in bursts. An epoch is whole rounds of
        // them: a round ends with the first answer to a request that was sent after the round began.
        if sample.sent < self.round {
            return;
        }
        self.round = sample.done;
        let took = self.last.saturating_since(start);
        let is_long = took >= EPOCH_TIME && self.requests >= EPOCH_REQUESTS;
        if self.bytes < EPOCH_BYTES && !is_long {
            return;
        }
        // Of requests that are under way together, all but the first may be here before they are asked for. So
        // once in two windows is enough; a reader that is slower than the link waits at its beginning only.
        if u64::from(self.awaited) * 2 * self.sizes().window_bytes >= self.bytes {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
            self.learn(self.bytes.saturating_mul(1_000_000) / micros);
        } else {
            // Whatever was tried, nobody knows what it is worth.
            self.epoch = Epoch::Known;
        }
        self.begin(sample.done);
    }

    fn begin(&mut self, now: Instant) {
        self.since = now;
        self.start = None;
        self.last = now;
        self.bytes = 0;
        self.requests = 0;
        self.awaited = 0;
    }

    /// An epoch has ended, in which so many bytes a second came.
    fn learn(&mut self, rate: u64) {
        let before = match self.epoch {
            Epoch::Known => rate,
            Epoch::Rest(0) => {
                self.failures = FAILURES_MAX - 1;
                rate
            }
            Epoch::Rest(left) => {
                self.epoch = Epoch::Rest(left - 1);
                return;
            }
            Epoch::Trial { size, before } => {
                let distance = self.distance();
                let tried = &mut self.sizes[size];
                if tried.accepts(before, rate, distance) {
                    tried.bytes = tried.tried();
                    self.failures = 0;
                    rate
                } else {
                    tried.next = tried.next.other();
                    self.failures += 1;
                    // The old sizes are measured again: links change.
                    self.epoch = if self.failures < FAILURES_MAX {
                        Epoch::Known
                    } else {
                        Epoch::Rest(REST_EPOCHS)
                    };
                    return;
                }
            }
        };
        self.epoch = self.trial(before);
    }

    /// Whether the trial that is set could win anything, where so many bytes a second came before.
    fn may_pay(&self, size: usize, before: u64) -> bool {
        let (sizes, tried) = (self.sizes(), &self.sizes[size]);
        match (size, tried.next, self.distance()) {
            (WINDOW, Direction::Down, _) => {
                let emptied = u128::from(tried.bytes) * 1000 / u128::from(before.max(1));
                emptied >= EMPTIED_LATE.as_millis()
            }
            (REQUEST, _, distance @ Distance::Far) => {
                tried.accepts(before, self.quickest.rate_max(sizes), distance)
            }
            _ => true,
        }
    }

    /// The next trial, of the sizes in turns.
    fn trial(&mut self, before: u64) -> Epoch {
        let mut now = *self;
        now.epoch = Epoch::Known;
        let is = now.sizes();
        // Where the next step of a size leads nowhere, or cannot pay, its other direction is next, then the other
        // size.
        for _ in 0..2 * self.sizes.len() {
            self.turn = (self.turn + 1) % self.sizes.len();
            let size = self.turn;
            now.epoch = Epoch::Trial { size, before };
            if now.sizes() != is && now.may_pay(size, before) {
                return now.epoch;
            }
            let turned = &mut self.sizes[size];
            turned.next = turned.next.other();
            now.sizes[size] = *turned;
        }
        self.failures = 0;
        Epoch::Rest(REST_EPOCHS)
    }
}

#[cfg(test)]
mod tests;
