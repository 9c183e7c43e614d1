//! How long servers may work at requests before they answer, by what they are asked to do.
//!
//! Each is the time after which a server hangs rather than works: too long, and an upload waits for a server that will never
//! answer; too short, and what a slow one does is asked for again and never done. A request that is given up so is tried again, fewer of
//! them at once.

use std::time::Duration;

use crate::http::Patience;

/// How fast a server copies at least, in bytes per second: 4 MB/s. One disk reads and writes ten times that, but copies of the files
/// of a folder share it.
const COPY_BYTES_PER_SECOND: u64 = 4_000_000;

/// How long a server may take for each part that it joins. Amazon, Ceph and Garage note where the parts are; moto, rclone and
/// others write all of their bytes once more, here 8 MiB each as a rule.
const JOIN_EACH: Duration = Duration::from_secs(1);

/// How long a server may take to remove one of several objects. rclone and others remove one after the other.
const REMOVE_EACH: Duration = Duration::from_millis(500);

/// To copy so many bytes; `None`: nobody knows how many.
pub(super) fn to_copy(bytes: Option<u64>) -> Patience {
    match bytes {
        Some(bytes) => Patience::work(Duration::from_secs(bytes / COPY_BYTES_PER_SECOND)),
        None => Patience::much_work(),
    }
}

/// To join so many parts.
pub(super) fn to_join(parts: usize) -> Patience {
    Patience::work(each(JOIN_EACH, parts))
}

/// To remove so many objects.
pub(super) fn to_remove(objects: usize) -> Patience {
    Patience::work(each(REMOVE_EACH, objects))
}

fn each(one: Duration, count: usize) -> Duration {
    one.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(patience: Patience, millis: u64) {
        assert_eq!(patience, Patience::Work(Duration::from_millis(millis)));
    }

    #[test]
    fn a_server_may_work_as_long_as_what_it_is_asked_takes() {
        check(to_copy(Some(0)), 30_000);
        check(to_copy(Some(8 << 20)), 32_000);
        check(to_copy(Some(512 << 20)), 164_000);
        check(to_copy(Some(5 << 30)), 600_000);
        check(to_copy(Some(u64::MAX)), 600_000);
        check(to_copy(None), 600_000);
        check(to_join(1), 31_000);
        check(to_join(100), 130_000);
        check(to_join(10_000), 600_000);
        check(to_join(usize::MAX), 600_000);
        check(to_remove(1), 30_500);
        check(to_remove(1000), 530_000);
    }
}
