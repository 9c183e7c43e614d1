//! What is mounted, by the kernel's own word (proc_pid_mountinfo(5)).

use std::path::Path;

/// Whether something is mounted exactly at `place`.
pub(crate) fn is_mounted(place: &Path) -> bool {
    std::fs::read_to_string("/proc/self/mountinfo")
        .is_ok_and(|table| listed(&table, &place.to_string_lossy()))
}

/// Whether `place` is the mount point of a line of `table`.
fn listed(table: &str, place: &str) -> bool {
    // The fifth field; the kernel writes blank, tab, newline and backslash in octal.
    table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|point| unescape(point) == place)
}

fn unescape(field: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(field.to_owned(), |text, (code, plain)| {
        text.replace(code, plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "22 1 0:21 / /proc rw - proc proc rw\n\
                         36 22 0:40 / /tmp/a\\040b rw - fuse.cloudmount x rw\n";

    #[test]
    fn only_the_exact_mount_point_counts() {
        assert!(listed(TABLE, "/proc"));
        assert!(listed(TABLE, "/tmp/a b"));
        for other in ["/", "/tmp", "/tmp/a", "/proc/1"] {
            assert!(!listed(TABLE, other), "{other}");
        }
    }
}
