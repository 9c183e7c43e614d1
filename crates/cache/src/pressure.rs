//! How deep read-ahead may go while the room for it is shared.
//!
//! A block that was fetched ahead and thrown out before it was read is a *loss*: the windows of all
//! readers together exceed the room. Each loss halves the window of every reader; a long time
//! without one doubles it again. Time is counted in bytes fetched ahead, so that no clock is needed
//! and idle readers neither hold room nor have to be found.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::readahead::WINDOW_BYTES_INITIAL;

/// How often the room is filled without a loss before windows grow again. Growing too early costs
/// at most one filling, so this keeps what is fetched in vain below an eighth.
const CALM_FILLINGS: u64 = 8;

#[derive(Debug)]
pub(crate) struct Pressure {
    /// The window of any reader at most, now.
    window_bytes_max: AtomicU64,
    /// Bytes fetched ahead since that was last changed.
    since_change: AtomicU64,
    ceiling: u64,
    room_bytes: u64,
}

impl Pressure {
    /// Windows of up to `ceiling` bytes, all in a room of `room_bytes`.
    pub(crate) fn new(ceiling: u64, room_bytes: u64) -> Self {
        Self {
            window_bytes_max: AtomicU64::new(ceiling),
            // The first loss counts, however early.
            since_change: AtomicU64::new(room_bytes),
            ceiling,
            room_bytes,
        }
    }

    /// The window of any reader at most, now.
    pub(crate) fn window_bytes_max(&self) -> u64 {
        self.window_bytes_max.load(Ordering::Relaxed)
    }

    /// So many bytes are being fetched ahead.
    pub(crate) fn fetching(&self, bytes: u64) {
        let since = self.since_change.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let window = self.window_bytes_max();
        if since >= CALM_FILLINGS * self.room_bytes && window < self.ceiling {
            self.change((window * 2).min(self.ceiling));
        }
    }

    /// A reader with that window met a loss.
    pub(crate) fn lost(&self, window: u64) {
        // What was thrown out before the last change is met later, and says nothing new.
        if self.since_change.load(Ordering::Relaxed) >= self.room_bytes {
            let halved = window.min(self.window_bytes_max()) / 2;
            self.change(halved.max(WINDOW_BYTES_INITIAL.min(self.ceiling)));
        }
    }

    fn change(&self, window: u64) {
        self.window_bytes_max.store(window, Ordering::Relaxed);
        self.since_change.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn losses_halve_and_calm_doubles() {
        let pressure = Pressure::new(32 * MIB, 64 * MIB);
        pressure.lost(8 * MIB);
        assert_eq!(pressure.window_bytes_max(), 4 * MIB);
        pressure.lost(4 * MIB);
        assert_eq!(
            pressure.window_bytes_max(),
            4 * MIB,
            "the same loss, met later"
        );
        pressure.fetching(64 * MIB);
        pressure.lost(4 * MIB);
        assert_eq!(pressure.window_bytes_max(), 2 * MIB);
        for _ in 0..8 {
            assert_eq!(pressure.window_bytes_max(), 2 * MIB);
            pressure.fetching(64 * MIB);
        }
        assert_eq!(pressure.window_bytes_max(), 4 * MIB);
        pressure.fetching(4000 * MIB);
        pressure.fetching(4000 * MIB);
        pressure.fetching(4000 * MIB);
        pressure.fetching(4000 * MIB);
        assert_eq!(pressure.window_bytes_max(), 32 * MIB);
    }

    #[test]
    fn the_window_stays_within_its_bounds() {
        let pressure = Pressure::new(MIB, 4 * MIB);
        for _ in 0..20 {
            pressure.lost(MIB);
            pressure.fetching(4 * MIB);
        }
        assert_eq!(pressure.window_bytes_max(), WINDOW_BYTES_INITIAL);
        let off = Pressure::new(0, 4 * MIB);
        off.lost(0);
        assert_eq!(off.window_bytes_max(), 0);
    }
}
