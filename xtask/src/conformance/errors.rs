//! Mistakes: each is answered in one or two lines that say what to do, with an exit code that is not 0,
//! and leaves no mount and no process.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use super::Extent;
use super::backend::Backend;
use super::daemon::program;
use crate::mounts;
use crate::run::Run;

/// A mistake, and what the answer must name.
struct Case<'a> {
    name: &'a str,
    url: String,
    folder: &'a Path,
    environment: Vec<(String, String)>,
    hint: &'a str,
}

/// Makes every mistake.
pub(super) fn run(backend: &Backend, _: Extent) -> Result<String> {
    let dir = backend.dir.path();
    let (empty, full, missing) = (dir.join("empty"), dir.join("full"), dir.join("missing"));
    for folder in [&empty, &full] {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(full.join("file"), "x")?;
    let file = full.join("file");
    let good = backend.url("errors")?;
    let is_s3 = good.starts_with("s3://");
    let case = |name, url: &str, folder, hint| Case {
        name,
        url: url.to_owned(),
        folder,
        environment: backend.environment.clone(),
        hint,
    };
    let mut cases = vec![
        case("no scheme", "bucket", &empty, "no scheme"),
        case("unknown scheme", "ftp://bucket", &empty, "unknown scheme"),
        case(
            "missing folder",
            "file:///no/such/folder",
            &empty,
            "create the folder",
        ),
        case("missing mount point", &good, &missing, "mkdir"),
        case("mount point in use", &good, &full, "empty directory"),
        case("mount point is a file", &good, &file, "directory"),
        Case {
            name: "nobody listens",
            url: "s3://bucket".into(),
            folder: &empty,
            environment: owned(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), KEY, SECRET]),
            hint: "--endpoint",
        },
        Case {
            name: "half of the keys",
            url: "s3://bucket".into(),
            folder: &empty,
            environment: owned(&[KEY]),
            hint: "AWS_SECRET_ACCESS_KEY",
        },
    ];
    if is_s3 {
        cases.push(case(
            "missing bucket",
            "s3://no-such-bucket",
            &empty,
            "create the bucket",
        ));
    }
    if backend.checks_signatures() {
        for (name, wrong_value) in [("unknown key", KEY), ("wrong secret", SECRET)] {
            let mut wrong = case(name, &good, &empty, "AWS_SECRET_ACCESS_KEY");
            // Of two with one name, the later one counts.
            wrong.environment.extend(owned(&[wrong_value]));
            cases.push(wrong);
        }
    }
    for case in &cases {
        check(backend, case, &[])?;
    }
    let mut count = cases.len();
    if crate::place::is_root() {
        let hidden = case("no /dev/fuse", &good, &empty, "modprobe fuse");
        check(backend, &hidden, HIDE_DEVICES)?;
        count += 1;
    }
    Ok(format!("{count} mistakes are answered"))
}

const KEY: (&str, &str) = ("AWS_ACCESS_KEY_ID", "id");
const SECRET: (&str, &str) = ("AWS_SECRET_ACCESS_KEY", "hunter2");

fn owned(environment: &[(&str, &str)]) -> Vec<(String, String)> {
    environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// Runs a command where there are no devices.
const HIDE_DEVICES: &[&str] = &[
    "unshare",
    "-m",
    "sh",
    "-c",
    "mount -t tmpfs none /dev && exec \"$@\"",
    "sh",
];

fn check(backend: &Backend, case: &Case<'_>, within: &[&str]) -> Result<()> {
    let Case { name, .. } = case;
    let program = program();
    let mut words = within
        .iter()
        .map(|word| OsStr::new(*word))
        .chain([program.as_os_str()]);
    let first = words.next().unwrap_or_default();
    let run = words
        .fold(Run::new(first), Run::arg)
        .arg("mount")
        .arg(&case.url)
        .arg(case.folder)
        .arg("--state-dir")
        .arg(backend.dir.path().join("errors-state"));
    let ended = run
        .envs(&case.environment)
        .within(Duration::from_secs(60))
        .end()?;
    let said = ended.err.trim();
    match ended.status {
        None => bail!("{name}: it does not end\n{said}"),
        Some(status) if status.success() => bail!("{name}: it claims success"),
        Some(_) => {}
    }
    if said.lines().count() > 2 || !said.contains(case.hint) || said.contains(SECRET.1) {
        bail!(
            "{name}: the answer must say {:?} in two lines at most:\n{said}",
            case.hint
        );
    }
    if mounts::is_mounted(case.folder) {
        bail!("{name}: it left a mount");
    }
    Ok(())
}
