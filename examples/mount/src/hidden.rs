//! What others must not see of this process: its memory has keys in it.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Leaves no core dump, from here on. Other processes of the same user may not look into its memory either (`ptrace(2)`), and what
/// `/proc` shows of it belongs to root.
///
/// Both are needed: a limit of nothing does not count where the kernel hands the dump to a program (`core(5)`), and a process
/// that cannot be dumped says nothing to those that it starts.
pub(crate) fn hide_memory() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    // Neither can fail for a process that only gives something up; if one does, the other one holds.
    let _ = setrlimit(Resource::Core, none);
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}
