//! How much memory there is for this process: the machine's, or what its control group allows.
//!
//! In a container the machine's memory says nothing: who takes more than the group may have is killed. Both
//! versions of control groups are looked at (`cgroups(7)`; v2 `memory.max`, v1 `memory.limit_in_bytes`), and
//! all groups above, for the least of them holds.
//!
//! Law: what cannot be read is no limit; nothing here fails.

use std::path::Path;

use crate::Settings;
use crate::settings::CACHE_MEMORY_MIN;

/// What blocks may take by default, where there is plenty: room for two read-ahead windows at full speed and a
/// working set of some hundred files.
const DEFAULT: u64 = 256 << 20;
/// Of the memory there is, for blocks at most by default. The rest is for names, for what is being written, for
/// the kernel's pages, which count for the group that reads them, and for the programs that read.
const PART: u64 = 8;

/// What blocks may take: what the setting says, or what suits the memory there is.
pub(crate) fn for_blocks(settings: &Settings) -> u64 {
    let said = settings.cache_memory.map(|size| size.0);
    said.unwrap_or_else(|| below(Path::new("/"), CACHE_MEMORY_MIN))
}

/// What suits the memory there is, at least `min`, where `/proc` and `/sys` lie below `root`.
fn below(root: &Path, min: u64) -> u64 {
    let all = [machine(root), unified(root), legacy(root)];
    let least = all.into_iter().flatten().min();
    least.map_or(DEFAULT, |bytes| (bytes / PART).clamp(min, DEFAULT))
}

/// All memory of the machine (`proc_meminfo(5)`).
fn machine(root: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least limit of the groups of version 2.
fn unified(root: &Path) -> Option<u64> {
    let group = group(root, |controllers| controllers.is_empty())?;
    let top = root.join("sys/fs/cgroup");
    least(&top, &group, "memory.max")
}

/// The least limit of the groups of version 1.
fn legacy(root: &Path) -> Option<u64> {
    let is_memory = |controllers: &str| controllers.split(',').any(|name| name == "memory");
    let group = group(root, is_memory)?;
    let top = root.join("sys/fs/cgroup/memory");
    least(&top, &group, "memory.limit_in_bytes")
}

/// The path of this process's group in the hierarchy whose controllers are the ones that are wanted. A line is
/// `number:controllers:path`.
fn group(root: &Path, is_it: impl Fn(&str) -> bool) -> Option<String> {
    let text = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    text.lines().find_map(|line| {
        let mut words = line.splitn(3, ':').skip(1);
        let (controllers, path) = (words.next()?, words.next()?);
        is_it(controllers).then(|| path.to_owned())
    })
}

/// The least number in the file `name` of a group and those above it. A container may see its own group as the
/// top, and the path of its group not at all.
fn least(top: &Path, group: &str, name: &str) -> Option<u64> {
    let below = group.trim_start_matches('/');
    // A path that leads out of the hierarchy is that of a group which cannot be seen.
    let is_inside = !below.split('/').any(|part| part == "..");
    let group = if is_inside {
        top.join(below)
    } else {
        top.to_owned()
    };
    let above = group
        .ancestors()
        .take_while(|folder| folder.starts_with(top));
    let limit = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join(name)).ok()?;
        // `max` is no number and no limit.
        text.trim().parse().ok()
    };
    above.filter_map(limit).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: u64 = 8 << 20;

    /// What is the default where these files say what they say.
    #[track_caller]
    fn check(files: &[(&str, &str)], expected_mib: u64) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        assert_eq!(below(root.path(), MIN), expected_mib << 20, "{files:?}");
    }

    const LARGE: (&str, &str) = ("proc/meminfo", "MemFree: 1 kB\nMemTotal:  24731708 kB\n");

    #[test]
    fn the_least_limit_of_machine_and_groups_decides() {
        check(&[], 256);
        check(&[LARGE], 256);
        check(&[("proc/meminfo", "MemTotal: 1048576 kB\n")], 128);
        let within = ("proc/self/cgroup", "0::/system.slice/a.service\n");
        let limit = (
            "sys/fs/cgroup/system.slice/a.service/memory.max",
            "536870912\n",
        );
        check(&[LARGE, within, limit], 64);
        let none = ("sys/fs/cgroup/system.slice/a.service/memory.max", "max\n");
        check(&[LARGE, within, none], 256);
        let above = ("sys/fs/cgroup/system.slice/memory.max", "268435456\n");
        check(&[LARGE, within, none, above], 32);
        check(&[LARGE, within, limit, above], 32);
    }

    #[test]
    fn version_1_and_a_container_that_sees_only_its_own_group_are_known() {
        let legacy = (
            "proc/self/cgroup",
            "9:cpu,memory:/docker/ab\n1:name=systemd:/docker/ab\n",
        );
        let limit = (
            "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes",
            "1073741824\n",
        );
        check(&[LARGE, legacy, limit], 128);
        let own = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n");
        check(&[LARGE, legacy, own], 64);
        // No limit is a very large number in version 1 (`PAGE_COUNTER_MAX`).
        let endless = (
            "sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        check(&[LARGE, legacy, endless], 256);
        let outside = ("proc/self/cgroup", "0::/../../etc\n");
        check(
            &[LARGE, outside, ("sys/fs/cgroup/memory.max", "134217728\n")],
            16,
        );
    }

    #[test]
    fn however_little_there_is_the_cache_has_its_least() {
        let own = ("proc/self/cgroup", "0::/\n");
        check(&[LARGE, own, ("sys/fs/cgroup/memory.max", "4096\n")], 8);
        check(
            &[LARGE, own, ("sys/fs/cgroup/memory.max", "nonsense\n")],
            256,
        );
    }
}
