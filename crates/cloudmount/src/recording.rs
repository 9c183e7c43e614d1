//! [`Recording`]: what is read of a filesystem, as a trace of numbers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cloudmount_cache::trace::{Read, Writer};
use cloudmount_cache::{ObjectRef, ReadObserver};
use cloudmount_vfs::{Clock, Instant};

/// Bytes of a trace at most: some ten million reads, and more than anyone replays.
const TRACE_BYTES_MAX: usize = 64 << 20;

/// Files of a trace at most: their names are remembered, some 300 MB.
const FILES_MAX: usize = 1 << 20;

/// The longest read that is told as one, like the longest in a trace.
const LEN_MAX: u64 = u32::MAX as u64;

/// Notes every read of a filesystem: which file (as a number), where, how much, and when. No name
/// comes into it.
///
/// What does not fit is left out and counted. For [`Builder::record_reads`](crate::Builder).
#[derive(Debug)]
pub struct Recording {
    clock: Arc<dyn Clock>,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    numbers: HashMap<ObjectRef, u32>,
    writer: Writer,
    left_out: u64,
    last_ms: u64,
}

impl Recording {
    /// A recording that begins now.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            began: clock.now(),
            clock,
            state: Mutex::default(),
        }
    }

    /// The trace so far, as [`cache::trace::read`](cloudmount_cache::trace::read) reads it.
    #[must_use]
    pub fn trace(&self) -> Vec<u8> {
        self.state().writer.bytes().to_vec()
    }

    /// How many reads are not in it, because it is full.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.state().left_out
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in it can be half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, object: &ObjectRef, range: &Range<u64>, at_ms: u64) -> Option<()> {
        let number = match self.numbers.get(object) {
            Some(number) => *number,
            None if self.numbers.len() < FILES_MAX => {
                let number = u32::try_from(self.numbers.len()).ok()?;
                self.numbers.insert(object.clone(), number);
                number
            }
            None => return None,
        };
        if self.writer.len() > TRACE_BYTES_MAX {
            return None;
        }
        // Two who read at once may come in another order than their times.
        self.last_ms = self.last_ms.max(at_ms);
        let read = Read {
            file: number,
            size: object.size,
            offset: range.start,
            len: u32::try_from((range.end - range.start).min(LEN_MAX)).ok()?,
            at_ms: self.last_ms,
        };
        self.writer.push(&read).ok()
    }
}

impl ReadObserver for Recording {
    fn read(&self, object: &ObjectRef, range: &Range<u64>) {
        let since = self.clock.now().saturating_since(self.began);
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let mut state = self.state();
        if state.note(object, range, at_ms).is_none() {
            state.left_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use cloudmount_cache::trace;
    use cloudmount_vfs::SystemClock;

    use super::*;

    #[test]
    fn files_are_numbers_in_the_order_of_their_first_read() {
        let recording = Recording::new(Arc::new(SystemClock::new()));
        let (one, two) = (ObjectRef::new("a", "1", 100), ObjectRef::new("b", "1", 9));
        recording.read(&one, &(10..20));
        recording.read(&two, &(0..9));
        recording.read(&one, &(20..100));
        // Another version is another file.
        recording.read(&ObjectRef::new("a", "2", 50), &(0..50));
        let bytes = recording.trace();
        let reads = trace::read(&bytes).unwrap();
        let told: Vec<_> = (reads.iter())
            .map(|read| (read.file, read.size, read.offset, read.len))
            .collect();
        assert_eq!(
            told,
            [
                (0, 100, 10, 10),
                (1, 9, 0, 9),
                (0, 100, 20, 80),
                (2, 50, 0, 50)
            ]
        );
        assert_eq!(recording.left_out(), 0);
        assert!(bytes.windows(1).all(|byte| byte != b"a" && byte != b"b"));
    }

    #[test]
    fn what_is_no_read_of_the_file_is_left_out_and_counted() {
        let recording = Recording::new(Arc::new(SystemClock::new()));
        recording.read(&ObjectRef::new("a", "1", 100), &(0..100));
        // The same version with another size: a source that lies.
        recording.read(&ObjectRef::new("a", "1", 101), &(0..100));
        assert_eq!(recording.left_out(), 1);
        assert_eq!(trace::read(&recording.trace()).unwrap().len(), 1);
    }
}
