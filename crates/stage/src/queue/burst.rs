//! [`Burst`]: files that were closed one after the other wait for a pause, or for a time.
//!
//! While files are closed in a row, many uploads would take the processor and the disk from who closes
//! them. So they wait until none was closed for as long as the delay of one close, [`BURST_MAX`] at most. A few
//! go all the same, [`BESIDE_MAX`] at once: they have the time in which who closes waits for an answer, and keep the processors
//! from falling asleep over it.
//!
//! Laws: each file is looked at when it comes and when it goes, however many are closed meanwhile;
//! nothing waits here past [`Burst::next_time`].

use std::collections::VecDeque;
use std::time::Duration;

use cloudmount_store::Key;
use cloudmount_vfs::Instant;

/// How long a file waits for others that are closed after it: 2 s, in which an archive of ten
/// thousand small files is unpacked.
pub(super) const BURST_MAX: Duration = Duration::from_secs(2);

/// Small files that are uploaded at once while a burst lasts. Ten thousand files of 4 KiB, into Ceph RGW on the same two
/// processors, were all there after 14.2 and 15.4 s with none, 11.7 to 14.2 s with four (four runs), 11.8 and 12.9 s with
/// eight, 12.1 to 13.5 s with thirty-two (three), and closed after 4.5 and 4.7, 1.9 to 5.1, 3.4 and 4.0, 2.8 to 5.1 s.
pub(super) const BESIDE_MAX: u16 = 8;

/// Files that wait for the end of a burst of closes.
#[derive(Debug, Default)]
pub(crate) struct Burst {
    /// When it ends if no file is closed before.
    ends: Option<Instant>,
    /// In the order in which they came. Those that left earlier are passed over.
    waiting: VecDeque<(Instant, Key)>,
}

impl Burst {
    /// A file is closed; another one that is closed before `until` belongs to the same burst.
    pub(crate) fn note_close(&mut self, until: Instant) {
        self.ends = Some(until);
    }

    /// Whether a file that waits since then, and may go at `due`, is to wait here.
    pub(super) fn takes(&self, since: Instant, due: Instant, now: Instant) -> bool {
        let Some(ends) = self.ends else { return false };
        let ends = ends.min(since + BURST_MAX);
        now < ends && due <= ends
    }

    /// A file waits, since then.
    pub(crate) fn put(&mut self, since: Instant, key: Key) {
        self.waiting.push_back((since, key));
    }

    /// When the next file may go.
    pub(crate) fn next_time(&self) -> Option<Instant> {
        self.first().map(|(at, _)| at)
    }

    /// The next file, or one that left; and when it may go.
    pub(crate) fn first(&self) -> Option<(Instant, &Key)> {
        let (since, key) = self.waiting.front()?;
        Some((self.ends?.min(*since + BURST_MAX), key))
    }

    /// A file that waits no longer. `waits`: whether it is still here.
    pub(crate) fn pop(
        &mut self,
        now: Instant,
        waits: impl Fn(Instant, &Key) -> bool,
    ) -> Option<(Instant, Key)> {
        loop {
            let may_go = self.next_time()? <= now;
            let (since, key) = self.waiting.front()?;
            let is_here = waits(*since, key);
            if is_here && !may_go {
                return None;
            }
            let first = self.waiting.pop_front()?;
            if is_here {
                return Some(first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    /// Closes a file every 50 ms, with a pause of 100 ms as the end of a burst, and tells when each
    /// went.
    fn played(closes: u64, pause: u64) -> Vec<(u64, String)> {
        let mut burst = Burst::default();
        let mut went = Vec::new();
        for ms in (0..8000).step_by(10) {
            let now = at(ms);
            if ms % 50 == 0 && ms / 50 < closes {
                burst.note_close(at(ms + pause));
                assert!(burst.takes(now, at(ms + pause), now));
                burst.put(now, key(&ms.to_string()));
            }
            while let Some((_, key)) = burst.pop(now, |_, _| true) {
                went.push((ms, key.to_string()));
            }
        }
        assert_eq!(went.len() as u64, closes);
        went
    }

    #[test]
    fn all_go_when_none_was_closed_for_a_while() {
        assert!(played(5, 100).iter().all(|(ms, _)| *ms == 300));
    }

    #[test]
    fn none_waits_for_ever() {
        for (ms, key) in played(80, 100) {
            let closed: u64 = key.parse().unwrap();
            assert!(ms == closed + 2000 || ms == 4050, "{key} went at {ms}");
        }
    }

    #[test]
    fn who_left_is_passed_over() {
        let mut burst = Burst::default();
        burst.note_close(at(100));
        for name in ["gone", "here", "also gone"] {
            burst.put(at(0), key(name));
        }
        let is_here = |_: Instant, key: &Key| key.as_str() == "here";
        assert_eq!(burst.pop(at(0), is_here), None);
        assert_eq!(burst.next_time(), Some(at(100)));
        assert_eq!(burst.pop(at(100), is_here), Some((at(0), key("here"))));
        assert_eq!(burst.pop(at(100), is_here), None);
        assert_eq!(burst.next_time(), None);
    }

    #[test]
    fn who_may_go_only_later_waits_elsewhere() {
        let mut burst = Burst::default();
        assert!(!burst.takes(at(0), at(0), at(0)), "nothing was closed");
        burst.note_close(at(100));
        assert!(burst.takes(at(0), at(100), at(0)));
        assert!(!burst.takes(at(0), at(101), at(0)), "it may not go yet");
        assert!(!burst.takes(at(0), at(0), at(100)), "the burst is over");
        burst.note_close(at(2100));
        assert!(
            !burst.takes(at(0), at(0), at(2000)),
            "it waited long enough"
        );
        assert!(burst.takes(at(1), at(0), at(2000)));
    }
}
