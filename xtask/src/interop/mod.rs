//! `cargo xtask interop`: the real s3fs and the real rclone, and ours, show the same attributes of the same
//! objects, whoever wrote them, and whoever changed them last.
//!
//! Law: every attribute that is compared was set to a value that no default has, and was changed in between.

mod shown;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::filesystem::{Bucket, Filesystem, Program, Wanted, binary};
use crate::run::Run;
use crate::say::say;
use crate::server::{Kind, Server};
use crate::{place, tools};
use shown::Shown;

/// How long an upload may take.
const UPLOADING: Duration = Duration::from_secs(60);
/// s3fs keeps extended attributes only if it is told to, and believes what it saw for a quarter of an hour if not.
const S3FS: &[&str] = &["-o", "use_xattr", "-o", "stat_cache_expire=0"];

#[derive(Args, Debug, Default)]
pub(crate) struct Arguments {
    /// Where the bucket is
    #[arg(long, value_enum, default_value = "moto")]
    pub(crate) on: On,
}

/// Where the bucket is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum On {
    /// moto
    #[default]
    Moto,
    /// A cluster of Ceph in a chroot; root only
    Rgw,
}

/// Runs it.
///
/// # Errors
/// Somebody shows something else, or something cannot be started.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if !place::has_fuse() || !place::is_root() {
        say!("SKIPPED: owners of others and mounts need root and /dev/fuse");
        return Ok(());
    }
    for program in [Program::Cloudmount, Program::S3fs, Program::Rclone] {
        program.install()?;
    }
    tools::programs(&["rsync"])?;
    let server = Server::start(match arguments.on {
        On::Moto => Kind::Moto,
        On::Rgw => Kind::Rgw,
    })?;
    let folder = tempfile::tempdir()?;
    let bed = Bed {
        bucket: Bucket::of(&server, &server.endpoint),
        server,
        folder: folder.path().to_owned(),
    };
    for dialect in ["aws", "s3fs", "rclone"] {
        // s3fs takes a mode in octal for one in decimal, and refuses the file.
        if dialect != "rclone" {
            bed.with_s3fs(dialect)
                .with_context(|| format!("with s3fs, ours writes {dialect}"))?;
        }
        bed.with_rclone(dialect)
            .with_context(|| format!("with rclone, ours writes {dialect}"))?;
        bed.with_itself(dialect)
            .with_context(|| format!("with rsync, ours writes {dialect}"))?;
        say!("ours writes {dialect}: the others show the same");
    }
    Ok(())
}

/// Where it happens.
struct Bed {
    server: Server,
    bucket: Bucket,
    folder: PathBuf,
}

const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// What is set of a file, told apart by `number`.
fn wanted(kind: u32, number: u32) -> Shown {
    Shown {
        mode: kind | 0o700 | (number & 0o77),
        uid: 1000 + number,
        gid: 2000 + number,
        mtime: (
            981_173_106 + i64::from(number),
            123_456_700 + i64::from(number),
        ),
        xattr: (kind == FILE).then(|| format!("value {number}")),
        target: None,
    }
}

impl Bed {
    fn mount(&self, program: Program, name: &str, more: &[&str]) -> Result<Filesystem> {
        let at = |what: &str| -> Result<PathBuf> {
            let folder = self.folder.join(name).join(what);
            std::fs::create_dir_all(&folder)?;
            Ok(folder)
        };
        let wanted = Wanted {
            program,
            bucket: Some(&self.bucket),
            folder: &at("mnt")?,
            scratch: &at("scratch")?,
            more,
        };
        wanted.mount()
    }

    fn ours(&self, name: &str, dialect: &str) -> Result<Filesystem> {
        self.mount(Program::Cloudmount, name, &["--attribute-dialect", dialect])
    }

    /// Files, a folder and a symlink of either are shown, and changed, by the other. s3fs knows its own dialect
    /// alone, so that it sees what is ours from the moment on when it has changed it, or if ours writes that.
    fn with_s3fs(&self, dialect: &str) -> Result<()> {
        let ours = self.ours("ours", dialect)?;
        let s3fs = || self.mount(Program::S3fs, "s3fs", S3FS);
        let theirs = s3fs()?;
        let path = |at: &Filesystem, name: &str| at.folder().join(format!("{name}-{dialect}"));
        // What either makes.
        for (at, name) in [(&theirs, "theirs"), (&ours, "ours")] {
            std::fs::write(path(at, name), name)?;
            wanted(FILE, 1).set(&path(at, name))?;
            std::fs::create_dir(path(at, &format!("{name}-dir")))?;
            wanted(FOLDER, 2).set(&path(at, &format!("{name}-dir")))?;
            symlink("some/where", path(at, &format!("{name}-link")))?;
        }
        flush(&ours)?;
        let mut seen = vec![(&ours, "theirs")];
        if dialect == "s3fs" {
            seen.push((&theirs, "ours"));
        }
        for (at, name) in seen {
            let who = at.program().name();
            wanted(FILE, 1).expect_at(&path(at, name), who)?;
            wanted(FOLDER, 2).expect_at(&path(at, &format!("{name}-dir")), who)?;
            let link = path(at, &format!("{name}-link"));
            ensure!(
                link.read_link()? == Path::new("some/where"),
                "{who} shows another target"
            );
        }
        // What the other changes: theirs here, ours there; then both again by those who made them.
        for (round, number) in [(0, 11), (1, 12)] {
            let turn = if round == 0 {
                [&ours, &theirs]
            } else {
                [&theirs, &ours]
            };
            for (at, name) in turn.iter().zip(["theirs", "ours"]) {
                wanted(FILE, number).set(&path(at, name))?;
                wanted(FOLDER, number + 1).set(&path(at, &format!("{name}-dir")))?;
            }
            flush(&ours)?;
            for (at, name) in turn.iter().rev().zip(["theirs", "ours"]) {
                let who = at.program().name();
                wanted(FILE, number).expect_at(&path(at, name), who)?;
                let folder = path(at, &format!("{name}-dir"));
                wanted(FOLDER, number + 1).expect_at(&folder, who)?;
            }
        }
        theirs.end()?;
        ours.end()
    }

    /// What rclone wrote is shown, and what is changed here is what rclone reads and brings back.
    fn with_rclone(&self, dialect: &str) -> Result<()> {
        let ours = self.ours("ours", dialect)?;
        let name = format!("rclone-{dialect}");
        let here = self.folder.join(&name);
        let there = ours.folder().join(&name);
        std::fs::write(&here, "by rclone")?;
        // rclone has no place for extended attributes that others could know.
        let first = Shown {
            xattr: None,
            ..wanted(FILE, 3)
        };
        first.set(&here)?;
        let object = format!(":s3:{}/{name}", self.server.bucket);
        self.rclone(&["copyto", "--metadata", &path_text(&here)?, &object])?;
        first.expect_at(&there, "cloudmount")?;

        let second = first.with_permissions(0o604);
        let second = Shown {
            mtime: (1_044_245_106, 700_000_000),
            ..second
        };
        second.set(&there)?;
        flush(&ours)?;
        let said: Value =
            serde_json::from_str(&self.rclone(&["lsjson", "--metadata", &object])?)?;
        let metadata = &said[0]["Metadata"];
        ensure!(metadata["mode"] == "100604", "rclone reads {metadata}");
        let back = self.folder.join(format!("back-{dialect}"));
        self.rclone(&["copyto", "--metadata", &object, &path_text(&back)?])?;
        second.expect_at(&back, "rclone")?;

        // The time alone, as `rclone touch` and `rclone copy` of a file with another time do.
        self.rclone(&["touch", "--timestamp", "2011-12-13T14:15:16.25", &object])?;
        let third = Shown {
            mtime: (1_323_785_716, 250_000_000),
            ..second
        };
        third.expect_at(&there, "cloudmount")?;
        // A hash of what was there before is not left on what is written anew.
        std::fs::write(&there, "anew")?;
        flush(&ours)?;
        self.rclone(&[
            "check",
            "--download",
            &path_text(ours.folder())?,
            &format!(":s3:{}", self.server.bucket),
            "--include",
            &name,
        ])?;
        ours.end()
    }

    /// What `rsync -a` wrote through one mount, it and another one show in full, times of folders and extended attributes too:
    /// nothing is left to transfer.
    fn with_itself(&self, dialect: &str) -> Result<()> {
        let source = self.folder.join(format!("source-{dialect}"));
        std::fs::create_dir_all(source.join("below"))?;
        for number in 0..20 {
            let file = source.join(format!("below/{number}"));
            std::fs::write(&file, number.to_string())?;
            wanted(FILE, number).set(&file)?;
        }
        symlink("below/1", source.join("link"))?;
        wanted(FOLDER, 5).set(&source.join("below"))?;
        let target = format!("rsync-{dialect}");
        let rsync = |at: &Filesystem| {
            let to = at.folder().join(&target);
            std::fs::create_dir_all(&to)?;
            Run::new("rsync")
                .args("-aiX")
                .arg(format!("{}/", source.display()))
                .arg(to)
                .within(UPLOADING)
                .ok()
        };
        let first = self.ours("ours", dialect)?;
        let sent = rsync(&first)?;
        ensure!(sent.lines().count() >= 20, "rsync sent nothing: {sent}");
        let sent = rsync(&first)?;
        ensure!(sent.trim().is_empty(), "the first mount lacks\n{sent}");
        first.end()?;
        let second = self.ours("second", dialect)?;
        let sent = rsync(&second)?;
        ensure!(sent.trim().is_empty(), "the second mount lacks\n{sent}");
        second.end()
    }

    fn rclone(&self, words: &[&str]) -> Result<String> {
        let program = tools::python()?.with_file_name("rclone");
        let mut run = Run::new(program)
            .args("--s3-env-auth --s3-provider Ceph --s3-endpoint")
            .arg(&self.server.endpoint)
            .env("RCLONE_CONFIG", "")
            .envs(&self.server.environment())
            .within(UPLOADING);
        for word in words {
            run = run.arg(word);
        }
        run.ok()
    }
}

/// Waits until all is in the bucket.
fn flush(ours: &Filesystem) -> Result<()> {
    let run = Run::new(binary("cloudmount")).args("flush --wait");
    run.arg(ours.folder()).within(UPLOADING).ok().map(drop)
}

fn path_text(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(text) => Ok(text.to_owned()),
        None => bail!("{} is no text", path.display()),
    }
}
