//! The kernel's mount table: which mount is at a path, and whether it works.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Statx, StatxAttributes, StatxFlags};
use rustix::io::Errno;

/// One mount: its id in the table and its device. Both are reused as soon as it is gone, so it takes
/// a living connection to be sure that it is still the same.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MountId {
    id: u64,
    device: String,
}

impl MountId {
    /// The device as `major:minor`, which also names it under `/sys/class/bdi`.
    pub(super) fn device(&self) -> &str {
        &self.device
    }
}

/// The attributes that the kernel knows without asking the filesystem, so this cannot hang on a
/// filesystem that does not answer.
pub(super) fn known_attributes(path: &Path) -> io::Result<Statx> {
    let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    let mask = StatxFlags::TYPE | StatxFlags::MNT_ID;
    Ok(rustix::fs::statx(CWD, path, flags, mask)?)
}

/// The mount whose root is at `path`, if there is one.
pub(super) fn mount_at(path: &Path) -> io::Result<Option<MountId>> {
    let stat = known_attributes(path)?;
    let is_root = stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT);
    Ok(is_root.then(|| MountId {
        id: stat.stx_mnt_id,
        device: format!("{}:{}", stat.stx_dev_major, stat.stx_dev_minor),
    }))
}

/// The type of a mount as the table shows it, visible or covered: `ext4`, `fuse.cloudmount`.
pub(super) fn filesystem_type(mount: &MountId) -> io::Result<Option<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(type_in(&table, mount).map(str::to_owned))
}

/// How many mounts are at `path`, one over the other.
pub(super) fn count_at(path: &Path) -> io::Result<usize> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    Ok(count_in(&table, path))
}

fn count_in(table: &str, path: &Path) -> usize {
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .filter(|point| Path::new(&plain(point)) == path)
        .count()
}

/// The kernel writes blank, tab, newline and backslash in octal.
fn plain(field: &str) -> String {
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

/// Fields by proc(5): id, parent, major:minor, root, mount point, options, optional fields, `-`, type.
fn type_in<'t>(table: &'t str, mount: &MountId) -> Option<&'t str> {
    table.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let id = fields.next()?.parse::<u64>().ok()?;
        let device = fields.nth(1)?;
        if id != mount.id || device != mount.device {
            return None;
        }
        fields.skip_while(|field| *field != "-").nth(1)
    })
}

/// Whether what is mounted at `path` has lost its process. Asked by statfs(2), which no kernel
/// cache answers.
pub(super) fn is_dead(path: &Path) -> bool {
    rustix::fs::statfs(path).is_err_and(|error| error == Errno::NOTCONN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_a_mount_and_a_fresh_directory_is_not() {
        let root = mount_at(Path::new("/")).unwrap().unwrap();
        assert!(filesystem_type(&root).unwrap().is_some());
        let other = MountId {
            id: u64::MAX,
            ..root
        };
        assert_eq!(filesystem_type(&other).unwrap(), None);
        assert!(!is_dead(Path::new("/")));
        let fresh = tempfile::tempdir().unwrap();
        assert_eq!(mount_at(fresh.path()).unwrap(), None);
    }

    #[test]
    fn mounts_over_each_other_are_counted() {
        let table = "36 35 98:0 / /a\\040b rw - ext3 x rw\n37 36 0:50 / /a\\040b rw - fuse y rw\n";
        for (path, count) in [("/a b", 2), ("/a", 0), ("/a b/c", 0)] {
            assert_eq!(count_in(table, Path::new(path)), count, "{path}");
        }
    }

    #[test]
    fn types_with_and_without_optional_fields() {
        let table = "\
36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
37 35 0:50 / /mnt rw,nosuid - fuse.cloudmount s3://b rw,user_id=0\n";
        for (id, device, expected) in [
            (36, "98:0", Some("ext3")),
            (37, "0:50", Some("fuse.cloudmount")),
            (37, "0:51", None),
            (38, "0:50", None),
        ] {
            let device = device.to_owned();
            assert_eq!(type_in(table, &MountId { id, device }), expected);
        }
    }
}
