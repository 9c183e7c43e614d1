//! What calls wait for: the two settings of a mount that decide what its calls promise.

use std::time::Duration;

use clap::ValueEnum;

/// The longest that a system call may take: the store tries for 60 s, its last request may be silent for 30 s
/// (docs/stores.md), and the rest is for a machine that does other things, too.
const DEADLINE: Duration = Duration::from_secs(120);
/// The same for calls that wait for the bucket: they wait for 30 minutes at most (docs/semantics.md).
const REMOTE_DEADLINE: Duration = Duration::from_secs(31 * 60);

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Waits {
    /// The journal
    Local,
    /// The bucket
    Remote,
}

impl Waits {
    const BOTH: [Self; 2] = [Self::Local, Self::Remote];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// The settings of one mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    pub(super) close: Waits,
    pub(super) fsync: Waits,
}

impl Mode {
    /// Those that a run goes through in turn: all, but for what is given.
    pub(super) fn all(close: Option<Waits>, fsync: Option<Waits>) -> Vec<Self> {
        let is_wanted = |mode: &Self| {
            close.is_none_or(|close| close == mode.close)
                && fsync.is_none_or(|fsync| fsync == mode.fsync)
        };
        let each = |close| Waits::BOTH.map(|fsync| Self { close, fsync });
        (Waits::BOTH.into_iter().flat_map(each))
            .filter(is_wanted)
            .collect()
    }

    pub(super) fn flags(self) -> [&'static str; 4] {
        ["--close", self.close.name(), "--fsync", self.fsync.name()]
    }

    /// How long a call of that name may take.
    pub(super) fn deadline(self, call: &str) -> Duration {
        let waits = match call {
            "close" => self.close,
            "fsync" => self.fsync,
            _ => Waits::Local,
        };
        match waits {
            Waits::Local => DEADLINE,
            Waits::Remote => REMOTE_DEADLINE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_through_all_modes_that_are_not_ruled_out() {
        assert_eq!(Mode::all(None, None).len(), 4);
        let remote = Mode::all(Some(Waits::Remote), None);
        assert_eq!(remote.len(), 2);
        assert!(remote.iter().all(|mode| mode.close == Waits::Remote));
        let one = Mode::all(Some(Waits::Local), Some(Waits::Remote));
        assert_eq!(one[0].flags(), ["--close", "local", "--fsync", "remote"]);
        assert_eq!(one[0].deadline("close"), DEADLINE);
        assert_eq!(one[0].deadline("fsync"), REMOTE_DEADLINE);
    }
}
