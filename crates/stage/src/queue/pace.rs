//! [`Pace`]: how many requests at once. Pure: it is told what began and what ended, and when.
//!
//! Laws:
//! - It grows by a try at a time, and keeps what it tried only if more got through: twice as many
//!   requests that each take twice as long cost memory and win nothing. Chance may keep a try: so it tries
//!   fewer, too, as long as they are more than it began with.
//! - A store that asks to slow down gets fewer at once: those of before the try that it refused, else
//!   seven tenths. What began before a change says nothing of it, so that one burst counts once.
//! - Nothing changes while there is less to do than the limit allows.
//!
//! What gets through is counted by Little's law: what one place moves in the time that it is taken,
//! times the places that are taken. That needs no clock of its own, and parts that begin and end in step
//! do not disturb it.

use std::time::Duration;

use cloudmount_store::ErrorKind;
use cloudmount_vfs::Instant;

use crate::StageSettings;

/// Small operations at first: 32, which hides 20 ms of round trip behind 1,600 puts per second.
const SMALL_START: u16 = 32;

/// And at least, when the store asks to slow down: 4, which still hides most of a round trip.
const SMALL_FLOOR: u16 = 4;

/// Parts at first: 8, which fill a line of 10 Gbit/s at 160 MB/s per connection.
const PARTS_START: u16 = 8;

/// And at least: 2, so that one is on its way while the next is read.
const PARTS_FLOOR: u16 = 2;

/// What a small operation counts besides its bytes: a request takes about as long as this much of a body.
const REQUEST_UNITS: u64 = 64 << 10;

/// Requests that make a measurement at least: fewer say more of chance than of the line.
const SAMPLES_MIN: u32 = 16;

/// A measurement takes as many requests as run at once, so often: the first of them run beside those
/// of before.
const ROUNDS: u32 = 3;

/// A try adds a fourth: a difference that can be seen, and no burst.
const STEP: u16 = 4;

/// What a try must win of what it adds, to be kept: half. Chance alone makes some percent, and on a machine
/// that is its own server more requests cost more processor's time.
const GAIN: f64 = 0.5;

/// What is left of the limit, in tenths, when the store asks to slow down. As CUBIC (RFC 9438).
const LEFT_TENTHS: u16 = 7;

/// Measurements from one try to the next, at first.
const HOLD_MIN: u32 = 2;

/// And at most: who refuses the 33rd of 32 is asked for it with one request in a thousand.
const HOLD_MAX: u32 = 32;

/// Places that are taken when the limit is what holds requests back, in tenths of it.
const FULL_TENTHS: u64 = 8;

/// Where the limit may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Bounds {
    /// Never fewer.
    pub(crate) floor: u16,
    /// At first.
    pub(crate) start: u16,
    /// Never more.
    pub(crate) ceiling: u16,
}

impl Bounds {
    /// Of small operations.
    pub(crate) fn small(settings: &StageSettings) -> Self {
        Self::below(settings.requests_max, SMALL_START, SMALL_FLOOR)
    }

    /// Of parts.
    pub(crate) fn parts(settings: &StageSettings) -> Self {
        Self::below(settings.part_requests_max, PARTS_START, PARTS_FLOOR)
    }

    /// With a ceiling that somebody chose; the others follow it.
    fn below(ceiling: u16, start: u16, floor: u16) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            floor: floor.clamp(1, ceiling),
            start: start.clamp(1, ceiling),
            ceiling,
        }
    }
}

/// How many requests at once.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Pace {
    bounds: Bounds,
    limit: u16,
    in_flight: u16,
    /// Which limit it is: what began under an earlier one is not measured.
    turn: u64,
    measured: Measured,
    /// What got through at the limit that is held, in units per second.
    rate: Option<f64>,
    state: State,
    /// What is tried next.
    next: Next,
    /// Measurements that are held after the next try that fails.
    hold: u32,
    /// How often the store had asked to slow down, as told last.
    pushbacks: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Until so many more measurements are made.
    Hold(u32),
    /// More than `from` are tried.
    Try { from: u16 },
    /// Fewer than `from` are tried.
    TryFewer { from: u16 },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    More,
    Fewer,
}

/// What ended under the limit that is.
#[derive(Clone, PartialEq, Debug, Default)]
struct Measured {
    ended: u32,
    units: u64,
    taken: Duration,
    /// Sum of the requests that ran when each began and ended, itself included.
    beside: u64,
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Began {
    turn: u64,
    at: Instant,
    beside: u16,
}

/// How a request ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ended {
    /// It moved so much.
    Moved(u64),
    /// The store was too busy.
    Refused,
    /// Otherwise, which says nothing of the line.
    Unmeasured,
}

impl Ended {
    /// A small operation that moved `bytes`.
    pub(crate) const fn small(bytes: u64) -> Self {
        Self::Moved(bytes.saturating_add(REQUEST_UNITS))
    }

    /// How what failed so ended.
    pub(crate) const fn failed(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Throttled | ErrorKind::TimedOut => Self::Refused,
            _ => Self::Unmeasured,
        }
    }
}

impl Pace {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            limit: bounds.start,
            in_flight: 0,
            turn: 0,
            measured: Measured::default(),
            rate: None,
            state: State::Hold(HOLD_MIN),
            next: Next::More,
            hold: HOLD_MIN,
            pushbacks: 0,
        }
    }

    /// How many may run at once.
    pub(crate) const fn limit(&self) -> u16 {
        self.limit
    }

    /// How many run.
    pub(crate) const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// A request begins.
    pub(crate) fn began(&mut self, now: Instant) -> Began {
        self.in_flight = self.in_flight.saturating_add(1);
        Began {
            turn: self.turn,
            at: now,
            beside: self.in_flight,
        }
    }

    /// A request ended. `pushbacks` is how often the store has asked to slow down, in all, as far as
    /// whoever repeats requests has counted it.
    pub(crate) fn ended(&mut self, began: &Began, ended: Ended, now: Instant, pushbacks: u64) {
        let beside = u64::from(began.beside) + u64::from(self.in_flight);
        self.in_flight = self.in_flight.saturating_sub(1);
        let asked = pushbacks > self.pushbacks || ended == Ended::Refused;
        self.pushbacks = self.pushbacks.max(pushbacks);
        if began.turn != self.turn {
            return;
        }
        if asked {
            self.slow_down();
            return;
        }
        if let Ended::Moved(units) = ended {
            self.measured.ended += 1;
            self.measured.units = self.measured.units.saturating_add(units);
            self.measured.taken += now.saturating_since(began.at);
            self.measured.beside += beside;
            if self.measured.ended >= SAMPLES_MIN.max(ROUNDS * u32::from(self.limit)) {
                self.judge();
            }
        }
    }

    fn slow_down(&mut self) {
        let fewer = match self.state {
            State::Try { from } => from,
            State::Hold(_) | State::TryFewer { .. } => self.limit * LEFT_TENTHS / 10,
        };
        self.rate = None;
        self.next = Next::More;
        self.hold_at(fewer);
    }

    /// A try did not pay: the next one later than that.
    fn hold_at(&mut self, limit: u16) {
        self.state = State::Hold(self.hold);
        self.hold = (self.hold * 2).min(HOLD_MAX);
        self.set(limit);
    }

    fn judge(&mut self) {
        let measured = std::mem::take(&mut self.measured);
        let Some(rate) = measured.rate(self.limit) else {
            return;
        };
        let before = self.rate.unwrap_or(rate);
        // What the line must give now, for the change to be kept.
        let wanted = |from: u16| {
            let changed = f64::from(self.limit) / f64::from(from) - 1.0;
            before * GAIN.mul_add(changed, 1.0)
        };
        match self.state {
            State::Hold(left) => {
                // The line changes: what was measured last counts as much as all before, and more if it
                // is more. At first connections are still being made.
                self.rate = Some(f64::midpoint(before, rate).max(rate));
                match left.saturating_sub(1) {
                    0 => self.try_next(),
                    left => self.state = State::Hold(left),
                }
            }
            State::Try { from } if rate >= wanted(from) => {
                self.rate = Some(rate);
                self.hold = HOLD_MIN;
                self.try_next();
            }
            State::Try { from } => {
                self.next = Next::Fewer;
                self.hold_at(from);
            }
            State::TryFewer { from } => {
                let kept = if rate >= wanted(from) {
                    self.limit
                } else {
                    from
                };
                self.rate = if kept == from { self.rate } else { Some(rate) };
                self.hold_at(kept);
            }
        }
    }

    fn try_next(&mut self) {
        let from = self.limit;
        let more = from.saturating_add((from / STEP).max(1));
        let more = more.min(self.bounds.ceiling);
        let fewer = from - (from / (STEP + 1)).max(1).min(from);
        let fewer = fewer.max(self.bounds.start);
        let next = std::mem::replace(&mut self.next, Next::More);
        if fewer < from && (next == Next::Fewer || more == from) {
            self.state = State::TryFewer { from };
            self.set(fewer);
        } else if more > from {
            self.state = State::Try { from };
            self.set(more);
        } else {
            self.state = State::Hold(HOLD_MAX);
        }
    }

    fn set(&mut self, limit: u16) {
        self.limit = limit.clamp(self.bounds.floor, self.bounds.ceiling);
        self.measured = Measured::default();
        self.turn += 1;
    }
}

impl Measured {
    /// Units per second; `None` if there was less to do than `limit` allows, or no time passed.
    fn rate(&self, limit: u16) -> Option<f64> {
        let twice = u64::from(self.ended) * 2;
        let is_full = self.beside * 10 >= twice * u64::from(limit) * FULL_TENTHS;
        let seconds = self.taken.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            reason = "a measurement, exact to far less than the 53 bits"
        )]
        let (units, places) = (self.units as f64, self.beside as f64 / twice as f64);
        (is_full && seconds > 0.0).then(|| units / seconds * places)
    }
}

#[cfg(test)]
mod tests;
