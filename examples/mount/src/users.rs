//! Who uses a mount, for the message that it is in use.
//!
//! Law: the mount itself is not touched: only the links of `/proc` are read, which the kernel
//! answers from its own memory (`proc(5)`).

use std::fs;
use std::path::Path;

/// Processes that are named: enough to know where to look.
const NAMED_MAX: usize = 5;

/// Processes with a file or folder below `mountpoint` open, as far as this user may see them.
pub(crate) fn of(mountpoint: &Path) -> Vec<String> {
    let own = std::process::id();
    let pids = (fs::read_dir("/proc").into_iter().flatten().flatten())
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own && uses(*pid, mountpoint))
        .take(NAMED_MAX)
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} (process {pid})", name.trim())
        })
        .collect()
}

fn uses(pid: u32, mountpoint: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    let is_below = |link: &Path| fs::read_link(link).is_ok_and(|to| to.starts_with(mountpoint));
    if is_below(&proc.join("cwd")) || is_below(&proc.join("root")) {
        return true;
    }
    let open = fs::read_dir(proc.join("fd"));
    (open.into_iter().flatten().flatten()).any(|entry| is_below(&entry.path()))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn whoever_stands_in_it_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        assert!(of(&path).is_empty());
        let mut child = Command::new("cat")
            .current_dir(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let users = of(&path);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(users, [format!("cat (process {})", child.id())]);
        assert!(of(&path).is_empty());
    }
}
