//! The mount point: there, a folder, empty, not mounted on, and not among our own files.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;

use super::Finding;
use super::disk::mount_of;

const CHECK: &str = "mount-point";

/// What the kernel calls our mounts.
const OURS: &str = "fuse.cloudmount";

/// Looks at `folder`; `ours` are folders that hold what waits and what was read, by their names.
pub(super) fn look(folder: &Path, table: &Path, ours: &[(&'static str, PathBuf)]) -> Vec<Finding> {
    let shown = folder.display();
    let table = fs::read_to_string(table).unwrap_or_default();
    // Of the folder itself, a mount table knows the name without links.
    let place = absolute(folder);
    let kind = mount_of(&table, &place).filter(|(point, _)| *point == place);
    let kind = kind.map(|(_, kind)| kind);
    if let Err(Errno::NOTCONN) = rustix::fs::statfs(folder) {
        return vec![stale(folder, kind.as_deref())];
    }
    let finding = match (fs::metadata(folder), kind.as_deref()) {
        (Err(error), _) if error.kind() == ErrorKind::NotFound => {
            Finding::fail(CHECK, format!("{shown} does not exist")).or(format!("mkdir -p {shown}"))
        }
        (Err(error), _) => Finding::fail(CHECK, format!("{shown}: {error}"))
            .or("choose a folder that this user may look into"),
        (Ok(metadata), _) if !metadata.is_dir() => {
            Finding::fail(CHECK, format!("{shown} is not a folder")).or("choose an empty folder")
        }
        (Ok(_), Some(OURS)) => Finding::warn(CHECK, format!("{shown} is mounted by cloudmount"))
            .or(format!(
                "nothing, or: cloudmount status {shown}, cloudmount umount {shown}"
            )),
        (Ok(_), Some(kind)) => Finding::fail(CHECK, format!("{shown} is a mount of {kind}"))
            .or("unmount that first, or choose another folder"),
        (Ok(_), None) => plain(folder),
    };
    let mut findings = vec![finding];
    findings.extend(entangled(&place, ours));
    findings
}

/// Whether it is a mount of ours, which may be dead.
pub(super) fn is_ours(folder: &Path, table: &Path) -> bool {
    let place = absolute(folder);
    let table = fs::read_to_string(table).unwrap_or_default();
    mount_of(&table, &place).is_some_and(|(point, kind)| point == place && kind == OURS)
}

/// A folder on which nothing is mounted.
fn plain(folder: &Path) -> Finding {
    let shown = folder.display();
    match fs::read_dir(folder).map(Iterator::count) {
        Ok(0) => {}
        Ok(entries) => {
            return Finding::fail(
                CHECK,
                format!("{shown} is not empty: it has {entries} entries"),
            )
            .or("choose an empty folder, or hide what is in it while it is mounted: --nonempty");
        }
        Err(error) => {
            return Finding::fail(CHECK, format!("{shown}: {error}"))
                .or("choose a folder that this user may look into");
        }
    }
    // `fusermount3` insists on it.
    match rustix::fs::accessat(CWD, folder, Access::WRITE_OK, AtFlags::EACCESS) {
        Ok(()) => Finding::ok(CHECK, format!("{shown} is an empty folder")),
        Err(error) => Finding::fail(
            CHECK,
            format!("{shown} may not be written by this user: {error}"),
        )
        .or("choose a folder that belongs to this user, or run as root"),
    }
}

fn stale(folder: &Path, kind: Option<&str>) -> Finding {
    let shown = folder.display();
    let dead = "a mount without its process (transport endpoint is not connected)";
    match kind {
        Some(OURS) => Finding::warn(CHECK, format!("{shown} is {dead}")).or(format!(
            "mount again, which clears it and goes on with what waits; or cloudmount umount {shown}"
        )),
        _ => Finding::fail(
            CHECK,
            format!("{shown} is {dead} of {}", kind.unwrap_or("another program")),
        )
        .or(format!(
            "fusermount3 -uz {shown}, or as root: umount -l {shown}"
        )),
    }
}

/// A mount over the folder that holds its own files would hide them, or write into itself.
fn entangled(place: &Path, ours: &[(&'static str, PathBuf)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, other) in ours {
        let other = absolute(other);
        if place.starts_with(&other) || other.starts_with(place) {
            findings.push(
                Finding::fail(
                    CHECK,
                    format!(
                        "{} and the {name} folder {} are one in the other",
                        place.display(),
                        other.display()
                    ),
                )
                .or("choose another mount point"),
            );
        }
    }
    findings
}

/// Without links as far as it is there.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for above in whole.ancestors().skip(1) {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), whole.strip_prefix(above)) {
            // The last part may be a dead mount, which has no real path.
            return whole.canonicalize().unwrap_or_else(|_| real.join(rest));
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Fail, Ok as Well, Warn};
    use super::*;

    fn check(found: &[Finding], verdict: Verdict, words: &str) {
        let worst = found.iter().max_by_key(|one| one.verdict).unwrap();
        assert_eq!(worst.verdict, verdict, "{found:?}");
        assert!(worst.found.contains(words), "{words}: {found:?}");
    }

    #[test]
    fn places() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let table = root.join("table");
        let at = |name: &str| look(&root.join(name), &table, &[]);
        check(&at("none"), Fail, "does not exist");
        fs::write(root.join("file"), "x").unwrap();
        check(&at("file"), Fail, "not a folder");
        fs::create_dir_all(root.join("full/entry")).unwrap();
        check(&at("full"), Fail, "not empty: it has 1 ");
        check(&at("full/entry"), Well, "empty folder");
        let line = |kind: &str, name: &str| {
            format!("37 1 0:41 / {}/{name} rw - {kind} x rw\n", root.display())
        };
        fs::create_dir(root.join("other")).unwrap();
        let text = line(OURS, "full") + &line("ext4", "other");
        fs::write(&table, text).unwrap();
        check(&at("full"), Warn, "mounted by cloudmount");
        check(&at("other"), Fail, "a mount of ext4");
        check(&[stale(&root, Some(OURS))], Warn, "not connected");
        check(&[stale(&root, Some("fuse.sshfs"))], Fail, "fuse.sshfs");
    }

    #[test]
    fn a_mount_point_is_not_among_our_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let none = root.join("none");
        let ours = [("staging", root.join("state/staging"))];
        for (name, verdict) in [
            ("state/staging/mnt", Fail),
            ("state", Fail),
            ("state-2", Well),
        ] {
            let folder = root.join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::create_dir_all(root.join("state-2")).unwrap();
            let found = look(&folder, &none, &ours);
            let worst = found.iter().max_by_key(|one| one.verdict).unwrap();
            assert_eq!(worst.verdict, verdict, "{name}: {found:?}");
            let is_named = found
                .iter()
                .any(|one| one.found.contains("one in the other"));
            assert_eq!(is_named, verdict == Fail, "{found:?}");
        }
    }
}
