//! The clock of xtask: it measures and waits for real processes, so its time is the machine's.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail};

/// How long [`wait_until`] rests between two looks.
const REST: Duration = Duration::from_millis(20);

/// Now.
#[expect(
    clippy::disallowed_methods,
    reason = "figures of real mounts are in real time"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970 by the machine's clock, which servers on it show, too.
#[expect(
    clippy::disallowed_methods,
    reason = "what a server dates is dated by the machine's clock"
)]
pub(crate) fn wall_seconds() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

/// Lets `duration` pass.
#[expect(
    clippy::disallowed_methods,
    reason = "waits for processes, on a thread of its own"
)]
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Looks again and again until `look` answers, at most for `limit`.
///
/// # Errors
/// An error of `look`, or the time is up: `what` names what did not come.
pub(crate) fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if start.elapsed() > limit {
            bail!("{what}: nothing within {} s", limit.as_secs());
        }
        pause(REST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_answer_or_the_limit() {
        let mut looks = 0;
        let third = wait_until("x", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(third.unwrap(), 3);
        let late = wait_until("a server", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert!(late.to_string().starts_with("a server: nothing within"));
    }
}
