//! The folders of this machine: where the journal lies with what waits, and what was read.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::Finding;
use super::folder::absolute;
use crate::{ByteSize, Environment, Settings};

/// The least that `staging-limit` may be: with less free, hardly anything can be written.
const FREE_MIN: u64 = 64 << 20;

/// The default of `staging-limit` leaves as much free for others.
const FREE_COMFORTABLE: u64 = 1 << 30;

/// A block of the usual filesystems, and two of them are written to try.
const BLOCK: u64 = 4096;

/// Kinds of filesystems whose server is elsewhere: locks, flushes and crashes are not this machine's
/// affair alone there.
const NETWORK: [&str; 9] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "ceph",
    "glusterfs",
    "afs",
];

/// Kinds that end with the machine.
const VOLATILE: [&str; 2] = ["tmpfs", "ramfs"];

/// The names of the checks of one folder.
struct Names {
    what: &'static str,
    setting: &'static str,
    folder: &'static str,
    space: &'static str,
    filesystem: &'static str,
    holes: &'static str,
}

const STAGING: Names = Names {
    what: "staging",
    setting: "--cache-dir",
    folder: "staging-folder",
    space: "staging-space",
    filesystem: "staging-filesystem",
    holes: "staging-holes",
};

const CACHE: Names = Names {
    what: "cache",
    setting: "--disk-cache",
    folder: "cache-folder",
    space: "cache-space",
    filesystem: "cache-filesystem",
    holes: "cache-holes",
};

/// The folders that are in use, with what they are for.
pub(super) fn folders(
    settings: &Settings,
    environment: &Environment,
) -> Vec<(&'static str, PathBuf)> {
    let staging = staging(settings, environment).ok();
    let staging = staging.map(|folder| (STAGING.what, folder));
    let cache = (settings.disk_cache.clone()).map(|folder| (CACHE.what, folder));
    staging.into_iter().chain(cache).collect()
}

fn staging(settings: &Settings, environment: &Environment) -> crate::Result<PathBuf> {
    let named = settings.cache_dir.as_ref().or(settings.state_dir.as_ref());
    named.map_or_else(|| environment.state_dir(), |folder| Ok(folder.clone()))
}

/// Looks at both.
pub(super) fn look(settings: &Settings, environment: &Environment, table: &Path) -> Vec<Finding> {
    let table = fs::read_to_string(table).unwrap_or_default();
    let mut findings = match staging(settings, environment) {
        Ok(folder) => of_folder(&STAGING, &folder, &table),
        Err(error) => {
            let (what, remedy) = error.parts();
            vec![Finding::fail(STAGING.folder, what).or(remedy.unwrap_or_default())]
        }
    };
    match &settings.disk_cache {
        Some(folder) => findings.extend(of_folder(&CACHE, folder, &table)),
        None => findings.push(Finding::skipped(CACHE.folder, "no disk-cache is set")),
    }
    findings
}

fn of_folder(names: &Names, folder: &Path, table: &str) -> Vec<Finding> {
    let folder = absolute(folder);
    // What is not there yet is made below the nearest that is.
    let Some(there) = folder.ancestors().find(|above| above.exists()) else {
        let found = format!("{} is on no disk", folder.display());
        return vec![
            Finding::fail(names.folder, found).or(format!("give another {}", names.setting)),
        ];
    };
    if !there.is_dir() {
        let found = format!("{} is not a folder", there.display());
        return vec![
            Finding::fail(names.folder, found).or(format!("give another {}", names.setting)),
        ];
    }
    let mut findings = vec![space(names, there), filesystem(names, there, table)];
    findings.extend(writable(names, there, &folder));
    findings
}

fn space(names: &Names, there: &Path) -> Finding {
    let stat = match rustix::fs::statvfs(there) {
        Ok(stat) => stat,
        Err(error) => {
            return Finding::warn(names.space, format!("{}: {error}", there.display()));
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if stat.f_blocks == 0 {
        return Finding::skipped(names.space, format!("{} is on no disk", there.display()));
    }
    let has_no_inodes = stat.f_files > 0 && stat.f_favail == 0;
    let shown = there.display();
    let remedy = format!("make room, or give another {} with room", names.setting);
    if has_no_inodes {
        return Finding::fail(
            names.space,
            format!("the disk of {shown} has no inodes left"),
        )
        .or(remedy);
    }
    let found = format!("{} free on the disk of {shown}", ByteSize(free));
    if free < FREE_MIN {
        Finding::fail(names.space, format!("the disk is full: {found}")).or(remedy)
    } else if free < FREE_COMFORTABLE {
        Finding::warn(names.space, format!("little room: {found}")).or(remedy)
    } else {
        Finding::ok(names.space, found)
    }
}

fn filesystem(names: &Names, there: &Path, table: &str) -> Finding {
    let Some((_, kind)) = mount_of(table, there) else {
        return Finding::skipped(names.filesystem, "the mounts of this machine are not known");
    };
    let remedy = format!("give another {} on a disk of this machine", names.setting);
    if NETWORK.contains(&&*kind) || kind.starts_with("fuse.") {
        return Finding::warn(
            names.filesystem,
            format!("{kind}: what is flushed there is as safe as its server"),
        )
        .or(remedy);
    }
    if VOLATILE.contains(&&*kind) && names.what == STAGING.what {
        return Finding::warn(
            names.filesystem,
            format!("{kind}: what waits for upload ends with the machine"),
        )
        .or(remedy);
    }
    Finding::ok(names.filesystem, kind)
}

/// Writes a file of its own, and takes part of it back.
fn writable(names: &Names, there: &Path, folder: &Path) -> Vec<Finding> {
    let path = there.join(format!(".cloudmount-doctor-{}", std::process::id()));
    let tried = write(&path);
    if tried.is_ok() {
        drop(fs::remove_file(&path));
    }
    let file = match tried {
        Ok(file) => file,
        Err(error) => {
            let is_full = matches!(
                error.kind(),
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded
            );
            let remedy = match is_full {
                true => format!("make room, or give another {} with room", names.setting),
                false => format!("make it writable, or give another {}", names.setting),
            };
            let found = format!("{} cannot be written: {error}", there.display());
            return vec![Finding::fail(names.folder, found).or(remedy)];
        }
    };
    let found = match there == folder {
        true => format!("{} can be written", folder.display()),
        false => format!("{} can be made", folder.display()),
    };
    vec![Finding::ok(names.folder, found), holes(names, &file)]
}

/// Whether room within a file can be given back.
#[cfg(target_os = "linux")]
fn holes(names: &Names, file: &File) -> Finding {
    use rustix::fs::FallocateFlags;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    match rustix::fs::fallocate(file, flags, 0, BLOCK) {
        Ok(()) => Finding::ok(
            names.holes,
            "what is not needed any more is given back at once",
        ),
        Err(error) => Finding::warn(
            names.holes,
            format!("the filesystem makes no holes in files ({error})"),
        )
        .or(format!(
            "files take their room until they are deleted: give a {} on ext4, XFS or Btrfs",
            names.setting
        )),
    }
}

#[cfg(not(target_os = "linux"))]
fn holes(names: &Names, _file: &File) -> Finding {
    Finding::skipped(names.holes, "only looked at on Linux")
}

fn write(path: &Path) -> std::io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let bytes = vec![1; usize::try_from(2 * BLOCK).unwrap_or_default()];
    match file.write_all(&bytes).and_then(|()| file.sync_data()) {
        Ok(()) => Ok(file),
        Err(error) => {
            drop(fs::remove_file(path));
            Err(error)
        }
    }
}

/// The mount that a path without links is in, and its kind, by `proc_pid_mountinfo(5)`.
pub(super) fn mount_of(table: &str, path: &Path) -> Option<(PathBuf, String)> {
    let mounts = table.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let point = PathBuf::from(unescape(before.split(' ').nth(4)?));
        let kind = after.split(' ').next()?.to_owned();
        path.starts_with(&point).then_some((point, kind))
    });
    // Of several at one place the last one is seen.
    mounts.max_by_key(|(point, _)| point.components().count())
}

/// The kernel writes blank, tab, newline and backslash in octal.
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
    use super::super::Verdict::{self, Fail, Ok as Well, Skipped, Warn};
    use super::*;

    fn verdict(found: &[Finding], check: &str) -> Verdict {
        let finding = found.iter().find(|one| one.check == check);
        finding
            .unwrap_or_else(|| panic!("{check}: {found:?}"))
            .verdict
    }

    #[test]
    fn folders_that_are_there_or_can_be_made() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let table = root.join("table");
        let line = |kind: &str| format!("1 0 8:1 / / rw - {kind} x rw\n");
        let mut settings = Settings {
            cache_dir: Some(root.join("deep/er")),
            ..Settings::default()
        };
        let none = Environment::default();
        for (kind, expected) in [
            ("ext4", Well),
            ("nfs4", Warn),
            ("fuse.sshfs", Warn),
            ("tmpfs", Warn),
        ] {
            fs::write(&table, line(kind)).unwrap();
            let found = look(&settings, &none, &table);
            assert_eq!(verdict(&found, "staging-filesystem"), expected, "{kind}");
            assert_eq!(verdict(&found, "staging-folder"), Well, "{found:?}");
            assert_eq!(verdict(&found, "cache-folder"), Skipped);
        }
        // What was read may be lost.
        settings.disk_cache = Some(root.clone());
        let found = look(&settings, &none, &table);
        assert_eq!(verdict(&found, "cache-filesystem"), Well);
        // Nothing was made, and nothing is left.
        let left: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|one| one.unwrap().file_name())
            .collect();
        assert_eq!(left, ["table"]);
        fs::write(root.join("file"), "x").unwrap();
        settings.cache_dir = Some(root.join("file"));
        assert_eq!(
            verdict(&look(&settings, &none, &table), "staging-folder"),
            Fail
        );
        let nowhere = look(&Settings::default(), &none, &table);
        assert_eq!(verdict(&nowhere, "staging-folder"), Fail);
    }

    #[test]
    fn the_nearest_and_last_mount_counts() {
        let table = "1 0 8:1 / / rw - ext4 x rw\n2 1 8:2 / /a\\040b rw - xfs x rw\n\
                     3 2 8:3 / /a\\040b rw - btrfs x rw\n";
        let kind = |path: &str| mount_of(table, Path::new(path)).map(|(_, kind)| kind);
        assert_eq!(kind("/a b/c").as_deref(), Some("btrfs"));
        assert_eq!(kind("/a").as_deref(), Some("ext4"));
        assert_eq!(kind("/a bc").as_deref(), Some("ext4"));
    }
}
