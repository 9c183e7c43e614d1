//! [`Indexers`]: programs that go through all files of a machine, so that names or words are found in no time later.
//!
//! Nobody asked them to go through a bucket: each folder costs requests, each file that is read costs bytes, and the index is old
//! when it is done. They come by the root of a mount, so it is there that they are turned away: with `EACCES`, over which all of
//! them go on. Who gives such a program a folder below has meant it.
//!
//! Law: a caller that cannot be seen is let in.

use std::fs;

/// Whether they are let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Indexers {
    TurnedAway,
    LetIn,
}

/// Their names as the kernel has them, cut to 15 bytes (proc_pid_comm(5)): of locate and its successors, GNOME, and KDE.
const NAMES: [&str; 10] = [
    "updatedb",
    "updatedb.mlocat",
    "updatedb.plocat",
    "updatedb.findut",
    "tracker-miner-f",
    "tracker-extract",
    "localsearch-3",
    "localsearch-ext",
    "baloo_file",
    "baloo_file_extr",
];

impl Indexers {
    /// Whether the program that the thread `tid` belongs to is to be turned away.
    pub(crate) fn turns_away(self, tid: u32) -> bool {
        self == Self::TurnedAway && program_of(tid).is_some_and(|name| NAMES.contains(&&*name))
    }
}

/// What the program is called; `None` for one of another pid namespace, or that is hidden.
fn program_of(tid: u32) -> Option<String> {
    // Threads may have names of their own.
    let status = fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let mut lines = status.lines();
    let leader = lines.find_map(|line| line.strip_prefix("Tgid:"))?.trim();
    let name = fs::read_to_string(format!("/proc/{leader}/comm")).ok()?;
    Some(name.trim_end_matches('\n').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut_as_the_kernel_cuts_them() {
        assert!(NAMES.iter().all(|name| name.len() <= 15));
    }

    #[test]
    fn a_thread_is_known_by_its_program() {
        let own = program_of(std::process::id()).unwrap();
        let thread = std::thread::Builder::new().name("another".into());
        let other = thread.spawn(|| {
            let tid = rustix::thread::gettid().as_raw_nonzero().get();
            program_of(tid.unsigned_abs())
        });
        assert_eq!(other.unwrap().join().unwrap(), Some(own));
        assert_eq!(program_of(0), None);
        assert!(!Indexers::TurnedAway.turns_away(std::process::id()));
    }
}
