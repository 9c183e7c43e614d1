//! Waits until the machine has nothing else to do: servers go on to work for seconds after ten thousand objects were
//! removed, and whoever is measured next would pay for it.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::time::{now, pause};

/// How long it is looked each time.
const LOOK: Duration = Duration::from_millis(500);
/// So many looks in a row must find the machine at rest.
const LOOKS: u32 = 2;
/// At rest: nine tenths of the processors' time are idle.
const IDLE_PARTS: (u64, u64) = (9, 10);
/// How long it waits at most. What others do may never end.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits; tells whether the machine came to rest.
pub(super) fn wait() -> Result<bool> {
    let start = now();
    let mut found = 0;
    let mut before = Ticks::now()?;
    while found < LOOKS {
        if start.elapsed() > LIMIT {
            return Ok(false);
        }
        pause(LOOK);
        let after = Ticks::now()?;
        found = if after.is_idle_since(before) {
            found + 1
        } else {
            0
        };
        before = after;
    }
    Ok(true)
}

/// Time of all processors together since the machine started, in ticks.
#[derive(Clone, Copy)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    fn now() -> Result<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat")?).context("no times in /proc/stat")
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guests' time is in user and nice already
    /// (proc(5)).
    fn parse(stat: &str) -> Option<Self> {
        let mut words = stat.lines().next()?.split_whitespace();
        (words.next() == Some("cpu")).then_some(())?;
        let times: Option<Vec<u64>> = words.take(8).map(|word| word.parse().ok()).collect();
        let times = times?;
        Some(Self {
            idle: times.get(3)? + times.get(4)?,
            all: times.iter().sum(),
        })
    }

    fn is_idle_since(self, before: Self) -> bool {
        let (parts, of) = IDLE_PARTS;
        let all = self.all.saturating_sub(before.all);
        self.idle.saturating_sub(before.idle) * of >= all * parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(line: &str) -> Ticks {
        Ticks::parse(&format!("{line}\ncpu0 1 1 1 1\n")).unwrap()
    }

    #[test]
    fn idle_is_what_waits_for_work_or_for_the_disk() {
        let before = ticks("cpu  100 10 50 1000 40 5 5 0 7 7");
        assert_eq!((before.idle, before.all), (1040, 1210));
        let at_rest = ticks("cpu  105 10 55 1080 50 5 5 0 7 7");
        assert!(at_rest.is_idle_since(before));
        let busy = ticks("cpu  115 10 50 1080 45 5 5 0 7 7");
        assert!(!busy.is_idle_since(before));
        assert!(Ticks::parse("intr 1 2 3").is_none());
    }
}
