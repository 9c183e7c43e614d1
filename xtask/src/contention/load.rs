//! What the writers do, and how often.

use clap::ValueEnum;

use super::history::Kind;

/// A mixture of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Load {
    /// Twenty names, all kinds of changes, few large files
    Wide,
    /// Eight names, many large files, and renames over names that the other one writes
    Hot,
}

impl Load {
    /// The names that all fight for.
    pub(super) const fn names(self) -> u64 {
        match self {
            Self::Wide => 20,
            Self::Hot => 8,
        }
    }

    /// Longest rest between two things, in milliseconds: others get their turn, and uploads begin.
    pub(super) const fn rest_ms_max(self) -> u64 {
        match self {
            Self::Wide => 60,
            Self::Hot => 40,
        }
    }

    /// One file in so many is sent in parts.
    pub(super) const fn parts_one_in(self) -> u64 {
        match self {
            Self::Wide => 100,
            Self::Hot => 8,
        }
    }

    /// Which kind a number stands for.
    pub(super) fn kind(self, number: u64) -> Kind {
        let shares = self.shares();
        let all: u64 = shares.iter().map(|(_, share)| share).sum();
        let mut rest = number % all;
        for (kind, share) in shares {
            match rest.checked_sub(share) {
                None => return kind,
                Some(less) => rest = less,
            }
        }
        Kind::Remove
    }

    /// How many parts of the work each kind is.
    const fn shares(self) -> [(Kind, u64); 8] {
        let shares = match self {
            Self::Wide => [5, 4, 4, 1, 2, 1, 1, 2],
            Self::Hot => [4, 5, 3, 1, 1, 1, 4, 1],
        };
        [
            (Kind::Create, shares[0]),
            (Kind::Rewrite, shares[1]),
            (Kind::Append, shares[2]),
            (Kind::Truncate, shares[3]),
            (Kind::Save, shares[4]),
            (Kind::Move, shares[5]),
            (Kind::Replace, shares[6]),
            (Kind::Remove, shares[7]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_share() {
        for load in [Load::Wide, Load::Hot] {
            for (kind, share) in load.shares() {
                let count = (0..200).filter(|number| load.kind(*number) == kind).count();
                assert_eq!(count as u64, share * 10, "{load:?} {kind:?}");
            }
        }
    }
}
