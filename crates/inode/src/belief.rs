//! [`Belief`]: how long an answer of the store is believed, by what it says.

use cloudmount_vfs::Instant;

/// Until when an answer of the store is believed, for each thing that it may say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Belief {
    /// That a name is there, and is what it is.
    pub present: Instant,
    /// That a name is not there.
    pub absent: Instant,
    /// That all names of a directory are known.
    pub whole: Instant,
}

impl From<Instant> for Belief {
    /// All of it until then.
    fn from(until: Instant) -> Self {
        Self {
            present: until,
            absent: until,
            whole: until,
        }
    }
}
