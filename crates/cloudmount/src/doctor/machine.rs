//! The kernel, its device, the helper for users, and their limits.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Resource, geteuid, getrlimit};

use super::{Finding, MachineParts};
use crate::{Environment, Settings};

/// What a mount asks of the kernel, and since when Linux has it (`fs/fuse/inode.c`,
/// `include/uapi/linux/fuse.h`).
const FEATURES: [((u32, u32), &str); 3] = [
    ((4, 20), "requests of 1 MiB"),
    ((5, 12), "writes that ask nothing about privileges before"),
    ((6, 6), "maps of files that are read past the page cache"),
];

/// Fewer descriptors than this are too few: each staged file, each connection and each file in the
/// cache on disk takes one.
const DESCRIPTORS_MIN: u64 = 512;

/// What a mount raises the limit to, where it may.
const DESCRIPTORS_WANTED: u64 = 65_536;

/// From here on nobody has met the limit with usual programs: 4,096 open files.
const DESCRIPTORS_USUAL: u64 = 4096;

const HELPER: &str = "fusermount3";

/// `mount_max` of `fusermount3(1)` where nothing is set.
const MOUNTS_MAX: usize = 1000;

/// Looks at all of it.
pub(super) fn look(
    parts: &MachineParts,
    settings: &Settings,
    environment: &Environment,
) -> Vec<Finding> {
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let is_root = geteuid().is_root();
    let mut findings = vec![
        kernel(&release, &fs::read_to_string(&parts.filesystems).ok()),
        device(&parts.device),
        descriptors(getrlimit(Resource::Nofile).maximum),
    ];
    if is_root {
        findings.push(Finding::ok("helper", "not needed: this is root"));
        return findings;
    }
    let conf = fs::read_to_string(&parts.fuse_conf).unwrap_or_default();
    let table = fs::read_to_string(&parts.mount_table).unwrap_or_default();
    findings.push(helper(environment.get("PATH").unwrap_or_default()));
    findings.push(mounts(&conf, &table, geteuid().as_raw()));
    if settings.allow_other {
        findings.push(allow_other(&conf));
    }
    findings
}

fn kernel(release: &str, filesystems: &Option<String>) -> Finding {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.next()?.parse::<u32>().ok();
    let (Some(major), Some(minor)) = (number(), number()) else {
        return Finding::warn("kernel", format!("Linux {release}, of no known version"));
    };
    let lacks: Vec<&str> = (FEATURES.iter())
        .filter(|(since, _)| *since > (major, minor))
        .map(|(_, what)| *what)
        .collect();
    let is_loaded = filesystems.as_ref().is_none_or(|text| {
        let mut kinds = text.lines().filter_map(|line| line.split('\t').next_back());
        kinds.any(|kind| kind == "fuse")
    });
    if !is_loaded {
        return Finding::warn(
            "kernel",
            format!("Linux {release}, without the driver fuse"),
        )
        .or("load it: modprobe fuse");
    }
    match lacks.is_empty() {
        true => Finding::ok(
            "kernel",
            format!("Linux {release}, with all that is asked for"),
        ),
        false => Finding::warn(
            "kernel",
            format!("Linux {release}, without {}", lacks.join(", ")),
        )
        .or("it works, and a newer kernel does it better"),
    }
}

fn device(path: &Path) -> Finding {
    const CONTAINER: &str = "in a container, start it with --device /dev/fuse --cap-add SYS_ADMIN";
    let shown = path.display();
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(_) => Finding::ok("device", format!("{shown} can be opened")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Finding::fail("device", format!("there is no {shown}"))
                .or(format!("load the module: modprobe fuse; {CONTAINER}"))
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Finding::fail(
            "device",
            format!("{shown} may not be opened by this user: {error}"),
        )
        .or(format!("chmod 666 {shown}, or run as root; {CONTAINER}")),
        Err(error) => Finding::fail("device", format!("{shown} cannot be opened: {error}"))
            .or(format!("load the module: modprobe fuse; {CONTAINER}")),
    }
}

fn descriptors(most: Option<u64>) -> Finding {
    const REMEDY: &str =
        "raise it: ulimit -Hn, LimitNOFILE= of systemd, or /etc/security/limits.conf";
    match most {
        None => Finding::ok("limits", "as many open files as there are"),
        Some(most) if most < DESCRIPTORS_MIN => Finding::fail(
            "limits",
            format!("only {most} files may be open at once (RLIMIT_NOFILE)"),
        )
        .or(REMEDY),
        Some(most) if most < DESCRIPTORS_USUAL => Finding::warn(
            "limits",
            format!("only {most} files may be open at once (RLIMIT_NOFILE)"),
        )
        .or(REMEDY),
        Some(most) => Finding::ok(
            "limits",
            format!("{} files may be open at once", most.min(DESCRIPTORS_WANTED)),
        ),
    }
}

/// The helper that mounts for users, by the variable `PATH`.
fn helper(path: &str) -> Finding {
    const REMEDY: &str = "install it (apt install fuse3, dnf install fuse3), or run as root";
    let found = (path.split(':').filter(|dir| !dir.is_empty()))
        .map(|dir| PathBuf::from(dir).join(HELPER))
        .find_map(|path| Some((fs::metadata(&path).ok()?, path)));
    let Some((metadata, path)) = found else {
        return Finding::fail("helper", format!("{HELPER} is not installed")).or(REMEDY);
    };
    let is_set_uid = metadata.uid() == 0 && metadata.permissions().mode() & 0o4000 != 0;
    if is_set_uid {
        return Finding::ok("helper", path.display().to_string());
    }
    Finding::fail(
        "helper",
        format!(
            "{} is not set-uid root, so it mounts nothing",
            path.display()
        ),
    )
    .or(format!(
        "chown root {0} && chmod u+s {0}, or run as root",
        path.display()
    ))
}

/// Whether this user may mount one more.
fn mounts(conf: &str, table: &str, user: u32) -> Finding {
    let most = value_of(conf, "mount_max").and_then(|text| text.parse().ok());
    let most = most.unwrap_or(MOUNTS_MAX);
    let owner = format!("user_id={user}");
    let has = (table.lines().filter_map(|line| line.split_once(" - ")))
        .filter(|(_, end)| end.starts_with("fuse") && end.split([' ', ',']).any(|one| one == owner))
        .count();
    let found = format!("{has} of {most} mounts of this user");
    match has < most {
        true => Finding::ok("user-mounts", found),
        false => Finding::fail("user-mounts", found)
            .or("unmount some, or raise mount_max in /etc/fuse.conf"),
    }
}

fn allow_other(conf: &str) -> Finding {
    match conf.lines().any(|line| line.trim() == "user_allow_other") {
        true => Finding::ok("allow-other", "users may let others in"),
        false => Finding::fail(
            "allow-other",
            "allow-other is set, and users may not let others in",
        )
        .or("add the line user_allow_other to /etc/fuse.conf, or leave allow-other"),
    }
}

/// `name = value` in `/etc/fuse.conf`.
fn value_of<'t>(conf: &'t str, name: &str) -> Option<&'t str> {
    conf.lines().find_map(|line| {
        let (found, value) = line.split_once('=')?;
        (found.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict::{self, Fail, Ok as Well, Warn};
    use super::*;

    fn check(found: Finding, verdict: Verdict, words: &str) {
        assert_eq!(found.verdict, verdict, "{found:?}");
        assert!(found.found.contains(words), "{words}: {found:?}");
        assert!(
            verdict != Fail || found.remedy.is_some(),
            "what to do: {found:?}"
        );
    }

    #[test]
    fn kernels() {
        let kinds = |text: &str| Some(text.to_owned());
        let with = kinds("nodev\tproc\n\text4\n\tfuseblk\nnodev\tfuse\n");
        check(kernel("6.18.44-x", &with), Well, "Linux 6.18.44-x");
        check(kernel("6.6.0", &None), Well, "all that is asked for");
        check(kernel("5.15.0-1", &with), Warn, "maps of files");
        check(kernel("4.19.1", &with), Warn, "requests of 1 MiB");
        let without = kinds("nodev\tproc\n\tfuseblk\n");
        check(kernel("6.18.44", &without), Warn, "without the driver fuse");
        check(kernel("strange", &with), Warn, "no known version");
    }

    #[test]
    fn devices() {
        let dir = tempfile::tempdir().unwrap();
        check(device(&dir.path().join("fuse")), Fail, "there is no");
        check(device(dir.path()), Fail, "cannot be opened");
        check(device(Path::new("/dev/null")), Well, "can be opened");
    }

    #[test]
    fn limits() {
        check(descriptors(Some(256)), Fail, "only 256 files");
        check(descriptors(Some(1024)), Warn, "only 1024 files");
        check(descriptors(Some(1 << 20)), Well, "65536 files");
        check(descriptors(None), Well, "as many");
    }

    #[test]
    fn helpers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        check(helper(path), Fail, "not installed");
        check(helper(""), Fail, "not installed");
        fs::write(dir.path().join(HELPER), "").unwrap();
        check(
            helper(&format!("/nowhere:{path}")),
            Fail,
            "not set-uid root",
        );
    }

    #[test]
    fn mounts_of_a_user_are_counted() {
        let table = "\
36 1 0:40 / /a rw - ext4 /dev/x rw,user_id=7\n\
37 1 0:41 / /b rw - fuse.cloudmount s3://b rw,user_id=7,group_id=7\n\
38 1 0:42 / /c rw - fuse.sshfs x rw,user_id=77,group_id=7\n";
        check(mounts("", table, 7), Well, "1 of 1000");
        check(mounts("# no\nmount_max = 2\n", table, 7), Well, "1 of 2");
        check(mounts("mount_max=1", table, 7), Fail, "1 of 1");
        check(mounts("mount_max=1", table, 8), Well, "0 of 1");
    }

    #[test]
    fn others_are_let_in_by_a_line_of_its_own() {
        check(allow_other("#user_allow_other\n"), Fail, "may not");
        check(allow_other("x\n user_allow_other \n"), Well, "may let");
    }
}
